use serde_json::Value;

use super::*;

mod bots;

/// A session with fake time, and what it says as short words.
struct Rig {
    session: Session,
    now: Moment,
}

fn token() -> Token {
    Token {
        id: "tok_1".to_owned(),
        user_id: "alice".to_owned(),
        created_at: Timestamp::EPOCH,
        expires_at: None,
        origins: vec![],
        channels: vec![],
        types: vec![],
        bot: false,
        name: None,
        platforms: vec![],
    }
}

impl Rig {
    fn new(token: Token) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
        let now = Moment { mono: Instant::now(), wall: Timestamp::parse("2025-11-21T17:02:00Z").unwrap() };
        let identity = Arc::new(Identity { instance: "gw-1".to_owned(), epoch: "e1".to_owned() });
        Self {
            session: Session::new(
                Terms { token: Arc::new(token), identity, parse_target: bots::target, seq: 5 },
                now,
            ),
            now,
        }
    }

    fn pass(&mut self, millis: u64) {
        let by = Duration::from_millis(millis);
        self.now = Moment { mono: self.now.mono + by, wall: self.now.wall.plus(by) };
    }

    fn on(&mut self, input: Input) -> Vec<String> {
        let mut out = Vec::new();
        self.session.on(input, self.now, &mut out);
        out.iter().map(word).collect()
    }

    fn text(&mut self, text: &str) -> Vec<String> {
        self.on(Input::Text(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn say(&mut self, id: &str) -> Vec<String> {
        self.text(&format!(
            r#"{{"type":"chat.message.send","payload":{{"text":"hi"}},"metadata":{{"id":"{id}"}}}}"#
        ))
    }

    fn answer(&mut self, number: u32, accepted: Accepted) -> Vec<String> {
        self.on(Input::Answered { number, correlation_id: Uuid::nil(), accepted })
    }

    /// Lets time pass from deadline to deadline, and tells what was said on the way, with the second.
    fn run(&mut self, seconds: u64) -> Vec<String> {
        let start = self.now.mono;
        let mut said = Vec::new();
        loop {
            let next = self.session.next_deadline(self.now);
            let wait = next.saturating_duration_since(self.now.mono);
            if next > start + Duration::from_secs(seconds) || self.session.is_closed {
                return said;
            }
            self.pass(u64::try_from(wait.as_millis()).unwrap());
            let at = self.now.mono.duration_since(start).as_secs();
            let words = self.on(Input::Tick);
            said.extend(words.into_iter().map(|word| format!("{at}: {word}")));
        }
    }
}

fn word(output: &Output) -> String {
    match output {
        Output::Send(frame) => {
            let frame: Value = serde_json::from_slice(frame).unwrap();
            let payload = &frame["payload"];
            let word = match frame["type"].as_str().unwrap() {
                "chat.error" => &payload["code"],
                "chat.ack" if payload["spooled"] == true => {
                    return format!("spooled {}", payload["id"].as_str().unwrap());
                }
                "chat.ack" => return format!("ack {}", payload["id"].as_str().unwrap()),
                "connection.resumed" => {
                    return format!("resumed {} {}", payload["recovered"], payload["messages"]);
                }
                _ => &frame["type"],
            };
            match payload["id"].as_str() {
                Some(id) => format!("{} {id}", word.as_str().unwrap()),
                None => word.as_str().unwrap().to_owned(),
            }
        }
        Output::Publish { number, text, channel, .. } => {
            format!("publish {number} {text} {}", channel.as_deref().unwrap_or("-"))
        }
        Output::Say { number, saying } => match &saying.to {
            crate::egress::Where::To(to) => {
                let to_whom = to.channel.as_ref().or(to.user_id.as_ref()).unwrap();
                format!("say {number} {:?} {}:{to_whom}", saying.kind, to.destination)
            }
            crate::egress::Where::Reply(origin) => {
                format!("reply {number} {:?} {}", saying.kind, origin.ids[0].as_deref().unwrap())
            }
        },
        Output::Acked { delivery_id } => format!("acked {delivery_id}"),
        Output::Recall { epoch, seq } => format!("recall {epoch} {seq}"),
        Output::Subscribe { feed, filter, durable } => {
            let channel = filter.channel.as_deref().unwrap_or("-");
            format!("subscribe {} {channel} {durable:?}", feed.as_str())
        }
        Output::Unsubscribe { feed } => format!("unsubscribe {}", feed.as_str()),
        Output::Forget { number, feed, durable, ends } => {
            format!("forget {number} {} {durable:?} {ends}", feed.as_str())
        }
        Output::Settle { feed, cursor, acked } => format!("settle {} {cursor} {acked}", feed.as_str()),
        Output::Ping => "ping".to_owned(),
        Output::Close { closing, reason } => format!("close {} {reason}", closing.code()),
    }
}

#[test]
fn ready_comes_first_and_a_message_is_acknowledged_when_it_is_safe() {
    let mut rig = Rig::new(token());
    assert_eq!(rig.on(Input::Opened), ["connection.ready"]);
    assert_eq!(rig.say("a"), ["publish 0 hi -"]);
    assert_eq!(rig.say("b"), ["publish 1 hi -"]);
    assert_eq!(rig.say("c"), ["publish 2 hi -"]);
    assert_eq!(rig.answer(1, Accepted::Spooled), ["spooled b"]);
    assert_eq!(rig.answer(0, Accepted::Bus), ["ack a"]);
    assert_eq!(rig.answer(0, Accepted::Bus), [""; 0], "an answer comes once");
    assert_eq!(rig.answer(2, Accepted::Refused("no".to_owned())), ["refused c"]);
    assert_eq!(rig.say("a"), ["publish 3 hi -"]);
    assert_eq!(rig.answer(3, Accepted::Duplicate), ["ack a"]);
}

#[test]
fn a_message_that_is_not_acknowledged_in_ten_seconds_is_an_error_once() {
    let mut rig = Rig::new(token());
    rig.say("a");
    rig.pass(4000);
    rig.say("b");
    assert_eq!(rig.run(8), ["6: bus_unavailable a"]);
    assert_eq!(rig.answer(0, Accepted::Bus), [""; 0], "too late");
    assert_eq!(rig.answer(1, Accepted::Bus), ["ack b"]);
}

#[test]
fn an_ack_without_an_id_carries_the_servers() {
    let mut rig = Rig::new(token());
    rig.text(r#"{"type":"chat.message.send","payload":{"text":"hi","room":"r"}}"#);
    assert_eq!(rig.answer(0, Accepted::Bus), [format!("ack {}", Uuid::nil())]);
}

#[test]
fn pings_go_out_every_25_seconds_and_the_dead_are_closed_after_two() {
    let mut rig = Rig::new(token());
    assert_eq!(rig.run(60), ["25: ping", "50: ping"]);
    assert_eq!(rig.on(Input::Ponged), [""; 0]);
    assert_eq!(rig.run(100), ["25: ping", "50: ping", "75: close 4410 ping_timeout"]);
    assert_eq!(rig.say("a"), [""; 0], "nothing after the close");
}

#[test]
fn messages_over_the_rate_are_refused_and_the_third_time_closes() {
    let mut rig = Rig::new(token());
    for n in 0..20 {
        assert_eq!(rig.say("a"), [format!("publish {n} hi -")]);
    }
    assert_eq!(rig.say("x"), ["rate_limited x"]);
    rig.pass(9_999);
    assert_eq!(rig.say("y"), ["rate_limited y"]);
    rig.pass(1);
    assert_eq!(rig.say("z"), ["publish 20 hi -"]);
    rig.pass(55_000);
    for n in 21..41 {
        assert_eq!(rig.say("a"), [format!("publish {n} hi -")]);
    }
    assert_eq!(rig.say("x"), ["rate_limited x"], "the first two are over a minute old, or one is");
    assert_eq!(rig.say("x"), ["rate_limited x", "close 4429 rate_limited"]);
}

#[test]
fn nonsense_is_answered_and_bounded_too() {
    let mut rig = Rig::new(token());
    for _ in 0..50 {
        assert_eq!(rig.text("{"), ["bad_frame"]);
        assert_eq!(rig.text(r#"{"type":"ping","metadata":{"id":"p"}}"#), ["pong"]);
    }
    assert_eq!(rig.say("a"), ["publish 0 hi -"], "it does not count against messages");
    assert_eq!(rig.text("{"), ["rate_limited"]);
    assert_eq!(rig.on(Input::Pinged), ["rate_limited"]);
    assert_eq!(rig.text(r#"{"type":"no"}"#), ["rate_limited", "close 4429 rate_limited"]);
}

#[test]
fn each_end_has_its_code() {
    let draining = "close 1012 {\"retry_after\":2.5}";
    for (input, said) in [
        (Input::Violation(Closing::Protocol), vec!["close 1002 protocol_error"]),
        (Input::Violation(Closing::Binary), vec!["close 1003 binary_refused"]),
        (Input::Violation(Closing::NotUtf8), vec!["close 1007 not_utf8"]),
        (Input::Violation(Closing::TooLarge), vec!["close 1009 too_large"]),
        (Input::Revoked("token revoked"), vec!["close 4401 token revoked"]),
        (Input::Slow, vec!["close 4408 slow_consumer"]),
        (Input::Draining { retry_after: 2.5 }, vec!["draining", draining]),
    ] {
        let mut rig = Rig::new(token());
        assert_eq!(rig.on(input), said);
        assert_eq!(rig.on(Input::Slow), [""; 0], "it closes once");
    }
}

#[test]
fn who_takes_nothing_for_ten_seconds_though_bytes_wait_is_slow_and_who_takes_some_is_not() {
    let mut rig = Rig::new(token());
    let begin = rig.now.mono;
    assert_eq!(rig.on(Input::Stalled(Some(begin))), [""; 0]);
    assert_eq!(rig.run(9), [""; 0]);
    // It takes some, and stops again.
    rig.pass(9_000);
    let again = rig.now.mono;
    rig.on(Input::Stalled(Some(again)));
    assert_eq!(rig.run(9), [""; 0]);
    rig.on(Input::Stalled(None));
    rig.on(Input::Ponged);
    assert_eq!(rig.run(30), ["16: ping"]);
    rig.on(Input::Stalled(Some(rig.now.mono)));
    assert_eq!(rig.run(30), ["10: close 4408 slow_consumer"]);
}

#[test]
fn a_token_that_expires_closes_its_connection_at_that_moment() {
    let start = Timestamp::parse("2025-11-21T17:02:00Z").unwrap();
    let mut rig = Rig::new(Token { expires_at: Some(start.plus(Duration::from_secs(40))), ..token() });
    assert_eq!(rig.run(90), ["25: ping", "40: close 4401 token expired"]);
}

#[test]
fn a_token_for_some_channels_is_for_no_others() {
    let mut rig = Rig::new(Token { channels: vec!["#Rust".to_owned()], ..token() });
    let say = |channel: &str| {
        format!(r#"{{"type":"chat.message.send","payload":{{"text":"hi","channel":"{channel}"}}}}"#)
    };
    assert_eq!(rig.text(&say("rust")), ["publish 0 hi rust"]);
    assert_eq!(rig.text(&say("#go")), ["forbidden"]);
    assert_eq!(rig.say("a"), ["publish 1 hi -"], "none is named");
}

#[test]
fn a_resume_gives_everything_or_says_that_it_does_not() {
    let mut rig = Rig::new(token());
    let resume = r#"{"type":"connection.resume","payload":{"epoch":"e0","seq":3}}"#;
    assert_eq!(rig.text(resume), ["recall e0 3"]);
    assert_eq!(rig.text(resume), ["bad_request"], "one at a time");
    let frames = ["1", "2"].map(|n| Bytes::from(format!(r#"{{"type":"frame {n}","payload":{{}}}}"#)));
    let said = rig.on(Input::Recalled(Some(frames.to_vec())));
    assert_eq!(said, ["resumed true 2", "frame 1", "frame 2"]);
    assert_eq!(rig.text(resume), ["recall e0 3"]);
    assert_eq!(rig.on(Input::Recalled(None)), ["resumed false 0"]);
}
