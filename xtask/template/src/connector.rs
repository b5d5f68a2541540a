//! Reads what is new, for as long as it is told to run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{AuthState, ConnectionState, Connector, Emit, Emitted, LastError, Sink, Status};
use chatbus_event::{Clock, Shape, Timestamp, Topic};
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use secrecy::SecretString;
use tracing::{info, warn};
use url::Url;

use crate::PLATFORM;
use crate::api::{Api, Page, Unread};
use crate::normalize::Normalizer;
use crate::sink::__Platform__Sink;

/// What a connector is made from.
#[derive(Debug, Clone)]
pub struct __Platform__Config {
    /// Where the API is.
    pub url: Url,
    /// The account's token.
    pub token: SecretString,
    /// Channels to read and speak in, as [`channel_name`](crate::channel_name) gives them.
    pub channels: Vec<Arc<str>>,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
}

/// Reads and speaks on the platform.
#[derive(Debug)]
pub struct __Platform__Connector {
    api: Api,
    config: __Platform__Config,
    status: Status,
    sink: Arc<__Platform__Sink>,
}

/// How often it is asked what is new.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The first wait after an answer that did not come, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(30);

// === impl __Platform__Connector ===

impl __Platform__Connector {
    /// A connector that does not run yet.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine; why, for people.
    pub fn new(config: __Platform__Config, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let api = Api::new(config.url.clone(), config.token.clone())?;
        let auth = AuthState { state: "ok", ..AuthState::anonymous() };
        let status = Status::new(config.channels.iter().map(ToString::to_string), auth);
        let sink = __Platform__Sink::new(api.clone(), config.channels.clone(), status.clone(), clock);
        Ok(Self { api, config, status, sink: Arc::new(sink) })
    }

    fn note_page(&self, page: &Page, now: Timestamp) {
        let count = u64::try_from(page.messages.len()).unwrap_or(u64::MAX);
        if self.status.snapshot().state == ConnectionState::Connected {
            self.status.count(|snapshot| {
                snapshot.last_pong_at = Some(now);
                snapshot.counters.received += count;
                if count > 0 {
                    snapshot.last_message_at = Some(now);
                }
            });
            return;
        }
        info!(event = "__platform__.connected", platform = PLATFORM, "connected");
        self.status.update(|snapshot| {
            snapshot.joined_channels = snapshot.wanted_channels.clone();
            snapshot.last_pong_at = Some(now);
            snapshot.counters.received += count;
            snapshot.auth.state = "ok";
            if snapshot.state == ConnectionState::Reconnecting {
                snapshot.last_reconnect_at = Some(now);
                snapshot.counters.reconnects += 1;
            }
            snapshot.state = ConnectionState::Connected;
        });
        self.sink.set_lost(None);
    }

    fn note_unread(&self, why: Unread, runtime: &Runtime) {
        let was_connected = self.status.snapshot().state == ConnectionState::Connected;
        if was_connected {
            warn!(event = "__platform__.lost", platform = PLATFORM, errorCode = %why.code, "connection lost");
            self.sink.set_lost(Some(runtime.clock.instant()));
        }
        self.status.update(|snapshot| {
            snapshot.joined_channels.clear();
            if was_connected {
                snapshot.state = ConnectionState::Reconnecting;
            }
            if why.is_refused {
                snapshot.auth.state = "needs_reauth";
            }
            let at = runtime.clock.now();
            snapshot.last_error = Some(LastError { code: why.code, message: why.message, at });
        });
    }
}

#[async_trait]
impl Connector for __Platform__Connector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    /// Each text has a connection of its own, so nothing has to be kept open for the sink.
    async fn run(self: Arc<Self>, runtime: Runtime, emit: Arc<dyn Emit>, _: CancellationToken) {
        let normalizer = Normalizer {
            egress: self.config.egress.clone(),
            shape: self.config.shape,
            entropy: Arc::clone(&runtime.entropy),
        };
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
        let mut cursor: Option<String> = None;
        // What was read is handed over whatever happens: only reading and waiting are given up.
        while let Some(read) = runtime.stop.run_until_cancelled(self.api.read(cursor.as_deref())).await {
            let pause = match read {
                Ok(page) => {
                    backoff.reset();
                    let now = runtime.clock.now();
                    self.note_page(&page, now);
                    let of_ours = page.messages.iter().filter_map(|message| normalizer.chat(message, now));
                    let events: Vec<_> =
                        of_ours.filter(|event| self.config.channels.contains(&event.conversation)).collect();
                    if !events.is_empty() && emit.emit(events).await == Emitted::Stopped {
                        break;
                    }
                    cursor = Some(page.next);
                    POLL_EVERY
                }
                Err(why) => {
                    self.note_unread(why, &runtime);
                    backoff.next(&*runtime.entropy)
                }
            };
            if runtime.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
        }
        self.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
    }
}
