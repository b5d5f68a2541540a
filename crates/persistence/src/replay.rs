//! Publishing again what ended as dead letters.
//!
//! A letter is replayed once: its ids are made from the letter's, so that whoever repeats it, after an interruption
//! or at the same time, publishes duplicates. Before anything is published the letter is `Replaying`, and when the
//! bus has it `Replayed`; one that was begun, and of which the store knows that it was published or how its
//! delivery ended, is only settled.

mod plan;

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use chatbus_bus::{Bus, BusError};
use chatbus_event::Topic;
use chatbus_runtime::Runtime;
use chatbus_store::{
    DeadLetterFilter, Entry, EventStatus, LetterState, Page, StepEntry, Store, StoreError, StoredLetter,
};
use serde::Serialize;
use serde_json::json;

use crate::entries::cleaned_id;
use plan::Plan;
pub use plan::Refusal;

/// Letters looked at in one call, of those that are open and of those that were begun; the rest takes another.
const MAX_LETTERS: usize = 10_000;
/// Letters read at once.
const PAGE: usize = 100;

/// How to replay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplayOptions {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// At most so many a second; `None` as fast as the bus takes them.
    pub rate: Option<NonZeroU32>,
    /// Where.
    pub to: ReplayTo,
}

/// Where a replay is published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ReplayTo {
    /// The generic egress topic: whichever instance can deliver.
    Generic,
    /// Where it stood before it was given up; of a delivery, whose letter does not tell, where the event itself
    /// says that its answer goes, else the generic topic.
    #[default]
    Original,
    /// This topic.
    Topic(Topic),
}

/// What became of the letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayReport {
    /// Published again, or with `dry_run` what would be: the letters' ids and where.
    pub replayed: Vec<(String, String)>,
    /// Begun before, and published then: settled without publishing.
    pub published_before: Vec<String>,
    /// Settled by somebody else meanwhile.
    pub already: Vec<String>,
    /// Not replayed, and why.
    pub refused: Vec<NotReplayed>,
    /// Whether there are more letters than one call takes.
    pub more: bool,
}

/// A letter that is not replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotReplayed {
    /// The letter.
    pub id: String,
    /// Why.
    pub why: Refusal,
}

/// Why a replay ended before its end. What was done until then is in the report; to go on, call again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The store.
    #[error("the store: {1}")]
    Store(Box<ReplayReport>, #[source] StoreError),
    /// The bus.
    #[error("the bus: {1}")]
    Bus(Box<ReplayReport>, #[source] BusError),
}

/// One letter's failure.
enum Failed {
    Store(StoreError),
    Bus(BusError),
}

/// Replays the letters that fit the filter and are not settled, the oldest first. Ends early at the runtime's stop,
/// between two letters. May be interrupted anywhere, and run again or by two people at once.
///
/// # Errors
/// When the store or the bus is out of reach; with the report so far.
pub async fn replay(
    store: &dyn Store,
    bus: &dyn Bus,
    filter: &DeadLetterFilter,
    options: &ReplayOptions,
    runtime: &Runtime,
) -> Result<ReplayReport, ReplayError> {
    let mut report = ReplayReport::default();
    let chosen = choose(store, filter, options, bus.max_message_bytes(), &mut report).await;
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(error) => return Err(ReplayError::Store(Box::new(report), error)),
    };
    if options.dry_run {
        report.replayed = chosen;
        return Ok(report);
    }
    let pause = options.rate.map(|rate| Duration::from_secs(1) / rate.get());
    for (id, _) in chosen {
        if runtime.stop.is_cancelled() {
            report.more = true;
            break;
        }
        let before = report.replayed.len();
        match one(store, bus, &id, options, runtime, &mut report).await {
            Ok(()) => {}
            Err(Failed::Store(error)) => return Err(ReplayError::Store(Box::new(report), error)),
            Err(Failed::Bus(error)) => return Err(ReplayError::Bus(Box::new(report), error)),
        }
        if let Some(pause) = pause.filter(|_| report.replayed.len() > before) {
            tokio::select! {
                () = runtime.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
    Ok(report)
}

/// The letters that can be replayed and where, oldest first; those that cannot are in the report.
async fn choose(
    store: &dyn Store,
    filter: &DeadLetterFilter,
    options: &ReplayOptions,
    max_bytes: usize,
    report: &mut ReplayReport,
) -> Result<Vec<(String, String)>, StoreError> {
    let mut chosen = Vec::new();
    let states = [LetterState::Open, LetterState::Replaying];
    for state in states.into_iter().filter(|state| filter.state.is_none_or(|wanted| wanted == *state)) {
        let filter = DeadLetterFilter { state: Some(state), ..filter.clone() };
        let mut page = Page { limit: PAGE, offset: 0 };
        loop {
            let letters = store.letters(&filter, &page).await?;
            page.offset += letters.len();
            for letter in &letters {
                match Plan::of(letter, &options.to, max_bytes) {
                    Ok(plan) => chosen.push((letter.at, letter.id.clone(), plan.topic.to_string())),
                    Err(why) => report.refused.push(NotReplayed { id: letter.id.clone(), why }),
                }
            }
            if letters.len() < PAGE {
                break;
            }
            if page.offset >= MAX_LETTERS {
                report.more = true;
                break;
            }
        }
    }
    chosen.sort();
    Ok(chosen.into_iter().map(|(_, id, topic)| (id, topic)).collect())
}

async fn one(
    store: &dyn Store,
    bus: &dyn Bus,
    id: &str,
    options: &ReplayOptions,
    runtime: &Runtime,
    report: &mut ReplayReport,
) -> Result<(), Failed> {
    let Some(replay) = store.begin_replay(id).await.map_err(Failed::Store)? else {
        report.already.push(id.to_owned());
        return Ok(());
    };
    let letter = replay.letter;
    let plan = match Plan::of(&letter, &options.to, bus.max_message_bytes()) {
        Ok(plan) => plan,
        Err(why) => {
            report.refused.push(NotReplayed { id: letter.id, why });
            return Ok(());
        }
    };
    if replay.was_begun && is_published(store, &letter, &plan).await.map_err(Failed::Store)? {
        store.settle_letter(id, LetterState::Replayed).await.map_err(Failed::Store)?;
        report.published_before.push(letter.id);
        return Ok(());
    }
    let now = runtime.clock.now();
    bus.publish(&plan.topic, plan.message(&letter, now)).await.map_err(Failed::Bus)?;
    let step = StepEntry {
        correlation_id: cleaned_id(&letter.correlation_id),
        key: step_key(&letter),
        name: "replayed".to_owned(),
        at: now,
        detail: Bytes::from(
            json!({"letter": letter.id, "deliveryId": plan.id.as_str(), "to": plan.topic.as_str(), "count": plan.count})
                .to_string(),
        ),
        snapshot: None,
        status: EventStatus::InProgress,
        facts: None,
        expires_at: letter.expires_at,
    };
    store.record(&[Entry::Step(step)]).await.map_err(Failed::Store)?;
    store.settle_letter(id, LetterState::Replayed).await.map_err(Failed::Store)?;
    tracing::info!(event = "deadletter.replayed", component = "replay", eventId = id, topic = %plan.topic);
    report.replayed.push((letter.id, plan.topic.to_string()));
    Ok(())
}

/// Whether the store knows that a replay was published: it was noted, or its delivery has an outcome.
async fn is_published(store: &dyn Store, letter: &StoredLetter, plan: &Plan) -> Result<bool, StoreError> {
    let Some((_, steps)) = store.event(&cleaned_id(&letter.correlation_id)).await? else { return Ok(false) };
    let key = step_key(letter);
    Ok(steps.iter().any(|step| match step.name.as_str() {
        "replayed" => step.key == key,
        "outcome" => {
            let detail: serde_json::Value = serde_json::from_slice(&step.detail).unwrap_or_default();
            detail["deliveryId"] == plan.id.as_str()
        }
        _ => false,
    }))
}

fn step_key(letter: &StoredLetter) -> String {
    cleaned_id(&format!("replay/{}", letter.id))
}
