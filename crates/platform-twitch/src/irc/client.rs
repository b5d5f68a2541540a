//! The loop around the session: it moves bytes, time and events, and decides nothing.
//!
//! Inputs, in one `select!`: the stop and drain signals, the account, the connection being made, the
//! connection itself (lines, finished writes, its end), the one before it while it still reads, requests of
//! the sink, room at the publisher, time.

mod reading;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chatbus_connector::{Account, Credential, Share, Status, Verdict};
use chatbus_runtime::{CancellationToken, Runtime};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::debug;

use super::auth::Auth;
use super::lines::LineBuffer;
use super::link::{Link, LinkEvent, Report};
use super::news;
use super::outgoing::Ticket;
use super::outlet::Outlet;
use super::session::{Gap, Input, News, Output, Say, Session};
use super::transport::{self, Endpoint, Reader, Writer};
use crate::added::AddedChannels;
use crate::normalize::Normalizer;

/// A send on its way to the session, and where its verdict goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) say: Say,
    pub(crate) verdict: oneshot::Sender<Verdict>,
}

/// Requests that are taken in one turn, at most: there is a turn's work to share, and the connection
/// must not wait long for it.
const REQUEST_BATCH: usize = 64;

type Connecting = Pin<Box<dyn Future<Output = io::Result<(Reader, Writer)>> + Send>>;

/// See the module.
pub(crate) struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) account: Account,
    /// Tells what becomes of the account's token.
    pub(crate) credentials: watch::Receiver<Credential>,
    pub(crate) auth: Auth,
    pub(crate) session: Arc<Mutex<Session>>,
    pub(crate) normalizer: Normalizer,
    pub(crate) status: Status,
    /// What everybody sees, where what is said is counted; the same unless IRC only speaks.
    pub(crate) public: Status,
    /// Changed whenever something may have become sayable.
    pub(crate) changes: watch::Sender<u64>,
    /// The configured channels.
    pub(crate) base: Vec<Arc<str>>,
    /// Those beside them.
    pub(crate) added: watch::Receiver<AddedChannels>,
    pub(crate) share: Share,
    pub(crate) runtime: Runtime,
    pub(crate) outlet: Outlet,
}

/// What a running client holds beside its parts.
#[derive(Default)]
struct State {
    connecting: Option<Connecting>,
    link: Option<Link>,
    lines: LineBuffer,
    former: Option<FormerLink>,
    /// Lines that were cut by connections that have ended.
    cut_before: u64,
    waiting: HashMap<Ticket, oneshot::Sender<Verdict>, foldhash::quality::RandomState>,
    /// Taken and not dealt with yet; empty between two turns.
    requests: Vec<Request>,
    /// The same of what became of frames.
    reports: Vec<Report>,
    /// Verdicts of this turn, and who waits for them.
    verdicts: Vec<(oneshot::Sender<Verdict>, Verdict)>,
    alarm: Option<Alarm>,
    /// Something may have become sayable in this turn.
    is_changed: bool,
    /// Nothing new is read any more; verdicts still are.
    stopping: bool,
    outputs: Vec<Output>,
    tally: Tally,
}

/// The connection before the newest one, while it still reads.
struct FormerLink {
    link: Link,
    lines: LineBuffer,
}

/// Counted over one turn, written to the status at its end.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    sent: u64,
}

/// A timer that goes off at a deadline, or before it. Setting one costs much more than a deadline that
/// moves away and comes back, as it does with every message.
struct Alarm {
    at: Instant,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

type Signal<'a> = dyn Future<Output = ()> + Send + 'a;

/// The signals to end, as they are waited for: through all turns, since to begin waiting costs.
struct Signals<'a> {
    drained: Pin<&'a mut Signal<'a>>,
    stop: Pin<&'a mut Signal<'a>>,
}

/// What the loop woke up for.
enum Wake {
    Drained,
    Stop,
    Channels,
    Credential,
    Made(io::Result<(Reader, Writer)>),
    Link(LinkEvent),
    Former(LinkEvent),
    Requests,
    Room,
    Time,
}

// === impl Client ===

impl Client {
    pub(crate) async fn run(mut self, requests: &mut mpsc::Receiver<Request>, drained: CancellationToken) {
        let mut state = State::default();
        let stop = self.runtime.stop.clone();
        let mut signals = Signals { drained: pin!(drained.cancelled()), stop: pin!(stop.cancelled()) };
        // What was added before there was anybody to tell.
        self.added.mark_changed();
        loop {
            let now = self.runtime.clock.instant();
            let due = self.lock().next_deadline();
            let due = due.into_iter().chain(self.outlet.reads_again().filter(|at| *at > now)).min();
            if due.is_some_and(|due| due <= now) {
                // Ahead of everything else: a flood of lines must not stop the clock.
                self.feed(&mut state, Input::Tick);
                self.settle(&mut state);
                continue;
            }
            match self.wake(&mut state, requests, &mut signals, due, now).await {
                Wake::Drained => break,
                Wake::Stop => state.stopping = true,
                Wake::Channels => self.channels_changed(&mut state),
                Wake::Credential => self.credential_changed(&mut state),
                Wake::Made(Ok((reader, writer))) => {
                    state.link = Some(Link::new(reader, writer, Arc::clone(&self.runtime.clock)));
                    state.lines.clear();
                    self.feed(&mut state, Input::Connected);
                }
                Wake::Made(Err(error)) => self.feed(&mut state, Input::Closed(&error.to_string())),
                Wake::Link(event) => self.linked(&mut state, event),
                Wake::Former(event) => self.former_linked(&mut state, &event),
                Wake::Requests => {
                    self.requested(&mut state);
                    // What else is about to be said goes into the same write: a system call costs as
                    // much as deciding on a few messages.
                    tokio::task::yield_now().await;
                }
                Wake::Room => {}
                // The next turn looks whether a tick is due.
                Wake::Time => {}
            }
            self.settle(&mut state);
        }
        self.end(state, requests).await;
    }

    /// Says goodbye, and leaves nobody without an answer.
    async fn end(mut self, mut state: State, requests: &mut mpsc::Receiver<Request>) {
        if let Some(link) = state.link.take() {
            link.close().await;
        }
        state.former = None;
        self.feed(&mut state, Input::Stopped);
        // Whoever waits should see that there is no connection any more.
        state.is_changed = true;
        self.settle(&mut state);
        requests.close();
        while let Ok(request) = requests.try_recv() {
            let _ = request.verdict.send(Verdict::NotNow);
        }
        news::stopped(&self.status);
        self.outlet.finish().await;
    }

    async fn wake(
        &mut self,
        state: &mut State,
        requests: &mut mpsc::Receiver<Request>,
        signals: &mut Signals<'_>,
        due: Option<Instant>,
        now: Instant,
    ) -> Wake {
        let may_read = self.outlet.may_read(now);
        let State { connecting, link, lines, former, stopping, requests: taken, reports, alarm, .. } = state;
        tokio::select! {
            biased;
            () = signals.drained.as_mut() => Wake::Drained,
            () = signals.stop.as_mut(), if !*stopping => Wake::Stop,
            Ok(()) = self.added.changed(), if !*stopping => Wake::Channels,
            // An account that nobody keeps stays as it is.
            Ok(()) = self.credentials.changed(), if !*stopping => Wake::Credential,
            made = made(connecting) => Wake::Made(made),
            1.. = requests.recv_many(taken, REQUEST_BATCH) => Wake::Requests,
            event = event(link, lines, reports, may_read) => Wake::Link(event),
            event = former_event(former, may_read) => Wake::Former(event),
            () = self.outlet.room() => Wake::Room,
            () = until(alarm, due, now) => Wake::Time,
        }
    }

    /// Other channels are wanted than before.
    fn channels_changed(&mut self, state: &mut State) {
        let added = self.added.borrow_and_update().clone();
        self.feed(state, Input::Added(&added.channels));
        news::wanted(&self.status, &self.base, &added, self.runtime.clock.now());
        // A channel that nobody served may be one of ours now.
        state.is_changed = true;
    }

    /// More is known of the account, or something else.
    fn credential_changed(&mut self, state: &mut State) {
        let credential = self.credentials.borrow_and_update().clone();
        self.normalizer.set_own_login(credential.login.as_deref());
        self.feed(state, Input::Credential(credential));
        self.show_auth();
    }

    fn show_auth(&self) {
        let shown = self.auth.shown(&self.credentials.borrow());
        news::auth(&self.status, shown);
    }

    /// What was said in a stretch of time was not read: that is an event.
    fn gap(&mut self, state: &mut State, gap: &Gap) {
        news::gap(gap);
        if state.stopping {
            return;
        }
        let (now, moment) = (self.runtime.clock.now(), self.runtime.clock.instant());
        let wall = |at: Instant| now.minus(moment.saturating_duration_since(at));
        let event = self.normalizer.gap(wall(gap.from), wall(gap.to), gap.reason, &gap.channels, now);
        self.outlet.push(event);
        state.tally.events += 1;
    }

    /// Takes in what was asked for, in its order.
    fn requested(&mut self, state: &mut State) {
        let mut requests = std::mem::take(&mut state.requests);
        for Request { say, verdict } in requests.drain(..) {
            state.waiting.insert(say.ticket, verdict);
            self.feed(state, Input::Say(say));
        }
        state.requests = requests;
    }

    fn linked(&mut self, state: &mut State, event: LinkEvent) {
        let mut reports = std::mem::take(&mut state.reports);
        for report in reports.drain(..) {
            self.report(state, report);
        }
        state.reports = reports;
        match event {
            LinkEvent::Read => self.read(state),
            LinkEvent::Reported => {}
            LinkEvent::Ended(why) => self.ended(state, &why),
        }
    }

    fn former_linked(&mut self, state: &mut State, event: &LinkEvent) {
        match event {
            LinkEvent::Read => self.read_former(state),
            LinkEvent::Reported => {}
            LinkEvent::Ended(_) => {
                state.end_former();
                self.feed(state, Input::FormerClosed);
            }
        }
    }

    fn report(&mut self, state: &mut State, report: Report) {
        self.feed(
            state,
            match report {
                Report::Written(ticket) => Input::Written(ticket),
                Report::Withheld(ticket) => Input::Withheld(ticket),
            },
        );
    }

    fn ended(&mut self, state: &mut State, why: &str) {
        if let Some(link) = state.link.take() {
            for report in link.abandon() {
                self.report(state, report);
            }
        }
        self.feed(state, Input::Closed(why));
    }

    /// Tells the session, and does what it says.
    fn feed(&mut self, state: &mut State, input: Input<'_>) {
        let now = self.runtime.clock.instant();
        let mut outputs = std::mem::take(&mut state.outputs);
        self.lock().on(input, now, &mut outputs);
        for output in outputs.drain(..) {
            self.act(state, output);
        }
        state.outputs = outputs;
    }

    fn act(&mut self, state: &mut State, output: Output) {
        match output {
            Output::Close => {
                state.link = None;
                state.connecting = None;
            }
            Output::StepDown => {
                let lines = std::mem::take(&mut state.lines);
                state.former = state.link.take().map(|link| FormerLink { link, lines });
            }
            Output::WriteFormer(frame) => {
                // What it does not take, it would not take in time.
                let _ = state.former.as_ref().map(|former| former.link.write(frame));
            }
            Output::CloseFormer => state.end_former(),
            Output::TokenRefused(generation) => {
                self.account.refused(generation);
                self.auth.refused(generation);
                self.show_auth();
            }
            Output::Gap(gap) => self.gap(state, &gap),
            Output::Connect => {
                let (endpoint, tls) = (self.endpoint.clone(), Arc::clone(&self.tls));
                state.connecting = Some(Box::pin(async move { transport::connect(&endpoint, tls).await }));
            }
            Output::Write(frame) => {
                let ticket = frame.ticket;
                let refused = state.link.as_ref().is_none_or(|link| link.write(frame).is_err());
                if let Some(ticket) = ticket.filter(|_| refused) {
                    let mut outputs = Vec::new();
                    let now = self.runtime.clock.instant();
                    self.lock().on(Input::Withheld(ticket), now, &mut outputs);
                    for output in outputs {
                        self.act(state, output);
                    }
                }
            }
            Output::Verdict(ticket, verdict) => {
                debug!(event = "twitch.irc.verdict", platform = "twitch", outcome = ?verdict, "verdict");
                if let Some(waiting) = state.waiting.remove(&ticket) {
                    state.verdicts.push((waiting, verdict));
                }
                state.is_changed = true;
            }
            Output::News(news) => {
                if let News::TooFast(until) = news {
                    self.share.refused_until(until);
                }
                state.is_changed |= matches!(
                    news,
                    News::State(_) | News::Joined(_) | News::Allowance | News::LoggedIn { .. }
                );
                if let News::LoggedIn { user_id } = &news {
                    let nick = self.lock().nick().to_owned();
                    self.auth.logged_in(&nick, user_id.clone());
                    self.show_auth();
                }
                let status = if news.is_of_speaking() { &self.public } else { &self.status };
                news::report(status, news, self.runtime.clock.now());
            }
            // These need the line they belong to, which only reading has.
            Output::Publish | Output::PublishOwn(_) => {}
        }
    }

    /// Tells those who wait to say something that they may look again.
    fn announce(&self, state: &mut State) {
        if std::mem::take(&mut state.is_changed) {
            self.changes.send_modify(|version| *version = version.wrapping_add(1));
        }
    }

    /// Ends a turn: hands over events, writes down what was counted, and then gives the verdicts, so that
    /// whoever has one finds it counted.
    fn settle(&mut self, state: &mut State) {
        self.outlet.flush(self.runtime.clock.instant());
        self.write_down(state);
        for (waiting, verdict) in state.verdicts.drain(..) {
            // Nobody listens any more when the send was given up.
            let _ = waiting.send(verdict);
        }
        self.announce(state);
    }

    /// Writes down what was counted in this turn.
    fn write_down(&self, state: &mut State) {
        let Tally { events, sent } = std::mem::take(&mut state.tally);
        if events == 0 && sent == 0 {
            return;
        }
        if sent > 0 {
            self.public.count(|snapshot| snapshot.counters.sent += sent);
        }
        let former_cut = state.former.as_ref().map_or(0, |former| former.lines.cut());
        let cut = state.lines.cut() + former_cut + state.cut_before;
        let (oddities, dropped) = (self.normalizer.oddities(), self.outlet.dropped());
        let now = self.runtime.clock.now();
        self.status.count(|snapshot| {
            let counters = &mut snapshot.counters;
            counters.received += events;
            for (name, count) in [
                ("malformedLines", oddities.malformed),
                ("notUtf8Lines", oddities.not_utf8),
                ("unknownCommands", oddities.unknown_commands),
                ("badEmotes", oddities.bad_emotes),
                ("cutLines", cut),
                ("droppedForRoom", dropped),
            ] {
                match counters.other.get_mut(name) {
                    Some(known) => *known = count,
                    None if count > 0 => drop(counters.other.insert(name.to_owned(), count)),
                    None => {}
                }
            }
            if events > 0 {
                snapshot.last_message_at = Some(now);
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }
}

// === impl State ===

impl State {
    fn end_former(&mut self) {
        if let Some(former) = self.former.take() {
            self.cut_before += former.lines.cut();
        }
    }
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn made(connecting: &mut Option<Connecting>) -> io::Result<(Reader, Writer)> {
    let Some(making) = connecting else { return std::future::pending().await };
    let made = making.await;
    *connecting = None;
    made
}

async fn event(
    link: &mut Option<Link>,
    lines: &mut LineBuffer,
    reports: &mut Vec<Report>,
    may_read: bool,
) -> LinkEvent {
    match link {
        Some(link) => link.next(lines, reports, may_read).await,
        None => std::future::pending().await,
    }
}

async fn former_event(former: &mut Option<FormerLink>, may_read: bool) -> LinkEvent {
    match former {
        // What it writes has no tickets.
        Some(former) => former.link.next(&mut former.lines, &mut Vec::new(), may_read).await,
        None => std::future::pending().await,
    }
}

/// Waits until `due` or less long, as the alarm is set.
async fn until(alarm: &mut Option<Alarm>, due: Option<Instant>, now: Instant) {
    let Some(due) = due else { return std::future::pending().await };
    let new = || Alarm { at: due, sleep: Box::pin(tokio::time::sleep(due.saturating_duration_since(now))) };
    if alarm.as_ref().is_some_and(|alarm| alarm.at > due) {
        *alarm = None;
    }
    alarm.get_or_insert_with(new).sleep.as_mut().await;
    *alarm = None;
}
