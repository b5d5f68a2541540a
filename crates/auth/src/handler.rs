//! The service: events of ingress, with who said it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, Failure, HandlerError, Outgoing, Record};
use chatbus_event::{Attributes, Reason, Topic, names};
use chatbus_runtime::Runtime;
use chatbus_store::{Seen, Sighting, StoreError, StoreErrorKind, Users, until_available};

use crate::config::AuthConfig;
use crate::counters::{AuthCounters, count};
use crate::enrich::{self, Ignored};
use crate::loops::Loops;
use crate::subject::Subject;

/// The service's name, and its group's.
const NAME: &str = "auth";
/// What its output is called.
const STEP: &str = "enriched";
/// Attributes of the egress side, which no input of ours has a right to.
const NOT_PASSED_ON: [&str; 4] = [names::DELIVERY_ID, names::DEADLINE, names::HOPS, names::STATUS];

/// Reads `internal.ingress.v1` and forwards everything to `internal.user.enriched.v1`: with the user where
/// there is one, and with `auth.matched:false` where there is none. It waits for a store that is out of reach
/// for as long as that takes.
pub struct Auth {
    users: Arc<dyn Users>,
    config: AuthConfig,
    runtime: Runtime,
    counters: Arc<AuthCounters>,
    loops: Mutex<Loops>,
}

/// What the store said of the sightings of a batch.
enum Sighted {
    /// One for each sighting; `None` where it can never be written.
    Seen(Vec<Option<Seen>>),
    /// The stop came first.
    Stopped,
    /// Something that nobody foresaw.
    Failed(StoreError),
}

// === impl Auth ===

impl Auth {
    /// The service over these users. `runtime.stop` ends its waiting for the store.
    pub fn new(users: Arc<dyn Users>, config: AuthConfig, runtime: Runtime) -> Self {
        let loops = Mutex::new(Loops::new(config.loops));
        Self { users, config, runtime, counters: Arc::default(), loops }
    }

    /// Its totals.
    pub fn counters(&self) -> Arc<AuthCounters> {
        Arc::clone(&self.counters)
    }

    /// Writes sightings; one that can never be written does not keep the others from it.
    async fn sight(&self, sightings: Vec<Sighting>) -> Sighted {
        let mut left: Vec<(usize, Sighting)> = sightings.into_iter().enumerate().collect();
        let mut seen: Vec<Option<Seen>> = left.iter().map(|_| None).collect();
        while !left.is_empty() {
            let wanted: Vec<Sighting> = left.iter().map(|(_, sighting)| sighting.clone()).collect();
            let answer = until_available(&self.runtime, NAME, || self.users.sight(&wanted)).await;
            match answer {
                None => return Sighted::Stopped,
                Some(Ok(found)) => {
                    for ((at, _), found) in left.drain(..).zip(found) {
                        if let Some(place) = seen.get_mut(at) {
                            *place = Some(found);
                        }
                    }
                }
                Some(Err(error)) => {
                    let alone = (left.len() == 1).then_some(0);
                    let place = error.record().or(alone).filter(|place| *place < left.len());
                    let (StoreErrorKind::Refused, Some(place)) = (error.kind(), place) else {
                        return Sighted::Failed(error);
                    };
                    let (_, refused) = left.remove(place);
                    count(&self.counters.refused);
                    tracing::warn!(event = "auth.sighting.refused", component = NAME, eventId = refused.key, reason = %error);
                }
            }
        }
        Sighted::Seen(seen)
    }

    fn ignored(&self, subject: &Subject, record: &Record, seen: Option<&Seen>) -> Option<Ignored> {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let place = subject
            .event
            .channel()
            .filter(|_| subject.is_message)
            .map(|channel| format!("{}/{channel}", subject.identity.provider));
        if subject.is_own {
            if let Some(place) = place {
                loops.said_by_us(&place, subject.at);
            }
            return Some(Ignored::Own);
        }
        if subject.is_listed(&self.config) {
            return Some(Ignored::Listed);
        }
        let seen = seen?;
        if enrich::is_banned(seen) {
            return Some(Ignored::Banned);
        }
        let is_bot = loops.said_by(&place?, &seen.user.id, record.message.id.as_str(), subject.at);
        is_bot.then_some(Ignored::BotLoop)
    }

    fn output(
        &self,
        record: &Record,
        mut subject: Subject,
        seen: Option<&Seen>,
    ) -> Result<Vec<Outgoing>, HandlerError> {
        let ignored = self.ignored(&subject, record, seen);
        self.count(seen, ignored);
        let Subject { event, identity, told, .. } = &mut subject;
        let found = identity.user.as_ref().zip(seen);
        enrich::write(event, identity, found, told.as_deref(), self.runtime.clock.now());
        if let Some(why) = ignored {
            enrich::ignore(event, why);
        }
        let Some(body) = enrich::encode(event) else {
            count(&self.counters.invalid);
            let message = "too long with what is known of its user".to_owned();
            let code = "too_large".to_owned();
            return Err(HandlerError::GiveUp(Failure { reason: Reason::InvalidEvent, code, message }));
        };
        let attributes = attributes(record, &subject);
        Ok(vec![Outgoing { topic: Topic::enriched(), step: STEP.to_owned(), attributes, body }])
    }

    fn count(&self, seen: Option<&Seen>, ignored: Option<Ignored>) {
        let counters = &self.counters;
        count(&counters.total);
        count(if seen.is_some() { &counters.matched } else { &counters.unmatched });
        for (happened, counter) in [
            (seen.is_some_and(|seen| seen.is_new), &counters.created),
            (seen.is_some_and(|seen| seen.is_first_message), &counters.first_messages),
            (seen.is_some_and(|seen| seen.is_first_in_session), &counters.new_sessions),
        ] {
            if happened && !seen.is_some_and(|seen| seen.is_repeated) {
                count(counter);
            }
        }
        if let Some(why) = ignored {
            counters.count_ignored(why);
        }
    }
}

#[async_trait]
impl BatchHandler for Auth {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn handle(&self, inputs: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        let subjects: Vec<Result<Subject, Failure>> =
            inputs.iter().map(|record| Subject::read(record, &self.config)).collect();
        let mut sightings = Vec::with_capacity(inputs.len());
        let places: Vec<Option<usize>> = inputs
            .iter()
            .zip(&subjects)
            .map(|(record, subject)| {
                let sighting = subject.as_ref().ok()?.sighting(record, &self.config)?;
                sightings.push(sighting);
                Some(sightings.len() - 1)
            })
            .collect();
        let seen = match self.sight(sightings).await {
            Sighted::Seen(seen) => seen,
            Sighted::Stopped => {
                let stopped =
                    || HandlerError::GiveBack("stopped while the store was out of reach".to_owned());
                return inputs.iter().map(|_| Err(stopped())).collect();
            }
            Sighted::Failed(error) => {
                let failed = || HandlerError::Retry(format!("writing sightings: {error}"));
                return inputs.iter().map(|_| Err(failed())).collect();
            }
        };
        let answers = inputs.iter().zip(subjects).zip(places);
        answers
            .map(|((record, subject), place)| match subject {
                Ok(subject) => {
                    let seen = place.and_then(|place| seen.get(place)?.as_ref());
                    self.output(record, subject, seen)
                }
                Err(failure) => {
                    count(&self.counters.invalid);
                    Err(HandlerError::GiveUp(failure))
                }
            })
            .collect()
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

/// The input's, and those it lacks.
fn attributes(record: &Record, subject: &Subject) -> Attributes {
    let mut attributes = record.message.attributes.clone();
    for name in NOT_PASSED_ON {
        attributes.remove(name);
    }
    let event = &subject.event;
    let missing = [
        (names::CORRELATION_ID, event.correlation_id()),
        (names::TYPE, Some(event.kind())),
        (names::SOURCE, Some(event.source())),
        (names::CHANNEL, event.channel()),
    ];
    for (name, value) in missing {
        if let Some(value) = value.filter(|value| !value.is_empty())
            && attributes.get(name).is_none()
        {
            attributes.set(name, value);
        }
    }
    attributes
}
