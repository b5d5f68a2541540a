//! What the delivery engine says to connected users.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_connector::{
    Audience, Availability, Capabilities, Outbound, PermanentReason, Sink, Target, Verdict,
};
use chatbus_event::json::Raw;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use smallvec::SmallVec;
use tokio::sync::watch;

use crate::fate::{Fate, Offered};
use crate::frames;
use crate::history::Remembered;
use crate::link::Link;
use crate::server::Shared;
use crate::tokens::MAX_USER_BYTES;

/// The platform's name in targets, outcomes and metrics.
pub const PLATFORM: &str = "websocket";

/// Writes deliveries to the connections of their users.
///
/// A delivery is SENT once the kernel took the whole frame on one connection that has answered its last
/// ping; the user's other connections get it all the same.
pub struct WebSocketSink {
    pub(crate) shared: Arc<Shared>,
}

/// Mostly one.
type Links = SmallVec<[Arc<Link>; 2]>;

/// A frame that was offered to a user's connections.
struct InFlight {
    frame: Bytes,
    seq: u64,
    links: Links,
    later: Vec<tokio::sync::oneshot::Receiver<Fate>>,
    is_delivered: bool,
    is_unverified: bool,
}

// === impl WebSocketSink ===

impl WebSocketSink {
    /// Offers the frame to the connections it is for; `None` when there is none, or the fence is lost.
    fn offer(&self, outbound: &Outbound, user: &str) -> Option<InFlight> {
        let Shared { users, runtime, .. } = &*self.shared;
        let user = users.get(user)?;
        // Held while the frame is numbered and queued: all connections get frames in one order.
        let mut state = user.lock();
        let mut links: Links = state.links.iter().filter(|link| link.is_open()).map(Arc::clone).collect();
        // The one connection it is for, while that lives.
        let wanted = outbound.event.as_ref().and_then(|event| event.metadata("connectionId"));
        if links.len() > 1
            && let Some(wanted) = wanted.as_ref().and_then(Raw::as_str)
            && let Some(at) = links.iter().position(|link| link.id.to_string() == wanted)
        {
            links = Links::from_iter([links.swap_remove(at)]);
        }
        let now = runtime.clock.instant();
        if links.is_empty() || !outbound.fence.is_held(now) {
            return None;
        }
        let seq = state.history.next();
        let frame = frames::received(outbound, seq, runtime.clock.now());
        let delivery_id = Arc::clone(&outbound.delivery_id);
        state.history.keep(Remembered { seq, delivery_id, at: now, frame: frame.clone() }, &users.budget);
        state.touch(now);
        let mut sent =
            InFlight { frame, seq, links, later: Vec::new(), is_delivered: false, is_unverified: false };
        for link in &sent.links {
            match link.offer(sent.frame.clone(), &outbound.fence, &*runtime.clock) {
                Offered::Known(Fate::Delivered) => sent.is_delivered = true,
                Offered::Known(Fate::Unverified) => sent.is_unverified = true,
                Offered::Known(Fate::Unsent) => {}
                Offered::Later(fate) => sent.later.push(fate),
            }
        }
        Some(sent)
    }
}

impl InFlight {
    /// Waits for the first connection that has it.
    async fn wait(&mut self, deadline: std::time::Instant) {
        let mut later: FuturesUnordered<_> = std::mem::take(&mut self.later).into_iter().collect();
        let first = async {
            while !self.is_delivered
                && let Some(fate) = later.next().await
            {
                match fate {
                    Ok(Fate::Delivered) => self.is_delivered = true,
                    Ok(Fate::Unsent) => {}
                    Ok(Fate::Unverified) | Err(_) => self.is_unverified = true,
                }
            }
        };
        if tokio::time::timeout_at(deadline.into(), first).await.is_ok() {
            return;
        }
        for link in &self.links {
            link.withdraw(&self.frame);
        }
        for mut fate in later {
            match fate.try_recv() {
                Ok(Fate::Delivered) => self.is_delivered = true,
                Ok(Fate::Unsent) => {}
                // The kernel may have some of it, or all, and the client was not heard of since.
                Ok(Fate::Unverified) | Err(_) => self.is_unverified = true,
            }
        }
    }
}

#[async_trait]
impl Sink for WebSocketSink {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { chat: false, direct: true, data: true, remembers: None }
    }

    fn channel(&self, _name: &str) -> Option<Arc<str>> {
        None
    }

    fn default_channel(&self) -> Option<Arc<str>> {
        None
    }

    fn recipient(&self, user_id: &str) -> Option<Arc<str>> {
        (1..=MAX_USER_BYTES).contains(&user_id.len()).then(|| user_id.into())
    }

    fn availability(&self, target: &Target) -> Availability {
        match target {
            Audience::User(user) if self.shared.users.is_connected(user) => Availability::Ready,
            Audience::User(_) | Audience::Channel(_) => Availability::Unserved,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.users.changes()
    }

    async fn send(&self, outbound: Outbound) -> Verdict {
        let Audience::User(user) = &outbound.target else {
            return Verdict::Permanent {
                reason: PermanentReason::Unsupported,
                code: "no_channels".to_owned(),
                message: "the gateway reaches users, not channels".to_owned(),
            };
        };
        let Some(mut sent) = self.offer(&outbound, user) else { return Verdict::NotNow };
        self.shared.users.keep_within_budget();
        if !sent.is_delivered {
            sent.wait(outbound.deadline).await;
        }
        if sent.is_delivered {
            return Verdict::Delivered { provider_message_id: None };
        }
        if sent.is_unverified {
            return Verdict::Unverified {
                code: "connection_lost".to_owned(),
                message: "the connection ended, or was not heard of, after the frame was begun".to_owned(),
            };
        }
        if let Some(user) = self.shared.users.get(user) {
            user.lock().history.unsent(sent.seq, &self.shared.users.budget);
        }
        Verdict::NotNow
    }
}

impl std::fmt::Debug for WebSocketSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebSocketSink")
    }
}
