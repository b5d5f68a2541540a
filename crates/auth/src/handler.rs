//! The service: events of ingress, with who said it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, Failure, HandlerError, Outgoing, Record};
use chatbus_event::{Attributes, Reason, Topic, names};
use chatbus_runtime::Runtime;
use chatbus_store::{Events, Seen, Users};

use crate::config::AuthConfig;
use crate::counters::{AuthCounters, count};
use crate::enrich::{self, Ignored};
use crate::lookup::Known;
use crate::loops::Loops;
use crate::subject::Subject;

/// The service's name, and its group's.
pub(crate) const NAME: &str = "auth";
/// What its output is called.
pub(crate) const STEP: &str = "enriched";
/// Attributes of the egress side, which no input of ours has a right to.
const NOT_PASSED_ON: [&str; 4] = [names::DELIVERY_ID, names::DEADLINE, names::HOPS, names::STATUS];

/// Reads `internal.ingress.v1` and forwards everything to `internal.user.enriched.v1`: with the user where
/// there is one, and with `auth.matched:false` where there is none. It waits for a store that is out of reach
/// for as long as that takes.
///
/// What comes late from a spool may have been on the bus before, longer ago than the bus looks back: such an
/// event is not forwarded when the store has it as forwarded under the same id.
pub struct Auth {
    pub(crate) users: Arc<dyn Users>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) config: AuthConfig,
    pub(crate) runtime: Runtime,
    pub(crate) counters: Arc<AuthCounters>,
    loops: Mutex<Loops>,
}

// === impl Auth ===

impl Auth {
    /// The service over these repositories of one store. `runtime.stop` ends its waiting for it.
    pub fn new(users: Arc<dyn Users>, events: Arc<dyn Events>, config: AuthConfig, runtime: Runtime) -> Self {
        let loops = Mutex::new(Loops::new(config.loops));
        Self { users, events, config, runtime, counters: Arc::default(), loops }
    }

    /// Its totals.
    pub fn counters(&self) -> Arc<AuthCounters> {
        Arc::clone(&self.counters)
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
        let known = match self.look_up(inputs, &subjects).await {
            Ok(known) => known,
            Err(unsighted) => return inputs.iter().map(|_| Err(unsighted.to_error())).collect(),
        };
        let answers = inputs.iter().zip(subjects).zip(known);
        answers
            .map(|((record, subject), known)| match (subject, known) {
                (Ok(_), Known { was_forwarded: true, .. }) => {
                    count(&self.counters.repeated);
                    Ok(Vec::new())
                }
                (Ok(subject), Known { seen, .. }) => self.output(record, subject, seen.as_ref()),
                (Err(failure), _) => {
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
