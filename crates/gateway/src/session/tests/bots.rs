use super::*;

fn bot() -> Rig {
    Rig::new(Token { bot: true, ..token() })
}

fn subscribe(topic: &str, rest: &str) -> String {
    format!(r#"{{"type":"subscribe","payload":{{"topic":"{topic}"{rest}}},"metadata":{{"id":"s"}}}}"#)
}

fn ack(cursor: u64) -> String {
    format!(r#"{{"type":"event.ack","payload":{{"cursor":{cursor}}}}}"#)
}

impl Rig {
    fn event(&mut self, cursor: u64) -> Vec<String> {
        let body = Bytes::from_static(b"{}");
        self.on(Input::Event { feed: Feed::Ingress, cursor, body })
    }
}

#[test]
fn only_a_bot_may_subscribe_or_acknowledge() {
    let mut rig = Rig::new(token());
    assert_eq!(rig.text(&subscribe("ingress", "")), ["unsupported_type s"]);
    assert_eq!(rig.text(&ack(1)), ["unsupported_type"]);
}

#[test]
fn what_a_subscription_asks_for_is_read_and_what_is_wrong_is_said() {
    for (payload, said) in [
        (subscribe("ingress", ""), "subscribe ingress - No"),
        (subscribe("ingress", r#","durable":false"#), "subscribe ingress - No"),
        (
            subscribe("enriched", r##","filter":{"channel":"#a"},"durable":true"##),
            "subscribe enriched #a Yes",
        ),
        (subscribe("outcomes", r#","durable":"a-1""#), "subscribe outcomes - Named(\"a-1\")"),
        (subscribe("egress", ""), "bad_request s"),
        (subscribe("ingress", r#","durable":"a b""#), "bad_request s"),
        (subscribe("ingress", r#","durable":1"#), "bad_request s"),
        (subscribe("ingress", r#","filter":{"chanel":"a"}"#), "bad_request s"),
        (subscribe("ingress", r#","filter":{"channel":1}"#), "bad_request s"),
        (subscribe("ingress", r#","filter":"a""#), "bad_request s"),
        (subscribe("outcomes", r#","filter":{"type":"a"}"#), "bad_request s"),
    ] {
        assert_eq!(bot().text(&payload), [said], "{payload}");
    }
}

#[test]
fn a_topic_is_subscribed_to_once_and_again_when_that_failed() {
    let mut rig = bot();
    assert_eq!(rig.text(&subscribe("ingress", "")), ["subscribe ingress - No"]);
    assert_eq!(rig.text(&subscribe("ingress", "")), ["bad_request s"]);
    let feed = Feed::Ingress;
    let said = rig.on(Input::Unsubscribed { feed, why: "away".to_owned() });
    assert_eq!(said, ["bus_unavailable s", "unsubscribe ingress"]);
    assert_eq!(rig.text(&subscribe("ingress", "")), ["subscribe ingress - No"]);
    assert_eq!(rig.on(Input::Subscribed { feed }), ["subscribed"]);
    assert_eq!(rig.text(&subscribe("ingress", "")), ["bad_request s"]);
    assert_eq!(rig.text(&subscribe("enriched", "")), ["subscribe enriched - No"], "another topic");
    assert_eq!(rig.run(11), ["10: bus_unavailable s", "10: unsubscribe enriched"], "only that one is late");
}

#[test]
fn outcomes_are_not_for_tokens_that_are_limited() {
    let limited = Token { bot: true, platforms: vec!["twitch".to_owned()], ..token() };
    assert_eq!(Rig::new(limited).text(&subscribe("outcomes", "")), ["forbidden s"]);
}

#[test]
fn an_event_is_settled_once_and_given_back_after_a_minute() {
    let mut rig = bot();
    rig.text(&subscribe("ingress", ""));
    rig.on(Input::Subscribed { feed: Feed::Ingress });
    assert_eq!(rig.event(1), ["event"]);
    assert_eq!(rig.event(2), ["event"]);
    rig.pass(1000);
    assert_eq!(rig.event(3), ["event"]);
    assert_eq!(rig.text(&ack(2)), ["settle ingress 2 true"]);
    assert_eq!(rig.text(&ack(2)), [""; 0], "once");
    rig.on(Input::Ponged);
    assert_eq!(
        rig.run(61),
        ["24: ping", "49: ping", "59: settle ingress 1 false", "60: settle ingress 3 false"]
    );
    assert_eq!(rig.text(&ack(1)), [""; 0], "too late: it comes again");
}

#[test]
fn acknowledgements_of_events_are_not_limited_and_others_are() {
    let mut rig = bot();
    rig.text(&subscribe("ingress", ""));
    for cursor in 1..=256 {
        rig.event(cursor);
    }
    for cursor in 1..=256 {
        assert_eq!(rig.text(&ack(cursor)), [format!("settle ingress {cursor} true")]);
    }
    for _ in 0..99 {
        assert_eq!(rig.text(&ack(9)), [""; 0]);
    }
    assert_eq!(rig.text(&ack(9)), ["rate_limited"]);
}

#[test]
fn a_bot_that_reads_nothing_for_twenty_seconds_is_slow_and_one_that_reads_in_between_is_not() {
    let mut rig = bot();
    rig.text(&subscribe("ingress", ""));
    rig.on(Input::Subscribed { feed: Feed::Ingress });
    rig.on(Input::Crowded(true));
    rig.pass(19_999);
    rig.on(Input::Crowded(false));
    rig.on(Input::Crowded(true));
    assert_eq!(rig.run(30), ["5: ping", "20: close 4408 slow_consumer"]);
}
