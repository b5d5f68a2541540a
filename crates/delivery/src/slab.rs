//! Values under small numbers that are used again.

/// Values under small numbers. A number is used again after its value was removed.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    values: Vec<Option<T>>,
    free: Vec<usize>,
}

// === impl Slab ===

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn insert(&mut self, value: T) -> usize {
        match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.values.get_mut(at) {
                    *place = Some(value);
                }
                at
            }
            None => {
                self.values.push(Some(value));
                self.values.len() - 1
            }
        }
    }

    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.values.get(at)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.values.get_mut(at)?.as_mut()
    }

    pub(crate) fn remove(&mut self, at: usize) -> Option<T> {
        let value = self.values.get_mut(at)?.take()?;
        self.free.push(at);
        Some(value)
    }

    /// Drops a value where it is: a large one need not be moved for that.
    pub(crate) fn discard(&mut self, at: usize) {
        if let Some(place) = self.values.get_mut(at).filter(|place| place.is_some()) {
            *place = None;
            self.free.push(at);
        }
    }

    /// The values in the order of their numbers: the same in every run.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.values.iter().enumerate().filter_map(|(at, value)| Some((at, value.as_ref()?)))
    }
}
