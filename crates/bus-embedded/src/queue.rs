//! What waits for one of the bus's threads: many put in, one takes out in bulk.
//!
//! The thread takes everything that is there at once; that is what makes a group of a group commit.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bounded by the cost of what waits in it.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    wake: Condvar,
    max_cost: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    cost: usize,
    closed: bool,
    /// Whether the thread sleeps: waking one that does not would be a system call for nothing.
    asleep: bool,
}

/// Why an item was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed,
}

/// What [`Queue::take`] woke up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    Items,
    TimedOut,
    /// Closed, and empty.
    Closed,
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(crate) fn new(max_cost: usize) -> Self {
        let state = State { items: VecDeque::new(), cost: 0, closed: false, asleep: false };
        Self { state: Mutex::new(state), wake: Condvar::new(), max_cost }
    }

    /// Puts an item in, unless what waits already costs too much. One that alone costs more than
    /// the bound is taken when nothing waits.
    pub(crate) fn push(&self, item: T, cost: usize) -> Result<(), Refused> {
        let state = self.lock();
        if state.cost > 0 && state.cost.saturating_add(cost) > self.max_cost {
            return Err(if state.closed { Refused::Closed } else { Refused::Full });
        }
        self.put(state, item, cost)
    }

    /// Puts in an item that is bounded elsewhere, such as by the deliveries in flight.
    pub(crate) fn push_bounded_elsewhere(&self, item: T) -> Result<(), Refused> {
        self.put(self.lock(), item, 0)
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, item: T, cost: usize) -> Result<(), Refused> {
        if state.closed {
            return Err(Refused::Closed);
        }
        state.items.push_back((item, cost));
        state.cost += cost;
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Moves what waits to `into`, up to these bounds but at least one item; waits for the first one,
    /// at most for `timeout`.
    pub(crate) fn take(
        &self,
        into: &mut Vec<T>,
        max_items: usize,
        max_cost: usize,
        timeout: Option<Duration>,
    ) -> Woken {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return Woken::Closed;
            }
            state.asleep = true;
            match timeout {
                None => state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let waited = self.wake.wait_timeout(state, timeout);
                    let (back, result) = waited.unwrap_or_else(PoisonError::into_inner);
                    state = back;
                    if result.timed_out() && state.items.is_empty() {
                        state.asleep = false;
                        return if state.closed { Woken::Closed } else { Woken::TimedOut };
                    }
                }
            }
        }
        state.asleep = false;
        let mut taken = 0;
        while into.len() < max_items && taken < max_cost {
            let Some((item, cost)) = state.items.pop_front() else { break };
            state.cost -= cost;
            taken += cost;
            into.push(item);
        }
        Woken::Items
    }

    /// Takes nothing more; what is in it is still taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_what_is_over_its_bound_and_never_the_only_item() {
        let queue = Queue::new(10);
        assert_eq!(queue.push("big", 50), Ok(()));
        assert_eq!(queue.push("more", 1), Err(Refused::Full));
        assert_eq!(queue.push_bounded_elsewhere("ack"), Ok(()));
        let mut out = Vec::new();
        assert_eq!(queue.take(&mut out, 10, 100, None), Woken::Items);
        assert_eq!(out, ["big", "ack"]);
        assert_eq!(queue.push("more", 1), Ok(()));
    }

    #[test]
    fn what_was_accepted_before_it_closed_still_comes_out() {
        let queue = Queue::new(10);
        queue.push(1, 1).unwrap();
        queue.close();
        assert_eq!(queue.push(2, 1), Err(Refused::Closed));
        let mut out = Vec::new();
        assert_eq!(queue.take(&mut out, 10, 100, None), Woken::Items);
        assert_eq!(queue.take(&mut out, 10, 100, None), Woken::Closed);
        assert_eq!(out, [1]);
    }

    #[test]
    fn waiting_ends_with_the_timeout() {
        let queue: Queue<u8> = Queue::new(10);
        let woken = queue.take(&mut Vec::new(), 1, 1, Some(Duration::from_millis(1)));
        assert_eq!(woken, Woken::TimedOut);
    }
}
