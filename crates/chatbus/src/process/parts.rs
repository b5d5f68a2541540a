//! A task that somebody waits for.

use std::future::Future;

use chatbus_runtime::{CancellationToken, Runtime};

/// A started task.
#[derive(Debug)]
pub(super) struct Part {
    ended: CancellationToken,
}

// === impl Part ===

impl Part {
    pub(super) fn spawn(
        runtime: &Runtime,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let ended = CancellationToken::new();
        // Cancelled when the task ends in whatever way, a panic included.
        let guard = ended.clone().drop_guard();
        runtime.spawn(name, async move {
            let _guard = guard;
            task.await;
        });
        Self { ended }
    }

    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}
