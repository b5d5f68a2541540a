//! What an event asks to be said.

use std::cmp::Ordering;

use crate::event::{Event, is_blank};
use crate::json::Raw;
use crate::view::Candidate;

/// The candidate that would be said: not blank, not rejected, not superseded; of these the lowest
/// priority, then the highest confidence, then the earliest, then the first.
pub fn best_candidate(candidates: &[Candidate]) -> Option<&Candidate> {
    let usable = |c: &&Candidate| {
        let status = c.status.as_deref().unwrap_or_default();
        c.text.as_deref().is_some_and(|t| !is_blank(t)) && !matches!(status, "rejected" | "superseded")
    };
    candidates.iter().filter(usable).min_by(|a, b| order(a, b))
}

/// The text an event asks to be said, by the rules of contract section 5; `None` is `no_text`.
///
/// The user's own words are never said back because nothing else was there: payload text that
/// equals what a user's message says does not count.
pub fn egress_text(event: &Event) -> Option<String> {
    if let Some(text) = best_candidate(&event.candidates()).and_then(|c| c.text.clone()) {
        return Some(text);
    }
    let message = event.member("message").filter(Raw::is_object);
    let [role, text, raw] =
        message.map(|message| message.pick(["role", "text", "rawPlatformPayload"])).unwrap_or_default();
    let role = role.as_ref().and_then(Raw::as_str).unwrap_or_default();
    let said = text.as_ref().and_then(Raw::as_str);
    if matches!(&*role, "assistant" | "system")
        && let Some(text) = &said
        && !is_blank(text)
    {
        return Some(text.as_ref().to_owned());
    }
    let payload = event.payload()?;
    let own_words: Vec<String> = if role == "user" {
        let in_raw = |path: &[&str]| raw.as_ref().and_then(|raw| raw.at(path)).as_ref().and_then(string);
        let said = said.map(std::borrow::Cow::into_owned);
        [said, in_raw(&["text"]), in_raw(&["chat", "text"])].into_iter().flatten().collect()
    } else {
        Vec::new()
    };
    [&["chat", "text"][..], &["text"]]
        .iter()
        .filter_map(|path| payload.at(path).as_ref().and_then(string))
        .find(|text| !is_blank(text) && !own_words.iter().any(|own| own.trim() == text.trim()))
}

fn string(raw: &Raw) -> Option<String> {
    raw.as_str().map(std::borrow::Cow::into_owned)
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    let priority = |c: &Candidate| c.priority.unwrap_or(f64::INFINITY);
    let confidence = |c: &Candidate| c.confidence.unwrap_or(f64::NEG_INFINITY);
    let created = |c: &Candidate| c.created_at.map_or(i64::MAX, crate::Timestamp::as_millis);
    priority(a)
        .total_cmp(&priority(b))
        .then_with(|| confidence(b).total_cmp(&confidence(a)))
        .then_with(|| created(a).cmp(&created(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(json: &str) -> Option<String> {
        egress_text(&Event::decode(&bytes::Bytes::copy_from_slice(json.as_bytes())).unwrap())
    }

    #[test]
    fn each_rule_decides_in_its_turn() {
        let user = r#""message":{"role":"user","text":"hi","rawPlatformPayload":{"text":"hi there"}}"#;
        for (rest, expected) in [
            (r#""candidates":[{"text":"a"}]"#.to_owned(), Some("a")),
            (r#""candidates":[{"text":"b","priority":2},{"text":"a","priority":1}]"#.into(), Some("a")),
            (r#""candidates":[{"text":"b"},{"text":"a","priority":9}]"#.into(), Some("a")),
            (
                r#""candidates":[{"text":"b","priority":1,"confidence":0.2},{"text":"a","priority":1,"confidence":0.9}]"#
                    .into(),
                Some("a"),
            ),
            (
                r#""candidates":[{"text":"b","createdAt":"2025-01-02T00:00:00Z"},{"text":"a","createdAt":"2025-01-01T00:00:00Z"}]"#
                    .into(),
                Some("a"),
            ),
            (r#""candidates":[{"text":"x","status":"rejected","priority":0},{"text":"a","priority":5}]"#.into(), Some("a")),
            (r#""candidates":[{"text":"x","status":"superseded"},{"text":"  "}]"#.into(), None),
            (r#""message":{"role":"assistant","text":"a"},"payload":{"text":"b"}"#.into(), Some("a")),
            (r#""message":{"role":"system","text":"a"}"#.into(), Some("a")),
            (r#""message":{"role":"tool","text":"x"}"#.into(), None),
            (user.into(), None),
            (format!(r#"{user},"payload":{{"text":"hi"}}"#), None),
            (format!(r#"{user},"payload":{{"text":"hi there"}}"#), None),
            (format!(r#"{user},"payload":{{"chat":{{"text":"hi"}},"text":"a"}}"#), Some("a")),
            (format!(r#"{user},"payload":{{"chat":{{"text":"a"}},"text":"b"}}"#), Some("a")),
            (r#""payload":{"text":"a"}"#.into(), Some("a")),
            (r#""payload":{"text":" "}"#.into(), None),
            (r#""candidates":"odd","payload":"odd""#.into(), None),
        ] {
            assert_eq!(text_of(&format!(r#"{{"type":"t",{rest}}}"#)).as_deref(), expected, "{rest}");
        }
    }

    #[test]
    fn the_older_shapes_are_read_too() {
        let nested = r#"{"envelope":{"source":"ingress.twitch"},"type":"t","payload":{"chat":{"text":"a"}}}"#;
        assert_eq!(text_of(nested).as_deref(), Some("a"));
        let v1 = r#"{"source":{"platform":"twitch"},"type":"t","payload":{"text":"b","candidates":[{"text":"a"}]}}"#;
        assert_eq!(text_of(v1).as_deref(), Some("a"));
    }
}
