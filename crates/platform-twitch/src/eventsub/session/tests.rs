use chatbus_event::{Clock as _, Timestamp};
use chatbus_testkit::{FakeClock, SeededEntropy};

use super::*;

/// A session and its time.
struct Rig {
    session: Session,
    clock: FakeClock,
}

impl Rig {
    fn new() -> Self {
        let entropy = Arc::new(SeededEntropy::new(3));
        let session = Session::new(Duration::from_secs(1), Duration::from_secs(30), entropy);
        Self { session, clock: FakeClock::at(Timestamp::EPOCH) }
    }

    /// Wanted, welcomed and subscribed on its first socket.
    fn online() -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.on(Input::Wanted(true)), [Output::Open(Socket(1), None)]);
        let out = rig.welcome(1, "s1");
        assert!(out.contains(&Output::Subscribe("s1".into())), "{out:?}");
        assert_eq!(rig.on(Input::Subscribed("s1")), [], "nothing was missed at the start");
        rig
    }

    fn on(&mut self, input: Input<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        self.session.on(input, self.clock.instant(), &mut out);
        out
    }

    fn frame(&mut self, socket: u64, kind: &str, payload: &str) -> Vec<Output> {
        let text =
            format!(r#"{{"metadata":{{"message_id":"m","message_type":"{kind}"}},"payload":{payload}}}"#);
        self.on(Input::Frame(Socket(socket), &Frame::parse(&text).unwrap()))
    }

    fn welcome(&mut self, socket: u64, session: &str) -> Vec<Output> {
        let payload = format!(r#"{{"session":{{"id":"{session}","keepalive_timeout_seconds":10}}}}"#);
        self.frame(socket, "session_welcome", &payload)
    }

    fn reconnect(&mut self, socket: u64, url: &str) -> Vec<Output> {
        self.frame(
            socket,
            "session_reconnect",
            &format!(r#"{{"session":{{"id":"s","reconnect_url":"{url}"}}}}"#),
        )
    }

    fn told(&mut self, socket: u64, id: &str) -> Vec<Output> {
        let text = format!(
            r#"{{"metadata":{{"message_id":"{id}","message_type":"notification","subscription_type":"a.b"}},"payload":{{"event":{{}}}}}}"#
        );
        self.on(Input::Frame(Socket(socket), &Frame::parse(&text).unwrap()))
    }

    fn closed(&mut self, socket: u64, code: u16) -> Vec<Output> {
        self.on(Input::Closed(Socket(socket), Some(code), "bye"))
    }

    /// Lets time pass until something is done.
    fn next(&mut self) -> (Duration, Vec<Output>) {
        let due = self.session.next_deadline().expect("something is due");
        let wait = due.saturating_duration_since(self.clock.instant());
        self.clock.advance(wait);
        (wait, self.on(Input::Tick))
    }

    fn after(&mut self, seconds: u64) -> Vec<Output> {
        self.clock.advance(Duration::from_secs(seconds));
        self.on(Input::Tick)
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }
}

fn gaps(out: &[Output]) -> usize {
    out.iter().filter(|output| matches!(output, Output::Gap { .. })).count()
}

#[test]
fn nothing_is_opened_before_there_is_something_to_read() {
    let mut rig = Rig::new();
    assert_eq!(rig.after(3600), []);
    assert_eq!(rig.session.next_deadline(), None);
    assert_eq!(rig.on(Input::Wanted(true)), [Output::Open(Socket(1), None)]);
    let out = rig.on(Input::Wanted(false));
    assert_eq!(out, [Output::Close(Socket(1)), Output::Lost]);
    assert_eq!(rig.session.next_deadline(), None);
}

#[test]
fn a_server_that_does_not_say_welcome_is_left_and_tried_again_later() {
    let mut rig = Rig::new();
    rig.on(Input::Wanted(true));
    let mut waits = Vec::new();
    for socket in 1..6 {
        let (wait, out) = rig.next();
        assert_eq!(wait, WELCOME_TIMEOUT);
        assert_eq!(out[0], Output::Close(Socket(socket)));
        let (wait, out) = rig.next();
        assert_eq!(out, [Output::Open(Socket(socket + 1), None)]);
        waits.push(wait);
    }
    for (wait, ceiling) in waits.iter().zip([1, 2, 4, 8, 16]) {
        let ceiling = Duration::from_secs(ceiling);
        assert!(*wait <= ceiling && *wait >= ceiling / 2, "{waits:?}");
    }
}

#[test]
fn a_frame_of_any_kind_keeps_a_connection_alive_and_silence_ends_it() {
    let mut rig = Rig::online();
    for _ in 0..3 {
        rig.clock.advance(Duration::from_secs(11));
        assert_eq!(rig.frame(1, "session_keepalive", "{}"), []);
        rig.clock.advance(Duration::from_secs(11));
        assert_eq!(rig.on(Input::Noise(Socket(1))), []);
    }
    let heard = rig.now();
    let (wait, out) = rig.next();
    assert_eq!(wait, Duration::from_secs(12));
    assert_eq!(out[0], Output::Close(Socket(1)));
    assert!(out.contains(&Output::Lost));
    let (_, out) = rig.next();
    assert_eq!(out, [Output::Open(Socket(2), None)]);
    let out = rig.welcome(2, "s2");
    assert!(out.contains(&Output::Subscribe("s2".into())));
    assert_eq!(gaps(&out), 0, "it lasts until there are subscriptions");
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(rig.on(Input::Subscribed("s1")), [], "that session is over");
    let to = rig.now();
    let gap = Output::Gap { from: heard, to, reason: "keepalive_missed" };
    assert_eq!(rig.on(Input::Subscribed("s2")), [gap]);
    assert_eq!(rig.on(Input::Subscribed("s2")), []);
}

#[test]
fn a_session_that_moves_is_read_on_both_sockets_and_misses_nothing() {
    let mut rig = Rig::online();
    assert_eq!(rig.reconnect(1, "ws://next/1"), [Output::Open(Socket(2), Some("ws://next/1".to_owned()))]);
    assert_eq!(rig.told(1, "n-1"), [Output::Publish], "the old socket is still read");
    let out = rig.welcome(2, "s1");
    assert!(out.contains(&Output::Close(Socket(1))) && out.contains(&Output::Moved("s1".into())), "{out:?}");
    assert!(!out.iter().any(|output| matches!(output, Output::Subscribe(_) | Output::Gap { .. })), "{out:?}");
    assert_eq!(rig.told(1, "n-2"), [Output::Publish], "what was under way on the old one");
    assert_eq!(rig.told(2, "n-2"), [Output::News(News::Repeated)]);
    assert_eq!(rig.closed(1, 4004), [], "its end means nothing any more");
}

#[test]
fn of_two_orders_to_move_the_second_counts() {
    let mut rig = Rig::online();
    rig.reconnect(1, "ws://next/1");
    let out = rig.reconnect(1, "ws://next/2");
    assert_eq!(out, [Output::Close(Socket(2)), Output::Open(Socket(3), Some("ws://next/2".to_owned()))]);
    assert_eq!(rig.welcome(2, "s1"), [], "nobody waits for that one");
    assert!(rig.welcome(3, "s1").contains(&Output::Moved("s1".into())));
    // And the one it moved to may be told to move at once.
    assert_eq!(rig.reconnect(1, "ws://no"), [], "the old socket gives no orders");
    assert_eq!(rig.reconnect(3, "ws://next/3"), [Output::Open(Socket(4), Some("ws://next/3".to_owned()))]);
}

#[test]
fn a_move_that_is_refused_leads_to_a_fresh_session_and_the_old_one_is_read_until_then() {
    let mut rig = Rig::online();
    rig.reconnect(1, "ws://stale");
    let out = rig.closed(2, 4007);
    assert!(out.contains(&Output::Open(Socket(3), None)), "at once: {out:?}");
    assert_eq!(rig.told(1, "n-1"), [Output::Publish]);
    rig.clock.advance(Duration::from_secs(1));
    let from = rig.now();
    let out = rig.welcome(3, "s3");
    assert!(out.contains(&Output::Close(Socket(1))) && out.contains(&Output::Subscribe("s3".into())));
    rig.clock.advance(Duration::from_secs(1));
    let to = rig.now();
    assert_eq!(rig.on(Input::Subscribed("s3")), [Output::Gap { from, to, reason: "reconnect_refused" }]);
}

#[test]
fn a_socket_that_is_lost_while_the_session_moves_leaves_a_gap_until_the_welcome() {
    let mut rig = Rig::online();
    let from = rig.now();
    rig.reconnect(1, "ws://next");
    rig.clock.advance(Duration::from_secs(2));
    let out = rig.closed(1, 4006);
    assert!(out.contains(&Output::Lost) && !out.iter().any(|output| matches!(output, Output::Open(..))));
    rig.clock.advance(Duration::from_secs(1));
    let to = rig.now();
    let out = rig.welcome(2, "s1");
    assert!(out.contains(&Output::Gap { from, to, reason: "network_error" }), "{out:?}");
    assert!(out.contains(&Output::Moved("s1".into())));
}

#[test]
fn every_close_code_has_its_name_and_what_follows() {
    for (code, name, then) in [
        (Some(4000), "internal_server_error", Then::Later),
        (Some(4001), "client_sent_traffic", Then::Later),
        (Some(4002), "failed_ping_pong", Then::Later),
        (Some(4003), "connection_unused", Then::Later),
        (Some(4004), "reconnect_grace_time_expired", Then::AtOnce),
        (Some(4005), "network_timeout", Then::Later),
        (Some(4006), "network_error", Then::Later),
        (Some(4007), "invalid_reconnect", Then::AtOnce),
        (Some(1000), "connection_lost", Then::Later),
        (Some(4999), "connection_lost", Then::Later),
        (None, "connection_lost", Then::Later),
    ] {
        let row = closing(code);
        assert_eq!((row.name, row.then), (name, then), "{code:?}");
        let mut rig = Rig::online();
        let out = rig.on(Input::Closed(Socket(1), code, "bye"));
        let opens = out.contains(&Output::Open(Socket(2), None));
        assert_eq!(opens, then == Then::AtOnce, "{code:?}: {out:?}");
        assert!(out.iter().any(|o| matches!(o, Output::News(News::Trouble { code, .. }) if *code == name)));
        if !opens {
            let (wait, out) = rig.next();
            assert!(wait >= Duration::from_millis(500), "{code:?}");
            assert_eq!(out, [Output::Open(Socket(2), None)]);
        }
        rig.welcome(2, "s2");
        assert_eq!(gaps(&rig.on(Input::Subscribed("s2"))), 1, "{code:?}");
    }
}

#[test]
fn who_is_sent_away_again_and_again_waits_longer_each_time() {
    let mut rig = Rig::online();
    let mut last = Duration::ZERO;
    for n in 1..8 {
        rig.closed(n, 4003);
        let (wait, out) = rig.next();
        assert_eq!(out, [Output::Open(Socket(n + 1), None)]);
        assert!(wait > last / 2, "{n}: {wait:?} after {last:?}");
        last = wait;
        rig.welcome(n + 1, "s");
    }
    assert!(last >= Duration::from_secs(15), "{last:?}");
    for _ in 0..6 {
        rig.clock.advance(Duration::from_secs(10));
        rig.frame(8, "session_keepalive", "{}");
    }
    rig.closed(8, 4003);
    assert!(rig.next().0 <= Duration::from_secs(1), "it lasted a minute");
}

#[test]
fn a_notification_that_is_sent_again_is_not_published_again() {
    let mut rig = Rig::online();
    assert_eq!(rig.told(1, "n-1"), [Output::Publish]);
    assert_eq!(rig.told(1, "n-1"), [Output::News(News::Repeated)]);
    assert_eq!(rig.told(1, "n-2"), [Output::Publish]);
}

#[test]
fn a_revocation_is_ours_only_on_our_socket() {
    let mut rig = Rig::online();
    let payload = r#"{"subscription":{"id":"x","type":"a.b","status":"authorization_revoked"}}"#;
    assert_eq!(rig.frame(1, "revocation", payload), [Output::Revoked]);
    assert_eq!(rig.frame(7, "revocation", payload), []);
    assert_eq!(rig.frame(1, "something_new", "{}"), [Output::News(News::UnknownFrame)]);
}

#[test]
fn several_losses_before_there_are_subscriptions_again_are_one_gap() {
    let mut rig = Rig::online();
    let from = rig.now();
    rig.clock.advance(Duration::from_secs(3));
    rig.closed(1, 4006);
    rig.next();
    rig.welcome(2, "s2");
    rig.closed(2, 4000);
    rig.next();
    rig.welcome(3, "s3");
    let to = rig.now();
    assert_eq!(rig.on(Input::Subscribed("s3")), [Output::Gap { from, to, reason: "network_error" }]);
}

/// Something that a server, a network or time may do.
#[derive(Debug, Clone)]
enum Deed {
    Wait(u64),
    Wanted(bool),
    Welcome(u64),
    Reconnect(u64),
    Told(u64, u8),
    Closed(u64, u16),
    Subscribed,
}

fn deed() -> impl proptest::strategy::Strategy<Value = Deed> {
    use proptest::prelude::*;
    // How far back the socket is that it happens on; the newest ones matter most.
    let back = 0..3_u64;
    prop_oneof![
        // All of them together last less long than ids are remembered.
        (1..5_u64).prop_map(Deed::Wait),
        any::<bool>().prop_map(Deed::Wanted),
        back.clone().prop_map(Deed::Welcome),
        back.clone().prop_map(Deed::Reconnect),
        (back.clone(), any::<u8>()).prop_map(|(back, id)| Deed::Told(back, id)),
        (back, 3999..4009_u16).prop_map(|(back, code)| Deed::Closed(back, code)),
        Just(Deed::Subscribed),
    ]
}

proptest::proptest! {
    #[test]
    fn whatever_happens_two_sockets_are_enough_nothing_is_published_twice_and_time_goes_on(
        deeds in proptest::collection::vec(deed(), 0..120),
    ) {
        let mut rig = Rig::new();
        let mut open = std::collections::BTreeSet::new();
        let mut published = std::collections::BTreeSet::new();
        let mut newest = 1;
        let mut all: Vec<Deed> = vec![Deed::Wanted(true)];
        all.extend(deeds);
        for deed in all {
            let socket = |back: u64| newest - back.min(newest - 1);
            let session = rig.session.id().map(str::to_owned);
            let out = match &deed {
                Deed::Wait(seconds) => rig.after(*seconds),
                Deed::Wanted(is_wanted) => rig.on(Input::Wanted(*is_wanted)),
                Deed::Welcome(back) => rig.welcome(socket(*back), "s"),
                Deed::Reconnect(back) => rig.reconnect(socket(*back), "ws://next"),
                Deed::Told(back, id) => rig.told(socket(*back), &id.to_string()),
                Deed::Closed(back, code) => {
                    open.remove(&socket(*back));
                    rig.closed(socket(*back), *code)
                }
                Deed::Subscribed => rig.on(Input::Subscribed(session.as_deref().unwrap_or("none"))),
            };
            for output in out {
                match output {
                    Output::Open(Socket(socket), _) => {
                        newest = socket;
                        proptest::prop_assert!(open.insert(socket));
                    }
                    Output::Close(Socket(socket)) => { open.remove(&socket); }
                    Output::Publish => {
                        let Deed::Told(_, id) = &deed else { panic!("{deed:?}") };
                        proptest::prop_assert!(published.insert(*id));
                    }
                    Output::Gap { from, to, .. } => proptest::prop_assert!(from <= to),
                    _ => {}
                }
            }
            proptest::prop_assert!(open.len() <= 2, "{open:?}");
            let now = rig.now();
            proptest::prop_assert!(rig.session.next_deadline().is_none_or(|due| due > now), "{deed:?}");
        }
    }
}
