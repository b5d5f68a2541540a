//! What a rule adds to an event. All that is made up here, ids and times, comes from the input: a redelivery
//! makes the same bytes.

use chatbus_event::json::Raw;
use chatbus_event::{Event, sha256_hex};
use datalogic_rs::DataValue;
use serde_json::{Map, Value, json};

use crate::rule::{Part, Rule};
use crate::ruleset::RouteContext;

/// Adds what the rule adds; `data` is the event as it was. `choose` says which candidate, where one is picked.
pub(crate) fn apply(
    rule: &Rule,
    event: &mut Event,
    data: &DataValue<'_>,
    cx: &RouteContext<'_>,
    choose: impl FnOnce(&str, usize) -> usize,
) {
    let added = &rule.enrichments;
    let maker = Maker { rule, data, cx };
    if let Some(text) = &added.message {
        let text = text.render(data, &rule.metadata);
        let id = format!("rule-{}-message-{}", rule.id, maker.tag());
        // What the platform said stays: only the words are the rule's.
        let mut message = event.member("message").and_then(|raw| raw.as_object()).unwrap_or_default();
        for (name, value) in [("id", id.as_str()), ("role", "assistant"), ("text", &text)] {
            message.set(name, Raw::of(value));
        }
        event.set("message", message.to_raw());
    }
    let annotations = added.annotations.iter().enumerate().map(|(at, part)| maker.annotation(at, part));
    append(event, "annotations", &annotations.collect::<Vec<_>>());
    let candidates = &added.candidates;
    let picked = if added.random_candidate && candidates.len() > 1 {
        let at = choose(&rule.id, candidates.len()).min(candidates.len() - 1);
        candidates.get(at).map(|part| vec![maker.candidate(at, part)]).unwrap_or_default()
    } else {
        candidates.iter().enumerate().map(|(at, part)| maker.candidate(at, part)).collect()
    };
    append(event, "candidates", &picked);
    if added.destination.is_some() || added.kind.is_some() {
        let mut egress = event.member("egress").and_then(|raw| raw.as_object()).unwrap_or_default();
        if let Some(destination) = &added.destination {
            egress.set("destination", Raw::of(destination));
        }
        if let Some(kind) = added.kind {
            egress.set("type", Raw::of(kind.as_str()));
        }
        event.set("egress", egress.to_raw());
    }
}

fn append(event: &mut Event, name: &str, added: &[Value]) {
    if added.is_empty() {
        return;
    }
    let mut items = event.member(name).and_then(|raw| raw.as_array()).unwrap_or_default();
    items.extend(added.iter().map(Raw::of));
    event.set(name, Raw::of(&items));
}

struct Maker<'m> {
    rule: &'m Rule,
    data: &'m DataValue<'m>,
    cx: &'m RouteContext<'m>,
}

// === impl Maker ===

impl Maker<'_> {
    /// Tells what is made for one message from what is made for another.
    fn tag(&self) -> String {
        let mut tag = sha256_hex(self.cx.message_id.as_str().as_bytes());
        tag.truncate(12);
        tag
    }

    fn annotation(&self, at: usize, part: &Part) -> Value {
        let id = format!("rule-{}-ann-{}-{}", self.rule.id, at + 1, self.tag());
        self.fill(part, [("id", json!(id)), ("kind", json!("custom"))])
    }

    /// A candidate's id is its place in the rule, so that the one said last is known again.
    fn candidate(&self, at: usize, part: &Part) -> Value {
        let id = format!("rule-{}-cand-{}", self.rule.id, at + 1);
        let defaults = [
            ("id", json!(id)),
            ("kind", json!("text")),
            ("status", json!("proposed")),
            ("priority", json!(10)),
        ];
        self.fill(part, defaults)
    }

    fn fill<const N: usize>(&self, part: &Part, defaults: [(&str, Value); N]) -> Value {
        let mut made: Map<String, Value> =
            defaults.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        made.insert("source".to_owned(), json!(format!("rule:{}", self.rule.id)));
        made.insert("createdAt".to_owned(), json!(self.cx.now));
        let given = part.members.iter().filter(|(_, value)| !value.is_null());
        made.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        for (name, template) in &part.templates {
            made.insert((*name).to_owned(), json!(template.render(self.data, &self.rule.metadata)));
        }
        Value::Object(made)
    }
}
