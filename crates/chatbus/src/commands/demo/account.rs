//! What the viewers said against what the bus has, so that nothing can be lost unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chatbus_event::{Status, Timestamp};
use chatbus_sandbox::viewers::ViewersReport;
use serde::Serialize;
use tokio::sync::Notify;

/// The books of one demo.
#[derive(Debug, Clone, Default)]
pub(super) struct Account {
    books: Arc<Mutex<Books>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Books {
    /// What the viewers said, by message id, once they are done.
    said: Option<BTreeMap<String, Timestamp>>,
    /// What is on the bus, by message id: since when, and under which correlation id.
    published: BTreeMap<String, (Timestamp, String)>,
    /// How events ended, by correlation id.
    outcomes: BTreeMap<String, Status>,
    /// Events whose end is kept in the store.
    recorded: u64,
    dead_letters: BTreeSet<String>,
    repeated: u64,
}

/// How a demo went.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// Lines the viewers said.
    pub(super) received: u64,
    /// Of these, on the bus.
    pub(super) published: u64,
    /// Answers said in the chat.
    pub(super) delivered: u64,
    /// Answers that became dead letters.
    pub(super) dead_lettered: u64,
    /// Of the lines, ended and kept in the store.
    pub(super) recorded: u64,
    /// Lines that are not on the bus, and those that did not end.
    pub(super) lost: u64,
    /// Lines that are on the bus more than once.
    pub(super) repeated: u64,
    /// From a viewer's line to the bus, in milliseconds.
    pub(super) p50_ms: u64,
    /// The same.
    pub(super) p99_ms: u64,
}

// === impl Account ===

impl Account {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn viewers_said(&self, report: &ViewersReport) {
        // What nobody was there to hear, the platform itself forgets.
        let heard = report.said.iter().filter(|line| line.told > 0);
        self.change(|books| {
            books.said = Some(heard.map(|line| (line.id.clone(), line.at)).collect());
        });
    }

    pub(super) fn published(&self, message_id: String, correlation_id: String, at: Timestamp) {
        self.change(|books| {
            if books.published.insert(message_id, (at, correlation_id)).is_some() {
                books.repeated += 1;
            }
        });
    }

    pub(super) fn ended(&self, correlation_id: String, status: Status) {
        self.change(|books| {
            books.outcomes.insert(correlation_id, status);
        });
    }

    pub(super) fn dead_letter(&self, correlation_id: String) {
        self.change(|books| {
            books.dead_letters.insert(correlation_id);
        });
    }

    pub(super) fn recorded(&self, events: u64) {
        self.change(|books| books.recorded = events);
    }

    /// The correlation ids of what the viewers said.
    pub(super) fn events(&self) -> Vec<String> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let said = books.said.clone().unwrap_or_default();
        said.keys().filter_map(|id| books.published.get(id)).map(|(_, id)| id.clone()).collect()
    }

    /// Resolves once nothing is missing, or after this long.
    pub(super) async fn settled(&self, within: Duration) {
        let settled = async {
            loop {
                let changed = self.changed.notified();
                if self.summary().lost == 0 {
                    return;
                }
                changed.await;
            }
        };
        // What is still missing then shows in the summary.
        let _ = tokio::time::timeout(within, settled).await;
    }

    pub(super) fn summary(&self) -> Summary {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let said = books.said.clone().unwrap_or_default();
        let mut waits: Vec<u64> = said
            .iter()
            .filter_map(|(id, at)| {
                let (since, _) = books.published.get(id)?;
                Some(u64::try_from(since.since(*at).as_millis()).unwrap_or(u64::MAX))
            })
            .collect();
        waits.sort_unstable();
        let at =
            |share: usize| waits.get((waits.len() * share / 100).min(waits.len().saturating_sub(1))).copied();
        let missing = number(said.keys().filter(|id| !books.published.contains_key(*id)).count());
        let sent = books
            .outcomes
            .values()
            .filter(|status| matches!(status, Status::Sent | Status::Accepted))
            .count();
        let ended =
            |id: &String| books.published.get(id).is_none_or(|(_, event)| books.outcomes.contains_key(event));
        let open = number(said.keys().filter(|id| !ended(id)).count());
        Summary {
            received: number(said.len()),
            published: number(waits.len()),
            delivered: number(sent),
            dead_lettered: number(books.dead_letters.len()),
            recorded: books.recorded,
            lost: missing + open,
            repeated: books.repeated,
            p50_ms: at(50).unwrap_or_default(),
            p99_ms: at(99).unwrap_or_default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        change(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        writeln!(f, "received       {:>6}   lines the viewers said", self.received)?;
        writeln!(
            f,
            "published      {:>6}   of them on the bus, {} more than once",
            self.published, self.repeated
        )?;
        writeln!(f, "delivered      {:>6}   answers said in the chat", self.delivered)?;
        writeln!(f, "dead-lettered  {:>6}", self.dead_lettered)?;
        writeln!(f, "recorded       {:>6}   of the lines, with how they ended", self.recorded)?;
        writeln!(f, "lost           {:>6}", self.lost)?;
        writeln!(f, "viewer to bus  p50 {} ms, p99 {} ms", self.p50_ms, self.p99_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_sandbox::viewers::ViewerSaid;

    fn said(id: &str, text: &str, told: usize) -> ViewerSaid {
        ViewerSaid {
            id: id.into(),
            channel: "c".into(),
            login: "l".into(),
            text: text.into(),
            at: Timestamp::EPOCH,
            told,
        }
    }

    #[test]
    fn what_is_missing_is_counted_as_lost() {
        let account = Account::new();
        let lines =
            vec![said("1", "a", 1), said("2", "!ping", 1), said("3", "b", 1), said("4", "unheard", 0)];
        account.viewers_said(&ViewersReport { said: lines, pings: 1 });
        assert_eq!(account.summary().lost, 3);
        for id in ["1", "2", "3"] {
            account.published(id.into(), format!("c{id}"), Timestamp::from_millis(7));
        }
        assert_eq!(account.summary().lost, 3, "on the bus, and none of them has ended");
        assert_eq!(account.events(), ["c1", "c2", "c3"]);
        account.ended("c1".into(), Status::None);
        account.ended("c2".into(), Status::Sent);
        account.ended("c3".into(), Status::None);
        let summary = account.summary();
        assert_eq!((summary.lost, summary.received, summary.published, summary.delivered), (0, 3, 3, 1));
        assert_eq!((summary.p50_ms, summary.p99_ms, summary.repeated), (7, 7, 0));
        account.published("1".into(), "c9".into(), Timestamp::from_millis(9));
        assert_eq!(account.summary().repeated, 1);
    }
}
