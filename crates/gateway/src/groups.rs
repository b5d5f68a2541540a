//! The groups on the bus that durable subscriptions leave: how many a token may have, and when they go.
//!
//! A group is a promise of the bus to keep a place, which somebody has to take back: the bot with
//! `unsubscribe`, its token's end, or a day in which nobody read what came. All of that is found by asking
//! the bus which groups there are; nothing else is written down that could say something else.

use std::collections::HashSet;
use std::time::Duration;

use chatbus_bus::{Bus, BusError, BusErrorKind, Group, Lag, limits};
use chatbus_event::{Clock, Topic};
use chatbus_state::State;
use tracing::{debug, info};

use crate::frames::{Durable, Feed};
use crate::tokens;

/// Places a token may have, of all topics.
pub(crate) const MAX_PLACES: usize = 16;
/// What stands before a token's id in the name of its group.
const PREFIX: &str = "bot-";
/// `tok_` and 16 hex digits.
const TOKEN_ID_LEN: usize = 20;
/// A group whose oldest event has waited for so long while nobody held any is forgotten: an hour later the
/// bus would drop events that it has not read.
const FORGOTTEN_AFTER: Duration = limits::RETENTION.saturating_sub(Duration::from_secs(3600));

/// The group of a durable subscription: of the token's own, whatever the connection and the instance.
pub(crate) fn group_of(token: &str, durable: &Durable) -> Option<Result<Group, BusError>> {
    let name = match durable {
        Durable::No => return None,
        Durable::Yes => format!("{PREFIX}{token}"),
        Durable::Named(name) => format!("{PREFIX}{token}-{name}"),
    };
    Some(Group::parse(&name).map_err(|error| BusError::new(BusErrorKind::Misconfigured, error.to_string())))
}

/// Whether a token may have this group: it has it, or has few enough.
///
/// # Errors
/// When the bus cannot tell.
pub(crate) async fn has_room(
    bus: &dyn Bus,
    token: &str,
    topic: &Topic,
    group: &Group,
) -> Result<bool, BusError> {
    let lag = bus.lag().await?;
    let own: Vec<&Lag> = lag.iter().filter(|lag| token_of(&lag.group) == Some(token)).collect();
    Ok(own.len() < MAX_PLACES || own.iter().any(|lag| lag.topic == *topic && lag.group == *group))
}

/// Removes a place. That there is none is no error.
///
/// # Errors
/// When the bus does not do it.
pub(crate) async fn forget(
    bus: &dyn Bus,
    token: &str,
    feed: Feed,
    durable: &Durable,
) -> Result<(), BusError> {
    match group_of(token, durable) {
        Some(group) => bus.delete_group(&feed.topic(), &group?).await,
        None => Ok(()),
    }
}

/// Removes the places of tokens that are no more, and those that nobody goes back to; gives how many.
pub(crate) async fn tidy(bus: &dyn Bus, state: &dyn State, clock: &dyn Clock) -> usize {
    let tidying = async {
        let lag = bus.lag().await.map_err(|error| error.to_string())?;
        let ours: Vec<(&Lag, &str)> =
            lag.iter().filter_map(|lag| Some((lag, token_of(&lag.group)?))).collect();
        if ours.is_empty() {
            return Ok(0);
        }
        // After the groups, so that no token is younger than its group.
        let tokens = tokens::list(state).await.map_err(|error| error.to_string())?;
        let now = clock.now();
        let living: HashSet<&str> =
            tokens.iter().filter(|token| !token.is_expired(now)).map(|token| &*token.id).collect();
        let mut removed = 0;
        for (lag, token) in ours {
            if living.contains(token) && !is_forgotten(lag) {
                continue;
            }
            bus.delete_group(&lag.topic, &lag.group).await.map_err(|error| error.to_string())?;
            info!(event = "gateway.group_removed", topic = %lag.topic, group = %lag.group, "a bot's place is given up");
            removed += 1;
        }
        Ok::<_, String>(removed)
    };
    tidying.await.unwrap_or_else(|why| {
        debug!(event = "gateway.groups_untidy", reason = %why, "tried again later");
        0
    })
}

/// Whose group it is; `None` when it is none of ours.
fn token_of(group: &Group) -> Option<&str> {
    let rest = group.as_str().strip_prefix(PREFIX)?;
    let (id, name) = rest.split_at_checked(TOKEN_ID_LEN)?;
    (id.starts_with("tok_") && (name.is_empty() || name.starts_with('-'))).then_some(id)
}

fn is_forgotten(lag: &Lag) -> bool {
    lag.in_flight == 0 && lag.oldest.is_some_and(|oldest| oldest >= FORGOTTEN_AFTER)
}

#[cfg(test)]
mod tests {
    use chatbus_event::Family;

    use super::*;

    #[test]
    fn a_group_tells_whose_it_is_and_others_are_nobodys() {
        let token = "tok_0123456789abcdef";
        for durable in [Durable::Yes, Durable::Named("n".to_owned()), Durable::Named("x".repeat(32))] {
            let group = group_of(token, &durable).unwrap().unwrap();
            assert_eq!(token_of(&group), Some(token), "{group}");
        }
        assert!(group_of(token, &Durable::No).is_none());
        for other in
            ["bot", "bot-", "bot-tok_0123456789abcdefx", "bot-0123456789abcdef0123", "egress", "bot-tok_"]
        {
            assert_eq!(token_of(&Group::parse(other).unwrap()), None, "{other}");
        }
    }

    #[test]
    fn only_what_nobody_reads_for_nearly_a_day_is_forgotten() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        for (in_flight, oldest, expected) in [
            (0, None, false),
            (0, hours(22), false),
            (0, hours(23), true),
            (1, hours(23), false),
            (0, hours(48), true),
        ] {
            let lag = Lag {
                family: Family::Ingress,
                topic: Topic::ingress(),
                group: Group::parse("g").unwrap(),
                pending: u64::from(oldest.is_some()),
                in_flight,
                oldest,
                lost: 0,
            };
            assert_eq!(is_forgotten(&lag), expected, "{lag:?}");
        }
    }
}
