//! Telling the others who is connected here: one key for each user, `<user in hex>.<instance>`.
//!
//! It is written when a user's connections here change and removed with the last one. It carries the
//! instance's epoch and means something while the lease with that epoch lives, so a crash needs no
//! tidying up. A [`Trace`] of each user is left before its key goes. What could not be written is tried again; when the state was out of reach, everything of
//! ours there is compared with who is connected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use chatbus_state::{Expected, Key, Mirror, Space, State, StateError, Trace};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::recall::Recaller;
use crate::session::Identity;
use crate::users::Users;

/// What stands under a presence key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceValue {
    /// The life of the instance in which it was written.
    pub epoch: String,
    /// Connections of the user there.
    pub connections: usize,
}

/// Whether the lease of this instance with this epoch lives, as far as is known.
pub type Lives = Arc<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// Keeps the presence of one instance's users.
pub(crate) struct Presence {
    pub(crate) users: Arc<Users>,
    pub(crate) state: Arc<dyn State>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) recaller: Arc<Recaller>,
    pub(crate) runtime: Runtime,
}

/// Writes at once.
const CONCURRENT: usize = 32;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);
/// A write that takes longer is tried again.
const WRITE_WITHIN: Duration = Duration::from_secs(3);

/// The connections of a user on other instances.
pub(crate) fn elsewhere(mirror: &Mirror, user: &str, instance: &str, lives: &Lives) -> usize {
    let Ok(prefix) = Key::parse(&Key::hex(user)) else { return 0 };
    let entries = mirror.under(&prefix);
    let others = entries.iter().filter_map(|(key, entry)| {
        let there = key.parts().nth(1)?;
        let value: PresenceValue = serde_json::from_slice(&entry.value).ok()?;
        (there != instance && lives(there, &value.epoch)).then_some(value.connections)
    });
    others.sum()
}

// === impl Presence ===

impl Presence {
    /// Keeps it until `finish` is cancelled, and then until what is left is written, for a moment.
    pub(crate) async fn run(self, finish: CancellationToken) {
        let mut changes = self.users.changes();
        let mut connected = self.state.connected();
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut is_reconciled = false;
        // Nothing is written over what an earlier life left before it is known.
        let mut is_known = false;
        loop {
            if !is_reconciled && *connected.borrow_and_update() {
                is_reconciled = self.reconcile().await.is_ok();
                is_known |= is_reconciled;
            }
            if is_known && self.write_dirty().await && is_reconciled {
                backoff.reset();
                tokio::select! {
                    biased;
                    () = finish.cancelled() => break,
                    changed = changes.changed() => if changed.is_err() { break },
                    changed = connected.changed() => {
                        if changed.is_err() { break }
                        is_reconciled = false;
                    }
                }
            } else {
                tokio::select! {
                    () = finish.cancelled() => break,
                    () = tokio::time::sleep(backoff.next(&*self.runtime.entropy)) => {}
                }
            }
        }
        if is_known {
            let _ = self.write_dirty().await;
        }
    }

    /// Writes what changed; says whether all of it was.
    async fn write_dirty(&self) -> bool {
        let dirty = self.users.take_dirty();
        let failed: Vec<Arc<str>> = stream::iter(dirty)
            .map(|(user, _)| async move {
                let written = tokio::time::timeout(WRITE_WITHIN, self.write(&user)).await;
                match written {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => {
                        debug!(event = "gateway.presence_unwritten", reason = %error, "presence not written");
                        Some(user)
                    }
                    Err(_) => Some(user),
                }
            })
            .buffer_unordered(CONCURRENT)
            .filter_map(std::future::ready)
            .collect()
            .await;
        let all = failed.is_empty();
        self.users.mark_dirty(failed);
        all
    }

    async fn write(&self, user: &str) -> Result<(), StateError> {
        let Ok(key) = Key::parse(&format!("{}.{}", Key::hex(user), self.identity.instance)) else {
            return Ok(());
        };
        match self.users.count(user) {
            0 => {
                if self.users.get(user).is_some() {
                    self.trace(&self.identity.epoch).leave(&*self.state, user).await?;
                }
                self.state.remove(Space::Presence, &key, Expected::Anything).await
            }
            connections => {
                let value = PresenceValue { epoch: self.identity.epoch.clone(), connections };
                let value = Bytes::from(serde_json::to_vec(&value).unwrap_or_default());
                self.state.put(Space::Presence, &key, value, Expected::Anything).await?;
                self.recaller.settle(user).await
            }
        }
    }

    fn trace(&self, epoch: &str) -> Trace {
        Trace { instance: self.identity.instance.clone(), epoch: epoch.to_owned() }
    }

    /// Looks at everybody who is connected, and at every key of ours that stands there.
    async fn reconcile(&self) -> Result<(), StateError> {
        let there = self.state.list(Space::Presence, None).await?;
        let ours = there.iter().filter_map(|(key, entry)| {
            let mut parts = key.parts();
            let user = Key::unhex(parts.next()?)?;
            let value = serde_json::from_slice::<PresenceValue>(&entry.value).ok();
            (parts.next()? == self.identity.instance).then(|| (Arc::<str>::from(user), value))
        });
        let ours: Vec<(Arc<str>, Option<PresenceValue>)> = ours.collect();
        // An earlier life ended without a word.
        let earlier = ours.iter().filter_map(|(user, value)| Some((user, value.as_ref()?)));
        let earlier = earlier.filter(|(_, value)| value.epoch != self.identity.epoch);
        stream::iter(earlier.map(Ok::<_, StateError>))
            .try_for_each_concurrent(CONCURRENT, |(user, value)| async move {
                self.trace(&value.epoch).leave(&*self.state, user).await
            })
            .await?;
        self.users.mark_dirty(ours.into_iter().map(|(user, _)| user));
        self.users.mark_dirty(self.users.present());
        Ok(())
    }
}
