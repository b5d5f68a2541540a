//! What the sockets bring, and what the session makes of it.

use std::sync::Arc;
use std::time::Instant;

use chatbus_runtime::CancellationToken;
use tracing::debug;

use super::{Client, Running, State};
use crate::eventsub::frames::{Frame, Subscription};
use crate::eventsub::normalize::Gap;
use crate::eventsub::session::{Input, Output, Socket};
use crate::eventsub::socket::{self, SocketEvent};

// === impl Client ===

impl Client {
    pub(super) fn heard(&mut self, state: &mut State, socket: Socket, event: SocketEvent) {
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
    pub(super) fn feed(&mut self, state: &mut State, input: Input<'_>, frame: Option<&Frame<'_>>) {
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
