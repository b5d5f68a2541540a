//! Looking at the subscriptions, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Client, Running, State};
use crate::config::EventSubTransport;
use crate::eventsub::session::Input;
use crate::eventsub::subscriptions::{Outcome, Told};
use crate::eventsub::work::{Progress, Way, Work};

/// When it is tried again although Twitch refused all of it, or the token.
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(300);
/// How often the subscriptions of a webhook are looked at: no session says when one has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);

// === impl Client ===

impl Client {
    /// Begins to make the subscriptions what they should be.
    pub(super) fn look(&mut self, state: &mut State, is_fresh: bool) {
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

    pub(super) fn progress(&mut self, state: &mut State, progress: Progress) {
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

    pub(super) fn told(&mut self, state: &mut State, told: Told) {
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

    pub(super) fn worked(&mut self, state: &mut State, outcome: Outcome) {
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
}
