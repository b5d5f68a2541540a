//! Things by key, the newest of them: when it is full the oldest goes, so that no client can fill it.

use std::collections::{BTreeMap, HashMap};

/// A bounded map in order of arrival.
#[derive(Debug)]
pub(super) struct Shelf<T> {
    most: usize,
    next: u64,
    order: BTreeMap<u64, String>,
    by_key: HashMap<String, (u64, T)>,
}

// === impl Shelf ===

impl<T> Shelf<T> {
    /// Room for so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, next: 0, order: BTreeMap::new(), by_key: HashMap::new() }
    }

    /// Puts a thing at the end; one with the same key goes.
    pub(super) fn put(&mut self, key: &str, value: T) {
        self.remove(key);
        if self.order.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        self.next += 1;
        self.order.insert(self.next, key.to_owned());
        self.by_key.insert(key.to_owned(), (self.next, value));
    }

    pub(super) fn get(&self, key: &str) -> Option<&T> {
        self.by_key.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.by_key.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<T> {
        let (place, value) = self.by_key.remove(key)?;
        self.order.remove(&place);
        Some(value)
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.order.values().filter_map(|key| Some((key.as_str(), self.get(key)?)))
    }

    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.by_key.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_shelf_loses_its_oldest() {
        let mut shelf = Shelf::new(2);
        for key in ["a", "b", "a", "c"] {
            shelf.put(key, key.len());
        }
        assert_eq!(shelf.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(shelf.get("b"), None);
        assert_eq!(shelf.remove("a"), Some(1));
    }
}
