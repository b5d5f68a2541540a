//! Writing and removing: publishes that expect the last place on their subject.

use std::fmt::Write as _;

use chatbus_bus::BusErrorKind;
use chatbus_state::{Expected, Key, Revision, Space, StateError, StateErrorKind};
use serde::Deserialize;

use super::read::{self, Found};
use super::{ANSWER, Shared};
use crate::acks::ApiError;
use crate::headers;
use crate::wire::Session;

/// Tries over markers that others change in between.
const TRIES: usize = 4;

/// Another place is the last one on the subject, in two wordings.
const WRONG_LAST: [u32; 2] = [10071, 10164];

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

/// What is published.
#[derive(Clone, Copy)]
enum Write<'a> {
    Value(&'a [u8]),
    Removal,
}

/// Writes a value.
pub(super) async fn put(
    shared: &Shared,
    session: &Session,
    space: Space,
    key: &Key,
    value: &[u8],
    expected: Expected,
) -> Result<Revision, StateError> {
    let value = Write::Value(value);
    let mut last = match expected {
        Expected::Anything => None,
        Expected::Absent => Some(0),
        // No write has this place; to the server it means that there is none.
        Expected::At(Revision(0)) => return Err(StateError::conflict(key)),
        Expected::At(Revision(seq)) => Some(seq),
    };
    for _ in 0..TRIES {
        let written = publish(shared, session, space, key, value, last).await;
        match written {
            Err(error) if error.is_conflict() && expected == Expected::Absent => {
                // A marker counts as absent.
                last = match read::last(shared, session, space, key).await? {
                    None => Some(0),
                    Some(Found::Marker(seq)) => Some(seq),
                    Some(Found::Entry(_)) => return Err(error),
                };
            }
            written => return written.map(Revision),
        }
    }
    Err(StateError::conflict(key))
}

/// Removes; gives the place of the marker if one was written.
pub(super) async fn remove(
    shared: &Shared,
    session: &Session,
    space: Space,
    key: &Key,
    expected: Expected,
) -> Result<Option<u64>, StateError> {
    let last = match expected {
        Expected::At(Revision(0)) => return Err(StateError::conflict(key)),
        Expected::At(Revision(seq)) => Some(seq),
        // A marker where nothing stands would tell watchers of what never was.
        Expected::Absent | Expected::Anything => {
            let found = read::last(shared, session, space, key).await?.and_then(Found::entry);
            match found {
                None => return Ok(None),
                Some(_) if expected == Expected::Absent => return Err(StateError::conflict(key)),
                Some(_) => None,
            }
        }
    };
    publish(shared, session, space, key, Write::Removal, last).await.map(Some)
}

async fn publish(
    shared: &Shared,
    session: &Session,
    space: Space,
    key: &Key,
    write: Write<'_>,
    last: Option<u64>,
) -> Result<u64, StateError> {
    let mut block = String::from("NATS/1.0\r\n");
    if let Some(last) = last {
        let _ = write!(block, "Nats-Expected-Last-Subject-Sequence: {last}\r\n");
    }
    let payload = match write {
        Write::Value(value) => value,
        Write::Removal => {
            block.push_str("KV-Operation: DEL\r\n");
            &[]
        }
    };
    block.push_str("\r\n");
    if block.len() + payload.len() > session.info.max_payload {
        let why = format!("writing {key}: the NATS servers take at most {} bytes", session.info.max_payload);
        return Err(StateError::new(StateErrorKind::TooLarge, why));
    }
    let subject = shared.subject(space, key.as_str());
    let what = format!("writing {key} of {}", space.name());
    let answer = session.request_with_headers(&subject, block.as_bytes(), payload, ANSWER);
    // Its own clock ticks coarsely.
    let answer = tokio::time::timeout(ANSWER, answer).await;
    let uncertain = |why: &str| StateError::new(StateErrorKind::Uncertain, format!("{what}: {why}"));
    let answer = match answer {
        Err(_) => return Err(uncertain("NATS did not answer")),
        Ok(Err(error)) if error.kind() == BusErrorKind::Full => {
            return Err(StateError::new(StateErrorKind::Refused, format!("{what}: {error}")));
        }
        Ok(Err(error)) => return Err(uncertain(&error.to_string())),
        Ok(Ok(answer)) => answer,
    };
    if headers::status(answer.headers()).is_some() {
        // Its stream is gone or has no leader: whoever connects anew makes sure of it.
        session.close(&format!("no JetStream serves the space {}", space.name()));
        return Err(StateError::closed(format!("{what}: no JetStream stream takes it")));
    }
    let ack: Ack = serde_json::from_slice(answer.payload())
        .map_err(|e| uncertain("an answer of another shape").caused_by(e))?;
    match ack.error {
        None => Ok(ack.seq),
        Some(error) if WRONG_LAST.contains(&error.err_code) => Err(StateError::conflict(key)),
        Some(error) => {
            let kind = match error.kind() {
                BusErrorKind::Closed => StateErrorKind::Closed,
                BusErrorKind::TooLarge => StateErrorKind::TooLarge,
                _ => StateErrorKind::Refused,
            };
            Err(StateError::new(kind, format!("{what}: {} ({})", error.description, error.err_code)))
        }
    }
}
