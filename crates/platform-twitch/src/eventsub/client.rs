//! The loop around the session and the subscriptions: it moves texts, time and events, and decides nothing.
//!
//! Inputs, in one `select!`: the stop signal, other channels, another token, what becomes of the
//! subscriptions, the sockets, room at the publisher, time.

mod hearing;
mod looking;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_connector::{Account, Credential, CredentialState};
use chatbus_runtime::{CancellationToken, Runtime};
use tokio::sync::{mpsc, watch};

use super::board::Board;
use super::normalize::Normalizer;
use super::session::{Input, Output, Session, Socket};
use super::socket::{Door, SocketEvent};
use super::subscriptions::{HelixApi, Outcome, Told};
use super::work::Progress;
use crate::added::AddedChannels;
use crate::config::EventSubTransport;
use crate::irc::outlet::Outlet;

/// When everything is asked again after something could not be.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
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
