//! `POST /whispers`: answered 204 whether or not it arrives, as on Twitch.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use chatbus_event::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::caller::Caller;
use crate::twitch_api::TwitchApi;
use crate::twitch_api::answer::{Answer, Problem};
use crate::twitch_api::pairs::{Pairs, object, text};
use crate::twitch_api::shelf::Shelf;
use crate::twitch_irc::{Record, Ring};

const SCOPE: &str = "user:manage:whispers";
/// 3 in a second and 100 in a minute for one account (dev.twitch.tv/docs/api/reference, Send Whisper).
const LIMITS: [(usize, Duration); 2] = [(3, Duration::from_secs(1)), (100, Duration::from_secs(60))];
/// To somebody new so many code points arrive, to others so many; the rest is cut.
const FIRST_CHARS: usize = 500;
const MAX_CHARS: usize = 10_000;
/// Senders and pairs that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// A whisper that was answered 204.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentWhisper {
    /// Counts up from 1.
    pub seq: u64,
    /// When it came.
    pub at: Timestamp,
    /// Its id, as EventSub tells it.
    pub id: String,
    /// Who sent it.
    pub from: String,
    /// To whom.
    pub to: String,
    /// As it arrives: cut where it was too long.
    pub text: String,
    /// Whether it was cut.
    pub cut: bool,
    /// Whether it arrives, or was dropped without a word because a test said so.
    pub delivered: bool,
}

/// Whispers, and the limits on them.
#[derive(Debug)]
pub(in crate::twitch_api) struct Whispers {
    pub(in crate::twitch_api) sent: Ring<SentWhisper>,
    recent: Shelf<VecDeque<Instant>>,
    pairs: Shelf<()>,
    /// They are dropped without a word.
    pub(in crate::twitch_api) dropped: bool,
    /// Whether the limits hold.
    pub(in crate::twitch_api) limited: bool,
}

// === impl Whispers ===

impl Default for Whispers {
    fn default() -> Self {
        Self {
            sent: Ring::default(),
            recent: Shelf::new(MAX_REMEMBERED),
            pairs: Shelf::new(MAX_REMEMBERED),
            dropped: false,
            limited: true,
        }
    }
}

impl Whispers {
    fn admit(&mut self, from: &str, now: Instant) -> bool {
        let mut times = self.recent.remove(from).unwrap_or_default();
        let within = |span| times.iter().filter(|at| now.saturating_duration_since(**at) < span).count();
        let fits = !self.limited || LIMITS.iter().all(|(most, span)| within(*span) < *most);
        if fits && self.limited {
            times.push_back(now);
            if times.len() > LIMITS[1].0 {
                times.pop_front();
            }
        }
        self.recent.put(from, times);
        fits
    }

    fn limit(&mut self, from: &str, to: &str) -> usize {
        let pair = format!("{from} {to}");
        let known = self.pairs.get(&pair).is_some();
        self.pairs.put(&pair, ());
        if known { MAX_CHARS } else { FIRST_CHARS }
    }

    pub(in crate::twitch_api) fn reset(&mut self) {
        self.sent.clear();
        let sent = std::mem::take(&mut self.sent);
        *self = Self { sent, ..Self::default() };
    }
}

impl Record for SentWhisper {
    fn seq(&self) -> u64 {
        self.seq
    }
    fn at(&self) -> Timestamp {
        self.at
    }
    fn bytes(&self) -> usize {
        256 + self.from.len() + self.to.len() + self.text.len()
    }
}

pub(super) async fn send(
    State(api): State<TwitchApi>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    let Some(from) = caller.login.as_deref() else {
        return Err(Problem::new(401, "A user access token is required"));
    };
    if !caller.has_any(&[SCOPE]) {
        return Err(Problem::scope(SCOPE));
    }
    let pairs = Pairs::of(query.as_deref(), &[]);
    let must = |name| pairs.get(name).ok_or_else(|| Problem::missing(name));
    let (from_id, to_id) = (must("from_user_id")?, must("to_user_id")?);
    let fields = object(&body)?;
    let message = text(&fields, "message").ok_or_else(|| Problem::missing("message"))?;
    if caller.user_id().as_deref() != Some(from_id) {
        return Err(Problem::bad("The ID in from_user_id must match the user ID in the user access token"));
    }
    if from_id == to_id {
        return Err(Problem::bad("A user cannot whisper themself"));
    }
    let to = api.login_of(to_id).ok_or(Problem::new(404, "The ID in to_user_id was not found"))?;
    let now = api.core.moment();
    let mut world = api.core.lock();
    if !world.whispers.admit(from, now.mono) {
        return Err(Problem::new(429, "The sending user exceeded the number of whispers that they may make"));
    }
    let limit = world.whispers.limit(from, &to);
    let cut: String = message.chars().take(limit).collect();
    let whisper = SentWhisper {
        seq: 0,
        at: now.wall,
        id: world.entropy.uuid().to_string(),
        from: from.to_owned(),
        to,
        cut: cut.len() < message.len(),
        text: cut,
        delivered: !world.whispers.dropped,
    };
    world.whispers.sent.add(|seq| SentWhisper { seq, ..whisper.clone() });
    if whisper.delivered {
        let event = json!({
            "from_user_id": from_id,
            "from_user_login": from,
            "from_user_name": world.people.shown(from),
            "to_user_id": to_id,
            "to_user_login": whisper.to,
            "to_user_name": world.people.shown(&whisper.to),
            "whisper_id": whisper.id,
            "whisper": { "text": whisper.text },
        });
        world.hub.emit("user.whisper.message", None, &event, None, now);
    }
    drop(world);
    api.core.changed();
    Ok(StatusCode::NO_CONTENT.into_response())
}
