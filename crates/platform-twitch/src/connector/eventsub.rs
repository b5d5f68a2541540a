//! What of the connector is EventSub's.

use std::sync::Arc;

use chatbus_connector::{AuthState, Status};
use chatbus_event::Clock;
use chatbus_runtime::Runtime;
use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::info;

use crate::added::AddedChannels;
use crate::config::{EventSubTransport, Read, TwitchConfig};
use crate::eventsub::board::Board;
use crate::eventsub::client::Client;
use crate::eventsub::normalize::Normalizer;
use crate::eventsub::socket::Door;
use crate::eventsub::subscriptions::HelixApi;
use crate::eventsub::webhook::{EventSubWebhook, PATH};
use crate::helix::Helix;
use crate::irc::outlet::Outlet;
use crate::normalize::{NormalizerConfig, PLATFORM};

/// There where EventSub is read.
pub(super) struct EventSub {
    /// Its connection's state: what everybody sees where nothing else is read.
    own: Status,
    public: Status,
    api: Arc<HelixApi>,
    callback: Option<Arc<str>>,
    webhook: Option<Arc<EventSubWebhook>>,
}

// === impl EventSub ===

impl EventSub {
    /// As it is configured; `None` where it is not read, or there is no application to ask Twitch as.
    pub(super) fn of(config: &TwitchConfig, public: &Status, clock: &Arc<dyn Clock>) -> Option<Self> {
        if config.read == Read::Irc {
            return None;
        }
        let helix = Helix::new(config.api.clone()?, config.bot.clone(), Arc::clone(clock));
        let is_webhook = config.eventsub_transport == EventSubTransport::Webhook;
        let secret = config.eventsub_secret.clone().filter(|_| is_webhook);
        let webhook = secret
            .clone()
            .map(|secret| Arc::new(EventSubWebhook::new(secret, public.clone(), Arc::clone(clock))));
        let callback = config.public_url.as_ref().filter(|_| is_webhook);
        let own = match config.read {
            Read::Both => Status::new(Vec::new(), AuthState::anonymous()),
            Read::EventSub | Read::Irc => public.clone(),
        };
        Some(Self {
            own,
            public: public.clone(),
            api: Arc::new(HelixApi {
                helix,
                is_app: config.eventsub_transport != EventSubTransport::WebSocket,
                secret,
                clock: Arc::clone(clock),
            }),
            callback: callback.map(|url| format!("{url}{PATH}").into()),
            webhook,
        })
    }

    pub(super) fn webhook(&self) -> Option<Arc<EventSubWebhook>> {
        self.webhook.clone()
    }

    /// The client that reads it from now on.
    pub(super) fn client(
        &self,
        config: &TwitchConfig,
        tls: &Arc<ClientConfig>,
        added: watch::Receiver<AddedChannels>,
        outlet: Outlet,
        runtime: Runtime,
    ) -> Client {
        let normalizer = || {
            let own_login = config.bot.now().login;
            let normalizer =
                NormalizerConfig { egress: config.egress.clone(), shape: config.shape, own_login };
            Normalizer::new(normalizer, Arc::clone(&runtime.entropy))
        };
        if let Some(webhook) = &self.webhook {
            webhook.begin(normalizer());
        }
        info!(
            event = "twitch.eventsub.starting",
            platform = PLATFORM,
            url = %config.eventsub_url,
            transport = ?config.eventsub_transport,
            channels = config.channels.len(),
            "starting"
        );
        Client {
            transport: config.eventsub_transport,
            door: Door::new(config.eventsub_url.clone(), Arc::clone(tls)),
            callback: self.callback.clone(),
            api: Arc::clone(&self.api),
            bot: config.bot.clone(),
            owner: config.broadcaster.clone(),
            base: config.channels.clone(),
            added,
            board: Board::new(self.own.clone(), self.public.clone()),
            normalizer: normalizer(),
            outlet,
            reconnect_initial: config.reconnect_initial,
            reconnect_max: config.reconnect_max,
            runtime,
        }
    }
}

impl std::fmt::Debug for EventSub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSub").field("callback", &self.callback).finish_non_exhaustive()
    }
}
