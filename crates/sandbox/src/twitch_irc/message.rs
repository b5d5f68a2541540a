//! A chat message as the server tells it to the others in a channel: tags, and the line itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use chatbus_event::Timestamp;

use super::names;
use super::replies::{badge_info, user_type};
use super::room::Standing;
use super::wire::escape;

/// Messages that can be replied to; older ones are forgotten.
const MAX_RECENT: usize = 10_000;

/// Tags by name; a line has them in order of name, as Twitch does.
pub(super) type Tags = BTreeMap<Cow<'static, str>, String>;

/// A message.
#[derive(Debug)]
pub(super) struct ChatLine<'a> {
    pub(super) login: &'a str,
    pub(super) channel: &'a str,
    pub(super) text: Cow<'a, str>,
    pub(super) tags: Tags,
}

/// The newest messages by id, for replies.
#[derive(Debug, Default)]
pub(super) struct Recent {
    order: VecDeque<String>,
    by_id: HashMap<String, Parent>,
}

/// What a reply tells about the message it answers.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) login: String,
    pub(super) text: String,
    /// The message that began the thread, and who wrote it.
    pub(super) thread: (String, String),
}

// === impl ChatLine ===

impl<'a> ChatLine<'a> {
    /// The message with the tags that every message has.
    pub(super) fn new(
        login: &'a str,
        channel: &'a str,
        text: Cow<'a, str>,
        id: &str,
        standing: Standing,
        at: Timestamp,
    ) -> Self {
        let fixed = [
            ("badge-info", badge_info(standing).to_owned()),
            ("badges", standing.badges()),
            ("color", names::color(login).to_owned()),
            ("display-name", names::display_name(login)),
            ("emotes", super::emotes::tag(without_action(&text))),
            ("first-msg", "0".to_owned()),
            ("flags", String::new()),
            ("id", id.to_owned()),
            ("mod", u8::from(standing.moderator && !standing.broadcaster).to_string()),
            ("returning-chatter", "0".to_owned()),
            ("room-id", names::user_id(channel).to_string()),
            ("subscriber", u8::from(standing.subscriber).to_string()),
            ("tmi-sent-ts", at.as_millis().to_string()),
            ("turbo", "0".to_owned()),
            ("user-id", names::user_id(login).to_string()),
            ("user-type", user_type(standing).to_owned()),
        ];
        let tags = fixed.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect();
        Self { login, channel, text, tags }
    }

    /// Makes it a reply: the `reply-*` tags, and the text begins with whom it answers.
    pub(super) fn reply_to(&mut self, id: &str, parent: &Parent) {
        let fixed = [
            ("reply-parent-display-name", names::display_name(&parent.login)),
            ("reply-parent-msg-body", parent.text.clone()),
            ("reply-parent-msg-id", id.to_owned()),
            ("reply-parent-user-id", names::user_id(&parent.login).to_string()),
            ("reply-parent-user-login", parent.login.clone()),
            ("reply-thread-parent-display-name", names::display_name(&parent.thread.1)),
            ("reply-thread-parent-msg-id", parent.thread.0.clone()),
            ("reply-thread-parent-user-id", names::user_id(&parent.thread.1).to_string()),
            ("reply-thread-parent-user-login", parent.thread.1.clone()),
        ];
        self.tags.extend(fixed.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)));
        self.text = Cow::Owned(format!("@{} {}", names::display_name(&parent.login), self.text));
        self.tags.insert(Cow::Borrowed("emotes"), super::emotes::tag(&self.text));
    }

    /// The line, with CRLF.
    pub(super) fn render(&self, with_tags: bool) -> Bytes {
        let mut out = String::with_capacity(512 + self.text.len());
        if with_tags {
            for (key, value) in &self.tags {
                out.push(if out.is_empty() { '@' } else { ';' });
                out.push_str(key);
                out.push('=');
                escape(value, &mut out);
            }
            out.push(' ');
        }
        let login = self.login;
        out.push_str(&format!(":{login}!{login}@{login}.tmi.twitch.tv PRIVMSG #{} :", self.channel));
        out.push_str(&self.text);
        out.push_str("\r\n");
        Bytes::from(out)
    }
}

// === impl Recent ===

impl Recent {
    pub(super) fn get(&self, id: &str) -> Option<&Parent> {
        self.by_id.get(id)
    }

    /// Remembers a message; `parent` is the one it answers.
    pub(super) fn add(&mut self, id: &str, login: &str, text: &str, parent: Option<&Parent>) {
        if self.order.len() >= MAX_RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
        let thread = parent.map_or_else(|| (id.to_owned(), login.to_owned()), |p| p.thread.clone());
        self.order.push_back(id.to_owned());
        let remembered = Parent { login: login.to_owned(), text: text.to_owned(), thread };
        self.by_id.insert(id.to_owned(), remembered);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn without_action(text: &str) -> &str {
    text.strip_prefix("\u{1}ACTION ").map_or(text, |text| text.trim_end_matches('\u{1}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> ChatLine<'_> {
        let at = Timestamp::from_millis(1_700_000_000_000);
        ChatLine::new("ronni", "hall", Cow::Borrowed(text), "the-id", Standing::default(), at)
    }

    #[test]
    fn a_line_has_its_tags_in_order_of_name() {
        let bytes = line("Kappa hi").render(true);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.starts_with("@badge-info=;badges=;color=#"), "{text}");
        assert!(text.contains(";emotes=25:0-4;first-msg=0;flags=;id=the-id;mod=0;"), "{text}");
        assert!(text.contains(";tmi-sent-ts=1700000000000;turbo=0;user-id="), "{text}");
        assert!(text.ends_with(" :ronni!ronni@ronni.tmi.twitch.tv PRIVMSG #hall :Kappa hi\r\n"), "{text}");
        let bare = line("hi").render(false);
        assert_eq!(bare, ":ronni!ronni@ronni.tmi.twitch.tv PRIVMSG #hall :hi\r\n");
    }

    #[test]
    fn a_reply_names_its_parent_and_its_thread() {
        let mut recent = Recent::default();
        recent.add("a", "ann", "first; of all", None);
        let first = recent.get("a").cloned();
        recent.add("b", "bob", "second", first.as_ref());
        let mut third = line("third");
        third.reply_to("b", recent.get("b").expect("b"));
        let bytes = third.render(true);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(text.contains("reply-parent-msg-id=b;"), "{text}");
        assert!(text.contains("reply-parent-user-login=bob;"), "{text}");
        assert!(text.contains("reply-thread-parent-msg-id=a;"), "{text}");
        assert!(text.ends_with(":@Bob third\r\n"), "{text}");
        let mut second = line("x");
        second.reply_to("a", recent.get("a").expect("a"));
        assert!(second.tags["reply-parent-msg-body"] == "first; of all");
    }
}
