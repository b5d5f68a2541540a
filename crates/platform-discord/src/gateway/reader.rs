//! Reads one shard: connects, hands over what it tells, and connects again.
//!
//! twilight's shard is one connection here. It speaks the protocol and watches the heartbeats; how it would
//! connect again is left unused, since it waits for the other side to end a connection, which a dead one never
//! does, and forgets the session with the process.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use chatbus_connector::{Emit, Emitted, Inbound};
use chatbus_event::Timestamp;
use chatbus_runtime::{CancellationToken, Runtime};
use futures::{FutureExt as _, Stream, StreamExt as _};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tracing::{info, warn};
use twilight_gateway::error::{ReceiveMessageError, ReceiveMessageErrorType};
use twilight_gateway::queue::InMemoryQueue;
use twilight_gateway::{Config, ConfigBuilder, Message, Shard, ShardId, ShardState};

use super::backfill::{Fetched, fetch};
use super::life::{End, Life, Missed, Next, Session};
use super::note::{self, Note};
use super::start::Started;
use crate::PLATFORM;
use crate::config::GatewayUrl;
use crate::connector::Shared;
use crate::directory::id_of;
use crate::normalize::{Frame, Gap, Normalizer, Oddities};

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

    fn on_text(&mut self, text: &Bytes, shard: &Shard) -> Option<End> {
        let Some(frame) = Frame::parse(text) else {
            self.shared.count("malformed", 1);
            return None;
        };
        match frame.op {
            0 => self.on_dispatch(&frame, shard),
            7 => Some(End::Reconnect),
            9 => Some(End::Invalid { resumable: frame.data.as_bool() == Some(true) }),
            11 => {
                self.on_pulse(shard);
                None
            }
            _ => None,
        }
    }

    fn on_pulse(&mut self, shard: &Shard) {
        let now = self.runtime.clock.now();
        self.life.heard(now);
        let latency = shard.latency().recent().first().and_then(|took| u64::try_from(took.as_millis()).ok());
        self.shared.status.count(|snapshot| {
            snapshot.last_pong_at = Some(now);
            snapshot.latency_ms = latency;
        });
        if self.filling.is_none() {
            self.save(false);
        }
    }

    fn on_dispatch(&mut self, frame: &Frame, shard: &Shard) -> Option<End> {
        let now = self.runtime.clock.now();
        let (Some(seq), Some(name)) = (frame.seq, frame.name.as_deref()) else {
            self.shared.count("malformed", 1);
            return None;
        };
        let mut end = None;
        match name {
            "READY" => {
                if let Some(id) =
                    frame.data.at(&["user", "id"]).and_then(|id| id.as_str().map(|id| id.into_owned()))
                {
                    self.normalizer.set_own_user(id);
                }
                let url = shard.resume_url().map(str::to_owned).filter(|url| self.may_resume_at(url));
                if url.is_none() && shard.resume_url().is_some() {
                    // The library would take the token there, or give up the program over what is no URL.
                    end = Some(End::Reconnect);
                }
                let session =
                    shard.session().map(|session| Session { id: session.id().to_owned(), seq, url });
                self.on_live(session, now);
            }
            "RESUMED" => {
                self.shared.count("resumes", 1);
                self.on_live(None, now);
            }
            _ => {}
        }
        self.batch_seq = Some(seq);
        if name == "MESSAGE_CREATE" {
            self.note_seen(frame);
        }
        if let Some(event) = self.normalizer.dispatch(name, seq, &frame.data, now) {
            self.batch.push(event);
            self.shared.status.count(|snapshot| {
                snapshot.counters.received += 1;
                snapshot.last_message_at = Some(now);
            });
        }
        let after = self.normalizer.oddities();
        for (counter, before, after) in [
            ("filtered", self.oddities.filtered, after.filtered),
            ("noise", self.oddities.noise, after.noise),
            ("malformed", self.oddities.malformed, after.malformed),
        ] {
            if after > before {
                self.shared.count(counter, after - before);
            }
        }
        self.oddities = after;
        if name.starts_with("GUILD_CREATE") || name.starts_with("CHANNEL_") {
            self.shared.show_channels();
        }
        end
    }

    fn on_live(&mut self, session: Option<Session>, now: Timestamp) {
        self.life.is_live(session, self.runtime.clock.instant());
        if let Some(id) = self.life.session().map(|session| session.id.clone()) {
            self.normalizer.set_session(&id);
        }
        if let (Some(missed), None) = (self.life.missed(), &self.filling) {
            warn!(
                event = "discord.gateway.gap", platform = PLATFORM, shard = self.shard, reason = missed.reason,
                from = %missed.from, "something was missed; fetching what can be"
            );
            let channels = self.shared.wanted();
            let seen = self.seen.clone();
            let fetching = fetch(Arc::clone(&self.shared.rest), channels, seen.clone(), missed.from);
            self.filling = Some(Filling { missed, to: now, seen, fetching: Box::pin(fetching) });
        }
        self.shared.live(self.shard, self.started.shards, now);
    }

    /// What was fetched of a gap goes out before what was said since.
    async fn fill(&mut self, fetched: Fetched) {
        let Some(Filling { missed, to, .. }) = self.filling.take() else { return };
        let since = std::mem::take(&mut self.batch);
        let now = self.runtime.clock.now();
        for message in &fetched.messages {
            if let Some(event) = self.normalizer.backfilled(message, now) {
                self.batch.push(event);
            }
            let [channel, id] = message.pick(["channel_id", "id"]);
            if let (Some(channel), Some(id)) = (channel, id.as_ref().and_then(id_of)) {
                self.see(channel.as_str().unwrap_or_default().as_ref(), id);
            }
        }
        let backfilled = self.batch.len();
        self.shared.count("backfilled", u64::try_from(backfilled).unwrap_or(u64::MAX));
        self.shared.count("gaps", 1);
        let gap = Gap {
            from: missed.from,
            to,
            reason: missed.reason,
            channels: self.shared.wanted().iter().map(ToString::to_string).collect(),
            backfilled,
            open: fetched.open,
        };
        let gap = self.normalizer.gap(&gap, now);
        self.batch.push(gap);
        self.batch.extend(since);
        self.life.told();
        self.hand_over().await;
    }

    /// The connection ended before a gap was filled: it is filled over the next one.
    fn give_up_filling(&mut self) {
        if let Some(filling) = self.filling.take() {
            self.seen = filling.seen;
        }
    }

    /// Hands over what was read, and then remembers that it was.
    async fn hand_over(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let seq = self.batch_seq.take();
        if !batch.is_empty() && self.emit.emit(batch).await == Emitted::Stopped {
            self.has_stopped = true;
            return;
        }
        let Some(seq) = seq else { return };
        self.life.covered(seq);
        self.life.heard(self.runtime.clock.now());
        self.save(false);
    }

    fn note_seen(&mut self, frame: &Frame) {
        let [channel, id] = frame.data.pick(["channel_id", "id"]);
        if let (Some(channel), Some(id)) = (channel, id.as_ref().and_then(id_of)) {
            let channel = channel.as_str().unwrap_or_default();
            if self.shared.wanted_is(&channel) {
                self.see(&channel, id);
            }
        }
    }

    fn see(&mut self, channel: &str, id: u64) {
        match self.seen.get_mut(channel) {
            Some(last) => *last = id.max(*last),
            None => {
                self.seen.insert(channel.to_owned(), id);
            }
        }
    }

    /// Tells the writer of notes what is covered. While something missed is not told yet nothing is, so that
    /// the next process would find the same gap.
    fn save(&mut self, lets_go: bool) {
        let (Some(session), Some(at)) = (self.life.session(), self.life.heard_at()) else { return };
        if self.life.missed().is_some() {
            return;
        }
        let wanted = self.shared.wanted();
        self.seen.retain(|channel, _| wanted.iter().any(|wanted| **wanted == **channel));
        let holder = if lets_go { "" } else { self.shared.instance() };
        self.notes.send_replace(Some(Note {
            session: session.id.clone(),
            seq: session.seq,
            url: session.url.clone(),
            total: self.started.shards,
            at,
            holder: holder.to_owned(),
            seen: self.seen.clone(),
        }));
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
