//! What was read from several sources, each as it was when it was last good.

use std::collections::BTreeMap;

use chatbus_event::Timestamp;
use chatbus_routing::Problem;

use crate::status::SourceStatus;

/// Problems of one source that are told.
const MAX_TOLD: usize = 20;

/// Sources by their names.
#[derive(Debug)]
pub(crate) struct Kept<S, T>(BTreeMap<String, Entry<S, T>>);

#[derive(Debug)]
struct Entry<S, T> {
    /// Tells whether the source changed since it was last looked at; none when it could not be looked into.
    stamp: Option<S>,
    good: Option<(T, Timestamp)>,
    problems: Vec<String>,
}

// === impl Kept ===

impl<S: PartialEq, T> Kept<S, T> {
    /// Whether a source is as it was when it was last looked at.
    pub(crate) fn is_unchanged(&self, name: &str, stamp: &S) -> bool {
        self.0.get(name).is_some_and(|entry| entry.stamp.as_ref() == Some(stamp))
    }

    /// Takes what was read; when it is broken what was good stays.
    pub(crate) fn put(&mut self, name: &str, stamp: Option<S>, read: Result<T, Vec<String>>, now: Timestamp) {
        let before = self.0.remove(name).and_then(|entry| entry.good);
        let (good, problems) = match read {
            Ok(good) => (Some((good, now)), Vec::new()),
            Err(mut problems) => {
                problems.truncate(MAX_TOLD);
                (before, problems)
            }
        };
        self.0.insert(name.to_owned(), Entry { stamp, good, problems });
    }

    /// Forgets the sources that are there no more; says whether there were any.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&str) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|name, _| is_there(name));
        self.0.len() < before
    }

    /// What is good, by the sources' names.
    pub(crate) fn good(&self) -> impl Iterator<Item = &T> {
        self.0.values().filter_map(|entry| entry.good.as_ref().map(|(good, _)| good))
    }

    /// How each source is; `count` says how many rules are in one.
    pub(crate) fn status(&self, count: impl Fn(&T) -> usize) -> Vec<SourceStatus> {
        let status = |(name, entry): (&String, &Entry<S, T>)| SourceStatus {
            name: name.clone(),
            rules: entry.good.as_ref().map_or(0, |(good, _)| count(good)),
            loaded_at: entry.good.as_ref().map(|(_, at)| *at),
            problems: entry.problems.clone(),
        };
        self.0.iter().map(status).collect()
    }
}

impl<S, T> Default for Kept<S, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Problems as texts.
pub(crate) fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}
