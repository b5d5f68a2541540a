//! What a client says, as an event.

use std::sync::Arc;

use chatbus_connector::Inbound;
use chatbus_event::json::Raw;
use chatbus_event::{
    ChatContent, Clock, Content, Draft, Entropy, Event, InstanceId, MessageId, Shape, Topic, Value,
};
use serde_json::json;
use uuid::Uuid;

/// `source` and `auth.provider` of what clients say.
pub(crate) const SOURCE: &str = "api-gateway";

/// Makes events of one instance's clients.
pub(crate) struct Maker {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    egress: Topic,
    shape: Shape,
}

/// Something a client said.
pub(crate) struct Said<'a> {
    pub(crate) user: &'a Arc<str>,
    pub(crate) connection: Uuid,
    pub(crate) id: Option<&'a str>,
    pub(crate) text: &'a str,
    pub(crate) channel: Option<&'a str>,
}

/// What ids derived from a client's own id are derived within: a namespace of our own, chosen once.
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x6c1f_9d52_0b1e_4b0c_9a57_77c5_2d0e_31a4);

// === impl Maker ===

impl Maker {
    pub(crate) fn new(
        instance: &InstanceId,
        shape: Shape,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { clock, entropy, egress: Topic::api_egress_of(instance), shape }
    }

    /// The event, and its correlation id. A client's id that is a UUID names the message for good: said
    /// twice by one user it gives the same ids, and the bus drops the second within its window.
    pub(crate) fn event(&self, said: &Said<'_>) -> (Inbound, Uuid) {
        let own = said.id.and_then(|id| Uuid::parse_str(id).ok());
        let received_at = self.clock.now();
        let ids = |what: &str| match own {
            Some(own) => Uuid::new_v5(&NAMESPACE, format!("{what}\n{}\n{own}", said.user).as_bytes()),
            None => self.entropy.uuid_at(received_at),
        };
        let (message, correlation_id) = (ids("message"), ids("correlation"));
        let message_id = MessageId::new(&format!("{SOURCE}:{message}"));
        let message = message.to_string();
        let extra: Vec<(&'static str, Value<'_>)> =
            said.id.map(|id| ("id", Value::Text(id))).into_iter().collect();
        let draft = Draft {
            id: self.entropy.uuid_at(received_at),
            correlation_id,
            trace_id: self.entropy.uuid(),
            received_at,
            kind: "chat.message.v1",
            source: SOURCE,
            platform: SOURCE,
            channel: said.channel,
            channel_id: None,
            user_id: Some(said.user),
            user_login: None,
            user_display_name: None,
            egress: &self.egress,
            is_self: false,
            content: Content::Chat(ChatContent {
                message_id: &message,
                text: said.text,
                color: None,
                badges: &[],
                is_mod: false,
                is_subscriber: false,
                emotes: &[],
                extra: &extra,
                tags: &[],
                raw: &[],
                sent_at: None,
            }),
        };
        let attributes = draft.attributes(&message_id);
        let mut body = draft.encode(self.shape);
        // What a draft does not hold is added to what it wrote, which is an event: it always decodes.
        if let Ok(mut event) = Event::decode(&body) {
            event.set(
                "auth",
                Raw::of(&json!({
                    "v": "1", "method": "token", "matched": true, "at": received_at,
                    "provider": SOURCE, "userRef": &**said.user,
                })),
            );
            event.set_metadata("connectionId", Raw::of(&said.connection.to_string()));
            body = event.encode();
        }
        let conversation = Arc::clone(said.user);
        (Inbound { id: message_id, attributes, body, conversation, received_at }, correlation_id)
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::Timestamp;
    use chatbus_testkit::{FakeClock, SeededEntropy};

    use super::*;

    fn maker(shape: Shape) -> Maker {
        let clock = Arc::new(FakeClock::at(Timestamp::parse("2025-11-21T17:02:00Z").unwrap()));
        let instance = InstanceId::parse("gw-1").unwrap();
        Maker::new(&instance, shape, clock, Arc::new(SeededEntropy::new(7)))
    }

    fn said<'a>(user: &'a Arc<str>, id: Option<&'a str>) -> Said<'a> {
        Said { user, connection: Uuid::nil(), id, text: "hi \"there\"", channel: Some("room-1") }
    }

    #[test]
    fn the_event_says_who_said_it_and_where_answers_go_in_every_shape() {
        let user: Arc<str> = "twitch:1337".into();
        for shape in [Shape::Flat, Shape::Nested, Shape::V1] {
            let (inbound, correlation_id) = maker(shape).event(&said(&user, Some("m1")));
            let event = Event::decode(&inbound.body).unwrap();
            assert_eq!(event.shape(), shape);
            let auth = event.auth().unwrap();
            assert_eq!(auth.provider.as_deref(), Some("api-gateway"));
            assert_eq!(event.egress().destination.as_deref(), Some("internal.api.egress.v1.gw-1"));
            assert_eq!(event.user_id().as_deref(), Some("twitch:1337"));
            assert_eq!(event.channel().as_deref(), Some("room-1"));
            assert_eq!(event.message().unwrap().text.as_deref(), Some("hi \"there\""));
            assert_eq!(event.correlation_id().as_deref(), Some(&*correlation_id.to_string()));
            let connection = event.metadata("connectionId").unwrap();
            assert_eq!(connection.as_str().as_deref(), Some("00000000-0000-0000-0000-000000000000"));
            assert_eq!(inbound.attributes.get("source"), Some("api-gateway"));
            assert_eq!(inbound.attributes.get("type"), Some("chat.message.v1"));
            assert_eq!(inbound.attributes.get("messageId"), Some(inbound.id.as_str()));
        }
    }

    #[test]
    fn a_uuid_names_the_message_for_its_user_and_another_id_does_not() {
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let maker = maker(Shape::Flat);
        let id = "7f0f33b0-3c0e-4f7b-8f55-0d4ac2f1a001";
        let (first, correlation) = maker.event(&said(&a, Some(id)));
        let (again, same) = maker.event(&said(&a, Some(&id.to_uppercase())));
        assert_eq!((&first.id, correlation), (&again.id, same));
        assert_ne!(first.id, maker.event(&said(&b, Some(id))).0.id, "ids of users do not meet");
        assert_ne!(maker.event(&said(&a, Some("m1"))).0.id, maker.event(&said(&a, Some("m1"))).0.id);
        assert_ne!(maker.event(&said(&a, None)).0.id, maker.event(&said(&a, None)).0.id);
    }
}
