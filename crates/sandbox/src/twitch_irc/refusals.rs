//! Sends that are to be refused because a test said so.

/// Standing orders at one time; more are an error.
pub(super) const MAX_REFUSALS: usize = 1_000;

/// An order to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Only in this channel; `None` is everywhere.
    pub channel: Option<String>,
    /// The `msg-id` of the NOTICE: 1 to 64 of `a-z 0-9 _`.
    pub code: String,
    /// How many sends; `None` is all until [`reset`](super::TwitchIrc::reset).
    pub count: Option<u64>,
}

/// The orders, oldest first.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Refusal>);

// === impl Refusals ===

impl Refusals {
    /// Adds an order; one with a count of 0 takes back those of its channel. `false` when full.
    pub(super) fn add(&mut self, refusal: Refusal) -> bool {
        if refusal.count == Some(0) {
            self.0.retain(|known| known.channel != refusal.channel);
            return true;
        }
        if self.0.len() >= MAX_REFUSALS {
            return false;
        }
        self.0.push(refusal);
        true
    }

    /// The code with which a send to this channel is refused now.
    pub(super) fn take(&mut self, channel: &str) -> Option<String> {
        let place = self.0.iter().position(|r| r.channel.as_deref().is_none_or(|c| c == channel))?;
        let refusal = self.0.get_mut(place)?;
        let code = refusal.code.clone();
        if let Some(count) = &mut refusal.count {
            *count -= 1;
            if *count == 0 {
                self.0.remove(place);
            }
        }
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_for_its_count_and_its_channel() {
        let mut orders = Refusals::default();
        let order = |channel: Option<&str>, code: &str, count| Refusal {
            channel: channel.map(ToOwned::to_owned),
            code: code.to_owned(),
            count,
        };
        orders.add(order(Some("a"), "msg_banned", Some(2)));
        orders.add(order(None, "msg_rejected", None));
        assert_eq!(orders.take("a").as_deref(), Some("msg_banned"));
        assert_eq!(orders.take("b").as_deref(), Some("msg_rejected"));
        assert_eq!(orders.take("a").as_deref(), Some("msg_banned"));
        assert_eq!(orders.take("a").as_deref(), Some("msg_rejected"));
        orders.add(order(None, "any", Some(0)));
        assert_eq!(orders.take("a"), None);
    }
}
