//! Everything that is no chat message, as an `externalEvent` of source `twitch.irc`.
//!
//! | line | kind |
//! |---|---|
//! | USERNOTICE | `usernotice.` and its `msg-id`: `usernotice.sub`, `usernotice.raid`, … |
//! | CLEARCHAT | `clearchat.clear`, `clearchat.timeout`, `clearchat.ban` |
//! | CLEARMSG | `clearmsg` |
//! | NOTICE | `notice.` and its `msg-id`, or `notice` |
//! | ROOMSTATE, USERSTATE, GLOBALUSERSTATE, HOSTTARGET, WHISPER, JOIN, PART | the command, lower case |
//! | any other command | `irc.` and the command, lower case: `irc.ping`, `irc.cap`, `irc.001`, … |
//! | no IRC message at all | `irc.unparsed` |
//!
//! `payload` has what we understand, `rawPayload` the tags and the whole line.

use std::borrow::Cow;

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{Content, ExternalContent, Timestamp, Value};

use super::identity::Identity;
use super::sender::Sender;
use super::tag_set::TagSet;
use super::{EXTERNAL_TYPE, Normalizer, Subject, badges, emotes, msg_params, raw_members};
use crate::irc::ctcp;
use crate::irc::grammar::{Malformed, Message};

pub(super) const SOURCE: &str = "twitch.irc";
pub(super) const VERSION: &str = "1";
/// A `msg-id` becomes part of a kind when it is at most this long and looks like one.
const MAX_CODE: usize = 64;

/// Commands that are part of any IRC session. They are events when nothing of ours asked for them,
/// and no surprise.
const PLUMBING: [&str; 5] = ["PING", "PONG", "CAP", "RECONNECT", "MODE"];

type Members<'a> = Vec<(&'static str, Value<'a>)>;

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn external(&mut self, message: &Message<'_>, subject: &Subject<'_>) -> Inbound {
        let tags = subject.tags;
        let (kind, is_known) = kind(message, tags);
        self.oddities.unknown_commands += u64::from(!is_known);
        let user = user(&subject.sender);
        let badges = badges::names(tags.get("badges").unwrap_or_default());
        let params = msg_params::members(tags);
        let target = target(message, tags);
        let text = text(message);
        let emotes = emotes_of(message, tags);
        let mut payload: Members<'_> = Vec::with_capacity(16);
        payload.extend(subject.channel.as_deref().map(|channel| ("channel", Value::Text(channel))));
        payload.extend(tags.get("room-id").map(|id| ("roomId", Value::Text(id))));
        for (key, members) in [("user", &user), ("target", &target), ("params", &params)] {
            if !members.is_empty() {
                payload.push((key, Value::Object(members)));
            }
        }
        if let Some((text, is_action)) = text {
            payload.push(("text", Value::Text(text)));
            payload.extend(is_action.then_some(("isAction", Value::Bool(true))));
        }
        if !badges.is_empty() {
            payload.push(("badges", Value::Texts(&badges)));
        }
        payload.extend(emotes.as_ref().map(|emotes| ("emotes", Value::Json(emotes))));
        payload.extend(fields(tags));
        if message.is("HOSTTARGET") {
            payload.extend(host(message));
        }
        let line = message.line();
        let raw = raw_members(Some(line), subject.base64.as_deref());
        let content = ExternalContent {
            id: &subject.identity.id,
            source: SOURCE,
            kind: &kind,
            version: VERSION,
            created_at: subject.sent_at.unwrap_or(subject.received_at),
            payload: &payload,
            tags: tags.pairs(),
            raw: &raw,
        };
        let is_self = self.is_own(&subject.sender);
        self.finish(subject, EXTERNAL_TYPE, is_self, Content::External(content))
    }

    pub(super) fn unparsed(
        &mut self,
        line: &str,
        base64: Option<&str>,
        why: Malformed,
        received_at: Timestamp,
    ) -> Inbound {
        let reason = why.to_string();
        let raw = raw_members(Some(line), base64);
        let identity = Identity::of_text(base64.unwrap_or(line));
        let content = ExternalContent {
            id: &identity.id.clone(),
            source: SOURCE,
            kind: "irc.unparsed",
            version: VERSION,
            created_at: received_at,
            payload: &[("reason", Value::Text(&reason))],
            tags: &[],
            raw: &raw,
        };
        let subject = Subject {
            tags: &TagSet::EMPTY,
            sender: Sender::default(),
            identity,
            channel: None,
            conversation: None,
            sent_at: None,
            received_at,
            base64: None,
        };
        self.finish(&subject, EXTERNAL_TYPE, false, Content::External(content))
    }
}

/// The kind, and whether the command is one we know.
fn kind<'a>(message: &Message<'_>, tags: &TagSet<'_>) -> (Cow<'a, str>, bool) {
    let with_code = |name: &'static str| match tags.get("msg-id").filter(|code| is_code(code)) {
        Some(code) => Cow::Owned(format!("{name}.{}", code.to_ascii_lowercase())),
        None => Cow::Borrowed(name),
    };
    let command = message.command().to_ascii_uppercase();
    let known = match command.as_str() {
        "USERNOTICE" => with_code("usernotice"),
        "NOTICE" => with_code("notice"),
        "CLEARCHAT" if message.param(1).is_none() => "clearchat.clear".into(),
        "CLEARCHAT" if tags.get("ban-duration").is_some() => "clearchat.timeout".into(),
        "CLEARCHAT" => "clearchat.ban".into(),
        "CLEARMSG" => "clearmsg".into(),
        "ROOMSTATE" => "roomstate".into(),
        "USERSTATE" => "userstate".into(),
        "GLOBALUSERSTATE" => "globaluserstate".into(),
        "HOSTTARGET" => "hosttarget".into(),
        "WHISPER" => "whisper".into(),
        "JOIN" => "join".into(),
        "PART" => "part".into(),
        other => {
            let is_known = PLUMBING.contains(&other) || other.bytes().all(|b| b.is_ascii_digit());
            let mut name = other.to_ascii_lowercase();
            name.truncate(MAX_CODE);
            return (Cow::Owned(format!("irc.{name}")), is_known);
        }
    };
    (known, true)
}

fn is_code(text: &str) -> bool {
    text.len() <= MAX_CODE && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn user<'a>(sender: &'a Sender<'_>) -> Members<'a> {
    if !sender.is_someone() {
        return Vec::new();
    }
    let part = |key, text: Option<&'a str>| (key, Value::Text(text.unwrap_or_default()));
    vec![part("id", sender.id), part("login", sender.login), part("displayName", sender.display_name())]
}

/// Whom or what a moderator's action hit, or whom a whisper is for.
fn target<'a>(message: &Message<'a>, tags: &'a TagSet<'_>) -> Members<'a> {
    let mut members: Members<'a> = Vec::new();
    if message.is("CLEARCHAT") {
        members.extend(message.param(1).map(|login| ("login", Value::Text(login))));
        members.extend(tags.get("target-user-id").map(|id| ("id", Value::Text(id))));
    }
    if message.is("WHISPER") {
        members.extend(message.param(0).map(|login| ("login", Value::Text(login))));
    }
    if message.is("CLEARMSG") {
        members.extend(tags.get("login").map(|login| ("login", Value::Text(login))));
        members.extend(tags.get("target-msg-id").map(|id| ("messageId", Value::Text(id))));
    }
    members
}

/// The text of a line that has one, without the wrapper of an action.
fn text<'a>(message: &Message<'a>) -> Option<(&'a str, bool)> {
    if ["CLEARCHAT", "HOSTTARGET", "JOIN", "PART"].iter().any(|command| message.is(command)) {
        return None;
    }
    message.param(1)?;
    // Positions of emotes in a USERNOTICE count the wrapper, so there it stays.
    let text = message.last_param()?;
    Some(if message.is("USERNOTICE") { (text, false) } else { ctcp::action(text) })
}

fn emotes_of(message: &Message<'_>, tags: &TagSet<'_>) -> Option<Raw> {
    let tag = tags.get("emotes")?;
    let (emotes, _) = emotes::parse(tag, text(message)?.0);
    let emotes: Vec<_> = emotes
        .iter()
        .map(|emote| serde_json::json!({ "id": emote.id, "start": emote.start, "end": emote.end }))
        .collect();
    (!emotes.is_empty()).then(|| Raw::of(&emotes))
}

/// Tags that mean the same wherever they stand.
fn fields<'a>(tags: &'a TagSet<'_>) -> Members<'a> {
    let mut members: Members<'a> = Vec::new();
    for (key, tag) in [
        ("msgId", "msg-id"),
        ("systemMessage", "system-msg"),
        ("color", "color"),
        ("banReason", "ban-reason"),
        ("language", "broadcaster-lang"),
        ("threadId", "thread-id"),
        ("whisperId", "message-id"),
        ("sourceRoomId", "source-room-id"),
        ("sourceMessageId", "source-id"),
        ("sourceMsgId", "source-msg-id"),
    ] {
        members.extend(tags.get(tag).map(|text| (key, Value::Text(text))));
    }
    for (key, tag) in [
        ("durationSeconds", "ban-duration"),
        ("slowSeconds", "slow"),
        // -1 is off, 0 is all followers.
        ("followersOnlyMinutes", "followers-only"),
    ] {
        members.extend(tags.number(tag).map(|number| (key, Value::Number(number))));
    }
    for (key, tag) in [
        ("isMod", "mod"),
        ("isSubscriber", "subscriber"),
        ("emoteOnly", "emote-only"),
        ("uniqueChat", "r9k"),
        ("subscribersOnly", "subs-only"),
    ] {
        members.extend(tags.get(tag).map(|_| (key, Value::Bool(tags.is_set(tag)))));
    }
    members
}

/// `HOSTTARGET #channel :hosted viewers`; `-` for nobody.
fn host<'a>(message: &Message<'a>) -> Members<'a> {
    let mut words = message.params().skip(1).flat_map(|param| param.split_ascii_whitespace());
    let hosted = words.next().filter(|name| *name != "-").map(|name| ("hosted", Value::Text(name)));
    let viewers = words.next().and_then(|n| n.parse().ok()).map(|n| ("viewerCount", Value::Number(n)));
    hosted.into_iter().chain(viewers).collect()
}
