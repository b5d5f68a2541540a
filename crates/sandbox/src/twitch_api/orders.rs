//! Requests that are to go wrong because a test said so.

use std::time::{Duration, Instant};

/// Standing orders at one time; more are an error.
pub(super) const MAX_ORDERS: usize = 1_000;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done and this status answered; with `retry_after`, `Ratelimit-Reset` lies so far ahead.
    Status {
        /// 400 to 599.
        status: u16,
        /// What the body says.
        message: String,
        /// For a 429.
        retry_after: Option<Duration>,
    },
    /// It is done, and the connection ends without an answer.
    Lose,
    /// It is done (or refused) at once, and answered so much later.
    Delay(Duration),
    /// A chat message is answered 200 and `is_sent:false` with this code and message.
    DropMessage {
        /// Such as `msg_duplicate`.
        code: String,
        /// What a person would read.
        message: String,
    },
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Only requests of this path, without the layout's own beginning: `chat/messages`, `oauth2/token`;
    /// `None` is all.
    pub path: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
    /// How many requests; `None` is all until it is taken back.
    pub count: Option<u64>,
    /// Not after this long from now; `None` is for good.
    pub lasts: Option<Duration>,
}

/// The orders, oldest first, each with its end.
#[derive(Debug, Default)]
pub(super) struct Orders(Vec<(Order, Option<Instant>)>);

// === impl Orders ===

impl Orders {
    /// Adds an order; one with a count of 0 takes back those of its path and kind. `false` when full.
    pub(super) fn add(&mut self, order: Order, now: Instant) -> bool {
        if order.count == Some(0) {
            self.0.retain(|(known, _)| known.path != order.path || !known.fault.is_like(&order.fault));
            return true;
        }
        self.0.retain(|(_, until)| until.is_none_or(|until| until > now));
        if self.0.len() >= MAX_ORDERS {
            return false;
        }
        let until = order.lasts.and_then(|lasts| now.checked_add(lasts));
        self.0.push((order, until));
        true
    }

    /// The next fault of a kind for a request of this path, counted.
    pub(super) fn take(&mut self, path: &str, now: Instant, kind: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let fits = |(order, until): &(Order, Option<Instant>)| {
            order.path.as_deref().is_none_or(|wanted| wanted == path)
                && until.is_none_or(|until| until > now)
                && kind(&order.fault)
        };
        let place = self.0.iter().position(fits)?;
        let (order, _) = self.0.get_mut(place)?;
        let fault = order.fault.clone();
        if let Some(count) = &mut order.count {
            *count -= 1;
            if *count == 0 {
                self.0.remove(place);
            }
        }
        Some(fault)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

// === impl Fault ===

impl Fault {
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::{Clock as _, Timestamp};
    use chatbus_testkit::FakeClock;

    use super::*;

    fn lose(path: Option<&str>, count: Option<u64>, lasts: Option<Duration>) -> Order {
        Order { path: path.map(str::to_owned), fault: Fault::Lose, count, lasts }
    }

    #[test]
    fn an_order_holds_for_its_path_its_count_and_its_time() {
        let now = FakeClock::at(Timestamp::EPOCH).instant();
        let mut orders = Orders::default();
        let second = Duration::from_secs(1);
        assert!(orders.add(lose(Some("users"), Some(1), None), now));
        assert_eq!(orders.take("streams", now, |_| true), None);
        assert_eq!(orders.take("users", now, |fault| matches!(fault, Fault::Delay(_))), None);
        assert_eq!(orders.take("users", now, |_| true), Some(Fault::Lose));
        assert_eq!(orders.take("users", now, |_| true), None);
        assert!(orders.add(lose(None, None, Some(second)), now));
        assert_eq!(orders.take("any", now, |_| true), Some(Fault::Lose));
        assert_eq!(orders.take("any", now + second, |_| true), None);
        assert!(orders.add(lose(None, None, None), now));
        assert!(orders.add(lose(None, Some(0), None), now));
        assert_eq!(orders.take("any", now, |_| true), None);
    }
}
