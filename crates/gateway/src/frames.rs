//! The frames, read and written. Reading borrows from the frame's bytes and builds no tree.

use std::borrow::Cow;

use bytes::Bytes;
use chatbus_connector::Outbound;
use chatbus_event::json::Raw;
use chatbus_event::{EgressKind, Event, Timestamp};

use crate::codes::ErrorCode;

mod bot;

pub(crate) use bot::{
    Durable, Feed, Filter, Recipient, event, outcome, read_egress, subscribed, unsubscribed,
};

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// `chat.message.send`
    Send { id: Option<String>, text: String, channel: Option<String> },
    /// `connection.resume`
    Resume { id: Option<String>, epoch: String, seq: u64 },
    /// `ping`
    Ping { id: Option<String> },
    /// `subscribe`
    Subscribe { id: Option<String>, feed: Feed, filter: Filter, durable: Durable },
    /// `unsubscribe`
    Unsubscribe { id: Option<String>, feed: Feed, durable: Durable },
    /// `egress.send`
    Egress { id: Option<String>, to: Recipient, kind: Option<EgressKind>, text: String },
    /// `event.ack`
    EventAck { id: Option<String>, cursor: u64 },
}

/// Why a frame is no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    pub(crate) id: Option<String>,
}

/// The longest id that is echoed, in bytes.
pub(crate) const MAX_ID_BYTES: usize = 256;
/// The longest channel or room, in bytes.
const MAX_CHANNEL_BYTES: usize = 256;
/// The longest part of a client's own words in an error's message, in bytes.
const MAX_QUOTE_BYTES: usize = 64;

// === impl Request ===

impl Request {
    /// Reads a text frame.
    pub(crate) fn parse(frame: &Bytes) -> Result<Self, Problem> {
        let no_id = |code, message: &'static str| Problem { code, message: message.into(), id: None };
        let raw = Raw::parse(frame).map_err(|error| Problem {
            code: ErrorCode::BadFrame,
            message: format!("the frame is not JSON: {error}").into(),
            id: None,
        })?;
        if !raw.is_object() {
            return Err(no_id(ErrorCode::BadFrame, "the frame is not a JSON object"));
        }
        let [kind, payload, metadata] = raw.pick(["type", "payload", "metadata"]);
        let id = read_id(metadata.as_ref())?;
        let Some(kind) = kind.as_ref().and_then(Raw::as_str) else {
            let message = "type is missing or not a string".into();
            return Err(Problem { code: ErrorCode::BadFrame, message, id });
        };
        match &*kind {
            "chat.message.send" => read_send(payload.as_ref(), id),
            "connection.resume" => read_resume(payload.as_ref(), id),
            "ping" => Ok(Self::Ping { id }),
            "subscribe" => bot::read_subscribe(payload.as_ref(), id),
            "unsubscribe" => bot::read_unsubscribe(payload.as_ref(), id),
            "egress.send" => bot::read_egress(payload.as_ref(), id),
            "event.ack" => bot::read_ack(payload.as_ref(), id),
            other => {
                let quote = &other[..other.floor_char_boundary(MAX_QUOTE_BYTES)];
                let message = format!("clients may not send {quote:?}").into();
                Err(Problem { code: ErrorCode::UnsupportedType, message, id })
            }
        }
    }
}

fn bad<T>(id: Option<String>, message: &'static str) -> Result<T, Problem> {
    Err(Problem { code: ErrorCode::BadRequest, message: message.into(), id })
}

fn read_id(metadata: Option<&Raw>) -> Result<Option<String>, Problem> {
    let Some(metadata) = metadata.filter(|metadata| !metadata.is_null()) else { return Ok(None) };
    if !metadata.is_object() {
        return bad(None, "metadata is not an object");
    }
    let Some(id) = metadata.get("id").filter(|id| !id.is_null()) else { return Ok(None) };
    match id.as_str() {
        Some(id) if !id.is_empty() && id.len() <= MAX_ID_BYTES => Ok(Some(id.into_owned())),
        _ => bad(None, "metadata.id is not a string of 1 to 256 bytes"),
    }
}

fn read_send(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    let Some(payload) = payload.filter(|payload| payload.is_object()) else {
        return bad(id, "payload is missing or not an object");
    };
    let [text, channel, room] = payload.pick(["text", "channel", "room"]);
    let text = match text.as_ref().and_then(Raw::as_str) {
        Some(text) if !text.trim().is_empty() => text.into_owned(),
        Some(_) => return bad(id, "payload.text is blank"),
        None => return bad(id, "payload.text is missing or not a string"),
    };
    let channel = match channel.or(room).filter(|channel| !channel.is_null()) {
        None => None,
        Some(channel) => match channel.as_str() {
            Some(name) if !name.trim().is_empty() && name.len() <= MAX_CHANNEL_BYTES => {
                Some(name.into_owned())
            }
            _ => return bad(id, "payload.channel is not a string of 1 to 256 bytes"),
        },
    };
    Ok(Request::Send { id, text, channel })
}

fn read_resume(payload: Option<&Raw>, id: Option<String>) -> Result<Request, Problem> {
    let Some(payload) = payload.filter(|payload| payload.is_object()) else {
        return bad(id, "payload is missing or not an object");
    };
    let [epoch, seq] = payload.pick(["epoch", "seq"]);
    let epoch = match epoch.as_ref().and_then(Raw::as_str) {
        Some(epoch) if epoch.len() <= MAX_ID_BYTES => epoch.into_owned(),
        _ => return bad(id, "payload.epoch is missing or not a string of at most 256 bytes"),
    };
    match seq.as_ref().and_then(Raw::as_u64) {
        Some(seq) => Ok(Request::Resume { id, epoch, seq }),
        None => bad(id, "payload.seq is missing or not a whole number"),
    }
}

/// `connection.ready`.
pub(crate) fn ready(user: &str, instance: &str, epoch: &str, seq: u64, now: Timestamp) -> Bytes {
    let mut f = Frame::new("connection.ready");
    f.text("user_id", user).text("instance", instance).text("epoch", epoch).number("seq", seq);
    f.metadata();
    f.time(now).end()
}

/// `chat.ack`.
pub(crate) fn ack(id: &str, correlation_id: &str, spooled: bool, now: Timestamp) -> Bytes {
    let mut f = Frame::new("chat.ack");
    f.text("id", id).text("correlationId", correlation_id);
    if spooled {
        f.raw("spooled", b"true");
    }
    f.metadata();
    f.time(now).end()
}

/// `chat.error`.
pub(crate) fn error(
    code: ErrorCode,
    message: &str,
    id: Option<&str>,
    retry_after: Option<f64>,
    now: Timestamp,
) -> Bytes {
    let mut f = Frame::new("chat.error");
    f.text("code", code.as_str()).text("message", message);
    if let Some(id) = id {
        f.text("id", id);
    }
    if let Some(seconds) = retry_after {
        f.raw("retry_after", format!("{seconds:.1}").as_bytes());
    }
    f.metadata();
    f.time(now).end()
}

/// The answer to `ping`.
pub(crate) fn pong(id: Option<&str>, now: Timestamp) -> Bytes {
    let mut f = Frame::new("pong");
    f.metadata();
    if let Some(id) = id {
        f.text("id", id);
    }
    f.time(now).end()
}

/// The answer to `connection.resume`: `messages` frames follow, or, with `recovered:false`, none.
pub(crate) fn resumed(messages: Option<usize>, epoch: &str, seq: u64, now: Timestamp) -> Bytes {
    let mut f = Frame::new("connection.resumed");
    f.raw("recovered", if messages.is_some() { b"true" } else { b"false" });
    f.text("epoch", epoch).number("seq", seq).number("messages", messages.unwrap_or(0) as u64);
    f.metadata();
    f.time(now).end()
}

/// `chat.message.received`.
pub(crate) fn received(outbound: &Outbound, seq: u64, now: Timestamp) -> Bytes {
    let event = outbound.event.as_deref();
    let is_data = |event: &&Event| event.egress_kind() == Some(EgressKind::Event);
    let data = event.filter(is_data).and_then(Event::payload);
    let mut f = Frame::with_capacity("chat.message.received", 320 + outbound.text.len());
    if !outbound.text.is_empty() || data.is_none() {
        f.text("text", &outbound.text);
    }
    if let Some(data) = data {
        f.raw("data", data.as_bytes());
    }
    if let Some(event) = event {
        f.text("type", &event.kind());
    }
    f.metadata();
    f.text("id", &outbound.delivery_id);
    if let Some(correlation_id) = event.and_then(Event::correlation_id) {
        f.text("correlationId", &correlation_id);
    }
    f.number("seq", seq).time(now);
    if let Some(event) = event {
        f.text("source", &event.source());
    }
    f.end()
}

/// A frame in the making: `{"type":…,"payload":{…},"metadata":{…}}`.
struct Frame {
    out: Vec<u8>,
    first: bool,
}

// === impl Frame ===

impl Frame {
    fn new(kind: &'static str) -> Self {
        Self::with_capacity(kind, 256)
    }

    fn with_capacity(kind: &'static str, bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"payload\":{");
        Self { out, first: true }
    }

    /// A frame whose payload stands; metadata follows.
    fn whole(kind: &'static str, payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(128 + payload.len());
        for part in [b"{\"type\":\"", kind.as_bytes(), b"\",\"payload\":", payload, b",\"metadata\":{"] {
            out.extend_from_slice(part);
        }
        Self { out, first: true }
    }

    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &'static str, text: &str) -> &mut Self {
        self.key(key);
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut self.out, text);
        self
    }

    fn number(&mut self, key: &'static str, number: u64) -> &mut Self {
        self.key(key);
        let _ = serde_json::to_writer(&mut self.out, &number);
        self
    }

    fn raw(&mut self, key: &'static str, json: &[u8]) -> &mut Self {
        self.key(key);
        self.out.extend_from_slice(json);
        self
    }

    /// The payload is done; what follows is metadata.
    fn metadata(&mut self) {
        self.out.extend_from_slice(b"},\"metadata\":{");
        self.first = true;
    }

    fn time(&mut self, now: Timestamp) -> &mut Self {
        self.key("timestamp");
        self.out.push(b'"');
        self.out.extend_from_slice(&now.ascii());
        self.out.push(b'"');
        self
    }

    fn end(&mut self) -> Bytes {
        self.out.extend_from_slice(b"}}");
        std::mem::take(&mut self.out).into()
    }
}

#[cfg(test)]
mod tests;
