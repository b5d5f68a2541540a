//! Which candidate a user was given last by a rule.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chatbus_event::{MessageId, sha256_hex};
use chatbus_routing::pick;

/// Picks that are remembered. When as many new ones have come, those that were not asked for since are forgotten.
pub(crate) const MAX_REMEMBERED: usize = 20_000;

/// The picks of this process, by user and rule. They are forgotten with it: then the last one may come again.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Pick>,
    old: HashMap<String, Pick>,
}

#[derive(Debug, Clone)]
struct Pick {
    /// For which message: the same one, coming again, is given the same.
    message: MessageId,
    at: usize,
}

// === impl Memory ===

impl Memory {
    /// Picks one of `count` for a user, another than last time where there is another. For nobody in particular
    /// nothing is remembered.
    pub(crate) fn pick(&self, message: &MessageId, user: Option<&str>, rule: &str, count: usize) -> usize {
        let Some(user) = user else { return pick(message, rule, count, None) };
        let mut key = sha256_hex(format!("{rule}\n{user}").as_bytes());
        key.truncate(32);
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = generations.last(&key);
        let at = match &last {
            Some(last) if last.message == *message && last.at < count => last.at,
            _ => pick(message, rule, count, last.map(|last| last.at)),
        };
        generations.put(key, Pick { message: message.clone(), at });
        at
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.0.lock().unwrap();
        generations.young.len() + generations.old.len()
    }
}

// === impl Generations ===

impl Generations {
    fn last(&self, key: &str) -> Option<Pick> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    fn put(&mut self, key: String, pick: Pick) {
        if self.young.len() >= MAX_REMEMBERED / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> MessageId {
        MessageId::new(&format!("m{n}"))
    }

    #[test]
    fn the_next_one_differs_for_each_user_and_rule_unlike_the_predecessors() {
        let memory = Memory::default();
        for (user, rule) in [("a", "r"), ("b", "r"), ("a", "s")] {
            let picks: Vec<usize> = (0..50).map(|n| memory.pick(&id(n), Some(user), rule, 3)).collect();
            assert!(picks.windows(2).all(|two| two[0] != two[1]), "{picks:?}");
        }
    }

    #[test]
    fn the_same_message_is_given_the_same_again() {
        let memory = Memory::default();
        memory.pick(&id(0), Some("a"), "r", 2);
        let first = memory.pick(&id(1), Some("a"), "r", 2);
        assert_eq!(memory.pick(&id(1), Some("a"), "r", 2), first);
        assert_ne!(memory.pick(&id(2), Some("a"), "r", 2), first);
    }

    #[test]
    fn nobody_in_particular_is_not_remembered() {
        let memory = Memory::default();
        assert_eq!(memory.pick(&id(1), None, "r", 5), memory.pick(&id(1), None, "r", 5));
        assert_eq!(memory.len(), 0);
    }

    #[test]
    fn it_is_bounded_and_who_comes_often_stays() {
        let memory = Memory::default();
        for n in 0..3 * MAX_REMEMBERED {
            memory.pick(&id(n), Some(&format!("u{n}")), "r", 2);
            if n % 1_000 == 0 {
                memory.pick(&id(n), Some("often"), "r", 2);
                assert!(memory.len() <= MAX_REMEMBERED);
            }
        }
        let before = memory.pick(&id(0), Some("often"), "r", 2);
        assert_ne!(memory.pick(&id(1), Some("often"), "r", 2), before);
    }
}
