//! The smallest bot: answers `!ping`.
//!
//! A bot is a [`Handler`]: it gets an event and returns what is to be published because of it. The
//! event is acknowledged only after its answer is on the bus, so nothing is lost when the bot dies, and
//! the answer's id is made from the event's, so nothing is said twice when the event comes again.
//!
//! `ping_bot.py` beside it is the same over NATS in Python.

use async_trait::async_trait;
use chatbus_bus::{Handler, HandlerError, Outgoing, Record};
use chatbus_event::{Attributes, Event, Topic, json::Raw, names};
use serde_json::json;

/// Answers `!ping` with `pong`, where it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct PingBot;

#[async_trait]
impl Handler for PingBot {
    fn name(&self) -> &'static str {
        "ping-bot"
    }

    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        // What is no event, or asks for nothing, is none of our business.
        let Ok(mut event) = Event::decode(&input.message.body) else { return Ok(Vec::new()) };
        let asked =
            event.message().and_then(|message| message.text).is_some_and(|text| text.trim() == "!ping");
        let ours = event.metadata("self").and_then(|own| own.as_bool()).unwrap_or(false);
        let destination = event.egress().destination.and_then(|text| Topic::parse(&text).ok());
        let (true, false, Some(topic)) = (asked, ours, destination) else { return Ok(Vec::new()) };

        // The whole event goes back, with one candidate more: what others noted on it stays.
        let mut candidates = event.member("candidates").and_then(|raw| raw.as_array()).unwrap_or_default();
        candidates.push(Raw::of(&json!({
            "id": format!("{}/pong", input.message.id), "kind": "text", "source": "ping-bot",
            "createdAt": input.published_at, "status": "proposed", "priority": 10, "text": "pong",
        })));
        event.set("candidates", Raw::of(&candidates));
        let mut attributes: Attributes = input.message.attributes.clone();
        attributes.set(names::SOURCE, "ping-bot");
        Ok(vec![Outgoing { topic, step: "pong".to_owned(), attributes, body: event.encode() }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_bus::Message;
    use chatbus_event::{MessageId, Timestamp, egress_text};

    async fn answer(json: &str) -> Vec<Outgoing> {
        let message = Message::new(MessageId::new("m"), Attributes::new(), json.to_owned());
        let record = Record { topic: Topic::ingress(), seq: 1, published_at: Timestamp::EPOCH, message };
        PingBot.handle(&record).await.unwrap()
    }

    #[tokio::test]
    async fn a_ping_is_answered_where_it_was_asked_and_nothing_else_is() {
        let event = |text: &str, rest: &str| {
            format!(
                r#"{{"type":"chat.message.v1","message":{{"role":"user","text":"{text}"}},
                "egressDestination":"internal.egress.v1.i","x":1e999{rest}}}"#
            )
        };
        let answers = answer(&event(" !ping ", "")).await;
        assert_eq!(answers[0].topic.as_str(), "internal.egress.v1.i");
        let body = Event::decode(&answers[0].body).unwrap();
        assert_eq!(egress_text(&body).as_deref(), Some("pong"));
        assert_eq!(body.member("x").unwrap().as_bytes(), b"1e999");
        assert!(answer(&event("hello", "")).await.is_empty());
        assert!(answer(&event("!ping", r#","metadata":{"self":true}"#)).await.is_empty());
        assert!(answer("not json").await.is_empty());
    }
}
