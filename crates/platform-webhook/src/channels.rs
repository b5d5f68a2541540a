//! Which channels are served: the configured ones, and those that somebody added.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::channel::channel_name;

/// The most channels, the configured ones included: they all stand in the instance's lease.
pub(crate) const MAX_CHANNELS: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Channels {
    base: Vec<Arc<str>>,
    added: Mutex<BTreeSet<Arc<str>>>,
}

/// What became of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Texts that are no channel's name.
    pub(crate) malformed: usize,
    /// Channels that there was no room for.
    pub(crate) beyond: usize,
}

// === impl Channels ===

impl Channels {
    pub(crate) fn new(base: Vec<Arc<str>>) -> Self {
        Self { base, added: Mutex::default() }
    }

    /// These and the configured ones, and no others.
    pub(crate) fn set_added(&self, texts: &[String]) -> LeftOut {
        let (mut added, mut left_out) = (BTreeSet::new(), LeftOut::default());
        for text in texts {
            match channel_name(text) {
                None => left_out.malformed += 1,
                Some(name) if self.base.contains(&name) || added.contains(&name) => {}
                Some(_) if self.base.len() + added.len() >= MAX_CHANNELS => left_out.beyond += 1,
                Some(name) => {
                    added.insert(name);
                }
            }
        }
        *self.added.lock().unwrap_or_else(PoisonError::into_inner) = added;
        left_out
    }

    pub(crate) fn contains(&self, channel: &str) -> bool {
        self.base.iter().any(|base| **base == *channel)
            || self.added.lock().unwrap_or_else(PoisonError::into_inner).contains(channel)
    }

    /// The first configured one.
    pub(crate) fn first(&self) -> Option<Arc<str>> {
        self.base.first().map(Arc::clone)
    }

    /// All of them, and of these the added ones.
    pub(crate) fn names(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let added: BTreeSet<String> = added.iter().map(ToString::to_string).collect();
        (self.base.iter().map(ToString::to_string).chain(added.clone()).collect(), added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_ones_stay_and_of_the_others_there_is_a_bounded_number() {
        let channels = Channels::new(vec!["#base".into()]);
        let mut list: Vec<String> = (0..MAX_CHANNELS).map(|number| format!("c{number:04}")).collect();
        list.extend(["Base", "#c0000", "no name", ""].map(str::to_owned));
        assert_eq!(channels.set_added(&list), LeftOut { malformed: 2, beyond: 1 });
        assert!(channels.contains("#base") && channels.contains("#c0000") && !channels.contains("#c0999"));
        assert_eq!(channels.names().0.len(), MAX_CHANNELS);
        assert_eq!(channels.set_added(&[]), LeftOut::default());
        assert_eq!(channels.names(), (["#base".to_owned()].into(), BTreeSet::new()));
        assert_eq!(channels.first().as_deref(), Some("#base"));
    }
}
