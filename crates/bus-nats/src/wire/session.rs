//! One connection from its first byte to its end.
//!
//! Two tasks move bytes: the writer takes whatever was put into one buffer since its last write, the
//! reader hands each frame to whoever waits for it and looks at the clock. Whatever ends either
//! ends the session: every unacknowledged publish and every request fails at that moment, every
//! subscription ends, and what was in the buffer is dropped. Nothing is ever sent twice or later.

mod loops;

use std::cell::RefCell;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_bus::{BusError, BusErrorKind, Message, Receipt};
use chatbus_event::Topic;
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::dial::{Dialled, ServerInfo};
use super::frames::{Frame, Inbound, Received};
use super::lines;
use crate::acks;
use crate::headers;
use crate::numbers::NumberMap;
use crate::window::{Answer, NoRoom, Window};

/// How often the reader looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Silence after which the server is asked whether it lives: 2 s.
const PING_AFTER: u64 = 8;
/// Silence after which it does not: 6 s, well before a lease or a readiness probe gives up.
const DEAD_AFTER: u64 = 24;
/// Our own inbox.
const INBOX_SID: u64 = 1;
/// Requests that wait for an answer at once; each has a timeout.
const MAX_REQUESTS: usize = 16 * 1024;
/// Bytes that wait for the socket beside the publish window. Far above what settlements and pulls of
/// many consumers can be; over it the connection is as good as dead.
const MAX_UNSENT: usize = 64 * 1024 * 1024;

thread_local! {
    /// Where header blocks are made; one is mostly as long as the last.
    static BLOCK: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection. Dropping the last handle does not close it; [`Session::close`] does.
pub(crate) struct Session {
    pub(crate) info: ServerInfo,
    /// `_INBOX.<random>.`
    inbox: String,
    /// BUS_PREFIX, for subjects of topics.
    prefix: String,
    out: Mutex<Out>,
    wake: Notify,
    written: watch::Sender<u64>,
    window: Mutex<Window>,
    answered: Notify,
    requests: Mutex<NumberMap<Asked>>,
    subscriptions: Mutex<NumberMap<mpsc::Sender<Inbound>>>,
    next_id: AtomicU64,
    ticks: AtomicU64,
    ack_ticks: u64,
    ended: CancellationToken,
}

/// A request that waits.
struct Asked {
    /// Takes the answer, or `None` when it is too late for one.
    answer: oneshot::Sender<Option<Inbound>>,
    /// The tick after which it is too late.
    until: u64,
}

/// The acknowledgements of publishes that one read brought, with the places they are for.
type Answers = Vec<(u64, Answer)>;

/// What waits for the socket.
#[derive(Default)]
struct Out {
    buffer: Vec<u8>,
    /// Bytes ever put into the buffer.
    total: u64,
    closed: Option<Arc<str>>,
}

/// A subscription; dropping it ends it at the server too.
pub(crate) struct Subscribed {
    pub(crate) messages: mpsc::Receiver<Inbound>,
    /// What messages have to be sent to in order to come here.
    pub(crate) subject: String,
    sid: u64,
    session: Arc<Session>,
}

/// The limits of a session.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) window_messages: usize,
    pub(crate) window_bytes: usize,
    pub(crate) ack_timeout: Duration,
}

// === impl Session ===

impl Session {
    /// Starts the two tasks.
    pub(crate) fn start(dialled: Dialled, prefix: &str, bounds: &Bounds, runtime: &Runtime) -> Arc<Self> {
        let inbox =
            format!("_INBOX.{:016x}{:08x}.", runtime.entropy.next_u64(), runtime.entropy.next_u64() >> 32);
        let session = Arc::new(Self {
            info: dialled.info,
            prefix: prefix.to_owned(),
            out: Mutex::new(Out::default()),
            wake: Notify::new(),
            written: watch::Sender::new(0),
            window: Mutex::new(Window::new(bounds.window_messages, bounds.window_bytes)),
            answered: Notify::new(),
            requests: Mutex::default(),
            subscriptions: Mutex::default(),
            next_id: AtomicU64::new(INBOX_SID + 1),
            ticks: AtomicU64::new(0),
            ack_ticks: ticks(bounds.ack_timeout),
            ended: CancellationToken::new(),
            inbox,
        });
        // A buffer that was never written to takes this without fail.
        let _ = session.send(|out| write!(out, "SUB {}* {INBOX_SID}\r\n", session.inbox));
        runtime.spawn("nats.write", loops::write(Arc::clone(&session), dialled.writer));
        runtime.spawn("nats.read", loops::read(Arc::clone(&session), dialled.reader, dialled.buffer));
        session
    }

    /// Hands a message over, in the order of calls.
    pub(crate) fn publish(&self, topic: &Topic, message: &Message) -> Receipt {
        match self.try_publish(topic, message) {
            Ok(receiver) => Receipt::oneshot(receiver),
            Err(error) => Receipt::ready(Err(error)),
        }
    }

    fn try_publish(&self, topic: &Topic, message: &Message) -> Result<oneshot::Receiver<Answer>, BusError> {
        // The block is made first and outside of any lock: its length stands before it.
        BLOCK.with_borrow_mut(|block| {
            block.clear();
            headers::write(block, topic, &message.id, &message.attributes);
            self.publish_block(topic, block, message)
        })
    }

    fn publish_block(
        &self,
        topic: &Topic,
        block: &[u8],
        message: &Message,
    ) -> Result<oneshot::Receiver<Answer>, BusError> {
        let total = block.len() + message.body.len();
        if block.len() > headers::MAX_HEADER_BYTES || total > self.info.max_payload {
            let why = format!("a message of {total} bytes, {} of them attributes, on {topic}", block.len());
            return Err(BusError::new(BusErrorKind::TooLarge, why));
        }
        let since = self.ticks.load(Ordering::Relaxed);
        let (place, receiver) =
            lock(&self.window).push(topic.family(), total, since).map_err(|why| match why {
                NoRoom::Full => {
                    BusError::new(BusErrorKind::Full, "the window of unacknowledged messages is full")
                }
                NoRoom::Closed(why) => BusError::closed(why),
            })?;
        self.send(|out| {
            let subject = [self.prefix.as_str(), topic.as_str()];
            lines::publish_with_headers(out, subject, [&self.inbox, "p"], place, block, &message.body);
            Ok(())
        })?;
        Ok(receiver)
    }

    /// Publishes something that is not answered, and waits until the kernel has it.
    pub(crate) async fn tell(&self, subject: &str, payload: &[u8]) -> Result<(), BusError> {
        let place = self.send(|out| {
            lines::publish(out, subject, &[], payload);
            Ok(())
        })?;
        self.written_up_to(place).await
    }

    /// Waits until the kernel has everything that was sent before.
    pub(crate) async fn flush(&self) -> Result<(), BusError> {
        let place = self.send(|_| Ok(()))?;
        self.written_up_to(place).await
    }

    async fn written_up_to(&self, place: u64) -> Result<(), BusError> {
        let mut written = self.written.subscribe();
        tokio::select! {
            seen = written.wait_for(|written| *written >= place) => seen.map(drop).map_err(|_| self.gone()),
            () = self.ended.cancelled() => Err(self.gone()),
        }
    }

    /// Publishes something that is not answered, and forgets it.
    pub(crate) fn post(&self, subject: &str, reply: Option<&str>, payload: &[u8]) -> Result<(), BusError> {
        self.send(|out| {
            lines::publish(out, subject, reply.as_slice(), payload);
            Ok(())
        })
        .map(drop)
    }

    /// Asks, and waits for the answer. A status of "no responders" is an answer.
    pub(crate) async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Inbound, BusError> {
        let write = |out: &mut Vec<u8>, id| lines::request(out, subject, &self.inbox, id, payload);
        self.ask(subject, timeout, write).await
    }

    /// The same with a header block.
    pub(crate) async fn request_with_headers(
        &self,
        subject: &str,
        block: &[u8],
        payload: &[u8],
        timeout: Duration,
    ) -> Result<Inbound, BusError> {
        let write = |out: &mut Vec<u8>, id| {
            lines::publish_with_headers(out, [subject, ""], [&self.inbox, "r"], id, block, payload);
        };
        self.ask(subject, timeout, write).await
    }

    async fn ask(
        &self,
        subject: &str,
        timeout: Duration,
        write: impl FnOnce(&mut Vec<u8>, u64),
    ) -> Result<Inbound, BusError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, receiver) = oneshot::channel();
        // The tick that is under way does not count.
        let until = self.ticks.load(Ordering::Relaxed).saturating_add(ticks(timeout)).saturating_add(1);
        {
            let mut requests = lock(&self.requests);
            if self.ended.is_cancelled() {
                return Err(self.gone());
            }
            if requests.len() >= MAX_REQUESTS {
                return Err(BusError::new(BusErrorKind::Full, "too many requests wait for NATS"));
            }
            requests.insert(id, Asked { answer, until });
        }
        let mut forget = Forget { session: self, id: Some(id) };
        self.send(|out| {
            write(out, id);
            Ok(())
        })?;
        let answer = receiver.await;
        // Whoever answered took it out.
        forget.id = None;
        match answer {
            Ok(Some(inbound)) => Ok(inbound),
            Ok(None) => Err(BusError::new(BusErrorKind::Timeout, format!("NATS did not answer {subject}"))),
            Err(_) => Err(self.gone()),
        }
    }

    /// A fresh subject, and what is sent to it. `capacity` messages wait; more end the subscription,
    /// since a gap would be worse.
    pub(crate) fn subscribe(self: &Arc<Self>, capacity: usize) -> Result<Subscribed, BusError> {
        let sid = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::channel(capacity.max(1));
        let subject = format!("{}s{sid}", self.inbox.replacen("_INBOX.", "_INBOX.c", 1));
        lock(&self.subscriptions).insert(sid, sender);
        let subscribed = Subscribed { messages, subject, sid, session: Arc::clone(self) };
        self.send(|out| write!(out, "SUB {} {sid}\r\n", subscribed.subject))?;
        Ok(subscribed)
    }

    /// Takes no new publish; resolves when all that were taken are answered.
    pub(crate) async fn drain(&self, why: &str) {
        lock(&self.window).seal(why);
        loop {
            let answered = self.answered.notified();
            if lock(&self.window).is_empty() || self.ended.is_cancelled() {
                return;
            }
            tokio::select! {
                () = answered => {}
                () = self.ended.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Ends the session; the first reason counts.
    pub(crate) fn close(&self, why: &str) {
        {
            let mut out = lock(&self.out);
            out.closed.get_or_insert_with(|| why.into());
            out.buffer = Vec::new();
        }
        self.ended.cancel();
        lock(&self.window).close(why);
        lock(&self.requests).clear();
        lock(&self.subscriptions).clear();
        self.answered.notify_waiters();
    }

    /// Resolves when the session has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Why it ended.
    pub(crate) fn reason(&self) -> String {
        lock(&self.out).closed.as_deref().unwrap_or("the connection ended").to_owned()
    }

    fn gone(&self) -> BusError {
        BusError::closed(self.reason())
    }

    /// Puts bytes behind those that wait; says how many there were in all.
    fn send(&self, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Result<u64, BusError> {
        let mut out = lock(&self.out);
        if let Some(why) = &out.closed {
            return Err(BusError::closed(&**why));
        }
        let before = out.buffer.len();
        if before > MAX_UNSENT {
            drop(out);
            self.close("NATS does not read what it is sent");
            return Err(self.gone());
        }
        // Writing into memory cannot fail.
        let _ = write(&mut out.buffer);
        out.total += (out.buffer.len() - before) as u64;
        let total = out.total;
        drop(out);
        if before == 0 {
            self.wake.notify_one();
        }
        Ok(total)
    }

    fn on_frame(&self, frame: Frame<'_>, answers: &mut Answers) {
        match frame {
            Frame::Message(received) if received.sid == INBOX_SID => self.on_answer(&received, answers),
            Frame::Message(received) => self.on_message(&received),
            Frame::Ping => {
                let _ = self.send(|out| write!(out, "PONG\r\n"));
            }
            // Some errors end the connection, which is then seen; others concern one subscription.
            Frame::Error(why) => {
                tracing::warn!(event = "bus.nats.server_error", reason = %why, "the NATS server reports an error");
            }
            Frame::Info(_) | Frame::Pong | Frame::Ok => {}
        }
    }

    fn on_answer(&self, received: &Received<'_>, answers: &mut Answers) {
        let Some(token) = received.subject.strip_prefix(&self.inbox) else { return };
        let Some((kind, id)) = token.split_at_checked(1) else { return };
        let Ok(id) = id.parse::<u64>() else { return };
        match kind {
            "p" => {
                if let Some(stored) = acks::stored(received.headers, received.payload) {
                    return answers.push((id, Ok(stored)));
                }
                let Some(family) = lock(&self.window).family(id) else { return };
                let answer = acks::read(received.headers, received.payload, family);
                let lost = answer.as_ref().is_err_and(acks::is_unserved);
                answers.push((id, answer));
                if lost {
                    self.answer(answers);
                    // Its stream is gone or has no leader: whoever connects anew makes sure of it.
                    self.close(&format!("no JetStream serves {}", family.label()));
                }
            }
            "r" => {
                let asked = lock(&self.requests).remove(&id);
                if let Some(asked) = asked {
                    let _ = asked.answer.send(Some(Inbound::of(received)));
                }
            }
            _ => {}
        }
    }

    /// Hands acknowledgements out, in the order in which they came. All of one read at once: the
    /// publisher that the first one wakes then finds the others there and is not woken for each.
    fn answer(&self, answers: &mut Answers) {
        if answers.is_empty() {
            return;
        }
        let mut ready = Vec::with_capacity(answers.len());
        let empty = {
            let mut window = lock(&self.window);
            ready.extend(answers.drain(..).filter_map(|(at, answer)| Some((window.take(at)?, answer))));
            window.is_empty()
        };
        for (waiting, answer) in ready {
            // Nobody may wait any more; dropping a receipt changes nothing.
            let _ = waiting.send(answer);
        }
        if empty {
            self.answered.notify_waiters();
        }
    }

    fn on_message(&self, received: &Received<'_>) {
        let mut subscriptions = lock(&self.subscriptions);
        if let Some(sender) = subscriptions.get(&received.sid)
            && sender.try_send(Inbound::of(received)).is_err()
        {
            subscriptions.remove(&received.sid);
        }
    }

    /// Fails what waits too long; says when the server was silent for too long.
    fn on_tick(&self, silent: u64) -> Result<(), &'static str> {
        let now = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(before) = now.checked_sub(self.ack_ticks) {
            let late = || BusError::new(BusErrorKind::Timeout, "NATS did not acknowledge in time");
            lock(&self.window).expire(before, late);
        }
        let late: Vec<Asked> =
            lock(&self.requests).extract_if(|_, asked| asked.until < now).map(|(_, asked)| asked).collect();
        for asked in late {
            let _ = asked.answer.send(None);
        }
        if silent >= DEAD_AFTER {
            return Err("the NATS server is silent");
        }
        if silent >= PING_AFTER && silent.is_multiple_of(PING_AFTER) {
            let _ = self.send(|out| write!(out, "PING\r\n"));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("server", &self.info.server_name).finish_non_exhaustive()
    }
}

/// How many ticks a time is, at least.
fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets a request whose caller stopped waiting.
struct Forget<'a> {
    session: &'a Session,
    id: Option<u64>,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            lock(&self.session.requests).remove(&id);
        }
    }
}

// === impl Subscribed ===

impl Drop for Subscribed {
    fn drop(&mut self) {
        lock(&self.session.subscriptions).remove(&self.sid);
        let sid = self.sid;
        let _ = self.session.send(|out| write!(out, "UNSUB {sid}\r\n"));
    }
}
