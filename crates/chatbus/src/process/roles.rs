//! The roles a process can have.

use chatbus_delivery::Role;
use chatbus_runtime::settings::Problem;

/// Reads platforms and says things on them.
pub(crate) const INGRESS_EGRESS: &str = "ingress-egress";
/// Serves WebSocket clients.
pub(crate) const API_GATEWAY: &str = "api-gateway";

/// Every role that this build has.
const ROLES: [&str; 2] = [INGRESS_EGRESS, API_GATEWAY];

/// The roles of these names; all when none is named.
///
/// # Errors
/// Names each that there is not.
pub(crate) fn read(names: &[String]) -> Result<Vec<Role>, Vec<Problem>> {
    if names.is_empty() {
        return Ok(Role::ALL.to_vec());
    }
    let unknown = |name: &&String| Role::parse(name).is_none();
    let problems: Vec<_> = names
        .iter()
        .filter(unknown)
        .map(|role| {
            Problem::new("ROLE", format!("{role:?} is no role of this build; use {}", ROLES.join(", ")))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut roles: Vec<Role> = names.iter().filter_map(|name| Role::parse(name)).collect();
    roles.sort_unstable();
    roles.dedup();
    Ok(roles)
}
