//! Reading the groups back when the bus is opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::Group as GroupName;
use chatbus_runtime::Runtime;
use rusqlite::Connection;

use crate::group::{Group, Stored, StoredUnsettled};
use crate::shared::from_sql;
use crate::topics::Topics;

/// All groups, each also with its topic.
pub(crate) fn groups(
    db: &Connection,
    topics: &mut Topics,
    runtime: &Runtime,
) -> rusqlite::Result<Vec<Arc<Group>>> {
    let mut rows_of = unsettled(db, runtime)?;
    let mut statement =
        db.prepare("SELECT id, topic, name, cursor, mark, settled, lost FROM consumer_group")?;
    let mut rows = statement.query([])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let name: String = row.get(2)?;
        let (Some(at), Ok(name)) = (topics.find_id(row.get(1)?), GroupName::parse(&name)) else { continue };
        let entry = topics.get_mut(at);
        let stored = Stored {
            name,
            cursor: from_sql(row.get(3)?),
            mark: from_sql(row.get(4)?),
            settled: from_sql(row.get(5)?),
            lost: from_sql(row.get(6)?),
            published: entry.counters.published,
            head: entry.counters.last_seq,
            unsettled: rows_of.remove(&id).unwrap_or_default(),
        };
        let group = Arc::new(Group::new(id, entry.topic.clone(), entry.id, stored));
        entry.groups.push(Arc::clone(&group));
        groups.push(group);
    }
    Ok(groups)
}

fn unsettled(db: &Connection, runtime: &Runtime) -> rusqlite::Result<HashMap<i64, Vec<StoredUnsettled>>> {
    let (wall_ms, instant) = (runtime.clock.now().as_millis(), runtime.clock.instant());
    let sql = "SELECT consumer_group, seq, failures, deliveries, not_before FROM unsettled";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut by_group: HashMap<i64, Vec<StoredUnsettled>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let not_before_ms: i64 = row.get(4)?;
        let wait = u64::try_from(not_before_ms.saturating_sub(wall_ms)).unwrap_or(0);
        by_group.entry(row.get(0)?).or_default().push(StoredUnsettled {
            seq: from_sql(row.get(1)?),
            failures: row.get(2)?,
            deliveries: row.get(3)?,
            not_before_ms,
            due: (wait > 0).then(|| instant + Duration::from_millis(wait)),
        });
    }
    Ok(by_group)
}
