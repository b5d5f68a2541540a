//! MESSAGE_BUS_DRIVER=memory.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_event::Clock;
use chatbus_runtime::settings::{Problem, SettingSpec, Values};
use chatbus_state::{MemoryStateStore, State};

use super::{MemoryBus, MemoryConfig, MemoryStore};
use crate::{Bus, BusFactory, EventDeadLetters, OpenContext, OpenError, Opened, StateKind, StateReach};

/// Makes buses that live in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryFactory;

// === impl MemoryFactory ===

#[async_trait]
impl BusFactory for MemoryFactory {
    fn driver(&self) -> &'static str {
        "memory"
    }

    fn settings(&self) -> &'static [SettingSpec] {
        &[]
    }

    fn check(&self, _: &Values) -> Vec<Problem> {
        Vec::new()
    }

    /// There is no other beside a bus that forgets everything.
    fn state(&self) -> StateKind {
        StateKind { names: &["memory", "embedded"], reach: StateReach::Process }
    }

    fn lone_state(&self, clock: Arc<dyn Clock>) -> Option<Arc<dyn State>> {
        Some(MemoryStateStore::new(clock).open())
    }

    async fn open(&self, _: &Values, cx: OpenContext) -> Result<Opened, OpenError> {
        let config =
            MemoryConfig { prefix: cx.prefix, dedupe_window: cx.dedupe_window, ..MemoryConfig::default() };
        let dead_letters = Arc::new(EventDeadLetters::new(cx.source, cx.runtime.clone()));
        let state = MemoryStateStore::new(Arc::clone(&cx.runtime.clock)).open();
        let bus: Arc<dyn Bus> =
            Arc::new(MemoryBus::new(&MemoryStore::default(), config, dead_letters.clone(), cx.runtime));
        dead_letters.attach(&bus);
        Ok(Opened { bus, state })
    }
}
