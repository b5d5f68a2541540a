//! Deliveries that more than one instance has to do with: who decides how they end.
//!
//! The straight way needs no ledger: one instance sends, publishes the outcome and acknowledges, and a
//! redelivery finds that outcome. The ledger is for when that instance's lease was lost in between. Then
//! whoever writes first decides: the one that takes the delivery over, or the one that wakes up with a
//! verdict in its hands.
//!
//! It is also for what goes to several gateways because a user is connected to several: each of these
//! **legs** says how it went, the first success is the outcome, and only when every leg came to nothing is
//! there none.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_event::{ErrorInfo, Reason, sha256_hex};
use chatbus_runtime::{Backoff, Runtime};
use chatbus_state::{Expected, Key, Space, State};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::decide::Ending;

/// Who decides. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    state: Arc<dyn State>,
    runtime: Runtime,
    me: Arc<str>,
}

/// What stands in the ledger of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
enum Line {
    /// It was taken over, and goes on elsewhere.
    Claimed {
        by: String,
        /// How often it had been taken over before. A claim says nothing of what came after it.
        #[serde(default)]
        taken: u32,
    },
    /// It ended, as the instance found that had sent it.
    Done { by: String, ending: Told },
    /// It went to several instances.
    Legs { legs: BTreeMap<String, Leg>, ended: Option<Ended> },
}

/// How one of several went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Leg {
    /// Not known yet.
    Open,
    /// It was tried, and failed.
    Failed,
    /// It was not tried: the user had left.
    Left,
}

/// How a delivery with legs ended, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ended {
    by: String,
    ending: Told,
}

/// What follows from how a leg went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LegSays {
    /// It decides: this is the outcome, and it is this leg's to publish.
    Publish(Ending),
    /// Another decides, or did.
    Silent,
    /// None of the legs came to anything, and nothing was tried that may have worked: it begins anew.
    Anew,
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
enum Told {
    Sent { provider_message_id: Option<String> },
    Accepted,
    Failed { reason: String, code: String, message: String },
}

/// What became of an attempt to take a delivery over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It goes on with whoever asked.
    Ours,
    /// It ended so.
    Ended(Ending),
}

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(2);

// === impl Ledger ===

impl Ledger {
    /// The ledger as this instance writes it.
    pub fn new(state: Arc<dyn State>, runtime: Runtime, me: &str) -> Self {
        Self { state, runtime, me: me.into() }
    }

    /// Takes a delivery over, that was taken over so often before, from an instance that is gone. Asks until
    /// it is answered.
    pub(crate) async fn claim(&self, delivery: &str, taken: u32) -> Claim {
        let line = Line::Claimed { by: self.me.to_string(), taken };
        self.change(delivery, |there| match there {
            Some(Line::Claimed { taken: before, .. }) if *before >= taken => (None, Claim::Ours),
            Some(Line::Claimed { .. }) | None => (Some(line.clone()), Claim::Ours),
            Some(Line::Legs { ended: None, .. }) => (None, Claim::Ours),
            Some(Line::Done { ending, .. } | Line::Legs { ended: Some(Ended { ending, .. }), .. }) => {
                (None, Claim::Ended(ending.clone().into()))
            }
        })
        .await
    }

    /// Whether an instance whose lease was lost may still say how a delivery ended, that had been taken over
    /// so often when it came here. Asks until it is answered.
    pub(crate) async fn decides(&self, delivery: &str, taken: u32, ending: &Ending) -> bool {
        let line = Line::Done { by: self.me.to_string(), ending: ending.into() };
        self.change(delivery, |there| match there {
            // It was that claim by which it came here.
            Some(Line::Claimed { taken: before, .. }) if *before < taken => (Some(line.clone()), true),
            None => (Some(line.clone()), true),
            Some(there) => (None, *there == line),
        })
        .await
    }

    /// Opens a leg for each of these instances. Gives those that are to be told: none when it is known how
    /// it ended, or when another has it.
    pub(crate) async fn open_legs(&self, delivery: &str, instances: &[Arc<str>]) -> Vec<Arc<str>> {
        let legs = instances.iter().map(|instance| (instance.to_string(), Leg::Open)).collect();
        let line = Line::Legs { legs, ended: None };
        match self.write_first(delivery, &line).await {
            Line::Legs { legs, ended: None } => {
                let open = legs.into_iter().filter(|(_, leg)| *leg == Leg::Open);
                open.map(|(instance, _)| instance.into()).collect()
            }
            Line::Legs { .. } | Line::Done { .. } => Vec::new(),
            // It was taken over and is dispatched anew: the legs take the place of the claim.
            Line::Claimed { .. } => self.replace_claim(delivery, &line, instances).await,
        }
    }

    async fn replace_claim(&self, delivery: &str, line: &Line, instances: &[Arc<str>]) -> Vec<Arc<str>> {
        self.change(delivery, |there| match there {
            Some(Line::Legs { legs, ended: None }) => {
                let open = legs.iter().filter(|(_, leg)| **leg == Leg::Open);
                (None, open.map(|(instance, _)| instance.as_str().into()).collect())
            }
            Some(Line::Legs { .. } | Line::Done { .. }) => (None, Vec::new()),
            Some(Line::Claimed { .. }) | None => (Some(line.clone()), instances.to_vec()),
        })
        .await
    }

    /// This instance's leg ended so.
    pub(crate) async fn leg_ended(&self, delivery: &str, ending: &Ending) -> LegSays {
        let me = self.me.to_string();
        let told = Told::from(ending);
        let failed = matches!(ending, Ending::Failed { .. });
        self.change(delivery, |there| match there {
            Some(Line::Legs { ended: Some(ended), .. }) => {
                // Our own word, of which it is not known whether it was published.
                let is_ours = ended.by == me;
                (None, if is_ours { LegSays::Publish(ended.ending.clone().into()) } else { LegSays::Silent })
            }
            Some(Line::Legs { legs, ended: None }) => {
                let mut legs = legs.clone();
                legs.insert(me.clone(), if failed { Leg::Failed } else { Leg::Open });
                let decides = !failed || legs.values().all(|leg| *leg != Leg::Open);
                let ended = decides.then(|| Ended { by: me.clone(), ending: told.clone() });
                let says = if decides { LegSays::Publish(ending.clone()) } else { LegSays::Silent };
                (Some(Line::Legs { legs, ended }), says)
            }
            // Forgotten, or never written: then there are no others.
            Some(Line::Claimed { .. } | Line::Done { .. }) | None => (None, LegSays::Publish(ending.clone())),
        })
        .await
    }

    /// The leg of this instance came to nothing, because the user left or the instance is gone.
    pub(crate) async fn leg_left(&self, delivery: &str, instance: &str) -> LegSays {
        self.change(delivery, |there| match there {
            Some(Line::Legs { ended: Some(ended), .. }) => {
                // Who decided may have died before it said so.
                let is_its = ended.by == instance;
                (None, if is_its { LegSays::Publish(ended.ending.clone().into()) } else { LegSays::Silent })
            }
            Some(Line::Legs { legs, ended: None }) => {
                let mut legs = legs.clone();
                legs.insert(instance.to_owned(), Leg::Left);
                let says = if legs.values().any(|leg| *leg == Leg::Open) {
                    LegSays::Silent
                } else if legs.values().any(|leg| *leg == Leg::Failed) {
                    let why = "some of the user's connections may have got it, none confirmed it";
                    LegSays::Publish(Ending::failed(Reason::Unverified, why))
                } else {
                    LegSays::Anew
                };
                let line = match &says {
                    LegSays::Publish(ending) => {
                        let ended = Ended { by: instance.to_owned(), ending: ending.into() };
                        Line::Legs { legs, ended: Some(ended) }
                    }
                    LegSays::Silent => Line::Legs { legs, ended: None },
                    LegSays::Anew => Line::Claimed { by: instance.to_owned(), taken: 0 },
                };
                (Some(line), says)
            }
            // Another left last, and it began anew; or there were never others.
            Some(Line::Claimed { .. }) | None => (None, LegSays::Anew),
            Some(Line::Done { .. }) => (None, LegSays::Silent),
        })
        .await
    }

    /// Reads a line, and writes what `with` makes of it, until nobody else wrote in between. Asks until it
    /// is answered.
    async fn change<T>(&self, delivery: &str, with: impl Fn(Option<&Line>) -> (Option<Line>, T)) -> T {
        let Ok(key) = Key::parse(&sha256_hex(delivery.as_bytes())) else { return with(None).1 };
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            let failed = match self.state.get(Space::Ledger, &key).await {
                Err(error) => error,
                Ok(entry) => {
                    let line = entry.as_ref().and_then(|entry| serde_json::from_slice(&entry.value).ok());
                    let (new, result) = with(line.as_ref());
                    let Some(new) = new else { return result };
                    let expected = entry.map_or(Expected::Absent, |entry| Expected::At(entry.revision));
                    let value: Bytes = serde_json::to_vec(&new).unwrap_or_default().into();
                    match self.state.put(Space::Ledger, &key, value, expected).await {
                        Ok(_) => return result,
                        Err(error) if error.is_conflict() => continue,
                        Err(error) => error,
                    }
                }
            };
            if backoff.attempts() == 0 {
                warn!(event = "egress.ledger_unwritten", deliveryId = delivery, reason = %failed, "not written yet");
            }
            tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
        }
    }

    /// Writes a line where there is none; gives the one that stands there then.
    async fn write_first(&self, delivery: &str, line: &Line) -> Line {
        let Ok(key) = Key::parse(&sha256_hex(delivery.as_bytes())) else { return line.clone() };
        let value: Bytes = serde_json::to_vec(line).unwrap_or_default().into();
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            let failed = match self.state.put(Space::Ledger, &key, value.clone(), Expected::Absent).await {
                Ok(_) => return line.clone(),
                Err(error) if error.is_conflict() => match self.state.get(Space::Ledger, &key).await {
                    // A line that nobody can read decides nothing; it is never written by us.
                    Ok(Some(entry)) => {
                        return serde_json::from_slice(&entry.value).unwrap_or_else(|_| line.clone());
                    }
                    // Forgotten in between.
                    Ok(None) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if backoff.attempts() == 0 {
                warn!(event = "egress.ledger_unwritten", deliveryId = delivery, reason = %failed, "not written yet");
            }
            tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
        }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("me", &self.me).finish_non_exhaustive()
    }
}

// === impl Told ===

impl From<&Ending> for Told {
    fn from(ending: &Ending) -> Self {
        match ending {
            Ending::Sent { provider_message_id } => {
                Self::Sent { provider_message_id: provider_message_id.clone() }
            }
            Ending::Accepted => Self::Accepted,
            Ending::Failed { reason, error } => Self::Failed {
                reason: reason.as_str().to_owned(),
                code: error.code.clone(),
                message: error.message.clone(),
            },
        }
    }
}

impl From<Told> for Ending {
    fn from(told: Told) -> Self {
        match told {
            Told::Sent { provider_message_id } => Self::Sent { provider_message_id },
            Told::Accepted => Self::Accepted,
            Told::Failed { reason, code, message } => Self::Failed {
                reason: Reason::parse(&reason).unwrap_or(Reason::Rejected),
                error: ErrorInfo { code, message },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use chatbus_state::MemoryStateStore;
    use chatbus_testkit::test_runtime;

    use super::*;

    #[tokio::test]
    async fn a_claim_stands_against_what_was_before_it_and_not_against_what_came_after() {
        let runtime = test_runtime(1);
        let store = MemoryStateStore::new(runtime.clock.clone());
        let ledger = |me: &str| Ledger::new(store.open(), runtime.clone(), me);
        let (a, b) = (ledger("a"), ledger("b"));
        let ending = Ending::Sent { provider_message_id: None };
        assert_eq!(b.claim("d", 0).await, Claim::Ours);
        assert!(!a.decides("d", 0, &ending).await, "it was taken from a");
        assert!(b.decides("d", 1, &ending).await, "b has it by that claim");
        assert!(b.decides("d", 1, &ending).await, "asked again");
        assert_eq!(a.claim("d", 1).await, Claim::Ended(ending));
    }
}
