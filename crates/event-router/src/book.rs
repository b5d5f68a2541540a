//! The rules in force: the default ones, those of files, those of the store.

mod stored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatbus_event::{Timestamp, Topic};
use chatbus_routing::{Compiled, Compiler, DefaultRules, RuleSet};
use chatbus_runtime::Runtime;
use chatbus_store::Documents;
use tokio::sync::watch;

use crate::files::{self, Stamp};
use crate::kept::{Kept, told};
use crate::status::{BookStatus, SourceStatus};
use stored::Stored;

/// How often it is looked whether anything changed.
const EVERY: Duration = Duration::from_secs(1);

/// Where rules come from.
#[derive(Clone)]
pub struct RuleBookConfig {
    /// A file or a folder of files (RULES_PATH).
    pub path: Option<PathBuf>,
    /// The store, if there is one.
    pub documents: Option<Arc<dyn Documents>>,
    /// What the default rules are made with. Commands that other rules name in `metadata.command` are added to
    /// its list.
    pub defaults: DefaultRules,
    /// Topics beyond the contract's that a rule may send to.
    pub known_topics: Vec<Topic>,
}

/// The rules, read again when they change. Of two rules with one id that of the store counts before that of a
/// file, and that before a default one.
pub struct RuleBook {
    config: RuleBookConfig,
    compiler: Compiler,
    reading: tokio::sync::Mutex<Reading>,
    rules: watch::Sender<RuleSet>,
    status: Mutex<BookStatus>,
}

type Rules = Vec<Arc<Compiled>>;

/// What was read so far.
#[derive(Default)]
struct Reading {
    files: Kept<Stamp, Rules>,
    stored: Stored,
    /// What is wrong with where they are, rather than with one of them.
    path_problem: Option<String>,
    defaults_problem: Vec<String>,
    is_begun: bool,
}

// === impl RuleBook ===

impl RuleBook {
    /// A book with the default rules; [`Self::refresh`] reads the others.
    pub fn new(config: RuleBookConfig) -> Self {
        let compiler = Compiler::new(config.known_topics.clone());
        let (defaults, _) = config.defaults.compile(&compiler);
        let rules = watch::Sender::new(RuleSet::new(defaults));
        Self { config, compiler, reading: tokio::sync::Mutex::default(), rules, status: Mutex::default() }
    }

    /// The rules, now and whenever they change.
    pub fn rules(&self) -> watch::Receiver<RuleSet> {
        self.rules.subscribe()
    }

    /// How it is.
    pub fn status(&self) -> BookStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads what changed, each second until the stop.
    pub async fn run(self: Arc<Self>, runtime: Runtime) {
        loop {
            self.refresh(runtime.clock.now()).await;
            tokio::select! {
                () = runtime.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Reads what changed. What is broken, or out of reach, leaves in force what was there before.
    pub async fn refresh(&self, now: Timestamp) {
        let mut reading = self.reading.lock().await;
        let mut is_changed = !std::mem::replace(&mut reading.is_begun, true);
        is_changed |= self.read_files(&mut reading, now).await;
        if let Some(documents) = &self.config.documents {
            is_changed |= reading.stored.refresh(&**documents, &self.compiler, now).await;
        }
        if is_changed {
            self.put_in_force(&mut reading);
        }
        self.tell(&reading);
    }

    /// Whether anything changed.
    async fn read_files(&self, reading: &mut Reading, now: Timestamp) -> bool {
        let Some(path) = &self.config.path else { return false };
        let found = match files::find(path).await {
            Ok(found) => found,
            Err(error) => {
                reading.path_problem = Some(error.to_string());
                return false;
            }
        };
        reading.path_problem = None;
        let mut is_changed = reading.files.retain(|name| found.iter().any(|file| file.name == name));
        for file in &found {
            if reading.files.is_unchanged(&file.name, &file.stamp) {
                continue;
            }
            match files::read(&file.path).await {
                Ok(text) => {
                    let read = self.compiler.rules(&file.name, &text).map_err(|problems| told(&problems));
                    reading.files.put(&file.name, Some(file.stamp), read, now);
                }
                // Without a stamp it is read again next time.
                Err(error) => {
                    reading.files.put(&file.name, None, Err(vec![format!("{}: {error}", file.name)]), now);
                }
            }
            is_changed = true;
        }
        is_changed
    }

    fn put_in_force(&self, reading: &mut Reading) {
        let written = || reading.files.good().chain(reading.stored.good()).flatten().cloned();
        let commands = RuleSet::new(written()).metadata_texts("command");
        let mut defaults = self.config.defaults.clone();
        defaults.commands.extend(commands);
        let (defaults, problems) = defaults.compile(&self.compiler);
        let rules = RuleSet::new(defaults.into_iter().chain(written()));
        tracing::info!(event = "rules.loaded", count = rules.len(), leftOut = rules.left_out());
        reading.defaults_problem = told(&problems);
        self.rules.send_replace(rules);
    }

    fn tell(&self, reading: &Reading) {
        let mut sources = reading.files.status(Vec::len);
        sources.extend(reading.stored.status());
        let path = self.config.path.as_ref().map(|path| path.display().to_string());
        let beyond = [
            (path.unwrap_or_default(), reading.path_problem.iter().cloned().collect()),
            ("default rules".to_owned(), reading.defaults_problem.clone()),
        ];
        for (name, problems) in
            beyond.into_iter().filter(|(_, problems): &(_, Vec<String>)| !problems.is_empty())
        {
            sources.push(SourceStatus { name, rules: 0, loaded_at: None, problems });
        }
        let (rules, left_out) = {
            let rules = self.rules.borrow();
            (rules.len(), rules.left_out())
        };
        let status = BookStatus { loaded: true, rules, left_out, sources };
        let before = std::mem::replace(
            &mut *self.status.lock().unwrap_or_else(PoisonError::into_inner),
            status.clone(),
        );
        for source in status.sources.iter().filter(|source| !source.problems.is_empty()) {
            // What is broken is told when it breaks, not each second.
            let is_known =
                before.sources.iter().any(|b| b.name == source.name && b.problems == source.problems);
            if !is_known {
                tracing::warn!(
                    event = "rules.broken",
                    source = source.name,
                    reason = source.problems.join("; ")
                );
            }
        }
    }
}

impl std::fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RuleBook({} rules)", self.rules.borrow().len())
    }
}
