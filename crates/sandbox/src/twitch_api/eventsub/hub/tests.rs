//! The life of a connection, with time that is made up.

use chatbus_event::{Clock as _, Timestamp};
use chatbus_testkit::{FakeClock, SeededEntropy};
use serde_json::{Value, json};

use super::*;
use crate::twitch_api::eventsub::subscribe::Subscriber;
use crate::twitch_api::eventsub::subscription::{NewSubscription, Transport};

struct Bench {
    hub: Hub,
    clock: FakeClock,
    _posts: mpsc::Receiver<Post>,
}

impl Bench {
    fn new() -> Self {
        let (posts, kept) = mpsc::channel(10);
        let hub = Hub::new("ws://here/ws".into(), 3, posts, Arc::new(SeededEntropy::new(1)));
        Self { hub, clock: FakeClock::at(Timestamp::EPOCH), _posts: kept }
    }

    fn now(&self) -> Moment {
        Moment::of(&self.clock)
    }

    /// A connection, its welcome read.
    fn arrive(&mut self, keepalive: u64) -> (Line, String) {
        let now = self.now();
        let mut line = self.hub.arrive(Duration::from_secs(keepalive), None, now).unwrap();
        let Some(Out::Text(welcome)) = next(&mut line) else { panic!("a welcome") };
        let welcome: Value = serde_json::from_str(&welcome).unwrap();
        (line, welcome["payload"]["session"]["id"].as_str().unwrap().to_owned())
    }

    fn subscribe(&mut self, session: &str) {
        let by = Subscriber { client_id: "client", login: Some("bot"), user_id: Some("1") };
        let Value::Object(condition) = json!({ "broadcaster_user_id": "2", "user_id": "1" }) else {
            panic!()
        };
        let transport = Transport::WebSocket { session: session.to_owned() };
        let new = NewSubscription {
            kind: "channel.chat.message".into(),
            version: "1".into(),
            condition,
            transport,
        };
        let now = self.now();
        self.hub.subscribe(by, new, |_, _| true, now).unwrap();
    }

    /// Passes to the next deadline of a connection and says how far that was, in seconds.
    fn pass(&mut self, line: &Line) -> f64 {
        let wait = self.hub.deadline(line.id).unwrap().saturating_duration_since(self.clock.instant());
        self.clock.advance(wait);
        let now = self.now();
        self.hub.on_time(line.id, now);
        wait.as_secs_f64()
    }
}

fn next(line: &mut Line) -> Option<Out> {
    line.outs.try_recv().ok()
}

fn is_keepalive(out: Option<Out>) -> bool {
    matches!(out, Some(Out::Text(text)) if text.contains("session_keepalive"))
}

#[test]
fn a_connection_without_a_subscription_is_closed_after_ten_seconds() {
    let mut bench = Bench::new();
    let (mut line, _) = bench.arrive(600);
    assert_eq!(bench.pass(&line), 10.0);
    assert_eq!(next(&mut line), Some(Out::Close(frames::UNUSED)));
}

#[test]
fn a_connection_with_a_subscription_gets_keepalives_within_its_timeout() {
    let mut bench = Bench::new();
    let (mut line, session) = bench.arrive(10);
    bench.subscribe(&session);
    assert_eq!(bench.pass(&line), 9.5);
    assert!(is_keepalive(next(&mut line)));
    assert_eq!(bench.pass(&line), 0.5);
    assert_eq!(next(&mut line), None, "it is in use");
    assert_eq!(bench.pass(&line), 9.0);
    assert!(is_keepalive(next(&mut line)));
    bench.clock.advance(Duration::from_secs(5));
    let event = json!({ "broadcaster_user_id": "2" });
    let now = bench.now();
    assert_eq!(bench.hub.emit("channel.chat.message", None, &event, None, now), 1);
    assert!(matches!(next(&mut line), Some(Out::Text(text)) if text.contains("notification")));
    assert_eq!(bench.pass(&line), 9.5, "a notification is as good as a keepalive");
    bench.hub.connections.get_mut(&line.id).unwrap().keepalives = false;
    assert_eq!(bench.hub.deadline(line.id), None);
}

#[test]
fn a_client_that_was_sent_away_has_half_a_minute_and_only_one_url() {
    let mut bench = Bench::new();
    let (mut old, session) = bench.arrive(30);
    bench.subscribe(&session);
    let now = bench.now();
    bench.hub.send_away(old.id, RECONNECT_GRACE, now);
    let Some(Out::Text(text)) = next(&mut old) else { panic!("a reconnect") };
    let frame: Value = serde_json::from_str(&text).unwrap();
    let url = frame["payload"]["session"]["reconnect_url"].as_str().unwrap();
    let word = url.strip_prefix("ws://here/ws?reconnect_id=").unwrap();
    assert_eq!(bench.hub.arrive(KEEPALIVE, Some("wrong"), now).unwrap_err(), frames::INVALID_RECONNECT);
    let mut new = bench.hub.arrive(KEEPALIVE, Some(word), now).unwrap();
    assert_eq!(bench.hub.arrive(KEEPALIVE, Some(word), now).unwrap_err(), frames::INVALID_RECONNECT);
    let Some(Out::Text(welcome)) = next(&mut new) else { panic!("a welcome") };
    assert!(welcome.contains(&session) && welcome.contains("\"keepalive_timeout_seconds\":30"), "{welcome}");
    bench.clock.advance(Duration::from_secs(30));
    let later = bench.now();
    bench.hub.on_time(old.id, later);
    assert_eq!(next(&mut old), Some(Out::Close(frames::GRACE_OVER)));
    bench.hub.leave(old.id, later);
    assert!(bench.hub.subscriptions.values().all(Subscription::is_enabled), "the new one speaks for it");
    bench.hub.leave(new.id, later);
    assert_eq!(bench.hub.subscriptions.values().next().unwrap().status, DISCONNECTED);
}

#[test]
fn one_connection_too_many_is_closed() {
    let mut bench = Bench::new();
    let (first, _) = bench.arrive(30);
    bench.arrive(30);
    bench.arrive(30);
    let now = bench.now();
    assert_eq!(bench.hub.arrive(KEEPALIVE, None, now).unwrap_err(), frames::FULL);
    bench.hub.leave(first.id, now);
    bench.arrive(30);
}

#[test]
fn a_client_that_does_not_read_is_cut_off_and_a_frozen_one_loses_what_does_not_fit() {
    let mut bench = Bench::new();
    for frozen in [false, true] {
        let (line, session) = bench.arrive(30);
        bench.hub.orphans_conflict = false;
        bench.subscribe(&session);
        bench.hub.connections.get_mut(&line.id).unwrap().frozen = frozen;
        let event = json!({ "broadcaster_user_id": "2" });
        let now = bench.now();
        for _ in 0..=MAX_QUEUED {
            bench.hub.emit("channel.chat.message", None, &event, None, now);
        }
        assert_eq!((line.cut.is_cancelled(), bench.hub.undeliverable), (!frozen, 1));
        bench.hub.undeliverable = 0;
        bench.hub.leave(line.id, now);
    }
}
