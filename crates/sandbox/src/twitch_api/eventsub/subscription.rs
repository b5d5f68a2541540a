//! One subscription, as Twitch keeps and shows it.

use chatbus_event::Timestamp;
use serde_json::{Map, Value, json};

/// Where notifications go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::twitch_api) enum Transport {
    WebSocket {
        session: String,
    },
    Webhook {
        callback: String,
        /// Signs what is posted; never shown.
        secret: String,
    },
    Conduit {
        id: String,
    },
}

/// A subscription that is asked for.
#[derive(Debug, Clone)]
pub(in crate::twitch_api) struct NewSubscription {
    pub(in crate::twitch_api) kind: String,
    pub(in crate::twitch_api) version: String,
    pub(in crate::twitch_api) condition: Map<String, Value>,
    pub(in crate::twitch_api) transport: Transport,
}

/// What a subscription was told last.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) message_id: String,
    pub(super) at: Timestamp,
    pub(super) payload: Value,
}

/// A subscription.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) version: String,
    pub(super) condition: Map<String, Value>,
    pub(super) transport: Transport,
    pub(super) client_id: String,
    /// Whose token made it.
    pub(super) login: Option<String>,
    pub(super) cost: u64,
    /// `enabled`, or why not.
    pub(super) status: String,
    pub(super) created_at: Timestamp,
    pub(super) disconnected_at: Option<Timestamp>,
    pub(super) last: Option<Told>,
    /// Posts in a row that no answer came to.
    pub(super) failures: u32,
}

pub(super) const ENABLED: &str = "enabled";
pub(super) const PENDING: &str = "webhook_callback_verification_pending";
pub(super) const DISCONNECTED: &str = "websocket_disconnected";

// === impl Transport ===

impl Transport {
    /// As Twitch shows it.
    pub(super) fn shown(&self) -> Value {
        match self {
            Self::WebSocket { session } => json!({ "method": "websocket", "session_id": session }),
            Self::Webhook { callback, .. } => json!({ "method": "webhook", "callback": callback }),
            Self::Conduit { id } => json!({ "method": "conduit", "conduit_id": id }),
        }
    }

    /// Whether both lead to the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Webhook { callback, .. }, Self::Webhook { callback: other, .. }) => callback == other,
            _ => self == other,
        }
    }
}

// === impl Subscription ===

impl Subscription {
    pub(super) fn is_enabled(&self) -> bool {
        self.status == ENABLED
    }

    pub(super) fn session(&self) -> Option<&str> {
        match &self.transport {
            Transport::WebSocket { session } => Some(session),
            _ => None,
        }
    }

    /// As it stands in a notification.
    pub(super) fn shown(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "type": self.kind,
            "version": self.version,
            "cost": self.cost,
            "condition": self.condition,
            "transport": self.transport.shown(),
            "created_at": self.created_at,
        })
    }

    /// As Helix lists it: with the times of its connection.
    pub(super) fn listed(&self) -> Value {
        let mut shown = self.shown();
        if self.session().is_some() {
            shown["transport"]["connected_at"] = json!(self.created_at);
            if let Some(at) = self.disconnected_at {
                shown["transport"]["disconnected_at"] = json!(at);
            }
        }
        shown
    }

    /// Whether this condition is met by an event: fields that an event has must be equal. Who reads and who
    /// moderates says nothing about the event.
    pub(super) fn is_met_by(&self, event: &Value) -> bool {
        self.condition.iter().all(|(field, wanted)| {
            let reads = field == "user_id" && self.condition.contains_key("broadcaster_user_id");
            if reads || field == "moderator_user_id" {
                return true;
            }
            let names: &[&str] = match field.as_str() {
                // A whisper's event names both sides; the condition names its reader.
                "user_id" => &["user_id", "to_user_id"],
                "from_broadcaster_user_id" => &["from_broadcaster_user_id"],
                "to_broadcaster_user_id" => &["to_broadcaster_user_id"],
                "broadcaster_user_id" => &["broadcaster_user_id"],
                _ => return true,
            };
            let found = names.iter().find_map(|name| event.get(*name));
            wanted.as_str() == Some("") || found.is_none_or(|found| found == wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(condition: Value) -> Subscription {
        let Value::Object(condition) = condition else { panic!("an object") };
        Subscription {
            id: "id".into(),
            kind: "kind".into(),
            version: "1".into(),
            condition,
            transport: Transport::WebSocket { session: "session".into() },
            client_id: "client".into(),
            login: None,
            cost: 0,
            status: ENABLED.into(),
            created_at: Timestamp::EPOCH,
            disconnected_at: None,
            last: None,
            failures: 0,
        }
    }

    #[test]
    fn a_condition_is_met_by_events_of_the_channels_and_users_it_names() {
        for (condition, event, met) in [
            (
                json!({ "broadcaster_user_id": "1", "user_id": "2" }),
                json!({ "broadcaster_user_id": "1", "user_id": "9" }),
                true,
            ),
            (
                json!({ "broadcaster_user_id": "1", "user_id": "2" }),
                json!({ "broadcaster_user_id": "3" }),
                false,
            ),
            (
                json!({ "broadcaster_user_id": "1", "moderator_user_id": "2" }),
                json!({ "broadcaster_user_id": "1" }),
                true,
            ),
            (json!({ "user_id": "2" }), json!({ "from_user_id": "1", "to_user_id": "2" }), true),
            (json!({ "user_id": "2" }), json!({ "from_user_id": "2", "to_user_id": "1" }), false),
            (
                json!({ "to_broadcaster_user_id": "1", "from_broadcaster_user_id": "" }),
                json!({ "to_broadcaster_user_id": "1", "from_broadcaster_user_id": "5" }),
                true,
            ),
            (json!({ "from_broadcaster_user_id": "1" }), json!({ "from_broadcaster_user_id": "5" }), false),
            (json!({ "client_id": "a" }), json!({ "user_id": "5" }), true),
        ] {
            assert_eq!(with(condition.clone()).is_met_by(&event), met, "{condition} {event}");
        }
    }
}
