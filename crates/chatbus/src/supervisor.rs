//! The one place that starts tasks. Every task has a name and is waited for; one that panics stops
//! the process, because nobody knows what it left half done.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chatbus_runtime::{CancellationToken, Runtime, Spawner, SystemClock, SystemEntropy, Task};
use futures::FutureExt as _;
use tokio_util::task::TaskTracker;

/// Owns the tasks of a process.
#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    tracker: TaskTracker,
    stop: CancellationToken,
    crashed: Arc<AtomicBool>,
}

// === impl Supervisor ===

impl Supervisor {
    pub(crate) fn new() -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), crashed: Arc::default() }
    }

    /// The real clock and randomness, and this supervisor.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::new()),
            spawner: Arc::new(self.clone()),
            stop: self.stop.clone(),
        }
    }

    /// Cancelled when the process begins to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Whether a task panicked.
    pub(crate) fn crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// Resolves once every task has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Spawner for Supervisor {
    fn spawn(&self, name: &'static str, task: Task) {
        let (stop, crashed) = (self.stop.clone(), Arc::clone(&self.crashed));
        self.tracker.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                tracing::error!(event = "task.crashed", component = name, "a task crashed; stopping");
                crashed.store(true, Ordering::SeqCst);
                stop.cancel();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_stops_the_process() {
        let supervisor = Supervisor::new();
        supervisor.spawn("test.panics", Box::pin(async { panic!("on purpose") }));
        supervisor.stop().cancelled().await;
        assert!(supervisor.crashed());
        supervisor.ended().await;
    }

    #[tokio::test]
    async fn every_task_is_waited_for() {
        let supervisor = Supervisor::new();
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        supervisor.runtime().spawn("test.waits", async move {
            let _ = receiver.await;
            seen.store(true, Ordering::SeqCst);
        });
        sender.send(()).unwrap();
        supervisor.ended().await;
        assert!(done.load(Ordering::SeqCst) && !supervisor.crashed());
    }
}
