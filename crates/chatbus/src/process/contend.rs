//! Two processes of one id and role would each take the other's work, so only one of them may go on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use chatbus_delivery::{Presented, Role, lease_key};
use chatbus_event::InstanceId;
use chatbus_runtime::Runtime;
use chatbus_state::{LeaseTimes, Revision, Space, State};

use super::machine;
use crate::commands::Failure;
use crate::instance::Identity;

/// A state that is not in reach within this is not waited for: platforms are read before it is there, and
/// the lease is waited for then.
const REACH_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Sees to it that nobody else lives under this id and these roles: waits as long as a lease lasts where it
/// may be that somebody does. Gives the id to go on under.
///
/// # Errors
/// When somebody does, and the id was given and not found; names the holder.
pub(super) async fn settle(
    state: &Arc<dyn State>,
    roles: &[Role],
    identity: Identity,
    runtime: &Runtime,
) -> Result<Identity, Failure> {
    let mut connected = state.connected();
    let reached = connected.wait_for(|connected| *connected);
    if tokio::time::timeout(REACH_WITHIN, reached).await.is_err() {
        return Ok(identity);
    }
    for role in roles {
        let Some(holder) = living_holder(state, *role, &identity.id, runtime).await else { continue };
        let who = format!("pid {} of another process", holder.process.pid);
        if identity.origin != "HOSTNAME" {
            return Err(Failure::Runtime(anyhow!(
                "instance id {} is held by {who}, which lives and is {} too; give this one another EGRESS_INSTANCE_ID, \
                 or a DATA_DIR of its own",
                identity.id,
                role.as_str()
            )));
        }
        let suffix: String = runtime.entropy.uuid().simple().to_string().chars().take(6).collect();
        let short: String = identity.id.as_str().chars().take(57).collect();
        let id = InstanceId::parse(&format!("{short}-{suffix}")).unwrap_or(identity.id.clone());
        tracing::warn!(
            event = "process.id_taken",
            "{} is held by {who}; this one goes on as {id}",
            identity.id
        );
        return Ok(Identity { id, ..identity });
    }
    Ok(identity)
}

/// Who holds the lease and renews it.
async fn living_holder(
    state: &Arc<dyn State>,
    role: Role,
    id: &InstanceId,
    runtime: &Runtime,
) -> Option<Presented> {
    let key = lease_key(role, id)?;
    let begun = runtime.clock.instant();
    let mut first: Option<Revision> = None;
    loop {
        // Out of reach again: the lease is waited for later.
        let entry = state.get(Space::Leases, &key).await.ok()??;
        let holder = Presented::decode(&entry.value)?;
        if machine::is_over(&holder.process) {
            return None;
        }
        let seen = *first.get_or_insert(entry.revision);
        if seen != entry.revision && is_later(begun, runtime, LeaseTimes::INSTANCE.renew) {
            return Some(holder);
        }
        if seen == entry.revision && is_later(begun, runtime, LeaseTimes::INSTANCE.ttl) {
            return None;
        }
        if first.is_some() && runtime.clock.instant() - begun < LOOK_EVERY {
            tracing::info!(event = "process.id_contended", instance = %id, "somebody may live under this id; looking for one lease's time");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_later(begun: Instant, runtime: &Runtime, than: Duration) -> bool {
    runtime.clock.instant().saturating_duration_since(begun) >= than
}
