use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chatbus_bus::BusErrorKind;
use chatbus_connector::{Accepted, Emitted};
use chatbus_event::{Clock, Timestamp, Topic};
use chatbus_ingress::{Ingress, Tally};
use chatbus_telemetry::Metrics;
use chatbus_testkit::{FakeClock, test_runtime};

use crate::fake_bus::{FakeBus, Mode};
use crate::rig::{Rig, assert_whole, config, event, until};

#[tokio::test]
async fn what_is_emitted_is_published_in_order_and_counted() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    rig.emit(1000).await;
    rig.emit(1).await;
    until("all published", || rig.published() == 1001).await;
    assert_whole(&bus.ids(&Topic::ingress()), 1001);
    assert_eq!(rig.status.snapshot().counters.published, 1001);
    assert_eq!(rig.spooled(), 0);
    let text = rig.metrics.render();
    assert!(text.contains("chatbus_ingress_received_total{platform=\"test\"} 1001"), "{text}");
    assert!(text.contains("chatbus_stage_seconds_count{stage=\"ingress_publish\"} 1001"), "{text}");
    rig.finish().await;
}

#[tokio::test]
async fn publishing_does_not_wait_for_each_answer() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    rig.emit(1).await;
    until("the window is open", || rig.published() == 1).await;
    bus.mode(Mode::Hold);
    rig.emit(100).await;
    until("all in flight at once", || bus.held() == 100).await;
    bus.release();
    until("all published", || rig.published() == 101).await;
    rig.finish().await;
}

#[tokio::test]
async fn through_an_outage_nothing_is_lost_doubled_or_out_of_order() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    let mut emitted = 0;
    for _ in 0..3 {
        rig.emit(50).await;
        bus.mode(Mode::Hold);
        rig.emit(50).await;
        until("some in flight", || bus.held() > 1).await;
        bus.disconnect();
        bus.mode(Mode::Ack);
        rig.emit(50).await;
        let mut health = rig.handle.health();
        let spooling = *health.wait_for(|health| health.spooling_since.is_some()).await.unwrap();
        assert_eq!(spooling.spooling_reason, Some("bus_closed"));
        rig.emit(50).await;
        emitted += 200;
        let health_now = || *rig.handle.health().borrow();
        until("all on disk", || health_now().spool_events >= 100 && health_now().spool_bytes > 0).await;
        bus.connect();
        health.wait_for(|health| health.spooling_since.is_none()).await.unwrap();
        until("all published", || bus.ids(&Topic::ingress()).len() == emitted).await;
    }
    assert!(rig.spooled() >= 300);
    assert_whole(&bus.ids(&Topic::ingress()), 600);
    rig.finish().await;
}

#[tokio::test]
async fn what_a_killed_process_had_spooled_is_published_by_the_next_one() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    bus.disconnect();
    rig.emit(500).await;
    until("all on disk", || rig.handle.health().borrow().spool_events == 500).await;
    until("counted", || rig.spooled() == 500).await;
    rig.kill().await;
    assert!(bus.ids(&Topic::ingress()).is_empty());
    bus.connect();
    let rig = Rig::start(root.path(), &bus).await;
    until("all published", || rig.published() == 500).await;
    assert_whole(&bus.ids(&Topic::ingress()), 500);
    rig.finish().await;
}

#[tokio::test]
async fn far_more_than_memory_holds_waits_on_disk_and_comes_back_in_order() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let mut small = config(root.path(), "i");
    small.window_messages = 16;
    let rig = Rig::with(small, &bus, test_runtime(1)).await;
    bus.disconnect();
    for _ in 0..100 {
        rig.emit(100).await;
    }
    until("all on disk", || rig.handle.health().borrow().spool_events == 10_000).await;
    bus.connect();
    rig.emit(10).await;
    until("all published", || rig.published() == 10_010).await;
    assert_whole(&bus.ids(&Topic::ingress()), 10_010);
    rig.finish().await;
}

#[tokio::test]
async fn a_silent_bus_does_not_stop_the_reading_and_a_stop_leaves_all_in_the_spool() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let mut short = config(root.path(), "i");
    short.grace = Duration::from_millis(300);
    let rig = Rig::with(short, &bus, test_runtime(1)).await;
    bus.mode(Mode::Hold);
    for _ in 0..50 {
        rig.emit(100).await;
    }
    let mut health = rig.handle.health();
    let seen = *health.wait_for(|health| health.spooling_since.is_some()).await.unwrap();
    assert!(seen.spooling_reason == Some("acks_late") || seen.spooling_reason == Some("window_full"));
    let emit = Arc::clone(&rig.emit);
    rig.finish().await;
    assert_eq!(emit.emit(vec![event(0, "{}")]).await, Emitted::Stopped);
    bus.mode(Mode::Ack);
    let rig = Rig::start(root.path(), &bus).await;
    until("all published", || bus.ids(&Topic::ingress()).len() == 5000).await;
    assert_whole(&bus.ids(&Topic::ingress()), 5000);
    rig.finish().await;
}

#[tokio::test]
async fn a_stop_waits_for_answers_that_come_and_leaves_no_file_behind() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    rig.emit(1).await;
    until("the window is open", || rig.published() == 1).await;
    bus.mode(Mode::Hold);
    rig.emit(10).await;
    until("in flight", || bus.held() == 10).await;
    until("saved meanwhile", || std::fs::read_dir(root.path().join("i")).unwrap().count() > 1).await;
    let releasing = async {
        tokio::task::yield_now().await;
        bus.release();
    };
    tokio::join!(rig.finish(), releasing);
    assert_eq!(bus.ids(&Topic::ingress()).len(), 11);
    let left: BTreeSet<_> =
        std::fs::read_dir(root.path().join("i")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cursor", "lock"].map(Into::into).into());
}

#[tokio::test]
async fn events_that_waited_longer_than_the_dedupe_window_are_marked_as_late() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let mut short = config(root.path(), "i");
    short.dedupe_window = Duration::from_millis(300);
    let rig = Rig::with(short, &bus, test_runtime(1)).await;
    bus.disconnect();
    rig.emit(3).await;
    tokio::time::sleep(Duration::from_millis(320)).await;
    bus.connect();
    until("the old ones published", || rig.published() == 3).await;
    rig.emit(1).await;
    until("all published", || rig.published() == 4).await;
    let late: Vec<_> = bus
        .stored()
        .iter()
        .map(|message| String::from_utf8_lossy(&message.body).contains(r#""metadata":{"late":true}"#))
        .collect();
    assert_eq!(late, [true, true, true, false]);
    rig.finish().await;
}

#[tokio::test]
async fn a_full_spool_drops_the_oldest_counts_it_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let mut tiny = config(root.path(), "i");
    tiny.window_messages = 4;
    tiny.spool_max_bytes = 64 * 1024;
    let rig = Rig::with(tiny, &bus, test_runtime(1)).await;
    bus.disconnect();
    for _ in 0..20 {
        rig.emit(100).await;
    }
    let mut health = rig.handle.health();
    let seen = *health.wait_for(|health| health.dropping).await.unwrap();
    assert!(seen.dropped > 0);
    until("all that is left is on disk", || rig.handle.health().borrow().spool_bytes > 0).await;
    bus.connect();
    health.wait_for(|health| health.spooling_since.is_none()).await.unwrap();
    let ids = bus.ids(&Topic::ingress());
    let dropped = rig.dropped("spool_full");
    assert_eq!(ids.len() as u64 + dropped, 2000);
    assert!(dropped > 500 && ids.len() > 100, "{dropped} dropped");
    assert_eq!(ids.last().unwrap(), "1-1999", "the newest are kept");
    rig.finish().await;
}

#[tokio::test]
async fn temporary_refusals_are_retried_with_the_same_ids() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    bus.mode(Mode::Refuse(BusErrorKind::Full));
    rig.emit(5).await;
    until("tried again", || bus.calls() > 4).await;
    bus.mode(Mode::Ack);
    until("all published", || rig.published() == 5).await;
    assert_whole(&bus.ids(&Topic::ingress()), 5);
    rig.finish().await;
}

#[tokio::test]
async fn a_message_too_long_for_the_bus_is_a_dead_letter_and_the_rest_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    bus.takes_at_most(2_000);
    rig.emit(1).await;
    rig.emit_one(&format!(r#"{{"type":"t","text":"{}"}}"#, "x".repeat(3_000))).await;
    rig.emit(1).await;
    until("all published", || rig.published() == 2).await;
    assert_eq!(bus.ids(&Topic::ingress()), ["0-0", "2-2"]);
    assert_eq!(bus.ids(&Topic::dead_letter()), ["1-1/deadletter"]);
    assert_eq!(rig.status.snapshot().counters.failed, 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_spool_that_an_instance_left_behind_is_drained_and_removed_by_another() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let gone = Rig::with(config(root.path(), "gone"), &bus, test_runtime(1)).await;
    bus.disconnect();
    gone.emit(300).await;
    until("all on disk", || gone.handle.health().borrow().spool_events == 300).await;
    gone.kill().await;
    bus.connect();
    // Until the old one's last write is over its lock holds; the next look finds it free.
    until("unlocked", || {
        let lock = std::fs::File::open(root.path().join("gone/lock")).unwrap();
        lock.try_lock().is_ok()
    })
    .await;
    bus.mode(Mode::Refuse(BusErrorKind::Timeout));
    let heir = Rig::start(root.path(), &bus).await;
    until("refused once", || bus.calls() > 0).await;
    bus.mode(Mode::Ack);
    bus.takes_at_most(30);
    until("removed", || !root.path().join("gone").exists()).await;
    let ids = bus.ids(&Topic::ingress());
    assert_whole(&ids, ids.len() as u64);
    assert_eq!(ids.len() as u64 + heir.dropped("refused"), 300);
    heir.finish().await;
}

#[tokio::test]
async fn a_spool_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let opened = Ingress::open(config(&file, "i"), FakeBus::new(), Metrics::new(), test_runtime(1)).await;
    let Err(error) = opened else { panic!("a file is no folder") };
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn a_torn_record_is_cut_and_a_damaged_one_is_counted() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    bus.disconnect();
    rig.emit(100).await;
    until("all on disk", || rig.spooled() == 100).await;
    rig.kill().await;
    let segment = std::fs::read_dir(root.path().join("i"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|suffix| suffix == "seg"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    bytes.truncate(bytes.len() - 5);
    std::fs::write(&segment, bytes).unwrap();
    bus.connect();
    let rig = Rig::start(root.path(), &bus).await;
    until("the rest is published", || rig.published() == 98).await;
    until("and counted", || rig.dropped("spool_corrupt") == 1).await;
    rig.finish().await;
}

#[derive(Default)]
struct Nothing;

impl Tally for Nothing {
    fn published(&self, _: u64) {}
    fn failed(&self, _: u64) {}
}

#[tokio::test]
async fn ages_follow_the_clock_that_was_passed_in() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let clock = FakeClock::at(Timestamp::from_millis(1_700_000_000_000));
    let mut runtime = test_runtime(1);
    runtime.clock = Arc::new(clock.clone());
    let rig = Rig::with(config(root.path(), "i"), &bus, runtime).await;
    rig.handle.emitter("other-platform", Some(Arc::new(Nothing)));
    bus.mode(Mode::Hold);
    let mut old = event(0, "{}");
    old.received_at = clock.now();
    rig.emit.emit(vec![old]).await;
    until("in flight", || bus.held() == 1).await;
    clock.advance(Duration::from_secs(1));
    bus.release();
    until("published", || rig.published() == 1).await;
    let text = rig.metrics.render();
    assert!(text.contains("chatbus_stage_seconds_sum{stage=\"ingress_publish\"} 1.0"), "{text}");
    rig.finish().await;
}

#[tokio::test]
async fn who_must_know_is_told_of_the_bus_and_in_an_outage_of_the_spool() {
    let root = tempfile::tempdir().unwrap();
    let bus = FakeBus::new();
    let rig = Rig::start(root.path(), &bus).await;
    let accept = rig.handle.accepter("clients");
    let several = (0..10).map(|n| accept.accept(event(n, "{}")));
    let told = futures::future::join_all(several).await;
    assert!(told.iter().all(|told| *told == Accepted::Bus), "{told:?}");
    bus.disconnect();
    assert_eq!(accept.accept(event(10, "{}")).await, Accepted::Spooled);
    bus.connect();
    until("all published", || bus.ids(&Topic::ingress()).len() == 11).await;
    assert_whole(&bus.ids(&Topic::ingress()), 11);
    rig.finish().await;
    assert!(matches!(accept.accept(event(11, "{}")).await, Accepted::Refused(_)));
}
