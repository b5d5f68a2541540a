//! The service that answers with a language model.
//!
//! It takes events whose routing slip names `internal.llmbot.v1`, asks any endpoint that speaks the
//! OpenAI-compatible chat completions protocol (streamed or not), and adds what it answers as a candidate. Then
//! the slip says where the event goes on.
//!
//! * **Order.** Events of one conversation (platform, channel, user and audience) are answered one after another,
//!   others at the same time, up to a bound.
//! * **Failures.** An event that cannot be answered has no candidate: its step is `ERROR` with a code, and
//!   nothing of the user's words stands in it. Codes: `rate_limited`, `timeout`, `model_error`, `bad_answer`,
//!   `budget`.
//! * **Redelivery.** What came of a message is remembered within the process, so that the same message leads to
//!   the same bytes again.
//! * **Bounds.** Everything is bounded: see [`LlmConfig`].

mod answers;
mod batch;
mod bot;
mod budget;
mod config;
mod counts;
mod memory;
mod model;
mod outcome;
mod personality;
mod prompt;
mod question;
mod reply;

pub use bot::{LlmBot, NAME};
pub use config::{
    Budget, Budgets, Compose, LlmConfig, MemoryBounds, PersonalityConfig, ReplyRule, ReplyRules,
};
pub use counts::Counts;
pub use model::ClientError;
pub use personality::check_personality;
