//! Where an event goes: platform, then channel or user. A pure function of the event, of the
//! platforms there are, and of those served here.
//!
//! Nothing here falls back to a wider audience: a text for one user never reaches a channel, and what
//! comes from the gateway reaches a chat only when its destination names that platform.

use std::sync::Arc;

use chatbus_connector::{Audience, Sink, Target};
use chatbus_event::{EgressKind, Family, Reason};

use crate::facts::Facts;
use crate::platform::{Platform, PlatformTable, Reach};

/// Where an event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The platform's name.
    pub platform: &'static str,
    /// Channel or user: in the platform's form when it is served here, else as the event has it.
    pub target: Target,
    /// Which of the sinks serves it; none does when the platform is off or runs elsewhere.
    pub sink: Option<usize>,
    /// The other name by which a user of the gateway may be connected: `{auth.provider}:{userId}`.
    pub also: Option<Target>,
}

/// Why an event goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The dead letter's reason.
    pub reason: Reason,
    /// What was looked at, for people.
    pub why: &'static str,
}

/// Destinations that only say which topic to use, and so decide no platform.
const EGRESS_TOPIC: &str = "internal.egress.v1";
/// Destinations below this are the gateway's.
const GATEWAY_TOPICS: &str = "internal.api.egress.v1.";

/// Decides where an event goes. `is_connected` says whether a user is connected to a gateway now; it is asked
/// only where nothing else decides.
///
/// # Errors
/// With the reason of its dead letter when it goes nowhere.
pub fn resolve(
    facts: &Facts<'_>,
    table: &PlatformTable,
    sinks: &[Arc<dyn Sink>],
    is_connected: impl Fn(&str) -> bool,
) -> Result<Destination, Refusal> {
    let platform = platform(facts, table, sinks, is_connected)?;
    let sink = sinks.iter().position(|sink| sink.platform() == platform.name);
    let served = sink.and_then(|at| sinks.get(at)).map(AsRef::as_ref);
    let kind = facts.kind.ok_or(refuse(Reason::Unsupported, "egress.type is none of chat, dm, event"))?;
    let target = match (platform.reach, kind) {
        (Reach::Gateway, _) => gateway_user(facts)?,
        (_, EgressKind::Event) => {
            return Err(refuse(Reason::Unsupported, "only gateway connections take data"));
        }
        (_, EgressKind::Dm) => user(facts, platform, table, served)?,
        (Reach::Public, EgressKind::Chat) => channel(facts, platform, table, served)?,
        (Reach::Direct, EgressKind::Chat) => conversation(facts, platform, table, served)?,
    };
    let also = match platform.reach {
        Reach::Gateway => also_called(facts, table),
        Reach::Public | Reach::Direct => None,
    };
    Ok(Destination { platform: platform.name, target, sink, also })
}

/// The first rule that decides.
fn platform<'t>(
    facts: &Facts<'_>,
    table: &'t PlatformTable,
    sinks: &[Arc<dyn Sink>],
    is_connected: impl Fn(&str) -> bool,
) -> Result<&'t Platform, Refusal> {
    let gateway = || table.gateway().ok_or(refuse(Reason::NoPlatform, "there is no gateway"));
    let source = &*facts.source;
    let provider = facts.auth_provider.as_deref().unwrap_or_default();
    match facts.destination.as_deref().unwrap_or_default() {
        "" | EGRESS_TOPIC => {}
        word if word.starts_with(GATEWAY_TOPICS) => return gateway(),
        word if word.strip_prefix(EGRESS_TOPIC).is_some_and(|rest| rest.starts_with('.')) => {}
        word => {
            return table.named(word).ok_or(refuse(Reason::NoPlatform, "the destination names no platform"));
        }
    }
    // Whatever names the gateway wins over what names a chat: the narrower audience.
    let named = [source, provider].into_iter().chain(facts.custom_sources.iter().map(String::as_str));
    if named.into_iter().any(|words| table.mentions_gateway(words)) {
        return gateway();
    }
    if let Some(named) = table.mentioned(source) {
        return Ok(named);
    }
    if let Some(named) = facts.custom_sources.iter().find_map(|s| table.mentioned(s)) {
        return Ok(named);
    }
    if let Some(named) = table.mentioned(provider) {
        return Ok(named);
    }
    if let (Family::InstanceEgress, [only]) = (facts.family, sinks)
        && facts.kind != Some(EgressKind::Dm)
        && let Some(named) = table.named(only.platform())
    {
        return Ok(named);
    }
    if facts.user_id.as_deref().is_some_and(is_connected) {
        return gateway();
    }
    Err(refuse(Reason::NoPlatform, "neither destination, source, annotations nor auth name a platform"))
}

/// The channel of an event, unless it is another platform's; else the first configured one.
fn channel(
    facts: &Facts<'_>,
    platform: &Platform,
    table: &PlatformTable,
    sink: Option<&dyn Sink>,
) -> Result<Target, Refusal> {
    let named = own_channel(facts, platform, table);
    let Some(sink) = sink else {
        // Only who serves the platform can tell a good channel from a bad one, and has a first one.
        return Ok(Audience::Channel(named.unwrap_or_default().into()));
    };
    if !sink.capabilities().chat {
        return Err(refuse(Reason::Unsupported, "the platform cannot say something in a channel"));
    }
    named
        .and_then(|name| sink.channel(name))
        .or_else(|| sink.default_channel())
        .map(Audience::Channel)
        .ok_or(refuse(Reason::NoChannel, "it names no channel of the platform, and none is configured"))
}

/// A chat on a platform without public channels: its own conversation if it names one, else the user; where
/// none is named, whom the channel names.
fn conversation(
    facts: &Facts<'_>,
    platform: &Platform,
    table: &PlatformTable,
    sink: Option<&dyn Sink>,
) -> Result<Target, Refusal> {
    let named = own_channel(facts, platform, table);
    let named = match sink {
        None => named.map(Arc::from),
        Some(sink) if sink.capabilities().chat => named.and_then(|name| sink.channel(name)),
        Some(_) => None,
    };
    match named {
        Some(channel) => Ok(Audience::Channel(channel)),
        None if facts.user_id.is_none() => own_channel(facts, platform, table)
            .zip(sink)
            .and_then(|(name, sink)| sink.recipient(name))
            .map(Audience::User)
            .ok_or(refuse(Reason::NoChannel, "neither a conversation nor a user")),
        None => user(facts, platform, table, sink),
    }
}

fn user(
    facts: &Facts<'_>,
    platform: &Platform,
    table: &PlatformTable,
    sink: Option<&dyn Sink>,
) -> Result<Target, Refusal> {
    if sink.is_some_and(|sink| !sink.capabilities().direct) {
        return Err(refuse(Reason::Unsupported, "the platform cannot say something to one user"));
    }
    let written = facts.user_id.as_deref().map(str::trim).unwrap_or_default();
    if written.is_empty() {
        return Err(refuse(Reason::NoRecipient, "no userId"));
    }
    // A prefix that is no platform's name belongs to the id; whether such an id can be is the sink's.
    let raw = match written.split_once(':').map(|(prefix, raw)| (table.named(prefix), raw)) {
        Some((Some(owner), raw)) if owner.name == platform.name => raw,
        Some((Some(_), _)) => return Err(refuse(Reason::NoRecipient, "the userId is another platform's")),
        _ => written,
    };
    let known = match sink {
        _ if raw.is_empty() => None,
        Some(sink) => sink.recipient(raw),
        None => Some(raw.into()),
    };
    known.map(Audience::User).ok_or(refuse(Reason::NoRecipient, "the userId is none of the platform's"))
}

/// The gateway's users are named as their tokens name them, so the id stays as written.
fn gateway_user(facts: &Facts<'_>) -> Result<Target, Refusal> {
    match facts.user_id.as_deref().filter(|id| !id.trim().is_empty()) {
        Some(id) => Ok(Audience::User(id.into())),
        None => Err(refuse(Reason::NoRecipient, "no userId")),
    }
}

/// A token may be made for a platform's user under the name that chatbus gives it.
fn also_called(facts: &Facts<'_>, table: &PlatformTable) -> Option<Target> {
    let (provider, id) = (facts.auth_provider.as_deref()?, facts.user_id.as_deref()?);
    let is_other = !table.mentions_gateway(provider) && !id.contains(':');
    is_other.then(|| Audience::User(format!("{provider}:{id}").into()))
}

fn own_channel<'f>(facts: &'f Facts, platform: &Platform, table: &PlatformTable) -> Option<&'f str> {
    let elsewhere = table.mentioned(&facts.source).is_some_and(|origin| origin.name != platform.name);
    facts.channel.as_deref().map(str::trim).filter(|name| !name.is_empty() && !elsewhere)
}

fn refuse(reason: Reason, why: &'static str) -> Refusal {
    Refusal { reason, why }
}

#[cfg(test)]
mod tests;
