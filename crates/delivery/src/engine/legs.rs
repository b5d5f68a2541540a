//! One event to several gateways, because a user is connected to several: the first that succeeds decides.

use std::sync::Arc;

use chatbus_bus::{Delivery, Message};
use chatbus_event::{Event, Topic};
use tracing::debug;

use super::Shared;
use super::jobs::{self, Done};
use super::weigh::Slot;
use crate::decide::Ending;
use crate::defects::Defect;
use crate::lanes::WorkId;
use crate::ledger::LegSays;
use crate::outcome::{Outcome, dead_letter};
use crate::peers::Peer;
use crate::ticket::Ticket;

/// Sends an event to each of these. What came in is acknowledged after that.
pub(super) async fn send(
    shared: Arc<Shared>,
    work: WorkId,
    ticket: Ticket,
    original: Message,
    peers: Vec<Peer>,
) -> Done {
    let Some(ledger) = &shared.cluster.ledger else { return Done::Forwarded { work, stored: false } };
    let instances: Vec<_> = peers.iter().map(|peer| peer.instance.clone()).collect();
    let open = ledger.open_legs(&ticket.id, &instances).await;
    let mut stored = true;
    for peer in peers.iter().filter(|peer| open.contains(&peer.instance)) {
        let message = ticket.leg(&original, &peer.instance);
        stored &= jobs::store(&shared, &peer.topic, &message).await.is_some();
    }
    Done::Forwarded { work, stored }
}

/// Notes that the user left before this leg was tried; the last one sends the event on.
pub(super) async fn leave(
    shared: Arc<Shared>,
    work: WorkId,
    ticket: Ticket,
    original: Message,
    event: Option<Arc<Event>>,
) -> Done {
    let me = shared.config.instance.as_str();
    let says = match &shared.cluster.ledger {
        Some(ledger) => ledger.leg_left(&ticket.id, me).await,
        None => LegSays::Anew,
    };
    match says {
        LegSays::Silent => Done::Forwarded { work, stored: true },
        LegSays::Anew => {
            let message = ticket.forwarded(&original);
            jobs::forward(shared, work, Topic::egress(), message).await
        }
        LegSays::Publish(ending) => {
            let now = shared.runtime.clock.now();
            let (known, source) = (&shared.config.known_topics, &shared.source);
            let outcome =
                Outcome::of(&ticket, &original.attributes, event.as_deref(), &ending, source, known, now);
            let letter = || dead_letter(&ticket, &original.body, &ending, source, now);
            if jobs::publish_outcome(&shared, &outcome, None, None).await == jobs::Told::Done {
                jobs::publish_rest(&shared, &outcome, Some(letter)).await;
            }
            Done::Forwarded { work, stored: true }
        }
    }
}

/// Says how a leg ended; publishes the outcome where that is this leg's.
pub(super) async fn conclude(
    shared: Arc<Shared>,
    work: WorkId,
    ticket: Ticket,
    outcome: Outcome,
    ending: Ending,
    dead_letter: Option<impl FnOnce() -> Option<Message> + Send>,
    inputs: Vec<(Slot, Delivery)>,
) -> Done {
    let is_failure = matches!(ending, Ending::Failed { .. });
    let says = match &shared.cluster.ledger {
        Some(_) if is_failure && shared.config.has(Defect::FirstFailureDecides) => LegSays::Publish(ending),
        Some(ledger) => ledger.leg_ended(&ticket.id, &ending).await,
        None => LegSays::Publish(ending),
    };
    match says {
        // What stands in the ledger of an earlier life of ours is the same outcome under the same id.
        LegSays::Publish(_) => {
            if jobs::publish_outcome(&shared, &outcome, None, None).await == jobs::Told::Done {
                jobs::publish_rest(&shared, &outcome, dead_letter).await;
            }
        }
        LegSays::Silent | LegSays::Anew => {
            debug!(event = "egress.leg_ended", deliveryId = &*ticket.id, "another of several decides");
        }
    }
    Done::Concluded { work, inputs: jobs::acknowledge(inputs).await }
}
