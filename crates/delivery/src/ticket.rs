//! What stays with a delivery through every hop, wait and restart: its id, its place in the order of
//! its conversation, its deadline, and what was tried. Small enough to be kept for everything that
//! waits; written into attributes when the event moves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_bus::{Message, Record};
use chatbus_event::{Attempt, Attributes, Event, Timestamp, Topic, names, sha256_hex};

use crate::config::{EngineConfig, LATE_BUT_TRIED, LATE_CHANCE, MAX_DEADLINE};
use crate::decide::Timing;

/// Where an event stands among those of its conversation: when the bus first took it, then its place
/// in the topic that it stood in first, wherever it went since. Two of one topic compare as that topic
/// had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    published_at: Timestamp,
    seq: u64,
}

/// What stays with a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Names the delivery.
    pub(crate) id: Arc<str>,
    /// The egress topic it was read from.
    pub(crate) origin: Topic,
    /// Its place in its conversation.
    pub(crate) order: Order,
    /// When it is given up.
    pub(crate) deadline: Timestamp,
    /// It was first read after its deadline, and has one attempt.
    pub(crate) last_chance: bool,
    /// How often it was forwarded between topics.
    pub(crate) hops: u32,
    /// It is one of several legs: see the ledger.
    pub(crate) is_leg: bool,
    /// How often it was taken over from an instance that was gone.
    pub(crate) taken: u32,
    /// An instance that had it before may have said it.
    pub(crate) may_have_been_sent: bool,
    /// What was tried: the first ones and the last ones.
    pub(crate) attempts: Vec<Attempt>,
}

/// Attributes of lane records, beside the event's own.
mod lane {
    pub(super) const TOPIC: &str = "laneTopic";
    pub(super) const ORDER: &str = "laneOrder";
    pub(super) const ATTEMPTS: &str = "laneAttempts";
    pub(super) const LAST_CHANCE: &str = "laneLastChance";
    pub(super) const ALL: [&str; 4] = [TOPIC, ORDER, ATTEMPTS, LAST_CHANCE];
}

/// The attribute of what was passed on or taken over: its [`Order`] where it stood first.
const ORDER: &str = "order";

/// The attribute of what is one of several legs: the instance it is for.
const LEG: &str = "leg";

/// The attribute that counts takeovers.
const TAKEN: &str = "taken";
/// The attribute of what an instance that had it before may have said.
const MAY_HAVE_BEEN_SENT: &str = "mayHaveBeenSent";

/// Attempts kept: this many of the first, and as many of the last.
const KEPT_ATTEMPTS: usize = 10;

// === impl Order ===

impl Order {
    /// Of a message on an egress topic. What came here from another topic keeps the place it had there;
    /// nothing else names a place, and nothing is older than its topic says that it may be.
    pub(crate) fn of(record: &Record) -> Self {
        let here = Self { published_at: record.published_at, seq: record.seq };
        let first = if moves_of(record) == 0 { None } else { Self::read(&record.message.attributes, ORDER) };
        first.map_or(here, |first| first.min(here))
    }

    /// Of a lane record; `None` when it is not one of ours.
    pub(crate) fn of_lane(record: &Record) -> Option<Self> {
        Self::read(&record.message.attributes, lane::ORDER)
    }

    /// When the bus first took it.
    pub(crate) fn published_at(self) -> Timestamp {
        self.published_at
    }

    fn read(attributes: &Attributes, name: &str) -> Option<Self> {
        let (published_at, seq) = attributes.get(name)?.split_once('-')?;
        let published_at = Timestamp::from_millis(published_at.parse().ok()?);
        Some(Self { published_at, seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.published_at.as_millis(), self.seq)
    }
}

// === impl Ticket ===

impl Ticket {
    /// The ticket of a message on an egress topic, whose delivery has this id; `event` when its body is one.
    pub(crate) fn of(
        id: Arc<str>,
        record: &Record,
        event: Option<&Event>,
        config: &EngineConfig,
        now: Timestamp,
    ) -> Self {
        let attributes = &record.message.attributes;
        let asked = event.and_then(Event::deadline).unwrap_or(config.deadline).min(MAX_DEADLINE);
        let stated = attributes.get(names::DEADLINE).and_then(Timestamp::parse);
        let deadline = stated.map_or(record.published_at.plus(asked), |at| at.min(now.plus(MAX_DEADLINE)));
        let last_chance = now > deadline && now.since(record.published_at) <= LATE_BUT_TRIED;
        Self {
            id,
            origin: record.topic.clone(),
            order: Order::of(record),
            deadline: if last_chance { now.plus(LATE_CHANCE) } else { deadline },
            last_chance,
            hops: count(attributes, names::HOPS),
            is_leg: attributes.get(LEG).is_some(),
            taken: count(attributes, TAKEN),
            may_have_been_sent: attributes.get(MAY_HAVE_BEEN_SENT).is_some(),
            attempts: Vec::new(),
        }
    }

    /// The ticket that a lane record carries; `None` when it is not one of ours.
    pub(crate) fn of_lane(record: &Record) -> Option<Self> {
        let attributes = &record.message.attributes;
        Some(Self {
            id: attributes.get(names::DELIVERY_ID)?.into(),
            origin: Topic::parse(attributes.get(lane::TOPIC)?).ok()?,
            order: Order::of_lane(record)?,
            deadline: Timestamp::parse(attributes.get(names::DEADLINE)?)?,
            last_chance: attributes.get(lane::LAST_CHANCE).is_some(),
            hops: count(attributes, names::HOPS),
            is_leg: attributes.get(LEG).is_some(),
            taken: count(attributes, TAKEN),
            may_have_been_sent: attributes.get(MAY_HAVE_BEEN_SENT).is_some(),
            attempts: attributes.get(lane::ATTEMPTS).map(read_attempts).unwrap_or_default(),
        })
    }

    /// The lane record of this delivery. Its id is made from the message's, so that a repeat is a duplicate;
    /// what came back here by another hop or a takeover is none, and neither is a record in place of one
    /// that the bus lost, which `lost` counts.
    pub(crate) fn lane_message(&self, original: &Message, lost: u32) -> Message {
        let id = &original.id;
        let id = if lost == 0 { id.step("lane") } else { id.step(&format!("lane-{lost}")) };
        let mut attributes = original.attributes.clone();
        attributes.set(names::MESSAGE_ID, id.as_str());
        attributes.set(names::DELIVERY_ID, &*self.id);
        attributes.set(names::DEADLINE, self.deadline.to_string());
        attributes.set(names::HOPS, self.hops.to_string());
        attributes.set(lane::TOPIC, self.origin.as_str());
        attributes.set(lane::ORDER, self.order.to_string());
        if self.last_chance {
            attributes.set(lane::LAST_CHANCE, "1");
        }
        if !self.attempts.is_empty() {
            attributes.set(lane::ATTEMPTS, write_attempts(&self.attempts));
        }
        Message::new(id, attributes, original.body.clone())
    }

    /// The same event for another egress topic, one hop on.
    pub(crate) fn forwarded(&self, original: &Message) -> Message {
        let hops = self.hops + 1;
        let id = original.id.step(&format!("hop-{hops}"));
        let mut attributes = original.attributes.clone();
        attributes.set(names::MESSAGE_ID, id.as_str());
        attributes.set(names::DELIVERY_ID, &*self.id);
        attributes.set(names::DEADLINE, self.deadline.to_string());
        attributes.set(names::HOPS, hops.to_string());
        attributes.set(ORDER, self.order.to_string());
        attributes.remove(LEG);
        if self.may_have_been_sent {
            attributes.set(MAY_HAVE_BEEN_SENT, "1");
        }
        Message::new(id, attributes, original.body.clone())
    }

    /// The same event for the topic of one of several instances, one hop on.
    pub(crate) fn leg(&self, original: &Message, instance: &str) -> Message {
        let Message { id, mut attributes, body } = self.forwarded(original);
        let id = id.step(instance);
        attributes.set(names::MESSAGE_ID, id.as_str());
        attributes.set(LEG, instance);
        Message::new(id, attributes, body)
    }

    /// The same event for the generic topic, taken over from a topic that nobody reads any more. Its id is
    /// made from where it was, so that a repeat is a duplicate; no hop is counted, since it went nowhere.
    pub(crate) fn taken_over(&self, original: &Message) -> Message {
        let id = original.id.step(&format!("taken-{}", self.origin));
        let mut attributes = original.attributes.clone();
        attributes.set(names::MESSAGE_ID, id.as_str());
        attributes.set(names::DELIVERY_ID, &*self.id);
        attributes.set(names::DEADLINE, self.deadline.to_string());
        attributes.set(names::HOPS, self.hops.to_string());
        attributes.set(ORDER, self.order.to_string());
        attributes.set(TAKEN, (self.taken + 1).to_string());
        attributes.set(MAY_HAVE_BEEN_SENT, "1");
        for name in lane::ALL.into_iter().chain([LEG]) {
            attributes.remove(name);
        }
        Message::new(id, attributes, original.body.clone())
    }

    /// Its name among what an engine has in hand: a leg is another than the event it is a leg of, which
    /// the same engine may just be sending on.
    pub(crate) fn name(&self) -> Arc<str> {
        name(self.id.clone(), self.is_leg)
    }

    /// How often it was forwarded or taken over.
    pub(crate) fn moves(&self) -> u32 {
        self.hops.saturating_add(self.taken)
    }

    /// Notes an attempt. In between the first and the last ones they are forgotten.
    pub(crate) fn tried(&mut self, attempt: Attempt) {
        if self.attempts.len() >= 2 * KEPT_ATTEMPTS {
            self.attempts.remove(KEPT_ATTEMPTS);
        }
        self.attempts.push(attempt);
    }

    /// Until when it may be tried, on this process's monotonic clock.
    pub(crate) fn timing(&self, timeout_at: Option<Timestamp>, now: Timestamp, instant: Instant) -> Timing {
        let is_timeout = timeout_at.is_some_and(|at| at <= self.deadline);
        let end = timeout_at.map_or(self.deadline, |at| at.min(self.deadline));
        let ahead = end.since(now);
        let behind = now.since(end);
        let deadline = if behind > Duration::ZERO {
            instant.checked_sub(behind).unwrap_or(instant)
        } else {
            instant + ahead
        };
        Timing { deadline, is_timeout, last_chance: self.last_chance }
    }
}

/// The `deliveryId` attribute, else one derived from topic and message id, so that a redelivery has
/// the same.
pub(crate) fn delivery_id(record: &Record) -> Arc<str> {
    match record.message.attributes.get(names::DELIVERY_ID).filter(|id| !id.is_empty() && id.len() <= 200) {
        Some(id) => id.into(),
        None => {
            let mut hex = sha256_hex(format!("{}\n{}", record.topic, record.message.id).as_bytes());
            hex.truncate(32);
            hex.into()
        }
    }
}

/// How often a message was forwarded between topics, or taken over.
pub(crate) fn moves_of(record: &Record) -> u32 {
    let attributes = &record.message.attributes;
    count(attributes, names::HOPS).saturating_add(count(attributes, TAKEN))
}

fn count(attributes: &Attributes, name: &str) -> u32 {
    attributes.get(name).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The name of a delivery among what an engine has in hand.
pub(crate) fn name_of(id: &Arc<str>, record: &Record) -> Arc<str> {
    name(id.clone(), record.message.attributes.get(LEG).is_some())
}

fn name(id: Arc<str>, is_leg: bool) -> Arc<str> {
    if is_leg { format!("{id}\n{LEG}").into() } else { id }
}

fn write_attempts(attempts: &[Attempt]) -> String {
    serde_json::to_string(attempts).unwrap_or_default()
}

fn read_attempts(json: &str) -> Vec<Attempt> {
    #[derive(serde::Deserialize)]
    struct Stored {
        at: Timestamp,
        instance: String,
        outcome: String,
    }
    let stored: Vec<Stored> = serde_json::from_str(json).unwrap_or_default();
    stored.into_iter().map(|s| Attempt { at: s.at, instance: s.instance, outcome: s.outcome }).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatbus_event::{InstanceId, MessageId};

    use super::*;

    fn record(topic: Topic, attributes: &[(&'static str, &str)]) -> Record {
        let attributes: Attributes = attributes.iter().map(|&(name, value)| (name, value)).collect();
        Record {
            topic,
            seq: 7,
            published_at: at("2025-01-01T00:00:00Z"),
            message: Message::new(MessageId::new("m"), attributes, Bytes::from_static(b"{}")),
        }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn config() -> EngineConfig {
        EngineConfig::new(InstanceId::parse("i").unwrap())
    }

    #[test]
    fn a_redelivery_has_the_same_id_and_another_topic_has_another() {
        let one = record(Topic::egress(), &[]);
        assert_eq!(delivery_id(&one), delivery_id(&one.clone()));
        assert_ne!(delivery_id(&one), delivery_id(&record(Topic::ingress(), &[])));
        assert_eq!(&*delivery_id(&record(Topic::egress(), &[("DeliveryID", "d")])), "d");
    }

    #[test]
    fn the_deadline_is_the_first_that_is_stated_and_never_over_an_hour_away() {
        let asks = |ms: u64| format!(r#"{{"type":"t","metadata":{{"deadlineMs":{ms}}}}}"#);
        for (attribute, body, expected) in [
            (None, r#"{"type":"t"}"#.to_owned(), "2025-01-01T00:01:00Z"),
            (None, asks(5_000), "2025-01-01T00:00:05Z"),
            (None, asks(86_400_000), "2025-01-01T01:00:00Z"),
            (Some("2025-01-01T00:00:30Z"), asks(5_000), "2025-01-01T00:00:30Z"),
            (Some("2999-01-01T00:00:30Z"), asks(5_000), "2025-01-01T01:00:01Z"),
            (Some("soon"), asks(5_000), "2025-01-01T00:00:05Z"),
        ] {
            let attributes: Vec<_> = attribute.map(|value| ("deadline", value)).into_iter().collect();
            let record = record(Topic::egress(), &attributes);
            let event = Event::decode(&Bytes::from(body.clone())).unwrap();
            let ticket = Ticket::of(
                delivery_id(&record),
                &record,
                Some(&event),
                &config(),
                at("2025-01-01T00:00:01Z"),
            );
            assert_eq!((ticket.deadline, ticket.last_chance), (at(expected), false), "{attribute:?} {body}");
        }
    }

    #[test]
    fn what_is_first_read_after_its_deadline_has_one_chance_unless_it_is_old() {
        let record = record(Topic::egress(), &[]);
        for (now, deadline, last_chance) in [
            ("2025-01-01T00:00:59Z", "2025-01-01T00:01:00Z", false),
            ("2025-01-01T00:02:00Z", "2025-01-01T00:02:15Z", true),
            ("2025-01-01T00:10:00Z", "2025-01-01T00:10:15Z", true),
            ("2025-01-01T00:10:01Z", "2025-01-01T00:01:00Z", false),
        ] {
            let ticket = Ticket::of(delivery_id(&record), &record, None, &config(), at(now));
            assert_eq!((ticket.deadline, ticket.last_chance), (at(deadline), last_chance), "{now}");
        }
    }

    #[test]
    fn a_timeout_ends_it_before_its_deadline_and_also_its_last_chance() {
        let record = record(Topic::egress(), &[]);
        #[expect(clippy::disallowed_methods, reason = "any moment will do")]
        let instant = Instant::now();
        let now = at("2025-01-01T00:02:00Z");
        let ticket = Ticket::of(delivery_id(&record), &record, None, &config(), now);
        let timing = ticket.timing(Some(at("2025-01-01T00:01:59Z")), now, instant);
        assert!(timing.is_timeout && timing.deadline < instant);
        let timing = ticket.timing(Some(at("2025-01-01T00:05:00Z")), now, instant);
        assert_eq!((timing.is_timeout, timing.deadline), (false, instant + LATE_CHANCE));
    }

    #[test]
    fn what_waits_in_a_lane_again_after_a_takeover_is_no_repeat_of_its_first_wait() {
        let first = record(Topic::egress(), &[]);
        let ticket = |record: &Record| {
            Ticket::of(delivery_id(record), record, None, &config(), at("2025-01-01T00:00:01Z"))
        };
        let lane = ticket(&first).lane_message(&first.message, 0);
        assert_eq!(lane.id, ticket(&first).lane_message(&first.message, 0).id, "a repeat is");
        let taken = Record { message: ticket(&first).taken_over(&lane), ..first.clone() };
        assert_eq!((ticket(&taken).taken, ticket(&taken).may_have_been_sent), (1, true));
        assert!(moves_of(&taken) > ticket(&first).moves());
        assert_ne!(ticket(&taken).lane_message(&taken.message, 0).id, lane.id);
        let forwarded = Record { message: ticket(&taken).forwarded(&taken.message), ..first };
        assert!(ticket(&forwarded).may_have_been_sent && ticket(&forwarded).taken == 1);
    }

    #[test]
    fn an_event_keeps_its_place_in_the_order_through_every_move() {
        let first = record(Topic::egress(), &[]);
        let order = Order::of(&first);
        let ticket = |record: &Record| {
            Ticket::of(delivery_id(record), record, None, &config(), at("2025-01-01T00:00:01Z"))
        };
        let later = |message: Message| Record {
            message,
            seq: 1,
            published_at: at("2025-01-01T00:00:20Z"),
            ..first.clone()
        };
        let forwarded = later(ticket(&first).forwarded(&first.message));
        let taken = later(ticket(&forwarded).taken_over(&forwarded.message));
        let lane = later(ticket(&taken).lane_message(&taken.message, 0));
        assert_eq!([Order::of(&forwarded), Order::of(&taken)], [order; 2]);
        assert_eq!(Order::of_lane(&lane), Some(order));
        for (attributes, why) in [
            (&[("order", "1-1")][..], "it went nowhere"),
            (&[("order", "99999999999999-1"), ("hops", "1")], "nobody is moved to the end of time"),
            (&[("order", "soon"), ("hops", "1")], "no order at all"),
        ] {
            assert_eq!(Order::of(&record(Topic::egress(), attributes)), order, "{why}");
        }
    }

    #[test]
    fn a_lane_record_carries_the_whole_ticket() {
        let record = record(Topic::egress(), &[("hops", "2"), ("channel", "#a")]);
        let mut ticket =
            Ticket::of(delivery_id(&record), &record, None, &config(), at("2025-01-01T00:02:00Z"));
        for n in 0..30 {
            ticket.tried(Attempt {
                at: at("2025-01-01T00:02:01Z"),
                instance: "i".into(),
                outcome: format!("code-{n}"),
            });
        }
        let words: Vec<&str> = ticket.attempts.iter().map(|a| a.outcome.as_str()).collect();
        assert_eq!((words.len(), words[9], words[10], words[19]), (20, "code-9", "code-20", "code-29"));
        let message = ticket.lane_message(&record.message, 0);
        assert_eq!(message.attributes.get("channel"), Some("#a"));
        let stored = Record { message, seq: 99, ..record.clone() };
        assert_eq!(Ticket::of_lane(&stored), Some(ticket.clone()));
        assert_eq!(Ticket::of_lane(&record), None);
        let forwarded = ticket.forwarded(&record.message);
        assert_eq!(forwarded.id.as_str(), "m/hop-3");
        assert_eq!(forwarded.attributes.get("hops"), Some("3"));
        assert_eq!(forwarded.attributes.get("deliveryId"), Some(&*ticket.id));
    }
}
