//! Says something in a channel (dev.twitch.tv/docs/api/reference/#send-chat-message).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chatbus_connector::{Outbound, PermanentReason, Share, Status, Verdict};
use chatbus_event::Clock;
use chatbus_http::hyper::Method;
use serde_json::json;

use super::client::Helix;
pub(crate) use super::pace::Room;
use super::pace::{Due, Pace};
use super::progress::{Progress, Tried, count_unknown, lacks, refused, unanswered};
use super::question::Leave;
use super::users::Users;
use super::verdict::{self, Said};
use crate::irc::text;
use crate::irc::verdict::Refusal;

/// What a token needs for it.
pub(crate) const SCOPE: &str = "user:write:chat";
/// The refusal that is about all of an account's messages.
const TOO_FAST: &str = "msg_ratelimit";
/// How often a message that the platform calls a duplicate is told apart before it waits.
const DUPLICATE_RETRIES: usize = 2;

/// The account's voice in channels.
#[derive(Debug)]
pub(crate) struct Chat {
    helix: Helix,
    users: Users,
    pace: Mutex<Pace>,
    share: Share,
    status: Status,
    clock: Arc<dyn Clock>,
}

/// Who says it, and where, by their ids.
struct Between {
    sender: String,
    broadcaster: Arc<str>,
}

// === impl Chat ===

impl Chat {
    pub(crate) fn new(
        helix: Helix,
        users: Users,
        share: Share,
        paced: bool,
        status: Status,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let pace = Mutex::new(Pace::new(share.clone(), paced));
        Self { helix, users, pace, share, status, clock }
    }

    /// From when on something may be said there; `None` is now.
    pub(crate) fn allowed_from(&self, room: Room<'_>, now: Instant) -> Option<Instant> {
        self.pace().allowed_from(room, now).max(self.helix.quiet_until())
    }

    /// The same as far as it holds by whichever way it is said.
    pub(crate) fn paced_from(&self, room: Room<'_>, now: Instant) -> Option<Instant> {
        self.pace().allowed_from(room, now)
    }

    /// These were said by another way: Twitch counts them together.
    pub(crate) fn said_elsewhere(&self, room: Room<'_>, parts: Vec<String>) {
        let now = self.clock.instant();
        let mut pace = self.pace();
        for part in parts {
            pace.say(room, part.into(), now);
        }
    }

    /// Says all of it.
    pub(crate) async fn send(&self, room: Room<'_>, outbound: &Outbound) -> Tried {
        let parts = text::messages(&outbound.text);
        if parts.is_empty() {
            let why = "nothing of the text can be shown";
            return Tried::Done(refused(PermanentReason::Rejected, "empty_text", why));
        }
        let between = match self.between(room).await {
            Ok(between) => between,
            Err(tried) => return tried,
        };
        let is_own = between.sender == *between.broadcaster;
        let room = Room { is_moderator: room.is_moderator || is_own, ..room };
        let mut progress = Progress::new(parts, outbound.deadline);
        loop {
            if let Some(tried) = self.step(&between, room, outbound, &mut progress).await {
                return tried;
            }
        }
    }

    async fn between(&self, room: Room<'_>) -> Result<Between, Tried> {
        let failed = |error| unanswered(&error, SCOPE, self.clock.instant());
        let who = self.helix.who().await.map_err(failed)?;
        if !who.scopes.is_empty() && !who.scopes.iter().any(|scope| scope == SCOPE) {
            return Err(Tried::NothingSaid(lacks(SCOPE)));
        }
        match self.users.id_of(room.channel).await.map_err(failed)? {
            Some(broadcaster) => Ok(Between { sender: who.user_id, broadcaster }),
            None => {
                let why = "Twitch knows nobody by the channel's name";
                Err(Tried::Done(refused(PermanentReason::Rejected, "unknown_channel", why)))
            }
        }
    }

    /// Says the part that is due, or waits until it may be said. `Some` ends the delivery.
    async fn step(
        &self,
        between: &Between,
        room: Room<'_>,
        outbound: &Outbound,
        progress: &mut Progress,
    ) -> Option<Tried> {
        let clock = &*self.clock;
        let now = clock.instant();
        let Some(part) = progress.due() else {
            self.status.count(|snapshot| snapshot.counters.sent += 1);
            return Some(Tried::Done(Verdict::Delivered { provider_message_id: progress.id.take() }));
        };
        if now >= progress.deadline {
            return Some(Tried::Done(progress.expired()));
        }
        let due = Due { text: part, marks: progress.marks, may_have_been_sent: outbound.may_have_been_sent };
        let (allowed, text) = {
            let pace = self.pace();
            (pace.allowed_from(room, now), pace.due(room, due, now))
        };
        if let Some(at) = allowed {
            return progress.wait_turn(at, clock).await.map(Tried::Done);
        }
        let text = match text {
            Ok(text) => text,
            Err(at) => {
                let why = "said a moment ago, and there is no room to tell it apart";
                return progress.wait_refused(at, "msg_duplicate", why, clock).await.map(Tried::Done);
            }
        };
        let mut body = json!({
            "broadcaster_id": &*between.broadcaster,
            "sender_id": between.sender,
            "message": &*text,
        });
        if let (Some(reply_to), Some(fields)) = (&outbound.reply_to, body.as_object_mut()) {
            fields.insert("reply_parent_message_id".to_owned(), (**reply_to).into());
        }
        self.pace().say(room, text, now);
        let leave = Some(Leave { fence: &outbound.fence, deadline: outbound.deadline });
        match self.helix.call_under(Method::POST, "/chat/messages", &[], Some(body), leave).await {
            Ok(answer) => self.heard(verdict::chat(&answer), room, outbound, progress).await,
            Err(error) => {
                if error.is_unsent() {
                    self.pace().unsay(room);
                }
                progress.unanswered(&error, SCOPE, clock).await
            }
        }
    }

    async fn heard(
        &self,
        said: Said,
        room: Room<'_>,
        outbound: &Outbound,
        progress: &mut Progress,
    ) -> Option<Tried> {
        let now = self.clock.instant();
        let (refusal, code, message) = match said {
            Said::Yes { id } => {
                progress.part_said(id);
                return None;
            }
            Said::Perhaps { code, message } => {
                return Some(Tried::Done(progress.unverified(&code, &message)));
            }
            Said::No { refusal, code, message } => (refusal, code, message),
        };
        if !matches!(refusal, Refusal::Duplicate(_)) {
            self.pace().unsay(room);
        }
        match refusal {
            Refusal::Retry(after) => {
                self.pace().silence(room, now + after, now);
                if code == TOO_FAST {
                    self.share.refused_until(now + after);
                }
                progress.wait_refused(now + after, &code, &message, &*self.clock).await.map(Tried::Done)
            }
            Refusal::Duplicate(_) if outbound.may_have_been_sent => {
                // It is there already: the attempt that had no verdict went out.
                progress.part_said(None);
                None
            }
            Refusal::Duplicate(_) if progress.marks < DUPLICATE_RETRIES => {
                progress.marks += 1;
                None
            }
            Refusal::Duplicate(after) => {
                progress.wait_refused(now + after, &code, &message, &*self.clock).await.map(Tried::Done)
            }
            Refusal::Permanent | Refusal::Unknown => {
                if refusal == Refusal::Unknown {
                    count_unknown(&self.status, &code);
                }
                Some(Tried::Done(progress.refused(&code, &message)))
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
