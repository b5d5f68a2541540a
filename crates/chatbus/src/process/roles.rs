//! The roles a process can have.

use chatbus_delivery::Role;
use chatbus_runtime::settings::Problem;

/// Reads platforms and says things on them.
pub(crate) const INGRESS_EGRESS: &str = "ingress-egress";

/// Lets accounts of platforms log in.
const OAUTH_FLOW: &str = "oauth-flow";

/// A role between ingress and egress: it takes from topics and publishes to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Service {
    /// Finds out who said it.
    Auth,
    /// Decides what becomes of it.
    EventRouter,
    /// Answers with a language model.
    LlmBot,
    /// Keeps what became of it.
    Persistence,
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Roles that deliver.
    pub(crate) delivering: Vec<Role>,
    /// Roles in between.
    pub(crate) services: Vec<Service>,
    /// Whether accounts log in here.
    pub(crate) logins: bool,
}

// === impl Service ===

impl Service {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Auth, Self::EventRouter, Self::LlmBot, Self::Persistence];

    /// Its name, and that of its group on each topic.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::EventRouter => "event-router",
            Self::LlmBot => "llm-bot",
            Self::Persistence => "persistence",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.as_str() == name)
    }
}

// === impl Roles ===

impl Roles {
    /// Every role that this build has.
    pub(crate) fn all() -> Self {
        Self { delivering: Role::ALL.to_vec(), services: Service::ALL.to_vec(), logins: true }
    }

    /// Only roles that deliver.
    pub(crate) fn delivering(roles: &[Role]) -> Self {
        Self { delivering: roles.to_vec(), services: Vec::new(), logins: false }
    }

    /// Whether platforms are read and spoken on.
    pub(crate) fn speaks(&self) -> bool {
        self.delivering.contains(&Role::IngressEgress)
    }
}

/// The roles of these names; all when none is named.
///
/// # Errors
/// Names each that there is not.
pub(crate) fn read(names: &[String]) -> Result<Roles, Vec<Problem>> {
    if names.is_empty() {
        return Ok(Roles::all());
    }
    let unknown =
        |name: &&String| Role::parse(name).is_none() && Service::parse(name).is_none() && *name != OAUTH_FLOW;
    let known: Vec<&str> = Role::ALL
        .into_iter()
        .map(Role::as_str)
        .chain(Service::ALL.into_iter().map(Service::as_str))
        .chain([OAUTH_FLOW])
        .collect();
    let problems: Vec<_> = names
        .iter()
        .filter(unknown)
        .map(|role| {
            Problem::new("ROLE", format!("{role:?} is no role of this build; use {}", known.join(", ")))
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut delivering: Vec<Role> = names.iter().filter_map(|name| Role::parse(name)).collect();
    let mut services: Vec<Service> = names.iter().filter_map(|name| Service::parse(name)).collect();
    delivering.sort_unstable();
    delivering.dedup();
    services.sort_unstable();
    services.dedup();
    Ok(Roles { delivering, services, logins: names.iter().any(|name| name == OAUTH_FLOW) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_by_name_and_none_means_all() {
        let read = |names: &[&str]| read(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[]), Ok(Roles::all()));
        assert_eq!(
            read(&["persistence", "api-gateway", "auth", "auth"]),
            Ok(Roles {
                delivering: vec![Role::ApiGateway],
                services: vec![Service::Auth, Service::Persistence],
                logins: false,
            })
        );
        assert_eq!(
            read(&["oauth-flow"]),
            Ok(Roles { delivering: Vec::new(), services: Vec::new(), logins: true })
        );
        let problems = read(&["auth", "author", "x"]).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].to_string().contains("event-router"), "{}", problems[0]);
    }
}
