//! Lines to the server. Whatever they are made from, each is one line and one command.

use std::fmt;
use std::time::Instant;

use chatbus_runtime::Fence;
use secrecy::{ExposeSecret as _, SecretString};

use super::grammar::escape;

/// Names one `send` from the sink to its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Bytes to write, whole lines.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes, line ends included.
    pub bytes: Vec<u8>,
    /// After this moment it must not be written any more.
    pub not_after: Option<Instant>,
    /// Once this is lost it must not be written any more.
    pub fence: Option<Fence>,
    /// Which send it is part of. Such a frame is answered with `Written` or `Withheld`.
    pub ticket: Option<Ticket>,
}

// === impl Frame ===

impl Frame {
    /// A frame that nothing waits for.
    fn plain(parts: &[&str]) -> Self {
        Self { bytes: line(parts), not_after: None, fence: None, ticket: None }
    }

    /// Asks for the capabilities and logs in. Membership is not asked for: Twitch would send a JOIN
    /// and a PART for every viewer.
    pub fn login(nick: &str, token: Option<&SecretString>) -> Self {
        let mut bytes = line(&["CAP REQ :twitch.tv/tags twitch.tv/commands"]);
        if let Some(token) = token {
            let token = token.expose_secret().trim();
            let token = token.strip_prefix("oauth:").unwrap_or(token);
            bytes.extend(line(&["PASS oauth:", token]));
        }
        bytes.extend(line(&["NICK ", nick]));
        Self { bytes, not_after: None, fence: None, ticket: None }
    }

    /// Joins a channel. One line for each: the limit counts channels, and not every server takes lists.
    pub fn join(channel: &str) -> Self {
        Self::plain(&["JOIN ", channel])
    }

    /// Leaves a channel.
    pub fn part(channel: &str) -> Self {
        Self::plain(&["PART ", channel])
    }

    /// Asks whether the server is there.
    pub fn ping(token: &str) -> Self {
        Self::plain(&["PING :", token])
    }

    /// Answers a PING.
    pub fn pong(token: &str) -> Self {
        Self::plain(&["PONG :", token])
    }

    /// Says something in a channel, as an answer to a message if there is one.
    pub fn say(
        channel: &str,
        text: &str,
        reply_to: Option<&str>,
        not_after: Instant,
        fence: Fence,
        ticket: Ticket,
    ) -> Self {
        let reply_to = reply_to.map(escape);
        let bytes = match reply_to.as_deref() {
            Some(id) => line(&["@reply-parent-msg-id=", id, " PRIVMSG ", channel, " :", text]),
            None => line(&["PRIVMSG ", channel, " :", text]),
        };
        Self { bytes, not_after: Some(not_after), fence: Some(fence), ticket: Some(ticket) }
    }
}

impl fmt::Debug for Frame {
    /// Without the bytes: a token or someone's words may be in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = format_args!("{} bytes", self.bytes.len());
        f.debug_struct("Frame")
            .field("bytes", &bytes)
            .field("not_after", &self.not_after)
            .field("ticket", &self.ticket)
            .finish()
    }
}

/// One line with its end, from its parts. What could begin another line is left out.
fn line(parts: &[&str]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(length + 2);
    for part in parts {
        // Hardly any text has such bytes, and looking is cheaper than copying byte by byte.
        if memchr::memchr3(b'\r', b'\n', 0, part.as_bytes()).is_none() {
            bytes.extend_from_slice(part.as_bytes());
        } else {
            bytes.extend(part.bytes().filter(|b| !matches!(b, b'\r' | b'\n' | 0)));
        }
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irc::grammar::{Message, unescape};
    use chatbus_event::Clock as _;
    use chatbus_event::Timestamp;
    use proptest::prelude::*;

    fn now() -> Instant {
        chatbus_testkit::FakeClock::at(Timestamp::EPOCH).instant()
    }

    #[test]
    fn a_login_has_its_token_in_the_bytes_and_nowhere_else() {
        for token in ["abc", "oauth:abc", " oauth:abc\r\n"] {
            let frame = Frame::login("bot", Some(&SecretString::from(token)));
            assert_eq!(
                String::from_utf8_lossy(&frame.bytes),
                "CAP REQ :twitch.tv/tags twitch.tv/commands\r\nPASS oauth:abc\r\nNICK bot\r\n"
            );
            assert!(!format!("{frame:?}").contains("abc"));
        }
        assert!(!String::from_utf8_lossy(&Frame::login("justinfan1", None).bytes).contains("PASS"));
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_one_line_that_says_it(text in "[^\\x00\\r\\n]{1,80}", evil in ".{0,40}") {
            let frame = Frame::say("#a", &text, Some(&evil), now(), Fence::always(), Ticket(1));
            let line = String::from_utf8(frame.bytes).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let message = Message::parse(&line).unwrap();
            prop_assert_eq!(message.command(), "PRIVMSG");
            prop_assert_eq!(message.params().collect::<Vec<_>>(), ["#a", text.as_str()]);
            let replied = message.tags().get("reply-parent-msg-id").map(unescape).unwrap_or_default();
            prop_assert_eq!(replied.into_owned(), evil.replace('\0', ""));
        }
    }
}
