//! What the store is told and asked about a batch.

use std::collections::BTreeSet;

use chatbus_bus::{Failure, HandlerError, Record};
use chatbus_event::{Family, MessageId};
use chatbus_store::{Seen, Sighting, StoreError, StoreErrorKind, until_available};
use futures::StreamExt as _;

use crate::counters::count;
use crate::handler::{Auth, NAME, STEP};
use crate::subject::Subject;

/// Late events that are looked up at once.
const LOOKUPS: usize = 16;

/// Why the store said nothing of a batch.
pub(crate) enum Unsighted {
    /// The stop came first.
    Stopped,
    /// Something that nobody foresaw.
    Failed(StoreError),
}

/// What the store knows of a message.
#[derive(Default)]
pub(crate) struct Known {
    /// Its user, as sighted; `None` where it is nobody's or can never be written.
    pub(crate) seen: Option<Seen>,
    /// Whether it is known to be forwarded.
    pub(crate) was_forwarded: bool,
}

/// Places of messages that were forwarded before.
type Forwarded = Result<BTreeSet<usize>, Unsighted>;

// === impl Auth ===

impl Auth {
    /// What the store knows of each message.
    pub(crate) async fn look_up(
        &self,
        inputs: &[&Record],
        subjects: &[Result<Subject, Failure>],
    ) -> Result<Vec<Known>, Unsighted> {
        let forwarded = self.forwarded(inputs, subjects).await?;
        let mut known: Vec<Known> = inputs.iter().map(|_| Known::default()).collect();
        let (mut sightings, mut places) =
            (Vec::with_capacity(inputs.len()), Vec::with_capacity(inputs.len()));
        for (at, (record, subject)) in inputs.iter().zip(subjects).enumerate() {
            let sighting = subject.as_ref().ok().and_then(|subject| subject.sighting(record, &self.config));
            if let Some(sighting) = sighting.filter(|_| !forwarded.contains(&at)) {
                sightings.push(sighting);
                places.push(at);
            }
        }
        for (at, seen) in places.into_iter().zip(self.sight(sightings).await?) {
            if let Some(known) = known.get_mut(at) {
                known.seen = seen;
            }
        }
        for at in forwarded {
            if let Some(known) = known.get_mut(at) {
                known.was_forwarded = true;
            }
        }
        Ok(known)
    }

    /// Which of these were forwarded before, by their places.
    async fn forwarded(&self, inputs: &[&Record], subjects: &[Result<Subject, Failure>]) -> Forwarded {
        let late = inputs.iter().zip(subjects).enumerate().filter_map(|(at, (record, subject))| {
            let subject = subject.as_ref().ok().filter(|subject| subject.is_late())?;
            let correlation_id = MessageId::new(&subject.event.correlation_id()?).to_string();
            // As persistence names what it reads of us.
            let key = format!("{}/{}", Family::Enriched.label(), record.message.id.step(STEP));
            Some((at, correlation_id, key))
        });
        let lookups: Vec<_> = late
            .map(|(at, correlation_id, key)| async move {
                let found = until_available(&self.runtime, NAME, || self.events.event(&correlation_id)).await;
                let found = found.ok_or(Unsighted::Stopped)?.map_err(Unsighted::Failed)?;
                let steps = found.map(|(_, steps)| steps).unwrap_or_default();
                let is_known = steps.iter().any(|step| step.key == key);
                Ok(is_known.then_some(at))
            })
            .collect();
        let mut lookups = futures::stream::iter(lookups).buffer_unordered(LOOKUPS);
        let mut forwarded = BTreeSet::new();
        while let Some(found) = lookups.next().await {
            forwarded.extend(found?);
        }
        Ok(forwarded)
    }

    /// Writes sightings; one that can never be written does not keep the others from it, and is `None`.
    async fn sight(&self, mut sightings: Vec<Sighting>) -> Result<Vec<Option<Seen>>, Unsighted> {
        let mut seen: Vec<Option<Seen>> = sightings.iter().map(|_| None).collect();
        let mut places: Vec<usize> = (0..sightings.len()).collect();
        while !sightings.is_empty() {
            let answer = until_available(&self.runtime, NAME, || self.users.sight(&sightings)).await;
            match answer {
                None => return Err(Unsighted::Stopped),
                Some(Ok(found)) => {
                    for (at, found) in places.into_iter().zip(found) {
                        if let Some(place) = seen.get_mut(at) {
                            *place = Some(found);
                        }
                    }
                    return Ok(seen);
                }
                Some(Err(error)) => {
                    let alone = (sightings.len() == 1).then_some(0);
                    let at = error.record().or(alone).filter(|at| *at < sightings.len());
                    let (StoreErrorKind::Refused, Some(at)) = (error.kind(), at) else {
                        return Err(Unsighted::Failed(error));
                    };
                    places.remove(at);
                    let refused = sightings.remove(at);
                    count(&self.counters.refused);
                    tracing::warn!(event = "auth.sighting.refused", component = NAME, eventId = refused.key, reason = %error);
                }
            }
        }
        Ok(seen)
    }
}

// === impl Unsighted ===

impl Unsighted {
    /// What is answered to each message.
    pub(crate) fn to_error(&self) -> HandlerError {
        match self {
            Self::Stopped => HandlerError::GiveBack("stopped while the store was out of reach".to_owned()),
            Self::Failed(error) => HandlerError::Retry(format!("writing sightings: {error}")),
        }
    }
}
