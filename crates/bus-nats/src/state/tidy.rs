//! Taking away the markers of removals, once every watcher has had time to see them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use chatbus_state::{Key, Space};
use tokio::sync::mpsc;

use super::{Shared, answered};
use crate::api;

/// Markers that may be told before they are taken note of.
pub(super) const MAX_TOLD: usize = 4096;
/// Markers remembered; the others are left to who begins the next watch.
const MAX_REMEMBERED: usize = 200_000;

/// A marker of a removal.
#[derive(Debug)]
pub(super) struct Marker {
    pub(super) space: Space,
    pub(super) key: Key,
    pub(super) seq: u64,
}

/// Inputs: markers; the time of the oldest; the end of the handle.
pub(super) async fn run(shared: Arc<Shared>, mut told: mpsc::Receiver<Marker>) {
    let clock = Arc::clone(&shared.link.runtime.clock);
    let life = shared.link.config.state_marker_life;
    let mut waiting: VecDeque<(Instant, Marker)> = VecDeque::new();
    loop {
        let due = waiting.front().map(|(due, _)| *due);
        tokio::select! {
            () = shared.closing.cancelled() => return,
            marker = told.recv() => {
                let Some(marker) = marker else { return };
                if waiting.len() < MAX_REMEMBERED {
                    waiting.push_back((clock.instant() + life, marker));
                }
            }
            () = until(due) => {
                if let Some((_, marker)) = waiting.pop_front() {
                    take_away(&shared, &marker).await;
                }
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// What was written there since has a later place, and stays.
async fn take_away(shared: &Shared, marker: &Marker) {
    let Ok(session) = shared.session() else { return };
    let (stream, subject) = (shared.stream(marker.space), shared.subject(marker.space, marker.key.as_str()));
    let purged = answered("tidying up", api::purge(&session, &stream, &subject, marker.seq)).await;
    if let Err(error) = purged {
        tracing::debug!(event = "state.marker_left", space = marker.space.name(), reason = %error, "a marker is left");
    }
}
