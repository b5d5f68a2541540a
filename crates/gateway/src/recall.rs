//! What a client missed, whichever instances sent it: asks every gateway that served the user of late, and
//! merges what they hold.
//!
//! A client names a place: the last frame it has of one life of one instance. That instance says what it
//! sent after the place, and since when the user was not with it: only then can others have sent what it
//! did not. The others say what they sent since that moment. Moments are told as ages, which each measures
//! on its own monotonic clock. Whoever is gone, does not answer in time, or has given up what was asked
//! for, makes the answer [`Recall::Gone`]: it is whole, or it is none.

mod answering;
mod merge;
mod wire;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatbus_runtime::Runtime;
use chatbus_state::{Expected, Key, Space, State, StateError, Trace};
use futures::future::join_all;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::history::{After, Mark};
use crate::presence::{Lives, PresenceValue};
use crate::session::Identity;
use crate::users::{REMEMBERED_FOR, Users};
pub(crate) use answering::Answering;
use merge::{Sent, merge};
use wire::{Answer, Kept, Question, Wanted};

/// What came after a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recall {
    /// All of it, in order.
    Frames(Vec<Bytes>),
    /// Some of it is gone, or nobody knows.
    Gone,
}

/// Asks.
pub(crate) struct Recaller {
    users: Arc<Users>,
    identity: Arc<Identity>,
    state: Arc<dyn State>,
    lives: Lives,
    runtime: Runtime,
    /// Since when this life is.
    born: Instant,
    asking: Semaphore,
}

/// What another instance answered, on this one's clock.
struct Heard {
    frames: Vec<Sent>,
    known: Vec<Arc<str>>,
    gap: Option<Instant>,
}

/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(1);
/// Resumes that ask others at once; more wait, within the same time.
const MAX_ASKING: usize = 64;
/// Lives of gateways that are asked about one user; a user of more is not answered.
const MAX_LIVES: usize = 32;
/// An answer is looked for after this, and then after twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(3);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

// === impl Recaller ===

impl Recaller {
    pub(crate) fn new(
        users: Arc<Users>,
        identity: Arc<Identity>,
        state: Arc<dyn State>,
        lives: Lives,
        runtime: Runtime,
    ) -> Self {
        let (born, asking) = (runtime.clock.instant(), Semaphore::new(MAX_ASKING));
        Self { users, identity, state, lives, runtime, born, asking }
    }

    /// What the user was sent after a place, by whoever served the user, each delivery once. What this
    /// instance sent after `until` is left out: the new connection got it itself. Answers within a second.
    pub(crate) async fn after(&self, user: &str, mark: &Mark, until: u64) -> Recall {
        let began = self.now();
        match self.gather(user, mark, until, began).await {
            Ok(frames) => Recall::Frames(frames),
            Err(why) => {
                debug!(event = "gateway.not_recovered", reason = %why, "what was missed is not known whole");
                Recall::Gone
            }
        }
    }

    async fn gather(
        &self,
        user: &str,
        mark: &Mark,
        until: u64,
        began: Instant,
    ) -> Result<Vec<Bytes>, &'static str> {
        let deadline = began + WITHIN;
        let all = tokio::time::timeout_at(deadline.into(), self.others(user)).await;
        let Ok(Ok(mut others)) = all else { return Err("who served the user cannot be read") };
        let is_own = mark.epoch == self.identity.epoch;
        let named = if is_own {
            self.users.after(user, mark.seq).map(Heard::own)
        } else {
            let life = others.iter().find(|life| life.epoch == mark.epoch).cloned();
            let life = life.ok_or("nobody knows this epoch")?;
            others.remove(&life);
            self.ask(&life, user, Wanted::After(mark.seq), deadline).await
        };
        let named = named.ok_or("the place is gone")?;
        let since = named.gap.unwrap_or(began);
        if self.now().saturating_duration_since(since) > REMEMBERED_FOR {
            return Err("the user was away for too long");
        }
        if since >= self.born {
            others.retain(|life| life.instance != self.identity.instance);
        }
        if others.len() > MAX_LIVES {
            return Err("too many served the user");
        }
        let asked = others.iter().map(|life| self.ask(life, user, Wanted::Since(since), deadline));
        let heard: Option<Vec<Heard>> = join_all(asked).await.into_iter().collect();
        let heard = heard.ok_or("one that served the user is gone")?;
        let mut frames = named.frames;
        let mut lists: Vec<Vec<Sent>> = heard.into_iter().map(|heard| heard.frames).collect();
        if is_own {
            frames.retain(|sent| sent.seq <= until);
            if lists.iter().all(Vec::is_empty) {
                self.users.close_gaps(user, since, began);
            }
        } else {
            let own = self.users.since(user, since).ok_or("it is given up here")?;
            lists.push(own.into_iter().filter(|sent| sent.seq <= until).map(Sent::from).collect());
        }
        lists.insert(0, frames);
        // Last, so that what came meanwhile is counted among what the connection got itself.
        let live = self.users.after(user, until).map(|after| after.frames).unwrap_or_default();
        let live = live.into_iter().map(|frame| frame.delivery_id);
        let skip: HashSet<Arc<str>> = named.known.into_iter().chain(live).collect();
        merge(lists, &skip).ok_or("it is more than a connection takes at once")
    }

    /// A user that came back: when nobody else can have sent it anything meanwhile, places of before are as
    /// good as those of now.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) async fn settle(&self, user: &str) -> Result<(), StateError> {
        let now = self.now();
        if self.users.first_gap(user).is_none() {
            return Ok(());
        }
        let others = self.others(user).await?;
        if others.iter().all(|life| life.instance == self.identity.instance) {
            // Of a gap that began longer ago, traces are gone.
            let from = now.checked_sub(REMEMBERED_FOR).unwrap_or(self.born).max(self.born);
            self.users.close_gaps(user, from, now);
        }
        Ok(())
    }

    /// Who else serves the user, or did of late. Presence first: it goes once the trace is there.
    async fn others(&self, user: &str) -> Result<BTreeSet<Trace>, StateError> {
        let Ok(prefix) = Key::parse(&Key::hex(user)) else { return Ok(BTreeSet::new()) };
        let present = self.state.list(Space::Presence, Some(&prefix)).await?;
        let present = present.into_iter().filter_map(|(key, entry)| {
            let PresenceValue { epoch, .. } = serde_json::from_slice(&entry.value).ok()?;
            Some(Trace { instance: key.parts().nth(1)?.to_owned(), epoch })
        });
        let left = Trace::of(&*self.state, user).await?;
        let all = present.chain(left);
        Ok(all.filter(|life| life.epoch != self.identity.epoch).collect())
    }

    /// What another instance says; `None` when it does not say it in time, or not whole.
    async fn ask(
        &self,
        life: &Trace,
        user: &str,
        wanted: Wanted<Instant>,
        deadline: Instant,
    ) -> Option<Heard> {
        if !(self.lives)(&life.instance, &life.epoch) {
            return None;
        }
        let id = self.runtime.entropy.uuid().simple().to_string();
        let key = Key::parse(&format!("{}.{id}", life.instance)).ok()?;
        let asking = async {
            let _turn = self.asking.acquire().await.ok()?;
            let asked_at = self.now();
            let wanted = wanted.told_at(asked_at);
            let question = Question { epoch: life.epoch.clone(), user: user.to_owned(), wanted };
            self.state.put(Space::Questions, &key, question.encode(), Expected::Absent).await.ok()?;
            let pages = self.pages(&id).await?;
            Some((asked_at, pages))
        };
        let answered = tokio::time::timeout_at(deadline.into(), asking).await.ok().flatten();
        let heard_at = self.now();
        let pages = answered.as_ref().map_or(0, |(_, pages)| pages.len());
        let (state, tidy) = (Arc::clone(&self.state), wire::keys(&id, pages));
        // In time or not, nothing of it is left; what cannot be removed goes by itself.
        self.runtime.spawn("gateway.recall_tidy", async move {
            if pages == 0 {
                let _ = state.remove(Space::Questions, &key, Expected::Anything).await;
            }
            for key in tidy {
                let _ = state.remove(Space::Answers, &key, Expected::Anything).await;
            }
        });
        let (asked_at, pages) = answered?;
        Heard::of(wire::join(&pages)?, wanted, asked_at, heard_at)
    }

    /// The pages of an answer, once the first is there: it is written last.
    async fn pages(&self, id: &str) -> Option<Vec<Bytes>> {
        let mut wait = FIRST_LOOK;
        let first = loop {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_LOOK);
            let key = wire::keys(id, 1).pop()?;
            if let Some(entry) = self.state.get(Space::Answers, &key).await.ok()? {
                break entry.value;
            }
        };
        let mut pages = vec![first];
        for key in wire::keys(id, wire::pages(&pages[0])?).iter().skip(1) {
            pages.push(self.state.get(Space::Answers, key).await.ok()??.value);
        }
        Some(pages)
    }

    fn now(&self) -> Instant {
        self.runtime.clock.instant()
    }
}

// === impl Heard ===

impl Heard {
    /// An answer from between these two moments. What may have been sent in time counts as sent in time, and
    /// a gap as having begun as early as it can have.
    fn of(answer: Answer, wanted: Wanted<Instant>, asked_at: Instant, heard_at: Instant) -> Option<Self> {
        let Answer::Held { frames, known, gap } = answer else { return None };
        let gap = match gap {
            Some(age) => Some(asked_at.checked_sub(age)?),
            None => None,
        };
        let mut sent = Vec::with_capacity(frames.len());
        for Kept { seq, delivery_id, age, frame } in frames {
            let latest = heard_at.checked_sub(age)?;
            if matches!(wanted, Wanted::Since(then) if latest < then) {
                continue;
            }
            // Most of the time an answer takes it has been there and was not looked for.
            sent.push(Sent { seq, delivery_id, at: asked_at.checked_sub(age)?, frame });
        }
        Some(Self { frames: sent, known, gap })
    }

    fn own(after: After) -> Self {
        let After { frames, known, gap } = after;
        Self { frames: frames.into_iter().map(Sent::from).collect(), known, gap }
    }
}
