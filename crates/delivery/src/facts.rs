//! What decides where an event goes, read from the event once.

use std::borrow::Cow;

use chatbus_event::{EgressKind, Event, Family};

/// What an event says about where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'e> {
    /// The family of the topic it was read from.
    pub family: Family,
    /// `egress.destination` or what stands for it.
    pub destination: Option<Cow<'e, str>>,
    /// `egress.type`; `None` for a word we do not know.
    pub kind: Option<EgressKind>,
    /// `source`, perhaps empty.
    pub source: Cow<'e, str>,
    /// `auth.provider`.
    pub auth_provider: Option<String>,
    /// The sources of its annotations of kind `custom`, in their order.
    pub custom_sources: Vec<String>,
    /// `channel`.
    pub channel: Option<Cow<'e, str>>,
    /// `userId`.
    pub user_id: Option<Cow<'e, str>>,
}

/// The kind of annotation whose source may name a platform.
const CUSTOM: &str = "custom";

// === impl Facts ===

impl<'e> Facts<'e> {
    /// Reads them.
    pub fn of(event: &'e Event, family: Family) -> Self {
        let source = event.source();
        let annotations = event.annotations().into_iter();
        let custom_sources = annotations.filter(|a| a.kind == CUSTOM).map(|a| a.source).collect();
        let egress = event.egress();
        Self {
            family,
            destination: egress.destination,
            kind: egress.kind,
            source,
            auth_provider: event.auth().and_then(|auth| auth.provider),
            custom_sources,
            channel: event.channel(),
            user_id: event.user_id(),
        }
    }
}
