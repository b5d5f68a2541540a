//! Which personalities an event asks for, and in which order. Pure.

use std::cmp::Ordering;

use chatbus_event::json::Raw;
use chatbus_event::{Event, Timestamp};

/// One annotation that asks for a personality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The text itself.
    Inline(String),
    /// One to look up by name.
    Named(String),
}

struct Ranked {
    wish: Wish,
    score: Option<f64>,
    created_at: Option<Timestamp>,
    id: String,
}

// === impl Wish ===

impl Wish {
    /// All of an event: by score ascending, those without one last, then by creation, then by id.
    pub(crate) fn all(event: &Event) -> Vec<Self> {
        let annotations = event.member("annotations").and_then(|raw| raw.as_array()).unwrap_or_default();
        let mut ranked: Vec<Ranked> = annotations.iter().filter_map(Ranked::read).collect();
        ranked.sort_by(Ranked::order);
        ranked.into_iter().map(|ranked| ranked.wish).collect()
    }
}

// === impl Ranked ===

impl Ranked {
    /// Inline text, else the payload's name, else the short form.
    fn read(annotation: &Raw) -> Option<Self> {
        let [kind, id, created_at, score, value, payload] = annotation
            .is_object()
            .then(|| annotation.pick(["kind", "id", "createdAt", "score", "value", "payload"]))?;
        if text(kind.as_ref()).as_deref() != Some("personality") {
            return None;
        }
        let [inline, name] =
            payload.filter(Raw::is_object).map(|payload| payload.pick(["text", "name"])).unwrap_or_default();
        let wish = match text(inline.as_ref()) {
            Some(inline) => Wish::Inline(inline),
            None => Wish::Named(text(name.as_ref()).or_else(|| text(value.as_ref()))?),
        };
        Some(Self {
            wish,
            score: score.and_then(|score| score.as_f64()).filter(|score| score.is_finite()),
            created_at: text(created_at.as_ref()).and_then(|at| Timestamp::parse(&at)),
            id: text(id.as_ref()).unwrap_or_default(),
        })
    }

    fn order(a: &Self, b: &Self) -> Ordering {
        let score = |ranked: &Self| ranked.score.unwrap_or(f64::INFINITY);
        let created = |ranked: &Self| ranked.created_at.map_or(i64::MAX, Timestamp::as_millis);
        score(a).total_cmp(&score(b)).then_with(|| created(a).cmp(&created(b))).then_with(|| a.id.cmp(&b.id))
    }
}

/// The text this is, trimmed, unless nothing is left of it.
fn text(raw: Option<&Raw>) -> Option<String> {
    let text = raw?.as_str()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(annotations: &str) -> Vec<Wish> {
        let event = format!(r#"{{"type":"t","annotations":{annotations}}}"#);
        Wish::all(&Event::decode(&event.into_bytes().into()).unwrap())
    }

    fn named(name: &str) -> Wish {
        Wish::Named(name.to_owned())
    }

    #[test]
    fn without_annotations_there_are_none() {
        for none in ["[]", "null", r#"[{"kind":"prompt","value":"x"},7,{"kind":"personality"}]"#] {
            assert!(wishes(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn inline_text_goes_before_the_payloads_name_and_that_before_the_short_form() {
        assert_eq!(
            wishes(r#"[{"kind":"personality","value":"c","payload":{"name":"b","text":" a "}}]"#),
            [Wish::Inline("a".into())]
        );
        assert_eq!(
            wishes(r#"[{"kind":"personality","value":"c","payload":{"name":"b","text":" "}}]"#),
            [named("b")]
        );
        assert_eq!(wishes(r#"[{"kind":"personality","value":"the_bot"}]"#), [named("the_bot")]);
    }

    #[test]
    fn they_are_sorted_by_score_then_creation_then_id() {
        let order = wishes(
            r#"[
              {"kind":"personality","value":"no-score","createdAt":"2025-01-01T00:00:00Z"},
              {"kind":"personality","value":"two-b","score":2,"createdAt":"2025-01-02T00:00:00Z","id":"b"},
              {"kind":"personality","value":"two-a","score":2,"createdAt":"2025-01-02T00:00:00Z","id":"a"},
              {"kind":"personality","value":"two-early","score":2,"createdAt":"2025-01-01T00:00:00Z","id":"z"},
              {"kind":"personality","value":"one","score":1.5}]"#,
        );
        let expected = ["one", "two-early", "two-a", "two-b", "no-score"].map(named);
        assert_eq!(order, expected);
    }
}
