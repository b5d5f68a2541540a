//! The label sets. Their values come from fixed tables, never from text from outside.

use prometheus_client::encoding::EncodeLabelSet;

/// By platform.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PlatformLabels {
    /// The platform's name.
    pub platform: &'static str,
}

/// By reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// The stable reason.
    pub reason: &'static str,
}

/// By topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabels {
    /// The topic's family, never an instance id.
    pub topic: &'static str,
}

/// By stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabels {
    /// The stage.
    pub stage: &'static str,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SentLabels {
    /// The platform's name.
    pub platform: &'static str,
    /// `SENT` or `ACCEPTED`.
    pub status: &'static str,
}

/// What was not said.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UnsentLabels {
    /// The platform's name, or `none`.
    pub platform: &'static str,
    /// The stable reason.
    pub reason: &'static str,
}

/// By topic and group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LagLabels {
    /// The topic's family, never an instance id.
    pub topic: &'static str,
    /// The group.
    pub group: String,
}
