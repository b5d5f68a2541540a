use std::time::Duration;

use chatbus_event::{Attributes, Clock};
use chatbus_runtime::SystemClock;

use super::*;

fn message(id: &str, body_bytes: usize) -> Message {
    Message::new(MessageId::new(id), Attributes::new(), vec![b'x'; body_bytes])
}

fn at(start: Now, seconds: u64) -> Now {
    let passed = Duration::from_secs(seconds);
    Now { wall: start.wall.plus(passed), instant: start.instant + passed }
}

fn start() -> Now {
    Now { wall: Timestamp::from_millis(1_700_000_000_000), instant: SystemClock.instant() }
}

#[test]
fn an_id_is_remembered_for_exactly_its_window() {
    let mut space = Space::default();
    let config = MemoryConfig { dedupe_window: Duration::from_secs(60), ..MemoryConfig::default() };
    let (topic, start) = (Topic::ingress(), start());
    for (seconds, duplicate, seq) in
        [(0, false, 1), (30, true, 1), (59, true, 1), (60, false, 2), (119, true, 2)]
    {
        let stored = space.store(&topic, message("a", 1), true, at(start, seconds), &config).unwrap();
        assert_eq!((stored.duplicate, stored.seq), (duplicate, seq), "after {seconds} s");
    }
}

#[test]
fn a_log_forgets_by_age_and_counts_what_was_unread() {
    let mut space = Space::default();
    let config = MemoryConfig { retention: Duration::from_secs(100), ..MemoryConfig::default() };
    let (topic, start) = (Topic::ingress(), start());
    let group = Group::parse("readers").unwrap();
    space.declare(&topic, &group).unwrap();
    for seconds in [0, 50, 90] {
        space.store(&topic, message(&format!("m-{seconds}"), 1), true, at(start, seconds), &config).unwrap();
    }
    let lag = |space: &mut Space, seconds| {
        let lags = space.lag(at(start, seconds).wall, &config);
        (lags[0].pending, lags[0].lost, lags[0].oldest.map(|age| age.as_secs()))
    };
    assert_eq!(lag(&mut space, 100), (3, 0, Some(100)));
    assert_eq!(lag(&mut space, 101), (2, 1, Some(51)));
    assert_eq!(lag(&mut space, 500), (0, 3, None));
}

#[test]
fn a_queue_forgets_nothing_by_age() {
    let mut space = Space::default();
    let config = MemoryConfig { retention: Duration::from_secs(1), ..MemoryConfig::default() };
    let (topic, start) = (Topic::egress(), start());
    space.store(&topic, message("a", 1), true, start, &config).unwrap();
    space.store(&topic, message("b", 1), true, at(start, 1_000_000), &config).unwrap();
    let mut cursor = space.cursor(ScanTopics::All, ScanFrom::Oldest, false);
    assert_eq!(space.read(&mut cursor).map(|r| r.seq), Some(1));
    assert_eq!(space.read(&mut cursor).map(|r| r.seq), Some(2));
    assert_eq!(space.read(&mut cursor), None);
}

#[test]
fn a_queue_has_one_group() {
    let mut space = Space::default();
    let (owner, thief) = (Group::parse("owner").unwrap(), Group::parse("thief").unwrap());
    space.declare(&Topic::egress(), &owner).unwrap();
    space.declare(&Topic::egress(), &owner).unwrap();
    let refused = space.declare(&Topic::egress(), &thief).unwrap_err();
    assert_eq!(refused.kind(), BusErrorKind::Refused);
    space.declare(&Topic::ingress(), &owner).unwrap();
    space.declare(&Topic::ingress(), &thief).unwrap();
}

#[test]
fn a_group_that_was_deleted_and_declared_again_is_another() {
    let mut space = Space::default();
    let (topic, owner, start) = (Topic::egress(), Group::parse("owner").unwrap(), start());
    space.store(&topic, message("a", 1), true, start, &MemoryConfig::default()).unwrap();
    space.declare(&topic, &owner).unwrap();
    let (held, _, before) = space.take(&topic, &owner, 1, start.instant).unwrap();
    space.delete_group(&topic, &owner);
    space.declare(&topic, &owner).unwrap();
    let (again, counts, after) = space.take(&topic, &owner, 1, start.instant).unwrap();
    assert_eq!((again.seq, counts.deliveries), (held.seq, 1));
    space.ack(&topic, &owner, before, held.seq, 1);
    assert!(space.same_group(&topic, &owner, before).is_none());
    assert!(space.fetch(&topic, held.seq).is_some(), "what the first group said settled the second one's");
    space.ack(&topic, &owner, after, held.seq, 1);
    assert!(space.fetch(&topic, held.seq).is_none());
}
