//! A bot's subscriptions, and the events it holds. Moves them; decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::codes::ErrorCode;
use crate::coverage::Coverage;
use crate::feed::{self, Held, Tap, Told};
use crate::frames::{Durable, Feed, Filter};
use crate::server::Shared;
use crate::session::Input;
use crate::tokens::Token;

/// The subscriptions of one connection. Dropped, it gives back what is not acknowledged.
#[derive(Default)]
pub(super) struct Taps {
    /// One for a feed at most: the session sees to it.
    taps: Vec<(Feed, Tap)>,
    /// By cursor; each subscription hands out a bounded number.
    held: HashMap<u64, (Feed, Held)>,
    last_cursor: u64,
    /// Whether events wait because the client reads too slowly.
    pub(super) is_held_back: bool,
}

// === impl Taps ===

impl Taps {
    pub(super) fn open(
        &mut self,
        shared: &Shared,
        token: &Arc<Token>,
        feed: Feed,
        filter: Filter,
        durable: &Durable,
    ) {
        let coverage = Coverage { feed, token: Arc::clone(token), filter };
        self.taps.push((feed, feed::subscribe(&shared.runtime, Arc::clone(&shared.bus), coverage, durable)));
    }

    /// Ends a subscription by dropping what this gives.
    pub(super) fn close(&mut self, feed: Feed) -> Option<Tap> {
        self.held.retain(|_, (of, _)| *of != feed);
        let at = self.taps.iter().position(|(of, _)| *of == feed)?;
        Some(self.taps.swap_remove(at).1)
    }

    pub(super) fn settle(&mut self, feed: Feed, cursor: u64, acked: bool) {
        let Some((_, held)) = self.held.remove(&cursor) else { return };
        if let Some((_, tap)) = self.taps.iter().find(|(of, _)| *of == feed) {
            tap.settle(held, acked);
        }
    }

    /// Takes one thing from each subscription.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, mut take: impl FnMut(Input)) {
        for (feed, tap) in &mut self.taps {
            let feed = *feed;
            let Poll::Ready(told) = tap.told().poll_recv(cx) else { continue };
            take(match told {
                Some(Told::Open) => Input::Subscribed { feed },
                Some(Told::Failed(why)) => Input::Unsubscribed { feed, why },
                None => {
                    let why = (ErrorCode::BusUnavailable, "the bus ended it".to_owned());
                    Input::Unsubscribed { feed, why }
                }
                Some(Told::Event(held)) => {
                    self.last_cursor += 1;
                    let (cursor, body) = (self.last_cursor, held.body().clone());
                    self.held.insert(cursor, (feed, held));
                    Input::Event { feed, cursor, body }
                }
            });
        }
    }
}
