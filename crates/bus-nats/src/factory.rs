//! MESSAGE_BUS_DRIVER=nats.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_bus::{Bus, BusFactory, EventDeadLetters, OpenContext, OpenError, Opened, StateKind, StateReach};
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};

use crate::{NatsBus, NatsConfig};

/// Connects to the servers of NATS_URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Factory;

const SETTINGS: &[SettingSpec] = &[
    SettingSpec::new(
        "NATS_URL",
        Kind::Urls(&["nats", "tls"]),
        "The servers of one cluster. A URL may hold `user:password@` or `token@`.",
    )
    .default("nats://127.0.0.1:4222"),
    SettingSpec::new("NATS_CREDS", Kind::Path, "A credentials file (user JWT and seed), as `nsc` writes it."),
    SettingSpec::new("NATS_REPLICAS", Kind::Integer { min: 1, max: 5 }, "How many servers keep each stream.")
        .default("1"),
    SettingSpec::new(
        "NATS_CA_FILE",
        Kind::Path,
        "The authorities a server's certificate may come from, in PEM; makes TLS required.",
    ),
    SettingSpec::new("NATS_CERT_FILE", Kind::Path, "Our own certificate, in PEM; needs NATS_KEY_FILE."),
    SettingSpec::new("NATS_KEY_FILE", Kind::Path, "Its key, in PEM."),
];

// === impl Factory ===

#[async_trait]
impl BusFactory for Factory {
    fn driver(&self) -> &'static str {
        "nats"
    }

    fn settings(&self) -> &'static [SettingSpec] {
        SETTINGS
    }

    fn check(&self, values: &Values) -> Vec<Problem> {
        let mut problems = Vec::new();
        for name in ["NATS_CREDS", "NATS_CA_FILE", "NATS_CERT_FILE", "NATS_KEY_FILE"] {
            if let Some(path) = values.path(name)
                && let Err(error) = std::fs::File::open(&path)
            {
                problems.push(Problem::new(name, format!("{} cannot be read: {error}", path.display())));
            }
        }
        for (one, other) in [("NATS_CERT_FILE", "NATS_KEY_FILE"), ("NATS_KEY_FILE", "NATS_CERT_FILE")] {
            if values.is_set(one) && !values.is_set(other) {
                problems.push(Problem::new(other, format!("is needed because {one} is set")));
            }
        }
        problems
    }

    fn state(&self) -> StateKind {
        StateKind { names: &["nats"], reach: StateReach::Servers }
    }

    async fn open(&self, values: &Values, cx: OpenContext) -> Result<Opened, OpenError> {
        let dead_letters = Arc::new(EventDeadLetters::new(cx.source, cx.runtime.clone()));
        let config = NatsConfig {
            creds_file: values.path("NATS_CREDS"),
            ca_file: values.path("NATS_CA_FILE"),
            cert_file: values.path("NATS_CERT_FILE"),
            key_file: values.path("NATS_KEY_FILE"),
            replicas: usize::try_from(values.integer("NATS_REPLICAS")).unwrap_or(1),
            prefix: cx.prefix,
            dedupe_window: cx.dedupe_window,
            dead_lettering: dead_letters.clone(),
            ..NatsConfig::default()
        }
        .with_urls(values.text("NATS_URL").unwrap_or_default());
        let bus = NatsBus::connect(config, cx.runtime)
            .map_err(|error| OpenError::Configuration(Problem::new("NATS_URL", error.to_string())))?;
        let state = bus.state();
        let bus: Arc<dyn Bus> = bus;
        dead_letters.attach(&bus);
        Ok(Opened { bus, state })
    }
}
