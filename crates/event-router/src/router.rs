//! The handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, Failure, HandlerError, Outgoing, Record};
use chatbus_event::{Event, MAX_EVENT_BYTES, Reason, Topic};
use chatbus_routing::slip::{Input, Onward, OnwardContext, onward};
use chatbus_routing::{RouteContext, Routed, RuleSet};
use tokio::sync::watch;

use crate::memory::Memory;

/// What a router is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterConfig {
    /// Who publishes, such as `event-router.{instanceId}`.
    pub source: String,
    /// Topics beyond the contract's that a step, or a copy of an outcome, may go to.
    pub known_topics: Vec<Topic>,
}

/// Applies the rules to what it reads, and publishes what follows. What it writes down as the time is when the
/// bus accepted its input, and every id is made from the input's: handling a message again gives the same.
#[derive(Debug)]
pub struct Router {
    rules: watch::Receiver<RuleSet>,
    memory: Memory,
    config: RouterConfig,
    counts: Arc<RouterCounts>,
}

/// What was routed since the start.
#[derive(Debug, Default)]
pub struct RouterCounts {
    total: AtomicU64,
    matched: AtomicU64,
    unmatched: AtomicU64,
    invalid: AtomicU64,
}

/// After so many events others have their turn: nothing here waits by itself.
const EVENTS_AT_ONCE: usize = 32;
/// A command asks for an answer by its type.
const COMMAND: &str = "chat.command.v1";

// === impl Router ===

impl Router {
    /// A router that asks the rules as they are at the time.
    pub fn new(rules: watch::Receiver<RuleSet>, config: RouterConfig) -> Self {
        Self { rules, memory: Memory::default(), config, counts: Arc::default() }
    }

    /// What was routed; goes on counting.
    pub fn counts(&self) -> Arc<RouterCounts> {
        self.counts.clone()
    }

    fn one(&self, rules: &RuleSet, record: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        self.counts.total.fetch_add(1, Ordering::Relaxed);
        let event = read(record).inspect_err(|_| {
            self.counts.invalid.fetch_add(1, Ordering::Relaxed);
        })?;
        let message = &record.message;
        let cx = RouteContext { now: record.published_at, message_id: &message.id };
        let user = event.auth().and_then(|auth| auth.user_ref).or_else(|| {
            let user = event.user_id()?;
            Some(format!("{}\n{user}", event.source()))
        });
        let choose = |rule: &str, count| self.memory.pick(&message.id, user.as_deref(), rule, count);
        let routed = rules.route(event, &cx, choose);
        let counter = if routed.chosen.is_some() { &self.counts.matched } else { &self.counts.unmatched };
        counter.fetch_add(1, Ordering::Relaxed);
        let cx = OnwardContext {
            now: record.published_at,
            source: &self.config.source,
            known_topics: &self.config.known_topics,
        };
        let chosen = routed.chosen.clone();
        let onward = follow(routed, &cx);
        log(record, chosen.as_deref(), &onward);
        let input = Input { message_id: &message.id, topic: &record.topic, attributes: &message.attributes };
        let published = onward.publications(&input, &cx).into_iter();
        Ok(published
            .map(|one| Outgoing {
                topic: one.topic,
                step: one.step,
                attributes: one.attributes,
                body: one.body,
            })
            .collect())
    }
}

#[async_trait]
impl BatchHandler for Router {
    fn name(&self) -> &'static str {
        "event-router"
    }

    async fn handle(&self, inputs: &[&Record]) -> Vec<Result<Vec<Outgoing>, HandlerError>> {
        // All of a batch are asked by the same rules.
        let rules = self.rules.borrow().clone();
        let mut all = Vec::with_capacity(inputs.len());
        for (at, record) in inputs.iter().enumerate() {
            if at % EVENTS_AT_ONCE == EVENTS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            all.push(self.one(&rules, record));
        }
        all
    }
}

/// The event that a message is.
fn read(record: &Record) -> Result<Event, HandlerError> {
    let body = &record.message.body;
    let invalid = |code: &str, message: String| {
        HandlerError::GiveUp(Failure { reason: Reason::InvalidEvent, code: code.to_owned(), message })
    };
    if body.len() > MAX_EVENT_BYTES {
        return Err(invalid(
            "too_large",
            format!("{} bytes, at most {MAX_EVENT_BYTES} are read", body.len()),
        ));
    }
    Event::decode(body).map_err(|error| invalid("json", error.to_string()))
}

/// Where an event goes after the rules. What none matches ends here: with an outcome, or, where an answer is
/// asked for, as a dead letter.
pub(crate) fn follow(routed: Routed, cx: &OnwardContext<'_>) -> Onward {
    let Routed { event, chosen, is_silent, .. } = routed;
    match chosen {
        Some(_) if is_silent => Onward::Nothing { event },
        Some(_) => onward(event, None, cx),
        None if asks_for_an_answer(&event) => {
            Onward::DeadLetter { topic: Topic::router_dlq(), reason: Reason::NoRule, error: None, event }
        }
        None => Onward::Nothing { event },
    }
}

fn asks_for_an_answer(event: &Event) -> bool {
    event.kind() == COMMAND
        || event.metadata("answerRequired").and_then(|asked| asked.as_bool()) == Some(true)
}

fn log(record: &Record, rule: Option<&str>, onward: &Onward) {
    let (event, outcome, to) = match onward {
        Onward::Event { event, topic, .. } => (event, "event", topic.family().label()),
        Onward::Nothing { event } => (event, "none", ""),
        Onward::DeadLetter { event, reason, .. } => (event, "deadletter", reason.as_str()),
    };
    let correlation_id = event.correlation_id().unwrap_or_default();
    match onward {
        Onward::DeadLetter { reason, .. } => tracing::warn!(
            event = "router.deadletter", correlationId = %correlation_id, eventId = %record.message.id, rule,
            reason = %reason,
        ),
        _ => tracing::debug!(
            event = "router.routed", correlationId = %correlation_id, eventId = %record.message.id, rule,
            outcome, to,
        ),
    }
}

// === impl RouterCounts ===

impl RouterCounts {
    /// Events that were read.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Events that a rule matched.
    pub fn matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Events that none matched.
    pub fn unmatched(&self) -> u64 {
        self.unmatched.load(Ordering::Relaxed)
    }

    /// Messages that were no events.
    pub fn invalid(&self) -> u64 {
        self.invalid.load(Ordering::Relaxed)
    }
}
