//! Everything the loop waits for, as futures that end in a [`Done`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_bus::{BusErrorKind, Consumer, Delivery, Message, Receipt, Record, Settlement};
use chatbus_connector::{Outbound, Sink, Verdict};
use chatbus_event::{Topic, names};
use chatbus_runtime::{Backoff, CancellationToken};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt, stream};
use tracing::{debug, error, warn};

use super::recover::Found;
use super::weigh::Slot;
use super::{Engine, Shared};
use crate::decide::Ending;
use crate::defects::Defect;
use crate::lanes::WorkId;
use crate::outcome::Outcome;

/// Which of the topics a delivery came from: its place in [`Shared::topics`].
pub(super) type Input = usize;
pub(super) type Job = BoxFuture<'static, Done>;
/// Deliveries of one topic.
pub(super) type Intake = Box<dyn Consumer>;

/// What a job ended with.
pub(super) enum Done {
    /// `None` when it was stopped.
    LookedBack(Option<Found>),
    Subscribed {
        input: Input,
        intake: Intake,
    },
    /// Passed on; `false` when the other topic refuses it.
    Forwarded {
        work: WorkId,
        stored: bool,
    },
    Sent {
        work: WorkId,
        verdict: Verdict,
        took: Duration,
    },
    /// `None` when the lane topic is full or refuses.
    Parked {
        work: WorkId,
        seq: Option<u64>,
    },
    /// `None` when the record is gone.
    Fetched {
        work: WorkId,
        record: Option<Record>,
    },
    Concluded {
        work: WorkId,
        inputs: Vec<Slot>,
    },
    /// Another says how it ends.
    NotOurs {
        work: WorkId,
        inputs: Vec<Slot>,
    },
    /// Something that waits in the lane was handed over again; `gone` when its lane record is.
    Checked {
        again: Again,
        gone: bool,
    },
    Settled {
        slot: Slot,
    },
    Cleared,
}

/// What makes the dead letter of what has none.
pub(super) type NoLetter = fn() -> Option<Message>;

/// What became of an outcome that was to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is on record.
    Done,
    /// The delivery ended, and otherwise.
    Otherwise,
    /// Another says how it ends.
    NotOurs,
}

/// What the ledger is asked for when the lease is lost before an outcome is on the bus.
pub(super) struct Line {
    pub(super) delivery: Arc<str>,
    pub(super) taken: u32,
    pub(super) ending: Ending,
}

/// A delivery that was handed over again while it waits in the lane.
pub(super) struct Again {
    pub(super) work: WorkId,
    pub(super) id: Arc<str>,
    pub(super) slot: Slot,
    pub(super) delivery: Delivery,
}

/// How long after its deadline a send may still wait for its verdict, before the engine stops waiting.
const VERDICT_GRACE: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Waits between tries to reach the bus.
pub(super) fn bus_backoff() -> Backoff {
    Backoff::new(FIRST_RETRY, LONGEST_RETRY)
}

/// The next delivery of either topic, looking at `first` first; `None` when that topic is over; never,
/// when nothing is subscribed.
pub(super) async fn next_delivery(
    intakes: &mut [Option<Intake>; 2],
    first: Input,
) -> (Input, Option<Delivery>) {
    let [own, generic] = intakes;
    let (one, two) = (next(own), next(generic));
    let (mut one, mut two) = (std::pin::pin!(one), std::pin::pin!(two));
    if first == 0 {
        tokio::select! {
            biased;
            next = &mut one => (0, next),
            next = &mut two => (1, next),
        }
    } else {
        tokio::select! {
            biased;
            next = &mut two => (1, next),
            next = &mut one => (0, next),
        }
    }
}

async fn next(intake: &mut Option<Intake>) -> Option<Delivery> {
    match intake {
        Some(intake) => intake.next().await,
        None => std::future::pending().await,
    }
}

/// The number of a sink, each time something changed there.
pub(super) fn sink_changes(sinks: &[Arc<dyn Sink>]) -> SelectAll<BoxStream<'static, usize>> {
    let changes = sinks.iter().enumerate().map(|(at, sink)| {
        stream::unfold(sink.changes(), move |mut changes| async move {
            changes.changed().await.ok()?;
            Some((at, changes))
        })
        .boxed()
    });
    stream::select_all(changes)
}

/// Says it. A sink that panics, or gives no verdict long after the deadline, may have said it.
pub(super) async fn send(
    sink: Arc<dyn Sink>,
    outbound: Outbound,
    work: WorkId,
    shared: Arc<Shared>,
    cut: CancellationToken,
) -> Done {
    let begun = shared.runtime.clock.instant();
    let limit: Instant = outbound.deadline.max(begun) + VERDICT_GRACE;
    let unverified = |code: &str, message: &str| Verdict::Unverified {
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let sent = AssertUnwindSafe(sink.send(outbound)).catch_unwind();
    let verdict = tokio::select! {
        biased;
        verdict = sent => verdict.unwrap_or_else(|_| unverified("panic", "the platform's sink failed")),
        () = cut.cancelled() => unverified("stopped", "stopped before the platform's verdict"),
        () = tokio::time::sleep_until(limit.into()) => unverified("no_verdict", "the platform gave no verdict"),
    };
    let took = shared.runtime.clock.instant().saturating_duration_since(begun);
    Done::Sent { work, verdict, took }
}

/// Publishes until the bus has it; `None` when trying again cannot help.
pub(super) async fn store(shared: &Shared, topic: &Topic, message: &Message) -> Option<u64> {
    let mut backoff = bus_backoff();
    loop {
        match shared.bus.publish(topic, message.clone()).await {
            Ok(stored) => return Some(stored.seq),
            Err(failed) if failed.is_temporary() => {
                if backoff.attempts() == 0 {
                    warn!(event = "egress.publish_retried", topic = topic.family().label(), reason = %failed, "not published yet");
                }
                tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
            }
            Err(failed) => {
                error!(event = "egress.publish_failed", topic = topic.family().label(), reason = %failed, "gave up publishing");
                return None;
            }
        }
    }
}

/// Writes a delivery to the lane. Goes on until it is known to be there or not: what may be there is
/// never sent from memory, since its record would be found again.
pub(super) async fn park(shared: Arc<Shared>, work: WorkId, message: Message) -> Done {
    let mut backoff = bus_backoff();
    let mut uncertain = false;
    loop {
        match shared.bus.publish(&shared.lane, message.clone()).await {
            Ok(stored) => return Done::Parked { work, seq: Some(stored.seq) },
            Err(failed) if !uncertain && refused(failed.kind()) => {
                warn!(event = "egress.lane_refused", topic = shared.lane.family().label(), reason = %failed, "the lane takes nothing");
                tokio::time::sleep(LONGEST_RETRY).await;
                return Done::Parked { work, seq: None };
            }
            Err(_) => uncertain = true,
        }
        tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
    }
}

fn refused(kind: BusErrorKind) -> bool {
    matches!(kind, BusErrorKind::Full | BusErrorKind::TooLarge | BusErrorKind::Misconfigured)
}

/// Reads a delivery back from the lane, for as long as the bus does not answer.
pub(super) async fn fetch(shared: Arc<Shared>, work: WorkId, seq: u64) -> Done {
    let mut backoff = bus_backoff();
    loop {
        match shared.bus.fetch(&shared.lane, seq).await {
            Ok(record) => return Done::Fetched { work, record },
            Err(_) => tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await,
        }
    }
}

/// Looks whether a delivery's lane record is still there before another copy of it is let go: a server
/// that lost the record has also lost the acknowledgement of the original.
pub(super) async fn check(shared: Arc<Shared>, seq: u64, again: Again) -> Done {
    let gone = matches!(shared.bus.fetch(&shared.lane, seq).await, Ok(None));
    Done::Checked { again, gone }
}

/// Publishes how a delivery ended: the finalize event, the dead letter, a copy. Then it is acknowledged.
/// `first` is the answer to a first try that was made already.
pub(super) async fn conclude(
    shared: Arc<Shared>,
    work: WorkId,
    outcome: Outcome,
    first: Option<Receipt>,
    line: Option<Line>,
    dead_letter: Option<impl FnOnce() -> Option<Message> + Send>,
    mut inputs: Vec<(Slot, Delivery)>,
) -> Done {
    let mut early = Vec::new();
    if shared.config.has(Defect::AckBeforeOutcome) {
        early = acknowledge_known(std::mem::take(&mut inputs));
    }
    match publish_outcome(&shared, &outcome, first, line).await {
        Told::Done => publish_rest(&shared, &outcome, dead_letter).await,
        Told::Otherwise => {}
        // Another says how it ends; what came in is another's too, and so is what waits in the lane.
        Told::NotOurs => {
            return Done::NotOurs { work, inputs: inputs.into_iter().map(|(slot, _)| slot).collect() };
        }
    }
    early.extend(acknowledge_known(inputs));
    Done::Concluded { work, inputs: early }
}

/// Publishes what follows an outcome: its dead letter, and a copy.
pub(super) async fn publish_rest(
    shared: &Shared,
    outcome: &Outcome,
    dead_letter: Option<impl FnOnce() -> Option<Message> + Send>,
) {
    if let Some(letter) = dead_letter.and_then(|make| make()) {
        store(shared, &Topic::dead_letter(), &letter).await;
    }
    if let Some(topic) = &outcome.copy_to {
        store(shared, topic, &outcome.finalize).await;
    }
}

/// Acknowledges what came in and whose outcome is on record; gives where from. It needs no word of the bus:
/// where it comes again, this engine knows that it ended, and whoever reads after it looks back first.
pub(super) fn acknowledge_known(inputs: Vec<(Slot, Delivery)>) -> Vec<Slot> {
    let acknowledged = inputs.into_iter().map(|(slot, delivery)| {
        delivery.ack_unconfirmed();
        slot
    });
    acknowledged.collect()
}

/// Acknowledges what came in; gives where from.
pub(super) async fn acknowledge(inputs: Vec<(Slot, Delivery)>) -> Vec<Slot> {
    let mut settled = Vec::with_capacity(inputs.len());
    for (slot, delivery) in inputs {
        // Unconfirmed, it comes again, and is known.
        let _ = delivery.settle(Settlement::Ack).await;
        settled.push(slot);
    }
    settled
}

/// Publishes an outcome until the bus has it, for as long as it is ours to say.
/// Without its outcome no delivery may be acknowledged: someone must mend a bus that refuses it.
pub(super) async fn publish_outcome(
    shared: &Shared,
    outcome: &Outcome,
    mut first: Option<Receipt>,
    mut line: Option<Line>,
) -> Told {
    let mut backoff = bus_backoff();
    loop {
        let is_held = shared.cluster.fence.is_held(shared.runtime.clock.instant());
        if first.is_none()
            && let Some(Line { delivery, taken, ending }) = line.take_if(|_| !is_held)
            && let Some(ledger) = &shared.cluster.ledger
            && !ledger.decides(&delivery, taken, &ending).await
        {
            debug!(
                event = "egress.not_ours",
                deliveryId = &*delivery,
                "it was taken over; another says how it ends"
            );
            return Told::NotOurs;
        }
        let receipt =
            first.take().unwrap_or_else(|| shared.bus.publish_kept(&outcome.topic, &outcome.finalize));
        match receipt.await {
            Ok(stored) => {
                let is_there = stored.duplicate && ended_otherwise(shared, outcome, stored.seq).await;
                return if is_there { Told::Otherwise } else { Told::Done };
            }
            Err(failed) => {
                if backoff.attempts() == 0 {
                    warn!(event = "egress.publish_retried", topic = outcome.topic.family().label(), reason = %failed, "not published yet");
                }
            }
        }
        tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
    }
}

/// Whether what is on record is not what this outcome says: then another's word counts, and with it goes
/// another's dead letter or none.
async fn ended_otherwise(shared: &Shared, outcome: &Outcome, seq: u64) -> bool {
    let status = |message: &Message| message.attributes.get(names::STATUS).map(str::to_owned);
    let mut backoff = bus_backoff();
    loop {
        match shared.bus.fetch(&outcome.topic, seq).await {
            Ok(record) => {
                return record.is_some_and(|record| status(&record.message) != status(&outcome.finalize));
            }
            Err(_) => tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await,
        }
    }
}

/// Passes an event on to another topic. Where it came from is acknowledged after that.
pub(super) async fn forward(shared: Arc<Shared>, work: WorkId, topic: Topic, message: Message) -> Done {
    let stored = store(&shared, &topic, &message).await.is_some();
    Done::Forwarded { work, stored }
}

/// Settles a delivery. When the bus does not confirm it, it comes again, and is known.
pub(super) async fn settle(slot: Slot, delivery: Delivery, settlement: Settlement) -> Done {
    let _ = delivery.settle(settlement).await;
    Done::Settled { slot }
}

/// Removes a lane record whose outcome is published.
pub(super) async fn clear(shared: Arc<Shared>, seq: u64) -> Done {
    let mut backoff = bus_backoff();
    while shared.bus.remove(&shared.lane, seq).await.is_err() {
        tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
    }
    Done::Cleared
}

/// Joins the group of a topic.
pub(super) async fn subscribe(shared: Arc<Shared>, input: Input) -> Done {
    let mut backoff = bus_backoff();
    loop {
        let Some(subscription) = Engine::subscriptions(&shared.config).into_iter().nth(input) else {
            return std::future::pending().await;
        };
        let topic = subscription.topic.clone();
        match shared.bus.subscribe(subscription).await {
            Ok(intake) => {
                tracing::info!(event = "egress.subscribed", topic = %topic, "egress topic subscribed");
                return Done::Subscribed { input, intake };
            }
            Err(failed) => {
                error!(event = "egress.subscribe_failed", topic = topic.family().label(), reason = %failed, "egress topic not subscribed");
                tokio::time::sleep(backoff.next(&*shared.runtime.entropy)).await;
            }
        }
    }
}
