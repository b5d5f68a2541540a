//! The loop around the session and the subscriptions: it moves texts, time and events, and decides nothing.
//!
//! Inputs, in one `select!`: the stop signal, other channels, another token, what becomes of the
//! subscriptions, the sockets, room at the publisher, time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{Account, Credential, CredentialState};
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::board::Board;
use super::frames::{Frame, Subscription};
use super::normalize::{Gap, Normalizer};
use super::session::{Input, Output, Session, Socket};
use super::socket::{self, Door, SocketEvent};
use super::subscriptions::{HelixApi, Outcome, Told};
use super::work::{Progress, Way, Work};
use crate::added::AddedChannels;
use crate::config::EventSubTransport;
use crate::irc::outlet::Outlet;

/// When everything is asked again after something could not be.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// When it is tried again although Twitch refused all of it, or the token.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(300);
/// How often the subscriptions of a webhook are looked at: no session says when one has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// Texts that wait for the loop; the sockets wait then.
const MAX_TEXTS: usize = 256;
/// Sessions that are remembered.
const MAX_SESSIONS: usize = 8;

/// What the client is made from.
pub(crate) struct Client {
    pub(crate) transport: EventSubTransport,
    pub(crate) door: Door,
    /// The address that Twitch calls, of a webhook.
    pub(crate) callback: Option<Arc<str>>,
    pub(crate) api: Arc<HelixApi>,
    pub(crate) bot: Account,
    pub(crate) owner: Account,
    pub(crate) base: Vec<Arc<str>>,
    pub(crate) added: watch::Receiver<AddedChannels>,
    pub(crate) board: Board,
    pub(crate) normalizer: Normalizer,
    pub(crate) outlet: Outlet,
    pub(crate) reconnect_initial: Duration,
    pub(crate) reconnect_max: Duration,
    pub(crate) runtime: Runtime,
}

type Working = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What a running client holds beside its parts.
struct State {
    session: Session,
    sockets: Vec<(Socket, CancellationToken)>,
    events: mpsc::Sender<(Socket, SocketEvent)>,
    working: Option<Running>,
    /// When the subscriptions are looked at next, if nothing else makes us look.
    look_at: Option<Instant>,
    /// The latest sessions, the one that lives included.
    begun: Vec<Arc<str>>,
    /// Whose token we had last.
    user_id: Option<String>,
    outputs: Vec<Output>,
}

/// A look at the subscriptions.
struct Running {
    future: Working,
    progress: mpsc::Receiver<Progress>,
    told: mpsc::Receiver<Told>,
    /// Of which session.
    session: Option<Arc<str>>,
    /// How many are there so far.
    subscribed: usize,
    /// Something changed meanwhile: look again afterwards.
    is_stale: bool,
}

/// What the loop woke up for.
enum Wake {
    Stop,
    Channels,
    Account,
    Progress(Progress),
    Told(Told),
    Worked(Outcome),
    Socket(Socket, SocketEvent),
    Room,
    Time,
}

// === impl Client ===

impl Client {
    pub(crate) async fn run(mut self) {
        let (events, mut texts) = mpsc::channel(MAX_TEXTS);
        let session =
            Session::new(self.reconnect_initial, self.reconnect_max, Arc::clone(&self.runtime.entropy));
        let mut state = State {
            session,
            sockets: Vec::new(),
            events,
            working: None,
            look_at: None,
            begun: Vec::new(),
            user_id: None,
            outputs: Vec::new(),
        };
        let stop = self.runtime.stop.clone();
        let mut account = self.bot.changes();
        // What was added before there was anybody to tell.
        self.added.mark_changed();
        loop {
            let now = self.runtime.clock.instant();
            let due = [state.session.next_deadline(), state.look_at].into_iter().flatten().min();
            if due.is_some_and(|due| due <= now) {
                self.time(&mut state, now);
                self.outlet.flush(now);
                continue;
            }
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => Wake::Stop,
                Ok(()) = self.added.changed() => Wake::Channels,
                Ok(()) = account.changed() => Wake::Account,
                wake = worked(&mut state.working) => wake,
                Some((socket, event)) = texts.recv() => Wake::Socket(socket, event),
                () = self.outlet.room() => Wake::Room,
                () = until(due, now) => Wake::Time,
            };
            match wake {
                Wake::Stop => break,
                Wake::Channels => self.channels_changed(&mut state),
                Wake::Account => self.account_changed(&mut state),
                Wake::Progress(progress) => self.progress(&mut state, progress),
                Wake::Told(told) => self.told(&mut state, told),
                Wake::Worked(outcome) => self.worked(&mut state, outcome),
                Wake::Socket(socket, event) => {
                    self.heard(&mut state, socket, event);
                    // What else is there goes out together with it.
                    for _ in 0..MAX_TEXTS {
                        let Ok((socket, event)) = texts.try_recv() else { break };
                        self.heard(&mut state, socket, event);
                    }
                }
                Wake::Room | Wake::Time => {}
            }
            self.outlet.flush(self.runtime.clock.instant());
        }
        self.end(state, texts).await;
    }

    /// Says goodbye, and takes what was read until then.
    async fn end(mut self, mut state: State, mut texts: mpsc::Receiver<(Socket, SocketEvent)>) {
        state.working = None;
        for (_, goodbye) in state.sockets.drain(..) {
            goodbye.cancel();
        }
        texts.close();
        while let Ok((socket, event)) = texts.try_recv() {
            self.heard(&mut state, socket, event);
        }
        self.board.stopped();
        self.outlet.finish().await;
    }

    fn channels(&self) -> Vec<Arc<str>> {
        let added = self.added.borrow();
        let beside = added.channels.iter().map(|added| &added.name).filter(|name| !self.base.contains(name));
        self.base.iter().chain(beside).cloned().collect()
    }

    fn channels_changed(&mut self, state: &mut State) {
        let added = self.added.borrow_and_update().clone();
        self.board.wanted(&self.base, &added, self.runtime.clock.now());
        self.begin(state);
    }

    fn account_changed(&mut self, state: &mut State) {
        let Credential { user_id, .. } = self.bot.now();
        if let (Some(before), Some(now)) = (&state.user_id, &user_id)
            && before != now
        {
            // Subscriptions are one user's.
            self.feed(state, Input::Wanted(false), None);
        }
        self.begin(state);
    }

    /// Looks whether there is anything to read and a token to read it with, and at the subscriptions.
    fn begin(&mut self, state: &mut State) {
        let credential = self.bot.now();
        let may_ask = credential.token.is_some() && credential.state != CredentialState::NeedsReauth;
        if may_ask {
            self.board.credential(&credential);
        } else {
            self.board.reauth("there is no token: log in first", self.runtime.clock.now());
        }
        let is_wanted = may_ask && !self.channels().is_empty();
        if self.transport == EventSubTransport::Webhook {
            if is_wanted {
                self.look(state, false);
            }
            return;
        }
        let before = state.session.id().map(str::to_owned);
        self.feed(state, Input::Wanted(is_wanted), None);
        if before.is_some() && state.session.id() == before.as_deref() {
            self.look(state, false);
        }
    }

    fn time(&mut self, state: &mut State, now: Instant) {
        if state.look_at.take_if(|at| *at <= now).is_some() {
            self.begin(state);
        }
        self.feed(state, Input::Tick, None);
    }

    /// Begins to make the subscriptions what they should be.
    fn look(&mut self, state: &mut State, is_fresh: bool) {
        if let Some(running) = state.working.as_mut().filter(|_| !is_fresh) {
            running.is_stale = true;
            return;
        }
        let session: Option<Arc<str>> = state.session.id().map(Into::into);
        let way = match (self.transport, &session, &self.callback) {
            (EventSubTransport::WebSocket, Some(id), _) => Way::Session(Arc::clone(id)),
            (EventSubTransport::Conduit, Some(id), _) => Way::Conduit(Arc::clone(id)),
            (EventSubTransport::Webhook, _, Some(callback)) => Way::Webhook(Arc::clone(callback)),
            _ => return,
        };
        state.look_at = None;
        let (progress_sender, progress) = mpsc::channel(16);
        let (told_sender, told) = mpsc::channel(64);
        let work = Work {
            api: Arc::clone(&self.api),
            owner: self.owner.clone(),
            // A conduit keeps its subscriptions whatever session it has.
            is_fresh: is_fresh && matches!(way, Way::Session(_)),
            way,
            channels: self.channels(),
            known: self.board.known().clone(),
            dead: state.dead(),
            progress: progress_sender,
            told: told_sender,
        };
        let future = Box::pin(work.run());
        state.working = Some(Running { future, progress, told, session, subscribed: 0, is_stale: false });
    }

    fn progress(&mut self, state: &mut State, progress: Progress) {
        match progress {
            Progress::Who { user_id, login } => {
                state.user_id = Some(user_id.clone());
                self.normalizer.set_own(Some(user_id.clone()), Some(login.clone()));
                self.board.who(user_id, login);
            }
            Progress::Known(channels) => self.board.resolved(&channels),
            Progress::Nobody(names) => self.board.nobody(&names),
            Progress::Lacks(scopes) => self.board.lacks(&scopes),
        }
    }

    fn told(&mut self, state: &mut State, told: Told) {
        match told {
            Told::Subscribed(wanted) => {
                if let Some(running) = &mut state.working {
                    running.subscribed += 1;
                }
                self.board.subscribed(&wanted);
            }
            Told::Refused(wanted, why) => self.board.refused(&wanted, &why, self.runtime.clock.now()),
        }
    }

    fn worked(&mut self, state: &mut State, outcome: Outcome) {
        let Some(mut running) = state.working.take() else { return };
        while let Ok(progress) = running.progress.try_recv() {
            self.progress(state, progress);
        }
        while let Ok(told) = running.told.try_recv() {
            running.subscribed += usize::from(matches!(told, Told::Subscribed(_)));
            self.told(state, told);
        }
        let now = self.runtime.clock.instant();
        let wall = self.runtime.clock.now();
        let is_webhook = self.transport == EventSubTransport::Webhook;
        match outcome {
            Outcome::Done if running.subscribed == 0 => {
                // A session that is used for nothing would be closed, and made again, for ever.
                self.board.nothing(wall);
                self.feed(state, Input::Wanted(false), None);
                state.look_at = Some(now + REFUSED_AGAIN_AFTER);
            }
            Outcome::Done => {
                if is_webhook {
                    self.board.online();
                    state.look_at = Some(now + LOOK_AGAIN_AFTER);
                } else if let Some(session) = &running.session {
                    self.feed(state, Input::Subscribed(session), None);
                }
            }
            Outcome::Again(after, why) => {
                self.board.trouble("subscriptions_unavailable", why, wall);
                state.look_at = Some(now + after.max(Duration::from_secs(1)));
            }
            Outcome::Reauth(why) => {
                self.board.reauth(&why, wall);
                self.feed(state, Input::Wanted(false), None);
                state.look_at = Some(now + REFUSED_AGAIN_AFTER);
            }
        }
        if running.is_stale {
            self.look(state, false);
        }
    }

    fn heard(&mut self, state: &mut State, socket: Socket, event: SocketEvent) {
        match event {
            SocketEvent::Text(text) => self.text(state, socket, &text),
            SocketEvent::Noise => self.feed(state, Input::Noise(socket), None),
            SocketEvent::Closed(code, why) => {
                state.sockets.retain(|(known, _)| *known != socket);
                self.feed(state, Input::Closed(socket, code, &why), None);
            }
        }
    }

    fn text(&mut self, state: &mut State, socket: Socket, text: &str) {
        let received_at = self.runtime.clock.now();
        match Frame::parse(text) {
            Ok(frame) => {
                self.feed(state, Input::Frame(socket, &frame), Some(&frame));
                if matches!(frame, Frame::Notification(_)) {
                    self.board.received(received_at, self.normalizer.oddities(), self.outlet.dropped());
                }
            }
            Err(why) => {
                let event = self.normalizer.malformed(text, &why, received_at);
                self.outlet.push(event);
                self.feed(state, Input::Noise(socket), None);
                self.board.received(received_at, self.normalizer.oddities(), self.outlet.dropped());
            }
        }
    }

    /// Tells the session, and does what it says.
    fn feed(&mut self, state: &mut State, input: Input<'_>, frame: Option<&Frame<'_>>) {
        let now = self.runtime.clock.instant();
        let mut outputs = std::mem::take(&mut state.outputs);
        state.session.on(input, now, &mut outputs);
        for output in outputs.drain(..) {
            self.act(state, output, frame, now);
        }
        state.outputs = outputs;
    }

    fn act(&mut self, state: &mut State, output: Output, frame: Option<&Frame<'_>>, now: Instant) {
        match output {
            Output::Open(socket, to) => self.open(state, socket, to.as_deref()),
            Output::Close(socket) => {
                if let Some(at) = state.sockets.iter().position(|(known, _)| *known == socket) {
                    state.sockets.swap_remove(at).1.cancel();
                }
            }
            Output::Subscribe(session) => {
                debug!(event = "twitch.eventsub.welcome", platform = "twitch", "a fresh session");
                self.board.left();
                state.remember(session);
                state.working = None;
                self.look(state, true);
            }
            Output::Moved(session) => {
                self.board.moved();
                state.remember(Arc::clone(&session));
                let same = |running: &Running| running.session.as_deref() == Some(&*session);
                if state.working.as_ref().is_some_and(|running| !same(running)) {
                    state.working = None;
                    self.look(state, false);
                }
            }
            Output::Lost => {
                state.working = None;
                self.board.lost();
            }
            Output::Publish => {
                if let Some(Frame::Notification(told)) = frame {
                    let event = self.normalizer.notification(told, self.runtime.clock.now());
                    self.outlet.push(event);
                }
            }
            Output::Revoked => {
                if let Some(Frame::Revocation(gone)) = frame {
                    self.revoked(gone);
                }
            }
            Output::Gap { from, to, reason } => self.gap(state, from, to, reason, now),
            Output::News(news) => self.board.news(news, self.runtime.clock.now()),
        }
    }

    fn open(&mut self, state: &mut State, socket: Socket, to: Option<&str>) {
        let door = match to {
            None => Some(self.door.clone()),
            Some(to) => self.door.moved(to),
        };
        let goodbye = CancellationToken::new();
        let events = state.events.clone();
        state.sockets.push((socket, goodbye.clone()));
        let task = async move {
            match door {
                Some(door) => socket::run(door, socket, events, goodbye).await,
                None => {
                    let why = "the address to move to leads elsewhere".to_owned();
                    let _ = events.send((socket, SocketEvent::Closed(Some(4007), why))).await;
                }
            }
        };
        self.runtime.spawn("twitch.eventsub.socket", task);
    }

    fn gap(&mut self, state: &State, from: Instant, to: Instant, reason: &'static str, now: Instant) {
        let wall = self.runtime.clock.now();
        let at = |moment: Instant| wall.minus(now.saturating_duration_since(moment));
        let gap = Gap { from: at(from), to: at(to), reason, channels: self.board.missed() };
        self.board.gap(&gap);
        let session = state.session.id().unwrap_or_default();
        let event = self.normalizer.gap(&gap, session, wall);
        self.outlet.push(event);
    }

    fn revoked(&mut self, gone: &Subscription<'_>) {
        let now = self.runtime.clock.now();
        if gone.status == "authorization_revoked" {
            // Whoever keeps the token finds out whether there is another.
            self.bot.refused(self.bot.now().generation);
        }
        self.board.revoked(gone, now);
    }
}

// === impl State ===

impl State {
    /// Remembers a session, so that what Twitch still lists of it when it has ended is removed.
    fn remember(&mut self, session: Arc<str>) {
        if !self.begun.contains(&session) {
            if self.begun.len() >= MAX_SESSIONS {
                self.begun.remove(0);
            }
            self.begun.push(session);
        }
    }

    /// The sessions that have ended.
    fn dead(&self) -> Vec<Arc<str>> {
        self.begun.iter().filter(|id| Some(&***id) != self.session.id()).cloned().collect()
    }
}

/// Waits for a look at the subscriptions to come further; for ever when there is none.
async fn worked(working: &mut Option<Running>) -> Wake {
    let Some(Running { future, progress, told, .. }) = working else { return std::future::pending().await };
    tokio::select! {
        biased;
        Some(progress) = progress.recv() => Wake::Progress(progress),
        Some(told) = told.recv() => Wake::Told(told),
        outcome = future => Wake::Worked(outcome),
    }
}

async fn until(due: Option<Instant>, now: Instant) {
    match due {
        Some(due) => tokio::time::sleep(due.saturating_duration_since(now)).await,
        None => std::future::pending().await,
    }
}
