//! What one call of `record` writes, cleaned, in the order in which rows are locked.

use bytes::Bytes;
use chatbus_event::Timestamp;
use chatbus_store::life::{self, Life};
use chatbus_store::{Entry, EventStatus, SourceChange, StoredLetter, limits};

use crate::codes;
use crate::value::Value;

/// One call.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By correlation id.
    pub(crate) events: Vec<EventSteps>,
    /// By id.
    pub(crate) letters: Vec<StoredLetter>,
    /// By platform and id; those of one source in the order of the call.
    pub(crate) sources: Vec<SourceChange>,
    /// By key.
    pub(crate) raws: Vec<Raw>,
}

/// The steps of one event.
#[derive(Debug)]
pub(crate) struct EventSteps {
    pub(crate) correlation_id: String,
    pub(crate) steps: Vec<Step>,
    /// How far the event is with all of them, repeats included.
    pub(crate) status: EventStatus,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    pub(crate) detail: Bytes,
    pub(crate) snapshot: Option<Bytes>,
    /// What it says of its event.
    pub(crate) life: Life,
}

/// What is none of the others.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) key: String,
    pub(crate) body: Bytes,
    pub(crate) why: String,
    pub(crate) at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

// === impl Batch ===

impl Batch {
    /// Sorts entries that were checked.
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let mut batch = Self::default();
        let mut steps = Vec::new();
        for entry in entries {
            match entry {
                Entry::Step(step) => steps.push(step),
                Entry::Letter(letter) => batch.letters.push(clean_letter(letter)),
                Entry::Source(change) => batch.sources.push(clean_source(change)),
                Entry::Raw { key, body, why, at, expires_at } => batch.raws.push(Raw {
                    key: key.clone(),
                    body: body.clone(),
                    why: limits::name(why),
                    at: *at,
                    expires_at: *expires_at,
                }),
            }
        }
        batch.events = life::by_event(steps)
            .into_iter()
            .map(|(id, told)| EventSteps {
                correlation_id: id.to_owned(),
                steps: told.steps.into_iter().map(Step::new).collect(),
                status: told.status.unwrap_or(EventStatus::Ingested),
            })
            .collect();
        // Sorting keeps the order of equals, and the first letter of an id is the one that counts.
        batch.letters.sort_by(|a, b| a.id.cmp(&b.id));
        batch.sources.sort_by(|a, b| (&a.platform, &a.id).cmp(&(&b.platform, &b.id)));
        batch.raws.sort_by(|a, b| a.key.cmp(&b.key));
        batch
    }

    /// Records, for time limits.
    pub(crate) fn size(&self) -> usize {
        let steps: usize = self.events.iter().map(|event| event.steps.len()).sum();
        steps + self.letters.len() + self.sources.len() + self.raws.len()
    }
}

// === impl EventSteps ===

impl EventSteps {
    /// What those of its steps say that are new, and how far the event is with all; `None` when none is new.
    pub(crate) fn life_of(&self, is_new: impl Fn(&Step) -> bool) -> Option<Life> {
        let lives = self.steps.iter().filter(|step| is_new(step)).map(|step| step.life.clone());
        let mut life = lives.reduce(|mut all, one| {
            all.join(one);
            all
        })?;
        life.status = life.status.max(self.status);
        Some(life)
    }
}

// === impl Step ===

impl Step {
    fn new(step: &chatbus_store::StepEntry) -> Self {
        Self {
            key: step.key.clone(),
            name: limits::name(&step.name),
            at: step.at,
            detail: step.detail.clone(),
            snapshot: step.snapshot.clone(),
            life: Life::of(step),
        }
    }
}

/// A life as the columns of an event's row; see [`life_columns`](crate::sql::life_columns).
pub(crate) fn life_values(life: Life) -> Vec<Value> {
    let mut values = vec![
        codes::status(life.status).into(),
        life.first_at.into(),
        life.last_at.into(),
        life.expires_at.into(),
        hour(life.expires_at).into(),
    ];
    let mut user_raw = Value::Null;
    for (fact, name) in life.facts.into_iter().zip(life::FACTS) {
        let (rank, text) = fact.map_or((0, None), |(rank, text)| (rank, Some(text)));
        if name == "user_id" {
            user_raw = text.as_deref().map(life::raw_user).into();
        }
        values.push(text.into());
        values.push(rank.into());
    }
    values.push(user_raw);
    values
}

/// Whole hours since 1970.
pub(crate) fn hour(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(3_600_000)
}

/// A change of a source as the parameters of its statement.
pub(crate) fn source_values(change: SourceChange) -> Vec<Value> {
    let at = change.at;
    let told = |value: Value| {
        let when = if value == Value::Null { Value::Null } else { at.into() };
        [value, when]
    };
    let fields =
        [change.status.into(), change.stream.into(), change.display_name.into(), change.detail.into()];
    let names = [change.platform.into(), change.id.into()];
    names.into_iter().chain(fields.into_iter().flat_map(told)).collect()
}

fn clean_letter(letter: &StoredLetter) -> StoredLetter {
    let name = |told: &Option<String>| told.as_deref().map(limits::name);
    StoredLetter {
        correlation_id: limits::name(&letter.correlation_id),
        reason: limits::name(&letter.reason),
        error_code: name(&letter.error_code),
        platform: name(&letter.platform),
        topic: name(&letter.topic),
        ..letter.clone()
    }
}

fn clean_source(change: &SourceChange) -> SourceChange {
    let name = |told: &Option<String>| told.as_deref().map(limits::name);
    SourceChange {
        status: name(&change.status),
        stream: name(&change.stream),
        display_name: name(&change.display_name),
        ..change.clone()
    }
}
