//! Reading from the leader of a space's stream.

use bytes::Bytes;
use chatbus_state::{Entry, Key, Revision, Space, StateError};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{Shared, answered};
use crate::api::{self, Which};
use crate::headers;
use crate::wire::Session;

/// Entries of a list asked for at once.
const AT_ONCE: usize = 64;
/// Says that a message removes its key.
const OPERATION: &str = "KV-Operation";

/// The last message of a key.
#[derive(Debug)]
pub(super) enum Found {
    Entry(Entry),
    /// A marker of a removal, at this place.
    Marker(u64),
}

// === impl Found ===

impl Found {
    /// Tells an entry from a marker, which other clients write in several ways.
    pub(super) fn of(headers: &[u8], value: Bytes, seq: u64) -> Self {
        let is_marker = headers::servers_own(headers, OPERATION).is_some()
            // The server's own, where it forgets by itself.
            || headers::servers_own(headers, "Nats-Marker-Reason").is_some();
        if is_marker { Self::Marker(seq) } else { Self::Entry(Entry { value, revision: Revision(seq) }) }
    }

    pub(super) fn entry(self) -> Option<Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Marker(_) => None,
        }
    }
}

/// What stands under a key.
pub(super) async fn last(
    shared: &Shared,
    session: &Session,
    space: Space,
    key: &Key,
) -> Result<Option<Found>, StateError> {
    let (stream, subject) = (shared.stream(space), shared.subject(space, key.as_str()));
    let what = format!("reading {key} of {}", space.name());
    let kept = answered(&what, api::message(session, &stream, Which::Last(&subject))).await?;
    Ok(kept.map(|kept| Found::of(&kept.headers, kept.payload, kept.seq)))
}

/// The entries under a prefix, or all, by key.
pub(super) async fn list(
    shared: &Shared,
    session: &Session,
    space: Space,
    prefix: Option<&Key>,
) -> Result<Vec<(Key, Entry)>, StateError> {
    let pattern = prefix.map_or_else(|| ">".to_owned(), |prefix| format!("{prefix}.>"));
    let filter = shared.subject(space, &pattern);
    let all = shared.subject(space, "");
    let what = format!("listing {}", space.name());
    let subjects = answered(&what, api::subjects(session, &shared.stream(space), &filter)).await?;
    // A third party can write what is no key.
    let below = subjects.iter().filter_map(|subject| Key::parse(subject.strip_prefix(&all)?).ok());
    let keys: Vec<Key> = prefix.cloned().into_iter().chain(below).collect();
    let entries = stream::iter(keys).map(|key| async move {
        let found = last(shared, session, space, &key).await?;
        Ok::<_, StateError>(found.and_then(Found::entry).map(|entry| (key, entry)))
    });
    let mut entries: Vec<(Key, Entry)> = entries
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(entries)
}
