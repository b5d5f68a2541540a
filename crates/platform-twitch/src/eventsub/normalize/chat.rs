//! A chat message, written as the IRC line of the same message would be.

use std::borrow::Cow;

use chatbus_connector::Inbound;
use chatbus_event::{ChatContent, Content, Emote, MessageId, Timestamp, Value};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Normalizer, Person, Subject, channel_of, raw};
use crate::eventsub::frames::Notification;
use crate::irc::ctcp;
use crate::normalize::{CHAT_TYPE, is_color};

/// What a `message_type` is called in IRC's `msg-id`.
const MSG_IDS: [(&str, &str); 5] = [
    ("channel_points_highlighted", "highlighted-message"),
    ("channel_points_sub_only", "skip-subs-mode-message"),
    ("power_ups_gigantified_emote", "gigantified-emote-message"),
    ("power_ups_message_effect", "animated-message"),
    ("user_intro", "user-intro"),
];

/// The event of `channel.chat.message`.
#[derive(Debug, Deserialize)]
pub(super) struct Chat<'a> {
    #[serde(borrow)]
    broadcaster_user_id: Cow<'a, str>,
    #[serde(borrow)]
    broadcaster_user_login: Cow<'a, str>,
    #[serde(borrow)]
    chatter_user_id: Cow<'a, str>,
    #[serde(borrow)]
    chatter_user_login: Cow<'a, str>,
    #[serde(borrow, default)]
    chatter_user_name: Option<Text<'a>>,
    #[serde(borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    message: Said<'a>,
    #[serde(borrow, default)]
    color: Option<Text<'a>>,
    #[serde(borrow, default)]
    badges: Option<Vec<Badge<'a>>>,
    #[serde(borrow, default)]
    message_type: Option<Text<'a>>,
    #[serde(default)]
    cheer: Option<Cheer>,
    #[serde(borrow, default)]
    reply: Option<Reply<'a>>,
    #[serde(borrow, default)]
    channel_points_custom_reward_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    source_broadcaster_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    source_message_id: Option<Text<'a>>,
}

/// A text that borrows where it can; as a field's type `Option<Cow<str>>` never does.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    fragments: Vec<Fragment<'a>>,
}

#[derive(Debug, Deserialize)]
struct Fragment<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    #[serde(borrow, default)]
    emote: Option<EmoteId<'a>>,
}

#[derive(Debug, Deserialize)]
struct EmoteId<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Badge<'a> {
    #[serde(borrow)]
    set_id: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Cheer {
    bits: i64,
}

#[derive(Debug, Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    parent_message_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    parent_message_body: Option<Text<'a>>,
    #[serde(borrow, default)]
    parent_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    parent_user_login: Option<Text<'a>>,
    #[serde(borrow, default)]
    parent_user_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    thread_message_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    thread_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    thread_user_login: Option<Text<'a>>,
    #[serde(borrow, default)]
    thread_user_name: Option<Text<'a>>,
}

// === impl Chat ===

impl<'a> Chat<'a> {
    /// Reads one; `None` when it lacks what every message has.
    pub(super) fn read(event: &'a RawValue) -> Option<Self> {
        let chat: Self = serde_json::from_str(event.get()).ok()?;
        let has_names = !chat.message_id.is_empty() && !chat.broadcaster_user_login.is_empty();
        has_names.then_some(chat)
    }
}

// === impl Normalizer ===

impl Normalizer {
    pub(super) fn chat(
        &mut self,
        chat: &Chat<'_>,
        told: &Notification<'_>,
        received_at: Timestamp,
    ) -> Inbound {
        let (text, is_action) = ctcp::action(&chat.message.text);
        let before = if is_action { chars_before(&chat.message.text, text) } else { 0 };
        let (emotes, bad_emotes) = emotes(&chat.message.fragments, before, text);
        self.oddities.bad_emotes += bad_emotes;
        let badges: Vec<&str> = chat
            .badges
            .iter()
            .flatten()
            .map(|badge| &*badge.set_id)
            .filter(|name| !name.is_empty())
            .collect();
        let has = |name: &str| badges.contains(&name);
        let reply = chat.reply.as_ref().map(Reply::members).unwrap_or_default();
        let mut extra = chat.extra();
        let truths = [
            ("emoteOnly", is_emote_only(&chat.message.fragments)),
            ("isAction", is_action),
            ("isBroadcaster", has("broadcaster")),
            ("isVip", has("vip")),
        ];
        extra.extend(truths.into_iter().filter(|(_, is)| *is).map(|(key, is)| (key, Value::Bool(is))));
        if !reply.is_empty() {
            extra.push(("reply", Value::Object(&reply)));
        }
        let channel = channel_of(&chat.broadcaster_user_login);
        let known_by = of(&chat.source_message_id).unwrap_or(&chat.message_id);
        let subject = Subject {
            message_id: MessageId::new(&["twitch:", known_by].concat()),
            channel: channel.as_deref(),
            room_id: Some(&chat.broadcaster_user_id),
            user: Person {
                id: Some(&chat.chatter_user_id),
                login: Some(&chat.chatter_user_login),
                name: of(&chat.chatter_user_name),
            },
            received_at,
        };
        let event = raw(told.event);
        let content = ChatContent {
            message_id: &chat.message_id,
            text,
            color: of(&chat.color).filter(|color| is_color(color)),
            is_mod: has("moderator"),
            is_subscriber: has("subscriber") || has("founder"),
            badges: &badges,
            emotes: &emotes,
            extra: &extra,
            tags: &[],
            raw: &[("event", Value::Json(&event))],
            sent_at: told.sent_at,
        };
        self.finish(&subject, CHAT_TYPE, Content::Chat(content))
    }
}

impl Chat<'_> {
    /// What not every message has, in the order in which the IRC line's event has it.
    fn extra(&self) -> Vec<(&'static str, Value<'_>)> {
        let mut members = Vec::with_capacity(8);
        members.extend(self.cheer.as_ref().map(|cheer| ("bits", Value::Number(cheer.bits))));
        let kind = of(&self.message_type).unwrap_or_default();
        let msg_id = MSG_IDS.iter().find(|(name, _)| *name == kind).map(|(_, msg_id)| *msg_id);
        for (key, text) in [
            ("customRewardId", of(&self.channel_points_custom_reward_id)),
            ("msgId", msg_id),
            ("sourceRoomId", of(&self.source_broadcaster_user_id)),
            ("sourceMessageId", of(&self.source_message_id)),
        ] {
            members.extend(text.map(|text| (key, Value::Text(text))));
        }
        members
    }
}

// === impl Reply ===

impl Reply<'_> {
    fn members(&self) -> Vec<(&'static str, Value<'_>)> {
        [
            ("parentMessageId", &self.parent_message_id),
            ("parentUserId", &self.parent_user_id),
            ("parentUserLogin", &self.parent_user_login),
            ("parentDisplayName", &self.parent_user_name),
            ("parentText", &self.parent_message_body),
            ("threadMessageId", &self.thread_message_id),
            ("threadUserId", &self.thread_user_id),
            ("threadUserLogin", &self.thread_user_login),
            ("threadDisplayName", &self.thread_user_name),
        ]
        .into_iter()
        .filter_map(|(key, text)| Some((key, Value::Text(of(text)?))))
        .collect()
    }
}

fn of<'a>(text: &'a Option<Text<'_>>) -> Option<&'a str> {
    text.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty())
}

/// How many code points stand before `inner`, which is a part of `whole`.
fn chars_before(whole: &str, inner: &str) -> usize {
    whole.find(inner).and_then(|at| whole.get(..at)).map_or(0, |before| before.chars().count())
}

/// Where emotes stand in the text, from the fragments that make it up, and how many do not fit it. `before`
/// code points of the first fragments are not in the text.
fn emotes<'a>(fragments: &'a [Fragment<'_>], before: usize, text: &str) -> (Vec<Emote<'a>>, u64) {
    let mut emotes = Vec::new();
    let mut bad = 0;
    if fragments.iter().all(|fragment| fragment.emote.is_none()) {
        return (emotes, bad);
    }
    let length = text.chars().count();
    let mut at = 0;
    for fragment in fragments {
        let here = fragment.text.chars().count();
        if let Some(emote) = &fragment.emote {
            match place(at, here, before, length).filter(|_| !emote.id.is_empty()) {
                Some((start, end)) => emotes.push(Emote { id: &emote.id, start, end }),
                None => bad += 1,
            }
        }
        at += here;
    }
    (emotes, bad)
}

fn place(at: usize, here: usize, before: usize, length: usize) -> Option<(u32, u32)> {
    let start = at.checked_sub(before)?;
    let end = (start + here).checked_sub(1).filter(|end| *end >= start && *end < length)?;
    Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?))
}

fn is_emote_only(fragments: &[Fragment<'_>]) -> bool {
    let has_emote = fragments.iter().any(|fragment| fragment.emote.is_some());
    has_emote && fragments.iter().all(|fragment| fragment.emote.is_some() || fragment.text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fragment<'a>(text: &'a str, emote: Option<&'a str>) -> Fragment<'a> {
        Fragment { text: text.into(), emote: emote.map(|id| EmoteId { id: id.into() }) }
    }

    fn places(fragments: &[Fragment<'_>], before: usize, text: &str) -> (Vec<(u32, u32)>, u64) {
        let (emotes, bad) = emotes(fragments, before, text);
        (emotes.iter().map(|emote| (emote.start, emote.end)).collect(), bad)
    }

    #[test]
    fn positions_count_code_points_of_what_stands_before() {
        let of = [
            fragment("👉 ", None),
            fragment("<3", Some("9")),
            fragment(" ", None),
            fragment("Kappa", Some("25")),
        ];
        assert_eq!(places(&of, 0, "👉 <3 Kappa"), (vec![(2, 3), (5, 9)], 0));
        assert!(!is_emote_only(&of) && is_emote_only(&of[1..]));
    }

    #[test]
    fn an_actions_wrapper_does_not_count() {
        let whole = "\u{1}ACTION waves Kappa\u{1}";
        let of =
            [fragment("\u{1}ACTION waves ", None), fragment("Kappa", Some("25")), fragment("\u{1}", None)];
        let (text, _) = ctcp::action(whole);
        assert_eq!(places(&of, chars_before(whole, text), text), (vec![(6, 10)], 0));
    }

    #[test]
    fn fragments_that_do_not_make_up_the_text_are_left_out_and_counted() {
        for (fragments, text) in [
            (vec![fragment("Kappa", Some("25"))], "Kap"),
            (vec![fragment("", Some("25"))], "Kappa"),
            (vec![fragment("Kappa", Some(""))], "Kappa"),
        ] {
            assert_eq!(places(&fragments, 0, text), (vec![], 1), "{fragments:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_fragments_are_every_emote_is_inside_the_text(
            parts in proptest::collection::vec((".{0,4}", proptest::bool::ANY), 0..6),
            before in 0_usize..6,
            text in ".{0,12}",
        ) {
            let fragments: Vec<_> =
                parts.iter().map(|(text, is_emote)| fragment(text, is_emote.then_some("1"))).collect();
            for emote in emotes(&fragments, before, &text).0 {
                prop_assert!(emote.start <= emote.end && (emote.end as usize) < text.chars().count());
            }
        }
    }
}
