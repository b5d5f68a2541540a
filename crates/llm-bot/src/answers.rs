//! What came of messages, so that one that comes again gets the same answer.

use std::sync::{Mutex, PoisonError};

use chatbus_event::MessageId;
use lru::LruCache;

use crate::config::places;
use crate::outcome::Outcome;

/// Outcomes by the id of their message. The oldest is forgotten for a new one; its message, should it still come
/// again, is answered anew.
#[derive(Debug)]
pub(crate) struct Answers(Mutex<LruCache<MessageId, Outcome>>);

// === impl Answers ===

impl Answers {
    pub(crate) fn new(most: usize) -> Self {
        Self(Mutex::new(LruCache::new(places(most))))
    }

    pub(crate) fn get(&self, id: &MessageId) -> Option<Outcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn put(&self, id: &MessageId, outcome: &Outcome) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(id.clone(), outcome.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_are_remembered() {
        let answers = Answers::new(2);
        for n in 1..=3 {
            answers.put(&MessageId::new(&n.to_string()), &Outcome::Said(n.to_string()));
        }
        let get = |id: &str| answers.get(&MessageId::new(id));
        assert_eq!((get("1"), get("3")), (None, Some(Outcome::Said("3".into()))));
    }
}
