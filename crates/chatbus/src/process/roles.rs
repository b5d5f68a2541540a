//! The roles a process can have.

use chatbus_runtime::settings::Problem;

/// Reads platforms and says things on them.
pub(crate) const INGRESS_EGRESS: &str = "ingress-egress";

/// Every role that this build has.
const ROLES: [&str; 1] = [INGRESS_EGRESS];

/// Whether these roles can be run; none means all.
///
/// # Errors
/// Names each that cannot.
pub(crate) fn check(roles: &[String]) -> Result<(), Vec<Problem>> {
    let unknown = |role: &&String| !ROLES.contains(&role.as_str());
    let problems: Vec<_> = roles
        .iter()
        .filter(unknown)
        .map(|role| {
            Problem::new("ROLE", format!("{role:?} is no role of this build; use {}", ROLES.join(", ")))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
