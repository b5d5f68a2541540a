//! The platforms that emit, so that a name read from disk becomes a label again.

use std::sync::{Arc, PoisonError, RwLock};

use crate::emitter::Tally;

/// Every platform that has an emitter. Bounded by the code: one for each connector of the process.
#[derive(Clone, Default)]
pub(crate) struct Platforms(Arc<RwLock<Vec<Platform>>>);

#[derive(Clone)]
struct Platform {
    name: &'static str,
    tally: Option<Arc<dyn Tally>>,
}

/// The label of events in a spool whose platform this process does not run.
pub(crate) const OTHER: &str = "other";

// === impl Platforms ===

impl Platforms {
    /// Adds one, or gives a known one another tally.
    pub(crate) fn add(&self, name: &'static str, tally: Option<Arc<dyn Tally>>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match all.iter_mut().find(|platform| platform.name == name) {
            Some(platform) => platform.tally = tally,
            None => all.push(Platform { name, tally }),
        }
    }

    /// The label for a name.
    pub(crate) fn label(&self, name: &str) -> &'static str {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|platform| platform.name == name).map_or(OTHER, |platform| platform.name)
    }

    /// Who counts for a platform.
    pub(crate) fn tally(&self, name: &str) -> Option<Arc<dyn Tally>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|platform| platform.name == name)?.tally.clone()
    }
}
