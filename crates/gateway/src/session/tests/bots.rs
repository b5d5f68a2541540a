use chatbus_event::EgressKind;

use super::*;
use crate::egress::Target;

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
    let said = rig.on(Input::Unsubscribed { feed, why: (ErrorCode::BusUnavailable, "away".to_owned()) });
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

/// Reads `PLATFORM:#CHANNEL` and `dm:PLATFORM:USER`.
pub(super) fn target(text: &str) -> Result<Target, String> {
    let (platform, rest) = text.split_once(':').ok_or("no target")?;
    let (destination, kind, channel, user_id) = match rest.split_once(':') {
        Some((of, user)) if platform == "dm" => (of, EgressKind::Dm, None, Some(user.to_owned())),
        _ => (platform, EgressKind::Chat, Some(rest.to_owned()), None),
    };
    Ok(Target { destination: destination.to_owned(), kind, channel, user_id })
}

fn send(rest: &str) -> String {
    format!(r#"{{"type":"egress.send","payload":{{"text":"hi",{rest}}},"metadata":{{"id":"e"}}}}"#)
}

#[test]
fn a_bot_says_what_its_token_covers() {
    let to = |to: &str| send(&format!(r#""to":"{to}""#));
    assert_eq!(Rig::new(token()).text(&to("twitch:#a")), ["unsupported_type e"]);
    assert_eq!(bot().text(&to("twitch:#a")), ["say 0 Chat twitch:#a"]);
    assert_eq!(bot().text(&to("dm:twitch:7")), ["say 0 Dm twitch:7"]);
    assert_eq!(bot().text(&to("nowhere")), ["bad_request e"]);
    assert_eq!(bot().text(&send(r#""to":"dm:twitch:7","type":"chat""#)), ["bad_request e"], "stays private");
    assert_eq!(bot().text(&send(r#""to":"twitch:#a","replyTo":"x""#)), ["bad_request e"]);
    assert_eq!(bot().text(&send(r#""to":null"#)), ["bad_request e"]);
    assert_eq!(bot().text(&send(r#""to":"twitch:#a","type":"shout""#)), ["bad_request e"]);
    let limited = || {
        let (platforms, channels) = (vec!["twitch".to_owned()], vec!["a".to_owned()]);
        Rig::new(Token { bot: true, platforms, channels, ..token() })
    };
    assert_eq!(limited().text(&to("twitch:#A")), ["say 0 Chat twitch:#A"]);
    for other in ["twitch:#b", "discord:a", "dm:twitch:7"] {
        assert_eq!(limited().text(&to(other)), ["forbidden e"], "{other}");
    }
}

#[test]
fn an_answer_is_to_one_of_the_last_256_events_and_stays_private() {
    let mut rig = bot();
    rig.text(&subscribe("ingress", ""));
    rig.on(Input::Subscribed { feed: Feed::Ingress });
    let sent = |rig: &mut Rig, n: u64, kind: &str| {
        let body = format!(
            r#"{{"type":"chat.message.v1","source":"a","id":"{n}","message":{{"id":"m{n}"}},"egress":{{"type":"{kind}"}}}}"#
        );
        rig.on(Input::Event { feed: Feed::Ingress, cursor: n, body: body.into() });
    };
    let reply = |id: &str| send(&format!(r#""replyTo":"{id}""#));
    sent(&mut rig, 1, "chat");
    sent(&mut rig, 2, "dm");
    assert_eq!(rig.text(&reply("1")), ["reply 0 Chat 1"]);
    assert_eq!(rig.text(&reply("m2")), ["reply 1 Dm 2"]);
    assert_eq!(rig.text(&send(r#""replyTo":"2","type":"chat""#)), ["bad_request e"]);
    for n in 3..258 {
        sent(&mut rig, n, "chat");
    }
    assert_eq!(rig.text(&reply("1")), ["bad_request e"], "too long ago");
    assert_eq!(rig.text(&reply("2")), ["reply 2 Dm 2"]);
}

#[test]
fn a_saying_is_acknowledged_once_the_bus_has_it_and_counts_as_a_message() {
    let mut rig = bot();
    let say = send(r#""to":"twitch:#a""#);
    let said = |number, taken| Input::Said {
        number,
        correlation_id: "c".to_owned(),
        delivery_id: "d".to_owned(),
        taken,
    };
    for n in 0..20 {
        assert_eq!(rig.text(&say), [format!("say {n} Chat twitch:#a")]);
    }
    assert_eq!(rig.text(&say), ["rate_limited e"]);
    assert_eq!(rig.on(said(0, Ok(()))), ["ack e", "acked d"]);
    assert_eq!(rig.on(said(0, Ok(()))), [""; 0], "once");
    let refused = Err((ErrorCode::Refused, "too large".to_owned()));
    assert_eq!(rig.on(said(1, refused)), ["refused e"]);
    assert_eq!(rig.run(10), vec!["10: bus_unavailable e"; 18]);
}

#[test]
fn who_unsubscribes_hears_no_more_and_with_a_name_is_forgotten() {
    let unsubscribe = |rest: &str| subscribe("ingress", rest).replace("subscribe", "unsubscribe");
    let mut rig = Rig::new(token());
    assert_eq!(rig.text(&unsubscribe("")), ["unsupported_type s"]);
    let mut rig = bot();
    assert_eq!(rig.text(&unsubscribe("")), ["bad_request s"], "there is none");
    assert_eq!(rig.text(&unsubscribe(r#","filter":{"type":"x"}"#)), ["bad_request s"]);
    for (durable, said) in [
        ("", ["unsubscribe ingress", "unsubscribed"].as_slice()),
        (r#","durable":"n""#, &[r#"forget 0 ingress Named("n") true"#]),
    ] {
        rig.text(&subscribe("ingress", durable));
        rig.on(Input::Subscribed { feed: Feed::Ingress });
        rig.event(1);
        assert_eq!(rig.text(&unsubscribe(durable)), said);
        assert_eq!(rig.text(&ack(1)), [""; 0], "it was given back");
        rig.event(2);
    }
    assert_eq!(
        rig.on(Input::Forgotten { number: 0, feed: Feed::Ingress, forgotten: Ok(()) }),
        ["unsubscribed"]
    );
    // A place of another name, while this one is listened to.
    rig.text(&subscribe("ingress", r#","durable":true"#));
    assert_eq!(rig.text(&unsubscribe(r#","durable":"other""#)), [r#"forget 1 ingress Named("other") false"#]);
    let forgotten = Err("away".to_owned());
    assert_eq!(rig.on(Input::Forgotten { number: 1, feed: Feed::Ingress, forgotten }), ["bus_unavailable s"]);
    assert_eq!(rig.text(&subscribe("ingress", "")), ["bad_request s"], "it goes on");
}
