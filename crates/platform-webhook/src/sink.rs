//! Says things by posting them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use chatbus_connector::{
    Availability, Capabilities, LastError, Outbound, PermanentReason, Sink, Status, Target, Verdict,
};
use chatbus_event::Clock;
use tokio::sync::watch;

use crate::PLATFORM;
use crate::channel::channel_name;
use crate::channels::Channels;
use crate::message::user_id;
use crate::outbox::Outbox;
use crate::verdict::{REMEMBERS, is_known, verdict};

/// The saying half. Each post has a connection of its own or one that is kept, so there is none to lose: from
/// the connector's start to its end it can always begin.
#[derive(Debug)]
pub(crate) struct WebhookSink {
    /// `None` where only messages are taken.
    outbox: Option<Outbox>,
    channels: Arc<Channels>,
    status: Status,
    clock: Arc<dyn Clock>,
    /// Since when the connector does not run; `None` while it does.
    stopped: Mutex<Option<Instant>>,
    changes: watch::Sender<u64>,
}

// === impl WebhookSink ===

impl WebhookSink {
    /// One that waits for its connector to run.
    pub(crate) fn new(
        outbox: Option<Outbox>,
        channels: Arc<Channels>,
        status: Status,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stopped = Mutex::new(Some(clock.instant()));
        Self { outbox, channels, status, clock, stopped, changes: watch::Sender::new(0) }
    }

    /// The connector does not run since then, or does.
    pub(crate) fn set_stopped(&self, since: Option<Instant>) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.note_change();
    }

    /// Other channels are served.
    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// Counts a verdict, and shows operators what went wrong.
    fn note(&self, verdict: &Verdict, is_known: bool) {
        let at = self.clock.now();
        self.status.count(|snapshot| {
            if !is_known {
                *snapshot.counters.other.entry("unknownAnswers".to_owned()).or_default() += 1;
            }
            match verdict {
                Verdict::Delivered { .. } => snapshot.counters.sent += 1,
                Verdict::Retry { code, message, .. }
                | Verdict::Permanent { code, message, .. }
                | Verdict::Unverified { code, message } => {
                    let (code, message) = (code.clone(), message.clone());
                    snapshot.last_error = Some(LastError { code, message, at });
                }
                Verdict::Accepted | Verdict::NotNow | Verdict::Reauth { .. } => {}
            }
        });
    }
}

#[async_trait]
impl Sink for WebhookSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        if self.outbox.is_none() {
            return Capabilities::default();
        }
        Capabilities { chat: true, direct: true, remembers: Some(REMEMBERS), ..Capabilities::default() }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        channel_name(name)
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.channels.first()
    }

    fn recipient(&self, text: &str) -> Option<Arc<str>> {
        user_id(text)
    }

    fn availability(&self, target: &Target) -> Availability {
        let is_served = match target {
            Target::Channel(channel) => self.channels.contains(channel),
            Target::User(_) => true,
        };
        if self.outbox.is_none() || !is_served {
            return Availability::Unserved;
        }
        match *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since) => Availability::Disconnected { since },
            None => Availability::Ready,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let Some(outbox) = &self.outbox else {
            return Verdict::Permanent {
                reason: PermanentReason::Unsupported,
                code: "unsupported".to_owned(),
                message: "messages are only taken: WEBHOOK_URL is not set".to_owned(),
            };
        };
        let request = outbox.write(&outbound, self.clock.now());
        if !outbound.fence.is_held(self.clock.instant()) {
            return Verdict::NotNow;
        }
        let answer = match request {
            Ok(request) => outbox.post(request).await,
            Err(error) => Err(error),
        };
        let is_known = answer.as_ref().map_or(true, |answer| is_known(answer.status.as_u16()));
        let verdict = verdict(answer, self.clock.now());
        self.note(&verdict, is_known);
        verdict
    }
}
