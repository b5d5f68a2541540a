//! What the suite needs of a platform's tests.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_runtime::Runtime;

use crate::{Connector, Target, Verdict, WebhookRequest};

/// One connector and the fake platform that it speaks to.
#[async_trait]
pub trait Rig: Send + Sync {
    /// What the connector runs in, with the clock that it was made with; `chatbus_testkit::test_runtime(seed)`
    /// does. Its `stop` is the suite's to cancel.
    fn runtime(&self) -> Runtime;

    /// The connector, configured to reach the fake platform and not running; the same one at every call.
    fn connector(&self) -> Arc<dyn Connector>;

    /// To whom it can say something once it is connected.
    fn target(&self) -> Target;

    /// The raw id of a user of the platform, where it can say something to one only.
    fn user(&self) -> Option<String> {
        None
    }

    /// A channel's name as people write it, another one for each number.
    fn channel(&self, number: usize) -> String {
        format!("room{number}")
    }

    /// The texts that the platform heard and did not refuse, in order; the parts of one delivery apart.
    async fn heard(&self) -> Vec<String>;

    /// Every secret that the connector was configured with.
    fn secrets(&self) -> Vec<String>;

    /// What the platform can be made to answer: one for each row of the table of verdicts that can be had
    /// over a socket.
    fn answers(&self) -> Vec<Answer>;

    /// Makes the platform answer so to what it is told next, once.
    async fn answer(&self, name: &'static str);

    /// How many characters a text may have that is still said within seconds.
    fn long(&self) -> usize {
        2_000
    }
}

/// A platform that calls over HTTP.
pub trait Caller: Rig {
    /// A genuine call, with its proof as of now, that tells of one message with this id.
    fn call(&self, id: &str) -> WebhookRequest;
}

/// Something that a platform answers, by a name that [`Rig::answer`] knows, and the kind of verdict that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub class: Class,
}

/// The kinds of verdicts that are answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// [`Verdict::Delivered`]
    Delivered,
    /// [`Verdict::Accepted`]
    Accepted,
    /// [`Verdict::Retry`]
    Retry,
    /// [`Verdict::Permanent`]
    Permanent,
    /// [`Verdict::Unverified`]
    Unverified,
    /// [`Verdict::Reauth`]
    Reauth,
}

// === impl Class ===

impl Class {
    /// The kind of a verdict; `None` when nothing was begun.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        Some(match verdict {
            Verdict::Delivered { .. } => Self::Delivered,
            Verdict::Accepted => Self::Accepted,
            Verdict::Retry { .. } => Self::Retry,
            Verdict::Permanent { .. } => Self::Permanent,
            Verdict::Unverified { .. } => Self::Unverified,
            Verdict::Reauth { .. } => Self::Reauth,
            Verdict::NotNow => return None,
        })
    }

    /// Whether the platform took it.
    pub(super) fn is_success(self) -> bool {
        matches!(self, Self::Delivered | Self::Accepted)
    }
}
