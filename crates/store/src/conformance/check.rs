//! Waiting for a condition with a deadline, many tasks at once, and the few calls every test makes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Barrier, mpsc};
use tokio::time::{sleep, timeout};

use super::harness::Harness;
use crate::{
    Entry, EventFilter, Page, Seen, Sighting, Store, StoreError, StoreErrorKind, StoredEvent, TimelineStep,
    User,
};

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

/// Runs `task` so many times at one moment; gives what each gave.
pub(super) async fn at_once<H, T, F>(harness: &H, tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    H: Harness + ?Sized,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (tell, mut told) = mpsc::channel(tasks);
    let ready = Arc::new(Barrier::new(tasks));
    for n in 0..tasks {
        let (task, tell, ready) = (task(n), tell.clone(), Arc::clone(&ready));
        harness.runtime().spawn("conformance.task", async move {
            ready.wait().await;
            let _ = tell.send(task.await).await;
        });
    }
    drop(tell);
    let mut all = Vec::with_capacity(tasks);
    while let Some(one) = within("all tasks", told.recv()).await {
        all.push(one);
    }
    assert_eq!(all.len(), tasks, "a task failed");
    all
}

/// Writes entries.
pub(super) async fn record(store: &Arc<dyn Store>, entries: &[Entry]) {
    within("record", store.record(entries)).await.expect("the store takes entries");
}

/// An event that is there, with its way.
pub(super) async fn event(store: &Arc<dyn Store>, id: &str) -> (StoredEvent, Vec<TimelineStep>) {
    let found = within("event", store.event(id)).await.expect("the store reads an event");
    found.expect("the event is there")
}

/// The ids of the events that fit.
pub(super) async fn found(store: &Arc<dyn Store>, filter: &EventFilter) -> Vec<String> {
    let page = Page { limit: 1000, offset: 0 };
    let events = within("events", store.events(filter, &page)).await.expect("the store lists events");
    events.into_iter().map(|event| event.correlation_id).collect()
}

/// Counts sightings.
pub(super) async fn sight(store: &Arc<dyn Store>, sightings: &[Sighting]) -> Vec<Seen> {
    let seen = within("sight", store.sight(sightings)).await.expect("the store takes sightings");
    assert_eq!(seen.len(), sightings.len());
    seen
}

/// A user that is there.
pub(super) async fn user(store: &Arc<dyn Store>, id: &str) -> User {
    let found = within("user", store.user(id)).await.expect("the store reads a user");
    found.expect("the user is there")
}

/// Fails unless the record at this place is refused.
pub(super) fn assert_refused<T>(answer: Result<T, StoreError>, at: usize) {
    let error = answer.err().expect("it is refused");
    assert_eq!((error.kind(), error.record()), (StoreErrorKind::Refused, Some(at)), "{error}");
    assert!(!error.is_temporary());
}

/// Every order of some things.
pub(super) fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(at);
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, first.clone());
            order
        }));
    }
    all
}
