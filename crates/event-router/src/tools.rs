//! For people who write rules: are they right, and what do they make of an event.

use std::path::Path;

use bytes::Bytes;
use chatbus_event::{Event, InvalidEvent, MessageId, Timestamp};
use chatbus_routing::slip::{Onward, OnwardContext};
use chatbus_routing::{Compiler, Explained, RouteContext, RuleSet, pick};
use serde::Serialize;

use crate::files;
use crate::kept::told;
use crate::router::follow;

/// A file of rules that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// The ids of its rules; none when it cannot be read as rules.
    pub rules: Vec<String>,
    /// Everything that is wrong, each with rule and field.
    pub problems: Vec<String>,
}

/// What the rules make of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Each rule, in the order in which they are asked.
    pub rules: Vec<Explained>,
    /// The rule that is applied.
    pub chosen: Option<String>,
    /// Where the event goes: a topic; `NONE` when it ends here; `no_rule` or `max_deliveries` when it becomes a
    /// dead letter.
    pub goes_to: String,
    /// The event as it goes on, as JSON.
    pub event: String,
}

/// Checks a file of rules, or all of a folder.
///
/// # Errors
/// When it is not there or cannot be looked into.
pub async fn check(path: &Path, compiler: &Compiler) -> std::io::Result<Vec<Checked>> {
    let mut all: Vec<Checked> = Vec::new();
    for file in files::find(path).await? {
        let (rules, mut problems): (Vec<String>, Vec<String>) = match files::read(&file.path).await {
            Err(error) => (Vec::new(), vec![format!("{}: {error}", file.name)]),
            Ok(text) => match compiler.rules(&file.name, &text) {
                Ok(rules) => (rules.iter().map(|rule| rule.rule().id.clone()).collect(), Vec::new()),
                Err(problems) => (Vec::new(), told(&problems)),
            },
        };
        for id in &rules {
            // Of two files the later one would count, which nobody means.
            if let Some(other) = all.iter().find(|other| other.rules.contains(id)) {
                problems.push(format!(
                    "{}: rule {id:?}: id: {} has a rule of this name too",
                    file.name, other.name
                ));
            }
        }
        all.push(Checked { name: file.name, rules, problems });
    }
    Ok(all)
}

/// Runs an event through rules as the router would, and tells what each made of it and why. Nothing is sent.
///
/// # Errors
/// When the bytes are no event.
pub fn test(rules: &RuleSet, event: &Bytes, now: Timestamp) -> Result<Tested, InvalidEvent> {
    let event = Event::decode(event)?;
    let explained = rules.explain(&event, now);
    let message_id = MessageId::new(event.id().as_deref().unwrap_or("test"));
    let cx = RouteContext { now, message_id: &message_id };
    let routed = rules.route(event, &cx, |rule, count| pick(&message_id, rule, count, None));
    let chosen = routed.chosen.clone();
    let known_topics: Vec<_> =
        rules.rules().flat_map(|rule| &rule.routing_slip).map(|step| step.next_topic.clone()).collect();
    let cx = OnwardContext { now, source: "event-router", known_topics: &known_topics };
    let (goes_to, event) = match follow(routed, &cx) {
        Onward::Event { topic, event, .. } => (topic.to_string(), event),
        Onward::Nothing { event } => ("NONE".to_owned(), event),
        Onward::DeadLetter { reason, event, .. } => (reason.to_string(), event),
    };
    let event = String::from_utf8_lossy(&event.encode()).into_owned();
    Ok(Tested { rules: explained, chosen, goes_to, event })
}
