//! Changes of users: read, counted or changed in memory, and written back under a lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chatbus_event::Timestamp;
use chatbus_store::census::{self, Answer, Census};
use chatbus_store::{Seen, Sighting, User, UserChange};

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    Sight(Vec<Sighting>),
    Change(String, UserChange),
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// To be written.
    pub(crate) users: Vec<User>,
    /// To be written: key, what is answered, when it may go.
    pub(crate) keys: Vec<(String, Answer, Timestamp)>,
    /// The answers to sightings.
    pub(crate) seen: Vec<Seen>,
}

// === impl Work ===

impl Work {
    /// The users that are read and locked, each once, sorted.
    pub(crate) fn ids(&self) -> Vec<String> {
        match self {
            Self::Sight(sightings) => {
                sightings.iter().map(census::user_id).collect::<BTreeSet<_>>().into_iter().collect()
            }
            Self::Change(id, _) => vec![id.clone()],
        }
    }

    /// The keys that are read, each once, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        match self {
            Self::Sight(sightings) => {
                let keys: BTreeSet<&String> = sightings.iter().map(|sighting| &sighting.key).collect();
                keys.into_iter().cloned().collect()
            }
            Self::Change(..) => Vec::new(),
        }
    }

    /// Whether a user that is missing is made.
    pub(crate) fn creates(&self) -> bool {
        matches!(self, Self::Sight(_))
    }

    /// Records, for time limits.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Sight(sightings) => sightings.len(),
            Self::Change(..) => 1,
        }
    }

    /// Does it.
    pub(crate) fn apply(&self, users: BTreeMap<String, User>, keys: HashMap<String, Answer>) -> Done {
        match self {
            Self::Sight(sightings) => sight(sightings, users, keys),
            Self::Change(_, change) => {
                let mut users: Vec<User> = users.into_values().collect();
                users.iter_mut().for_each(|user| census::change(user, change));
                Done { users, ..Done::default() }
            }
        }
    }
}

fn sight(sightings: &[Sighting], users: BTreeMap<String, User>, keys: HashMap<String, Answer>) -> Done {
    let known: BTreeSet<String> = users.keys().cloned().collect();
    let mut census = Census { users, keys, counted: Vec::new() };
    let seen = census.take(sightings);
    let counted: Vec<&Sighting> = census.counted.iter().filter_map(|at| sightings.get(*at)).collect();
    let changed: BTreeSet<String> = counted.iter().map(|sighting| census::user_id(sighting)).collect();
    let keys = counted.iter().filter_map(|sighting| {
        let answer = census.keys.get(&sighting.key)?;
        Some((sighting.key.clone(), *answer, sighting.key_expires_at))
    });
    let keys = keys.collect();
    let users = census
        .users
        .into_values()
        .filter(|user| changed.contains(&user.id) || !known.contains(&user.id))
        .collect();
    Done { users, keys, seen }
}
