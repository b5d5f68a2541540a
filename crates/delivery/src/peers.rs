//! What an engine knows of the others.

use std::sync::Arc;

use chatbus_connector::Target;
use chatbus_event::Topic;
use futures::stream::{self, BoxStream, StreamExt as _};

/// What an engine knows of the others: cheap to ask, perhaps a little late.
pub trait Peers: Send + Sync {
    /// The others that can deliver to this target now, the best first. More than one matters only where a
    /// target is in several places at once, as a user with connections to several gateways is.
    fn serving(&self, platform: &str, target: &Target) -> Vec<Peer>;

    /// Whether one of the others says that it can deliver to this target now.
    fn can_serve(&self, platform: &str, target: &Target) -> bool {
        !self.serving(platform, target).is_empty()
    }

    /// Whether a user of ours is connected to a gateway, here or elsewhere.
    fn is_connected(&self, user: &str) -> bool;

    /// Whether there are others at all.
    fn are_there(&self) -> bool;

    /// What changes in these answers.
    fn changes(&self) -> BoxStream<'static, PeerChange>;
}

/// Another instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub instance: Arc<str>,
    /// The topic it reads.
    pub topic: Topic,
}

/// What changed among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// Where this user is connected.
    User(Arc<str>),
    /// Anything.
    Any,
}

/// Nobody else.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

// === impl Alone ===

impl Peers for Alone {
    fn serving(&self, _: &str, _: &Target) -> Vec<Peer> {
        Vec::new()
    }

    fn is_connected(&self, _: &str) -> bool {
        false
    }

    fn are_there(&self) -> bool {
        false
    }

    fn changes(&self) -> BoxStream<'static, PeerChange> {
        stream::pending().boxed()
    }
}
