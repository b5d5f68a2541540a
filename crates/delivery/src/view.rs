//! The others, as the shared state tells of them.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;
use chatbus_connector::{Audience, Target};
use chatbus_event::InstanceId;
use chatbus_runtime::{Backoff, Runtime};
use chatbus_state::{Change, Expected, Key, LeaseView, Liveness, Space, State, Trace};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::broadcast;
use tracing::debug;

use crate::peers::{Peer, PeerChange, Peers};
use crate::presented::{Presented, lease_key};
use crate::role::Role;

/// The others, as the shared state tells of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterView(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    me: (Role, InstanceId),
    /// The gateway's name among the platforms.
    gateway: &'static str,
    leases: LeaseView,
    living: RwLock<Living>,
    presence: RwLock<Presence>,
    changes: broadcast::Sender<PeerChange>,
}

/// Who lives, with what their leases say.
type Living = BTreeMap<Key, (Bytes, Arc<Presented>)>;

/// Which gateways each user is connected to.
#[derive(Debug, Default)]
struct Presence {
    by_user: HashMap<Arc<str>, Vec<Connected>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Connected {
    instance: Arc<str>,
    /// Valid while the instance's lease says the same.
    epoch: Arc<str>,
}

/// A reader who is further behind looks at everything again.
const MAX_BEHIND: usize = 4_096;
/// Entries tidied away at a time.
const MAX_TIDIED: usize = 1_000;
/// How often the living are counted, beside whenever a lease changes.
const COUNT_EVERY: Duration = Duration::from_secs(1);

// === impl ClusterView ===

impl ClusterView {
    /// What this instance will know; [`ClusterView::keep`] fills it.
    pub fn new(role: Role, instance: InstanceId, gateway: &'static str, leases: LeaseView) -> Self {
        Self(Arc::new(Inner {
            me: (role, instance),
            gateway,
            leases,
            living: RwLock::default(),
            presence: RwLock::default(),
            changes: broadcast::Sender::new(MAX_BEHIND),
        }))
    }

    /// Watches until the process stops.
    pub async fn keep(&self, state: Arc<dyn State>, runtime: Runtime) {
        let work = async { tokio::join!(self.count_living(), self.watch_presence(&*state, &runtime)) };
        tokio::select! {
            biased;
            () = runtime.stop.cancelled() => {}
            _ = work => {}
        }
    }

    async fn count_living(&self) {
        let mut changed = self.0.leases.changes();
        loop {
            if self.recount() {
                let _ = self.0.changes.send(PeerChange::Any);
            }
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                // A lease that ends is told by nothing but the time.
                () = tokio::time::sleep(COUNT_EVERY) => {}
            }
        }
    }

    /// Whether somebody came, went, or says something else.
    fn recount(&self) -> bool {
        let mut now = Living::new();
        let before = self.living();
        for role in Role::ALL {
            let Ok(prefix) = Key::parse(role.as_str()) else { continue };
            for (key, entry) in self.0.leases.living(&prefix) {
                let known = before.get(&key).filter(|(value, _)| *value == entry.value).cloned();
                let read = || Some((entry.value.clone(), Arc::new(Presented::decode(&entry.value)?)));
                if let Some(presented) = known.or_else(read) {
                    now.insert(key, presented);
                }
            }
        }
        let same = before.len() == now.len()
            && before.iter().zip(&now).all(|(old, new)| old.0 == new.0 && old.1.0 == new.1.0);
        drop(before);
        if !same {
            *self.0.living.write().unwrap_or_else(PoisonError::into_inner) = now;
        }
        !same
    }

    async fn watch_presence(&self, state: &dyn State, runtime: &Runtime) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            match state.watch(Space::Presence).await {
                Ok(mut changes) => {
                    let mut first = Some(Presence::default());
                    while let Some(change) = changes.next().await {
                        match (&mut first, change) {
                            (Some(all), Change::Current) => {
                                *self.presence_mut() = std::mem::take(all);
                                first = None;
                                backoff.reset();
                                let _ = self.0.changes.send(PeerChange::Any);
                            }
                            (Some(all), change) => drop(all.take(&change)),
                            (None, change) => {
                                let user = self.presence_mut().take(&change);
                                if let Some(user) = user {
                                    let _ = self.0.changes.send(PeerChange::User(user));
                                }
                            }
                        }
                    }
                }
                Err(error) => debug!(event = "egress.presence_unwatched", reason = %error, "no watch yet"),
            }
            tokio::time::sleep(backoff.next(&*runtime.entropy)).await;
        }
    }

    fn living(&self) -> RwLockReadGuard<'_, Living> {
        self.0.living.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence(&self) -> RwLockReadGuard<'_, Presence> {
        self.0.presence.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence_mut(&self) -> RwLockWriteGuard<'_, Presence> {
        self.0.presence.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a gateway lives, and is in this life of it, as far as is known.
    pub fn gateway_lives(&self, instance: &str, epoch: &str) -> bool {
        let key = InstanceId::parse(instance).ok().and_then(|id| lease_key(Role::ApiGateway, &id));
        key.is_some_and(|key| self.living().get(&key).is_some_and(|(_, presented)| presented.epoch == epoch))
    }

    /// How many other instances live and are connected to a platform with this account.
    pub fn sharing(&self, platform: &str, account: &str) -> usize {
        let (role, id) = &self.0.me;
        let me = lease_key(*role, id);
        let uses = |presented: &Presented| {
            let mut served = presented.serves.iter();
            served.any(|served| served.platform == platform && served.account.as_deref() == Some(account))
        };
        self.living().iter().filter(|(key, (_, there))| Some(*key) != me.as_ref() && uses(there)).count()
    }

    /// Removes what dead gateways said of their users; gives how much that was. For one instance at a time:
    /// the dispatcher.
    pub async fn tidy(&self, state: &dyn State) -> usize {
        let mut removed = 0;
        for key in self.of_the_dead() {
            // The gateway may be back since: then this is another entry by now.
            let Ok(Some(entry)) = state.get(Space::Presence, &key).await else { continue };
            // What it sent is gone with it, which whoever asks for it has to be told.
            if let Some((user, trace)) = trace_of(&key, &entry.value)
                && trace.leave(state, &user).await.is_err()
            {
                continue;
            }
            let is_removed = state.remove(Space::Presence, &key, Expected::At(entry.revision)).await.is_ok();
            removed += usize::from(is_removed);
        }
        removed
    }

    /// Presence whose gateway is dead, some at a time.
    fn of_the_dead(&self) -> Vec<Key> {
        let is_dead = |instance: &str| {
            let key = InstanceId::parse(instance).ok().and_then(|id| lease_key(Role::ApiGateway, &id));
            key.is_none_or(|key| self.0.leases.liveness(&key) == Liveness::Dead)
        };
        let presence = self.presence();
        let all = presence.by_user.iter().flat_map(|(user, at)| at.iter().map(move |at| (user, at)));
        all.filter(|(_, connected)| is_dead(&connected.instance))
            .filter_map(|(user, at)| Key::parse(&format!("{}.{}", Key::hex(user), at.instance)).ok())
            .take(MAX_TIDIED)
            .collect()
    }

    /// The living gateways a user is connected to.
    fn gateways_of(&self, user: &str) -> Vec<InstanceId> {
        let living = self.living();
        let presence = self.presence();
        let connected = presence.by_user.get(user).map(Vec::as_slice).unwrap_or_default();
        let lives = |connected: &&Connected| {
            let key =
                InstanceId::parse(&connected.instance).ok().and_then(|id| lease_key(Role::ApiGateway, &id));
            let presented = key.and_then(|key| living.get(&key));
            presented.is_some_and(|(_, presented)| presented.epoch == *connected.epoch)
        };
        connected.iter().filter(lives).filter_map(|c| InstanceId::parse(&c.instance).ok()).collect()
    }
}

impl Peers for ClusterView {
    fn serving(&self, platform: &str, target: &Target) -> Vec<Peer> {
        let (role, me) = &self.0.me;
        let peer = |role: Role, id: &InstanceId| Peer { instance: id.as_str().into(), topic: role.topic(id) };
        if platform == self.0.gateway {
            let Audience::User(user) = target else { return Vec::new() };
            let others = |id: &InstanceId| *role != Role::ApiGateway || id != me;
            let gateways = self.gateways_of(user);
            return gateways.iter().filter(|id| others(id)).map(|id| peer(Role::ApiGateway, id)).collect();
        }
        let living = self.living();
        let serves = |presented: &Presented| presented.serves(platform, target);
        // That nobody can say something to single users is for one to say who runs the platform.
        let runs = |presented: &Presented| {
            matches!(target, Audience::User(_)) && presented.serves.iter().any(|s| s.platform == platform)
        };
        // Who died since the last count is taken over already: what went there would only come back.
        let living: Vec<_> = living
            .iter()
            .filter(|(key, _)| self.0.leases.liveness(key) != Liveness::Dead)
            .map(|(_, presented)| presented)
            .collect();
        let any_serves = living.iter().any(|(_, presented)| serves(presented));
        let mut found: Vec<(u64, InstanceId)> = living
            .iter()
            .filter(|(_, presented)| if any_serves { serves(presented) } else { runs(presented) })
            .filter_map(|(_, presented)| InstanceId::parse(&presented.instance).ok())
            .filter(|id| *role != Role::IngressEgress || id != me)
            .map(|id| (rank(id.as_str(), target), id))
            .collect();
        // Every dispatcher finds the same order, and channels are spread over those that serve them.
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.as_str().cmp(b.1.as_str())));
        found.iter().map(|(_, id)| peer(Role::IngressEgress, id)).collect()
    }

    fn can_serve(&self, platform: &str, target: &Target) -> bool {
        if platform == self.0.gateway {
            return !self.serving(platform, target).is_empty();
        }
        let me = lease_key(self.0.me.0, &self.0.me.1);
        self.living()
            .iter()
            .any(|(key, (_, presented))| Some(key) != me.as_ref() && presented.serves(platform, target))
    }

    fn is_connected(&self, user: &str) -> bool {
        !self.gateways_of(user).is_empty()
    }

    fn are_there(&self) -> bool {
        let (role, me) = &self.0.me;
        let own = lease_key(*role, me);
        self.living().keys().any(|key| Some(key) != own.as_ref())
    }

    fn changes(&self) -> BoxStream<'static, PeerChange> {
        stream::unfold(self.0.changes.subscribe(), |mut changes| async move {
            match changes.recv().await {
                Ok(change) => Some((change, changes)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some((PeerChange::Any, changes)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}

/// A number by which every instance puts the same instances in the same order for a target.
fn rank(instance: &str, target: &Target) -> u64 {
    let mut hasher = DefaultHasher::new();
    (instance, target).hash(&mut hasher);
    hasher.finish()
}

// === impl Presence ===

impl Presence {
    /// Takes in a change; gives the user whom it is about.
    fn take(&mut self, change: &Change) -> Option<Arc<str>> {
        let (key, connected) = match change {
            Change::Set(key, entry) => (key, Some(&entry.value)),
            Change::Removed(key) => (key, None),
            Change::Current => return None,
        };
        let (user, instance) = key.as_str().split_once('.')?;
        let user: Arc<str> = Key::unhex(user)?.into();
        let epoch = connected.and_then(|value| epoch_of(value));
        let at = self.by_user.entry(user.clone()).or_default();
        at.retain(|connected| &*connected.instance != instance);
        at.extend(epoch.map(|epoch| Connected { instance: instance.into(), epoch }));
        if at.is_empty() {
            self.by_user.remove(&user);
        }
        Some(user)
    }
}

/// What a presence key's value says.
fn epoch_of(value: &[u8]) -> Option<Arc<str>> {
    #[derive(serde::Deserialize)]
    struct Value {
        epoch: String,
    }
    serde_json::from_slice::<Value>(value).ok().map(|value| value.epoch.into())
}

/// Whose presence a key is, and which life of which gateway wrote it.
fn trace_of(key: &Key, value: &[u8]) -> Option<(String, Trace)> {
    let (user, instance) = key.as_str().split_once('.')?;
    Some((Key::unhex(user)?, Trace { instance: instance.to_owned(), epoch: epoch_of(value)?.to_string() }))
}
