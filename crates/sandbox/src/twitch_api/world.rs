//! Everything the fake behind HTTP knows: one value behind one short lock, fed requests and times.

use std::sync::Arc;

use chatbus_event::Entropy;

use super::auth::Auth;
use super::eventsub::Hub;
use super::helix::Whispers;
use super::limits::Limits;
use super::orders::Orders;
use super::people::People;

/// The state.
#[derive(Debug)]
pub(super) struct World {
    pub(super) auth: Auth,
    pub(super) people: People,
    pub(super) limits: Limits,
    pub(super) orders: Orders,
    pub(super) whispers: Whispers,
    pub(super) hub: Hub,
    pub(super) entropy: Arc<dyn Entropy>,
}

// === impl World ===

impl World {
    pub(super) fn new(entropy: &Arc<dyn Entropy>, hub: Hub) -> Self {
        Self {
            auth: Auth::new(Arc::clone(entropy)),
            people: People::new(),
            limits: Limits::default(),
            orders: Orders::default(),
            whispers: Whispers::default(),
            hub,
            entropy: Arc::clone(entropy),
        }
    }

    /// As at the start, but connections stay.
    pub(super) fn reset(&mut self) {
        self.auth.reset();
        self.people.reset();
        self.limits.reset();
        self.orders.clear();
        self.whispers.reset();
        self.hub.reset();
    }
}
