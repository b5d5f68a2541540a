//! The playground as a platform.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{AuthState, ConnectionState, Connector, Emit, LastError, Sink, Status};
use chatbus_event::Clock;
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::PLATFORM;
use crate::api::{Api, Endpoint};
use crate::sink::PlaygroundSink;

/// Says things in a playground, for as long as that answers.
#[derive(Debug)]
pub struct PlaygroundConnector {
    api: Api,
    status: Status,
    sink: Arc<PlaygroundSink>,
}

/// How often the server is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(1);

// === impl PlaygroundConnector ===

impl PlaygroundConnector {
    /// A connector that does not run yet, for these channels as [`channel_name`](crate::channel_name)
    /// gives them.
    ///
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub fn new(
        endpoint: Endpoint,
        channels: Vec<Arc<str>>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        let api = Api::new(endpoint)?;
        let status = Status::new(channels.iter().map(ToString::to_string), AuthState::anonymous());
        let sink = PlaygroundSink {
            api: api.clone(),
            channels,
            status: status.clone(),
            lost: Mutex::new(Some(clock.instant())),
            changes: watch::Sender::new(0),
            clock,
        };
        Ok(Self { api, status, sink: Arc::new(sink) })
    }

    /// Notes whether the server answers.
    fn note(&self, answers: bool, runtime: &Runtime) {
        let state = self.status.snapshot().state;
        let now = runtime.clock.now();
        match (answers, state) {
            (true, ConnectionState::Connected) => {
                self.status.count(|snapshot| snapshot.last_pong_at = Some(now));
            }
            (true, _) => {
                info!(event = "playground.connected", platform = PLATFORM, "connected");
                self.status.update(|snapshot| {
                    snapshot.joined_channels = snapshot.wanted_channels.clone();
                    snapshot.last_pong_at = Some(now);
                    if snapshot.state == ConnectionState::Reconnecting {
                        snapshot.last_reconnect_at = Some(now);
                        snapshot.counters.reconnects += 1;
                    }
                    snapshot.state = ConnectionState::Connected;
                });
                self.sink.set_lost(None);
            }
            (false, ConnectionState::Connected) => {
                warn!(event = "playground.lost", platform = PLATFORM, "the playground does not answer");
                self.status.update(|snapshot| {
                    snapshot.state = ConnectionState::Reconnecting;
                    snapshot.joined_channels.clear();
                    snapshot.last_error = Some(LastError {
                        code: "no_answer".to_owned(),
                        message: format!("nothing answers at {}", self.api.endpoint()),
                        at: now,
                    });
                });
                self.sink.set_lost(Some(runtime.clock.instant()));
            }
            (false, _) => {}
        }
    }
}

#[async_trait]
impl Connector for PlaygroundConnector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    /// There is nothing to read, and each text has a connection of its own: it ends with the stop.
    async fn run(self: Arc<Self>, runtime: Runtime, _: Arc<dyn Emit>, _: CancellationToken) {
        let asking = async {
            loop {
                self.note(self.api.hello().await, &runtime);
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        runtime.stop.run_until_cancelled(asking).await;
        self.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
    }
}
