//! Viewers speak: one message or many, at a rate.

use std::collections::BTreeMap;

use chatbus_event::Timestamp;
use serde::Serialize;

use super::pace::Pace;
use super::speak::ViewerLine;
use super::{BadRequest, TwitchIrc, names};

/// Messages of one call.
pub const MAX_SAY_COUNT: u64 = 100_000;
/// After so many messages the readers are given time.
const BATCH: u64 = 64;
/// Queued bytes of a connection that are waited for.
const LOW_WATER: usize = 256 * 1024;

/// What a viewer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Say {
    /// The channel, with or without `#`.
    pub channel: String,
    /// Who speaks; needs no connection and is above the rules.
    pub login: String,
    /// The text; `{n}` becomes the message's number from 1. No line ends.
    pub text: String,
    /// Tags to set, or with `None` to leave out.
    pub tags: BTreeMap<String, Option<String>>,
    /// How often, 1 to 100,000.
    pub count: u64,
    /// Messages in a second; `None` is at once.
    pub rate: Option<f64>,
}

/// A message of a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Said {
    /// Its id, as in the `id` tag.
    pub id: String,
    /// When it was said.
    pub at: Timestamp,
    /// How many connections it was queued for.
    pub told: usize,
}

// === impl Say ===

impl Say {
    /// One message without tags of its own.
    pub fn new(channel: &str, login: &str, text: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            login: login.to_owned(),
            text: text.to_owned(),
            count: 1,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(String, String), BadRequest> {
        let channel = names::login(&self.channel).ok_or(BadRequest::new("channel", "is no channel name"))?;
        let login = names::login(&self.login).ok_or(BadRequest::new("login", "is no login"))?;
        if self.text.contains(['\r', '\n', '\0']) {
            return Err(BadRequest::new("text", "holds a line end or NUL; send such bytes with raw"));
        }
        if !(1..=MAX_SAY_COUNT).contains(&self.count) {
            return Err(BadRequest::new("count", "is not 1 to 100000"));
        }
        let valid = |key: &str| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_+/.".contains(&b))
        };
        if let Some(key) = self.tags.keys().find(|key| !valid(key)) {
            return Err(BadRequest::new("tags", &format!("{key:?} is no tag name")));
        }
        Ok((channel, login))
    }
}

// === impl TwitchIrc ===

impl TwitchIrc {
    /// A viewer speaks. Returns when the last message is queued for everybody in the channel.
    ///
    /// # Errors
    /// When the request makes no sense; names the field.
    pub async fn say(&self, say: &Say) -> Result<Vec<Said>, BadRequest> {
        let (channel, login) = say.check()?;
        let clock = &*self.shared.runtime.clock;
        let pace = Pace::new(say.rate, clock);
        let mut said = Vec::new();
        let mut done = 0;
        while done < say.count && !self.shared.stop.is_cancelled() {
            let now_many = pace.next(done, BATCH.min(say.count - done), clock).await;
            {
                let mut world = self.shared.lock();
                let now = self.shared.moment();
                for n in done..done + now_many {
                    let text = say.text.replace("{n}", &(n + 1).to_string());
                    let line = ViewerLine { login: &login, channel: &channel, text: &text, tags: &say.tags };
                    let (id, told) = world.say(&line, now);
                    said.push(Said { id, at: now.wall, told });
                }
            }
            done += now_many;
            for outbox in self.shared.outboxes_of(&channel) {
                outbox.down_to(LOW_WATER).await;
            }
            self.others_caught_up().await;
        }
        Ok(said)
    }
}
