//! Mistakes made on purpose, for the simulation to find. Without the feature `defects`, which only the
//! simulation turns on, none can be chosen.

use crate::config::EngineConfig;

/// A mistake made on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "defects"),
    expect(unreachable_pub, reason = "chosen from outside with the feature only")
)]
pub enum Defect {
    /// What came in is acknowledged before its outcome is on the bus.
    AckBeforeOutcome,
    /// Nobody looks at the instance's lease before sending.
    NoLeaseCheck,
    /// Who is not known to live is taken for dead.
    NoGrace,
    /// The first of several gateways that fails decides.
    FirstFailureDecides,
    /// What the platform calls a duplicate is sent once more, whatever went before.
    ResendOnDuplicate,
    /// Outcomes are not looked back at before reading.
    NoLookBack,
    /// What is taken over goes on as it is found: the topic first, then the lane.
    TakenAsFound,
}

// === impl EngineConfig ===

impl EngineConfig {
    /// Whether this mistake is made.
    #[cfg(feature = "defects")]
    pub(crate) fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    /// Whether this mistake is made: never.
    #[cfg(not(feature = "defects"))]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn has(&self, _: Defect) -> bool {
        false
    }
}
