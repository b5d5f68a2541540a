//! Says things in the playground.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chatbus_connector::{
    Availability, Capabilities, Outbound, PermanentReason, Sink, Status, Target, Verdict,
};
use chatbus_event::{Clock, sha256_hex};
use tokio::sync::watch;

use crate::PLATFORM;
use crate::api::Api;
use crate::channel::channel_name;
use crate::verdict::verdict;

/// How long a key counts. The sandbox forgets none before 100,000 others came; what it is here is what a
/// platform of this kind promises, and so what is tested.
const REMEMBERS: Duration = Duration::from_secs(600);

/// The saying half. The delivery id is the key, so that whichever instance says it once more, in whichever
/// life, it is said once.
#[derive(Debug)]
pub(crate) struct PlaygroundSink {
    pub(crate) api: Api,
    pub(crate) channels: Vec<Arc<str>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) status: Status,
    /// Since when the server does not answer; `None` while it does.
    pub(crate) lost: Mutex<Option<Instant>>,
    pub(crate) changes: watch::Sender<u64>,
}

// === impl PlaygroundSink ===

impl PlaygroundSink {
    pub(crate) fn set_lost(&self, since: Option<Instant>) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }
}

#[async_trait]
impl Sink for PlaygroundSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: true, remembers: Some(REMEMBERS), ..Capabilities::default() }
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
        let verdict = verdict(self.api.say(&channel, &outbound.text, &key(&outbound.delivery_id)).await);
        if matches!(verdict, Verdict::Delivered { .. }) {
            self.status.count(|snapshot| snapshot.counters.sent += 1);
        }
        verdict
    }
}

/// The key of a delivery. An id may be whatever a publisher wrote, and not all of that can stand in a header.
fn key(delivery_id: &str) -> Cow<'_, str> {
    if delivery_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Cow::Borrowed(delivery_id);
    }
    Cow::Owned(sha256_hex(delivery_id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delivery_has_a_key_that_a_header_can_hold() {
        assert_eq!(key("event-1"), "event-1");
        for odd in ["a b", "é", "a\r\nx: y", "\u{7f}"] {
            assert!(key(odd).bytes().all(|b| b.is_ascii_hexdigit()), "{odd:?}");
            assert_ne!(key(odd), key("x y"));
        }
    }
}
