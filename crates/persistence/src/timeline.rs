//! An event's way, for people. Pure.

mod words;

use std::fmt::Write as _;

use chatbus_event::Timestamp;
use chatbus_store::{EventStatus, StoredEvent, TimelineStep};
use serde::Serialize;
use serde_json::Value;

/// What became of an event, step by step. As JSON it is what `events show --json` prints.
///
/// Texts of chat stand in it as they are: who prints them on a terminal escapes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The event's correlation id.
    pub correlation_id: String,
    /// How far it is.
    pub status: EventStatus,
    /// Its type.
    pub kind: String,
    /// The platform.
    pub platform: Option<String>,
    /// The channel.
    pub channel: Option<String>,
    /// `provider:id`, or the raw id.
    pub user_id: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// What was said.
    pub text: Option<String>,
    /// When its first step was.
    pub started_at: Timestamp,
    /// Milliseconds from the first step to the last.
    pub total_ms: u64,
    /// The rules that matched.
    pub matched_rules: Vec<String>,
    /// The rule that was applied.
    pub chosen_rule: Option<String>,
    /// What made the answer: the last step of the routing slip that was done, or who made the candidate that
    /// was said.
    pub answered_by: Option<String>,
    /// Attempts to deliver, over all outcomes.
    pub attempts: usize,
    /// The status of each outcome, in their order.
    pub outcomes: Vec<String>,
    /// The steps.
    pub lines: Vec<TimelineLine>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineLine {
    /// What was done.
    pub name: String,
    /// When.
    pub at: Timestamp,
    /// Milliseconds since the first step.
    pub since_first_ms: u64,
    /// Milliseconds it took: what the step itself tells of its begin and end, else since the step before.
    pub took_ms: u64,
    /// More about it, for people.
    pub what: String,
    /// What is kept of it.
    pub detail: Value,
}

// === impl Timeline ===

impl Timeline {
    /// The way of an event, from what the store has of it. Steps in any order; they come out by time.
    pub fn of(event: &StoredEvent, steps: &[TimelineStep]) -> Self {
        let mut steps: Vec<&TimelineStep> = steps.iter().collect();
        steps.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        let started_at = steps.first().map_or(event.first_at, |step| step.at);
        let ended_at = steps.last().map_or(event.last_at, |step| step.at);
        let facts = &event.facts;
        let mut timeline = Self {
            correlation_id: event.correlation_id.clone(),
            status: event.status,
            kind: facts.kind.clone(),
            platform: facts.platform.clone(),
            channel: facts.channel.clone(),
            user_id: facts.user_id.clone(),
            user_name: facts.user_name.clone(),
            text: facts.text.clone(),
            started_at,
            total_ms: millis(ended_at, started_at),
            matched_rules: Vec::new(),
            chosen_rule: None,
            answered_by: None,
            attempts: 0,
            outcomes: Vec::new(),
            lines: Vec::with_capacity(steps.len()),
        };
        let mut before = started_at;
        // Of one millisecond what leads to the other stands first.
        steps.sort_by_key(|step| (step.at, words::turn(&step.name)));
        for step in steps {
            let detail: Value = serde_json::from_slice(&step.detail).unwrap_or(Value::Null);
            timeline.learn(&step.name, &detail);
            timeline.lines.push(TimelineLine {
                name: step.name.clone(),
                at: step.at,
                since_first_ms: millis(step.at, started_at),
                took_ms: own_time(&detail).unwrap_or_else(|| millis(step.at, before)),
                what: words::what(&step.name, &detail),
                detail,
            });
            before = step.at;
        }
        timeline
    }

    /// The lines as they are printed, each ended by a line break.
    pub fn to_text(&self) -> String {
        let word = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}  {}  {}", self.correlation_id, self.status.as_str(), self.kind);
        let (user, name) = (word(&self.user_id), word(&self.user_name));
        let _ = writeln!(out, "{} in {} by {name} ({user})", word(&self.platform), word(&self.channel));
        if let Some(text) = &self.text {
            let _ = writeln!(out, "  {text}");
        }
        for line in &self.lines {
            let (since, took) = (line.since_first_ms, line.took_ms);
            let _ = writeln!(out, "{} {since:>8} ms {took:>8} ms  {:<12} {}", line.at, line.name, line.what);
        }
        let outcome = if self.outcomes.is_empty() { "none yet".to_owned() } else { self.outcomes.join(", ") };
        let _ = writeln!(
            out,
            "rule {}, answered by {}, {} attempts, outcome {outcome}, {} ms in all",
            word(&self.chosen_rule),
            word(&self.answered_by),
            self.attempts,
            self.total_ms
        );
        out
    }

    fn learn(&mut self, name: &str, detail: &Value) {
        match name {
            "routed" => {
                self.matched_rules = words::list(&detail["matchedRuleIds"]);
                self.chosen_rule = detail["chosenRuleId"].as_str().map(str::to_owned);
            }
            "answered" if detail["status"] == "OK" => {
                self.answered_by = detail["by"].as_str().map(str::to_owned);
            }
            "outcome" => {
                self.attempts += detail["attempts"].as_array().map_or(0, Vec::len);
                self.outcomes.push(detail["status"].as_str().unwrap_or("FINALIZED").to_owned());
                self.answered_by = self.answered_by.take().or_else(|| words::author(&detail["candidates"]));
            }
            _ => {}
        }
    }
}

/// What a step tells of its own begin and end.
fn own_time(detail: &Value) -> Option<u64> {
    let at = |name: &str| Timestamp::parse(detail[name].as_str()?);
    Some(millis(at("endedAt")?, at("startedAt")?))
}

fn millis(later: Timestamp, earlier: Timestamp) -> u64 {
    u64::try_from(later.since(earlier).as_millis()).unwrap_or(u64::MAX)
}
