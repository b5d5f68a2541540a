//! Webhooks as a platform.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_connector::{AuthState, ConnectionState, Connector, Emit, Sink, Status, Webhook};
use chatbus_event::{Clock, Shape, Topic};
use chatbus_runtime::{CancellationToken, Runtime};
use tracing::{info, warn};

use crate::channels::Channels;
use crate::destination::Destination;
use crate::inbox::Inbox;
use crate::normalize::Normalizer;
use crate::outbox::Outbox;
use crate::signature::Keys;
use crate::sink::WebhookSink;
use crate::{PATH, PLATFORM};

/// What a connector is made from.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where is posted to; `None` where messages are only taken.
    pub destination: Option<Destination>,
    /// The secrets, for both directions.
    pub keys: Keys,
    /// Channels to take messages in and to speak in, as [`channel_name`](crate::channel_name) gives them.
    pub channels: Vec<Arc<str>>,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
}

/// Takes what is posted, and posts what is said.
#[derive(Debug)]
pub struct WebhookConnector {
    status: Status,
    channels: Arc<Channels>,
    sink: Arc<WebhookSink>,
    inbox: Arc<Inbox>,
    host: Option<String>,
}

// === impl WebhookConnector ===

impl WebhookConnector {
    /// A connector that does not run yet.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine; why, for people.
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let WebhookConfig { destination, keys, channels, egress, shape } = config;
        let keys = Arc::new(keys);
        let outbox = destination.map(|to| Outbox::new(to, Arc::clone(&keys))).transpose()?;
        let host = outbox.as_ref().map(|outbox| outbox.host().to_owned());
        let channels = Arc::new(Channels::new(channels));
        let auth = AuthState { state: "ok", ..AuthState::anonymous() };
        let status = Status::new(channels.names().0, auth);
        let sink = WebhookSink::new(outbox, Arc::clone(&channels), status.clone(), clock);
        let normalizer = Normalizer { egress, shape };
        let inbox = Inbox::new(keys, Arc::clone(&channels), normalizer, status.clone());
        Ok(Self { status, channels, sink: Arc::new(sink), inbox: Arc::new(inbox), host })
    }

    /// There is nobody to ask: a channel that is wanted is joined while this runs.
    fn show_channels(&self) {
        let (wanted, added) = self.channels.names();
        self.status.update(|snapshot| {
            let is_on = snapshot.state == ConnectionState::Connected;
            snapshot.joined_channels = if is_on { wanted.clone() } else { Default::default() };
            (snapshot.wanted_channels, snapshot.added_channels) = (wanted, added);
        });
        self.sink.note_change();
    }
}

#[async_trait]
impl Connector for WebhookConnector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    fn webhook(&self) -> Option<Arc<dyn Webhook>> {
        Some(Arc::clone(&self.inbox) as Arc<dyn Webhook>)
    }

    /// At most 1,000 channels, the configured ones included.
    fn set_channels(&self, added: Vec<String>) {
        let left_out = self.channels.set_added(&added);
        if left_out.malformed + left_out.beyond > 0 {
            warn!(
                event = "webhook.channels_left_out",
                platform = PLATFORM,
                malformed = left_out.malformed,
                beyond = left_out.beyond,
                "some channels are left out"
            );
        }
        self.show_channels();
    }

    /// Nothing is read here, and what the sink has in hand has connections of its own.
    async fn run(self: Arc<Self>, runtime: Runtime, _: Arc<dyn Emit>, _: CancellationToken) {
        if !runtime.stop.is_cancelled() {
            let host = self.host.as_deref().unwrap_or("nowhere");
            info!(event = "webhook.connected", platform = PLATFORM, path = PATH, to = host, "ready");
            self.inbox.open(Arc::clone(&runtime.entropy));
            self.status.update(|snapshot| snapshot.state = ConnectionState::Connected);
            self.show_channels();
            self.sink.set_stopped(None);
        }
        runtime.stop.cancelled().await;
        self.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
        self.show_channels();
    }
}
