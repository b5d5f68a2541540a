//! Bots: subscriptions on a real socket and a bus in memory.

use std::time::Duration;

use chatbus_bus::{Bus as _, Lag, Message, Publish as _, Record, Scan, ScanFrom, ScanTopics};
use chatbus_event::{Attributes, ErrorInfo, Event, Family, Finalize, MessageId, Status, Topic};
use chatbus_gateway::tokens::NewToken;
use serde_json::{Value, json};

use crate::fixture::{Client, Fixture, PATIENCE};

fn new_bot() -> NewToken {
    NewToken { user_id: "bot".to_owned(), bot: Some("bot".to_owned()), ..NewToken::default() }
}

/// Puts an event on the bus.
async fn publish(fixture: &Fixture, id: &str, channel: &str, text: &str) {
    let body = json!({
        "v": "1", "id": id, "correlationId": format!("c-{id}"), "type": "chat.message.v1",
        "source": "ingress.twitch", "channel": channel, "userId": "7",
        "egress": {"destination": "internal.egress.v1.one", "type": "chat"},
        "auth": {"v": "1", "matched": true, "provider": "twitch", "userRef": "twitch:7"},
        "message": {"id": format!("m-{id}"), "role": "user", "text": text},
    });
    let message = Message::new(MessageId::new(id), Attributes::new(), body.to_string());
    fixture.feeds.publish(&Topic::ingress(), message).await.unwrap();
}

/// Subscribes, and sees that it begins.
async fn subscribe(client: &mut Client, durable: Value, filter: Value) {
    let payload = json!({"topic": "ingress", "durable": durable, "filter": filter});
    client.send(json!({"type": "subscribe", "payload": payload, "metadata": {"id": "s"}})).await;
    let answer = client.next().await;
    let durable = json!(durable.is_string() || durable == true);
    assert_eq!((&answer["type"], &answer["metadata"]["id"]), (&json!("subscribed"), &json!("s")));
    assert_eq!(answer["payload"], json!({"topic": "ingress", "durable": durable}));
}

/// The next event's id and cursor.
async fn event(client: &mut Client) -> (String, u64) {
    let frame = client.next().await;
    assert_eq!(frame["type"], "event", "{frame}");
    (frame["payload"]["id"].as_str().unwrap().to_owned(), frame["metadata"]["cursor"].as_u64().unwrap())
}

async fn ack(client: &mut Client, cursor: u64) {
    client.send(json!({"type": "event.ack", "payload": {"cursor": cursor}})).await;
}

/// Until the bus holds so many events for its groups, and so many of them are in somebody's hands.
async fn until_pending(fixture: &Fixture, pending: u64, in_flight: u64) {
    let waiting = async {
        loop {
            let lag = fixture.feeds.lag().await.unwrap();
            let sum = |of: fn(&Lag) -> u64| lag.iter().map(of).sum::<u64>();
            if (sum(|lag| lag.pending), sum(|lag| lag.in_flight)) == (pending, in_flight) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the bus to know");
}

#[tokio::test]
async fn a_durable_subscription_goes_on_with_what_was_not_acknowledged() {
    let fixture = Fixture::new().await;
    let (secret, token) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, json!("main"), Value::Null).await;
    publish(&fixture, "a", "#x", "one").await;
    publish(&fixture, "b", "#x", "two").await;
    let (first, cursor) = event(&mut client).await;
    assert_eq!((first.as_str(), event(&mut client).await.0.as_str()), ("a", "b"));
    ack(&mut client, cursor).await;
    until_pending(&fixture, 1, 1).await;
    drop(client);
    until_pending(&fixture, 1, 0).await;
    publish(&fixture, "c", "#x", "while nobody was there").await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, json!("main"), Value::Null).await;
    let again = client.next().await;
    assert_eq!(again["payload"]["id"], "b");
    assert_eq!(again["payload"]["message"]["text"], "two", "the whole event");
    let (third, last) = event(&mut client).await;
    assert_eq!(third, "c");
    ack(&mut client, again["metadata"]["cursor"].as_u64().unwrap()).await;
    ack(&mut client, last).await;
    until_pending(&fixture, 0, 0).await;
    let lag = fixture.feeds.lag().await.unwrap();
    assert_eq!(lag[0].group.as_str(), format!("bot-{}-main", token.id));
}

#[tokio::test]
async fn what_the_token_or_the_filter_does_not_cover_is_acknowledged_and_not_sent() {
    let fixture = Fixture::new().await;
    let channels = vec!["x".to_owned(), "y".to_owned()];
    let (secret, _) = fixture.token_with(NewToken { channels, ..new_bot() }).await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, json!(true), json!({"channel": "#x"})).await;
    for (id, channel) in [("a", "#y"), ("b", "#z"), ("c", "#x")] {
        publish(&fixture, id, channel, "hi").await;
    }
    let (id, _) = event(&mut client).await;
    assert_eq!(id, "c");
    until_pending(&fixture, 1, 1).await;
}

#[tokio::test]
async fn without_durable_a_bot_hears_what_comes_after_and_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    publish(&fixture, "before", "#x", "hi").await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, Value::Null, Value::Null).await;
    publish(&fixture, "after", "#x", "hi").await;
    assert_eq!(event(&mut client).await.0, "after");
    // Nobody acknowledges it: it comes again.
    tokio::time::pause();
    let again = client.next().await;
    tokio::time::resume();
    assert_eq!((&again["payload"]["id"], &again["metadata"]["cursor"]), (&json!("after"), &json!(2)));
    assert_eq!(fixture.feeds.lag().await.unwrap(), []);
}

#[tokio::test]
async fn no_more_than_256_events_are_in_flight() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    for durable in [json!(true), Value::Null] {
        let (mut client, _) = fixture.connect(&secret).await;
        subscribe(&mut client, durable.clone(), Value::Null).await;
        for n in 0..300 {
            publish(&fixture, &format!("{durable}{n}"), "#x", "hi").await;
        }
        let mut cursors = Vec::new();
        for _ in 0..256 {
            cursors.push(event(&mut client).await.1);
        }
        client.works().await;
        ack(&mut client, cursors[255]).await;
        assert_eq!(event(&mut client).await.0, format!("{durable}256"), "one done, one more");
        client.works().await;
    }
}

#[tokio::test]
async fn a_bot_that_reads_nothing_is_a_slow_consumer_and_its_events_come_again() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, json!(true), Value::Null).await;
    // More than kernels hold.
    let text = "x".repeat(200 * 1024);
    for n in 0..100 {
        publish(&fixture, &n.to_string(), "#x", &text).await;
    }
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(21)).await;
    tokio::time::resume();
    assert_eq!(client.closed().await.0, 4408);
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, json!(true), Value::Null).await;
    for n in 0..100 {
        let (id, cursor) = event(&mut client).await;
        assert_eq!(id, n.to_string());
        ack(&mut client, cursor).await;
    }
    until_pending(&fixture, 0, 0).await;
}

#[tokio::test]
async fn who_is_no_bot_does_not_subscribe_and_a_bus_that_is_away_is_said() {
    let fixture = Fixture::new().await;
    let frame = json!({"type": "subscribe", "payload": {"topic": "ingress", "durable": true}});
    let mut user = fixture.user("alice").await;
    user.send(frame.clone()).await;
    assert_eq!(user.next().await["payload"]["code"], "unsupported_type");
    let (secret, _) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    fixture.feeds.close().await;
    client.send(frame).await;
    assert_eq!(client.next().await["payload"]["code"], "bus_unavailable");
    client.works().await;
}

async fn unsubscribe(client: &mut Client, durable: Value) -> Value {
    client.send(json!({"type": "unsubscribe", "payload": {"topic": "ingress", "durable": durable}})).await;
    client.next().await
}

/// The groups there are.
async fn groups(fixture: &Fixture) -> Vec<String> {
    let lag = fixture.feeds.lag().await.unwrap();
    lag.iter().map(|lag| lag.group.to_string()).collect()
}

#[tokio::test]
async fn a_token_has_sixteen_places_and_gives_them_up_by_name() {
    let fixture = Fixture::new().await;
    let (secret, token) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    for n in 0..16 {
        subscribe(&mut client, json!(format!("n{n}")), Value::Null).await;
        assert_eq!(unsubscribe(&mut client, Value::Null).await["type"], "unsubscribed");
    }
    assert_eq!(groups(&fixture).await.len(), 16, "unsubscribed, but not forgotten");
    let more = json!({"type": "subscribe", "payload": {"topic": "ingress", "durable": "more"}});
    client.send(more.clone()).await;
    let refused = client.next().await;
    assert_eq!(refused["payload"]["code"], "refused", "{refused}");
    assert!(refused["payload"]["message"].as_str().unwrap().contains("16"), "{refused}");
    // What it has it may go on with, and what it gives up makes room; what it was in hand of as well.
    subscribe(&mut client, json!("n3"), Value::Null).await;
    publish(&fixture, "a", "#x", "hi").await;
    event(&mut client).await;
    let forgotten = unsubscribe(&mut client, json!("n3")).await;
    assert_eq!(
        (&forgotten["type"], &forgotten["payload"]["durable"]),
        (&json!("unsubscribed"), &json!(true))
    );
    assert!(!groups(&fixture).await.contains(&format!("bot-{}-n3", token.id)));
    client.send(more).await;
    assert_eq!(client.next().await["type"], "subscribed");
    assert_eq!(groups(&fixture).await.len(), 16);
    assert_eq!(unsubscribe(&mut client, json!("never was")).await["payload"]["code"], "bad_request");
    assert_eq!(unsubscribe(&mut client, json!("never-was")).await["type"], "unsubscribed");
}

#[tokio::test]
async fn the_groups_of_a_token_that_is_revoked_go_and_others_stay() {
    let fixture = Fixture::new().await;
    let (secret, token) = fixture.token_with(new_bot()).await;
    let (stays, other) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    let (mut another, _) = fixture.connect(&stays).await;
    subscribe(&mut client, json!(true), Value::Null).await;
    subscribe(&mut another, json!("n"), Value::Null).await;
    let third = chatbus_bus::Group::parse("bot-of-a-third-party").unwrap();
    let declared = chatbus_bus::Subscription::new(Topic::ingress(), third);
    fixture.feeds.declare(&[declared]).await.unwrap();
    assert_eq!(groups(&fixture).await.len(), 3);
    chatbus_gateway::tokens::revoke(&*fixture.state, &token.id).await.unwrap();
    assert_eq!(client.closed().await.0, 4401);
    let gone = async {
        while groups(&fixture).await.contains(&format!("bot-{}", token.id)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("its group goes");
    // Longer than a member would take to have it back.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(5)).await;
    tokio::time::resume();
    let mut left = groups(&fixture).await;
    left.sort();
    assert_eq!(left, ["bot-of-a-third-party".to_owned(), format!("bot-{}-n", other.id)]);
    publish(&fixture, "a", "#x", "hi").await;
    assert_eq!(event(&mut another).await.0, "a");
}

/// What is on the generic and one instance's egress topics.
async fn sayings(fixture: &Fixture) -> Vec<Record> {
    let mut found = Vec::new();
    for family in [Family::Egress, Family::InstanceEgress] {
        let scan = Scan { topics: ScanTopics::Family(family), from: ScanFrom::Oldest, follow: false };
        let mut records = fixture.feeds.scan(scan).await.unwrap();
        while let Some(record) = records.next().await {
            found.push(record.unwrap());
        }
    }
    found
}

/// Ends a delivery, as the engine does.
async fn finalize(fixture: &Fixture, correlation_id: &str, delivery_id: &str, status: Status) {
    let error = ErrorInfo { code: "x".to_owned(), message: "y".to_owned() };
    let finalize = Finalize {
        correlation_id,
        delivery_id,
        destination: "internal.egress.v1",
        delivered_at: fixture.runtime.clock.now(),
        status,
        provider_message_id: None,
        error: (status == Status::Failed).then_some(&error),
        attempts: &[],
        candidates: None,
        annotations: None,
        routing_slip: None,
        metadata: None,
        qos: None,
    };
    let message = Message::new(finalize.message_id(), finalize.attributes("test", None), finalize.body());
    fixture.feeds.publish(&Topic::finalizer(), message).await.unwrap();
}

#[tokio::test]
async fn a_bot_says_something_and_is_told_what_became_of_it() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    for (n, status) in [Status::Sent, Status::Failed].into_iter().enumerate() {
        let id = format!("7f0f33b0-3c0e-4f7b-8f55-0d4ac2f1a00{n}");
        let payload = json!({"to": "twitch:#a", "text": "hello"});
        let frame = json!({"type": "egress.send", "payload": payload, "metadata": {"id": id}});
        client.send(frame.clone()).await;
        let first = client.next().await;
        client.send(frame).await;
        let again = client.next().await;
        assert_eq!((&first["type"], &first["payload"]["id"]), (&json!("chat.ack"), &json!(id)));
        assert_eq!(first["payload"], again["payload"]);
        let said = sayings(&fixture).await;
        assert_eq!(said.len(), n + 1, "a UUID is said once");
        let event = Event::decode(&said[n].message.body).unwrap();
        assert_eq!(said[n].topic, Topic::egress());
        assert_eq!(event.egress().destination.as_deref(), Some("twitch"));
        assert_eq!(event.channel().as_deref(), Some("#a"));
        assert_eq!(event.message().unwrap().text.as_deref(), Some("hello"));
        let delivery = said[n].message.attributes.get("deliveryId").unwrap();
        let correlation = event.correlation_id().unwrap();
        assert_eq!(first["payload"]["correlationId"], json!(correlation));
        finalize(&fixture, "another", "another", Status::Sent).await;
        finalize(&fixture, &correlation, delivery, status).await;
        let mut payload = json!({
            "id": id, "deliveryId": delivery, "correlationId": correlation, "status": status.as_str(),
        });
        if status == Status::Failed {
            payload["error"] = json!({"code": "x", "message": "y"});
        }
        let outcome = client.next().await;
        assert_eq!((&outcome["type"], &outcome["payload"]), (&json!("egress.outcome"), &payload));
    }
}

#[tokio::test]
async fn an_answer_goes_where_the_event_came_from_with_what_it_said() {
    let fixture = Fixture::new().await;
    let (secret, _) = fixture.token_with(new_bot()).await;
    let (mut client, _) = fixture.connect(&secret).await;
    subscribe(&mut client, Value::Null, Value::Null).await;
    publish(&fixture, "a", "#x", "!ping").await;
    event(&mut client).await;
    client.send(json!({"type": "egress.send", "payload": {"replyTo": "m-a", "text": "pong"}})).await;
    let ack = client.next().await;
    assert_eq!(ack["payload"]["correlationId"], "c-a");
    let said = sayings(&fixture).await;
    let event = Event::decode(&said[0].message.body).unwrap();
    assert_eq!((said.len(), said[0].topic.as_str()), (1, "internal.egress.v1.one"));
    assert_eq!(event.egress().destination.as_deref(), Some("internal.egress.v1.one"));
    assert_eq!((event.channel().as_deref(), event.user_id().as_deref()), (Some("#x"), Some("7")));
    assert_eq!(event.source(), "ingress.twitch");
    assert_eq!(event.auth().unwrap().user_ref.as_deref(), Some("twitch:7"));
    assert_eq!(event.message().unwrap().role.as_deref(), Some("assistant"));
    client.send(json!({"type": "egress.send", "payload": {"replyTo": "b", "text": "pong"}})).await;
    assert_eq!(client.next().await["payload"]["code"], "bad_request");
}
