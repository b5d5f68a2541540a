//! What the binary tells persistence.

use std::collections::BTreeSet;
use std::time::Duration;

/// Settings of persistence. Platforms are names here, never code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistenceConfig {
    /// The names of the platforms and of the gateway, in lower case.
    pub platforms: BTreeSet<String>,
    /// How long an event is kept that says nothing else (PERSISTENCE_TTL_DAYS).
    pub ttl: Duration,
}

// === impl PersistenceConfig ===

impl PersistenceConfig {
    /// Settings for these platforms; events are kept for seven days.
    pub fn new(platforms: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            platforms: platforms.into_iter().map(|name| name.into().to_lowercase()).collect(),
            ttl: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }

    /// The platform that a source such as `ingress.NAME` names.
    pub(crate) fn platform_of(&self, source: &str) -> Option<String> {
        source.split('.').map(str::to_lowercase).find(|part| self.platforms.contains(part))
    }
}
