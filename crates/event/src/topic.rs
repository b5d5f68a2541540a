//! Topics, and the families they come in.

use std::fmt;
use std::sync::Arc;

use crate::ids::InstanceId;

/// Where a message is published. Always begins with `internal.`, never with BUS_PREFIX: the prefix
/// belongs to the driver, whose subject type never leaves its crate.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is not a [`Topic`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a topic: it begins with \"internal.\", has at most 200 characters, \
     and its dot-separated parts are of A-Z a-z 0-9 _ -"
)]
pub struct InvalidTopic(pub String);

/// What a topic is for. Streams, groups, retention and the `topic` label of metrics go by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `internal.ingress.v1`
    Ingress,
    /// `internal.user.enriched.v1`
    Enriched,
    /// `internal.llmbot.v1`
    LlmBot,
    /// `internal.egress.v1`: for whichever instance can deliver.
    Egress,
    /// `internal.egress.v1.{instanceId}`: for that ingress-egress instance.
    InstanceEgress,
    /// `internal.api.egress.v1.{instanceId}`: for that api-gateway instance.
    ApiEgress,
    /// `internal.finalizer.v1` and its two other names.
    Finalizer,
    /// `internal.deadletter.v1`
    DeadLetter,
    /// `internal.router.dlq.v1`
    RouterDlq,
    /// `internal.lane.v1.{instanceId}`: what that instance's conversations wait with.
    Lane,
    /// A topic that a rule or a setting names.
    Other,
}

// === impl Topic ===

impl Topic {
    /// Checks the text.
    ///
    /// # Errors
    /// When it does not begin with `internal.`, is over 200 characters, or holds an empty part or
    /// any character that could be a wildcard.
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        let is_ours = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let bytes = text.as_bytes();
        let valid = bytes.starts_with(b"internal.")
            && bytes.len() <= 200
            && bytes.iter().all(|b| is_ours(*b))
            && bytes.last() != Some(&b'.')
            && bytes.windows(2).all(|two| two != b"..");
        if valid { Ok(Self(text.into())) } else { Err(InvalidTopic(text.to_owned())) }
    }

    /// `internal.ingress.v1`: what platforms and clients said.
    pub fn ingress() -> Self {
        Self("internal.ingress.v1".into())
    }

    /// `internal.user.enriched.v1`: the same, with who said it.
    pub fn enriched() -> Self {
        Self("internal.user.enriched.v1".into())
    }

    /// `internal.llmbot.v1`: what the language model is to answer.
    pub fn llmbot() -> Self {
        Self("internal.llmbot.v1".into())
    }

    /// `internal.egress.v1`: what any instance that can is to say.
    pub fn egress() -> Self {
        Self("internal.egress.v1".into())
    }

    /// `internal.egress.v1.{instanceId}`: what one ingress-egress instance is to say.
    pub fn egress_of(instance: &InstanceId) -> Self {
        Self(format!("internal.egress.v1.{instance}").into())
    }

    /// `internal.api.egress.v1.{instanceId}`: what one gateway instance is to say.
    pub fn api_egress_of(instance: &InstanceId) -> Self {
        Self(format!("internal.api.egress.v1.{instance}").into())
    }

    /// `internal.finalizer.v1`: outcomes.
    pub fn finalizer() -> Self {
        Self("internal.finalizer.v1".into())
    }

    /// Every name under which outcomes are consumed, the one we publish on first.
    pub fn finalizers() -> [Self; 3] {
        [
            Self::finalizer(),
            Self("internal.finalize.v1".into()),
            Self("internal.persistence.finalize.v1".into()),
        ]
    }

    /// `internal.deadletter.v1`: what could not be handled or delivered.
    pub fn dead_letter() -> Self {
        Self("internal.deadletter.v1".into())
    }

    /// `internal.router.dlq.v1`: what asked for an answer and matched no rule.
    pub fn router_dlq() -> Self {
        Self("internal.router.dlq.v1".into())
    }

    /// `internal.lane.v1.{instanceId}`: the durable copies of what waits in one ingress-egress instance's
    /// lanes.
    pub fn lane_of(instance: &InstanceId) -> Self {
        Self(format!("internal.lane.v1.{instance}").into())
    }

    /// `internal.lane.v1.api.{instanceId}`: the same for an api-gateway instance.
    pub fn api_lane_of(instance: &InstanceId) -> Self {
        Self(format!("internal.lane.v1.api.{instance}").into())
    }

    /// The text, without any prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the topic is for.
    pub fn family(&self) -> Family {
        match &*self.0 {
            "internal.ingress.v1" => Family::Ingress,
            "internal.user.enriched.v1" => Family::Enriched,
            "internal.llmbot.v1" => Family::LlmBot,
            "internal.egress.v1" => Family::Egress,
            "internal.finalizer.v1" | "internal.finalize.v1" | "internal.persistence.finalize.v1" => {
                Family::Finalizer
            }
            "internal.deadletter.v1" => Family::DeadLetter,
            "internal.router.dlq.v1" => Family::RouterDlq,
            _ if self.0.starts_with("internal.egress.v1.") => Family::InstanceEgress,
            _ if self.0.starts_with("internal.api.egress.v1.") => Family::ApiEgress,
            _ if self.0.starts_with("internal.lane.v1.") => Family::Lane,
            _ => Family::Other,
        }
    }

    /// The instance a per-instance topic belongs to.
    pub fn instance(&self) -> Option<InstanceId> {
        let base = self.family().per_instance_base()?;
        let rest = self.0.strip_prefix(base)?.strip_prefix('.')?;
        // No instance id holds a dot, so one that is called `api` is told from the gateway's.
        let id = if self.family() == Family::Lane { rest.strip_prefix("api.").unwrap_or(rest) } else { rest };
        InstanceId::parse(id).ok()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

// === impl Family ===

impl Family {
    /// Every family, in the order in which an event passes them.
    pub const ALL: [Self; 11] = [
        Self::Ingress,
        Self::Enriched,
        Self::LlmBot,
        Self::Egress,
        Self::InstanceEgress,
        Self::ApiEgress,
        Self::Finalizer,
        Self::DeadLetter,
        Self::RouterDlq,
        Self::Lane,
        Self::Other,
    ];

    /// The value of the `topic` label in metrics: never an instance id.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ingress => "internal.ingress.v1",
            Self::Enriched => "internal.user.enriched.v1",
            Self::LlmBot => "internal.llmbot.v1",
            Self::Egress => "internal.egress.v1",
            Self::InstanceEgress => "internal.egress.v1.*",
            Self::ApiEgress => "internal.api.egress.v1.*",
            Self::Finalizer => "internal.finalizer.v1",
            Self::DeadLetter => "internal.deadletter.v1",
            Self::RouterDlq => "internal.router.dlq.v1",
            Self::Lane => "internal.lane.v1.*",
            Self::Other => "other",
        }
    }

    /// Whether what is published here asks to be said somewhere, and so ends in an outcome.
    pub fn is_egress(self) -> bool {
        matches!(self, Self::Egress | Self::InstanceEgress | Self::ApiEgress)
    }

    fn per_instance_base(self) -> Option<&'static str> {
        match self {
            Self::InstanceEgress => Some("internal.egress.v1"),
            Self::ApiEgress => Some("internal.api.egress.v1"),
            Self::Lane => Some("internal.lane.v1"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_cannot_hold_a_prefix_or_a_wildcard() {
        for bad in [
            "",
            "dev.internal.ingress.v1",
            "internal.*",
            "internal.>",
            "internal..v1",
            "internal.a b",
            "internal.",
        ] {
            assert!(Topic::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Topic::parse("internal.custom.v1").is_ok());
    }

    #[test]
    fn each_well_known_topic_is_of_its_family_and_knows_its_instance() {
        let id = InstanceId::parse("a-1").unwrap();
        assert_eq!(Topic::egress().family(), Family::Egress);
        assert_eq!(Topic::egress_of(&id).family(), Family::InstanceEgress);
        assert_eq!(Topic::egress_of(&id).instance(), Some(id.clone()));
        assert_eq!(Topic::api_egress_of(&id).instance(), Some(id.clone()));
        assert_eq!(Topic::lane_of(&id).instance(), Some(id.clone()));
        assert_eq!(Topic::api_lane_of(&id).instance(), Some(id));
        assert_eq!(Topic::egress().instance(), None);
        for topic in Topic::finalizers() {
            assert_eq!(topic.family(), Family::Finalizer);
        }
    }
}
