//! Twitch's limits, each with its switch, and the decision on one message: pure, so that every rule
//! is a row of a table.
//!
//! Over the message rate the real server drops silently and locks the account out of that chat for up
//! to 30 minutes; the sandbox answers `msg_ratelimit` and lets the account speak again as soon as the
//! window has room, so that a test sees its mistake and does not wait half an hour.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::emotes;
use super::room::{LastSaid, Room};

/// 20 JOINs in 10 s for one account (dev.twitch.tv/docs/chat, rate limits).
const JOINS: (usize, Duration) = (20, Duration::from_secs(10));
/// 20 authentication attempts in 10 s for one account.
const LOGINS: (usize, Duration) = (20, Duration::from_secs(10));
/// 20 messages in 30 s for one account.
const MESSAGES: (usize, Duration) = (20, Duration::from_secs(30));
/// 100 messages in 30 s where the account is moderator or broadcaster.
const MODERATOR_MESSAGES: (usize, Duration) = (100, Duration::from_secs(30));
/// The same text again within this time is refused.
const DUPLICATE: Duration = Duration::from_secs(30);
/// A message is at most this many code points.
pub(super) const MAX_TEXT_CHARS: usize = 500;

/// Which limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rules {
    /// 20 JOINs in 10 s for one account; more are never answered.
    pub joins: bool,
    /// 20 logins in 10 s for one account; more get `Login unsuccessful`.
    pub logins: bool,
    /// 20 messages in 30 s for one account, 100 where it is moderator; more get `msg_ratelimit`.
    pub messages: bool,
    /// The text of the account's last message there within 30 s gets `msg_duplicate`; moderators,
    /// VIPs and the broadcaster may repeat themselves.
    pub duplicates: bool,
    /// Over 500 code points: `true` cuts, as Twitch does; `false` refuses with `msg_rejected`.
    pub cut_long: bool,
    /// Least time between two messages of one account in one channel, unless it is moderator;
    /// 0 is no such rule. Twitch: about 1000.
    pub channel_gap_ms: u64,
    /// Count what clients send and do not keep it: for benchmarks.
    pub sink: bool,
}

/// One account's recent doings.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) joins: Window,
    pub(super) logins: Window,
    pub(super) messages: Window,
}

/// Times within a sliding window; holds at most as many as the limit.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Instant>);

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    /// A NOTICE with this `msg-id` and text.
    Refuse {
        code: String,
        text: String,
    },
}

/// A message as judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spoken<'a> {
    pub(super) login: &'a str,
    pub(super) channel: &'a str,
    pub(super) text: &'a str,
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            joins: true,
            logins: true,
            messages: true,
            duplicates: true,
            cut_long: true,
            channel_gap_ms: 0,
            sink: false,
        }
    }
}

impl Rules {
    /// No limit at all: for benchmarks and for tests of something else.
    pub fn unlimited() -> Self {
        Self { joins: false, logins: false, messages: false, duplicates: false, ..Self::default() }
    }

    pub(super) fn may_join(&self, account: &mut Account, now: Instant) -> bool {
        !self.joins || account.joins.admit(now, JOINS)
    }

    pub(super) fn may_log_in(&self, account: &mut Account, now: Instant) -> bool {
        !self.logins || account.logins.admit(now, LOGINS)
    }

    /// Judges a message, and remembers it if it is accepted.
    pub(super) fn judge(
        &self,
        account: &mut Account,
        room: &mut Room,
        spoken: Spoken<'_>,
        now: Instant,
    ) -> Verdict {
        let standing = room.standing(spoken.login, spoken.channel, now);
        let refused = if room.modes.suspended {
            Some("msg_channel_suspended")
        } else if standing.banned {
            Some("msg_banned")
        } else if standing.timed_out {
            Some("msg_timedout")
        } else if is_command(spoken.text) {
            Some("unrecognized_cmd")
        } else if !self.cut_long && spoken.text.chars().count() > MAX_TEXT_CHARS {
            Some("msg_rejected")
        } else if !standing.privileged {
            self.room_modes(room, spoken, standing.subscriber, standing.follower, now)
        } else {
            None
        };
        let refused = refused.or_else(|| {
            let limit = if standing.moderator { MODERATOR_MESSAGES } else { MESSAGES };
            (self.messages && !account.messages.admit(now, limit)).then_some("msg_ratelimit")
        });
        match refused {
            Some(code) => Verdict::Refuse { code: code.to_owned(), text: notice(code, spoken, &room.modes) },
            None => {
                if self.duplicates || self.channel_gap_ms > 0 || room.modes.slow_seconds > 0 {
                    room.remember(spoken.login, LastSaid { text: spoken.text.to_owned(), at: now });
                }
                Verdict::Accept
            }
        }
    }

    fn room_modes(
        &self,
        room: &Room,
        spoken: Spoken<'_>,
        subscriber: bool,
        follower: bool,
        now: Instant,
    ) -> Option<&'static str> {
        let modes = &room.modes;
        if modes.subs_only && !subscriber {
            return Some("msg_subsonly");
        }
        if modes.followers_only_minutes >= 0 && !follower && !subscriber {
            let any = modes.followers_only_minutes == 0;
            return Some(if any { "msg_followersonly_zero" } else { "msg_followersonly" });
        }
        if modes.emote_only && !emotes::only(spoken.text) {
            return Some("msg_emoteonly");
        }
        let last = room.last_said(spoken.login)?;
        let since = now.saturating_duration_since(last.at);
        if since < Duration::from_secs(modes.slow_seconds) {
            return Some("msg_slowmode");
        }
        if since < Duration::from_millis(self.channel_gap_ms) {
            return Some("msg_ratelimit");
        }
        (self.duplicates && since < DUPLICATE && last.text == spoken.text).then_some("msg_duplicate")
    }
}

// === impl Window ===

impl Window {
    fn admit(&mut self, now: Instant, (limit, span): (usize, Duration)) -> bool {
        self.forget_before(now, span);
        let fits = self.0.len() < limit;
        if fits {
            self.0.push_back(now);
        }
        fits
    }

    fn forget_before(&mut self, now: Instant, span: Duration) {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= span) {
            self.0.pop_front();
        }
    }
}

impl Account {
    /// Whether nothing of it counts any more.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        self.joins.forget_before(now, JOINS.1);
        self.logins.forget_before(now, LOGINS.1);
        self.messages.forget_before(now, MESSAGES.1);
        self.joins.0.is_empty() && self.logins.0.is_empty() && self.messages.0.is_empty()
    }
}

/// The chat commands left IRC in 2023: what begins like one is never said. `/me` is not one of them.
fn is_command(text: &str) -> bool {
    let mut characters = text.chars();
    matches!(characters.next(), Some('/' | '.'))
        && characters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && as_action(text).is_none()
}

/// The text of a `/me`.
pub(super) fn as_action(text: &str) -> Option<&str> {
    text.strip_prefix("/me ").or_else(|| text.strip_prefix(".me "))
}

/// What the NOTICE of a `msg-id` says. Texts as in Twitch's list of NOTICE ids; a code of the tester's
/// own gets a text that names it.
pub(super) fn notice(code: &str, spoken: Spoken<'_>, modes: &super::room::Modes) -> String {
    let channel = spoken.channel;
    match code {
        "msg_banned" => format!("You are permanently banned from talking in {channel}."),
        "msg_timedout" => "You are timed out for a while.".to_owned(),
        "msg_channel_suspended" => "This channel does not exist or has been suspended.".to_owned(),
        "msg_duplicate" => "Your message was not sent because it is identical to the previous one you sent, \
                            less than 30 seconds ago."
            .to_owned(),
        "msg_ratelimit" => {
            "Your message was not sent because you are sending messages too quickly.".to_owned()
        }
        "msg_slowmode" => format!(
            "This room is in slow mode and you are sending messages too quickly. You will be able to talk \
             again in {} seconds.",
            modes.slow_seconds
        ),
        "msg_followersonly" => format!(
            "This room is in {} minutes followers-only mode. Follow {channel} to join the community!",
            modes.followers_only_minutes
        ),
        "msg_followersonly_zero" => {
            format!("This room is in followers-only mode. Follow {channel} to join the community!")
        }
        "msg_subsonly" => format!(
            "This room is in subscribers only mode. To talk, purchase a channel subscription at \
             https://www.twitch.tv/products/{channel}/ticket?ref=subscriber_only_mode_chat"
        ),
        "msg_emoteonly" => "This room is in emote only mode.".to_owned(),
        "msg_r9k" => {
            "This room is in unique-chat mode and the message you attempted to send is not unique.".to_owned()
        }
        "msg_rejected" | "msg_rejected_mandatory" => {
            "Your message wasn't posted due to conflicts with the channel's moderation settings.".to_owned()
        }
        "msg_verified_email" | "msg_requires_verified_phone_number" => {
            "This room requires a verified account to chat.".to_owned()
        }
        "msg_suspended" => "You don't have permission to perform that action.".to_owned(),
        "unrecognized_cmd" => {
            format!("Unrecognized command: {}", spoken.text.split(' ').next().unwrap_or_default())
        }
        other => format!("Your message was refused ({other})."),
    }
}

#[cfg(test)]
mod tests;
