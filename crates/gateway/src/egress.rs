//! What a bot asks to be said, as an event on an egress topic.

use std::borrow::Cow;
use std::sync::Arc;

use chatbus_bus::Message;
use chatbus_event::json::Raw;
use chatbus_event::{Attributes, EgressKind, Event, Family, MessageId, Timestamp, Topic, names};
use serde_json::json;
use uuid::Uuid;

use crate::codes::ErrorCode;
use crate::frames::Recipient;
use crate::publish::NAMESPACE;
use crate::tokens::Token;

/// Where a text is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// `egress.destination`: the platform's name.
    pub destination: String,
    /// `egress.type`.
    pub kind: EgressKind,
    /// The channel, for a public text.
    pub channel: Option<String>,
    /// The user, for a private one.
    pub user_id: Option<String>,
}

/// Reads a target such as `platform:#channel` or `dm:platform:user`; only the binary knows platforms.
pub type TargetParser = fn(&str) -> Result<Target, String>;

/// What an answer needs of the event it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) ids: [Option<String>; 2],
    pub(crate) kind: Option<EgressKind>,
    destination: Option<String>,
    source: String,
    correlation_id: Option<String>,
    channel: Option<String>,
    user_id: Option<String>,
    auth: Option<Raw>,
    connection: Option<Raw>,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saying {
    pub(crate) to: Where,
    pub(crate) kind: EgressKind,
    pub(crate) text: String,
    pub(crate) id: Option<String>,
}

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    To(Target),
    Reply(Arc<Origin>),
}

/// A saying on its way.
pub(crate) struct Said {
    pub(crate) topic: Topic,
    pub(crate) message: Message,
    pub(crate) correlation_id: String,
    pub(crate) delivery_id: String,
}

/// Why something is not done.
pub(crate) type Refused = (ErrorCode, String);

/// An event that says more about where its answers go is not remembered.
const MAX_ORIGIN_BYTES: usize = 8 * 1024;

/// Where a bot's text may go, and how; `origin` finds the event that is answered, which the token covers.
pub(crate) fn place(
    token: &Token,
    parse_target: TargetParser,
    to: &Recipient,
    kind: Option<EgressKind>,
    origin: impl FnOnce(&str) -> Result<Arc<Origin>, Refused>,
) -> Result<(Where, EgressKind), Refused> {
    if !token.bot {
        return Err((ErrorCode::UnsupportedType, "only bot tokens may send this".to_owned()));
    }
    let (place, own) = match to {
        Recipient::To(text) => {
            let target = parse_target(text).map_err(|why| (ErrorCode::BadRequest, format!("to: {why}")))?;
            let is_named = |platform: &String| platform.eq_ignore_ascii_case(&target.destination);
            let covers_platform = token.platforms.is_empty() || token.platforms.iter().any(is_named);
            // A token for some channels is not for private texts either, but for answers.
            let covers_channel = token.channels.is_empty() || target.channel.is_some();
            if !covers_platform || !covers_channel || !token.allows_channel(target.channel.as_deref()) {
                return Err((ErrorCode::Forbidden, "the token does not cover this target".to_owned()));
            }
            let kind = target.kind;
            (Where::To(target), kind)
        }
        Recipient::ReplyTo(id) => {
            let origin = origin(id)?;
            let Some(kind) = origin.kind else {
                let why = "replyTo: the event's egress.type is unknown, so it cannot be answered";
                return Err((ErrorCode::BadRequest, why.to_owned()));
            };
            (Where::Reply(origin), kind)
        }
    };
    match kind {
        Some(EgressKind::Chat) if own == EgressKind::Dm => {
            Err((ErrorCode::BadRequest, "type: what is private is not said in public".to_owned()))
        }
        kind => Ok((place, kind.unwrap_or(own))),
    }
}

// === impl Origin ===

impl Origin {
    /// Whether this is the event's id, or that of its message.
    pub(crate) fn is_named(&self, id: &str) -> bool {
        self.ids.iter().flatten().any(|of| of == id)
    }

    /// What to remember of an event; nothing when it cannot be answered.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let egress = event.egress();
        let origin = Self {
            ids: [event.id().map(Cow::into_owned), event.message().and_then(|message| message.id)],
            kind: egress.kind,
            destination: egress.destination.map(Cow::into_owned),
            source: event.source().into_owned(),
            correlation_id: event.correlation_id().map(Cow::into_owned),
            channel: event.channel().map(Cow::into_owned),
            user_id: event.user_id().map(Cow::into_owned),
            auth: event.member("auth"),
            connection: event.metadata("connectionId"),
        };
        let texts = [&origin.destination, &origin.correlation_id, &origin.channel, &origin.user_id];
        let texts = texts.into_iter().chain(&origin.ids).flatten().map(String::len).sum::<usize>();
        let raws = [&origin.auth, &origin.connection].into_iter().flatten();
        let bytes = texts + raws.map(|raw| raw.as_bytes().len()).sum::<usize>() + origin.source.len();
        (bytes <= MAX_ORIGIN_BYTES).then(|| origin.detached())
    }

    /// Without hold of the event's bytes.
    fn detached(mut self) -> Self {
        for raw in [&mut self.auth, &mut self.connection] {
            *raw = raw.take().and_then(|raw| Raw::parse(&raw.as_bytes().to_vec().into()).ok());
        }
        self
    }
}

// === impl Saying ===

impl Saying {
    /// The event. A client's id that is a UUID names the delivery for good: sent twice by one user, the
    /// bus drops the second within its window.
    pub(crate) fn event(&self, token: &Token, ids: [Uuid; 2], now: Timestamp) -> Said {
        let user = &token.user_id;
        let own = self.id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
        let id =
            own.map_or(ids[0], |own| Uuid::new_v5(&NAMESPACE, format!("egress\n{user}\n{own}").as_bytes()));
        let (id, trace_id) = (id.to_string(), ids[1].simple().to_string());
        let (destination, source, correlation_id, channel, user_id) = match &self.to {
            Where::To(to) => (Some(&to.destination), "bot", None, to.channel.as_ref(), to.user_id.as_ref()),
            Where::Reply(origin) => {
                let Origin { destination, source, correlation_id, channel, user_id, .. } = &**origin;
                (destination.as_ref(), &**source, correlation_id.as_ref(), channel.as_ref(), user_id.as_ref())
            }
        };
        let topic = destination.and_then(|destination| Topic::parse(destination).ok());
        let is_egress = |topic: &Topic| matches!(topic.family(), Family::InstanceEgress | Family::ApiEgress);
        let topic = topic.filter(is_egress).unwrap_or_else(Topic::egress);
        let correlation_id = correlation_id.unwrap_or(&id).clone();
        let mut body = json!({
            "v": "1", "id": id, "correlationId": correlation_id, "traceId": trace_id, "timestamp": now,
            "type": "egress.deliver.v1", "source": source,
            "egress": { "type": self.kind.as_str() },
            "routingSlip": [], "finalizationDestination": Topic::finalizer().as_str(),
            "message": { "id": id, "role": "assistant", "text": self.text },
            "annotations": [], "candidates": [], "metadata": { "tokenId": token.id },
        });
        if let Some(destination) = destination {
            body["egress"]["destination"] = json!(destination);
            body["egressDestination"] = json!(destination);
        }
        for (name, value) in [("channel", channel), ("userId", user_id)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        let mut body = serde_json::to_vec(&body).unwrap_or_default().into();
        // Raw parts are added as they stand; what was just written always decodes.
        if let (Where::Reply(origin), Ok(mut event)) = (&self.to, Event::decode(&body)) {
            if let Some(auth) = &origin.auth {
                event.set("auth", auth.clone());
            }
            if let Some(connection) = &origin.connection {
                event.set_metadata("connectionId", connection.clone());
            }
            body = event.encode();
        }
        let message_id = MessageId::new(&id);
        let mut attributes = Attributes::new();
        attributes.set(names::CORRELATION_ID, &correlation_id);
        attributes.set(names::TYPE, "egress.deliver.v1");
        attributes.set(names::SOURCE, source);
        attributes.set(names::TRACEPARENT, format!("00-{trace_id}-{}-01", &trace_id[16..]));
        attributes.set(names::MESSAGE_ID, message_id.as_str());
        attributes.set(names::DELIVERY_ID, &id);
        if let Some(channel) = channel {
            attributes.set(names::CHANNEL, channel);
        }
        attributes.set(names::CE_ID, &id);
        attributes.set(names::CE_TYPE, "egress.deliver.v1");
        attributes.set(names::CE_SOURCE, source);
        attributes.set(names::CE_SPECVERSION, "1.0");
        attributes.set(names::CE_TIME, now.to_string());
        Said { topic, message: Message::new(message_id, attributes, body), correlation_id, delivery_id: id }
    }
}
