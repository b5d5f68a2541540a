//! Tables of inputs and what must follow, on fake time and without a disk or a bus.

use chatbus_connector::Inbound;
use chatbus_event::{MessageId, names};
use chatbus_testkit::SeededEntropy;

use super::*;
use crate::spool::Entry;

const EMPTY: Found = Found { cursor: 0, next: 0, bytes: 0, torn: 0 };

/// A pipeline with its time, and what its last input led to.
struct Rig {
    machine: Machine,
    now: Moment,
    did: Actions,
    next_id: u64,
}

fn config() -> crate::IngressConfig {
    crate::IngressConfig::new(chatbus_event::InstanceId::parse("i").unwrap(), "/nowhere")
}

fn limits() -> Limits {
    Limits::new(&config())
}

impl Rig {
    fn new(limits: Limits, found: Found) -> Self {
        let now = Moment { mono: chatbus_testkit_instant(), wall: Timestamp::from_millis(1_700_000_000_000) };
        let entropy = Arc::new(SeededEntropy::new(1));
        let machine = Machine::new(limits, entropy, "ingress-egress.i".into(), 1 << 20, found, now);
        Self { machine, now, did: Actions::default(), next_id: 0 }
    }

    fn connected(limits: Limits) -> Self {
        let mut rig = Self::new(limits, EMPTY);
        rig.on(Input::Status { connected: true, epoch: 1 });
        // The first acknowledgement opens the window.
        rig.emit(1);
        rig.on(Input::Acked(1));
        rig
    }

    fn on(&mut self, input: Input) -> &Actions {
        self.did.clear();
        self.machine.on(input, self.now, &mut self.did);
        &self.did
    }

    fn emit(&mut self, count: u64) -> &Actions {
        self.emit_body(count, r#"{"type":"t"}"#)
    }

    fn emit_body(&mut self, count: u64, body: &str) -> &Actions {
        let events = (0..count).map(|n| inbound(self.next_id + n, self.now.wall, body)).collect();
        self.next_id += count;
        self.on(Input::Taken(Batch {
            platform: "test",
            read_at: self.now.mono,
            wall: self.now.wall,
            events,
            told: vec![],
        }))
    }

    fn pass(&mut self, millis: u64) -> &Actions {
        let by = Duration::from_millis(millis);
        self.now = Moment { mono: self.now.mono + by, wall: self.now.wall.plus(by) };
        self.on(Input::Tick)
    }

    /// The disk does the job it was given, whole.
    fn disk_done(&mut self, job: &Job) -> &Actions {
        let report = self.report(job);
        self.on(Input::Spooled(report))
    }

    fn report(&self, job: &Job) -> Report {
        Report {
            durable: job.append.last().map_or(self.machine.disk.durable, |entry| entry.number + 1),
            cursor_written: job.cursor,
            ..Report::default()
        }
    }

    fn published(&self) -> Vec<String> {
        self.did.publish.iter().map(|(_, message)| message.id.to_string()).collect()
    }

    fn wait(&self) -> Option<u128> {
        let at = self.machine.next_deadline(self.now)?;
        Some(at.saturating_duration_since(self.now.mono).as_millis())
    }
}

fn chatbus_testkit_instant() -> Instant {
    use chatbus_event::Clock;
    chatbus_testkit::FakeClock::at(Timestamp::EPOCH).instant()
}

fn inbound(n: u64, at: Timestamp, body: &str) -> Inbound {
    let id = MessageId::new(&format!("m{n}"));
    let mut attributes = Attributes::new();
    attributes.set(names::MESSAGE_ID, id.as_str());
    Inbound { id, attributes, body: body.to_owned().into(), conversation: "#a".into(), received_at: at }
}

fn numbers(job: &Job) -> Vec<u64> {
    job.append.iter().map(|entry| entry.number).collect()
}

#[test]
fn events_are_published_as_they_come_and_forgotten_when_acknowledged() {
    let mut rig = Rig::connected(limits());
    rig.emit(3);
    assert_eq!(rig.published(), ["m1", "m2", "m3"]);
    assert_eq!(rig.did.publish[0].1.attributes.get("messageId"), Some("m1"));
    assert!(rig.did.job.is_none());
    rig.pass(2);
    rig.on(Input::Acked(2));
    assert_eq!(rig.did.published, [("test", Duration::from_millis(2)); 2]);
    rig.on(Input::Acked(1));
    assert!(rig.machine.front.is_empty());
    assert_eq!((rig.machine.front_bytes, rig.machine.unsaved_bytes, rig.machine.sent_bytes), (0, 0, 0));
    assert_eq!(rig.wait(), None);
}

#[test]
fn at_first_two_go_out_and_the_rest_after_the_first_acknowledgement() {
    let mut rig = Rig::new(limits(), EMPTY);
    assert!(rig.emit(5).publish.is_empty(), "the bus has not said that it is there");
    rig.on(Input::Status { connected: true, epoch: 1 });
    assert_eq!(rig.published(), ["m0", "m1"]);
    rig.on(Input::Acked(1));
    assert_eq!(rig.published(), ["m2", "m3", "m4"]);
}

#[test]
fn what_is_not_acknowledged_in_time_is_written_but_goes_on_being_published() {
    let mut rig = Rig::connected(limits());
    rig.emit(2);
    assert_eq!(rig.wait(), Some(35));
    rig.pass(10);
    rig.emit(1);
    assert!(rig.pass(24).job.is_none());
    let job = rig.pass(1).job.clone().unwrap();
    assert_eq!(numbers(&job), [0, 1, 2], "what is younger goes along");
    rig.emit(1);
    assert_eq!(rig.published(), ["m4"]);
    assert!(rig.did.job.is_none(), "one job at a time");
    rig.disk_done(&job);
    assert_eq!(rig.did.notices, []);
    assert_eq!(rig.machine.spool_events(), 3);
    // The bus only was slow: no trouble, and the cursor follows the acknowledgements.
    rig.on(Input::Acked(2));
    assert_eq!(rig.machine.spool_events(), 1);
    rig.on(Input::Acked(2));
    assert_eq!(rig.machine.spool_events(), 0);
    let job = rig.pass(500).job.clone().unwrap();
    assert_eq!((job.cursor, job.append.len()), (Some(3), 0));
    assert!(rig.disk_done(&job).notices.is_empty());
    assert_eq!(rig.wait(), None);
}

#[test]
fn acknowledgements_may_come_while_the_disk_still_writes() {
    let mut rig = Rig::connected(limits());
    rig.emit(3);
    let job = rig.pass(35).job.clone().unwrap();
    rig.on(Input::Acked(2));
    assert_eq!(rig.machine.disk.cursor, 2);
    rig.disk_done(&job);
    assert_eq!(rig.machine.spool_events(), 1);
    rig.on(Input::Acked(1));
    assert_eq!((rig.machine.spool_events(), rig.machine.disk.read_next), (0, 3));
}

#[test]
fn after_a_failure_everything_unacknowledged_is_sent_again_in_order_before_anything_new() {
    let mut rig = Rig::connected(limits());
    rig.emit(4);
    rig.on(Input::Acked(1));
    let did = rig.on(Input::Failed(BusErrorKind::Timeout));
    assert!(did.forget && did.publish.is_empty());
    rig.emit(1);
    assert_eq!(rig.published(), [""; 0], "new ones wait behind");
    let wait = rig.wait().unwrap();
    assert!((25..=50).contains(&wait), "{wait}");
    rig.pass(50);
    assert_eq!(rig.published(), ["m2", "m3"]);
    assert_eq!(rig.did.publish[0].1.attributes.get("messageId"), Some("m2"), "with the same attributes");
    rig.on(Input::Acked(1));
    assert_eq!(rig.published(), ["m4", "m5"]);
}

#[test]
fn the_waits_between_attempts_grow_and_a_connection_that_comes_back_ends_them() {
    let mut rig = Rig::connected(limits());
    rig.emit(1);
    let mut notices = Vec::new();
    for most in [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000] {
        notices.extend(rig.on(Input::Failed(BusErrorKind::Full)).notices.clone());
        let until = rig.machine.link.hold_until.unwrap();
        let wait = until.saturating_duration_since(rig.now.mono).as_millis();
        assert!(wait <= most && wait >= most / 2, "{wait} of {most}");
        notices.extend(rig.pass(u64::try_from(wait).unwrap() + 1).notices.clone());
        assert_eq!(rig.published(), ["m1"]);
    }
    assert!(notices.contains(&Notice::Failing { attempts: 6, kind: BusErrorKind::Full }));
    rig.on(Input::Failed(BusErrorKind::Closed));
    rig.on(Input::Status { connected: true, epoch: 2 });
    assert_eq!(rig.published(), ["m1"]);
    rig.on(Input::Failed(BusErrorKind::Misconfigured));
    assert_eq!(rig.machine.link.hold_until.unwrap() - rig.now.mono, RETRY_MAX);
}

#[test]
fn each_kind_of_trouble_is_named_once_and_its_end_too() {
    type Begin = fn(&mut Rig);
    let table: [(&str, Begin); 4] = [
        ("bus_closed", |rig| {
            rig.on(Input::Status { connected: false, epoch: 1 });
            rig.on(Input::Failed(BusErrorKind::Closed));
        }),
        ("acks_late", |_| {}),
        ("refused", |rig| rig.machine.link.attempts = 6),
        ("window_full", |rig| {
            rig.machine.limits.window_messages = 1;
            rig.emit(4);
        }),
    ];
    for (reason, begin) in table {
        let mut rig = Rig::connected(limits());
        rig.emit(2);
        begin(&mut rig);
        let mut notices = rig.did.notices.clone();
        for _ in 0..8 {
            notices.extend(rig.pass(35).notices.clone());
            if let Some(job) = rig.did.job.take() {
                notices.extend(rig.disk_done(&job).notices.clone());
            }
        }
        assert_eq!(notices, [Notice::SpoolBegun { reason }], "{reason}");
        assert_eq!(rig.machine.health(rig.now).spooling_reason, Some(reason));
        rig.machine.limits.window_messages = 100;
        rig.on(Input::Status { connected: true, epoch: 2 });
        rig.machine.link.hold_until = None;
        let mut ended = Vec::new();
        let mut waiting = rig.did.job.take();
        for _ in 0..20 {
            let in_flight = rig.machine.sent;
            ended.extend(rig.on(Input::Acked(in_flight)).notices.clone());
            if let Some(job) = waiting.take().or_else(|| rig.did.job.take()) {
                let mut report = rig.report(&job);
                if let Some(read) = job.read {
                    report.loaded = (read.from..rig.machine.disk.durable)
                        .map(|number| Entry {
                            number,
                            kept: Kept::new("test", inbound(number, rig.now.wall, "{}")).0,
                        })
                        .collect();
                    report.read_to = Some(rig.machine.disk.durable);
                }
                ended.extend(rig.on(Input::Spooled(report)).notices.clone());
                waiting = rig.did.job.take();
            }
        }
        assert!(matches!(&ended[..], [Notice::SpoolDrained { events: 2.., .. }]), "{reason}: {ended:?}");
        assert_eq!(rig.machine.health(rig.now).spooling_since, None);
    }
}

#[test]
fn while_the_bus_is_silent_everything_is_taken_and_written_in_groups() {
    let mut rig = Rig::connected(limits());
    rig.on(Input::Status { connected: false, epoch: 1 });
    rig.emit(1);
    let mut written = 0;
    for _ in 0..40 {
        assert!(rig.machine.takes(rig.now.mono));
        rig.emit(1);
        rig.pass(5);
        if let Some(job) = rig.did.job.take() {
            written += job.append.len();
            rig.disk_done(&job);
        }
    }
    assert!(written >= 36, "{written}");
    assert!(
        rig.machine
            .front
            .iter()
            .skip(rig.machine.front_numbered)
            .all(|slot| { rig.now.mono - slot.read_at <= Duration::from_millis(35) })
    );
}

#[test]
fn what_does_not_fit_in_memory_is_read_back_in_order() {
    let mut small = limits();
    small.window_messages = 2;
    let mut rig = Rig::connected(small);
    rig.emit(10);
    assert_eq!(rig.published(), ["m1", "m2"]);
    assert_eq!((rig.machine.front.len(), rig.machine.tail.len()), (4, 6));
    let job = rig.pass(35).job.clone().unwrap();
    assert_eq!(numbers(&job), (0..10).collect::<Vec<_>>());
    rig.disk_done(&job);
    assert!(rig.machine.saving.is_empty(), "on disk, and forgotten");
    rig.emit(1);
    assert_eq!(rig.machine.tail.len(), 1, "a live event joins the end");
    rig.on(Input::Acked(2));
    assert_eq!(rig.published(), ["m3", "m4"]);
    let read = rig.did.job.clone().unwrap();
    assert_eq!(read.read.unwrap().from, 4);
    let report =
        Report { durable: 10, loaded: job.append[4..10].to_vec(), read_to: Some(10), ..Report::default() };
    rig.on(Input::Spooled(report));
    for expected in [["m5", "m6"], ["m7", "m8"], ["m9", "m10"]] {
        rig.on(Input::Acked(2));
        assert_eq!(rig.published(), expected);
    }
    rig.on(Input::Acked(2));
    assert_eq!(rig.published(), ["m11"]);
    rig.on(Input::Acked(1));
    assert_eq!(rig.machine.spool_events(), 0);
}

#[test]
fn what_the_disk_did_not_take_is_handed_over_again() {
    let mut small = limits();
    small.window_messages = 2;
    let mut rig = Rig::connected(small);
    rig.emit(8);
    let job = rig.pass(35).job.clone().unwrap();
    assert_eq!(job.append.len(), 8);
    rig.on(Input::Acked(1));
    let failed = Report { durable: 2, error: Some("full".into()), ..Report::default() };
    let did = rig.on(Input::Spooled(failed));
    assert_eq!(did.notices, [Notice::DiskFailed { error: "full".into() }]);
    assert!(did.job.is_none());
    assert!(rig.machine.health(rig.now).disk_failing);
    let job = rig.pass(200).job.clone().unwrap();
    assert_eq!(numbers(&job), (2..8).collect::<Vec<_>>());
    assert_eq!(job.append[0].kept.id.as_str(), "m3");
    assert_eq!(job.append[5].kept.id.as_str(), "m8");
    let did = rig.disk_done(&job);
    assert!(did.notices.contains(&Notice::DiskRecovered));
}

#[test]
fn numbers_whose_events_were_acknowledged_while_the_disk_failed_are_not_used_again() {
    let mut rig = Rig::connected(limits());
    rig.emit(4);
    rig.pass(35);
    rig.on(Input::Acked(3));
    rig.on(Input::Spooled(Report { error: Some("full".into()), ..Report::default() }));
    assert_eq!(rig.machine.disk.cursor, 3);
    let job = rig.pass(300).job.clone().unwrap();
    assert_eq!(numbers(&job), [3]);
    rig.disk_done(&job);
    rig.on(Input::Acked(1));
    assert_eq!(rig.machine.spool_events(), 0);
}

#[test]
fn when_the_disk_fails_memory_is_bounded_and_the_oldest_gives_way() {
    let mut small = limits();
    small.window_messages = 2;
    small.memory_bytes = 2_500;
    let mut rig = Rig::connected(small);
    rig.on(Input::Status { connected: false, epoch: 1 });
    rig.emit(4);
    rig.pass(35);
    rig.on(Input::Spooled(Report { error: Some("full".into()), ..Report::default() }));
    rig.emit(20);
    assert!(rig.machine.unsaved_bytes <= 2_500);
    let lost = rig.machine.dropped;
    assert!(lost > 5);
    assert!(rig.did.notices.contains(&Notice::Dropped { reason: "spool_full", events: lost }));
    assert_eq!(rig.machine.front.front().unwrap().kept.id.as_str(), "m1", "what is in flight stays");
    assert_eq!(rig.machine.tail.back().unwrap().kept.id.as_str(), "m24");
    assert!(rig.machine.health(rig.now).dropping);
    rig.pass(60_001);
    assert!(!rig.machine.health(rig.now).dropping);
    assert_eq!(rig.machine.health(rig.now).dropped, lost);
}

#[test]
fn a_disk_that_hangs_counts_as_failed_after_a_second() {
    let mut small = limits();
    small.window_messages = 1;
    small.memory_bytes = 1_000;
    let mut rig = Rig::connected(small);
    rig.emit(1);
    rig.pass(35);
    rig.emit(30);
    assert_eq!(rig.machine.dropped, 0);
    assert!(!rig.machine.takes(rig.now.mono), "the disk is given a moment");
    let wait = rig.wait().unwrap();
    assert!(wait <= 15, "and the intake opens for a gulp all the same: {wait}");
    rig.pass(15);
    assert!(rig.machine.takes(rig.now.mono));
    rig.pass(985);
    assert!(rig.machine.dropped > 20);
    assert!(rig.machine.takes(rig.now.mono));
}

#[test]
fn what_the_disk_dropped_or_cannot_read_is_counted_and_passed() {
    let found = Found { cursor: 10, next: 30, bytes: 5_000, torn: 0 };
    let mut rig = Rig::new(limits(), found);
    rig.on(Input::Status { connected: true, epoch: 1 });
    assert_eq!(rig.did.job.as_ref().unwrap().read.unwrap().from, 10);
    let loaded = (20..28)
        .map(|number| Entry { number, kept: Kept::new("test", inbound(number, rig.now.wall, "{}")).0 })
        .collect();
    let report = Report { durable: 30, oldest: 15, loaded, read_to: Some(30), ..Report::default() };
    let did = rig.on(Input::Spooled(report));
    assert_eq!(
        did.notices,
        [
            Notice::Dropped { reason: "spool_full", events: 5 },
            Notice::Dropped { reason: "spool_corrupt", events: 7 },
        ]
    );
    assert_eq!(rig.published(), ["m20", "m21"]);
    rig.on(Input::Acked(2));
    let did = rig.on(Input::Acked(6));
    assert!(matches!(did.notices[..], [Notice::SpoolDrained { reason: "found_at_start", events: 20, .. }]));
}

#[test]
fn a_spool_whose_every_record_is_gone_is_drained_at_once() {
    let mut rig = Rig::new(limits(), Found { cursor: 0, next: 5, bytes: 0, torn: 0 });
    assert_eq!(rig.machine.health(rig.now).spooling_reason, Some("found_at_start"));
    rig.on(Input::Tick);
    let did = rig.on(Input::Spooled(Report { durable: 5, read_to: Some(5), ..Report::default() }));
    assert!(did.notices.contains(&Notice::Dropped { reason: "spool_corrupt", events: 5 }));
    assert_eq!(rig.machine.spool_events(), 0);
    assert_eq!(rig.machine.health(rig.now).spooling_since, None);
}

#[test]
fn an_event_is_late_when_it_waited_longer_than_the_dedupe_window() {
    let mut rig = Rig::connected(limits());
    rig.emit(1);
    for (wait, late) in [(118_000, false), (1_000, true)] {
        rig.pass(wait);
        rig.on(Input::Failed(BusErrorKind::Timeout));
        rig.pass(5_000 - 5_000 * u64::from(!late) + 50);
        let body = &rig.did.publish[0].1.body;
        assert_eq!(body.windows(4).any(|part| part == b"late"), late, "{wait}");
    }
}

#[test]
fn an_event_from_before_a_restart_is_as_old_as_its_wall_clock_says() {
    let mut rig = Rig::new(limits(), Found { cursor: 0, next: 2, bytes: 100, torn: 0 });
    rig.on(Input::Status { connected: true, epoch: 1 });
    let loaded = [119_500, 10]
        .into_iter()
        .enumerate()
        .map(|(n, age)| {
            let at = rig.now.wall.minus(Duration::from_millis(age));
            Entry { number: n as u64, kept: Kept::new("test", inbound(n as u64, at, r#"{"type":"t"}"#)).0 }
        })
        .collect();
    rig.on(Input::Spooled(Report { durable: 2, loaded, read_to: Some(2), ..Report::default() }));
    let bodies: Vec<_> = rig.did.publish.iter().map(|(_, message)| message.body.clone()).collect();
    assert_eq!(bodies, [&br#"{"type":"t","metadata":{"late":true}}"#[..], br#"{"type":"t"}"#]);
}

#[test]
fn what_is_too_long_is_cut_else_stands_as_a_dead_letter_else_is_dropped() {
    let mut rig = Rig::connected(limits());
    rig.machine.max_message_bytes = 2_000;
    let raw = "x".repeat(3_000);
    let with_raw = format!(r#"{{"type":"t","message":{{"rawPlatformPayload":{{"raw":"{raw}"}}}}}}"#);
    rig.emit_body(1, &with_raw);
    assert_eq!(rig.published(), ["m1"]);
    assert!(rig.did.publish[0].1.body.len() < 100);
    assert_eq!(rig.did.notices, [Notice::Cut { id: "m1".into(), platform: "test" }]);

    rig.emit_body(1, &format!(r#"{{"type":"t","text":"{raw}"}}"#));
    assert_eq!(rig.did.publish[0].0, Route::DeadLetter);
    assert_eq!(rig.published(), ["m2/deadletter"]);
    assert!(rig.did.publish[0].1.body.len() <= 2_000);
    assert_eq!(rig.did.failed, Counts(vec![("test", 1)]));
    assert!(rig.on(Input::Acked(2)).published.len() == 1, "a dead letter is no publication");

    rig.machine.max_message_bytes = 10;
    rig.emit(1);
    assert!(rig.did.publish.is_empty());
    assert!(rig.did.notices.contains(&Notice::Dropped { reason: "refused", events: 1 }));
    assert_eq!((rig.machine.front.len(), rig.machine.front_bytes, rig.machine.unsaved_bytes), (0, 0, 0));
}

#[test]
fn what_the_bus_calls_too_long_only_afterwards_does_not_hold_the_line() {
    let mut rig = Rig::connected(limits());
    let long = format!(r#"{{"type":"t","text":"{}"}}"#, "x".repeat(3_000));
    rig.emit_body(1, &long);
    rig.emit(1);
    rig.pass(35);
    let job = rig.did.job.clone().unwrap();
    rig.disk_done(&job);
    let did = rig.on(Input::Failed(BusErrorKind::TooLarge));
    assert!(did.forget);
    assert_eq!(rig.published(), ["m1/deadletter", "m2"]);
    rig.on(Input::Failed(BusErrorKind::TooLarge));
    assert_eq!(rig.published(), ["m2"], "not even that");
    rig.on(Input::Acked(1));
    assert_eq!(rig.machine.spool_events(), 0);
}

#[test]
fn what_is_longer_than_a_record_is_refused_before_it_is_kept() {
    let mut small = limits();
    small.max_body = 2_000;
    let mut rig = Rig::connected(small);
    rig.emit_body(1, &format!(r#"{{"type":"t","text":"{}"}}"#, "x".repeat(3_000)));
    assert_eq!(rig.published(), ["m1/deadletter"]);
    assert!(rig.machine.front[0].kept.body.len() <= 2_000);
}

#[test]
fn one_message_refused_over_and_over_while_the_next_is_taken_is_given_up() {
    let mut rig = Rig::connected(limits());
    rig.emit(3);
    for _ in 0..5 {
        rig.on(Input::Failed(BusErrorKind::Refused));
        rig.pass(5_000);
        assert_eq!(rig.published(), ["m1", "m2"]);
    }
    let did = rig.on(Input::Failed(BusErrorKind::Refused));
    assert!(!did.forget && did.publish.is_empty(), "now the second one's answer decides");
    rig.on(Input::Acked(1));
    assert_eq!(rig.published(), ["m1/deadletter", "m2", "m3"]);
    assert!(rig.did.notices.contains(&Notice::GivenUp {
        id: "m1".into(),
        platform: "test",
        code: "refused"
    }));
}

#[test]
fn when_the_next_is_refused_as_well_it_is_the_bus_and_nothing_is_given_up() {
    let mut rig = Rig::connected(limits());
    rig.emit(2);
    for _ in 0..20 {
        rig.on(Input::Failed(BusErrorKind::Refused));
        if rig.machine.link.suspect {
            rig.on(Input::Failed(BusErrorKind::Refused));
        }
        assert!(rig.did.forget);
        rig.pass(5_000);
        assert_eq!(rig.published(), ["m1", "m2"]);
    }
    rig.on(Input::Failed(BusErrorKind::Refused));
    rig.on(Input::Failed(BusErrorKind::TooLarge));
    assert_eq!(rig.published(), ["m1", "m2/deadletter"], "the neighbour of a suspect may be too long");
}

#[test]
fn while_the_bus_answers_a_burst_waits_in_the_socket_and_the_intake_opens_for_gulps() {
    let mut small = limits();
    small.window_messages = 10;
    let mut rig = Rig::connected(small);
    rig.emit(10);
    assert!(!rig.machine.takes(rig.now.mono), "the window is full");
    assert_eq!(rig.wait(), Some(15));
    rig.pass(1);
    rig.on(Input::Acked(5));
    assert!(rig.machine.takes(rig.now.mono), "there is room again");
    rig.emit(6);
    assert!(!rig.machine.takes(rig.now.mono));
    rig.on(Input::Acked(1));
    rig.pass(15);
    assert!(rig.machine.takes(rig.now.mono), "a gulp, window or not");
    rig.pass(20);
    rig.emit(1);
    assert!(rig.machine.takes(rig.now.mono), "no answer for 35 ms: everything is taken");
}

#[test]
fn at_chat_rates_slow_answers_shut_nothing_but_many_old_ones_do() {
    let mut rig = Rig::connected(limits());
    rig.emit(100);
    rig.pass(10);
    assert!(rig.machine.takes(rig.now.mono));
    rig.emit(28);
    assert!(!rig.machine.takes(rig.now.mono));
}

#[test]
fn a_stop_ends_at_once_when_nothing_is_in_hand() {
    let mut rig = Rig::connected(limits());
    assert!(!rig.machine.is_finished(rig.now));
    rig.on(Input::Finish);
    assert!(rig.machine.is_finished(rig.now));
    assert_eq!(rig.machine.unsafe_events(), 0);
}

#[test]
fn a_stop_waits_for_a_bus_that_answers_and_spools_for_one_that_does_not() {
    let mut rig = Rig::connected(limits());
    rig.emit(2);
    rig.on(Input::Finish);
    assert!(!rig.machine.is_finished(rig.now));
    assert_eq!(rig.wait(), Some(35));
    rig.on(Input::Acked(2));
    assert!(rig.machine.is_finished(rig.now));

    let mut rig = Rig::connected(limits());
    rig.emit(2);
    rig.on(Input::Status { connected: false, epoch: 1 });
    let job = rig.on(Input::Finish).job.clone().unwrap();
    assert_eq!(job.append.len(), 2);
    assert!(!rig.machine.is_finished(rig.now));
    rig.disk_done(&job);
    assert!(rig.machine.is_finished(rig.now));
    assert_eq!(rig.machine.unsafe_events(), 0);
}

#[test]
fn a_stop_gives_a_silent_bus_its_grace_and_a_broken_disk_no_longer() {
    let mut rig = Rig::connected(limits());
    rig.emit(2);
    rig.on(Input::Finish);
    let job = rig.pass(35).job.clone().unwrap();
    rig.disk_done(&job);
    assert!(!rig.machine.is_finished(rig.now));
    rig.pass(2_965);
    assert!(rig.machine.is_finished(rig.now));

    let mut rig = Rig::connected(limits());
    rig.emit(2);
    rig.on(Input::Finish);
    rig.pass(35);
    rig.on(Input::Spooled(Report { error: Some("gone".into()), ..Report::default() }));
    rig.machine.disk.retry_at = Some(rig.now.mono + Duration::from_secs(10));
    rig.pass(2_965);
    assert!(rig.machine.is_finished(rig.now));
    assert_eq!(rig.machine.unsafe_events(), 2);
}

#[test]
fn the_cursor_is_written_before_a_stop_ends() {
    let mut rig = Rig::connected(limits());
    rig.emit(2);
    let job = rig.pass(35).job.clone().unwrap();
    rig.disk_done(&job);
    rig.on(Input::Finish);
    let job = rig.on(Input::Acked(2)).job.clone().unwrap();
    assert_eq!(job.cursor, Some(2));
    assert!(!rig.machine.is_finished(rig.now));
    rig.disk_done(&job);
    assert!(rig.machine.is_finished(rig.now));
}

/// One event whose sender waits to hear that it is safe.
fn emit_told(rig: &mut Rig) -> tokio::sync::oneshot::Receiver<Accepted> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let events = vec![inbound(rig.next_id, rig.now.wall, r#"{"type":"t"}"#)];
    rig.next_id += 1;
    let (read_at, wall) = (rig.now.mono, rig.now.wall);
    rig.on(Input::Taken(Batch { platform: "test", read_at, wall, events, told: vec![tell] }));
    told
}

#[test]
fn who_waits_hears_of_the_bus_or_of_the_disk_whichever_is_first() {
    let mut rig = Rig::connected(limits());
    let (mut first, mut second) = (emit_told(&mut rig), emit_told(&mut rig));
    rig.on(Input::Acked(1));
    assert_eq!(first.try_recv(), Ok(Accepted::Bus));
    assert!(second.try_recv().is_err(), "not yet");
    let job = rig.pass(60_000).job.clone().expect("it is saved");
    assert!(second.try_recv().is_err(), "not before it is synced");
    rig.disk_done(&job);
    assert_eq!(second.try_recv(), Ok(Accepted::Spooled));
    rig.on(Input::Acked(1));
}

#[test]
fn who_waits_hears_when_the_bus_will_never_take_it() {
    let mut rig = Rig::connected(limits());
    let mut told = emit_told(&mut rig);
    rig.on(Input::Failed(BusErrorKind::TooLarge));
    assert!(matches!(told.try_recv(), Ok(Accepted::Refused(_))));
}
