//! What arrives in sink mode: counted, with times, not kept.

use std::time::Instant;

/// Numbered arrivals kept until they are taken; later ones are counted only.
const MAX_ARRIVALS: usize = 2_000_000;

/// What has arrived since the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// PRIVMSGs.
    pub received: u64,
    /// Of these, said in their channel.
    pub accepted: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// When the first was read from its socket.
    pub first: Option<Instant>,
    /// When the last was.
    pub last: Option<Instant>,
}

/// The counter.
#[derive(Debug, Default)]
pub(super) struct Sink {
    report: SinkReport,
    arrivals: Vec<(u64, Instant)>,
}

// === impl Sink ===

impl Sink {
    pub(super) fn count(&mut self, text: &str, accepted: bool, at: Instant) {
        let report = &mut self.report;
        report.received += 1;
        report.accepted += u64::from(accepted);
        report.bytes += u64::try_from(text.len()).unwrap_or_default();
        report.first.get_or_insert(at);
        report.last = Some(at);
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if let Some(Ok(number)) = text.get(..digits).map(str::parse)
            && self.arrivals.len() < MAX_ARRIVALS
        {
            self.arrivals.push((number, at));
        }
    }

    pub(super) fn report(&self) -> SinkReport {
        self.report
    }

    pub(super) fn take_arrivals(&mut self) -> Vec<(u64, Instant)> {
        std::mem::take(&mut self.arrivals)
    }
}
