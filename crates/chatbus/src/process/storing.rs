//! The store of a process: opened at the start, or as soon as it is in reach.

use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::StateReach;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_runtime::{Backoff, Runtime};
use chatbus_state::{Expected, Key, Space, State};
use chatbus_store::{Store, StoreErrorKind};
use tokio::sync::watch;

use crate::commands::Failure;
use crate::registry;
use crate::settings::Core;

/// The store, once it is open.
#[derive(Clone)]
pub(crate) struct Storing(watch::Receiver<Option<Arc<dyn Store>>>);

const SETTING: &str = "STORE_URL";
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// A state that is not in reach within this is asked later.
const ASK_WITHIN: Duration = Duration::from_secs(1);
/// How often the store's name is written again beside the bus; it is forgotten after ten minutes.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Under which the name of the store stands among the leases.
const KEY: &str = "store";

// === impl Storing ===

impl Storing {
    /// Opens the store. One that is out of reach is tried again in the background, for as long as it takes.
    ///
    /// # Errors
    /// When it can never be opened as it is configured.
    pub(crate) async fn open(core: &Core, runtime: &Runtime) -> Result<Self, Failure> {
        let (told, opened) = watch::channel(None);
        match registry::open_store(&core.services.store_url, &core.data_dir, runtime).await {
            Ok(store) => {
                told.send_replace(Some(store));
            }
            Err(error) if error.is_temporary() => {
                tracing::error!(event = "store.unavailable", reason = %error, "the store is out of reach; it is tried again");
                let (core, again) = (core.clone(), runtime.clone());
                runtime.spawn("store.open", async move { open_later(&core, &again, &told).await });
            }
            Err(error) => return Err(Problem::new(SETTING, error.to_string()).into()),
        }
        Ok(Self(opened))
    }

    /// The store, if it is open.
    pub(crate) fn now(&self) -> Option<Arc<dyn Store>> {
        self.0.borrow().clone()
    }

    /// The store, now and once it is open.
    pub(super) fn watched(&self) -> watch::Receiver<Option<Arc<dyn Store>>> {
        self.0.clone()
    }

    /// The store, once it is open; `None` when the process stops before.
    pub(crate) async fn opened(&mut self, runtime: &Runtime) -> Option<Arc<dyn Store>> {
        tokio::select! {
            () = runtime.stop.cancelled() => None,
            opened = self.0.wait_for(Option::is_some) => opened.ok().and_then(|store| store.clone()),
        }
    }

    /// Whether it is open and in reach.
    pub(crate) fn is_ready(&self) -> bool {
        self.now().is_some_and(|store| *store.connected().borrow())
    }

    /// Sees to it that all who share a bus share one store, and that others can see it too.
    ///
    /// # Errors
    /// When another store is used on this bus.
    pub(crate) async fn agree(
        &self,
        state: &Arc<dyn State>,
        values: &Values,
        runtime: &Runtime,
    ) -> Result<(), Failure> {
        if !registry::state_reach(values).is_some_and(StateReach::is_shared) {
            return Ok(());
        }
        let mut connected = state.connected();
        let reached = connected.wait_for(|connected| *connected);
        let in_reach = tokio::time::timeout(ASK_WITHIN, reached).await.is_ok();
        if let (true, Some(store)) = (in_reach, self.now())
            && let Some(other) = another(&**state, store.id()).await
        {
            let why = format!(
                "it names the store {}, and others on this bus use {other}; give all of them one store, such as one \
                 postgres:// URL, or another BUS_PREFIX",
                store.id()
            );
            return Err(Problem::new(SETTING, why).into());
        }
        let telling = tell(self.clone(), Arc::clone(state), runtime.clone());
        runtime.spawn("store.tell", telling);
        Ok(())
    }
}

async fn open_later(core: &Core, runtime: &Runtime, told: &watch::Sender<Option<Arc<dyn Store>>>) {
    let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
    loop {
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next(&*runtime.entropy)) => {}
        }
        match registry::open_store(&core.services.store_url, &core.data_dir, runtime).await {
            Ok(store) => {
                tracing::info!(event = "store.opened", "the store is in reach");
                told.send_replace(Some(store));
                return;
            }
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                tracing::debug!(event = "store.unavailable", reason = %error, "still out of reach");
            }
            Err(error) => {
                tracing::error!(event = "store.misconfigured", reason = %error, setting = SETTING, "the store cannot be used");
            }
        }
    }
}

/// The store that others on this bus use, where it is another.
async fn another(state: &dyn State, id: &str) -> Option<String> {
    let key = Key::parse(KEY).ok()?;
    let entry = state.get(Space::Leases, &key).await.ok().flatten()?;
    let other = String::from_utf8_lossy(&entry.value).into_owned();
    (other != id).then_some(other)
}

/// Writes the store's name beside the bus, again and again; stops the process where others use another.
async fn tell(mut storing: Storing, state: Arc<dyn State>, runtime: Runtime) {
    let Some(store) = storing.opened(&runtime).await else { return };
    let Ok(key) = Key::parse(KEY) else { return };
    loop {
        if let Some(other) = another(&*state, store.id()).await {
            tracing::error!(
                event = "store.another",
                setting = SETTING,
                other,
                own = store.id(),
                "others on this bus use another store; stopping"
            );
            return runtime.stop.cancel();
        }
        // Where the state does not take it, the next time does.
        let _ = state
            .put(Space::Leases, &key, store.id().to_owned().into_bytes().into(), Expected::Anything)
            .await;
        tokio::select! {
            () = runtime.stop.cancelled() => return,
            () = tokio::time::sleep(TELL_EVERY) => {}
        }
    }
}
