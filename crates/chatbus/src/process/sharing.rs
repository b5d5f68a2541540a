//! An account's limits among the instances that use it: how many there are, and what the platform said to one
//! of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_connector::{Connector, Share, Status};
use chatbus_delivery::{ClusterView, Peers as _};
use chatbus_runtime::Runtime;
use chatbus_state::{Expected, Key, Mirror, Space, State};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

/// How often the others are counted, whatever is told of them.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Walls differ, and anybody may write there: nobody is quiet for longer on another's word.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the account is to be quiet.
#[derive(Debug, Serialize, Deserialize)]
struct Quiet {
    /// Milliseconds since 1970.
    until: i64,
}

/// What a platform shares its account's limits with.
struct Sharing {
    platform: &'static str,
    account: String,
    share: Share,
    status: Status,
    key: Key,
    view: ClusterView,
    state: Arc<dyn State>,
    runtime: Runtime,
}

/// Shares the limits of every platform that has an account, until the process stops.
pub(super) async fn keep(
    connectors: Vec<Arc<dyn Connector>>,
    view: ClusterView,
    state: Arc<dyn State>,
    runtime: Runtime,
) {
    let quiet = Mirror::new(Space::Budgets);
    let all = connectors.iter().filter_map(|connector| {
        let (share, account) = (connector.share()?, connector.status().snapshot().auth.login?);
        let (platform, status) = (connector.platform(), connector.status());
        let key = Key::parse(&format!("{platform}.{}", Key::hex(&account))).ok()?;
        let (view, state, runtime) = (view.clone(), Arc::clone(&state), runtime.clone());
        Some(Sharing { platform, account, share, status, key, view, state, runtime })
    });
    let all: Vec<Sharing> = all.collect();
    if all.is_empty() {
        return;
    }
    let sharing = futures::future::join_all(all.iter().map(|sharing| sharing.keep(&quiet)));
    tokio::select! {
        () = quiet.keep(Arc::clone(&state), runtime.clone()) => {}
        _ = sharing => {}
    }
}

// === impl Sharing ===

impl Sharing {
    async fn keep(&self, quiet: &Mirror) {
        let (mut others, mut told) = (self.view.changes(), quiet.changes());
        let mut refusals = self.share.refusals();
        loop {
            self.count();
            self.hear(quiet);
            tokio::select! {
                Some(_) = others.next() => {}
                Ok(()) = told.changed() => {}
                Ok(()) = refusals.changed() => {
                    let until = *refusals.borrow_and_update();
                    if let Some(until) = until.filter(|_| self.share.instances() > 1) {
                        self.tell(until).await;
                    }
                }
                () = tokio::time::sleep(COUNT_EVERY) => {}
            }
        }
    }

    fn count(&self) {
        let instances = 1 + self.view.sharing(self.platform, &self.account);
        self.share.set_instances(instances);
        let instances = u64::try_from(instances).unwrap_or(u64::MAX);
        self.status.count(|snapshot| {
            snapshot.counters.other.insert("accountInstances".to_owned(), instances);
        });
    }

    /// Heeds what another was told.
    fn hear(&self, quiet: &Mirror) {
        let entry = quiet.get(&self.key);
        let Some(said) = entry.and_then(|entry| serde_json::from_slice::<Quiet>(&entry.value).ok()) else {
            return;
        };
        let clock = &self.runtime.clock;
        let left = said.until.saturating_sub(clock.now().as_millis());
        if let Ok(left) = u64::try_from(left) {
            self.share.set_quiet_until(clock.instant() + Duration::from_millis(left).min(LONGEST));
        }
    }

    /// Tells the others. Once: who does not hear it is refused by the platform itself.
    async fn tell(&self, until: Instant) {
        let clock = &self.runtime.clock;
        let left = until.saturating_duration_since(clock.instant()).min(LONGEST);
        let said = Quiet { until: clock.now().plus(left).as_millis() };
        let value: Bytes = serde_json::to_vec(&said).unwrap_or_default().into();
        tracing::warn!(
            event = "platform.account_quiet",
            platform = self.platform,
            instances = self.share.instances(),
            "the account said too much for the platform; all instances that use it are quiet for a while"
        );
        if let Err(error) = self.state.put(Space::Budgets, &self.key, value, Expected::Anything).await {
            tracing::debug!(event = "platform.quiet_untold", reason = %error, "the others were not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbus_connector::AuthState;
    use chatbus_delivery::Role;
    use chatbus_event::InstanceId;
    use chatbus_state::{LeaseTimes, LeaseView, MemoryStateStore};
    use chatbus_testkit::test_runtime;

    use super::*;

    fn sharing(store: &MemoryStateStore, runtime: &Runtime, name: &str) -> Sharing {
        let leases = LeaseView::new(LeaseTimes::INSTANCE.ttl, runtime.clock.clone());
        let id = InstanceId::parse(name).unwrap();
        Sharing {
            platform: "brook",
            account: "bot".into(),
            share: Share::whole(),
            status: Status::new([], AuthState::ok("bot")),
            key: Key::parse(&format!("brook.{}", Key::hex("bot"))).unwrap(),
            view: ClusterView::new(Role::IngressEgress, id, "socket", leases),
            state: store.open(),
            runtime: runtime.clone(),
        }
    }

    #[tokio::test]
    async fn what_one_instance_is_told_all_heed_and_nobody_for_longer_than_a_minute() {
        for (said, heeded) in [(5, 5), (3_600, 60)] {
            let runtime = test_runtime(1);
            let store = MemoryStateStore::new(runtime.clock.clone());
            let (one, other) = (sharing(&store, &runtime, "one"), sharing(&store, &runtime, "other"));
            let quiet = Mirror::new(Space::Budgets);
            let now = runtime.clock.instant();
            other.hear(&quiet);
            assert_eq!(other.share.quiet_until(now), None);
            let mut changes = quiet.changes();
            tokio::join!(one.tell(now + Duration::from_secs(said)), async {
                tokio::select! {
                    () = quiet.keep(Arc::clone(&other.state), runtime.clone()) => {}
                    _ = changes.wait_for(|_| quiet.get(&other.key).is_some()) => {}
                }
            });
            other.hear(&quiet);
            let at_least = now + Duration::from_secs(heeded) - Duration::from_secs(1);
            let at_most = now + Duration::from_secs(heeded) + Duration::from_secs(1);
            let until = other.share.quiet_until(now).unwrap();
            assert!(at_least <= until && until <= at_most, "{:?}", until - now);
        }
    }
}
