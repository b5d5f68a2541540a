//! Says things on the platform.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use chatbus_connector::{
    Availability, Capabilities, Outbound, PermanentReason, Sink, Status, Target, Verdict,
};
use chatbus_event::Clock;
use tokio::sync::watch;

use crate::api::Api;
use crate::channel::channel_name;
use crate::PLATFORM;
use crate::verdict::{is_known, verdict};

/// The saying half.
#[derive(Debug)]
pub(crate) struct __Platform__Sink {
    api: Api,
    channels: Vec<Arc<str>>,
    status: Status,
    clock: Arc<dyn Clock>,
    /// Since when the platform does not answer; `None` while it does.
    lost: Mutex<Option<Instant>>,
    changes: watch::Sender<u64>,
}

// === impl __Platform__Sink ===

impl __Platform__Sink {
    /// One that waits for its connector to connect.
    pub(crate) fn new(api: Api, channels: Vec<Arc<str>>, status: Status, clock: Arc<dyn Clock>) -> Self {
        let lost = Mutex::new(Some(clock.instant()));
        Self { api, channels, status, clock, lost, changes: watch::Sender::new(0) }
    }

    /// The connection is lost since then, or is there.
    pub(crate) fn set_lost(&self, since: Option<Instant>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }
}

#[async_trait]
impl Sink for __Platform__Sink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, ..Capabilities::default() }
    }

    fn channel(&self, name: &str) -> Option<Arc<str>> {
        channel_name(name)
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        self.channels.first().map(Arc::clone)
    }

    /// There are no direct messages, so nobody to send one to.
    fn recipient(&self, _: &str) -> Option<Arc<str>> {
        None
    }

    fn availability(&self, target: &Target) -> Availability {
        match target {
            Target::Channel(channel) if self.channels.contains(channel) => {}
            _ => return Availability::Unserved,
        }
        match *self.lost.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(since) => Availability::Disconnected { since },
            None => Availability::Ready,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let Target::Channel(channel) = outbound.target else {
            return Verdict::Permanent {
                reason: PermanentReason::Unsupported,
                code: "unsupported".to_owned(),
                message: "there are no direct messages".to_owned(),
            };
        };
        if !outbound.fence.is_held(self.clock.instant()) {
            return Verdict::NotNow;
        }
        let answer = self.api.say(&channel, &outbound.text).await;
        let is_known = answer.as_ref().map_or(true, |answer| is_known(answer.status.as_u16()));
        let verdict = verdict(answer);
        self.status.count(|snapshot| {
            if matches!(verdict, Verdict::Delivered { .. }) {
                snapshot.counters.sent += 1;
            }
            if !is_known {
                *snapshot.counters.other.entry("unknownAnswers".to_owned()).or_default() += 1;
            }
        });
        verdict
    }
}
