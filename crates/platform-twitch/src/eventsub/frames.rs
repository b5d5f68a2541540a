//! What Twitch sends: frames of a WebSocket, and bodies of a webhook.
//!
//! Both hold the same: a subscription and its event. A frame says in its `metadata` what it is, a webhook
//! request in its headers. Of a frame only what is needed is taken apart; the event keeps its text. A
//! `message_type` that nobody here knows is no error, and an event of an unknown type even less.
//!
//! Source: Twitch's EventSub reference, "WebSocket messages" and "Handling webhook events".

use std::borrow::Cow;

use chatbus_event::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest frame that is read. Twitch's are some kilobytes.
pub const MAX_FRAME_BYTES: usize = 256 * 1024;
/// Names of types and ids are at most this long; what is longer is no name of Twitch's.
const MAX_NAME_BYTES: usize = 256;
/// An address to reconnect to is at most this long.
const MAX_URL_BYTES: usize = 4 * 1024;

/// A frame of the WebSocket.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A session has begun, or has moved to this connection.
    Welcome(SessionInfo<'a>),
    /// Nothing happened for a while, and all is well.
    Keepalive,
    /// The session is to move to another connection, at the address it names.
    Reconnect(SessionInfo<'a>),
    /// A subscription has ended.
    Revocation(Subscription<'a>),
    /// Something happened.
    Notification(Notification<'a>),
    /// A `message_type` that is not known.
    Unknown(Cow<'a, str>),
}

/// What is said of a session.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SessionInfo<'a> {
    /// The session's id.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    /// After so many seconds without a frame the connection is dead.
    #[serde(default)]
    pub keepalive_timeout_seconds: Option<u64>,
    /// Where to connect next.
    #[serde(borrow, default)]
    pub reconnect_url: Option<Cow<'a, str>>,
}

/// A subscription as Twitch tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Subscription<'a> {
    /// Its id.
    #[serde(borrow, default)]
    pub id: Cow<'a, str>,
    /// How it is: `enabled`, or why it is not.
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
    /// The type, such as `channel.follow`.
    #[serde(borrow, default, rename = "type")]
    pub kind: Cow<'a, str>,
    /// The type's version.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// What it is about.
    #[serde(borrow, default)]
    pub condition: Condition<'a>,
}

/// What a subscription is about.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Condition<'a> {
    /// The channel's owner.
    #[serde(borrow, default)]
    pub broadcaster_user_id: Option<Cow<'a, str>>,
    /// The same, of raids.
    #[serde(borrow, default)]
    pub to_broadcaster_user_id: Option<Cow<'a, str>>,
    /// Whose eyes see it.
    #[serde(borrow, default)]
    pub user_id: Option<Cow<'a, str>>,
}

/// Something that happened.
#[derive(Debug)]
pub struct Notification<'a> {
    /// Twitch's id of it, the same when it is sent again.
    pub message_id: Cow<'a, str>,
    /// When Twitch sent it.
    pub sent_at: Option<Timestamp>,
    /// The type of the subscription.
    pub kind: Cow<'a, str>,
    /// The type's version.
    pub version: Cow<'a, str>,
    /// The subscription, as text.
    pub subscription: Option<&'a RawValue>,
    /// The event, as text; a list where Twitch tells of several at once.
    pub event: &'a RawValue,
}

/// A body of a webhook request.
#[derive(Debug, Default, Deserialize)]
pub struct Body<'a> {
    #[serde(borrow, default)]
    session: Option<SessionInfo<'a>>,
    /// What is to be answered to a request that asks whether we are here.
    #[serde(borrow, default)]
    pub challenge: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subscription: Option<&'a RawValue>,
    #[serde(borrow, default)]
    event: Option<&'a RawValue>,
    #[serde(borrow, default)]
    events: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    payload: Option<Body<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    message_type: Cow<'a, str>,
    #[serde(borrow, default)]
    message_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subscription_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subscription_version: Option<Cow<'a, str>>,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is longer than anything Twitch sends.
    #[error("longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    /// It is not the JSON of a frame.
    #[error("not the JSON of an EventSub message: {0}")]
    Json(String),
    /// A member is missing, or longer than it may be.
    #[error("without a usable {0}")]
    Without(&'static str),
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_FRAME_BYTES {
            return Err(Malformed::TooLong);
        }
        let Wire { metadata, payload } = serde_json::from_str(text).map_err(Malformed::of)?;
        let payload = payload.unwrap_or_default();
        match &*metadata.message_type {
            "notification" => {
                let sent_at = metadata.message_timestamp.as_deref().and_then(Timestamp::parse);
                let kind = metadata.subscription_type.unwrap_or_default();
                let version = metadata.subscription_version.unwrap_or_default();
                payload.notification(metadata.message_id, sent_at, kind, version).map(Self::Notification)
            }
            "session_keepalive" => Ok(Self::Keepalive),
            "session_welcome" => payload.session("session id", |s| is_name(&s.id)).map(Self::Welcome),
            "session_reconnect" => payload
                .session("reconnect_url", |s| {
                    s.reconnect_url.as_ref().is_some_and(|url| !url.is_empty() && url.len() <= MAX_URL_BYTES)
                })
                .map(Self::Reconnect),
            "revocation" => payload.subscription().map(Self::Revocation),
            _ => {
                let mut name = metadata.message_type;
                if name.len() > MAX_NAME_BYTES {
                    name = Cow::Owned(name[..name.floor_char_boundary(MAX_NAME_BYTES)].to_owned());
                }
                Ok(Self::Unknown(name))
            }
        }
    }
}

// === impl Body ===

impl<'a> Body<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|error| Malformed::Json(error.to_string()))?;
        serde_json::from_str(text).map_err(Malformed::of)
    }

    /// The subscription it is about.
    ///
    /// # Errors
    /// When there is none.
    pub fn subscription(&self) -> Result<Subscription<'a>, Malformed> {
        let text = self.subscription.ok_or(Malformed::Without("subscription"))?.get();
        let subscription: Subscription<'a> = serde_json::from_str(text).map_err(Malformed::of)?;
        if is_name(&subscription.kind) { Ok(subscription) } else { Err(Malformed::Without("type")) }
    }

    /// What it tells of. What `kind` and `version` do not say, which whoever carried the body may have told,
    /// is taken from the subscription.
    ///
    /// # Errors
    /// When there is no event or no type.
    pub fn notification(
        &self,
        message_id: Cow<'a, str>,
        sent_at: Option<Timestamp>,
        kind: Cow<'a, str>,
        version: Cow<'a, str>,
    ) -> Result<Notification<'a>, Malformed> {
        let event = self.event.or(self.events).ok_or(Malformed::Without("event"))?;
        if !is_name(&message_id) {
            return Err(Malformed::Without("message_id"));
        }
        let (kind, version) = if kind.is_empty() {
            let subscription = self.subscription()?;
            (subscription.kind, subscription.version)
        } else {
            (kind, version)
        };
        if !is_name(&kind) || version.len() > MAX_NAME_BYTES {
            return Err(Malformed::Without("type"));
        }
        Ok(Notification { message_id, sent_at, kind, version, subscription: self.subscription, event })
    }

    fn session(
        self,
        what: &'static str,
        is_usable: impl Fn(&SessionInfo<'a>) -> bool,
    ) -> Result<SessionInfo<'a>, Malformed> {
        self.session.filter(is_usable).ok_or(Malformed::Without(what))
    }
}

// === impl Malformed ===

impl Malformed {
    fn of(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
