//! Reads one shard: connects, hands over what it tells, and connects again.
//!
//! twilight's shard is one connection here. It speaks the protocol and watches the heartbeats; how it would
//! connect again is left unused, since it waits for the other side to end a connection, which a dead one never
//! does, and forgets the session with the process.

mod covering;
mod frames;

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chatbus_connector::{Emit, Inbound};
use chatbus_event::Timestamp;
use chatbus_runtime::{CancellationToken, Runtime};
use futures::{FutureExt as _, Stream, StreamExt as _};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tracing::info;
use twilight_gateway::error::{ReceiveMessageError, ReceiveMessageErrorType};
use twilight_gateway::queue::InMemoryQueue;
use twilight_gateway::{Config, ConfigBuilder, Message, Shard, ShardId, ShardState};

use super::backfill::Fetched;
use super::life::{End, Life, Missed, Next};
use super::note::{self, Note};
use super::start::Started;
use crate::PLATFORM;
use crate::config::GatewayUrl;
use crate::connector::Shared;
use crate::normalize::{Normalizer, Oddities};

/// A gateway that says nothing for so long after a connection was begun is dead.
const HELLO_WITHIN: Duration = Duration::from_secs(20);
/// Events that are handed over together.
const MAX_BATCH: usize = 64;
/// Events that wait for what was said before them; beyond these, order gives way.
const MAX_HELD: usize = 2_000;

/// What was missed, until when, and what had been heard before.
struct Filling {
    missed: Missed,
    to: Timestamp,
    seen: BTreeMap<String, u64>,
    fetching: Pin<Box<dyn Future<Output = Fetched> + Send>>,
}

/// See the module.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    runtime: Runtime,
    emit: Arc<dyn Emit>,
    started: Started,
    shard: u32,
    normalizer: Normalizer,
    life: Life,
    /// The last message that was heard in each channel that is read.
    seen: BTreeMap<String, u64>,
    notes: watch::Sender<Option<Note>>,
    /// Read and not handed over yet, and the number of the last dispatch of it.
    batch: Vec<Inbound>,
    batch_seq: Option<u64>,
    /// What is being fetched of a gap; everything else waits behind it.
    filling: Option<Filling>,
    oddities: Oddities,
    has_stopped: bool,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        runtime: Runtime,
        emit: Arc<dyn Emit>,
        started: Started,
        shard: u32,
    ) -> Self {
        let config = shared.normalizer_config();
        let mut normalizer =
            Normalizer::with(config, Arc::clone(&shared.directory), Arc::clone(&runtime.entropy));
        normalizer.set_own_user(started.own_user.clone());
        Self {
            life: Life::new(None, started.shards),
            shared,
            runtime,
            emit,
            started,
            shard,
            normalizer,
            seen: BTreeMap::new(),
            notes: watch::Sender::new(None),
            batch: Vec::new(),
            batch_seq: None,
            filling: None,
            oddities: Oddities::default(),
            has_stopped: false,
        }
    }

    /// Reads until the process stops, or nothing more can be read.
    pub(crate) async fn run(mut self) {
        let (shared, over) = (Arc::clone(&self.shared), CancellationToken::new());
        let key = note::key(&shared.config.token, self.shard);
        let now = self.runtime.clock.now();
        let (found, key) = note::recall(&*shared.notes, key, shared.instance(), now).await;
        self.life = Life::new(found.as_ref(), self.started.shards);
        self.seen = found.map(|note| note.seen).unwrap_or_default();
        let writing = note::write(Arc::clone(&shared.notes), key, self.notes.subscribe(), over.clone());
        let reading = async move {
            self.read().await;
            // The last note says that nobody holds the session any more.
            self.save(true);
            drop(self);
            over.cancel();
        };
        tokio::join!(reading, writing);
    }

    async fn read(&mut self) {
        let stop = self.runtime.stop.clone();
        while !stop.is_cancelled() && !self.has_stopped {
            let end = self.connection(&stop).await;
            self.give_up_filling();
            self.hand_over().await;
            self.shared.lost(self.shard);
            if end == End::Stopped {
                return;
            }
            self.save(false);
            let next = self.life.ended(end, self.runtime.clock.instant(), &*self.runtime.entropy);
            let wait = match next {
                Next::Again(wait) => {
                    info!(
                        event = "discord.gateway.lost",
                        platform = PLATFORM,
                        shard = self.shard,
                        ?end,
                        "connecting again"
                    );
                    wait
                }
                Next::Halt(halt) => {
                    self.shared.halt(halt, self.runtime.clock.now());
                    match halt.again() {
                        Some(wait) => wait,
                        None => return,
                    }
                }
            };
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        }
    }

    /// One connection, to its end.
    async fn connection(&mut self, stop: &CancellationToken) -> End {
        let mut shard = Shard::with_config(ShardId::new(self.shard, self.started.shards), self.config());
        let mut hello_by = Some(Box::pin(tokio::time::sleep(HELLO_WITHIN)));
        loop {
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                fetched = fetched(&mut self.filling) => {
                    self.fill(fetched).await;
                    continue;
                }
                item = next(&mut shard, hello_by.is_none()) => item,
                () = async { if let Some(by) = &mut hello_by { by.await } }, if hello_by.is_some() => {
                    return End::Lost;
                }
            };
            // What came in one go is handed over in one go.
            let mut item = Some(item);
            while let Some(next) = item {
                let end = match next {
                    None => Some(End::Lost),
                    Some(Err(error)) => self.on_error(&error),
                    Some(Ok(Message::Close(frame))) => Some(match frame.map(|frame| frame.code) {
                        None | Some(1006) => End::Lost,
                        Some(code) => End::Closed(code),
                    }),
                    Some(Ok(Message::Text(text))) => {
                        hello_by = None;
                        self.on_text(&text.into(), &shard)
                    }
                };
                if let Some(end) = end {
                    return end;
                }
                let has_room = self.batch.len() < MAX_BATCH && self.filling.is_none();
                item = if has_room { shard.next().now_or_never() } else { None };
            }
            if self.filling.is_none() || self.batch.len() >= MAX_HELD {
                self.hand_over().await;
            }
            if self.has_stopped {
                return End::Stopped;
            }
        }
    }

    fn config(&self) -> Config<InMemoryQueue> {
        let token = self.shared.config.token.expose_secret().to_owned();
        let mut builder = ConfigBuilder::new(token, self.started.intents)
            .proxy_url(self.started.gateway.as_str().to_owned())
            .queue(self.started.queue.clone());
        if let Some(session) = self.life.session() {
            builder = builder.session(twilight_gateway::Session::new(session.seq, session.id.clone()));
            if let Some(url) = session.url.as_ref().filter(|url| self.may_resume_at(url)) {
                builder = builder.resume_url(url.clone());
            }
        }
        builder.build()
    }

    /// Whether a session may go on at that address, which came from outside, a note included: the token goes there.
    fn may_resume_at(&self, url: &str) -> bool {
        GatewayUrl::parse(url).is_ok_and(|url| self.started.gateway.may_lead_to(&url))
    }

    fn on_error(&mut self, error: &ReceiveMessageError) -> Option<End> {
        match error.kind() {
            ReceiveMessageErrorType::Reconnect => {
                let why =
                    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
                self.shared.fail("unreachable", &why, self.runtime.clock.now());
                Some(End::Unreachable)
            }
            ReceiveMessageErrorType::Deserializing { .. } => {
                self.shared.count("malformed", 1);
                None
            }
            _ => Some(End::Lost),
        }
    }
}

/// What the shard tells next; `None` once its connection is gone. A connection that was closed without a word is
/// told by nothing but the state: the shard goes on to make another.
async fn next(shard: &mut Shard, was_connected: bool) -> Option<<Shard as Stream>::Item> {
    poll_fn(|cx| match shard.poll_next_unpin(cx) {
        Poll::Ready(item) => Poll::Ready(item),
        Poll::Pending if was_connected && matches!(shard.state(), ShardState::Disconnected { .. }) => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// What is being fetched, once it is; for ever where nothing is.
async fn fetched(filling: &mut Option<Filling>) -> Fetched {
    match filling {
        Some(filling) => (&mut filling.fetching).await,
        None => std::future::pending().await,
    }
}
