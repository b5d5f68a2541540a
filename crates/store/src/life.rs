//! What steps make of the row of their event: the same whatever order they come in.
//!
//! Every part is a maximum or a minimum, so that putting lives together is commutative, associative and may be
//! repeated. A driver in SQL does the same with `max` and `min`.

use std::collections::{BTreeMap, HashSet};

use chatbus_event::Timestamp;

use crate::{EventFacts, EventStatus, StepEntry, limits};

/// The facts by which an event is found, in the order of [`Life::facts`].
pub const FACTS: [&str; 7] = ["kind", "source", "platform", "channel", "user_id", "user_name", "text"];

/// What was told, and how much it counts: of two the one of the step that leads further, then the later one.
/// `None` where nothing was told.
pub type Fact = Option<(i64, String)>;

/// What steps say of their event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// How far it is.
    pub status: EventStatus,
    /// In the order of [`FACTS`].
    pub facts: [Fact; 7],
    /// When the first of them was.
    pub first_at: Timestamp,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// When it may go.
    pub expires_at: Timestamp,
}

/// The steps of one call for one event.
#[derive(Debug, Clone, Default)]
pub struct Steps<'a> {
    /// The first of each key, in the order of the call.
    pub steps: Vec<&'a StepEntry>,
    /// How far the event is with all of them, repeats in the call included.
    pub status: Option<EventStatus>,
}

// === impl Life ===

impl Life {
    /// What one step says.
    pub fn of(step: &StepEntry) -> Self {
        let rank = rank(step.status, step.at);
        let told = |fact: Option<String>| fact.filter(|fact| !fact.is_empty()).map(|fact| (rank, fact));
        let facts = step.facts.as_ref().map_or_else(Default::default, |facts| {
            let name = |fact: &Option<String>| told(fact.as_deref().map(limits::name));
            [
                told(Some(limits::name(&facts.kind))),
                told(Some(limits::name(&facts.source))),
                name(&facts.platform),
                name(&facts.channel),
                name(&facts.user_id),
                name(&facts.user_name),
                told(facts.text.as_deref().map(limits::text)),
            ]
        });
        Self { status: step.status, facts, first_at: step.at, last_at: step.at, expires_at: step.expires_at }
    }

    /// What steps say together; `None` when there are none.
    pub fn of_all<'a>(steps: impl IntoIterator<Item = &'a StepEntry>) -> Option<Self> {
        steps.into_iter().map(Self::of).reduce(|mut all, one| {
            all.join(one);
            all
        })
    }

    /// Adds what other steps of the same event say.
    pub fn join(&mut self, other: Self) {
        self.status = self.status.max(other.status);
        for (mine, told) in self.facts.iter_mut().zip(other.facts) {
            if *mine < told {
                *mine = told;
            }
        }
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.expires_at = self.expires_at.max(other.expires_at);
    }

    /// The facts as they are read.
    pub fn event_facts(&self) -> EventFacts {
        let [kind, source, platform, channel, user_id, user_name, text] =
            self.facts.clone().map(|fact| fact.map(|(_, fact)| fact));
        EventFacts {
            kind: kind.unwrap_or_default(),
            source: source.unwrap_or_default(),
            platform,
            channel,
            user_id,
            user_name,
            text,
        }
    }
}

/// The steps of a call by their event, in the order of correlation ids: drivers that lock rows lock them in it.
pub fn by_event<'a>(steps: impl IntoIterator<Item = &'a StepEntry>) -> BTreeMap<&'a str, Steps<'a>> {
    let mut events: BTreeMap<&str, Steps<'_>> = BTreeMap::new();
    let mut known = HashSet::new();
    for step in steps {
        let event = events.entry(&step.correlation_id).or_default();
        event.status = event.status.max(Some(step.status));
        if known.insert((step.correlation_id.as_str(), step.key.as_str())) {
            event.steps.push(step);
        }
    }
    events
}

/// The part of a user's id behind `provider:`; the whole where it has none.
pub fn raw_user(user_id: &str) -> &str {
    user_id.split_once(':').map_or(user_id, |(_, raw)| raw)
}

/// Above 0. A moment of [`Timestamp`] takes 49 bits with its sign.
fn rank(status: EventStatus, at: Timestamp) -> i64 {
    ((status as i64 + 1) << 56) + at.as_millis()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn step(key: &str, at: i64, status: EventStatus, user: &str) -> StepEntry {
        StepEntry {
            correlation_id: "e".into(),
            key: key.into(),
            name: key.into(),
            at: Timestamp::from_millis(at),
            detail: Bytes::new(),
            snapshot: None,
            status,
            facts: Some(EventFacts { user_id: Some(user.to_owned()), ..EventFacts::default() }),
            expires_at: Timestamp::from_millis(at + 10),
        }
    }

    #[test]
    fn what_a_later_service_told_stays_though_the_earlier_one_is_written_after_it_or_has_a_later_clock() {
        let received = step("received", 50, EventStatus::Ingested, "1");
        let enriched = step("enriched", 40, EventStatus::InProgress, "p:1");
        for order in [[&received, &enriched], [&enriched, &received]] {
            let life = Life::of_all(order).unwrap();
            assert_eq!(life.event_facts().user_id.as_deref(), Some("p:1"));
            assert_eq!((life.first_at, life.last_at), (enriched.at, received.at));
        }
    }

    #[test]
    fn the_oldest_moment_that_there_is_still_ranks_above_nothing() {
        assert!(rank(EventStatus::Ingested, Timestamp::from_millis(i64::MIN)) > 0);
        assert!(
            rank(EventStatus::Ingested, Timestamp::from_millis(i64::MAX))
                < rank(EventStatus::InProgress, Timestamp::from_millis(i64::MIN))
        );
    }

    #[test]
    fn a_repeat_in_one_call_is_no_step_and_its_status_counts() {
        let steps = [step("a", 1, EventStatus::Ingested, "1"), step("a", 2, EventStatus::Error, "2")];
        let events = by_event(&steps);
        let event = &events["e"];
        assert_eq!((event.steps.len(), event.status), (1, Some(EventStatus::Error)));
    }
}
