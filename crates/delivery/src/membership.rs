//! An instance's life among the others: its lease, and whether it dispatches the generic topic.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_event::InstanceId;
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_state::{Entry, Held, Lease, LeaseTimes, State};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::peers::Peers;
use crate::presented::{Presented, Process, Served, dispatcher_key, lease_key};
use crate::role::Role;

/// Who joins, and what it needs for that.
#[derive(Clone)]
pub struct Applicant {
    /// The shared state.
    pub state: Arc<dyn State>,
    /// Clock, randomness, the stop signal.
    pub runtime: Runtime,
    /// What it is.
    pub role: Role,
    /// Its id.
    pub instance: InstanceId,
    /// One life of the process: what it wrote elsewhere is valid while its lease says the same.
    pub epoch: Arc<str>,
    /// The process it is.
    pub process: Process,
    /// How long its lease lasts.
    pub times: LeaseTimes,
    /// How long the dispatcher's lease lasts.
    pub dispatcher: LeaseTimes,
}

/// A life of an instance: from having its lease to having it no more.
pub struct Membership {
    /// What its engine needs.
    pub cluster: Cluster,
    held: Held,
    applicant: Applicant,
    dispatch: watch::Sender<Option<Fence>>,
    value: watch::Sender<Bytes>,
}

// === impl Applicant ===

impl Applicant {
    /// Waits until the lease of this instance is ours. `is_over` says of the process that had it whether
    /// that is known to be over; without knowing, its lease is waited out. What stands there from an earlier
    /// life in this very process is over, since whoever calls this has seen it end: a process that was
    /// frozen for longer than its lease does not wait for itself. `None` when the process stops first.
    pub async fn join(
        self,
        peers: Arc<dyn Peers>,
        serves: Vec<Served>,
        is_over: impl Fn(&Process) -> bool,
    ) -> Option<Membership> {
        let key = lease_key(self.role, &self.instance)?;
        let (value, presented) = watch::channel(self.presented(serves).encode());
        let is_ours = |entry: &Entry| {
            Presented::decode(&entry.value)
                .is_none_or(|there| self.is_of_this_process(&there) || is_over(&there.process))
        };
        let lease = Lease::new(self.state.clone(), self.runtime.clone(), key, self.times, presented);
        let held = lease.acquire(is_ours).await?;
        let dispatch = watch::Sender::new(None);
        let cluster = Cluster {
            peers,
            fence: held.fence(),
            lost: CancellationToken::new(),
            dispatch: dispatch.subscribe(),
            ledger: Some(Ledger::new(self.state.clone(), self.runtime.clone(), self.instance.as_str())),
        };
        Some(Membership { cluster, held, applicant: self, dispatch, value })
    }

    /// Whether it was written by this process, in an earlier life among the others.
    fn is_of_this_process(&self, there: &Presented) -> bool {
        *there.epoch == *self.epoch && there.process == self.process
    }

    /// As the dispatcher: by role and instance, since two roles of a process stand for it side by side, and
    /// neither may take the other's lease for its own.
    fn as_dispatcher(&self) -> Bytes {
        let instance = format!("{}.{}", self.role.as_str(), self.instance);
        Presented { instance, ..self.presented(Vec::new()) }.encode()
    }

    fn presented(&self, serves: Vec<Served>) -> Presented {
        Presented {
            instance: self.instance.as_str().to_owned(),
            epoch: self.epoch.to_string(),
            process: self.process.clone(),
            serves,
        }
    }
}

// === impl Membership ===

impl Membership {
    /// Renews the lease, says in it what is served, and stands for dispatcher, until the lease is lost or
    /// `leave` is cancelled; then the engine is told, and the leases are given up as far as they are held.
    pub async fn keep(self, mut serves: watch::Receiver<Vec<Served>>, leave: CancellationToken) {
        let Self { cluster, held, applicant, dispatch, value } = self;
        let say = async {
            loop {
                let served = serves.borrow_and_update().clone();
                value.send_if_modified(|old| {
                    let new = applicant.presented(served).encode();
                    let changed = *old != new;
                    *old = new;
                    changed
                });
                if serves.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let over = CancellationToken::new();
        let keep = async {
            let _ = held.keep(leave.cancelled()).await;
            cluster.lost.cancel();
            over.cancel();
        };
        let stand = stand_for_dispatcher(&applicant, &dispatch, &over);
        tokio::select! {
            biased;
            ((), ()) = async { tokio::join!(keep, stand) } => {}
            () = say => {}
        }
    }
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("epoch", &self.applicant.epoch).finish_non_exhaustive()
    }
}

/// Is the dispatcher whenever nobody else is, until `over` is cancelled.
async fn stand_for_dispatcher(
    applicant: &Applicant,
    dispatch: &watch::Sender<Option<Fence>>,
    over: &CancellationToken,
) {
    let Some(key) = dispatcher_key() else { return };
    let mine = applicant.as_dispatcher();
    let value = watch::Sender::new(mine.clone());
    let mut runtime = applicant.runtime.clone();
    runtime.stop = over.clone();
    while !over.is_cancelled() {
        let lease = Lease::new(
            applicant.state.clone(),
            runtime.clone(),
            key.clone(),
            applicant.dispatcher,
            value.subscribe(),
        );
        // From before a freeze, for one: who held it by this value has let go of it.
        let Some(held) = lease.acquire(|there| there.value == mine).await else { return };
        dispatch.send_replace(Some(held.fence()));
        let _ = held.keep(over.cancelled()).await;
        dispatch.send_replace(None);
    }
}
