//! The routing slip of a rule.

use chatbus_event::{Family, Topic};
use serde_json::Value;

use super::MAX_RULE_ID_BYTES;
use crate::fields::Fields;
use crate::problem::Report;
use crate::slip::{MAX_ATTEMPTS, MAX_STEPS, Plan, is_followed};

/// The most bytes of a step's `attributes`.
const MAX_ATTRIBUTES_BYTES: usize = 8 * 1024;
/// How often a step is tried that does not say.
const DEFAULT_ATTEMPTS: u64 = 3;

/// What may stand in a step. Status and the like are written by whoever takes it, and allowed so that a step
/// can be copied from an event.
const MEMBERS: [&str; 11] = [
    "id",
    "v",
    "nextTopic",
    "maxAttempts",
    "attributes",
    "status",
    "attempt",
    "startedAt",
    "endedAt",
    "error",
    "notes",
];

pub(super) fn read(rule: &Fields<'_>, known_topics: &[Topic], report: &mut Report) -> Vec<Plan> {
    let steps = rule.list("routingSlip", MAX_STEPS, report);
    let read = |(at, step): (usize, &Value)| plan(at, step, known_topics, report);
    steps.iter().enumerate().filter_map(read).collect()
}

fn plan(at: usize, step: &Value, known_topics: &[Topic], report: &mut Report) -> Option<Plan> {
    let path = format!("routingSlip[{at}]");
    let fields = Fields::of(step, &path, &MEMBERS, report)?;
    let id = fields
        .text("id", MAX_RULE_ID_BYTES, report)
        .map_or_else(|| format!("step-{}", at + 1), str::to_owned);
    let attempts = fields.number("maxAttempts", report);
    let max_attempts = match attempts {
        None => DEFAULT_ATTEMPTS,
        Some(number) => match (1..=MAX_ATTEMPTS).find(|whole| number.to_string() == whole.to_string()) {
            Some(whole) => whole,
            None => {
                report.add(fields.at("maxAttempts"), format!("not a whole number from 1 to {MAX_ATTEMPTS}"));
                DEFAULT_ATTEMPTS
            }
        },
    };
    let attributes = fields.own("attributes", MAX_ATTRIBUTES_BYTES, report);
    let text = match fields.get("nextTopic") {
        None => {
            report.add(fields.at("nextTopic"), "missing");
            return None;
        }
        Some(_) => fields.text("nextTopic", 200, report)?,
    };
    match next_topic(text, known_topics) {
        Ok(next_topic) => Some(Plan { id, next_topic, max_attempts, attributes }),
        Err(why) => {
            report.add(fields.at("nextTopic"), why);
            None
        }
    }
}

/// A topic that a rule may send to.
fn next_topic(text: &str, known_topics: &[Topic]) -> Result<Topic, String> {
    let topic = Topic::parse(text).map_err(|error| error.to_string())?;
    match topic.family() {
        Family::Ingress | Family::Enriched => {
            Err(format!("{text} leads back to the router: the event would go in circles"))
        }
        Family::Finalizer => Err(format!("{text} takes outcomes, not events")),
        Family::DeadLetter | Family::RouterDlq => Err(format!("{text} takes dead letters, not events")),
        _ if is_followed(&topic, known_topics) => Ok(topic),
        _ => Err(format!("{text} is neither a topic of chatbus nor configured")),
    }
}
