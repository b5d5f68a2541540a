//! What a bot's session decides: its subscriptions, and the events that are not acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_event::{EgressKind, Event};

use super::{ACK_WITHIN, Moment, Output, Session, Waiting, error};
use crate::codes::{Closing, ErrorCode};
use crate::egress::{self, Origin, Refused, Saying, Where};
use crate::feed::IN_FLIGHT;
use crate::frames::{self, Durable, Feed, Filter, Recipient};

/// A bot's part of a session.
#[derive(Debug, Default)]
pub(super) struct Bot {
    /// One for a feed at most.
    subscriptions: Vec<Subscribed>,
    /// Cursors that were not acknowledged, and until when they may be. Later ones end later; bounded by
    /// what a subscription holds in hand.
    unacked: BTreeMap<u64, (Feed, Instant)>,
    /// Since when events cannot be sent because the client does not read.
    crowded_since: Option<Instant>,
}

#[derive(Debug)]
struct Subscribed {
    feed: Feed,
    id: Option<String>,
    durable: Durable,
    /// The last [`IN_FLIGHT`] events, for who answers them.
    origins: VecDeque<Arc<Origin>>,
    /// Until when it may begin; `None` when it has.
    begins_until: Option<Instant>,
}

/// An event that is not acknowledged within this comes again, under a new cursor.
pub(super) const EVENT_ACK_WITHIN: Duration = Duration::from_secs(60);
/// How long a client may leave so much unread that events have to wait.
pub(super) const CROWDED: Duration = Duration::from_secs(20);

// === impl Session ===

impl Session {
    pub(super) fn subscribe(
        &mut self,
        id: Option<String>,
        (feed, filter, durable): (Feed, Filter, Durable),
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let id_of = id.as_deref();
        let token = &self.terms.token;
        if !token.bot {
            return error(ErrorCode::UnsupportedType, "only bot tokens may subscribe", id_of, now, out);
        }
        if feed == Feed::Outcomes {
            // They name neither, so that a limit could only let everything through, or nothing.
            if !(token.platforms.is_empty() && token.channels.is_empty() && token.types.is_empty()) {
                let why = "outcomes name no platform, channel or type, and this token is limited to some";
                return error(ErrorCode::Forbidden, why, id_of, now, out);
            }
            if filter != Filter::default() {
                return error(ErrorCode::BadRequest, "outcomes take no filter", id_of, now, out);
            }
        }
        let bot = self.bot.get_or_insert_default();
        if bot.subscriptions.iter().any(|subscribed| subscribed.feed == feed) {
            let why = "this connection has a subscription to this topic already";
            return error(ErrorCode::BadRequest, why, id_of, now, out);
        }
        bot.subscriptions.push(Subscribed {
            feed,
            id,
            durable: durable.clone(),
            origins: VecDeque::new(),
            begins_until: Some(now.mono + ACK_WITHIN),
        });
        out.push(Output::Subscribe { feed, filter, durable });
    }

    /// The subscription has begun.
    pub(super) fn subscribed(&mut self, feed: Feed, now: Moment, out: &mut Vec<Output>) {
        let Some(subscribed) = self.subscription(feed) else { return };
        subscribed.begins_until = None;
        let id = subscribed.id.take();
        let is_durable = subscribed.durable != Durable::No;
        let frame = frames::subscribed(feed, is_durable, id.as_deref(), now.wall);
        out.push(Output::Send(frame));
    }

    /// The subscription is over: it did not begin, or the bus has closed.
    pub(super) fn unsubscribed(
        &mut self,
        feed: Feed,
        (code, why): &Refused,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let Some(Subscribed { id, .. }) = self.end(feed) else { return };
        let message = format!("no subscription to {}: {why}", feed.as_str());
        error(*code, &message, id.as_deref(), now, out);
        out.push(Output::Unsubscribe { feed });
    }

    /// The client wants no more events, or to be forgotten.
    pub(super) fn unsubscribe(
        &mut self,
        id: Option<String>,
        feed: Feed,
        durable: Durable,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        if !self.terms.token.bot {
            let why = "only bot tokens may unsubscribe";
            return error(ErrorCode::UnsupportedType, why, id.as_deref(), now, out);
        }
        let here = self.subscription(feed).map(|subscribed| subscribed.durable.clone());
        if durable != Durable::No {
            // What this connection listens to otherwise goes on.
            let ends = here.as_ref() == Some(&durable);
            if ends {
                self.end(feed);
            }
            let number = self.await_answer(id, now);
            return out.push(Output::Forget { number, feed, durable, ends });
        }
        if here.is_none() {
            let why = "this connection has no subscription to this topic";
            return error(ErrorCode::BadRequest, why, id.as_deref(), now, out);
        }
        self.end(feed);
        out.push(Output::Unsubscribe { feed });
        out.push(Output::Send(frames::unsubscribed(feed, false, id.as_deref(), now.wall)));
    }

    /// A place was forgotten, or was not.
    pub(super) fn forgotten(
        &mut self,
        number: u32,
        feed: Feed,
        forgotten: Result<(), String>,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) else { return };
        let Some(Waiting { id, .. }) = self.waiting.remove(at) else { return };
        match forgotten {
            Ok(()) => out.push(Output::Send(frames::unsubscribed(feed, true, id.as_deref(), now.wall))),
            Err(why) => error(ErrorCode::BusUnavailable, &why, id.as_deref(), now, out),
        }
    }

    /// Takes a subscription out, with what is not acknowledged of it.
    fn end(&mut self, feed: Feed) -> Option<Subscribed> {
        let bot = self.bot.as_mut()?;
        let at = bot.subscriptions.iter().position(|subscribed| subscribed.feed == feed)?;
        bot.unacked.retain(|_, (of, _)| *of != feed);
        Some(bot.subscriptions.swap_remove(at))
    }

    /// An event is to be sent under this cursor.
    pub(super) fn event(
        &mut self,
        feed: Feed,
        cursor: u64,
        body: &Bytes,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let Some(bot) = &mut self.bot else { return };
        bot.unacked.insert(cursor, (feed, now.mono + EVENT_ACK_WITHIN));
        if let Some(subscribed) = bot.subscriptions.iter_mut().find(|subscribed| subscribed.feed == feed)
            && feed != Feed::Outcomes
            && let Some(origin) = Event::decode(body).ok().as_ref().and_then(Origin::of)
        {
            if subscribed.origins.len() == IN_FLIGHT {
                subscribed.origins.pop_front();
            }
            subscribed.origins.push_back(Arc::new(origin));
        }
        out.push(Output::Send(frames::event(feed, cursor, body)));
    }

    /// The client acknowledged an event; says whether that was one it was sent. An acknowledgement that
    /// came too late is of one that comes again.
    pub(super) fn event_acked(&mut self, cursor: u64, out: &mut Vec<Output>) -> bool {
        let Some((feed, _)) = self.bot.as_mut().and_then(|bot| bot.unacked.remove(&cursor)) else {
            return false;
        };
        out.push(Output::Settle { feed, cursor, acked: true });
        true
    }

    /// Whether the client leaves so much unread that events have to wait.
    pub(super) fn crowded(&mut self, is_crowded: bool, now: Moment) {
        if let Some(bot) = &mut self.bot {
            bot.crowded_since = is_crowded.then(|| bot.crowded_since.unwrap_or(now.mono));
        }
    }

    pub(super) fn say(
        &mut self,
        id: Option<String>,
        to: &Recipient,
        kind: Option<EgressKind>,
        text: String,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        match self.place(to, kind) {
            Err((code, why)) => error(code, &why, id.as_deref(), now, out),
            Ok((to, kind)) => {
                let number = self.await_answer(id.clone(), now);
                out.push(Output::Say { number, saying: Box::new(Saying { to, kind, text, id }) });
            }
        }
    }

    /// Where a text may go, and how.
    fn place(&self, to: &Recipient, kind: Option<EgressKind>) -> Result<(Where, EgressKind), Refused> {
        let origin = |id: &str| {
            let subscriptions = self.bot.iter().flat_map(|bot| &bot.subscriptions);
            let mut origins = subscriptions.flat_map(|subscribed| subscribed.origins.iter().rev());
            origins.find(|origin| origin.is_named(id)).map(Arc::clone).ok_or_else(|| {
                let why = "replyTo is none of the last 256 events of this connection's subscriptions";
                (ErrorCode::BadRequest, why.to_owned())
            })
        };
        egress::place(&self.terms.token, self.terms.parse_target, to, kind, origin)
    }

    /// The bus answered for what was to be said.
    pub(super) fn said(
        &mut self,
        number: u32,
        correlation_id: &str,
        delivery_id: String,
        taken: Result<(), Refused>,
        now: Moment,
        out: &mut Vec<Output>,
    ) {
        let Some(at) = self.waiting.iter().position(|waiting| waiting.number == number) else { return };
        let Some(Waiting { id, .. }) = self.waiting.remove(at) else { return };
        match taken {
            Ok(()) => {
                let id = id.as_deref().unwrap_or(&delivery_id);
                out.push(Output::Send(frames::ack(id, correlation_id, false, now.wall)));
                out.push(Output::Acked { delivery_id });
            }
            Err((code, why)) => error(code, &why, id.as_deref(), now, out),
        }
    }

    pub(super) fn bot_tick(&mut self, now: Moment, out: &mut Vec<Output>) {
        let Some(bot) = &mut self.bot else { return };
        if bot.crowded_since.is_some_and(|since| now.mono >= since + CROWDED) {
            return self.close(Closing::SlowConsumer, Closing::SlowConsumer.word(), out);
        }
        while let Some(entry) = bot.unacked.first_entry()
            && entry.get().1 <= now.mono
        {
            let (cursor, (feed, _)) = entry.remove_entry();
            out.push(Output::Settle { feed, cursor, acked: false });
        }
        let late = bot.subscriptions.iter().find(|s| s.begins_until.is_some_and(|until| until <= now.mono));
        if let Some(feed) = late.map(|subscribed| subscribed.feed) {
            let why = (ErrorCode::BusUnavailable, "the bus did not answer in time".to_owned());
            self.unsubscribed(feed, &why, now, out);
        }
    }

    pub(super) fn bot_deadline(&self) -> Option<Instant> {
        let bot = self.bot.as_ref()?;
        let crowded = bot.crowded_since.map(|since| since + CROWDED);
        let unacked = bot.unacked.first_key_value().map(|(_, (_, until))| *until);
        let begins = bot.subscriptions.iter().filter_map(|subscribed| subscribed.begins_until).min();
        [crowded, unacked, begins].into_iter().flatten().min()
    }

    fn subscription(&mut self, feed: Feed) -> Option<&mut Subscribed> {
        self.bot.as_mut()?.subscriptions.iter_mut().find(|subscribed| subscribed.feed == feed)
    }
}
