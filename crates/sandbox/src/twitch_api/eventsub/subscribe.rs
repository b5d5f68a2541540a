//! Making, listing and deleting subscriptions: what Twitch asks first, and what it counts.

use serde_json::{Value, json};

use super::hub::Hub;
use super::subscription::{DISCONNECTED, ENABLED, NewSubscription, PENDING, Subscription, Transport};
use super::types::Kind;
use super::webhook::Post;
use crate::twitch_api::answer::Problem;
use crate::twitch_irc::Moment;

/// Enabled subscriptions of one session (dev.twitch.tv/docs/eventsub/manage-subscriptions, limits).
const MAX_OF_SESSION: usize = 300;
/// Sessions with subscriptions of one user for one application.
const MAX_SESSIONS: usize = 3;
/// What the subscriptions of one user may cost together.
const MAX_USER_COST: u64 = 10;
/// What those of one application may.
const MAX_APP_COST: u64 = 10_000;
/// Subscriptions of all together.
const MAX_SUBSCRIPTIONS: usize = 20_000;
/// Subscriptions on one page.
const PAGE: usize = 100;

/// Who subscribes.
#[derive(Debug, Clone, Copy)]
pub(in crate::twitch_api) struct Subscriber<'a> {
    pub(in crate::twitch_api) client_id: &'a str,
    /// The account of its token; an app's token has none.
    pub(in crate::twitch_api) login: Option<&'a str>,
    pub(in crate::twitch_api) user_id: Option<&'a str>,
}

/// Which subscriptions to list.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::twitch_api) struct Filter<'a> {
    pub(in crate::twitch_api) id: Option<&'a str>,
    pub(in crate::twitch_api) status: Option<&'a str>,
    pub(in crate::twitch_api) kind: Option<&'a str>,
    pub(in crate::twitch_api) user_id: Option<&'a str>,
    pub(in crate::twitch_api) after: Option<u64>,
}

// === impl Hub ===

impl Hub {
    /// Makes a subscription. `granted` says whether an account has granted this application one of some scopes.
    ///
    /// The answer is that of Helix, to be given with 202.
    pub(in crate::twitch_api) fn subscribe(
        &mut self,
        by: Subscriber<'_>,
        new: NewSubscription,
        granted: impl Fn(&str, &[&str]) -> bool,
        now: Moment,
    ) -> Result<Value, Problem> {
        let kind = Kind::find(&new.kind, &new.version)
            .ok_or(Problem::bad("invalid subscription type and version"))?;
        for field in kind.condition {
            if new.condition.get(*field).and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(Problem::bad(&format!("the condition lacks {field}")));
            }
        }
        self.check_transport(by, &new.transport)?;
        check_grant(by, kind, &new, &granted)?;
        if self.is_double(by, &new) {
            return Err(Problem::new(409, "subscription already exists"));
        }
        let cost = cost(by, &new, &granted);
        self.check_limits(by, &new.transport, cost)?;
        self.make_room();
        self.last_id += 1;
        let webhook = matches!(new.transport, Transport::Webhook { .. });
        let subscription = Subscription {
            id: self.fresh(),
            kind: new.kind,
            version: new.version,
            condition: new.condition,
            transport: new.transport,
            client_id: by.client_id.to_owned(),
            login: by.login.map(str::to_owned),
            cost,
            status: if webhook { PENDING } else { ENABLED }.to_owned(),
            created_at: now.wall,
            disconnected_at: None,
            last: None,
            failures: 0,
        };
        if let Transport::Webhook { callback, secret } = &subscription.transport {
            let post = Post::challenge(
                callback,
                secret,
                &self.fresh(),
                now.wall,
                self.fresh(),
                &subscription.shown(),
            );
            self.post(post.for_subscription(&subscription.id));
        }
        let listed = subscription.listed();
        self.subscriptions.insert(self.last_id, subscription);
        let (total, total_cost, max_total_cost) = self.sums(by);
        Ok(json!({
            "data": [listed],
            "total": total,
            "total_cost": total_cost,
            "max_total_cost": max_total_cost,
        }))
    }

    /// A user's token goes with a WebSocket, an application's with anything else.
    fn check_transport(&self, by: Subscriber<'_>, transport: &Transport) -> Result<(), Problem> {
        match transport {
            Transport::WebSocket { .. } if by.login.is_none() => {
                Err(Problem::bad("invalid transport and auth combination"))
            }
            Transport::WebSocket { session } if !self.sessions.contains_key(session) => {
                Err(Problem::bad("websocket transport session does not exist or has already disconnected"))
            }
            Transport::WebSocket { .. } => Ok(()),
            _ if by.login.is_some() => Err(Problem::bad("invalid transport and auth combination")),
            Transport::Conduit { id } => {
                let own = self.conduits.get(id).is_some_and(|conduit| conduit.client_id == by.client_id);
                if own { Ok(()) } else { Err(Problem::bad("conduit does not exist")) }
            }
            Transport::Webhook { .. } => Ok(()),
        }
    }

    fn is_double(&self, by: Subscriber<'_>, new: &NewSubscription) -> bool {
        self.subscriptions.values().any(|known| {
            let counts = match known.status.as_str() {
                ENABLED | PENDING => known.transport.is_same(&new.transport),
                DISCONNECTED => self.orphans_conflict && matches!(new.transport, Transport::WebSocket { .. }),
                _ => false,
            };
            counts
                && known.client_id == by.client_id
                && known.login.as_deref() == by.login
                && (&known.kind, &known.version) == (&new.kind, &new.version)
                && known.condition == new.condition
        })
    }

    fn check_limits(&self, by: Subscriber<'_>, transport: &Transport, cost: u64) -> Result<(), Problem> {
        let (_, total_cost, max_total_cost) = self.sums(by);
        if total_cost + cost > max_total_cost {
            return Err(Problem::new(429, "total cost exceeds the maximum"));
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS && self.oldest_dead().is_none() {
            return Err(Problem::new(429, "too many subscriptions"));
        }
        let Transport::WebSocket { session } = transport else { return Ok(()) };
        let own = || self.subscriptions.values().filter(|s| s.is_enabled() && is_of(s, by));
        if own().filter(|s| s.session() == Some(session.as_str())).count() >= MAX_OF_SESSION {
            return Err(Problem::new(
                429,
                "number of subscriptions of the websocket session exceeds the maximum",
            ));
        }
        let mut sessions: Vec<&str> = own().filter_map(Subscription::session).collect();
        sessions.push(session.as_str());
        sessions.sort_unstable();
        sessions.dedup();
        if sessions.len() > MAX_SESSIONS {
            return Err(Problem::new(429, "number of websocket transports limit exceeded"));
        }
        Ok(())
    }

    /// When there are as many as are kept, the oldest one that tells nobody anything goes.
    fn make_room(&mut self) {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS
            && let Some(place) = self.oldest_dead()
        {
            self.subscriptions.remove(&place);
        }
    }

    fn oldest_dead(&self) -> Option<u64> {
        let dead = |s: &Subscription| !s.is_enabled() && s.status != PENDING;
        self.subscriptions.iter().find(|(_, s)| dead(s)).map(|(place, _)| *place)
    }

    /// How many a subscriber has, what they cost and what they may.
    fn sums(&self, by: Subscriber<'_>) -> (usize, u64, u64) {
        let own = || self.subscriptions.values().filter(|subscription| is_of(subscription, by));
        let cost = own().filter(|s| s.is_enabled() || s.status == PENDING).map(|s| s.cost).sum();
        (own().count(), cost, if by.login.is_some() { MAX_USER_COST } else { MAX_APP_COST })
    }

    /// Helix's answer to `GET`.
    pub(in crate::twitch_api) fn list(&self, by: Subscriber<'_>, filter: Filter<'_>) -> Value {
        let wanted = |s: &Subscription| {
            is_of(s, by)
                && filter.id.is_none_or(|id| s.id == id)
                && filter.status.is_none_or(|status| s.status == status)
                && filter.kind.is_none_or(|kind| s.kind == kind)
                && filter.user_id.is_none_or(|user| s.condition.values().any(|value| value == user))
        };
        let after = filter.after.unwrap_or_default();
        let mut rows = self.subscriptions.range(after.saturating_add(1)..).filter(|(_, s)| wanted(s));
        let page: Vec<(u64, Value)> =
            rows.by_ref().take(PAGE).map(|(place, s)| (*place, s.listed())).collect();
        let cursor = rows.next().and_then(|_| page.last()).map(|(place, _)| place.to_string());
        let (total, total_cost, max_total_cost) = self.sums(by);
        json!({
            "data": page.into_iter().map(|(_, listed)| listed).collect::<Vec<_>>(),
            "total": total,
            "total_cost": total_cost,
            "max_total_cost": max_total_cost,
            "pagination": cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor })),
        })
    }

    /// Deletes one; `false` when there is none.
    pub(in crate::twitch_api) fn unsubscribe(&mut self, by: Subscriber<'_>, id: &str) -> bool {
        let place = self.subscriptions.iter().find(|(_, s)| s.id == id && s.client_id == by.client_id);
        let place = place.map(|(place, _)| *place);
        place.is_some_and(|place| self.subscriptions.remove(&place).is_some())
    }
}

/// A user's token sees what it made; an application's sees what it made for itself.
fn is_of(subscription: &Subscription, by: Subscriber<'_>) -> bool {
    subscription.client_id == by.client_id && subscription.login.as_deref() == by.login
}

fn check_grant(
    by: Subscriber<'_>,
    kind: Kind,
    new: &NewSubscription,
    granted: &impl Fn(&str, &[&str]) -> bool,
) -> Result<(), Problem> {
    let Some(field) = kind.grants() else { return Ok(()) };
    let who = new.condition.get(field).and_then(Value::as_str).unwrap_or_default();
    let own = by.user_id.is_none_or(|user| user == who);
    if own && granted(who, kind.scopes) {
        return Ok(());
    }
    Err(Problem::new(403, "subscription missing proper authorization"))
}

/// Free when somebody it is about has anything to do with the application, else 1.
fn cost(by: Subscriber<'_>, new: &NewSubscription, granted: &impl Fn(&str, &[&str]) -> bool) -> u64 {
    let free = new
        .condition
        .values()
        .filter_map(Value::as_str)
        .any(|id| by.user_id == Some(id) || (!id.is_empty() && granted(id, &[])));
    u64::from(!free)
}
