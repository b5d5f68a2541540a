//! The frames only bots may send and get: subscriptions and their events.

use bytes::Bytes;
use chatbus_event::json::Raw;
use chatbus_event::{EgressKind, Timestamp, Topic};

use super::{Frame, MAX_CHANNEL_BYTES, MAX_ID_BYTES, Problem, Request, bad};

/// What a bot can listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Feed {
    /// What platforms said.
    Ingress,
    /// The same, with who said it.
    Enriched,
    /// What became of deliveries.
    Outcomes,
}

/// What a bot wants of a feed: all of it, where nothing is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) platform: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) kind: Option<String>,
}

/// Whether a subscription goes on where an earlier one stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Durable {
    /// It hears what comes after it, and is forgotten at its end.
    No,
    /// The token's own place in the feed.
    Yes,
    /// A place with a name: 1 to [`MAX_DURABLE`] of `A-Z a-z 0-9 _ -`.
    Named(String),
}

/// Where a bot's text goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipient {
    /// `to`
    To(String),
    /// `replyTo`
    ReplyTo(String),
}

/// The longest name of a place: with the token's id before it, it names a group of the bus.
pub(crate) const MAX_DURABLE: usize = 32;

// === impl Feed ===

impl Feed {
    fn parse(word: &str) -> Option<Self> {
        [Self::Ingress, Self::Enriched, Self::Outcomes].into_iter().find(|feed| feed.as_str() == word)
    }

    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Enriched => "enriched",
            Self::Outcomes => "outcomes",
        }
    }

    /// Where the bus has it.
    pub(crate) fn topic(self) -> Topic {
        match self {
            Self::Ingress => Topic::ingress(),
            Self::Enriched => Topic::enriched(),
            Self::Outcomes => Topic::finalizer(),
        }
    }
}

// === reading ===

pub(super) fn read_subscribe(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    let Some(payload) = payload.filter(|payload| payload.is_object()) else {
        return bad(id, "payload is missing or not an object");
    };
    let [topic, filter, durable] = payload.pick(["topic", "filter", "durable"]);
    let Some(feed) = topic.as_ref().and_then(Raw::as_str).and_then(|word| Feed::parse(&word)) else {
        return bad(id, "payload.topic is not \"ingress\", \"enriched\" or \"outcomes\"");
    };
    let Ok(filter) = read_filter(filter.as_ref()) else {
        return bad(id, "payload.filter is not an object of platform, channel and type, each a string");
    };
    let Some(durable) = read_durable(durable.as_ref()) else {
        return bad(id, "payload.durable is not a boolean or 1 to 32 of A-Z a-z 0-9 _ -");
    };
    Ok(Request::Subscribe { id, feed, filter, durable })
}

pub(super) fn read_unsubscribe(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    match read_subscribe(payload, id)? {
        Request::Subscribe { id, filter, .. } if filter != Filter::default() => {
            bad(id, "payload.filter is for subscribe only")
        }
        Request::Subscribe { id, feed, durable, .. } => Ok(Request::Unsubscribe { id, feed, durable }),
        other => Ok(other),
    }
}

fn read_filter(raw: Option<&Raw>) -> Result<Filter, ()> {
    let Some(raw) = raw.filter(|raw| !raw.is_null()) else { return Ok(Filter::default()) };
    let members = raw.as_object().ok_or(())?;
    // A filter that is not understood would let everything through.
    if members.iter().any(|(key, _)| !matches!(&*key, "platform" | "channel" | "type")) {
        return Err(());
    }
    let [platform, channel, kind] = raw.pick(["platform", "channel", "type"]);
    let word = |raw: Option<Raw>| match raw.filter(|raw| !raw.is_null()) {
        None => Ok(None),
        Some(raw) => match raw.as_str() {
            Some(word) if !word.trim().is_empty() && word.len() <= MAX_CHANNEL_BYTES => {
                Ok(Some(word.into_owned()))
            }
            _ => Err(()),
        },
    };
    Ok(Filter { platform: word(platform)?, channel: word(channel)?, kind: word(kind)? })
}

fn read_durable(raw: Option<&Raw>) -> Option<Durable> {
    let Some(raw) = raw.filter(|raw| !raw.is_null()) else { return Some(Durable::No) };
    if let Some(wanted) = raw.as_bool() {
        return Some(if wanted { Durable::Yes } else { Durable::No });
    }
    let is_name = |name: &str| {
        (1..=MAX_DURABLE).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    raw.as_str().filter(|name| is_name(name)).map(|name| Durable::Named(name.into_owned()))
}

pub(super) fn read_ack(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    match payload.and_then(|payload| payload.get("cursor")?.as_u64()) {
        Some(cursor) => Ok(Request::EventAck { id, cursor }),
        None => bad(id, "payload.cursor is missing or not a whole number"),
    }
}

pub(crate) fn read_egress(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    let Some(payload) = payload.filter(|payload| payload.is_object()) else {
        return bad(id, "payload is missing or not an object");
    };
    let [to, reply_to, text, kind] =
        payload.pick(["to", "replyTo", "text", "type"]).map(|raw| raw.filter(|raw| !raw.is_null()));
    let word = |raw: &Raw| match raw.as_str() {
        Some(word) if !word.trim().is_empty() && word.len() <= 2 * MAX_ID_BYTES => Some(word.into_owned()),
        _ => None,
    };
    let to = match (&to, &reply_to) {
        (Some(to), None) => word(to).map(Recipient::To),
        (None, Some(reply_to)) => word(reply_to).map(Recipient::ReplyTo),
        _ => None,
    };
    let Some(to) = to else {
        return bad(
            id,
            "payload.to or payload.replyTo has to be there, not both, a string of 1 to 512 bytes",
        );
    };
    let Some(text) = text.as_ref().and_then(Raw::as_str).filter(|text| !text.trim().is_empty()) else {
        return bad(id, "payload.text is missing, blank or not a string");
    };
    let kind = match kind {
        None => None,
        Some(kind) => match kind.as_str().and_then(|kind| EgressKind::parse(&kind)) {
            Some(kind) => Some(kind),
            None => return bad(id, "payload.type is not \"chat\", \"dm\" or \"event\""),
        },
    };
    Ok(Request::Egress { id, to, kind, text: text.into_owned() })
}

// === writing ===

/// `egress.outcome`, of a finalize event.
pub(crate) fn outcome(id: Option<&str>, delivery_id: &str, finalize: &Raw, now: Timestamp) -> Bytes {
    let mut f = Frame::new("egress.outcome");
    if let Some(id) = id {
        f.text("id", id);
    }
    let [correlation_id, status, error] = finalize.pick(["correlationId", "status", "error"]);
    f.text("deliveryId", delivery_id);
    for (name, part) in [("correlationId", correlation_id), ("status", status), ("error", error)] {
        if let Some(part) = part {
            f.raw(name, part.as_bytes());
        }
    }
    f.metadata();
    f.time(now).end()
}

/// `subscribed`.
pub(crate) fn subscribed(feed: Feed, durable: bool, id: Option<&str>, now: Timestamp) -> Bytes {
    of_feed("subscribed", feed, durable, id, now)
}

/// `unsubscribed`.
pub(crate) fn unsubscribed(feed: Feed, durable: bool, id: Option<&str>, now: Timestamp) -> Bytes {
    of_feed("unsubscribed", feed, durable, id, now)
}

fn of_feed(kind: &'static str, feed: Feed, durable: bool, id: Option<&str>, now: Timestamp) -> Bytes {
    let mut f = Frame::new(kind);
    f.text("topic", feed.as_str()).raw("durable", if durable { b"true" } else { b"false" });
    f.metadata();
    if let Some(id) = id.filter(|id| id.len() <= MAX_ID_BYTES) {
        f.text("id", id);
    }
    f.time(now).end()
}

/// `event`; the body is a JSON object, which was checked.
pub(crate) fn event(feed: Feed, cursor: u64, body: &[u8]) -> Bytes {
    let mut f = Frame::whole("event", body);
    f.number("cursor", cursor).text("topic", feed.as_str());
    f.end()
}
