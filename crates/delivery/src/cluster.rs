//! An engine's place among others.

use std::sync::Arc;

use chatbus_runtime::{CancellationToken, Fence};
use tokio::sync::watch;

use crate::ledger::Ledger;
use crate::peers::{Alone, Peers};

/// An engine's place among others.
#[derive(Clone)]
pub struct Cluster {
    /// What is known of the others.
    pub peers: Arc<dyn Peers>,
    /// Whether this instance's lease is held: nothing is begun without it.
    pub fence: Fence,
    /// Cancelled once the lease is lost for good; the engine then ends.
    pub lost: CancellationToken,
    /// Whether this instance is the dispatcher of the generic topic: `Some` while it holds that lease.
    pub dispatch: watch::Receiver<Option<Fence>>,
    /// Who decides how a delivery ends once the lease is lost; `None` for who has none to lose.
    pub ledger: Option<Ledger>,
}

// === impl Cluster ===

impl Cluster {
    /// For who shares the bus with nobody: it reads the generic topic itself, always.
    pub fn alone() -> Self {
        // The value stays readable when the sender is gone.
        let (_, dispatch) = watch::channel(Some(Fence::always()));
        Self {
            peers: Arc::new(Alone),
            fence: Fence::always(),
            lost: CancellationToken::new(),
            dispatch,
            ledger: None,
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("fence", &self.fence).finish_non_exhaustive()
    }
}
