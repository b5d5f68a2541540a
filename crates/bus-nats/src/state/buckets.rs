//! The buckets: plain JetStream streams, set as NATS clients set those of key-value.

use chatbus_bus::BusError;
use chatbus_event::Entropy;
use chatbus_state::{MAX_VALUE_BYTES, Space};
use futures::future::try_join_all;
use serde_json::{Value, json};

use crate::api::{self, Settings};
use crate::config::NatsConfig;
use crate::names::Names;
use crate::streams::{Small, adjust, has_room, max_bytes, nanos};
use crate::wire::Session;

/// Beside a value, its headers.
const HEADERS: usize = 4096;
/// Where the servers have no room, buckets ask for as little as this part of their size.
const LEAST_SHARE: u64 = 64;

/// The stream of a space's bucket.
pub(super) fn stream(names: &Names, space: Space) -> String {
    format!("KV_{}", names.bucket(space))
}

/// The subject of a key, or of a pattern of keys.
pub(super) fn subject(names: &Names, space: Space, key: &str) -> String {
    format!("$KV.{}.{key}", names.bucket(space))
}

/// Makes every bucket as it should be; gives those that are smaller.
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
    let wanted = Space::ALL.map(|space| (stream(names, space), settings(names, config, space)));
    let found = try_join_all(wanted.iter().map(|(name, _)| api::stream(session, name))).await?;
    let share = match found.iter().any(Option::is_none) {
        true => share(session, &wanted, entropy).await?,
        false => 1,
    };
    let ensured = wanted.into_iter().zip(found).map(|((name, wanted), found)| async move {
        match found {
            Some(found) => adjust(session, &name, &found.config, wanted).await,
            None => make(session, &name, wanted, share).await,
        }
    });
    Ok(try_join_all(ensured).await?.into_iter().flatten().collect())
}

/// Which share of its size each bucket can have, as what to divide it by: all of them take at most a
/// quarter of the room there is, since the bus's own streams come after them.
async fn share(
    session: &Session,
    wanted: &[(String, Settings)],
    entropy: &dyn Entropy,
) -> Result<u64, BusError> {
    let Some((first, like)) = wanted.first() else { return Ok(1) };
    let all: u64 = wanted.iter().map(|(_, wanted)| max_bytes(wanted)).sum();
    let name = format!("{first}-room-{:016x}", entropy.next_u64());
    let mut share = 1;
    while share < LEAST_SHARE && !has_room(session, &name, like, all * 4 / share, true).await? {
        share *= 2;
    }
    Ok(share)
}

async fn make(
    session: &Session,
    name: &str,
    wanted: Settings,
    share: u64,
) -> Result<Option<Small>, BusError> {
    let configured = max_bytes(&wanted);
    let bytes = configured / share;
    let mut smaller = wanted.clone();
    smaller.insert("max_bytes".into(), bytes.into());
    let made = api::create_stream(session, name, &smaller).await;
    if made.map_err(|e| e.into_bus_error(&format!("stream {name}")))?.is_some() {
        return Ok((bytes < configured).then(|| Small { name: name.to_owned(), bytes, configured }));
    }
    // Another process made it a moment ago.
    let found = api::stream(session, name).await?;
    let found = found.ok_or_else(|| BusError::closed(format!("stream {name} comes and goes")))?;
    adjust(session, name, &found.config, wanted).await
}

fn settings(names: &Names, config: &NatsConfig, space: Space) -> Settings {
    let max_age = space.ttl().map_or(0, |own| nanos(config.state_ttl.unwrap_or(own)));
    let window = nanos(config.dedupe_window);
    let json = json!({
        "name": stream(names, space),
        "description": format!("chatbus: {}", space.name()),
        "subjects": [subject(names, space, ">")],
        "retention": "limits",
        "discard": "new",
        // Also what says who lives: leases that vanish with a restart would be had twice.
        "storage": "file",
        "num_replicas": config.replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": 1,
        "max_bytes": space.max_bytes(),
        "max_age": max_age,
        "max_msg_size": MAX_VALUE_BYTES + HEADERS,
        // The server takes no window longer than its messages live.
        "duplicate_window": if max_age == 0 { window } else { window.min(max_age) },
        "deny_delete": true,
        "deny_purge": false,
        "allow_rollup_hdrs": true,
        "allow_direct": true,
    });
    match json {
        Value::Object(settings) => settings,
        _ => Settings::new(),
    }
}
