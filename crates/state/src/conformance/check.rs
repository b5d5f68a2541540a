//! Waiting for a condition with a deadline, and the few calls every test makes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::{Change, Changes, Entry, Expected, Key, Revision, Space, State, StateError, StateErrorKind};

/// How long a condition may take: far longer than any driver needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long one test may take in all: a call that never returns fails it instead of hanging it.
const TEST_DEADLINE: Duration = Duration::from_secs(120);

/// One whole test, within its deadline.
pub async fn bounded(promise: impl Future<Output = ()>) {
    assert!(timeout(TEST_DEADLINE, promise).await.is_ok(), "the test took longer than {TEST_DEADLINE:?}");
}

/// `future`'s value, within the deadline.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let value = timeout(DEADLINE, future).await;
    assert!(value.is_ok(), "took too long: {what}");
    value.expect("it was looked at")
}

/// Polls until `probe` gives something.
pub(super) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    within(what, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// A key.
pub(super) fn key(text: &str) -> Key {
    Key::parse(text).expect("the suite's keys are valid")
}

/// Writes, whatever stands there.
pub(super) async fn put(state: &Arc<dyn State>, space: Space, at: &str, value: &str) -> Revision {
    try_put(state, space, at, value, Expected::Anything).await.expect("the state takes a write")
}

/// Writes, within the deadline.
pub(super) async fn try_put(
    state: &Arc<dyn State>,
    space: Space,
    at: &str,
    value: &str,
    expected: Expected,
) -> Result<Revision, StateError> {
    let value = Bytes::copy_from_slice(value.as_bytes());
    within("put", state.put(space, &key(at), value, expected)).await
}

/// Removes, within the deadline.
pub(super) async fn try_remove(
    state: &Arc<dyn State>,
    space: Space,
    at: &str,
    expected: Expected,
) -> Result<(), StateError> {
    within("remove", state.remove(space, &key(at), expected)).await
}

/// What stands there.
pub(super) async fn get(state: &Arc<dyn State>, space: Space, at: &str) -> Option<Entry> {
    within("get", state.get(space, &key(at))).await.expect("the state is read")
}

/// The value that stands there, as text.
pub(super) async fn text(state: &Arc<dyn State>, space: Space, at: &str) -> Option<String> {
    get(state, space, at).await.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

/// Fails unless it is a conflict.
pub(super) fn assert_conflict<T: std::fmt::Debug>(result: &Result<T, StateError>, why: &str) {
    let kind = result.as_ref().err().map(StateError::kind);
    assert_eq!(kind, Some(StateErrorKind::Conflict), "{why}: {result:?}");
}

/// The keys of a list.
pub(super) async fn listed(state: &Arc<dyn State>, space: Space, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(key);
    let entries = within("list", state.list(space, prefix.as_ref())).await.expect("the state lists");
    entries.into_iter().map(|(key, _)| key.to_string()).collect()
}

/// Begins a watch.
pub(super) async fn watch(state: &Arc<dyn State>, space: Space) -> Box<dyn Changes> {
    within("watch", state.watch(space)).await.expect("the state is watched")
}

/// The next change, within the deadline.
pub(super) async fn next(changes: &mut Box<dyn Changes>) -> Change {
    within("a change", changes.next()).await.expect("the watch goes on")
}

/// What is told up to `Current`.
pub(super) async fn first(changes: &mut Box<dyn Changes>) -> Vec<(Key, Entry)> {
    let mut told = Vec::new();
    loop {
        match next(changes).await {
            Change::Set(key, entry) => told.push((key, entry)),
            Change::Removed(_) => {}
            Change::Current => return told,
        }
    }
}
