//! The shared state as an instance sees it: late, and sometimes without an answer.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chatbus_state::{
    Change, Changes, Entry, Expected, Key, Revision, Space, State, StateError, StateErrorKind,
};
use tokio::sync::watch;

use crate::clock::now;
use crate::link::{Link, pause};
use crate::process::Control;

/// One life's connection to the state.
pub(crate) struct SimState {
    pub(crate) link: Arc<Link>,
    pub(crate) control: Arc<Control>,
}

struct SimChanges {
    inner: Box<dyn Changes>,
    link: Arc<Link>,
    /// On its way here.
    coming: Option<(tokio::time::Instant, Change)>,
}

// === impl SimState ===

impl SimState {
    async fn around<T>(
        &self,
        what: impl Fn() -> String + Send + Sync,
        operation: impl Future<Output = Result<T, StateError>> + Send,
    ) -> Result<T, StateError> {
        self.control.point().await;
        let (begun, fate) = (now(), self.link.state_fate());
        pause(fate.held_back + fate.before).await;
        let lost = |why: &str| StateError::new(StateErrorKind::Uncertain, why);
        if !fate.done {
            self.link.say(|| format!("{} fails", what()));
            return Err(lost("lost on the way"));
        }
        let result = operation.await;
        self.control.point().await;
        pause(fate.after).await;
        if !fate.answered {
            self.link.say(|| format!("{} done, its answer is lost", what()));
            self.link.note_uncertain(begun);
            return Err(lost("no answer"));
        }
        self.control.point().await;
        result
    }
}

#[async_trait]
impl State for SimState {
    async fn get(&self, space: Space, key: &Key) -> Result<Option<Entry>, StateError> {
        self.around(|| format!("get {} {key}", space.name()), self.link.state.get(space, key)).await
    }

    async fn put(
        &self,
        space: Space,
        key: &Key,
        value: Bytes,
        expected: Expected,
    ) -> Result<Revision, StateError> {
        let told = value.clone();
        let put = self.link.state.put(space, key, value, expected);
        let written = self.around(|| format!("put {} {key}", space.name()), put).await;
        if space == Space::Ledger {
            self.link.say(|| {
                let how = if written.is_ok() { "written" } else { "not written" };
                format!("ledger {key:.8} {} {how}", String::from_utf8_lossy(&told), key = key.as_str())
            });
        }
        written
    }

    async fn remove(&self, space: Space, key: &Key, expected: Expected) -> Result<(), StateError> {
        self.around(|| format!("remove {} {key}", space.name()), self.link.state.remove(space, key, expected))
            .await
    }

    async fn list(&self, space: Space, prefix: Option<&Key>) -> Result<Vec<(Key, Entry)>, StateError> {
        self.around(|| format!("list {}", space.name()), self.link.state.list(space, prefix)).await
    }

    async fn watch(&self, space: Space) -> Result<Box<dyn Changes>, StateError> {
        let watching = self.link.state.watch(space);
        let inner = self.around(|| format!("watch {}", space.name()), watching).await?;
        Ok(Box::new(SimChanges { inner, link: self.link.clone(), coming: None }))
    }

    fn connected(&self) -> watch::Receiver<bool> {
        self.link.state.connected()
    }

    async fn close(&self) {}
}

// === impl SimChanges ===

#[async_trait]
impl Changes for SimChanges {
    async fn next(&mut self) -> Option<Change> {
        if self.coming.is_none() {
            let change = self.inner.next().await?;
            let wait = self.link.state_fate().before;
            self.coming = Some(((now() + wait).into(), change));
        }
        if let Some((at, _)) = &self.coming {
            let at = *at;
            if at.into_std() > now() {
                tokio::time::sleep_until(at).await;
            }
        }
        self.coming.take().map(|(_, change)| change)
    }
}
