//! A watch: a consumer without acknowledgements, of this connection alone.
//!
//! It begins with the last message of each key. What the server sends ahead is bounded by its flow
//! control: it asks from time to time whether what it sent was read, and is answered when it was.
//! Whatever could be a gap ends the watch, since whoever watches begins anew and is told all.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_runtime::CancellationToken;
use chatbus_state::{Change, Changes, Key, Space, StateError};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::read::Found;
use super::tidy::Marker;
use super::{Shared, answered};
use crate::api::{self, Settings};
use crate::headers;
use crate::record::Place;
use crate::streams::nanos;
use crate::wire::{Inbound, Session, Subscribed};

/// How often the server says that there is nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Silence after which the watch is over: the consumer was removed, or its leader died unheard.
const SILENT: Duration = Duration::from_secs(6);
/// How long the server keeps a consumer that nobody listens to.
const ABANDONED: Duration = Duration::from_secs(10);
/// Messages that may wait to be read: more than the 32 MiB that flow control lets the server send ahead
/// are of small entries. What is more ends the watch.
const MAX_WAITING: usize = 256 * 1024;

/// A watch.
pub(super) struct NatsChanges {
    session: Arc<Session>,
    inbox: Subscribed,
    closing: CancellationToken,
    markers: mpsc::Sender<Marker>,
    space: Space,
    /// `STREAM.CONSUMER`
    consumer: String,
    /// `$KV.BUCKET.`
    before_key: String,
    /// The number of the last message that came.
    seen: u64,
    /// How many messages of those that there were at the beginning have not come; `None` once that was
    /// told.
    first: Option<u64>,
    ended: bool,
}

/// Begins a watch.
pub(super) async fn begin(
    shared: &Shared,
    session: &Arc<Session>,
    space: Space,
    markers: mpsc::Sender<Marker>,
) -> Result<NatsChanges, StateError> {
    let what = format!("watching {}", space.name());
    let inbox = session.subscribe(MAX_WAITING).map_err(|error| super::unread(&what, &error))?;
    let name = format!("chatbus-watch-{:016x}", shared.link.runtime.entropy.next_u64());
    let stream = shared.stream(space);
    let settings = settings(&name, &inbox.subject, &shared.subject(space, ">"));
    let made = answered(&what, api::put_consumer(session, &stream, &name, &settings, "create")).await?;
    let made = made.ok_or_else(|| StateError::closed(format!("{what}: another has the same name")))?;
    Ok(NatsChanges {
        session: Arc::clone(session),
        inbox,
        closing: shared.closing.clone(),
        markers,
        space,
        consumer: format!("{stream}.{name}"),
        before_key: shared.subject(space, ""),
        seen: 0,
        // What was sent before the answer counts too.
        first: Some(made.num_pending + made.delivered.consumer_seq),
        ended: false,
    })
}

fn settings(name: &str, inbox: &str, filter: &str) -> Settings {
    let json = json!({
        "name": name,
        "deliver_subject": inbox,
        "deliver_policy": "last_per_subject",
        "filter_subject": filter,
        "ack_policy": "none",
        "max_deliver": 1,
        "replay_policy": "instant",
        "flow_control": true,
        "idle_heartbeat": nanos(HEARTBEAT),
        "inactive_threshold": nanos(ABANDONED),
        "mem_storage": true,
        "num_replicas": 1,
    });
    match json {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

// === impl NatsChanges ===

impl NatsChanges {
    /// A message's change; `None` for what is none. Ends the watch at a gap.
    fn read(&mut self, inbound: Inbound) -> Option<Change> {
        let Some(place) = inbound.reply.as_deref().and_then(Place::read) else {
            self.heed(&inbound);
            return None;
        };
        if place.consumer_seq != self.seen + 1 {
            self.end("a message is missing");
            return None;
        }
        self.seen = place.consumer_seq;
        if let Some(first) = &mut self.first {
            *first = if place.pending == 0 { 0 } else { first.saturating_sub(1) };
        }
        // A third party can write what is no key.
        let key = Key::parse(inbound.subject().strip_prefix(&self.before_key)?).ok()?;
        let headers = inbound.headers().to_vec();
        Some(match Found::of(&headers, inbound.into_payload(), place.stream_seq) {
            Found::Entry(entry) => Change::Set(key, entry),
            Found::Marker(seq) => {
                // Left by who ended before it could take it away.
                if self.first.is_some() && self.space.ttl().is_none() {
                    let _ = self.markers.try_send(Marker { space: self.space, key: key.clone(), seq });
                }
                Change::Removed(key)
            }
        })
    }

    /// What the server says beside messages.
    fn heed(&mut self, inbound: &Inbound) {
        let Some((code, description)) = headers::status(inbound.headers()) else { return };
        if code != 100 {
            self.end(&description);
            return;
        }
        if let Some(question) = &inbound.reply {
            // Everything before it was read.
            let _ = self.session.post(question, None, &[]);
            return;
        }
        let header = |name| headers::servers_own(inbound.headers(), name);
        if let Some(question) = header("Nats-Consumer-Stalled") {
            let _ = self.session.post(&question, None, &[]);
        } else if header("Nats-Last-Consumer")
            .and_then(|last| last.parse().ok())
            .is_some_and(|last: u64| last > self.seen)
        {
            self.end("messages are missing");
        } else if let Some(first) = &mut self.first {
            // Nothing is on its way, so all there was has come, or was removed meanwhile.
            *first = 0;
        }
    }

    fn end(&mut self, why: &str) {
        self.ended = true;
        tracing::debug!(
            event = "state.watch_ended",
            space = self.space.name(),
            reason = why,
            "a watch ended"
        );
    }
}

#[async_trait]
impl Changes for NatsChanges {
    async fn next(&mut self) -> Option<Change> {
        loop {
            if self.ended || self.closing.is_cancelled() {
                return None;
            }
            if self.first == Some(0) {
                self.first = None;
                return Some(Change::Current);
            }
            let inbound = tokio::select! {
                () = self.closing.cancelled() => None,
                inbound = tokio::time::timeout(SILENT, self.inbox.messages.recv()) => inbound.ok().flatten(),
            };
            let Some(inbound) = inbound else {
                self.end("the connection ended, or the server is silent");
                return None;
            };
            if let Some(change) = self.read(inbound) {
                return Some(change);
            }
        }
    }
}

impl Drop for NatsChanges {
    fn drop(&mut self) {
        // At the latest it is removed when nobody listened for a while.
        let _ = self.session.post(&format!("$JS.API.CONSUMER.DELETE.{}", self.consumer), None, &[]);
    }
}
