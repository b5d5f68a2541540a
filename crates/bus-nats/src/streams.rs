//! One stream for each family of topics: what it is set to, and how it comes to be so.
//!
//! Egress and lane families refuse what is new when they are full; all others drop what is oldest.
//! Egress families are work queues, so that an acknowledged message is gone even when the server is
//! killed right after; a lane is a plain log that its owner removes from, because a work queue
//! forgets the ids of removed messages over a restart. Every limit is stated, so that no default of
//! a server decides anything.

use chatbus_bus::{BusError, BusErrorKind};
use chatbus_event::{Entropy, Family, Topic};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::api::{self, ApiErrorOr, Settings};
use crate::config::NatsConfig;
use crate::headers::MAX_HEADER_BYTES;
use crate::names::Names;
use crate::wire::Session;

/// Topics outside the known families, each a subject of one stream that is added when it is first
/// used. Over this many something invents topics, and is refused.
const MAX_OTHER_TOPICS: usize = 256;

/// Holds the place of the first such topic: a stream without a subject listens on its own name.
const OTHER_PLACEHOLDER: &str = "internal.other.v1";

/// Two processes that add a topic at the same moment overwrite each other; each looks again.
const ADD_ATTEMPTS: usize = 8;

/// The least a stream asks for where the servers have no room for what is configured.
const MIN_BYTES: u64 = 16 * 1024 * 1024;

/// What JetStream never lets a stream change.
const FIXED: [&str; 3] = ["retention", "storage", "max_consumers"];

/// Whether a settled message leaves the stream.
pub(crate) fn is_work_queue(family: Family) -> bool {
    family.is_egress()
}

/// Whether the family holds messages until they are settled or removed.
pub(crate) fn is_queue(family: Family) -> bool {
    family.is_egress() || family == Family::Lane
}

/// A stream that is smaller than it is configured to be, because the servers have no more room.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) configured: u64,
}

/// Makes every family's stream as it should be; gives those that are smaller.
///
/// # Errors
/// `Misconfigured`, naming stream and setting, for what cannot be changed.
pub(crate) async fn ensure_all(
    session: &Session,
    names: &Names,
    config: &NatsConfig,
    entropy: &dyn Entropy,
) -> Result<Vec<Small>, BusError> {
    api::account(session).await?;
    let wanted = Family::ALL.map(|family| {
        let name = names.stream(family);
        let mut subjects = names.subjects(family);
        if family == Family::Other {
            subjects.push(format!("{}{OTHER_PLACEHOLDER}", names.prefix()));
        }
        (family, settings(config, family, &name, &subjects), name)
    });
    let found = try_join_all(wanted.iter().map(|(_, _, name)| api::stream(session, name))).await?;
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for ((family, wanted, name), found) in wanted.into_iter().zip(found) {
        match found {
            Some(found) => there.push((family, wanted, name, found)),
            None => missing.push((family, wanted, name)),
        }
    }
    let adjusted = there.into_iter().map(|(family, wanted, name, found)| async move {
        adjust(session, &name, &found.config, adjustable(family, wanted)).await
    });
    let mut small: Vec<Small> = try_join_all(adjusted).await?.into_iter().flatten().collect();
    if let Some((_, first, _)) = missing.first() {
        let size = room(session, names, first, missing.len() as u64, config, entropy).await?;
        let made = missing.iter_mut().map(|(family, wanted, name)| {
            let own = max_bytes(wanted);
            wanted.insert("max_bytes".into(), own.min(size).into());
            make(session, name, *family, wanted, own)
        });
        small.extend(try_join_all(made).await?.into_iter().flatten());
    }
    Ok(small)
}

/// How large each of `count` new streams may be.
///
/// JetStream reserves a stream's whole size when it is made, tells nobody how much is left, and once
/// it is full refuses to make even a smaller stream of a larger one. So a stream of the size of all of
/// them, on a subject of nobody, is made and removed again first. Servers with less room get smaller
/// streams, which is said, instead of a bus that does not start.
async fn room(
    session: &Session,
    names: &Names,
    like: &Settings,
    count: u64,
    config: &NatsConfig,
    entropy: &dyn Entropy,
) -> Result<u64, BusError> {
    let mut size = config.queue_bytes.max(config.retention_bytes);
    let name = format!("{}-room-{:016x}", names.stream(Family::Other), entropy.next_u64());
    loop {
        if has_room(session, &name, like, size.saturating_mul(count), size / 2 >= MIN_BYTES).await? {
            return Ok(size);
        }
        size /= 2;
    }
}

/// Whether the servers have room for a stream of this size: makes and removes one, of the settings of
/// another.
///
/// # Errors
/// Also when they have none and `may_fail` is not set.
pub(crate) async fn has_room(
    session: &Session,
    name: &str,
    like: &Settings,
    bytes: u64,
    may_fail: bool,
) -> Result<bool, BusError> {
    let mut probe = like.clone();
    probe.insert("name".into(), name.into());
    probe.insert("subjects".into(), vec![format!("_chatbus.{name}")].into());
    probe.insert("max_bytes".into(), bytes.into());
    match api::create_stream(session, name, &probe).await {
        Ok(_) => api::delete_stream(session, name).await.map(|()| true),
        Err(error) if error.is_no_room() && may_fail => Ok(false),
        Err(error) => Err(error.into_bus_error("looking for room for streams")),
    }
}

async fn make(
    session: &Session,
    name: &str,
    family: Family,
    wanted: &Settings,
    configured: u64,
) -> Result<Option<Small>, BusError> {
    let made = api::create_stream(session, name, wanted).await;
    if made.map_err(|e| e.into_bus_error(&format!("stream {name}")))?.is_some() {
        let bytes = max_bytes(wanted);
        return Ok((bytes < configured).then(|| Small { name: name.to_owned(), bytes, configured }));
    }
    let found = api::stream(session, name).await?;
    let found = found.ok_or_else(|| BusError::closed(format!("stream {name} comes and goes")))?;
    adjust(session, name, &found.config, adjustable(family, wanted.clone())).await
}

/// What a stream that is there is compared with: the topics of [`Family::Other`] are its own.
fn adjustable(family: Family, mut wanted: Settings) -> Settings {
    if family == Family::Other {
        wanted.remove("subjects");
    }
    wanted
}

/// Changes what is other than wanted.
///
/// # Errors
/// `Misconfigured`, naming stream and setting, for what cannot be changed.
pub(crate) async fn adjust(
    session: &Session,
    name: &str,
    found: &Settings,
    wanted: Settings,
) -> Result<Option<Small>, BusError> {
    let mut small = None;
    let mut different: Vec<&str> = wanted
        .iter()
        .filter(|(key, value)| !same(found.get(*key), value))
        .map(|(key, _)| key.as_str())
        .collect();
    let refuse = |keys: &str, why: &str| {
        let what = format!("stream {name} has another {keys} than wanted, which {why}");
        BusError::new(BusErrorKind::Misconfigured, what)
    };
    if let Some(key) = different.iter().find(|key| FIXED.contains(key)) {
        return Err(refuse(key, "cannot be changed; remove the stream or use another BUS_PREFIX"));
    }
    while !different.is_empty() {
        let mut settings = found.clone();
        settings.extend(
            different
                .iter()
                .filter_map(|key| wanted.get_key_value(*key))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        match api::update_stream(session, name, &settings).await {
            Ok(_) => {
                tracing::info!(event = "bus.nats.stream_updated", stream = name, changed = ?different, "a stream was changed");
                break;
            }
            // It stands, and has as much as there is room for.
            Err(error) if error.is_no_room() && different.contains(&"max_bytes") => {
                let (bytes, configured) = (max_bytes(found), max_bytes(&wanted));
                small = Some(Small { name: name.to_owned(), bytes, configured });
                different.retain(|key| *key != "max_bytes");
            }
            Err(ApiErrorOr::Api(error)) => {
                let why = format!("the server does not change: {}", error.description);
                return Err(refuse(&different.join(", "), &why));
            }
            Err(ApiErrorOr::Bus(error)) => return Err(error),
        }
    }
    Ok(small)
}

pub(crate) fn max_bytes(settings: &Settings) -> u64 {
    settings.get("max_bytes").and_then(Value::as_u64).unwrap_or(0)
}

/// Adds a topic of [`Family::Other`] to its stream.
///
/// # Errors
/// `Refused` when there are too many.
pub(crate) async fn add_other(session: &Session, names: &Names, topic: &Topic) -> Result<(), BusError> {
    let name = names.stream(Family::Other);
    let subject = Value::from(names.subject(topic).as_str());
    for _ in 0..ADD_ATTEMPTS {
        let Some(found) = api::stream(session, &name).await? else {
            return Err(BusError::closed(format!("stream {name} is gone")));
        };
        let mut subjects =
            found.config.get("subjects").and_then(Value::as_array).cloned().unwrap_or_default();
        if subjects.contains(&subject) {
            return Ok(());
        }
        if subjects.len() >= MAX_OTHER_TOPICS {
            let why = format!("{topic} would be topic {} beyond the known ones", MAX_OTHER_TOPICS + 1);
            return Err(BusError::new(BusErrorKind::Refused, why));
        }
        subjects.push(subject.clone());
        let mut settings = found.config;
        settings.insert("subjects".into(), subjects.into());
        api::update_stream(session, &name, &settings)
            .await
            .map_err(|e| e.into_bus_error(&format!("topic {topic}")))?;
    }
    Err(BusError::new(BusErrorKind::Refused, format!("topic {topic} is taken off as often as it is added")))
}

fn settings(config: &NatsConfig, family: Family, name: &str, subjects: &[String]) -> Settings {
    let queue = is_queue(family);
    let bytes = if queue { config.queue_bytes } else { config.retention_bytes };
    let max_age = if queue { 0 } else { nanos(config.retention) };
    let window = nanos(config.dedupe_window);
    let json = json!({
        "name": name,
        "description": format!("chatbus: {}", family.label()),
        "subjects": subjects,
        "retention": if is_work_queue(family) { "workqueue" } else { "limits" },
        "discard": if queue { "new" } else { "old" },
        "storage": "file",
        "num_replicas": config.replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "max_bytes": bytes,
        "max_age": max_age,
        "max_msg_size": config.max_message_bytes + MAX_HEADER_BYTES,
        // The server takes no window longer than its messages live.
        "duplicate_window": if max_age == 0 { window } else { window.min(max_age) },
        "deny_delete": false,
        "deny_purge": false,
        "allow_rollup_hdrs": false,
    });
    match json {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}

/// What a server leaves out is zero, false or empty.
fn same(found: Option<&Value>, wanted: &Value) -> bool {
    match found {
        Some(found) => found == wanted,
        None => matches!(wanted, Value::Bool(false) | Value::Null) || wanted.as_u64() == Some(0),
    }
}

// === impl Small ===

impl Small {
    /// Says it of all of them at once.
    pub(crate) fn warn(all: &[Self]) {
        let streams: Vec<String> = all.iter().map(ToString::to_string).collect();
        tracing::warn!(
            event = "bus.nats.stream_small",
            streams = streams.join(", "),
            "streams are smaller than configured, since the servers have no more room"
        );
    }
}

impl std::fmt::Display for Small {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} of {} bytes)", self.name, self.bytes, self.configured)
    }
}

pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_states_every_limit() {
        let config = NatsConfig::default();
        for family in Family::ALL {
            let s = settings(&config, family, "n", &[]);
            let queue =
                matches!(family, Family::Egress | Family::InstanceEgress | Family::ApiEgress | Family::Lane);
            assert_eq!(s["discard"], if queue { "new" } else { "old" }, "{family:?}");
            assert_eq!(s["max_age"] == 0, queue, "{family:?}");
            assert_eq!(s["retention"] == "workqueue", family.is_egress(), "{family:?}");
            assert_eq!(s["duplicate_window"], 120_000_000_000_u64);
            assert!(s["max_bytes"].as_u64().unwrap() > 0 && s["max_msg_size"].as_u64().unwrap() > 1 << 19);
        }
    }

    #[test]
    fn a_window_is_never_longer_than_what_it_remembers() {
        let config = NatsConfig { retention: std::time::Duration::from_secs(1), ..NatsConfig::default() };
        assert_eq!(settings(&config, Family::Ingress, "n", &[])["duplicate_window"], 1_000_000_000);
    }

    #[test]
    fn what_a_server_leaves_out_is_its_default() {
        assert!(same(None, &json!(0)) && same(None, &json!(false)) && !same(None, &json!(1)));
        assert!(same(Some(&json!(3)), &json!(3)) && !same(Some(&json!("old")), &json!("new")));
    }
}
