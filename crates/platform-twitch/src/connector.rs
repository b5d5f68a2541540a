//! Twitch as a platform.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use chatbus_connector::{Connector, Emit, Emitted, Share, Sink, Status};
use chatbus_event::Clock;
use chatbus_runtime::{CancellationToken, Runtime};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::TwitchConfig;
use crate::added::AddedChannels;
use crate::irc::auth::{Auth, is_kept};
use crate::irc::client::{Client, Request};
use crate::irc::outlet::{MAX_BATCHES, Outlet};
use crate::irc::session::{Session, SessionConfig};
use crate::normalize::{Normalizer, NormalizerConfig, PLATFORM};
use crate::sink::{ByHelix, MAX_REQUESTS, SharedSession, TwitchSink};

/// Reads and speaks Twitch chat over IRC.
#[derive(Debug)]
pub struct TwitchConnector {
    config: TwitchConfig,
    tls: Arc<ClientConfig>,
    status: Status,
    session: SharedSession,
    sink: Arc<TwitchSink>,
    requests: Mutex<Option<mpsc::Receiver<Request>>>,
    changes: watch::Sender<u64>,
    added: watch::Sender<AddedChannels>,
    share: Share,
}

// === impl TwitchConnector ===

impl TwitchConnector {
    /// A connector that does not run yet. `tls` says whom `ircs://` and `wss://` trust, such as
    /// [`public_roots`](crate::irc::transport::public_roots).
    pub fn new(config: TwitchConfig, tls: Arc<ClientConfig>, clock: Arc<dyn Clock>) -> Self {
        let auth = Auth::of(&config.bot, config.awaits_login).shown(&config.bot.now());
        let status = Status::new(config.channels.iter().map(ToString::to_string), auth);
        let session = SharedSession::default();
        let (sender, receiver) = mpsc::channel(MAX_REQUESTS);
        let changes = watch::Sender::new(0);
        let added = watch::Sender::new(AddedChannels::default());
        let share = Share::whole();
        let sink = Arc::new(TwitchSink {
            by_helix: ByHelix::of(&config, &share, &status, &clock),
            session: Arc::clone(&session),
            requests: sender,
            changes: changes.subscribe(),
            made_at: clock.instant(),
            clock,
            channels: config.channels.clone(),
            added: added.subscribe(),
            account: config.bot.clone(),
            awaits_login: config.awaits_login,
            tickets: AtomicU64::new(1),
        });
        let requests = Mutex::new(Some(receiver));
        Self { config, tls, status, session, sink, requests, changes, added, share }
    }

    fn begin(&self, runtime: &Runtime) -> Arc<Mutex<Session>> {
        let config = SessionConfig {
            credential: self.config.bot.now(),
            is_kept: is_kept(&self.config.bot),
            awaits_login: self.config.awaits_login,
            channels: self.config.channels.clone(),
            paced: self.config.is_paced(),
            is_verified: self.config.is_verified,
            share: self.share.clone(),
            reconnect_initial: self.config.reconnect_initial,
            reconnect_max: self.config.reconnect_max,
        };
        let now = runtime.clock.instant();
        let make = || Arc::new(Mutex::new(Session::new(config, Arc::clone(&runtime.entropy), now)));
        Arc::clone(OnceLock::get_or_init(&self.session, make))
    }

    fn normalizer(&self, runtime: &Runtime) -> Normalizer {
        let config = NormalizerConfig {
            egress: self.config.egress.clone(),
            shape: self.config.shape,
            own_login: self.config.bot.now().login.map(|login| login.to_ascii_lowercase()),
        };
        Normalizer::new(config, Arc::clone(&runtime.entropy))
    }
}

#[async_trait]
impl Connector for TwitchConnector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn share(&self) -> Option<Share> {
        self.config.is_paced().then(|| self.share.clone())
    }

    /// At most 2,000 channels are joined, the configured ones included: the list's first ones for which
    /// there is room.
    fn set_channels(&self, added: Vec<String>) {
        self.added.send_modify(|list| *list = list.renew(&added, &self.config.channels));
    }

    async fn run(self: Arc<Self>, runtime: Runtime, emit: Arc<dyn Emit>, drained: CancellationToken) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It runs once: the sink's requests have one reader.
        let Some(mut requests) = requests else { return };
        info!(
            event = "twitch.irc.starting",
            platform = PLATFORM,
            url = %self.config.endpoint,
            channels = self.config.channels.len(),
            paced = self.config.is_paced(),
            "starting"
        );
        let (batches, taken) = mpsc::channel(MAX_BATCHES);
        let client = Client {
            endpoint: self.config.endpoint.clone(),
            tls: Arc::clone(&self.tls),
            credentials: self.config.bot.changes(),
            account: self.config.bot.clone(),
            auth: Auth::of(&self.config.bot, self.config.awaits_login),
            session: self.begin(&runtime),
            normalizer: self.normalizer(&runtime),
            status: self.status.clone(),
            changes: self.changes.clone(),
            base: self.config.channels.clone(),
            added: self.added.subscribe(),
            share: self.share.clone(),
            outlet: Outlet::new(batches),
            runtime,
        };
        // The client's end of the queue falls with it, and what it holds is handed over before.
        tokio::join!(client.run(&mut requests, drained), hand_over(taken, emit));
    }
}

/// Hands batches to the publisher, one after the other, until there are no more or it has stopped.
async fn hand_over(mut taken: mpsc::Receiver<Vec<chatbus_connector::Inbound>>, emit: Arc<dyn Emit>) {
    while let Some(batch) = taken.recv().await {
        if emit.emit(batch).await == Emitted::Stopped {
            return;
        }
    }
}
