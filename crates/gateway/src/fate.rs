//! What becomes of a frame, and how its sender is told: exactly once, whatever happens.

use tokio::sync::oneshot;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The kernel has it, and the client has answered the last ping.
    Delivered,
    /// Nothing of it was written.
    Unsent,
    /// Some or all of it was written, and the connection ended before more was known.
    Unverified,
}

/// What became of a frame that was offered.
pub(crate) enum Offered {
    /// Known already.
    Known(Fate),
    /// Will be told.
    Later(oneshot::Receiver<Fate>),
}

/// Tells a frame's sender its fate, at the latest when it is dropped.
pub(crate) struct Promise {
    pub(crate) sender: Option<oneshot::Sender<Fate>>,
    pub(crate) is_begun: bool,
}

// === impl Promise ===

impl Promise {
    pub(crate) fn resolve(mut self, fate: Fate) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(fate);
        }
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(if self.is_begun { Fate::Unverified } else { Fate::Unsent });
        }
    }
}
