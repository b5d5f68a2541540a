//! Twilio as a platform.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{
    AuthState, ConnectionState, Connector, Emit, LastError, Share, Sink, Status, Webhook,
};
use chatbus_event::Timestamp;
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use tracing::{info, warn};

use crate::api::{Api, Standing};
use crate::joining::Joining;
use crate::link::Link;
use crate::normalize::Normalizer;
use crate::opt_out::OptOuts;
use crate::sink::TwilioSink;
use crate::statuses::Statuses;
use crate::webhook::{PATH, TwilioWebhook};
use crate::{PLATFORM, TwilioConfig};

/// How often good credentials are looked at again.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// Waits after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Beyond this our clock or Twilio's is wrong, and nobody doubts Twilio's.
const MAX_SKEW: Duration = Duration::from_secs(300);

/// Says things by text message and in conversations, and is called with what others say.
#[derive(Debug)]
pub struct TwilioConnector {
    api: Arc<Api>,
    status: Status,
    sink: Arc<TwilioSink>,
    webhook: Arc<TwilioWebhook>,
}

// === impl TwilioConnector ===

impl TwilioConnector {
    /// A connector that does not run yet.
    ///
    /// # Errors
    /// When no HTTP client can be made on this machine, or a credential cannot stand in a header.
    pub fn new(config: TwilioConfig) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let api = Arc::new(Api::new(&config)?);
        let auth = AuthState {
            user_id: Some(config.account_sid.clone()),
            ..AuthState::ok(config.account_sid.clone())
        };
        let status = Status::new([], auth);
        let (statuses, opt_outs) = (Statuses::default(), OptOuts(Arc::clone(&config.notes)));
        let sink = Arc::new(TwilioSink {
            api: Arc::clone(&api),
            from: config.from.clone(),
            identity: config.identity.clone(),
            status_callback: config.public_urls.first().map(|url| format!("{url}{PATH}")),
            statuses: statuses.clone(),
            opt_outs: opt_outs.clone(),
            status: status.clone(),
            link: Link::new(config.clock.instant()),
            clock: config.clock,
        });
        let webhook = Arc::new(TwilioWebhook {
            auth_token: config.auth_token,
            public_urls: config.public_urls,
            trusts_origin: config.trusts_origin,
            normalizer: Normalizer {
                egress: config.egress,
                shape: config.shape,
                identity: config.identity.clone(),
                from: config.from.as_ref().map(|from| from.as_str().to_owned()),
                entropy: config.entropy,
            },
            from: config.from,
            joining: Joining::new(Arc::clone(&api), config.identity, config.notes),
            statuses,
            opt_outs,
            status: status.clone(),
        });
        Ok(Self { api, status, sink, webhook })
    }

    /// Looks after the account for as long as it is polled.
    async fn look_after(&self, runtime: &Runtime) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let standing = self.api.standing().await;
            let is_good = matches!(standing, Standing::Good { .. });
            self.note(standing, runtime);
            if is_good {
                backoff.reset();
                // Whoever sends and is refused doubts it before its time.
                let _ = tokio::time::timeout(ASK_EVERY, self.sink.link.doubted.notified()).await;
            } else {
                tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
            }
        }
    }

    fn note(&self, standing: Standing, runtime: &Runtime) {
        let now = runtime.clock.now();
        let before = self.status.snapshot();
        match standing {
            Standing::Good { date } => {
                let skew = date.as_deref().and_then(|date| skew_error(date, now));
                if before.state != ConnectionState::Connected {
                    info!(event = "twilio.connected", platform = PLATFORM, "the account is good");
                }
                self.status.update(|snapshot| {
                    if matches!(snapshot.state, ConnectionState::Reconnecting | ConnectionState::Error) {
                        snapshot.last_reconnect_at = Some(now);
                        snapshot.counters.reconnects += 1;
                    }
                    snapshot.state = ConnectionState::Connected;
                    snapshot.auth.state = "ok";
                    snapshot.last_pong_at = Some(now);
                    snapshot.last_error = skew.or_else(|| snapshot.last_error.take());
                });
                self.sink.link.set_lost(None);
            }
            Standing::Refused(refusal) => {
                if before.auth.state != "needs_reauth" {
                    warn!(
                        event = "twilio.refused",
                        platform = PLATFORM,
                        account = self.api.account(),
                        code = refusal.code,
                        "Twilio refuses the account or its key"
                    );
                }
                self.status.update(|snapshot| {
                    snapshot.state = ConnectionState::Error;
                    snapshot.auth.state = "needs_reauth";
                    snapshot.last_error =
                        Some(LastError { code: refusal.code, message: refusal.message, at: now });
                });
                self.sink.link.set_lost(Some(runtime.clock.instant()));
            }
            Standing::Unknown(why) => {
                if before.state == ConnectionState::Connected {
                    warn!(event = "twilio.lost", platform = PLATFORM, %why, "Twilio does not answer");
                }
                self.status.update(|snapshot| {
                    if snapshot.state == ConnectionState::Connected {
                        snapshot.state = ConnectionState::Reconnecting;
                    }
                    snapshot.last_error =
                        Some(LastError { code: "no_answer".to_owned(), message: why, at: now });
                });
                self.sink.link.set_lost(Some(runtime.clock.instant()));
            }
        }
    }
}

/// What is wrong with the clock, if it differs too much from the one that wrote this date.
fn skew_error(date: &str, now: Timestamp) -> Option<LastError> {
    let theirs = httpdate::parse_http_date(date).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let theirs = Timestamp::from_millis(i64::try_from(theirs.as_millis()).ok()?);
    let (ahead, behind) = (now.since(theirs), theirs.since(now));
    let (skew, word) = if ahead > behind { (ahead, "ahead of") } else { (behind, "behind") };
    let message = format!("this machine's clock is {} s {word} Twilio's", skew.as_secs());
    (skew > MAX_SKEW).then(|| LastError { code: "clock_skew".to_owned(), message, at: now })
}

#[async_trait]
impl Connector for TwilioConnector {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn status(&self) -> Status {
        self.status.clone()
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.sink) as Arc<dyn Sink>
    }

    /// What Twilio says to one, that the account must be quiet, is told to all.
    fn share(&self) -> Option<Share> {
        Some(self.sink.link.share.clone())
    }

    fn webhook(&self) -> Option<Arc<dyn Webhook>> {
        Some(Arc::clone(&self.webhook) as Arc<dyn Webhook>)
    }

    /// There is no connection to keep, and nothing to read but what the webhook is called with.
    async fn run(self: Arc<Self>, runtime: Runtime, _: Arc<dyn Emit>, _: CancellationToken) {
        runtime.stop.run_until_cancelled(self.look_after(&runtime)).await;
        self.status.update(|snapshot| snapshot.state = ConnectionState::Disconnected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_five_minutes_off_is_told() {
        let now = Timestamp::parse("2026-01-02T03:10:00Z").unwrap();
        for (date, told) in [
            ("Fri, 02 Jan 2026 03:10:00 GMT", None),
            ("Fri, 02 Jan 2026 03:05:00 GMT", None),
            ("Fri, 02 Jan 2026 03:04:59 GMT", Some("301 s ahead of")),
            ("Fri, 02 Jan 2026 03:16:40 GMT", Some("400 s behind")),
            ("lately", None),
        ] {
            let message = skew_error(date, now).map(|error| error.message);
            assert_eq!(message.is_some(), told.is_some(), "{date}: {message:?}");
            assert!(told.is_none_or(|told| message.unwrap_or_default().contains(told)), "{date}");
        }
    }
}
