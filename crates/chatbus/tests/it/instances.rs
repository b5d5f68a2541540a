//! Several instances: who says it, and who says it instead.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Closed, Cluster, LONG, Relay, SHORT, WsClient, chat_event, eventually, now};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(15);

/// How long an instance may take to be ready again that was frozen for longer than that.
const BACK_WITHIN: Duration = Duration::from_secs(6);

/// Makes an event name the gateway.
type Mend = fn(&mut Value);

fn id(what: &str, n: usize) -> String {
    format!("{what}-{n}")
}

/// How often each text was sent.
fn times(sent: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for said in sent {
        *counts.entry(said["text"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

fn to_user(user: &str, text: &str) -> Value {
    json!({ "type": "chat.message.v1", "source": "test", "userId": user, "correlationId": text,
            "egress": { "destination": "websocket" }, "payload": { "text": text } })
}

#[tokio::test]
async fn three_instances_of_one_account_say_a_generic_event_once_and_what_is_for_the_gateway_never() {
    let mut cluster = Cluster::new().await;
    for name in ["one", "two", "three"] {
        cluster.speaker(name, "hall,yard").await;
    }
    let (mut public, mut private) = (Vec::new(), Vec::new());
    for n in 0..30 {
        let (id, channel) = (id("public", n), ["#hall", "#yard"][n % 2]);
        cluster.publisher.deliver("internal.egress.v1", &id, &chat_event(&id, channel, &id)).await;
        public.push(id);
    }
    let topics = ["internal.egress.v1", "internal.egress.v1.one"];
    let names: [(&str, Mend); 5] = [
        ("source", |event| event["source"] = json!("api-gateway")),
        ("websocket", |event| event["source"] = json!("websocket")),
        ("provider", |event| event["auth"] = json!({ "provider": "api-gateway" })),
        ("provider-only", |event| {
            event["source"] = json!("test");
            event["auth"] = json!({ "provider": "api-gateway" });
        }),
        ("annotation", |event| {
            event["source"] = json!("test");
            event["annotations"] = json!([{ "id": "a", "kind": "custom", "source": "api-gateway", "createdAt": "2025-11-21T17:02:00.000Z" }]);
        }),
    ];
    for (at, topic) in topics.iter().enumerate() {
        for (name, mend) in names {
            let id = id(name, at);
            let mut event = chat_event(&id, "#hall", &id);
            event["metadata"] = json!({ "deadlineMs": 2000 });
            mend(&mut event);
            cluster.publisher.deliver(topic, &id, &event).await;
            private.push(id.clone());
            // The same, where the event itself says that it is for a platform's public.
            let id = format!("{id}-said");
            event["egress"]["destination"] = json!("twitch");
            event["candidates"][0]["text"] = json!(id);
            event["correlationId"] = json!(id);
            cluster.publisher.deliver(topic, &id, &event).await;
            public.push(id);
        }
    }
    for (id, outcome) in cluster.outcomes(&public).await {
        assert_eq!(outcome["status"], "SENT", "{id}: {outcome}");
    }
    for (id, outcome) in cluster.outcomes(&private).await {
        assert_eq!(outcome["error"]["code"], "user_offline", "{id}: {outcome}");
    }
    let said = times(&cluster.sandbox.sent().await);
    let wanted: BTreeMap<String, usize> = public.into_iter().map(|id| (id, 1)).collect();
    assert_eq!(said, wanted);
}

/// Sends to a user until all these hear, so that what comes next finds presence settled.
async fn settle(cluster: &Cluster, user: &str, clients: &mut [&mut WsClient]) {
    let mut n = 0;
    eventually("all connections hear", SHORT, async || {
        n += 1;
        let text = format!("settling {user} {n}");
        cluster.publisher.deliver("internal.egress.v1", &text, &to_user(user, &text)).await;
        let heard = join_all(clients.iter_mut().map(async |client| {
            while let Ok(Ok(frame)) = tokio::time::timeout(Duration::from_secs(1), client.next()).await {
                if frame["payload"]["text"] == text.as_str() {
                    return true;
                }
            }
            false
        }))
        .await;
        if heard.iter().all(|heard| *heard) { Ok(()) } else { Err(format!("{heard:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_user_connected_twice_here_and_once_there_gets_three_frames_and_one_sent() {
    let mut cluster = Cluster::new().await;
    cluster.gateway("a").await;
    cluster.gateway("b").await;
    let token = cluster.token("a", "ada").await;
    let mut clients = [
        cluster.client("a", &token).await,
        cluster.client("a", &token).await,
        cluster.client("b", &token).await,
    ];
    settle(&cluster, "ada", &mut clients.iter_mut().collect::<Vec<_>>()).await;
    let ids: Vec<String> = (0..20).map(|n| id("all", n)).collect();
    for id in &ids {
        cluster.publisher.deliver("internal.egress.v1", id, &to_user("ada", id)).await;
    }
    for client in &mut clients {
        for id in &ids {
            assert_eq!(client.text().await, *id, "in order, once, on each connection");
        }
    }
    for (id, outcome) in cluster.outcomes(&ids).await {
        assert_eq!(outcome["status"], "SENT", "{id}: {outcome}");
    }
    for client in &mut clients {
        client.silent(Duration::from_millis(300)).await;
    }
    // Revoked at one instance, it is over at each of them.
    let url = format!("{}/api/v1/tokens/{token}", cluster.url("b"));
    let revoked = cluster.running["b"].http.delete(url).header("x-chatbus", "1").send().await.unwrap();
    let at = now();
    assert_eq!(revoked.status().as_u16(), 200);
    for client in &mut clients {
        assert_eq!(client.ended().await, Closed::Code(4401));
    }
    assert!(now() - at < Duration::from_secs(2), "at once: {:?}", now() - at);
}

#[tokio::test]
async fn a_client_that_comes_back_elsewhere_is_sent_what_it_missed_while_those_live_who_have_it() {
    let mut cluster = Cluster::new().await;
    for name in ["a", "b", "c"] {
        cluster.gateway(name).await;
    }
    let token = cluster.token("a", "ada").await;
    let mut leaves = cluster.client("a", &token).await;
    let (mut stays, mut elsewhere) = (cluster.client("a", &token).await, cluster.client("b", &token).await);
    settle(&cluster, "ada", &mut [&mut leaves, &mut stays, &mut elsewhere]).await;
    cluster.publisher.deliver("internal.egress.v1", "had", &to_user("ada", "had")).await;
    let had = leaves.soon().await;
    assert_eq!(had["payload"]["text"], "had");
    let (epoch, seq) = (leaves.ready["payload"]["epoch"].clone(), had["metadata"]["seq"].clone());
    assert_eq!((stays.text().await, elsewhere.text().await), ("had".into(), "had".into()));
    drop(leaves);
    let say = async |what: &str, n: usize| {
        let id = id(what, n);
        cluster.publisher.deliver("internal.egress.v1", &id, &to_user("ada", &id)).await;
        id
    };
    let mut missed = Vec::new();
    for n in 0..20 {
        missed.push(say("to-both", n).await);
    }
    for text in &missed {
        assert_eq!((stays.text().await, elsewhere.text().await), (text.clone(), text.clone()));
    }
    drop(stays);
    // It may be said while the one that left is still counted, and then comes to both.
    for n in 0..20 {
        let text = say("to-one", n).await;
        assert_eq!(elsewhere.text().await, text);
        missed.push(text);
    }
    let mut back = cluster.client("c", &token).await;
    assert_eq!(back.resume(&epoch, &seq).await, Some(missed), "each once, in order");
    back.silent(Duration::from_millis(300)).await;
    let at = now();
    cluster.running.get_mut("b").unwrap().kill().await;
    assert_eq!(back.resume(&epoch, &seq).await, None, "one of those who have it is gone");
    assert!(now() - at < Duration::from_secs(3), "{:?}", now() - at);
}

#[tokio::test]
async fn a_bot_sends_over_http_once_for_a_key_whichever_instance_it_asks() {
    let mut cluster = Cluster::new().await;
    cluster.gateway("a").await;
    cluster.gateway("b").await;
    let token = cluster.token("a", "ada").await;
    let mut ada = cluster.client("a", &token).await;
    settle(&cluster, "ada", &mut [&mut ada]).await;
    let made = cluster.running["a"].http.post(format!("{}/api/v1/tokens", cluster.url("a")));
    let made = made.header("x-chatbus", "1").json(&json!({ "bot": "echo" })).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let bot = made["token"].as_str().unwrap();
    let send = async |at: &str, query: &str, key: &str| {
        let request = cluster.running[at].http.post(format!("{}/api/v1/send{query}", cluster.url(at)));
        let body = json!({ "to": "websocket:ada", "text": format!("for {key}") });
        let answer =
            request.bearer_auth(bot).header("idempotency-key", key).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = send("a", "?wait=outcome", "one").await;
    assert_eq!((status, &first["outcome"]), (200, &json!({ "status": "SENT" })), "{first}");
    assert_eq!(ada.text().await, "for one");
    for at in ["b", "a"] {
        assert_eq!(send(at, "?wait=outcome", "one").await, (200, first.clone()));
    }
    let (status, second) = send("b", "", "two").await;
    assert_eq!((status, &second["outcome"]), (202, &Value::Null));
    assert_eq!(ada.text().await, "for two", "the first came once");
    ada.silent(Duration::from_millis(300)).await;
    // Without its token nobody but the administrator sends.
    let request = cluster.running["a"].http.post(format!("{}/api/v1/send", cluster.url("a")));
    let answer = request.bearer_auth("0".repeat(64)).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
}

#[tokio::test]
async fn what_is_addressed_to_an_instance_that_is_gone_or_never_lived_is_taken_over_and_said() {
    let mut cluster = Cluster::new().await;
    for name in ["one", "two"] {
        cluster.speaker(name, "hall").await;
    }
    cluster.gateway("a").await;
    cluster.gateway("b").await;
    let token = cluster.token("b", "ada").await;
    let mut client = cluster.client("b", &token).await;
    settle(&cluster, "ada", &mut [&mut client]).await;
    for name in ["two", "a"] {
        let mut gone = cluster.running.remove(name).unwrap();
        let pid = gone.pid;
        gone.kill().await;
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{name} is gone");
    }
    let at = now();
    let mut ids = Vec::new();
    for instance in ["two", "never-lived"] {
        let id = id(instance, 1);
        let event = chat_event(&id, "#hall", &id);
        cluster.publisher.deliver(&format!("internal.egress.v1.{instance}"), &id, &event).await;
        ids.push(id);
    }
    for instance in ["a", "never-lived"] {
        let id = id(&format!("websocket-{instance}"), 1);
        let event = to_user("ada", &id);
        cluster.publisher.deliver(&format!("internal.api.egress.v1.{instance}"), &id, &event).await;
        ids.push(id);
    }
    for (id, outcome) in cluster.outcomes(&ids).await {
        assert_eq!(outcome["status"], "SENT", "{id}: {outcome}");
    }
    println!("taken over and said within {:?}", now() - at);
    let said = times(&cluster.sandbox.sent().await);
    assert_eq!(said, BTreeMap::from([(ids[0].clone(), 1), (ids[1].clone(), 1)]));
    let mut heard = [client.text().await, client.text().await];
    heard.sort();
    assert_eq!(heard, [ids[2].clone(), ids[3].clone()]);
    client.silent(Duration::from_millis(300)).await;
}

#[tokio::test]
async fn an_instance_frozen_for_longer_than_its_lease_begins_nothing_of_what_it_had_and_joins_again() {
    let mut cluster = Cluster::new().await;
    for name in ["one", "two"] {
        cluster.speaker(name, "hall").await;
    }
    // So slow that most is still waiting when it freezes.
    cluster.sandbox.post("slow-verdicts", json!({ "channel": "hall", "ms": 300 })).await;
    let ids: Vec<String> = (0..20).map(|n| id("held", n)).collect();
    for id in &ids {
        let event = chat_event(id, "#hall", id);
        cluster.publisher.deliver("internal.egress.v1.two", id, &event).await;
    }
    eventually("some are said", SHORT, async || {
        let sent = cluster.sandbox.sent().await.len();
        if sent >= 3 { Ok(()) } else { Err(format!("{sent}")) }
    })
    .await;
    let two = &cluster.running["two"];
    two.signal(Signal::SIGSTOP);
    cluster.sandbox.post("slow-verdicts", json!({ "channel": "hall", "ms": 0 })).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = cluster.sandbox.sent().await;
    assert!(before.len() < ids.len(), "it froze in the middle: {}", before.len());
    tokio::time::sleep(LEASE).await;
    for (id, outcome) in cluster.outcomes(&ids).await {
        assert_eq!(outcome["status"], "SENT", "{id}: {outcome}");
    }
    let frozen = cluster.sandbox.sent().await;
    two.signal(Signal::SIGCONT);
    let went_on = now();
    eventually("it notices, and joins again", LONG, async || {
        let lines = two.log_lines();
        let there = |event: &str| lines.iter().any(|line| line["event"] == event);
        if there("egress.lease_lost") && there("egress.rejoining") { Ok(()) } else { Err(two.log()) }
    })
    .await;
    two.until_ready().await;
    let back = now() - went_on;
    println!("ready again {back:?} after it went on");
    // It stops what it had in hand, for which it has a share of SHUTDOWN_GRACE_MS, and looks back at outcomes; it
    // does not wait for its own lease to end.
    assert!(back < BACK_WITHIN, "{back:?}");
    // Its own, under the new lease.
    let new = vec![id("new", 1)];
    cluster
        .publisher
        .deliver("internal.egress.v1.two", &new[0], &chat_event(&new[0], "#hall", &new[0]))
        .await;
    let outcome = cluster.outcomes(&new).await;
    assert_eq!(outcome[&new[0]]["status"], "SENT", "{outcome:?}");
    assert_eq!(outcome[&new[0]]["attempts"][0]["instance"], "two", "{outcome:?}");

    let all = cluster.sandbox.sent().await;
    let later: Vec<&str> = all[frozen.len()..].iter().map(|said| said["text"].as_str().unwrap()).collect();
    assert_eq!(later, [new[0].as_str()], "it began nothing of what it had");
    let counts = times(&all);
    for id in &ids {
        let by: Vec<String> = all
            .iter()
            .filter(|said| said["text"] == **id)
            .map(|s| Relay::owner(&cluster.owners, s))
            .collect();
        // What it had handed over when it froze, and could not record.
        let is_matched = by == ["two", "one"] && *id == before[before.len() - 1]["text"].as_str().unwrap();
        assert!(counts[id] == 1 || is_matched, "{id} was said by {by:?}");
    }
}

#[tokio::test]
async fn two_instances_of_one_account_that_flood_a_channel_are_together_within_its_limit() {
    let mut cluster = Cluster::new().await;
    for name in ["one", "two"] {
        cluster.speaker_with(name, "hall", &[("TWITCH_MESSAGE_LIMIT", "by-role")]).await;
    }
    for name in ["one", "two"] {
        let running = &cluster.running[name];
        eventually("each knows that there are two", SHORT, async || {
            let (_, debug) = running.get("/_debug/twitch").await.ok_or("no answer")?;
            let found = &debug["snapshot"]["counters"]["accountInstances"];
            if *found == 2 { Ok(()) } else { Err(format!("{name}: {found}")) }
        })
        .await;
    }
    // The account's 20 in 30 s are refereed. The pace of one channel is not: two that begin at the same moment
    // cannot know of each other.
    cluster.sandbox.post("rules", json!({ "messages": true })).await;
    let mut ids = Vec::new();
    for n in 0..24 {
        let (name, id) = (["one", "two"][n % 2], id("flood", n));
        let mut event = chat_event(&id, "#hall", &id);
        event["metadata"] = json!({ "deadlineMs": 120_000 });
        cluster.publisher.deliver(&format!("internal.egress.v1.{name}"), &id, &event).await;
        ids.push(id);
    }
    let begun = now();
    for (id, outcome) in cluster.outcomes(&ids).await {
        assert_eq!(outcome["status"], "SENT", "{id}: {outcome}");
        let attempts = outcome["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 1, "{id} was refused: {outcome}");
    }
    println!("24 messages within {:?}", now() - begun);
    assert_eq!(times(&cluster.sandbox.sent().await).len(), 24);
}
