//! The service: one answer for each event.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_bus::{Failure, Handler, HandlerError, Outgoing, Record};
use chatbus_event::json::Raw;
use chatbus_event::{Event, Reason, Topic};
use chatbus_routing::slip::{Done, Input, OnwardContext, Publication, onward};
use chatbus_runtime::Runtime;
use chatbus_store::Documents;
use tokio::sync::Semaphore;

use crate::answers::Answers;
use crate::budget::{Accounts, Spent};
use crate::config::LlmConfig;
use crate::counts::{Counters, Counts};
use crate::memory::{Memory, Said};
use crate::model::{ClientError, ModelClient, ModelFailure};
use crate::outcome::{Outcome, apply};
use crate::personality::Library;
use crate::prompt::{compose, messages, to_remember};
use crate::question::Question;
use crate::reply::fit;

/// The service's name: its group, its label, and the `source` of what it publishes.
pub const NAME: &str = "llm-bot";

/// Answers events with a language model.
///
/// It can be run as a [`BatchHandler`](chatbus_bus::BatchHandler) or as a [`Handler`]; both keep the order within
/// a conversation.
pub struct LlmBot {
    config: LlmConfig,
    runtime: Runtime,
    model: ModelClient,
    library: Library,
    memory: Memory,
    accounts: Accounts,
    answers: Answers,
    places: Semaphore,
    counters: Arc<Counters>,
}

/// A message that can be handled, and what it says.
pub(crate) struct Work<'a> {
    pub(crate) record: &'a Record,
    pub(crate) event: Event,
    pub(crate) question: Question,
}

/// The process stops, and this was not begun or not finished in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stopping;

// === impl LlmBot ===

impl LlmBot {
    /// The service. Personalities are looked up in `store`, if there is one, and in the configured files.
    ///
    /// # Errors
    /// When the configuration names no endpoint that can be called.
    pub fn new(
        config: LlmConfig,
        store: Option<Arc<dyn Documents>>,
        runtime: Runtime,
    ) -> Result<Self, ClientError> {
        let counters = Arc::<Counters>::default();
        let model = ModelClient::new(&config, &runtime, Arc::clone(&counters))?;
        let clock = Arc::clone(&runtime.clock);
        Ok(Self {
            model,
            library: Library::new(&config.personalities, store, clock, Arc::clone(&counters)),
            memory: Memory::new(config.memory),
            accounts: Accounts::new(&config.budgets),
            answers: Answers::new(config.remembered_answers),
            places: Semaphore::new(config.parallel.clamp(1, Semaphore::MAX_PERMITS)),
            counters,
            config,
            runtime,
        })
    }

    /// What was counted since the start.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// What a message says, unless it is no event.
    pub(crate) fn read<'a>(&self, record: &'a Record) -> Result<Work<'a>, HandlerError> {
        let event = Event::decode(&record.message.body).map_err(|error| {
            HandlerError::GiveUp(Failure {
                reason: Reason::InvalidEvent,
                code: Reason::InvalidEvent.as_str().to_owned(),
                message: error.to_string(),
            })
        })?;
        let is_platform = |name: &str| self.config.reply.by_platform.contains_key(name);
        let question = Question::of(&event, is_platform);
        Ok(Work { record, event, question })
    }

    /// Handles one message, all the way to what is published.
    pub(crate) async fn one(&self, work: Work<'_>) -> Result<Vec<Outgoing>, HandlerError> {
        let Work { record, mut event, question } = work;
        let done = if is_for_us(&event, &record.topic) {
            let outcome = Box::pin(self.outcome(record, &question)).await.map_err(|Stopping| {
                self.counters.given_back.add(1);
                HandlerError::Retry("the process stops".to_owned())
            })?;
            log(record, &event, &outcome);
            let (id, at) = (&record.message.id, record.published_at);
            Some(apply(outcome, &mut event, id, &self.config.model, at))
        } else {
            None
        };
        Ok(self.go_on(record, event, done))
    }

    fn go_on(&self, record: &Record, event: Event, done: Option<Done>) -> Vec<Outgoing> {
        let cx =
            OnwardContext { now: record.published_at, source: NAME, known_topics: &self.config.known_topics };
        let input = Input {
            message_id: &record.message.id,
            topic: &record.topic,
            attributes: &record.message.attributes,
        };
        let publications = onward(event, done, &cx).publications(&input, &cx);
        publications.into_iter().map(outgoing).collect()
    }

    /// What comes of a message: what came of it before, if it was here already.
    async fn outcome(&self, record: &Record, question: &Question) -> Result<Outcome, Stopping> {
        let id = &record.message.id;
        let now = self.runtime.clock.instant();
        let stopping = async {
            self.runtime.stop.cancelled().await;
            Err(Stopping)
        };
        let turn = async { Ok(self.memory.turn(question.conversation.as_ref(), now).await) };
        let mut turn =
            tokio::select! { biased; stopping = stopping => return stopping, turn = turn => turn? };
        if let Some(outcome) = self.answers.get(id) {
            self.counters.repeated.add(1);
            return Ok(outcome);
        }
        let outcome = match self.refuse(question) {
            Some(outcome) => outcome,
            None => {
                let before = turn.recall(now);
                let answer = Box::pin(self.within_grace(self.ask(question, &before))).await??;
                if let Outcome::Said(text) = &answer {
                    turn.remember(&to_remember(question), text, self.runtime.clock.instant());
                }
                answer
            }
        };
        self.count(&outcome);
        self.answers.put(id, &outcome);
        Ok(outcome)
    }

    /// Why a question is not asked; `None` when it is.
    fn refuse(&self, question: &Question) -> Option<Outcome> {
        if question.is_banned {
            return Some(Outcome::Nothing("the user is banned"));
        }
        if question.is_empty() {
            return Some(Outcome::Nothing("neither a prompt nor a text"));
        }
        let failed =
            |code, message: &str| Some(Outcome::Failed(ModelFailure { code, message: message.to_owned() }));
        if question.timeout_at.is_some_and(|at| at <= self.runtime.clock.now()) {
            return failed("timeout", "the event's timeoutAt is over");
        }
        let now = self.runtime.clock.instant();
        let spent = self.accounts.take(question.user.as_ref(), question.channel.as_ref(), now).err()?;
        self.counters.over_budget.add(1);
        match spent {
            Spent::User => failed("budget", "the user asks too often"),
            Spent::Channel => failed("budget", "the channel asks too often"),
        }
    }

    /// Asks the model, when a place is free.
    async fn ask(&self, question: &Question, before: &[Said]) -> Result<Outcome, Stopping> {
        let place = tokio::select! {
            biased;
            () = self.runtime.stop.cancelled() => return Err(Stopping),
            // Never closed.
            place = self.places.acquire() => place.map_err(|_| Stopping)?,
        };
        let personalities = self.library.texts(&question.personalities).await;
        let system = compose(&self.config.system_prompt, &personalities, self.config.personalities.compose);
        let sent = messages(&system, question, before, self.config.max_prompt_chars);
        let answer = self.model.complete(&sent).await;
        drop(place);
        Ok(match answer {
            Ok(answer) => match fit(&answer, self.config.reply.of(&question.platform)) {
                Some(text) => Outcome::Said(text),
                None => Outcome::Nothing("the model's answer is empty"),
            },
            Err(failure) => Outcome::Failed(failure),
        })
    }

    /// What is in hand at the stop may go on for the grace.
    async fn within_grace<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopping> {
        let over = async {
            self.runtime.stop.cancelled().await;
            tokio::time::sleep(self.config.stop_grace).await;
        };
        tokio::select! { biased; done = work => Ok(done), () = over => Err(Stopping) }
    }

    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Said(_) => &self.counters.answered,
            Outcome::Nothing(_) => &self.counters.skipped,
            Outcome::Failed(_) => &self.counters.failed,
        };
        counter.add(1);
    }
}

impl std::fmt::Debug for LlmBot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmBot").field("model", &self.model).finish_non_exhaustive()
    }
}

#[async_trait]
impl Handler for LlmBot {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn handle(&self, input: &Record) -> Result<Vec<Outgoing>, HandlerError> {
        self.one(self.read(input)?).await
    }
}

/// Whether the step that comes next is ours: it is to be taken, and goes to this topic. An event without a slip
/// was sent to us by somebody who wanted it answered. What is not ours is passed on as its slip says.
fn is_for_us(event: &Event, topic: &Topic) -> bool {
    let steps = event.member("routingSlip").and_then(|slip| slip.as_array()).unwrap_or_default();
    let mut left =
        steps.iter().filter(|step| step.is_object()).map(|step| step.pick(["status", "nextTopic"]));
    let word = |raw: Option<Raw>| raw?.as_str().map(std::borrow::Cow::into_owned);
    let next = left.find_map(|[status, next_topic]| {
        let status = word(status).unwrap_or_else(|| "PENDING".to_owned());
        (!matches!(status.as_str(), "OK" | "SKIP")).then_some((status, word(next_topic)))
    });
    match next {
        Some((status, next)) => status == "PENDING" && next.is_none_or(|next| next == topic.as_str()),
        None => steps.is_empty(),
    }
}

fn outgoing(publication: Publication) -> Outgoing {
    let Publication { topic, step, attributes, body } = publication;
    Outgoing { topic, step, attributes, body }
}

fn log(record: &Record, event: &Event, outcome: &Outcome) {
    let correlation_id = event.correlation_id().unwrap_or_default();
    let id = &record.message.id;
    match outcome {
        Outcome::Said(text) => tracing::debug!(
            event = "llm.answered", component = NAME, correlationId = %correlation_id, eventId = %id,
            chars = text.chars().count(),
        ),
        Outcome::Nothing(reason) => tracing::debug!(
            event = "llm.skipped", component = NAME, correlationId = %correlation_id, eventId = %id, reason,
        ),
        Outcome::Failed(failure) => tracing::warn!(
            event = "llm.failed", component = NAME, correlationId = %correlation_id, eventId = %id,
            errorCode = failure.code, reason = failure.message,
        ),
    }
}
