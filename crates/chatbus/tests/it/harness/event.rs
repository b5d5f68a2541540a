//! Looking into records.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// How often each id is there, and in which order they first came.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    pub(crate) order: Vec<String>,
    pub(crate) counts: BTreeMap<String, usize>,
}

// === impl Ids ===

impl Ids {
    /// The platform's message ids of chat in these records.
    pub(crate) fn of_chat(records: &[Value]) -> Self {
        Self::of(records.iter().filter_map(|record| record["event"]["message"]["id"].as_str()))
    }

    pub(crate) fn of<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for id in ids {
            *all.counts.entry(id.to_owned()).or_default() += 1;
            all.order.push(id.to_owned());
        }
        all
    }

    /// What is not as it should be: each of these once, in this order.
    pub(crate) fn compare(&self, wanted: &[String]) -> Result<(), String> {
        let missing: Vec<_> = wanted.iter().filter(|id| !self.counts.contains_key(*id)).collect();
        let twice: Vec<_> = wanted.iter().filter(|id| self.counts.get(*id).is_some_and(|n| *n > 1)).collect();
        if !missing.is_empty() || !twice.is_empty() {
            return Err(format!(
                "of {} are {} missing, such as {:?}, and {} repeated, such as {:?}",
                wanted.len(),
                missing.len(),
                missing.first(),
                twice.len(),
                twice.first()
            ));
        }
        let places: BTreeMap<_, _> = wanted.iter().enumerate().map(|(at, id)| (id, at)).collect();
        let places: Vec<_> = self.order.iter().filter_map(|id| places.get(id)).collect();
        if places.is_sorted() { Ok(()) } else { Err("the order differs".to_owned()) }
    }
}

/// An event that asks for a text to be said in a channel, in the flat shape.
pub(crate) fn chat_event(id: &str, channel: &str, text: &str) -> Value {
    json!({
        "v": "1", "id": id, "correlationId": id, "traceId": "0af7651916cd43dd8448eb211c80319c",
        "timestamp": "2025-11-21T17:02:00.000Z", "type": "chat.message.v1", "source": "ingress.twitch",
        "channel": channel, "userId": "1337", "egress": { "type": "chat" }, "routingSlip": [],
        "message": { "id": id, "role": "user", "text": "what the user said" },
        "annotations": [],
        "candidates": [{ "id": "c1", "kind": "text", "source": "test", "createdAt": "2025-11-21T17:02:00.000Z",
                         "status": "proposed", "priority": 10, "text": text }],
    })
}
