//! What readiness, metrics pages and operators see of the publisher.

use chatbus_event::Timestamp;

/// How ingress does. Read it from the receiver that [`IngressHandle::health`](crate::IngressHandle::health) gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngressHealth {
    /// Since when events go through the spool because the bus does not take them, if so.
    pub spooling_since: Option<Timestamp>,
    /// Why: `bus_closed`, `acks_late`, `window_full`, `refused` or `found_at_start`.
    pub spooling_reason: Option<&'static str>,
    /// Events on disk that the bus does not have.
    pub spool_events: u64,
    /// Bytes of the spool's files.
    pub spool_bytes: u64,
    /// Whether events were dropped in the last minute because the spool or its disk is full.
    pub dropping: bool,
    /// Events dropped since the start.
    pub dropped: u64,
    /// Whether the disk refuses what is to be spooled now.
    pub disk_failing: bool,
}
