//! What must hold, whatever went wrong: invariants 1 to 4 of the design.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chatbus_bus::Record;
use chatbus_event::{InstanceId, names};
use serde_json::Value;

use crate::plan::{DELTA, Plan, Planned, SOCKET};
use crate::platform::Said;
use crate::wrong::Wrong;

/// What was seen of a run.
pub(crate) struct Evidence {
    pub(crate) start: Instant,
    pub(crate) published: BTreeMap<String, Instant>,
    /// Each start of an instance.
    pub(crate) starts: Vec<(usize, Instant)>,
    pub(crate) outcomes: Vec<Record>,
    pub(crate) letters: Vec<Record>,
    pub(crate) left: Vec<Record>,
    pub(crate) said: Vec<Said>,
    pub(crate) harms: Vec<Harm>,
    pub(crate) gateways: BTreeSet<usize>,
}

/// Something that went wrong with an instance, as the world logged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Harm {
    pub(crate) instance: usize,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    pub(crate) kind: HarmKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HarmKind {
    Crash,
    Freeze,
    Cut,
    Uncertain,
    Flaky,
    Slow,
    Repeats,
    Disconnected,
}

/// An outcome, read.
struct Outcome {
    delivery: String,
    status: String,
    code: String,
    at: i64,
}

/// How long the record of an outcome may be under way when nothing is wrong.
const PROMPT: Duration = Duration::from_secs(1);
/// After this long whoever goes on with a delivery has looked back at its outcome.
const LOOKED_BACK: Duration = Duration::from_secs(5);

/// Everything that does not hold, in words.
pub(crate) fn check(plan: &Plan, seen: &Evidence) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let outcomes = outcomes(seen, &mut wrong);
    letters(seen, &outcomes, &mut wrong);
    for record in &seen.left {
        wrong.push(Wrong::Lost(format!("left on {}: {}", record.topic, record.message.id.as_str())));
    }
    for event in &plan.events {
        let said: Vec<&Said> = seen.said.iter().filter(|said| said.text == event.name).collect();
        audience(event, &said, &mut wrong);
        repeats(event, &said, seen, outcomes.get(&event.name), &mut wrong);
        if let Some(outcome) = outcomes.get(&event.name) {
            truth(event, &said, outcome, seen, &mut wrong);
        }
    }
    order(plan, seen, &mut wrong);
    wrong
}

fn outcomes(seen: &Evidence, wrong: &mut Vec<Wrong>) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for record in &seen.outcomes {
        let body: Value = serde_json::from_slice(&record.message.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&body["correlationId"]);
        let status = text(&body["status"]);
        if !["SENT", "ACCEPTED", "FAILED"].contains(&status.as_str()) {
            wrong.push(Wrong::Outcomes(format!("{name} has the status {status:?}")));
        }
        let at = record.published_at.as_millis();
        let delivery = text(&body["deliveryId"]);
        let outcome = Outcome { delivery, status, code: text(&body["error"]["code"]), at };
        if !seen.published.contains_key(&name) {
            wrong.push(Wrong::Outcomes(format!("an outcome of {name:?}, which was never published")));
        }
        if let Some(first) = outcomes.insert(name.clone(), outcome) {
            wrong.push(Wrong::Outcomes(format!("{name} has two outcomes: {} and another", first.status)));
        }
    }
    for name in seen.published.keys() {
        if !outcomes.contains_key(name) {
            wrong.push(Wrong::Lost(format!("{name} has no outcome")));
        }
    }
    outcomes
}

fn letters(seen: &Evidence, outcomes: &BTreeMap<String, Outcome>, wrong: &mut Vec<Wrong>) {
    // By delivery: bytes that are no event have no correlation id.
    let mut lettered = BTreeMap::<&str, usize>::new();
    for record in &seen.letters {
        let delivery = record.message.attributes.get(names::DELIVERY_ID).unwrap_or_default();
        *lettered.entry(delivery).or_default() += 1;
    }
    for (name, outcome) in outcomes {
        let letters = lettered.remove(outcome.delivery.as_str()).unwrap_or(0);
        if letters != usize::from(outcome.status == "FAILED") {
            wrong.push(Wrong::Letters(format!(
                "{name} is {} {} and has {letters} dead letters",
                outcome.status, outcome.code
            )));
        }
    }
    for delivery in lettered.keys() {
        wrong.push(Wrong::Lost(format!("a dead letter of {delivery:?}, which has no outcome")));
    }
}

fn audience(event: &Planned, said: &[&Said], wrong: &mut Vec<Wrong>) {
    for said in said {
        let heard = (said.platform, said.target.clone());
        if event.audience.as_ref() != Some(&heard) {
            wrong.push(Wrong::Audience(format!(
                "{} was heard at {heard:?}, not {:?}",
                event.name, event.audience
            )));
        }
    }
}

/// Each time it is said once more must come from a fault of the instance that had said it.
fn repeats(
    event: &Planned,
    said: &[&Said],
    seen: &Evidence,
    outcome: Option<&Outcome>,
    wrong: &mut Vec<Wrong>,
) {
    let recorded = outcome.map(|outcome| {
        // The servers' clock is true time.
        let millis = u64::try_from(outcome.at - 1_735_689_600_000).unwrap_or(0);
        seen.start + Duration::from_millis(millis)
    });
    for (n, again) in said.iter().enumerate() {
        if again.past_duplicate {
            wrong.push(Wrong::Repeated(format!(
                "{} was said once more although the platform called it a duplicate",
                event.name
            )));
        }
        // A user who is connected to several gateways hears it at each.
        let is_same = |before: &&&Said| again.platform != SOCKET || before.instance == again.instance;
        let Some(before) = said.iter().take(n).rev().find(is_same) else { continue };
        if again.platform == DELTA {
            wrong.push(Wrong::Repeated(format!(
                "{} was said twice on the platform that has a key",
                event.name
            )));
        }
        let until = recorded.map_or(again.at, |recorded| again.at.min(recorded + PROMPT));
        // Who died after the record was there left it for the next to find.
        let is_known = recorded.is_some_and(|recorded| recorded + LOOKED_BACK <= again.at);
        if !is_excused(seen, before.instance, before.at, until, !is_known) {
            wrong.push(Wrong::Repeated(format!("{} was said twice, and no fault is why", event.name)));
        }
    }
}

fn is_excused(seen: &Evidence, instance: usize, from: Instant, to: Instant, by_crash: bool) -> bool {
    seen.harms.iter().any(|harm| {
        let excuses = match harm.kind {
            HarmKind::Crash => by_crash,
            HarmKind::Freeze | HarmKind::Cut | HarmKind::Uncertain => true,
            HarmKind::Flaky | HarmKind::Slow | HarmKind::Repeats | HarmKind::Disconnected => false,
        };
        excuses && harm.instance == instance && harm.from <= to && harm.to >= from
    })
}

/// An outcome says what happened.
fn truth(event: &Planned, said: &[&Said], outcome: &Outcome, seen: &Evidence, wrong: &mut Vec<Wrong>) {
    match (outcome.status.as_str(), said.first()) {
        ("SENT" | "ACCEPTED", None) => {
            wrong.push(Wrong::Untrue(format!("{} is {} and was never said", event.name, outcome.status)));
        }
        ("FAILED", Some(first)) if outcome.code != "unverified" => {
            // Whoever said it may not have been able to tell.
            let published = seen.published.get(&event.name).copied().unwrap_or(first.at);
            if !said.iter().any(|said| {
                is_excused(
                    seen,
                    said.instance,
                    published.max(said.at),
                    said.at + Duration::from_secs(120),
                    true,
                )
            }) {
                wrong.push(Wrong::Untrue(format!("{} is FAILED {} and was said", event.name, outcome.code)));
            }
        }
        _ => {}
    }
    // Fan-out and gateways that are no more have their own tests.
    let _ = &seen.gateways;
}

/// Two events of one conversation and topic keep their order where nothing went wrong meanwhile, and where
/// nothing did but the death of the instance whose topic it was.
fn order(plan: &Plan, seen: &Evidence, wrong: &mut Vec<Wrong>) {
    let first_said = |name: &str| seen.said.iter().find(|said| said.text == name).map(|said| said.at);
    let told: Vec<(&Planned, Instant, Instant)> = plan
        .events
        .iter()
        .filter(|event| event.audience.is_some())
        .filter_map(|event| Some((event, *seen.published.get(&event.name)?, first_said(&event.name)?)))
        .collect();
    for (one, published, said) in &told {
        for (other, later, said_too) in &told {
            let is_pair = one.audience == other.audience && one.topic == other.topic && published < later;
            if !is_pair || said <= said_too {
                continue;
            }
            let harms = || {
                seen.harms
                    .iter()
                    .filter(|harm| harm.from <= *said && harm.to + Duration::from_secs(30) >= *published)
            };
            let owner = plan.instances.iter().position(|instance| {
                InstanceId::parse(&instance.name)
                    .is_ok_and(|id| instance.role.topic(&id).as_str() == one.topic)
            });
            // Its owner died for good, and another takes all of it over. When it comes back, or begins after the
            // first of it, who says what is between the two.
            let is_death = |harm: &Harm| {
                harm.kind == HarmKind::Crash
                    && owner == Some(harm.instance)
                    && seen
                        .starts
                        .iter()
                        .all(|(of, at)| *of != harm.instance || *at < *published || *at > *said)
            };
            let is_kept = harms().all(is_death);
            let no_moves = one.audience.as_ref().is_some_and(|(platform, _)| *platform != SOCKET);
            let settled_in = *published > seen.start + Duration::from_secs(25);
            if is_kept && no_moves && settled_in {
                wrong.push(Wrong::Order(format!(
                    "{} was said before {}, which came first",
                    other.name, one.name
                )));
            }
        }
    }
}
