//! MESSAGE_BUS_DRIVER=embedded.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_bus::{
    Bus, BusError, BusErrorKind, BusFactory, EventDeadLetters, OpenContext, Opened, StateKind, StateReach,
};
use chatbus_runtime::settings::{Problem, SettingSpec, Values};

use crate::{EmbeddedBus, EmbeddedConfig, OpenError};

/// Opens the embedded bus of a DATA_DIR.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

// === impl Factory ===

#[async_trait]
impl BusFactory for Factory {
    fn driver(&self) -> &'static str {
        "embedded"
    }

    /// None of its own: DATA_DIR, BUS_PREFIX and DEDUPE_WINDOW_MS are everybody's.
    fn settings(&self) -> &'static [SettingSpec] {
        &[]
    }

    fn check(&self, _: &Values) -> Vec<Problem> {
        Vec::new()
    }

    fn state(&self) -> StateKind {
        StateKind { names: &["embedded"], reach: StateReach::Machine }
    }

    async fn open(&self, _: &Values, cx: OpenContext) -> Result<Opened, chatbus_bus::OpenError> {
        let mut config = EmbeddedConfig::new(cx.data_dir);
        config.prefix = cx.prefix.into();
        config.dedupe_window = cx.dedupe_window;
        let dead_letters = Arc::new(EventDeadLetters::new(cx.source, cx.runtime.clone()));
        let bus = EmbeddedBus::open(config, dead_letters.clone(), cx.runtime)?;
        let state = bus.state();
        let bus: Arc<dyn Bus> = bus;
        dead_letters.attach(&bus);
        Ok(Opened { bus, state })
    }
}

impl From<OpenError> for chatbus_bus::OpenError {
    fn from(error: OpenError) -> Self {
        let setting = match &error {
            OpenError::BadPrefix(_) => "BUS_PREFIX",
            OpenError::Locked { .. } | OpenError::NewerSchema { .. } => "DATA_DIR",
            OpenError::Io { .. } | OpenError::Database { .. } => {
                return Self::Bus(BusError::new(BusErrorKind::Refused, error.to_string()));
            }
        };
        Self::Configuration(Problem::new(setting, error.to_string()))
    }
}
