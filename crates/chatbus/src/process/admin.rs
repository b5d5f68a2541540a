//! What the administrator may ask of the store: over the admin API, and by a command that finds no process.

mod channels;
mod documents;
mod events;
mod letters;
mod users;

use std::sync::Arc;

use axum::Router;
use chatbus_bus::Bus;
use chatbus_event::Timestamp;
use chatbus_runtime::Runtime;
use chatbus_store::{Page, Store};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use channels::ChannelOrder;
pub(crate) use events::{EventOrder, EventsAsked, PartText};
pub(super) use letters::read_letters;
pub(crate) use letters::{LetterOrder, LettersAsked, ReplayAsked};
pub(crate) use users::{UserChangeAsked, UserOrder, UsersAsked};

use super::refused::Refused;
use super::storing::Storing;

/// What orders are carried out with.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) store: Storing,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) runtime: Runtime,
}

/// What is asked.
#[derive(Debug)]
pub(crate) enum Order {
    Events(EventOrder),
    Letters(LetterOrder),
    Channels(ChannelOrder),
    Users(UserOrder),
}

/// At most so many rows, after so many others.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Part {
    pub(crate) limit: Option<usize>,
    pub(crate) offset: usize,
}

// === impl Admin ===

impl Admin {
    /// Does what is asked, and gives what is shown of it.
    ///
    /// # Errors
    /// When what is asked cannot be, or the store does not take it.
    pub(crate) async fn carry_out(&self, order: Order) -> Result<Value, Refused> {
        match order {
            Order::Events(order) => events::carry_out(self, order).await,
            Order::Letters(order) => letters::carry_out(self, order).await,
            Order::Channels(order) => channels::carry_out(self, order).await,
            Order::Users(order) => users::carry_out(self, order).await,
        }
    }

    fn store(&self) -> Result<Arc<dyn Store>, Refused> {
        self.store
            .now()
            .ok_or_else(|| Refused::new("store_unavailable", &"the store (STORE_URL) is out of reach"))
    }
}

/// All routes, for whoever lets only the administrator there.
pub(super) fn routes(admin: Admin) -> Router {
    Router::new()
        .merge(events::routes())
        .merge(letters::routes())
        .merge(channels::routes())
        .merge(users::routes())
        .merge(documents::routes())
        .with_state(admin)
}

fn page(part: Part) -> Page {
    Page { limit: part.limit.unwrap_or(100), offset: part.offset }
}

/// A moment as people write it: RFC 3339, or how long ago (`90s`, `10m`, `2h`, `7d`).
fn moment(text: Option<&String>, now: Timestamp) -> Result<Option<Timestamp>, Refused> {
    let Some(text) = text else { return Ok(None) };
    if let Some(at) = Timestamp::parse(text) {
        return Ok(Some(at));
    }
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    match digits.parse::<i64>().ok().and_then(|n| n.checked_mul(millis)).filter(|ago| *ago > 0) {
        Some(ago) => Ok(Some(Timestamp::from_millis(now.as_millis().saturating_sub(ago)))),
        None => Err(Refused::bad_request(&format!(
            "{text:?} is no time; use one such as 2025-01-31T12:00:00Z, or 10m, 2h or 7d for so long ago"
        ))),
    }
}

/// Bytes as they are shown: JSON where they are.
fn shown(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        serde_json::json!({ "encoding": "base64", "data": data, "size": bytes.len() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_how_long_ago() {
        let now = Timestamp::parse("2025-01-02T00:00:00Z").unwrap();
        let read = |text: &str| moment(Some(&text.to_owned()), now).ok().flatten();
        assert_eq!(read("2d"), Timestamp::parse("2024-12-31T00:00:00Z"));
        assert_eq!(read("90s"), Timestamp::parse("2025-01-01T23:58:30Z"));
        assert_eq!(read("2025-01-01T00:00:00Z"), Timestamp::parse("2025-01-01T00:00:00Z"));
        for bad in ["", "yesterday", "5w", "-1d", "99999999999999999999d"] {
            assert!(moment(Some(&bad.to_owned()), now).is_err(), "{bad:?}");
        }
        assert!(matches!(moment(None, now), Ok(None)));
    }

    #[test]
    fn what_is_no_json_is_shown_as_base64() {
        assert_eq!(shown(b"{\"a\":1}")["a"], 1);
        assert_eq!(shown(b"\xff")["encoding"], "base64");
    }
}
