//! The steps of a slip as they are written. Members that we do not know stay where they are.

use chatbus_event::json::{Object, Raw};
use chatbus_event::{Event, Timestamp, Topic};
use serde_json::{Map, Value, json};

/// The longest slip that a rule may give.
pub const MAX_STEPS: usize = 16;
/// A step is tried at most so often, whatever its `maxAttempts` says.
pub const MAX_ATTEMPTS: u64 = 10;

/// Texts that a step keeps are cut to so many bytes.
const MAX_NOTE_BYTES: usize = 1000;
/// Codes that a step keeps are cut to so many bytes.
const MAX_CODE_BYTES: usize = 64;

/// A step that is to be taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Names the step within its slip.
    pub id: String,
    /// Where the service that takes it listens.
    pub next_topic: Topic,
    /// How often it may be tried, 1 to [`MAX_ATTEMPTS`].
    pub max_attempts: u64,
    /// What the service is told.
    pub attributes: Map<String, Value>,
}

/// The slip of an event.
#[derive(Debug, Clone)]
pub(super) struct Slip(Vec<Item>);

#[derive(Debug, Clone)]
enum Item {
    Step(Step),
    /// Something that is no object: passed on.
    Odd(Raw),
}

/// A step: the members we decide by are read when they are asked for.
#[derive(Debug, Clone)]
pub(super) struct Step {
    members: Object,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Done,
    /// It failed, or its status is a word of somebody else's.
    Failed,
}

/// Writes a new slip in place of the event's own. One with no steps is one that is done: a step of the router's
/// stands in it, so that it can be told from a slip that nobody wrote.
pub fn set_plan(event: &mut Event, steps: &[Plan]) {
    let written: Vec<Value> = steps.iter().map(Plan::to_json).collect();
    let done = [json!({ "id": "router", "v": "1", "status": "OK" })];
    event.set("routingSlip", Raw::of(if written.is_empty() { &done[..] } else { &written }));
}

/// The text cut to so many bytes, at the end of a character.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

// === impl Plan ===

impl Plan {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id, "v": "1", "status": "PENDING", "attempt": 0,
            "maxAttempts": self.max_attempts.clamp(1, MAX_ATTEMPTS),
            "nextTopic": self.next_topic.as_str(),
            "attributes": self.attributes,
            "startedAt": null, "endedAt": null, "error": null, "notes": null,
        })
    }
}

// === impl Slip ===

impl Slip {
    pub(super) fn of(event: &Event) -> Self {
        let items = event.member("routingSlip").and_then(|raw| raw.as_array()).unwrap_or_default();
        let item = |raw: Raw| match raw.as_object() {
            Some(members) => Item::Step(Step { members }),
            None => Item::Odd(raw),
        };
        Self(items.into_iter().map(item).collect())
    }

    /// The first step that is not done, with its place.
    pub(super) fn current(&mut self) -> Option<(usize, &mut Step)> {
        let steps = self.0.iter_mut().enumerate().filter_map(|(at, item)| match item {
            Item::Step(step) => Some((at, step)),
            Item::Odd(_) => None,
        });
        steps.into_iter().find(|(_, step)| step.state() != State::Done)
    }

    pub(super) fn write(&self, event: &mut Event) {
        let items: Vec<Raw> = self
            .0
            .iter()
            .map(|item| match item {
                Item::Step(step) => step.members.to_raw(),
                Item::Odd(raw) => raw.clone(),
            })
            .collect();
        event.set("routingSlip", Raw::of(&items));
    }
}

// === impl Step ===

impl Step {
    pub(super) fn state(&self) -> State {
        let Some(status) = self.members.get("status").filter(|status| !status.is_null()) else {
            return State::Pending;
        };
        match status.as_str().as_deref() {
            Some("PENDING") => State::Pending,
            Some("OK" | "SKIP") => State::Done,
            _ => State::Failed,
        }
    }

    pub(super) fn id(&self) -> Option<String> {
        self.text("id")
    }

    pub(super) fn next_topic(&self) -> Option<String> {
        self.text("nextTopic").filter(|topic| !topic.trim().is_empty())
    }

    pub(super) fn is_left_to_try(&self) -> bool {
        let most = self.members.get("maxAttempts").and_then(|most| most.as_u64()).unwrap_or(1);
        self.attempt() < most.min(MAX_ATTEMPTS)
    }

    pub(super) fn begin(&mut self, now: Timestamp) {
        if self.members.get("startedAt").is_none_or(|at| at.is_null()) {
            self.members.set("startedAt", Raw::of(&now));
        }
        self.members.set("status", Raw::of("PENDING"));
        self.members.set("attempt", Raw::of(&self.attempt().saturating_add(1)));
    }

    pub(super) fn end(&mut self, status: &str, now: Timestamp) {
        self.members.set("status", Raw::of(status));
        self.members.set("endedAt", Raw::of(&now));
    }

    pub(super) fn note(&mut self, text: &str) {
        self.members.set("notes", Raw::of(clip(text, MAX_NOTE_BYTES)));
    }

    pub(super) fn blame(&mut self, code: &str, message: &str, retryable: bool) {
        let error = json!({
            "code": clip(code, MAX_CODE_BYTES),
            "message": clip(message, MAX_NOTE_BYTES),
            "retryable": retryable,
        });
        self.members.set("error", Raw::of(&error));
    }

    /// `error`: its code and its message, as far as they are there; it may also be a text.
    pub(super) fn error(&self) -> Option<(Option<String>, Option<String>)> {
        let error = self.members.get("error").filter(|error| !error.is_null())?;
        if let Some(text) = error.as_str() {
            return Some((None, Some(text.into_owned())));
        }
        let [code, message] = error.is_object().then(|| error.pick(["code", "message"]))?;
        let text = |raw: Option<Raw>| raw?.as_str().map(std::borrow::Cow::into_owned);
        Some((text(code), text(message)))
    }

    fn attempt(&self) -> u64 {
        self.members.get("attempt").and_then(|attempt| attempt.as_u64()).unwrap_or(0)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.members.get(key)?.as_str().map(std::borrow::Cow::into_owned)
    }
}
