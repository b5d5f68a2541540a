//! A message of a room as the event `channel.chat.message`: the same id, text, colour and badges that IRC tells
//! in tags, with the text taken apart into fragments.

use serde_json::{Value, json};

use crate::twitch_api::people::People;
use crate::twitch_irc::{InRoom, user_id};

const ACTION: (&str, &str) = ("\u{1}ACTION ", "\u{1}");

/// The event.
pub(in crate::twitch_api) fn event(said: &InRoom<'_>, people: &People) -> Value {
    let tag = |name: &str| said.tags.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let bits: Option<u64> = tag("bits").and_then(|bits| bits.parse().ok());
    let reward = tag("custom-reward-id");
    let kind = match tag("msg-id") {
        Some("highlighted-message") => "channel_points_highlighted",
        Some("skip-subs-mode-message") => "channel_points_sub_only",
        Some("user-intro") => "user_intro",
        Some("animated-message") => "power_ups_message_effect",
        Some("gigantified-emote-message") => "power_ups_gigantified_emote",
        _ => "text",
    };
    json!({
        "broadcaster_user_id": tag("room-id").map_or_else(|| user_id(said.channel).to_string(), str::to_owned),
        "broadcaster_user_login": said.channel,
        "broadcaster_user_name": people.shown(said.channel),
        "chatter_user_id": tag("user-id").map_or_else(|| user_id(said.login).to_string(), str::to_owned),
        "chatter_user_login": said.login,
        "chatter_user_name": tag("display-name").map_or_else(|| people.shown(said.login), str::to_owned),
        "message_id": tag("id").unwrap_or_default(),
        "message": {
            "text": said.text,
            "fragments": fragments(said.text, tag("emotes").unwrap_or_default(), bits.is_some(), people),
        },
        "message_type": kind,
        "color": tag("color").unwrap_or_default(),
        "badges": badges(tag("badges"), tag("badge-info")),
        "cheer": bits.map(|bits| json!({ "bits": bits })),
        "reply": reply(&tag),
        "channel_points_custom_reward_id": reward,
        "channel_points_animation_id": Value::Null,
        "source_broadcaster_user_id": tag("source-room-id"),
        "source_broadcaster_user_login": tag("source-room-id").and_then(|id| people.login_of(id)),
        "source_broadcaster_user_name":
            tag("source-room-id").and_then(|id| people.login_of(id)).map(|login| people.shown(login)),
        "source_message_id": tag("source-id"),
        "source_badges": tag("source-room-id").map(|_| badges(tag("source-badges"), tag("source-badge-info"))),
        "is_source_only": Value::Null,
    })
}

fn reply<'a>(tag: &impl Fn(&str) -> Option<&'a str>) -> Value {
    let Some(parent) = tag("reply-parent-msg-id") else { return Value::Null };
    let thread = tag("reply-thread-parent-msg-id").unwrap_or(parent);
    json!({
        "parent_message_id": parent,
        "parent_message_body": tag("reply-parent-msg-body").unwrap_or_default(),
        "parent_user_id": tag("reply-parent-user-id").unwrap_or_default(),
        "parent_user_login": tag("reply-parent-user-login").unwrap_or_default(),
        "parent_user_name": tag("reply-parent-display-name").unwrap_or_default(),
        "thread_message_id": thread,
        "thread_user_id": tag("reply-thread-parent-user-id").unwrap_or_default(),
        "thread_user_login": tag("reply-thread-parent-user-login").unwrap_or_default(),
        "thread_user_name": tag("reply-thread-parent-display-name").unwrap_or_default(),
    })
}

/// `subscriber/12` with `subscriber/16` of the info.
fn badges(badges: Option<&str>, infos: Option<&str>) -> Vec<Value> {
    let pairs = |text: Option<&str>| -> Vec<(String, String)> {
        let pairs = text.unwrap_or_default().split(',').filter_map(|badge| badge.split_once('/'));
        pairs.map(|(set, id)| (set.to_owned(), id.to_owned())).collect()
    };
    let infos = pairs(infos);
    let badge = |(set, id): (String, String)| {
        let info = infos.iter().find(|(of, _)| *of == set).map_or("", |(_, info)| info.as_str());
        json!({ "set_id": set, "id": id, "info": info })
    };
    pairs(badges).into_iter().map(badge).collect()
}

/// The text in pieces: emotes where the tag has them, names of known accounts after an `@`, cheers if it is one,
/// and text between. Together they are the text again.
fn fragments(text: &str, emotes: &str, cheers: bool, people: &People) -> Vec<Value> {
    let action = text.strip_prefix(ACTION.0).map(|inner| inner.strip_suffix(ACTION.1).unwrap_or(inner));
    // The tag counts without what makes it an ACTION.
    let (before, inner) = action.map_or(("", text), |inner| (ACTION.0, inner));
    let after = text.get(before.len() + inner.len()..).unwrap_or_default();
    let ranges = emote_ranges(emotes);
    let mut pieces = Pieces { plain: before.to_owned(), done: Vec::new() };
    let mut at = 0;
    for word in inner.split_inclusive(' ') {
        let bare = word.trim_end_matches(' ');
        let chars = bare.chars().count();
        if let Some((_, _, id)) =
            ranges.iter().find(|(first, last, _)| *first == at && *last + 1 == at + chars)
        {
            pieces.put("emote", bare, "emote", emote(id));
        } else if let Some(login) =
            bare.strip_prefix('@').map(str::to_ascii_lowercase).filter(|l| people.knows(l))
        {
            let mention = json!({
                "user_id": user_id(&login).to_string(), "user_login": login, "user_name": people.shown(&login),
            });
            pieces.put("mention", bare, "mention", mention);
        } else if let Some(cheer) = cheer(bare).filter(|_| cheers) {
            pieces.put("cheermote", bare, "cheermote", cheer);
        } else {
            pieces.plain.push_str(bare);
        }
        pieces.plain.push_str(word.get(bare.len()..).unwrap_or_default());
        at += word.chars().count();
    }
    pieces.plain.push_str(after);
    pieces.end();
    pieces.done
}

/// Pieces so far, and the text that is none yet.
struct Pieces {
    plain: String,
    done: Vec<Value>,
}

// === impl Pieces ===

impl Pieces {
    fn end(&mut self) {
        if !self.plain.is_empty() {
            let text = std::mem::take(&mut self.plain);
            self.done.push(piece("text", &text));
        }
    }

    fn put(&mut self, kind: &str, text: &str, field: &str, value: Value) {
        self.end();
        let mut piece = piece(kind, text);
        piece[field] = value;
        self.done.push(piece);
    }
}

fn piece(kind: &str, text: &str) -> Value {
    json!({ "type": kind, "text": text, "cheermote": Value::Null, "emote": Value::Null, "mention": Value::Null })
}

fn emote(id: &str) -> Value {
    json!({ "id": id, "emote_set_id": "0", "owner_id": "0", "format": ["static"] })
}

/// `25:0-4,12-16/1902:6-10`.
fn emote_ranges(tag: &str) -> Vec<(usize, usize, String)> {
    let of = |emote: &str| {
        let (id, ranges) = emote.split_once(':')?;
        let range = |range: &str| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?, id.to_owned()))
        };
        Some(ranges.split(',').filter_map(range).collect::<Vec<_>>())
    };
    tag.split('/').filter_map(of).flatten().collect()
}

/// `Cheer100`.
fn cheer(word: &str) -> Option<Value> {
    let prefix = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let bits: u64 = word.get(prefix.len()..)?.parse().ok()?;
    if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_alphabetic()) || bits == 0 {
        return None;
    }
    let tier = [10_000, 5_000, 1_000, 100].into_iter().find(|tier| bits >= *tier).unwrap_or(1);
    Some(json!({ "prefix": prefix, "bits": bits, "tier": tier }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_emotes_names_cheers_and_text_and_together_the_text() {
        let mut people = People::new();
        people.see("ann");
        for (text, emotes, cheers, kinds) in [
            ("hello there", "", false, &[("text", "hello there")][..]),
            ("Kappa é  Keepo!", "25:0-4", false, &[("emote", "Kappa"), ("text", " é  Keepo!")]),
            (
                "é👋 Kappa Kappa",
                "25:3-7,9-13",
                false,
                &[("text", "é👋 "), ("emote", "Kappa"), ("text", " "), ("emote", "Kappa")],
            ),
            ("@Ann hi @nobody", "", false, &[("mention", "@Ann"), ("text", " hi @nobody")]),
            ("Cheer100 a1", "", true, &[("cheermote", "Cheer100"), ("text", " "), ("cheermote", "a1")]),
            ("Cheer100", "", false, &[("text", "Cheer100")]),
            (
                "\u{1}ACTION Kappa waves\u{1}",
                "25:0-4",
                false,
                &[("text", "\u{1}ACTION "), ("emote", "Kappa"), ("text", " waves\u{1}")],
            ),
            ("", "", false, &[]),
        ] {
            let found = fragments(text, emotes, cheers, &people);
            let shown: Vec<_> =
                found.iter().map(|f| (f["type"].as_str().unwrap(), f["text"].as_str().unwrap())).collect();
            assert_eq!(shown, kinds, "{text:?}");
            assert_eq!(shown.iter().map(|(_, text)| *text).collect::<String>(), text);
        }
    }

    #[test]
    fn a_badge_has_the_info_of_its_set() {
        let found = badges(Some("moderator/1,subscriber/12"), Some("subscriber/16"));
        assert_eq!(found[0], json!({ "set_id": "moderator", "id": "1", "info": "" }));
        assert_eq!(found[1], json!({ "set_id": "subscriber", "id": "12", "info": "16" }));
        assert!(badges(None, None).is_empty());
    }

    #[test]
    fn a_cheer_has_its_tier() {
        assert_eq!(cheer("Cheer1000").unwrap()["tier"], 1_000);
        assert_eq!(cheer("Cheer99").unwrap()["tier"], 1);
        for no in ["Cheer", "100", "Cheer0", "a-1", ""] {
            assert_eq!(cheer(no), None, "{no}");
        }
    }
}
