//! The policy in force.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatbus_event::Timestamp;
use chatbus_routing::{Compiler, Policy};
use chatbus_runtime::Runtime;
use tokio::sync::watch;

use crate::files::{self, Stamp};
use crate::kept::{Kept, told};
use crate::status::{BookStatus, SourceStatus};

/// How often it is looked whether it changed.
const EVERY: Duration = Duration::from_secs(1);

/// A file's policy, read again when it changes.
#[derive(Debug)]
pub struct PolicyBook {
    path: PathBuf,
    compiler: Compiler,
    kept: tokio::sync::Mutex<Kept<Stamp, Arc<Policy>>>,
    policy: watch::Sender<Arc<Policy>>,
    status: Mutex<BookStatus>,
}

// === impl PolicyBook ===

impl PolicyBook {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, each with its place. There is no policy before the first good one: who asked for
    /// one must not go on without.
    pub async fn open(path: PathBuf, now: Timestamp) -> Result<Self, Vec<String>> {
        let book = Self {
            path,
            compiler: Compiler::default(),
            kept: tokio::sync::Mutex::default(),
            policy: watch::Sender::new(Arc::default()),
            status: Mutex::default(),
        };
        book.refresh(now).await;
        let problems: Vec<String> =
            book.status().sources.into_iter().flat_map(|source| source.problems).collect();
        if problems.is_empty() { Ok(book) } else { Err(problems) }
    }

    /// The policy, now and whenever it changes.
    pub fn policy(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// How it is.
    pub fn status(&self) -> BookStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads it again when it changed, each second until the stop.
    pub async fn run(self: Arc<Self>, runtime: Runtime) {
        loop {
            tokio::select! {
                () = runtime.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            self.refresh(runtime.clock.now()).await;
        }
    }

    /// Reads it if it changed. When it is broken or gone, what was there before stays in force.
    pub async fn refresh(&self, now: Timestamp) {
        let mut kept = self.kept.lock().await;
        let name = self.path.display().to_string();
        let mut gone = None;
        match files::find(&self.path).await.as_deref() {
            Ok([file]) if kept.is_unchanged(&name, &file.stamp) => {}
            Ok([file]) => {
                let (stamp, read) = match files::read(&file.path).await {
                    Ok(text) => {
                        let read = self.compiler.policy(&name, &text).map(Arc::new);
                        (Some(file.stamp), read.map_err(|found| told(&found)))
                    }
                    // Without a stamp it is read again next time.
                    Err(error) => (None, Err(vec![format!("{name}: {error}")])),
                };
                if let Ok(policy) = &read {
                    tracing::info!(event = "policy.loaded", count = policy.len());
                    self.policy.send_replace(policy.clone());
                }
                kept.put(&name, stamp, read, now);
            }
            Ok(_) => gone = Some("not one file".to_owned()),
            Err(error) => gone = Some(error.to_string()),
        }
        let mut sources = kept.status(|policy| policy.len());
        if let Some(problem) = gone {
            let problems = vec![format!("{name}: {problem}")];
            sources.push(SourceStatus { name, rules: 0, loaded_at: None, problems });
        }
        self.tell(sources);
    }

    fn tell(&self, sources: Vec<SourceStatus>) {
        let rules = self.policy.borrow().len();
        let status = BookStatus { loaded: true, rules, left_out: 0, sources };
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != status {
            for source in status.sources.iter().filter(|source| !source.problems.is_empty()) {
                tracing::warn!(
                    event = "policy.broken",
                    source = source.name,
                    reason = source.problems.join("; ")
                );
            }
            *known = status;
        }
    }
}
