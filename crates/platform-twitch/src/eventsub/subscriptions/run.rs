//! Makes what is there what is wanted, asking Twitch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::plan::plan;
use super::{Api, Existing, Refusal, Transport, Wanted};

/// A hundred subscriptions a page; Twitch allows 10,000 and more, of which some are not ours.
const MAX_PAGES: usize = 300;
/// How often something is asked again that was asked too soon.
const TRIES: usize = 3;
/// How long whoever was asked too often is left alone at the least, and at the most.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// When everything is looked at again after something could not be asked.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The same after something stood in the way: as long as Twitch takes to find a session dead.
const CONFLICT_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// What became of one thing that is wanted.
#[derive(Debug, Clone)]
pub enum Told {
    /// It is subscribed to.
    Subscribed(Wanted),
    /// It is not, and will not be.
    Refused(Wanted, Refusal),
}

/// What became of all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was tried.
    Done,
    /// Something could not be tried: look again after this. Why, for people.
    Again(Duration, String),
    /// A person has to log in first.
    Reauth(String),
}

/// Subscribes to what is wanted, in its order, and removes what is of no use. `is_fresh` when there cannot be a
/// subscription by this transport yet. Tells what becomes of each; stops when nobody listens.
pub async fn reconcile(
    api: &dyn Api,
    wanted: &[Wanted],
    transport: &Transport,
    dead: &[Arc<str>],
    is_fresh: bool,
    told: &mpsc::Sender<Told>,
) -> Outcome {
    let run = Run { api, wanted, transport, dead, told };
    match run.all(is_fresh).await {
        Ok(()) => Outcome::Done,
        Err(outcome) => outcome,
    }
}

struct Run<'a> {
    api: &'a dyn Api,
    wanted: &'a [Wanted],
    transport: &'a Transport,
    dead: &'a [Arc<str>],
    told: &'a mpsc::Sender<Told>,
}

// === impl Run ===

impl Run<'_> {
    async fn all(&self, is_fresh: bool) -> Result<(), Outcome> {
        let mut conflicts = Vec::new();
        let mut rest = 0;
        if is_fresh && !self.wanted.is_empty() {
            // A session without a subscription is closed after ten seconds, which a list may take.
            self.create(0, &mut conflicts).await?;
            rest = 1;
        }
        let existing = match self.list().await {
            Ok(existing) => existing,
            Err(Refusal::Reauth(why)) => return Err(Outcome::Reauth(why)),
            // Nothing can be there; what is of no use is found another time.
            Err(_) if is_fresh => Vec::new(),
            Err(why) => return Err(again(&why)),
        };
        let plan = plan(self.wanted, &existing, self.transport, self.dead);
        for place in plan.kept.into_iter().filter(|place| *place >= rest) {
            self.tell(place, None).await;
        }
        for id in &plan.remove {
            self.remove(id).await?;
        }
        for place in plan.create.into_iter().filter(|place| *place >= rest) {
            self.create(place, &mut conflicts).await?;
        }
        if conflicts.is_empty() { Ok(()) } else { self.resolve(&conflicts).await }
    }

    /// Finds what stood in the way, and removes what hears nobody. Another's may be one that Twitch has not
    /// found dead yet, so it is looked at again.
    async fn resolve(&self, conflicts: &[usize]) -> Result<(), Outcome> {
        let existing = self.list().await.map_err(|why| again(&why))?;
        let mut left = Vec::new();
        for place in conflicts {
            let Some(wanted) = self.wanted.get(*place) else { continue };
            let mut same = existing.iter().filter(|subscription| subscription.is_of(wanted));
            if same.clone().any(|found| found.is_by(self.transport) && found.is_alive()) {
                self.tell(*place, None).await;
                continue;
            }
            let is_dead = |found: &&Existing| found.is_orphan(self.dead) || !found.is_alive();
            if same.clone().any(|found| !is_dead(&found)) {
                left.push(*place);
                continue;
            }
            if let Some(orphan) = same.find(is_dead) {
                self.remove(&orphan.id).await?;
            }
            self.create(*place, &mut left).await?;
        }
        for place in &left {
            self.tell(*place, Some(Refusal::Conflict)).await;
        }
        let why = || Outcome::Again(CONFLICT_AGAIN_AFTER, Refusal::Conflict.code().to_owned());
        if left.is_empty() { Ok(()) } else { Err(why()) }
    }

    async fn list(&self) -> Result<Vec<Existing>, Refusal> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.patiently(|| self.api.list(after.as_deref())).await?;
            all.extend(page.rows);
            after = page.next.filter(|next| !next.is_empty());
            if after.is_none() {
                break;
            }
        }
        Ok(all)
    }

    async fn create(&self, place: usize, conflicts: &mut Vec<usize>) -> Result<(), Outcome> {
        let Some(wanted) = self.wanted.get(place) else { return Ok(()) };
        match self.patiently(|| self.api.create(wanted, self.transport)).await {
            Ok(()) => self.tell(place, None).await,
            Err(Refusal::Conflict) => conflicts.push(place),
            Err(Refusal::Reauth(why)) => return Err(Outcome::Reauth(why)),
            Err(why @ (Refusal::Unavailable(_) | Refusal::Limited(_))) => return Err(again(&why)),
            Err(why) => self.tell(place, Some(why)).await,
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), Outcome> {
        match self.patiently(|| self.api.delete(id)).await {
            Err(Refusal::Reauth(why)) => Err(Outcome::Reauth(why)),
            // What could not be removed hears nobody and is found another time.
            _ => Ok(()),
        }
    }

    /// Asks again, a few times, when it was too soon.
    async fn patiently<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let mut tries = 1;
        loop {
            match ask().await {
                Err(Refusal::Limited(wait)) if tries < TRIES => {
                    tokio::time::sleep(wait.clamp(WAITS.0, WAITS.1)).await;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn tell(&self, place: usize, refusal: Option<Refusal>) {
        let Some(wanted) = self.wanted.get(place).cloned() else { return };
        let told = match refusal {
            None => Told::Subscribed(wanted),
            Some(refusal) => Told::Refused(wanted, refusal),
        };
        // Nobody listens when the session has ended meanwhile.
        let _ = self.told.send(told).await;
    }
}

fn again(why: &Refusal) -> Outcome {
    match why {
        Refusal::Reauth(why) => Outcome::Reauth(why.clone()),
        Refusal::Limited(wait) => {
            Outcome::Again((*wait).clamp(WAITS.0, WAITS.1), "asked too often".to_owned())
        }
        Refusal::Unavailable(why) | Refusal::Refused(why) | Refusal::MissingScope(why) => {
            Outcome::Again(AGAIN_AFTER, why.clone())
        }
        other => Outcome::Again(AGAIN_AFTER, other.code().to_owned()),
    }
}
