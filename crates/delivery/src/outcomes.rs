//! Outcomes read back from the finalizer topics, with the failures whose dead letters are missing.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chatbus_bus::{Bus, BusError, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Family, Timestamp, Topic, names};

use crate::config::EngineConfig;
use crate::decide::Ending;
use crate::engine::letters;

/// What is on record.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Deliveries that ended.
    pub(crate) finished: HashSet<String>,
    /// Of these, the failed ones without a dead letter.
    pub(crate) owed: HashMap<String, Ending>,
}

/// Clocks of the bus and of this machine may differ by this much.
pub(crate) const SKEW: Duration = Duration::from_secs(5);
/// Outcomes are kept no longer than this, so there is nothing to see further back.
pub(crate) const FURTHEST: Duration = chatbus_bus::limits::RETENTION;

/// Since when outcomes matter to what waits in a topic: its oldest message, and never less than the time
/// for which finished deliveries are remembered anyway.
pub(crate) async fn since(
    bus: &dyn Bus,
    topic: &Topic,
    config: &EngineConfig,
    now: Timestamp,
) -> Result<Timestamp, BusError> {
    let mut since = now.minus(config.dedupe_window * 2);
    let all = ScanTopics::One(topic.clone());
    let mut records = bus.scan(Scan { topics: all, from: ScanFrom::Oldest, follow: false }).await?;
    if let Some(record) = records.next().await {
        since = since.min(record?.published_at);
    }
    Ok(since.minus(SKEW).max(now.minus(FURTHEST)))
}

/// What ended since then.
pub(crate) async fn read_back(bus: &dyn Bus, since: Timestamp) -> Result<Known, BusError> {
    let topics = ScanTopics::Family(Family::Finalizer);
    let mut records = bus.scan(Scan { topics, from: ScanFrom::Time(since), follow: false }).await?;
    let (mut finished, mut failed) = (HashSet::new(), HashMap::new());
    while let Some(record) = records.next().await {
        let record = record?;
        if let Some(id) = record.message.attributes.get(names::DELIVERY_ID) {
            failed.extend(letters::ending_of(&record).map(|ending| (id.to_owned(), ending)));
            finished.insert(id.to_owned());
        }
    }
    let owed = letters::without_letter(bus, failed, since).await?;
    Ok(Known { finished, owed })
}
