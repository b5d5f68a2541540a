//! The frames of an EventSub WebSocket (dev.twitch.tv/docs/eventsub/websocket-reference), and why it closes.

use std::borrow::Cow;

use chatbus_event::Timestamp;
use serde_json::{Value, json};

/// Why the server closes a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: Cow<'static, str>,
}

/// No room for one more.
pub(super) const FULL: Close = Close { code: 4000, reason: Cow::Borrowed("internal server error") };
/// The client sent something else than a pong.
pub(super) const SENT_TRAFFIC: Close =
    Close { code: 4001, reason: Cow::Borrowed("client sent inbound traffic") };
/// No subscription in time.
pub(super) const UNUSED: Close = Close { code: 4003, reason: Cow::Borrowed("connection unused") };
/// The client did not come to the new URL in time.
pub(super) const GRACE_OVER: Close =
    Close { code: 4004, reason: Cow::Borrowed("client reconnect grace time expired") };
/// The URL of a reconnect that is none, or is used up.
pub(super) const INVALID_RECONNECT: Close =
    Close { code: 4007, reason: Cow::Borrowed("invalid reconnect attempt") };

/// A session as frames tell it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionFrame<'a> {
    pub(super) id: &'a str,
    pub(super) connected_at: Timestamp,
}

pub(super) fn welcome(id: &str, at: Timestamp, session: SessionFrame<'_>, keepalive_seconds: u64) -> String {
    let payload = json!({
        "id": session.id,
        "status": "connected",
        "connected_at": session.connected_at,
        "keepalive_timeout_seconds": keepalive_seconds,
        "reconnect_url": Value::Null,
        "recovery_url": Value::Null,
    });
    frame(id, "session_welcome", at, &json!({ "session": payload }))
}

pub(super) fn reconnect(id: &str, at: Timestamp, session: SessionFrame<'_>, url: &str) -> String {
    let payload = json!({
        "id": session.id,
        "status": "reconnecting",
        "connected_at": session.connected_at,
        "keepalive_timeout_seconds": Value::Null,
        "reconnect_url": url,
        "recovery_url": Value::Null,
    });
    frame(id, "session_reconnect", at, &json!({ "session": payload }))
}

pub(super) fn keepalive(id: &str, at: Timestamp) -> String {
    frame(id, "session_keepalive", at, &json!({}))
}

/// `notification` and `revocation`: about a subscription, whose type and version stand in front too.
pub(super) fn about(kind: &str, id: &str, at: Timestamp, payload: &Value) -> String {
    let of = |name| payload.pointer(name).cloned().unwrap_or_default();
    json!({
        "metadata": {
            "message_id": id,
            "message_type": kind,
            "message_timestamp": at,
            "subscription_type": of("/subscription/type"),
            "subscription_version": of("/subscription/version"),
        },
        "payload": payload,
    })
    .to_string()
}

fn frame(id: &str, kind: &str, at: Timestamp, payload: &Value) -> String {
    json!({
        "metadata": { "message_id": id, "message_type": kind, "message_timestamp": at },
        "payload": payload,
    })
    .to_string()
}
