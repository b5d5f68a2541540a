//! The least that publishes to JetStream: async-nats, one inbox for all acknowledgements, which come in
//! the order of the messages since one stream gives them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use async_nats::{Client, Subject, Subscriber};
use chatbus_event::{Clock, names};
use futures::{FutureExt as _, StreamExt as _};

use super::sample::Sample;

/// A connection that publishes one sample.
pub(super) struct Bare {
    client: Client,
    acks: Subscriber,
    inbox: Subject,
    subject: Subject,
    headers: HeaderMap,
    id_header: HeaderName,
    sample: Sample,
    clock: Arc<dyn Clock>,
    in_flight: VecDeque<Instant>,
}

// === impl Bare ===

impl Bare {
    pub(super) async fn connect(url: &str, sample: Sample, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let client = async_nats::connect(url).await.context("the bare client cannot connect")?;
        let inbox: Subject = client.new_inbox().into();
        let acks = client.subscribe(inbox.clone()).await?;
        Ok(Self {
            acks,
            inbox,
            subject: sample.topic().as_str().to_owned().into(),
            headers: sample.headers(),
            id_header: names::MESSAGE_ID.parse().context("a header's name")?,
            sample,
            clock,
            in_flight: VecDeque::new(),
            client,
        })
    }

    /// Makes a stream for the sample's topic; for a server that no driver has prepared.
    pub(super) async fn make_stream(&self) -> anyhow::Result<()> {
        let config = async_nats::jetstream::stream::Config {
            name: "bench".to_owned(),
            subjects: vec![self.subject.to_string()],
            duplicate_window: Duration::from_secs(120),
            ..Default::default()
        };
        async_nats::jetstream::new(self.client.clone()).create_stream(config).await?;
        Ok(())
    }

    pub(super) fn server_version(&self) -> String {
        self.client.server_info().version
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(super) async fn publish(&mut self, n: u64) -> anyhow::Result<()> {
        let id = self.sample.id(n);
        let mut headers = self.headers.clone();
        headers.insert(
            HeaderName::from_static("Nats-Msg-Id"),
            format!("{}|{id}", self.subject).parse::<HeaderValue>()?,
        );
        headers.insert(self.id_header.clone(), id.parse::<HeaderValue>()?);
        self.in_flight.push_back(self.clock.instant());
        let (subject, inbox, body) = (self.subject.clone(), self.inbox.clone(), self.sample.body().clone());
        self.client.publish_with_reply_and_headers(subject, inbox, headers, body).await?;
        Ok(())
    }

    /// Waits for the next acknowledgement, and gives what it took. Safe to drop while waiting.
    pub(super) async fn settle(&mut self) -> anyhow::Result<Duration> {
        let ack = self.acks.next().await.context("the connection ended")?;
        self.enter(&ack.payload)
    }

    /// The next acknowledgement, if it is there.
    pub(super) fn settle_ready(&mut self) -> anyhow::Result<Option<Duration>> {
        match self.acks.next().now_or_never() {
            None => Ok(None),
            Some(ack) => self.enter(&ack.context("the connection ended")?.payload).map(Some),
        }
    }

    fn enter(&mut self, ack: &[u8]) -> anyhow::Result<Duration> {
        if memchr::memmem::find(ack, b"\"error\"").is_some()
            || memchr::memmem::find(ack, b"\"seq\"").is_none()
        {
            bail!("the server refused: {}", String::from_utf8_lossy(ack));
        }
        let begun = self.in_flight.pop_front().context("an acknowledgement of nothing")?;
        Ok(self.clock.instant().saturating_duration_since(begun))
    }
}
