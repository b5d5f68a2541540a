//! The events that are delivered, and what puts them on the bus.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::{Client, Subject, Subscriber};
use chatbus_bus::{Bus, Message, Receipt};
use chatbus_event::{Attributes, MessageId, Topic, names};
use chatbus_runtime::Runtime;
use futures::StreamExt as _;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::orders::ClientsProcess;

/// What is put on a topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fill {
    pub(super) subject: String,
    /// What the events' ids begin with.
    pub(super) name: String,
    pub(super) events: u64,
    /// Users who hear them in turn.
    pub(super) users: usize,
    /// Events a second; as many as there is room for when there is none.
    pub(super) rate: Option<u32>,
}

/// The way onto the bus.
pub(super) enum Through {
    /// The clients' process speaks to this server.
    Nats(String),
    /// The embedded bus has one process.
    Bus(Arc<dyn Bus>, Runtime),
}

/// The least that publishes events to JetStream.
struct Filler {
    client: Client,
    acks: Subscriber,
    inbox: Subject,
    subject: Subject,
    in_flight: usize,
}

/// Messages in flight while the topic is filled.
const WINDOW: usize = 1024;
/// How often what is due is published, where there is a rate.
const STEP: Duration = Duration::from_millis(1);
const AT: &str = "2025-11-21T17:02:00.000Z";
/// What follows the time in an event's text.
const TEXT: &str = " and an answer of about the length that answers have";

/// The user of a number.
pub(super) fn user(n: usize) -> String {
    format!("bench_user_{n:05}")
}

/// A clock that all processes of a machine share.
pub(super) fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// When the text of a frame was published.
pub(super) fn said_at(frame: &[u8]) -> Option<u64> {
    let key = b"\"text\":\"";
    let text = frame.get(memchr::memmem::find(frame, key)? + key.len()..)?;
    let digits = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

/// A frame as a bare server prepares it, as long as one of ours.
pub(super) fn prepared_frame() -> String {
    format!(
        "{{\"type\":\"chat.message.received\",\"payload\":{{\"text\":\"{:020}{TEXT}\",\"type\":\"chat.message.v1\"}},\
         \"metadata\":{{\"id\":\"bench-r1-000000000000\",\"correlationId\":\"bench-r1-000000000000\",\"seq\":100,\
         \"timestamp\":\"{AT}\",\"source\":\"api-gateway\"}}}}",
        0
    )
}

/// Event n: an answer for one of the users, in turn.
fn event(fill: &Fill, n: u64) -> Message {
    let (id, destination) = (format!("bench-{}-{n:012}", fill.name), &fill.subject);
    let user = user(usize::try_from(n).unwrap_or_default() % fill.users.max(1));
    let body = format!(
        "{{\"v\":\"1\",\"id\":\"{id}\",\"correlationId\":\"{id}\",\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\
         \"timestamp\":\"{AT}\",\"type\":\"chat.message.v1\",\"source\":\"api-gateway\",\"userId\":\"{user}\",\
         \"auth\":{{\"v\":\"1\",\"method\":\"token\",\"matched\":true,\"provider\":\"api-gateway\"}},\
         \"egress\":{{\"destination\":\"{destination}\",\"type\":\"chat\"}},\"egressDestination\":\"{destination}\",\
         \"routingSlip\":[],\"finalizationDestination\":\"internal.finalizer.v1\",\
         \"message\":{{\"id\":\"{id}\",\"role\":\"assistant\",\"text\":\"{}{TEXT}\"}},\
         \"annotations\":[],\"candidates\":[]}}",
        monotonic_nanos()
    );
    let attributes: Attributes = [
        (names::CORRELATION_ID, id.as_str()),
        (names::TYPE, "chat.message.v1"),
        (names::SOURCE, "api-gateway"),
        (names::TRACEPARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (names::MESSAGE_ID, id.as_str()),
        (names::DELIVERY_ID, id.as_str()),
        (names::CE_ID, id.as_str()),
        (names::CE_TYPE, "chat.message.v1"),
        (names::CE_SOURCE, "api-gateway"),
        (names::CE_SPECVERSION, "1.0"),
        (names::CE_TIME, AT),
    ]
    .into_iter()
    .collect();
    Message::new(MessageId::new(&id), attributes, body.into_bytes())
}

/// Waits until event n is due.
async fn due(fill: &Fill, n: u64, ticks: &mut tokio::time::Interval) {
    let Some(rate) = fill.rate else { return };
    let step = (u64::from(rate) / 1_000).max(1);
    if n.is_multiple_of(step) {
        ticks.tick().await;
    }
}

/// Fills a server's topic.
pub(super) async fn fill_nats(url: &str, fill: Fill) -> anyhow::Result<()> {
    let mut filler = Filler::connect(url, &fill.subject).await?;
    let mut ticks = tokio::time::interval(STEP);
    for n in 0..fill.events {
        due(&fill, n, &mut ticks).await;
        filler.publish(event(&fill, n)).await?;
        while filler.in_flight >= WINDOW {
            filler.settle().await?;
        }
    }
    while filler.in_flight > 0 {
        filler.settle().await?;
    }
    Ok(())
}

/// Fills a topic of a bus.
async fn fill_bus(bus: &dyn Bus, fill: Fill) -> anyhow::Result<()> {
    let topic = Topic::parse(&fill.subject)?;
    let mut in_flight: VecDeque<Receipt> = VecDeque::new();
    let mut ticks = tokio::time::interval(STEP);
    for n in 0..fill.events {
        due(&fill, n, &mut ticks).await;
        if in_flight.len() >= WINDOW
            && let Some(oldest) = in_flight.pop_front()
        {
            let _stored = oldest.await?;
        }
        in_flight.push_back(bus.publish(&topic, event(&fill, n)));
    }
    for receipt in in_flight {
        receipt.await?;
    }
    Ok(())
}

// === impl Through ===

impl Through {
    /// Puts events on the bus; says how many frames the clients have had when it is done.
    pub(super) async fn fill(&self, clients: &mut ClientsProcess, fill: Fill) -> anyhow::Result<u64> {
        match self {
            Self::Nats(url) => clients.fill(url, fill).await,
            Self::Bus(bus, runtime) => {
                let (done, filled) = tokio::sync::oneshot::channel();
                let bus = Arc::clone(bus);
                runtime.spawn("bench.fill", async move {
                    let _ = done.send(fill_bus(&*bus, fill).await);
                });
                filled.await.context("the filling was cut off")??;
                Ok(0)
            }
        }
    }
}

// === impl Filler ===

impl Filler {
    async fn connect(url: &str, subject: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(url).await.context("the filling client cannot connect")?;
        let inbox: Subject = client.new_inbox().into();
        let acks = client.subscribe(inbox.clone()).await?;
        Ok(Self { acks, inbox, subject: subject.to_owned().into(), in_flight: 0, client })
    }

    async fn publish(&mut self, message: Message) -> anyhow::Result<()> {
        let mut headers = HeaderMap::new();
        let id = format!("{}|{}", self.subject, message.id.as_str());
        headers.insert(HeaderName::from_static("Nats-Msg-Id"), id.parse::<HeaderValue>()?);
        for (name, value) in message.attributes.iter() {
            headers.insert(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?);
        }
        let (subject, inbox) = (self.subject.clone(), self.inbox.clone());
        self.client.publish_with_reply_and_headers(subject, inbox, headers, message.body).await?;
        self.in_flight += 1;
        Ok(())
    }

    async fn settle(&mut self) -> anyhow::Result<()> {
        let ack = self.acks.next().await.context("the connection ended")?;
        let is_stored = memchr::memmem::find(&ack.payload, b"\"seq\"").is_some()
            && memchr::memmem::find(&ack.payload, b"\"error\"").is_none();
        ensure!(is_stored, "the server refused: {}", String::from_utf8_lossy(&ack.payload));
        self.in_flight -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::{Event, egress_text};

    use super::*;

    #[test]
    fn an_event_is_one_that_is_delivered_and_its_frame_tells_when_it_was_published() {
        let subject = "internal.api.egress.v1.bench".to_owned();
        let fill = Fill { subject, name: "t".into(), events: 1, users: 2, rate: None };
        let before = monotonic_nanos();
        let message = event(&fill, 3);
        let decoded = Event::decode(&message.body).unwrap();
        let text = egress_text(&decoded).unwrap();
        assert!(text.ends_with(TEXT));
        let frame = format!("{{\"type\":\"x\",\"payload\":{{\"text\":\"{text}\"}}}}");
        assert!(said_at(frame.as_bytes()).is_some_and(|at| at >= before));
        assert!(String::from_utf8_lossy(&message.body).contains(&user(1)));
        assert_eq!(said_at(prepared_frame().as_bytes()), Some(0));
    }
}
