//! The loop of one connection: moves bytes between the socket and the session. Decides nothing.
//!
//! It is one future without inner ones while the client is quiet, so that what a connection costs is the
//! socket, the session and a timer.

mod taps;

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tracing::debug;

use crate::codes::{Closing, ErrorCode};
use crate::groups;
use crate::history::Mark;
use crate::link::{Link, Order, Written};
use crate::outcomes::Wait;
use crate::publish::Said;
use crate::recall::Recall;
use crate::server::Shared;
use crate::session::{Input, Moment, Output, Session, Terms};
use crate::tokens::{Held, Token};
use crate::users::Place;
use taps::Taps;

/// A connection, until it ends.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    link: Arc<Link>,
    place: Place,
    token: Arc<Token>,
    session: Session,
    terms_seq: u64,
    /// What the session waits for.
    answers: VecDeque<BoxFuture<'static, Input>>,
    /// A bot's subscriptions.
    taps: Option<Box<Taps>>,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    phase: Phase,
}

enum Phase {
    Open,
    /// The close frame is on its way; until the timer.
    Closing {
        discarded: usize,
    },
    Ended,
}

/// Messages read before others have their turn.
const READ_AT_ONCE: usize = 16;
/// How long a client may take to read the end and to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// A slow one has much to read before it finds out.
const SLOW_CLOSE_WITHIN: Duration = Duration::from_secs(15);
/// How long after its deadline an outcome may come.
const OUTCOME_SLACK: Duration = Duration::from_secs(15);

// === impl Connection ===

impl Connection {
    /// A connection on an upgraded socket; `part` was read after the request already.
    pub(crate) fn open(
        shared: Arc<Shared>,
        mut place: Place,
        token: Held,
        tcp: TcpStream,
        part: Vec<u8>,
    ) -> Self {
        let (key, token) = token;
        let id = shared.runtime.entropy.uuid();
        let link = Arc::new(Link::new(id, key, tcp, part));
        let now = shared.now();
        let (session, terms_seq) = place.join(&link, |seq| {
            let terms = Terms {
                token: Arc::clone(&token),
                identity: Arc::clone(&shared.identity),
                parse_target: shared.parse_target,
                seq,
            };
            let mut session = Session::new(terms, now);
            let mut out = Vec::new();
            session.on(Input::Opened, now, &mut out);
            let mut wire = link.lock();
            for output in out {
                if let Output::Send(frame) = output {
                    wire.send(frame);
                }
            }
            drop(wire);
            (session, seq)
        });
        shared.metrics.gateway_connections.inc();
        debug!(event = "gateway.connected", connectionId = %id, "client connected");
        let timer_at = session.next_deadline(now);
        let timer = Box::pin(tokio::time::sleep_until(timer_at.into()));
        let answers = VecDeque::new();
        Self {
            shared,
            link,
            place,
            token,
            session,
            terms_seq,
            answers,
            taps: None,
            timer,
            timer_at,
            phase: Phase::Open,
        }
    }

    /// The token is gone.
    pub(crate) fn revoke(&self) {
        self.link.order(Order::Revoke);
    }

    /// One turn: everything that is ready. Says whether to look again at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.shared.now();
        let mut out = Vec::new();
        let mut reads = 0;
        let order = self.link.lock().take_order();
        if let Some(order) = order {
            self.session.on(input_of(order), now, &mut out);
        }
        self.poll_answers(cx, now, &mut out);
        while out.is_empty() && reads < READ_AT_ONCE {
            let read = self.link.lock().poll_read(cx);
            let Poll::Ready(read) = read else { break };
            reads += 1;
            if !self.read(read, now, &mut out) {
                return false;
            }
        }
        self.poll_taps(cx, now, &mut out);
        let is_due = self.timer.as_mut().poll(cx).is_ready();
        if is_due {
            // What is due may be the end of who takes nothing: whether it does is seen by writing.
            let _ = self.link.lock().pump(now.mono);
            self.note_stall(now);
            self.session.on(Input::Tick, now, &mut out);
        }
        let again = !out.is_empty() || reads > 0;
        for output in out {
            self.perform(output, now);
        }
        if !matches!(self.phase, Phase::Open) {
            return true;
        }
        let again = self.write(cx, now) | again;
        self.note_stall(now);
        let again = self.set_timer(is_due, now) | again;
        again || self.taps.as_ref().is_some_and(|taps| taps.is_held_back && self.link.lock().has_room())
    }

    /// Writes what waits. Says whether to look again at once.
    fn write(&mut self, cx: &mut Context<'_>, now: Moment) -> bool {
        let mut wire = self.link.lock();
        loop {
            match wire.pump(now.mono) {
                Written::All => return false,
                Written::Blocked => match wire.poll_writable(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => break,
                    Poll::Pending => return false,
                },
                Written::Broken => break,
            }
        }
        drop(wire);
        self.end("write_failed", now);
        false
    }

    fn note_stall(&mut self, now: Moment) {
        let since = self.link.lock().stalled_since();
        self.session.on(Input::Stalled(since), now, &mut Vec::new());
    }

    fn set_timer(&mut self, is_over: bool, now: Moment) -> bool {
        let at = self.session.next_deadline(now);
        // Deadlines that come from the wall clock waver by less than a millisecond.
        let is_far = |a: Instant, b: Instant| a.max(b) - a.min(b) > Duration::from_millis(2);
        if !is_over && !is_far(at, self.timer_at) {
            return false;
        }
        self.timer_at = at;
        self.timer.as_mut().reset(at.into());
        true
    }

    fn poll_answers(&mut self, cx: &mut Context<'_>, now: Moment, out: &mut Vec<Output>) {
        let mut at = 0;
        // All of them, in order: what was said first is published first.
        while let Some(answer) = self.answers.get_mut(at) {
            match answer.as_mut().poll(cx) {
                Poll::Ready(input) => {
                    drop(self.answers.remove(at));
                    self.session.on(input, now, out);
                }
                Poll::Pending => at += 1,
            }
        }
    }

    /// Takes from the subscriptions what there is room for, so that they wait for a client that is slow.
    fn poll_taps(&mut self, cx: &mut Context<'_>, now: Moment, out: &mut Vec<Output>) {
        let Some(taps) = &mut self.taps else { return };
        let is_held_back = !self.link.lock().has_room();
        if std::mem::replace(&mut taps.is_held_back, is_held_back) != is_held_back {
            self.session.on(Input::Crowded(is_held_back), now, out);
        }
        if !is_held_back {
            taps.poll(cx, |input| self.session.on(input, now, out));
        }
    }

    /// Hands what was read to the session; `false` when the connection ended.
    fn read(&mut self, read: Result<Message, WsError>, now: Moment, out: &mut Vec<Output>) -> bool {
        let input = match read {
            Ok(Message::Text(text)) => Input::Text(text.into()),
            Ok(Message::Binary(_)) => Input::Violation(Closing::Binary),
            Ok(Message::Ping(_)) => Input::Pinged,
            Ok(Message::Pong(payload)) => {
                self.link.lock().ponged(&payload);
                Input::Ponged
            }
            // Its answer is written already, or on its way.
            Ok(Message::Close(_)) => {
                self.begin_close(None, now);
                return true;
            }
            // Only handed out where frames are read as they are.
            Ok(Message::Frame(_)) => return true,
            Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
                Input::Violation(Closing::TooLarge)
            }
            Err(WsError::Utf8(_)) => Input::Violation(Closing::NotUtf8),
            Err(WsError::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => {
                self.end("hung_up", now);
                return false;
            }
            Err(WsError::Protocol(_)) => Input::Violation(Closing::Protocol),
            Err(_) => {
                self.end("read_failed", now);
                return false;
            }
        };
        self.session.on(input, now, out);
        true
    }

    fn perform(&mut self, output: Output, now: Moment) {
        match output {
            Output::Send(frame) => self.link.lock().send(frame),
            Output::Ping => self.link.lock().ping(),
            Output::Publish { number, id, text, channel } => {
                let said = Said {
                    user: self.place.user(),
                    connection: self.link.id,
                    id: id.as_deref(),
                    text: &text,
                    channel: channel.as_deref(),
                };
                let (event, correlation_id) = self.shared.maker.event(&said);
                let accept = Arc::clone(&self.shared.accept);
                self.answers.push_back(Box::pin(async move {
                    Input::Answered { number, correlation_id, accepted: accept.accept(event).await }
                }));
            }
            Output::Say { number, saying } => {
                let Shared { runtime, bus, outcomes, egress_deadline, .. } = &*self.shared;
                let ids = [runtime.entropy.uuid(), runtime.entropy.uuid()];
                let said = saying.event(&self.token, ids, now.wall);
                let until = now.mono + *egress_deadline + OUTCOME_SLACK;
                outcomes.wait(runtime, bus, &said.delivery_id, Wait::new(&self.link, saying.id, until));
                let receipt = bus.publish(&said.topic, said.message);
                let (correlation_id, delivery_id) = (said.correlation_id, said.delivery_id);
                self.answers.push_back(Box::pin(async move {
                    let taken = receipt.await.map(|_| ()).map_err(|error| {
                        let is_temporary = error.is_temporary();
                        let code = if is_temporary { ErrorCode::BusUnavailable } else { ErrorCode::Refused };
                        (code, error.to_string())
                    });
                    Input::Said { number, correlation_id, delivery_id, taken }
                }));
            }
            Output::Acked { delivery_id } => self.shared.outcomes.acked(&delivery_id),
            Output::Recall { epoch, seq } => {
                let (shared, user) = (Arc::clone(&self.shared), Arc::clone(self.place.user()));
                let until = self.terms_seq;
                self.answers.push_back(Box::pin(async move {
                    match shared.recaller.after(&user, &Mark { epoch, seq }, until).await {
                        Recall::Frames(frames) => Input::Recalled(Some(frames)),
                        Recall::Gone => Input::Recalled(None),
                    }
                }));
            }
            Output::Subscribe { feed, filter, durable } => {
                let taps = self.taps.get_or_insert_default();
                taps.open(&self.shared, &self.token, feed, filter, &durable);
            }
            Output::Unsubscribe { feed } => {
                drop(self.taps.as_mut().and_then(|taps| taps.close(feed)));
            }
            Output::Forget { number, feed, durable, ends } => {
                let tap = self.taps.as_mut().filter(|_| ends).and_then(|taps| taps.close(feed));
                let (shared, token) = (Arc::clone(&self.shared), Arc::clone(&self.token));
                self.answers.push_back(Box::pin(async move {
                    // A member that is still there would have the group back.
                    if let Some(tap) = tap {
                        tap.ended().await;
                    }
                    let forgotten = groups::forget(&*shared.bus, &token.id, feed, &durable).await;
                    Input::Forgotten { number, feed, forgotten: forgotten.map_err(|error| error.to_string()) }
                }));
            }
            Output::Settle { feed, cursor, acked } => {
                if let Some(taps) = &mut self.taps {
                    taps.settle(feed, cursor, acked);
                }
            }
            Output::Close { closing, reason } => self.begin_close(Some((closing, &reason)), now),
        }
    }

    fn begin_close(&mut self, close: Option<(Closing, &str)>, now: Moment) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        let reason = close.map_or("client_closed", |(closing, _)| closing.word());
        debug!(event = "gateway.closing", connectionId = %self.link.id, reason, "connection closes");
        self.place.leave(now.mono);
        self.link.lock().begin_close(close, now.mono);
        self.answers.clear();
        self.taps = None;
        let is_slow = close.is_some_and(|(closing, _)| closing == Closing::SlowConsumer);
        let within = if is_slow { SLOW_CLOSE_WITHIN } else { CLOSE_WITHIN };
        self.timer_at = now.mono + within;
        self.timer.as_mut().reset(self.timer_at.into());
        self.phase = Phase::Closing { discarded: 0 };
    }

    fn end(&mut self, reason: &'static str, now: Moment) {
        debug!(event = "gateway.ended", connectionId = %self.link.id, reason, "connection ended");
        self.place.leave(now.mono);
        self.taps = None;
        self.link.lock().end();
        self.phase = Phase::Ended;
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.link.register(cx);
        // A client that never stops is not to keep the thread.
        for _ in 0..READ_AT_ONCE {
            match &mut this.phase {
                Phase::Open => {
                    if !this.turn(cx) && matches!(this.phase, Phase::Open) {
                        return Poll::Pending;
                    }
                }
                Phase::Closing { discarded } => {
                    if this.timer.as_mut().poll(cx).is_pending()
                        && this.link.lock().poll_close(cx, discarded).is_pending()
                    {
                        return Poll::Pending;
                    }
                    this.phase = Phase::Ended;
                }
                Phase::Ended => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.place.leave(self.shared.runtime.clock.instant());
        self.link.lock().end();
        self.shared.metrics.gateway_connections.dec();
    }
}

fn input_of(order: Order) -> Input {
    match order {
        Order::Revoke => Input::Revoked("token revoked"),
        Order::Drain { retry_after } => Input::Draining { retry_after },
        Order::Slow => Input::Slow,
    }
}
