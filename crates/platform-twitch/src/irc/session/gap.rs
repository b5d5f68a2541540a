//! What was said while nobody read is missed for certain, because Twitch replays nothing. So a gap is told
//! once it is over, with the channels it concerns.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::former::Standing;
use super::{Output, Session};
use crate::irc::limits::MAX_CHANNELS;

/// The code of a connection that ended by itself.
pub(super) const CONNECTION_LOST: &str = "connection_lost";

/// A stretch of time in which channels were not read that had been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// When the connection was last heard: nothing before is missed.
    pub from: Instant,
    /// When the last of the channels was joined again, or given up.
    pub to: Instant,
    /// The code of what ended the connection.
    pub reason: &'static str,
    /// The channels, in the order of their names.
    pub channels: Vec<Arc<str>>,
}

/// A gap that is not over.
#[derive(Debug)]
pub(super) struct OpenGap {
    from: Instant,
    reason: &'static str,
    channels: BTreeSet<Arc<str>>,
    /// Those of them that are not read yet.
    awaited: BTreeSet<Arc<str>>,
}

// === impl Session ===

impl Session {
    /// These channels are not read any more. A gap in a gap makes one, with the first one's reason.
    pub(super) fn open_gap(&mut self, reason: &'static str, from: Instant, names: BTreeSet<Arc<str>>) {
        if names.is_empty() {
            return;
        }
        let new = || OpenGap { from, reason, channels: BTreeSet::new(), awaited: BTreeSet::new() };
        let gap = self.gap.get_or_insert_with(new);
        gap.from = gap.from.min(from);
        gap.channels.extend(names.iter().map(Arc::clone));
        gap.awaited.extend(names);
    }

    /// Looks whether the gap is over.
    pub(super) fn tend_gap(&mut self, now: Instant, out: &mut Vec<Output>) {
        let Some(mut gap) = self.gap.take() else { return };
        gap.awaited.retain(|name| self.standing(name) == Standing::Awaited);
        if !gap.awaited.is_empty() && gap.channels.len() <= MAX_CHANNELS {
            self.gap = Some(gap);
            return;
        }
        let OpenGap { from, reason, channels, awaited } = gap;
        let channels = channels.into_iter().collect();
        out.push(Output::Gap(Gap { from, to: now, reason, channels }));
        // One in which ever other channels were lost goes on as a new one.
        self.open_gap(reason, now, awaited);
    }
}
