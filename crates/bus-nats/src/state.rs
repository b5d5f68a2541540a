//! The shared state as NATS key-value: one bucket for each space, laid out as every NATS client lays
//! them out, so that `nats kv` can look inside.
//!
//! * **Writes** are JetStream publishes that expect the last place on their subject (`write`).
//! * **Reads** ask the stream's leader (`read`). A direct get is answered by whichever replica is near,
//!   which may not have a write yet that was acknowledged; a list through a consumer could miss one too.
//! * **Watches** are consumers without acknowledgements that end at the first gap (`changes`).
//! * **Removals** leave a marker for watchers. In a space that keeps its entries for ever the remover
//!   takes the marker away later (`tidy`), or markers of every user there ever was would fill it.

pub(crate) mod buckets;
mod changes;
mod read;
mod tidy;
mod write;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_bus::{BusError, BusErrorKind};
use chatbus_runtime::CancellationToken;
use chatbus_state::{Changes, Entry, Expected, Key, Revision, Space, State, StateError, StateErrorKind};
use tokio::sync::{mpsc, watch};

use crate::link::Link;
use crate::wire::Session;
use tidy::Marker;

/// How long a call waits for its answer: a lease that lives 4 s cannot wait longer.
const ANSWER: Duration = Duration::from_secs(4);

/// One handle.
#[derive(Debug)]
pub(crate) struct NatsState {
    shared: Arc<Shared>,
    markers: mpsc::Sender<Marker>,
}

#[derive(Debug)]
struct Shared {
    link: Arc<Link>,
    /// Cancelled when this handle or the bus closes.
    closing: CancellationToken,
    connected: watch::Sender<bool>,
}

// === impl NatsState ===

impl NatsState {
    pub(crate) fn new(link: Arc<Link>) -> Arc<Self> {
        let connected = watch::Sender::new(*link.up.borrow());
        let shared = Arc::new(Shared { closing: link.closing.child_token(), connected, link });
        let (markers, removed) = mpsc::channel(tidy::MAX_TOLD);
        shared.link.runtime.spawn("nats.state", tidy::run(Arc::clone(&shared), removed));
        shared.link.runtime.spawn("nats.state.status", Arc::clone(&shared).follow());
        Arc::new(Self { shared, markers })
    }

    /// Says that a marker stands there, to be taken away in a while.
    fn removed(&self, space: Space, key: &Key, seq: u64) {
        if space.ttl().is_none() {
            // When more wait than are remembered, who begins the next watch sees to it.
            let _ = self.markers.try_send(Marker { space, key: key.clone(), seq });
        }
    }
}

impl Drop for NatsState {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

#[async_trait]
impl State for NatsState {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        let session = self.shared.session()?;
        let found = read::last(&self.shared, &session, space, key).await?;
        Ok(found.and_then(read::Found::entry))
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        chatbus_state::check_size(key, &value)?;
        let session = self.shared.session()?;
        write::put(&self.shared, &session, space, key, &value, expected).await
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        let session = self.shared.session()?;
        if let Some(seq) = write::remove(&self.shared, &session, space, key, expected).await? {
            self.removed(space, key, seq);
        }
        Ok(())
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        let session = self.shared.session()?;
        read::list(&self.shared, &session, space, prefix).await
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        let session = self.shared.session()?;
        let changes = changes::begin(&self.shared, &session, space, self.markers.clone()).await?;
        Ok(Box::new(changes))
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.shared.connected.subscribe()
    }

    async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.connected.send_if_modified(std::mem::take);
    }
}

// === impl Shared ===

impl Shared {
    /// The connection in use.
    fn session(&self) -> Result<Arc<Session>, StateError> {
        if self.closing.is_cancelled() {
            return Err(StateError::closed("the shared state is closed"));
        }
        // Whatever the reason is, it may be mended while we run.
        let epoch = self.link.epoch().map_err(|error| StateError::closed(error.to_string()))?;
        Ok(Arc::clone(&epoch.session))
    }

    fn stream(&self, space: Space) -> String {
        buckets::stream(&self.link.names, space)
    }

    fn subject(&self, space: Space, key: &str) -> String {
        buckets::subject(&self.link.names, space, key)
    }

    /// Says whether there is a connection, until this handle closes.
    async fn follow(self: Arc<Self>) {
        let mut up = self.link.up.subscribe();
        loop {
            let now = *up.borrow_and_update();
            let is_closing = self.closing.is_cancelled();
            self.connected.send_if_modified(|connected| {
                let new = now && !is_closing;
                std::mem::replace(connected, new) != new
            });
            if is_closing {
                return;
            }
            tokio::select! {
                () = self.closing.cancelled() => {}
                changed = up.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// What a failed question means: nothing was done.
fn unread(what: &str, error: &BusError) -> StateError {
    let kind = match error.kind() {
        BusErrorKind::Full | BusErrorKind::Refused | BusErrorKind::TooLarge => StateErrorKind::Refused,
        _ => StateErrorKind::Closed,
    };
    StateError::new(kind, format!("{what}: {error}"))
}

/// A question's answer, within the time there is for one.
async fn answered<T>(
    what: &str,
    question: impl Future<Output = Result<T, BusError>>,
) -> Result<T, StateError> {
    match tokio::time::timeout(ANSWER, question).await {
        Ok(answer) => answer.map_err(|error| unread(what, &error)),
        Err(_) => Err(StateError::closed(format!("{what}: NATS did not answer"))),
    }
}
