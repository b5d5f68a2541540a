//! The service: writes down what became of events.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, HandlerError, Outgoing, Record};
use chatbus_event::Topic;
use chatbus_runtime::Runtime;
use chatbus_store::{Entry, Store, StoreError, StoreErrorKind, until_available};

use crate::config::PersistenceConfig;
use crate::counters::PersistenceCounters;
use crate::entries;

/// The service's name, and its group's.
pub(crate) const NAME: &str = "persistence";

/// Of one database page that changes, an index's above all, many changes are then written at once.
const GATHERS: Duration = Duration::from_millis(20);

/// Reads [`Persistence::topics`], each on a subscription of its own, and writes what it reads into the store, one
/// call for a batch. It waits for a store that is out of reach for as long as that takes, and makes no dead
/// letter of anything.
pub struct Persistence {
    store: Arc<dyn Store>,
    config: PersistenceConfig,
    runtime: Runtime,
    counters: Arc<PersistenceCounters>,
}

/// Why a batch was not written.
enum Unwritten {
    /// The stop came first.
    Stopped,
    /// Something that nobody foresaw.
    Failed(StoreError),
}

// === impl Persistence ===

impl Persistence {
    /// The service over this store. `runtime.stop` ends its waiting for the store.
    pub fn new(
        store: Arc<dyn Store>,
        config: PersistenceConfig,
        runtime: Runtime,
        counters: Arc<PersistenceCounters>,
    ) -> Self {
        Self { store, config, runtime, counters }
    }

    /// What it reads.
    pub fn topics() -> Vec<Topic> {
        let way = [Topic::ingress(), Topic::enriched(), Topic::llmbot()];
        way.into_iter()
            .chain(Topic::finalizers())
            .chain([Topic::dead_letter(), Topic::router_dlq()])
            .collect()
    }

    fn entries(&self, record: &Record) -> Vec<Entry> {
        match entries::of(record, &self.config) {
            Ok(entries) => entries,
            Err(why) => {
                let (topic, id) = (&record.topic, &record.message.id);
                tracing::warn!(event = "persistence.kept_raw", component = NAME, %topic, eventId = %id, reason = why);
                vec![entries::raw(record, &self.config, why)]
            }
        }
    }

    async fn write(&self, inputs: &[&Record]) -> Result<(), Unwritten> {
        let (mut all, mut owners) = (Vec::new(), Vec::new());
        for (at, record) in inputs.iter().enumerate() {
            all.extend(self.entries(record));
            owners.resize(all.len(), at);
        }
        while !all.is_empty() {
            let answer = until_available(&self.runtime, NAME, || self.store.record(&all)).await;
            let error = match answer.ok_or(Unwritten::Stopped)? {
                Ok(()) => {
                    self.counters.written(&all);
                    return Ok(());
                }
                Err(error) => error,
            };
            let alone = (inputs.len() == 1).then_some(0);
            let owner = error.record().and_then(|place| owners.get(place).copied()).or(alone);
            let record = owner.and_then(|owner| inputs.get(owner));
            let (StoreErrorKind::Refused, Some(owner), Some(record)) = (error.kind(), owner, record) else {
                return Err(Unwritten::Failed(error));
            };
            // Those of one message stand together.
            let (from, to) =
                (owners.partition_point(|at| *at < owner), owners.partition_point(|at| *at <= owner));
            let instead = self.refused(record, all.get(from..to).unwrap_or_default(), &error);
            owners.splice(from..to, instead.iter().map(|_| owner));
            all.splice(from..to, instead);
        }
        Ok(())
    }

    /// What is written in place of what the store refuses: the message as it is; of one that it refuses even so
    /// nothing.
    fn refused(&self, record: &Record, entries: &[Entry], error: &StoreError) -> Vec<Entry> {
        let (topic, id) = (&record.topic, &record.message.id);
        if entries.iter().any(|entry| matches!(entry, Entry::Raw { .. })) {
            self.counters.lost();
            tracing::error!(event = "persistence.lost", component = NAME, %topic, eventId = %id, reason = %error);
            return Vec::new();
        }
        self.counters.refused();
        tracing::warn!(event = "persistence.refused", component = NAME, %topic, eventId = %id, reason = %error);
        vec![entries::raw(record, &self.config, error.to_string())]
    }
}

#[async_trait]
impl BatchHandler for Persistence {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn handle(&self, inputs: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        let written = self.write(inputs).await;
        let answer = |_: &&Record| match &written {
            Ok(()) => Ok(Vec::new()),
            Err(Unwritten::Stopped) => {
                Err(HandlerError::GiveBack("stopped while the store was out of reach".to_owned()))
            }
            Err(Unwritten::Failed(error)) => Err(HandlerError::Retry(format!("writing events: {error}"))),
        };
        inputs.iter().map(answer).collect()
    }

    /// Every entry has a key made from its message's id.
    fn is_recorded(&self) -> bool {
        true
    }

    fn gathers(&self) -> Duration {
        GATHERS
    }
}

impl std::fmt::Debug for Persistence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Persistence")
    }
}
