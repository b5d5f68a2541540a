//! Why a model did not answer.

/// A call that failed for good. Nothing in it comes from the endpoint's or the user's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelFailure {
    /// `rate_limited`, `timeout`, `model_error` or `bad_answer`; `budget` where it was not called at all.
    pub(crate) code: &'static str,
    /// What happened, for people.
    pub(crate) message: String,
}

/// Why one try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) failure: ModelFailure,
    /// Whether another try may help.
    pub(super) passes: bool,
    /// How long the endpoint asks us to wait, as it says it.
    pub(super) retry_after: Option<String>,
}

pub(super) const RATE_LIMITED: &str = "rate_limited";
pub(super) const TIMEOUT: &str = "timeout";
pub(super) const MODEL_ERROR: &str = "model_error";
pub(super) const BAD_ANSWER: &str = "bad_answer";

// === impl Trouble ===

impl Trouble {
    /// One that another try may help.
    pub(super) fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self { failure: ModelFailure { code, message: message.into() }, passes: true, retry_after: None }
    }

    /// One that every try would end in.
    pub(super) fn lasting(code: &'static str, message: impl Into<String>) -> Self {
        Self { passes: false, ..Self::passing(code, message) }
    }
}
