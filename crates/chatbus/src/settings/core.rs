//! The core's own settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chatbus_event::Shape;
use chatbus_runtime::settings::{Kind, Problem, SettingSpec, Values};

use super::Services;
use super::access::Access;

pub(super) const SPECS: &[SettingSpec] = &[
    SettingSpec::new("HOST", Kind::Text, "Address of the HTTP listener.").default("127.0.0.1"),
    SettingSpec::new(
        "PORT",
        Kind::Integer { min: 0, max: 65_535 },
        "Port of the HTTP listener; 0 picks a free one and logs it.",
    )
    .default("8080")
    .aliases(&["SERVICE_PORT"]),
    SettingSpec::new(
        "LOG_LEVEL",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "What is logged.",
    )
    .default("info"),
    SettingSpec::new(
        "LOG_FORMAT",
        Kind::Choice(&["auto", "pretty", "json"]),
        "`auto`: pretty on a terminal, else one JSON object a line.",
    )
    .default("auto"),
    SettingSpec::new(
        "DATA_DIR",
        Kind::Path,
        "Where the embedded bus, the spool and the instance id are kept.",
    )
    .default("./chatbus-data"),
    SettingSpec::new("MESSAGE_BUS_DRIVER", Kind::Choice(&["embedded", "nats", "memory"]), "Which bus.")
        .default("embedded"),
    SettingSpec::new(
        "BUS_PREFIX",
        Kind::Text,
        "Put before every topic by the driver and by nothing else: `dev.` gives `dev.internal.ingress.v1`.",
    ),
    SettingSpec::new(
        "EGRESS_INSTANCE_ID",
        Kind::Text,
        "The instance id, 1 to 64 of `A-Z a-z 0-9 _ -`. The first one set wins of this, SERVICE_INSTANCE_ID and \
         HOSTNAME; else a UUID kept in DATA_DIR.",
    ),
    SettingSpec::new("SERVICE_INSTANCE_ID", Kind::Text, "See EGRESS_INSTANCE_ID."),
    SettingSpec::new("HOSTNAME", Kind::Text, "See EGRESS_INSTANCE_ID; other characters become `-`."),
    SettingSpec::new(
        "CHATBUS_ADMIN_TOKEN",
        Kind::Secret,
        "Needed for the admin API and `/_debug/*` from anywhere but the machine itself.",
    ),
    SettingSpec::new(
        "PUBLISH_MAX_RETRIES",
        Kind::Integer { min: 0, max: 1000 },
        "How often a publish is tried again before its event goes to the spool.",
    )
    .default("5"),
    SettingSpec::new(
        "SPOOL_MAX_BYTES",
        Kind::Bytes,
        "How much the spool on disk holds; when it is full the oldest is dropped and counted.",
    )
    .default("1 GiB"),
    SettingSpec::new(
        "INGRESS_ENVELOPE",
        Kind::Choice(&["flat", "nested", "v1"]),
        "The shape of what ingress publishes.",
    )
    .default("flat"),
    SettingSpec::new(
        "EGRESS_DEADLINE_MS",
        Kind::Millis { min: 100, max: 3_600_000 },
        "How long a delivery may take, from its first publication.",
    )
    .default("60000"),
    SettingSpec::new(
        "MAX_DELIVERIES",
        Kind::Integer { min: 1, max: 1000 },
        "How often a handler may fail on a message before it is a dead letter.",
    )
    .default("5"),
    SettingSpec::new(
        "DEDUPE_WINDOW_MS",
        Kind::Millis { min: 1000, max: 3_600_000 },
        "How long a message id is remembered, so that a repeat is dropped.",
    )
    .default("120000"),
    SettingSpec::new(
        "SHUTDOWN_GRACE_MS",
        Kind::Millis { min: 100, max: 600_000 },
        "How long a stop may take.",
    )
    .default("8000"),
    SettingSpec::new(
        "GATEWAY_HISTORY_BYTES",
        Kind::Bytes,
        "How much the gateway keeps of what users were sent, for clients that resume.",
    )
    .default("64 MiB"),
    SettingSpec::new(
        "STATE_URL",
        Kind::Text,
        "Where instances share leases, presence, gateway tokens and the delivery ledger. It follows the bus: `embedded` with \
         the embedded and the memory bus, `nats` with NATS (NATS_URL). `memory` with the embedded bus keeps nothing over a \
         restart. A bus that several processes share needs a state that they share.",
    ),
    SettingSpec::new(
        "SANDBOX_PORT",
        Kind::Integer { min: 0, max: 65_535 },
        "Port of the sandbox's control API; 0 picks a free one.",
    )
    .default("0"),
];

/// The core's settings, typed.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    pub(crate) listen: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) driver: String,
    pub(crate) prefix: String,
    pub(crate) shape: Shape,
    pub(crate) publish_max_retries: u32,
    pub(crate) spool_max_bytes: u64,
    pub(crate) egress_deadline: Duration,
    pub(crate) max_deliveries: u32,
    pub(crate) dedupe_window: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) gateway_history_bytes: usize,
    pub(crate) sandbox_port: u16,
    pub(crate) services: Services,
    pub(crate) access: Access,
}

// === impl Core ===

impl Core {
    /// Reads checked values.
    ///
    /// # Errors
    /// Every problem that a value's kind could not show.
    pub(crate) fn read(values: &Values) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let host = values.text("HOST").unwrap_or_default();
        let ip = match host {
            "localhost" => Ok(std::net::Ipv4Addr::LOCALHOST.into()),
            _ => host.trim_matches(['[', ']']).parse(),
        };
        if ip.is_err() {
            problems.push(Problem::new(
                "HOST",
                format!("{host:?} is no IP address; use one such as 127.0.0.1 or 0.0.0.0"),
            ));
        }
        let prefix = values.text("BUS_PREFIX").unwrap_or_default().trim();
        if !is_prefix(prefix) {
            problems.push(Problem::new(
                "BUS_PREFIX",
                format!("{prefix:?} is not valid: use up to 32 of A-Z a-z 0-9 _ - and dots between or after them, such as dev."),
            ));
        }
        let access = Access::read(values, &mut problems);
        let port = |name| u16::try_from(values.integer(name)).unwrap_or_default();
        let number = |name| u32::try_from(values.integer(name)).unwrap_or(u32::MAX);
        match ip {
            Ok(ip) if problems.is_empty() => Ok(Self {
                listen: SocketAddr::new(ip, port("PORT")),
                data_dir: values.path("DATA_DIR").unwrap_or_default(),
                driver: values.text("MESSAGE_BUS_DRIVER").unwrap_or_default().to_owned(),
                prefix: prefix.to_owned(),
                shape: values.text("INGRESS_ENVELOPE").and_then(Shape::parse).unwrap_or_default(),
                publish_max_retries: number("PUBLISH_MAX_RETRIES"),
                spool_max_bytes: values.bytes("SPOOL_MAX_BYTES"),
                egress_deadline: values.millis("EGRESS_DEADLINE_MS"),
                max_deliveries: number("MAX_DELIVERIES"),
                dedupe_window: values.millis("DEDUPE_WINDOW_MS"),
                shutdown_grace: values.millis("SHUTDOWN_GRACE_MS"),
                gateway_history_bytes: usize::try_from(values.bytes("GATEWAY_HISTORY_BYTES"))
                    .unwrap_or(usize::MAX),
                sandbox_port: port("SANDBOX_PORT"),
                services: Services::read(values),
                access,
            }),
            _ => Err(problems),
        }
    }
}

/// A prefix stands before a topic, so its parts must be what a topic's parts may be.
fn is_prefix(prefix: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    prefix.is_empty()
        || (prefix.len() <= 32 && prefix.strip_suffix('.').unwrap_or(prefix).split('.').all(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_cannot_hold_a_wildcard_or_an_empty_part() {
        for good in ["", "dev.", "dev", "a.b-1."] {
            assert!(is_prefix(good), "{good:?}");
        }
        for bad in [".", "a..", "*.", "dev.>", "a b.", "é."] {
            assert!(!is_prefix(bad), "{bad:?}");
        }
    }
}
