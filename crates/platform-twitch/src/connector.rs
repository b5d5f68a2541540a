//! Twitch as a platform.

mod eventsub;
mod merge;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use chatbus_connector::{AuthState, Connector, Emit, Share, Sink, Status, Webhook};
use chatbus_event::Clock;
use chatbus_runtime::{CancellationToken, Runtime};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tracing::info;

use crate::added::AddedChannels;
use crate::config::{Read, TwitchConfig};
use crate::irc::auth::{Auth, is_kept};
use crate::irc::client::{Client, Request};
use crate::irc::outlet::{MAX_BATCHES, Outlet};
use crate::irc::session::{Session, SessionConfig};
use crate::normalize::{Normalizer, NormalizerConfig, PLATFORM};
use crate::sink::{ByHelix, MAX_REQUESTS, SharedSession, TwitchSink};
use eventsub::EventSub;
use merge::{Twice, hand_over, let_go};

/// Reads Twitch over IRC, EventSub or both, and speaks over IRC and Helix.
///
/// IRC is connected in any case, since it is needed to speak. Where it is not what is read, its events are let
/// go and its state is not shown, but what it says is counted.
#[derive(Debug)]
pub struct TwitchConnector {
    config: TwitchConfig,
    tls: Arc<ClientConfig>,
    status: Status,
    /// IRC's state: what everybody sees unless only EventSub is read.
    irc_status: Status,
    eventsub: Option<EventSub>,
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
        let eventsub = EventSub::of(&config, &status, &clock);
        let irc_status = match (&eventsub, config.read) {
            (Some(_), Read::EventSub) => Status::new(Vec::new(), AuthState::anonymous()),
            _ => status.clone(),
        };
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
        Self { config, tls, status, irc_status, eventsub, session, sink, requests, changes, added, share }
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

    fn webhook(&self) -> Option<Arc<dyn Webhook>> {
        let webhook = self.eventsub.as_ref()?.webhook()?;
        Some(webhook)
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
        let (unheard, let_go_of) = mpsc::channel(MAX_BATCHES);
        let reads_irc = self.eventsub.is_none() || self.config.read == Read::Both;
        let twice = (reads_irc && self.eventsub.is_some())
            .then(|| Twice::new(Arc::clone(&runtime.clock), self.status.clone()));
        let eventsub = self.eventsub.as_ref().map(|eventsub| {
            let (added, outlet) = (self.added.subscribe(), Outlet::new(batches.clone()));
            eventsub.client(&self.config, &self.tls, added, outlet, runtime.clone())
        });
        // The end that is not used falls here: a queue is done with when it has none.
        let (irc_batches, unused) = if reads_irc { (batches, unheard) } else { (unheard, batches) };
        drop(unused);
        let client = Client {
            endpoint: self.config.endpoint.clone(),
            tls: Arc::clone(&self.tls),
            credentials: self.config.bot.changes(),
            account: self.config.bot.clone(),
            auth: Auth::of(&self.config.bot, self.config.awaits_login),
            session: self.begin(&runtime),
            normalizer: self.normalizer(&runtime),
            status: self.irc_status.clone(),
            public: self.status.clone(),
            changes: self.changes.clone(),
            base: self.config.channels.clone(),
            added: self.added.subscribe(),
            share: self.share.clone(),
            outlet: Outlet::new(irc_batches),
            runtime,
        };
        let read_eventsub = async {
            if let Some(eventsub) = eventsub {
                eventsub.run().await;
            }
        };
        // The clients' ends of the queues fall with them, and what they hold is handed over before.
        tokio::join!(
            client.run(&mut requests, drained),
            read_eventsub,
            hand_over(taken, emit, twice),
            let_go(let_go_of),
        );
    }
}
