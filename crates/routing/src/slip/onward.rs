//! What follows when a step is done.

use chatbus_event::json::Raw;
use chatbus_event::{EgressKind, ErrorInfo, Event, Family, Reason, Timestamp, Topic, egress_text};

use super::steps::{Slip, State, Step, clip};

/// An event goes on to at most so many steps, over all the slips it had: what goes in circles comes to an end.
pub const MAX_HOPS: u64 = 32;
/// Where in `metadata` the hops are counted.
const HOPS: &str = "routingHops";
/// The longest error text of a dead letter, in bytes.
const MAX_MESSAGE_BYTES: usize = 1000;

/// How the current step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It did what it was for.
    Ok,
    /// There was nothing for it to do; the event goes on.
    Skip {
        /// Why, for people.
        why: String,
    },
    /// It failed. The steps behind it are not taken.
    Error {
        /// A stable code.
        code: String,
        /// What happened, for people.
        message: String,
        /// Whether it may be tried again: while attempts are left the event goes to the same step again, at
        /// once. Who wants a wait between attempts lets the bus redeliver instead.
        retryable: bool,
    },
}

/// What is decided by, besides the event.
#[derive(Debug, Clone, Copy)]
pub struct OnwardContext<'a> {
    /// Written as the time of what is decided. Take when the bus accepted the input, so that a redelivery
    /// leads to the same bytes.
    pub now: Timestamp,
    /// Who decides, such as `event-router`: the `source` of what is published.
    pub source: &'a str,
    /// Topics beyond those of the contract that a step may go to.
    pub known_topics: &'a [Topic],
}

/// Where an event goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Onward {
    /// On, to a step or to be said.
    Event {
        /// Where.
        topic: Topic,
        /// Names the publication among those of its input: `slip-` and the step's place, or `egress`.
        step: String,
        /// The event with its slip as it stands now.
        event: Event,
    },
    /// Nowhere: there is nothing to say, and nothing failed.
    Nothing {
        /// The event with its slip as it stands now.
        event: Event,
    },
    /// Nowhere: it failed.
    DeadLetter {
        /// The dead-letter topic.
        topic: Topic,
        /// The stable reason.
        reason: Reason,
        /// What failed, if anything did.
        error: Option<ErrorInfo>,
        /// The event with its slip as it stands now.
        event: Event,
    },
}

/// Ends the event's current step, if one is given, and decides what follows. A step whose topic may not be
/// followed, or that would be one hop too many, fails in its turn.
pub fn onward(mut event: Event, step: Option<Done>, cx: &OnwardContext<'_>) -> Onward {
    let mut slip = Slip::of(&event);
    if let (Some(done), Some((_, current))) = (step, slip.current())
        && current.state() == State::Pending
    {
        end(current, done, cx.now);
    }
    let hops = event.metadata(HOPS).and_then(|hops| hops.as_u64()).unwrap_or(0);
    let mut way = None;
    if let Some((at, current)) = slip.current()
        && current.state() == State::Pending
    {
        match way_of(current, hops, cx.known_topics) {
            Ok(topic) => {
                current.begin(cx.now);
                way = Some((topic, format!("slip-{at}")));
            }
            Err((code, message)) => {
                current.blame(code, &message, false);
                current.end("ERROR", cx.now);
            }
        }
    }
    let failure = slip.current().filter(|_| way.is_none()).map(|(at, step)| error_of(at, step));
    slip.write(&mut event);
    if let Some((topic, step)) = way {
        event.set_metadata(HOPS, Raw::of(&hops.saturating_add(1)));
        return Onward::Event { topic, step, event };
    }
    if has_something_to_say(&event) {
        return Onward::Event { topic: egress_topic(&event), step: "egress".to_owned(), event };
    }
    match failure {
        None => Onward::Nothing { event },
        error => {
            Onward::DeadLetter { topic: Topic::dead_letter(), reason: Reason::MaxDeliveries, error, event }
        }
    }
}

/// Whether a step may go to this topic: it is one of the contract's, or a configured one. What waits in lanes
/// is the egress engine's own.
pub fn is_followed(topic: &Topic, known_topics: &[Topic]) -> bool {
    match topic.family() {
        Family::Lane => false,
        Family::InstanceEgress | Family::ApiEgress => topic.instance().is_some(),
        Family::Other => known_topics.contains(topic),
        _ => true,
    }
}

fn end(step: &mut Step, done: Done, now: Timestamp) {
    match done {
        Done::Ok => step.end("OK", now),
        Done::Skip { why } => {
            step.note(&why);
            step.end("SKIP", now);
        }
        Done::Error { code, message, retryable } => {
            step.blame(&code, &message, retryable);
            if !retryable || !step.is_left_to_try() {
                step.end("ERROR", now);
            }
        }
    }
}

/// Where a step goes, or why it cannot be taken.
fn way_of(step: &Step, hops: u64, known_topics: &[Topic]) -> Result<Topic, (&'static str, String)> {
    let Some(text) = step.next_topic() else {
        return Err(("no_topic", "the step has no nextTopic".to_owned()));
    };
    if hops >= MAX_HOPS {
        return Err(("too_many_hops", format!("the event went on {hops} times already")));
    }
    match Topic::parse(&text) {
        Ok(topic) if is_followed(&topic, known_topics) => Ok(topic),
        _ => {
            let shown = clip(&text, 200);
            Err((
                "unknown_topic",
                format!("nextTopic {shown:?} is neither a topic of chatbus nor configured"),
            ))
        }
    }
}

fn error_of(at: usize, step: &Step) -> ErrorInfo {
    let (code, message) = step.error().unwrap_or_default();
    let name = step.id().unwrap_or_else(|| at.to_string());
    let message = message.unwrap_or_else(|| format!("step {:?} failed", clip(&name, 200)));
    ErrorInfo {
        code: code.filter(|code| !code.is_empty()).unwrap_or_else(|| "error".to_owned()),
        message: clip(&message, MAX_MESSAGE_BYTES).to_owned(),
    }
}

/// Whether the egress side would find something in it: a text, or for connections a payload.
fn has_something_to_say(event: &Event) -> bool {
    let is_data = event.egress_kind() == Some(EgressKind::Event);
    let has_payload = || event.payload().is_some_and(|payload| !payload.is_null());
    (is_data && has_payload()) || egress_text(event).is_some()
}

/// Where it is said: a text from outside becomes a topic only where it names an egress topic.
fn egress_topic(event: &Event) -> Topic {
    let named = event.egress().destination.and_then(|text| Topic::parse(&text).ok());
    let is_ours = |topic: &Topic| topic.family().is_egress() && is_followed(topic, &[]);
    named.filter(is_ours).unwrap_or_else(Topic::egress)
}
