//! What the engine's deliveries meet.

use std::time::Duration;

use chatbus_connector::{Audience, Availability, PermanentReason, Verdict};
use chatbus_runtime::Fence;
use serde_json::json;

use crate::fixture::{Fixture, PATIENCE, event_of, store};

const DELIVERED: Verdict = Verdict::Delivered { provider_message_id: None };

#[tokio::test]
async fn a_delivery_reaches_all_connections_of_its_user_and_nobody_else() {
    let fixture = Fixture::new().await;
    let alice = Audience::User("alice".into());
    assert_eq!(fixture.sink.availability(&alice), Availability::Unserved);
    assert_eq!(fixture.sink.send(fixture.outbound("alice", "d-0", "x")).await, Verdict::NotNow);
    let mut changes = fixture.sink.changes();
    changes.mark_unchanged();
    let (mut first, mut second) = (fixture.user("alice").await, fixture.user("alice").await);
    let mut other = fixture.user("bob").await;
    assert!(changes.has_changed().unwrap());
    assert_eq!(fixture.sink.availability(&alice), Availability::Ready);
    assert_eq!(fixture.sink.send(fixture.outbound("alice", "d-1", "hello")).await, DELIVERED);
    for client in [&mut first, &mut second] {
        let frame = client.next().await;
        assert_eq!(frame["type"], "chat.message.received");
        assert_eq!(frame["payload"]["text"], "hello");
        assert_eq!((&frame["metadata"]["id"], &frame["metadata"]["seq"]), (&json!("d-1"), &json!(1)));
    }
    other.works().await;
    drop((first, second));
    fixture.until("gone", |f| f.sink.availability(&alice) == Availability::Unserved).await;
    assert_eq!(fixture.sink.send(fixture.outbound("alice", "d-2", "x")).await, Verdict::NotNow);
    let room = chatbus_connector::Outbound {
        target: Audience::Channel("#a".into()),
        ..fixture.outbound("alice", "d-3", "x")
    };
    assert!(matches!(
        fixture.sink.send(room).await,
        Verdict::Permanent { reason: PermanentReason::Unsupported, .. }
    ));
}

#[tokio::test]
async fn an_answer_goes_to_the_connection_that_asked_while_it_lives() {
    let fixture = Fixture::new().await;
    let (mut asks, mut other) = (fixture.user("alice").await, fixture.user("alice").await);
    asks.say("m", "question").await;
    asks.next().await;
    let body = fixture.bus.taken.lock().unwrap()[0].body.clone();
    let event = chatbus_event::Event::decode(&body).unwrap();
    let connection = event.metadata("connectionId").unwrap().as_str().unwrap().into_owned();
    let answer = |delivery: &str| {
        let mut outbound = fixture.outbound("alice", delivery, delivery);
        let json = format!(r#"{{"type":"t","metadata":{{"connectionId":"{connection}"}}}}"#);
        outbound.event = event_of(&json);
        outbound
    };
    assert_eq!(fixture.sink.send(answer("d-1")).await, DELIVERED);
    assert_eq!(asks.next().await["payload"]["text"], "d-1");
    other.works().await;
    drop(asks);
    fixture.until("gone", |f| f.gateway.connections() == 1).await;
    assert_eq!(fixture.sink.send(answer("d-2")).await, DELIVERED);
    assert_eq!(other.next().await["payload"]["text"], "d-2");
}

#[tokio::test]
async fn a_lost_lease_sends_nothing() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    let mut outbound = fixture.outbound("alice", "d-1", "x");
    outbound.fence = Fence::until(fixture.runtime.clock.instant() + Duration::from_secs(60));
    outbound.fence.lose();
    assert_eq!(fixture.sink.send(outbound).await, Verdict::NotNow);
    client.works().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_others_are_served_meanwhile() {
    let fixture = Fixture::new().await;
    let mut slow = fixture.user("slow").await;
    let mut quick = fixture.user("quick").await;
    let text = "x".repeat(64 * 1024);
    let mut sent = 0;
    let mut worst = Duration::ZERO;
    // The kernel takes some megabytes before the queue fills.
    while fixture.gateway.connections() == 2
        && fixture.sink.availability(&Audience::User("slow".into())) == Availability::Ready
    {
        let outbound = fixture.outbound("slow", &format!("s-{sent}"), &text);
        let (sink, runtime) = (fixture.sink.clone(), fixture.runtime.clone());
        runtime.spawn("test.send", async move { drop(sink.send(outbound).await) });
        let began = fixture.runtime.clock.instant();
        let outbound = fixture.outbound("quick", &format!("q-{sent}"), "hi");
        assert_eq!(fixture.sink.send(outbound).await, DELIVERED);
        worst = worst.max(fixture.runtime.clock.instant() - began);
        assert_eq!(quick.next().await["payload"]["text"], "hi");
        sent += 1;
        assert!(sent < 2000, "it is never closed");
    }
    assert!(worst < Duration::from_millis(500), "{worst:?}");
    let (code, reason) = slow.closed().await;
    assert_eq!((code, reason.as_str()), (4408, "slow_consumer"));
    quick.works().await;
}

/// One delivery after another is in flight for a user, as the engine does it: little waits.
#[tokio::test]
async fn a_client_that_takes_nothing_for_ten_seconds_is_slow_though_only_one_delivery_waits() {
    let fixture = Fixture::new().await;
    let (mut slow, mut quick) = (fixture.user("slow").await, fixture.user("quick").await);
    let text = "x".repeat(64 * 1024);
    let mut sent = 0;
    let mut send = loop {
        let (sink, outbound) = (fixture.sink.clone(), fixture.outbound("slow", &format!("s-{sent}"), &text));
        let mut send = Box::pin(async move { sink.send(outbound).await });
        sent += 1;
        if futures::poll!(&mut send).is_pending() {
            break send;
        }
    };
    let slow_user = Audience::User("slow".into());
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(fixture.sink.availability(&slow_user), Availability::Ready, "it has a second left");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    tokio::time::resume();
    fixture.until("it is slow", |f| f.sink.availability(&slow_user) == Availability::Unserved).await;
    assert_eq!(fixture.sink.send(fixture.outbound("slow", "late", "late")).await, Verdict::NotNow);
    let began = fixture.runtime.clock.instant();
    assert_eq!(fixture.sink.send(fixture.outbound("quick", "q", "hi")).await, DELIVERED);
    assert_eq!(quick.next().await["payload"]["text"], "hi");
    assert!(fixture.runtime.clock.instant() - began < Duration::from_millis(500));
    assert!(futures::poll!(&mut send).is_pending(), "a part of it may be with the client");
    // Once it reads it has all that was begun, and learns why nothing comes after that.
    let reading = async {
        for n in 0..sent {
            assert_eq!(slow.next().await["metadata"]["id"], format!("s-{n}"));
        }
        slow.closed().await.0
    };
    assert_eq!(tokio::join!(send, reading), (DELIVERED, 4408));
}

#[tokio::test]
async fn what_was_begun_when_the_connection_broke_is_unverified_and_what_was_not_is_not_sent() {
    let fixture = Fixture::new().await;
    let slow = fixture.user("slow").await;
    let text = "x".repeat(64 * 1024);
    let mut sends = Vec::new();
    // Until some wait, and fewer than close the connection.
    for n in 0..2000 {
        let mut send = Box::pin({
            let sink = fixture.sink.clone();
            let outbound = fixture.outbound("slow", &format!("d-{n}"), &text);
            async move { sink.send(outbound).await }
        });
        let now = futures::poll!(&mut send);
        if now.is_pending() {
            sends.push(send);
        }
        if sends.len() == 4 {
            break;
        }
    }
    assert_eq!(sends.len(), 4, "some of it waits");
    drop(slow);
    let verdicts = tokio::time::timeout(PATIENCE, futures::future::join_all(sends)).await.unwrap();
    assert!(matches!(verdicts[0], Verdict::Unverified { .. }), "{verdicts:?}");
    assert_eq!(verdicts[3], Verdict::NotNow);
}

#[tokio::test]
async fn what_waits_at_its_deadline_is_taken_back() {
    let fixture = Fixture::new().await;
    let mut slow = fixture.user("slow").await;
    let text = "x".repeat(64 * 1024);
    let mut waiting = Vec::new();
    let mut n = 0;
    while waiting.len() < 2 {
        let mut send = Box::pin({
            let sink = fixture.sink.clone();
            let outbound = fixture.outbound("slow", &format!("d-{n}"), &text);
            async move { sink.send(outbound).await }
        });
        if futures::poll!(&mut send).is_pending() {
            waiting.push(send);
        }
        n += 1;
    }
    let mut late = fixture.outbound("slow", "late", "late");
    late.deadline = fixture.runtime.clock.instant() + Duration::from_millis(50);
    assert_eq!(fixture.sink.send(late).await, Verdict::NotNow);
    // Once it reads, what still waits is delivered, and the late one never comes.
    let reading = async {
        let mut seen = 0;
        while seen < n {
            let frame = slow.next().await;
            assert_eq!(frame["metadata"]["id"], format!("d-{seen}"));
            seen += 1;
        }
        slow.works().await;
    };
    let (verdicts, ()) = tokio::join!(futures::future::join_all(waiting), reading);
    assert!(verdicts.iter().all(|verdict| *verdict == DELIVERED), "{verdicts:?}");
}

#[tokio::test]
async fn a_client_that_does_not_answer_its_ping_has_nothing_delivered() {
    let fixture = Fixture::new().await;
    let mut client = fixture.user("alice").await;
    // Long enough for a ping, which nobody reads yet.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(26)).await;
    tokio::time::resume();
    let mut send = Box::pin(fixture.sink.send(fixture.outbound("alice", "d-1", "x")));
    assert!(futures::poll!(&mut send).is_pending(), "the kernel has it, the client was not heard of");
    // Reading answers the ping.
    let reading = async {
        let frame = client.next().await;
        client.works().await;
        frame
    };
    let (verdict, frame) = tokio::join!(send, reading);
    assert_eq!((verdict, &frame["metadata"]["id"]), (DELIVERED, &json!("d-1")));
}

#[tokio::test]
async fn what_was_missed_comes_back_whole_or_not_at_all() {
    let fixture = Fixture::on(&store(), "gw-1", 60_000).await;
    let (secret, _) = fixture.token("alice").await;
    let (client, ready) = fixture.connect(&secret).await;
    let epoch = ready["payload"]["epoch"].clone();
    for n in 1..=5 {
        let sent = fixture.sink.send(fixture.outbound("alice", &format!("d-{n}"), "x")).await;
        assert_eq!(sent, DELIVERED);
    }
    drop(client);
    fixture.until("gone", |f| f.gateway.connections() == 0).await;
    let (mut client, ready) = fixture.connect(&secret).await;
    assert_eq!(ready["payload"]["seq"], 5);
    assert_eq!(fixture.sink.send(fixture.outbound("alice", "d-6", "x")).await, DELIVERED);
    let resume = |epoch: &serde_json::Value, seq: u64| json!({"type": "connection.resume", "payload": {"epoch": epoch, "seq": seq}});
    client.send(resume(&epoch, 2)).await;
    assert_eq!(client.next().await["metadata"]["id"], "d-6", "live, before the resume was read or after");
    let resumed = client.next().await;
    assert_eq!(resumed["type"], "connection.resumed");
    assert_eq!(
        (&resumed["payload"]["recovered"], &resumed["payload"]["messages"]),
        (&json!(true), &json!(3))
    );
    for n in 3..=5 {
        assert_eq!(client.next().await["metadata"]["id"], format!("d-{n}"));
    }
    client.works().await;
    client.send(resume(&json!("another"), 2)).await;
    assert_eq!(client.next().await["payload"]["recovered"], false);
    client.send(resume(&epoch, 77)).await;
    assert_eq!(client.next().await["payload"]["recovered"], false);
    // Other users' frames push these out, which is said and not passed over.
    let _bob = fixture.user("bob").await;
    for n in 0..8 {
        let outbound = fixture.outbound("bob", &format!("b-{n}"), &"x".repeat(10_000));
        assert_eq!(fixture.sink.send(outbound).await, DELIVERED);
    }
    client.send(resume(&epoch, 2)).await;
    assert_eq!(client.next().await["payload"]["recovered"], false);
}
