//! The gateway from outside: tokens by command, WebSocket clients, answers.

use std::time::Duration;

use chatbus_testkit::NatsServer;
use futures::join;
use serde_json::{Value, json};

use crate::harness::{
    Chatbus, Closed, LONG, Publisher, Running, SHORT, WsClient, eventually, nats_records, now,
    settled_records,
};

const PREFIX: &str = "dev.";
/// Not the default, so that a test can wait for it.
const DEADLINE: Duration = Duration::from_secs(14);

/// A gateway on some bus.
struct World {
    nats: Option<NatsServer>,
    chatbus: Chatbus,
    running: Running,
}

struct Token {
    secret: String,
    id: String,
}

// === impl World ===

impl World {
    async fn on_nats() -> Self {
        let nats = NatsServer::start().await;
        let chatbus = Chatbus::new().role("api-gateway").on_nats(&nats.url());
        Self::start(Some(nats), chatbus).await
    }

    /// One that says of each connection why it ends.
    async fn talkative() -> Self {
        let nats = NatsServer::start().await;
        let chatbus = Chatbus::new().role("api-gateway").on_nats(&nats.url()).with("LOG_LEVEL", "debug");
        Self::start(Some(nats), chatbus).await
    }

    async fn embedded() -> Self {
        Self::start(None, Chatbus::new()).await
    }

    async fn start(nats: Option<NatsServer>, chatbus: Chatbus) -> Self {
        let chatbus = chatbus
            .with("EGRESS_INSTANCE_ID", "gw-1")
            .with("BUS_PREFIX", PREFIX)
            .with("EGRESS_DEADLINE_MS", DEADLINE.as_millis().to_string());
        let running = chatbus.ready().await;
        Self { nats, chatbus, running }
    }

    async fn token(&self, user: &str) -> Token {
        let made = self.chatbus.run(&["token", "create", "--user", user, "--json"]).await;
        assert_eq!(made.code, Some(0), "{}{}", made.out, made.err);
        let made: Value = serde_json::from_str(&made.out).unwrap();
        assert_eq!((&made["user_id"], &made["expires_at"]), (&json!(user), &Value::Null));
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Token { secret: text("token"), id: text("id") }
    }

    async fn connect(&self, token: &Token) -> WsClient {
        // A token may be a moment old when it reaches whoever checks it.
        eventually("the token is known", SHORT, async || {
            WsClient::connect(&self.running.url, &token.secret).await.map_err(|closed| format!("{closed:?}"))
        })
        .await
    }

    async fn send(&self, user: &str, text: &str) -> String {
        eventually("it is acknowledged", SHORT, async || {
            self.running.send(&format!("websocket:{user}"), text).await
        })
        .await
    }

    /// How these deliveries ended: status and code of each outcome, in their order.
    async fn outcomes(&self, deliveries: &[String], within: Duration) -> Vec<(String, String)> {
        eventually("every outcome is there", within, async || {
            let all = self.running.records("internal.finalizer.v1").await;
            let of = |id: &String| {
                let found: Vec<&Value> =
                    all.iter().map(|r| &r["event"]).filter(|e| e["deliveryId"] == **id).collect();
                assert!(found.len() <= 1, "more than one outcome: {found:?}");
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                found.first().map(|e| (text(&e["status"]), text(&e["error"]["code"])))
            };
            deliveries.iter().map(of).collect::<Option<Vec<_>>>().ok_or_else(|| json!(all).to_string())
        })
        .await
    }
}

/// Says something, sees the event, is answered, and is sent away when its token is revoked.
async fn says_hears_and_is_revoked(world: World) {
    let (ada, other) = (world.token("twitch:1337").await, world.token("grace").await);
    let (mut program, mut bystander) = (world.connect(&ada).await, world.connect(&other).await);
    let mut browser = WsClient::from_browser(&world.running.url, &ada.secret).await.unwrap();
    assert_eq!(browser.protocol.as_deref(), Some("chatbus.v1"), "never the token");
    let ready = &program.ready["payload"];
    assert_eq!((&ready["user_id"], &ready["instance"]), (&json!("twitch:1337"), &json!("gw-1")));
    let stranger = WsClient::connect(&world.running.url, &"0".repeat(64)).await;
    assert_eq!(stranger.map(|_| ()), Err(Closed::Http(401)));

    program.say("m-1", "is anybody there?").await;
    let ack = program.soon().await;
    assert_eq!((&ack["type"], &ack["payload"]["id"]), (&json!("chat.ack"), &json!("m-1")), "{ack}");
    let records = world.running.records("internal.ingress.v1").await;
    assert_eq!(records.len(), 1, "acknowledged means on the bus, once: {records:?}");
    let event = &records[0]["event"];
    assert_eq!(event["correlationId"], ack["payload"]["correlationId"]);
    assert_eq!((&event["source"], &event["userId"]), (&json!("api-gateway"), &json!("twitch:1337")));
    assert_eq!(event["auth"]["provider"], "api-gateway");
    assert_eq!(event["egress"]["destination"], "internal.api.egress.v1.gw-1");
    assert_eq!(event["egressDestination"], "internal.api.egress.v1.gw-1");
    assert!(event["metadata"]["connectionId"].is_string(), "{event}");
    assert_eq!(event["message"]["text"], "is anybody there?");
    assert!(!records[0].to_string().contains("dev.internal"), "{event}");

    if let Some(nats) = &world.nats {
        let raw = nats_records(&nats.url(), "dev=chatbus-ingress").await;
        assert!(raw.iter().all(|record| record["subject"] == "dev.internal.ingress.v1"), "{raw:?}");
        // A bot that adds the prefix of its bus to what the event says, and answers there.
        let publisher = Publisher::connect(&nats.url()).await;
        let subject = format!("{PREFIX}{}", event["egress"]["destination"].as_str().unwrap());
        let mut answer = event.clone();
        answer["candidates"] = json!([{ "id": "c", "kind": "text", "source": "bot", "status": "proposed", "priority": 1,
            "createdAt": "2025-11-21T17:02:00.000Z", "text": "I am" }]);
        publisher.deliver(&subject, "answer-1", &answer).await;
        let frame = program.soon().await;
        assert_eq!(
            (&frame["payload"]["text"], &frame["metadata"]["source"]),
            (&json!("I am"), &json!("api-gateway"))
        );
        assert_eq!(frame["metadata"]["correlationId"], event["correlationId"]);
        assert_eq!(
            world.outcomes(&["answer-1".to_owned()], SHORT).await,
            [("SENT".to_owned(), String::new())]
        );
        // It was for the connection that asked.
        browser.silent(Duration::from_millis(300)).await;
    }

    let sent =
        world.chatbus.run(&["send", "--to", "websocket:twitch:1337", "--json", "from the command"]).await;
    assert_eq!(sent.code, Some(0), "{}{}", sent.out, sent.err);
    let answer: Value = serde_json::from_str(&sent.out).unwrap();
    assert_eq!(answer["outcome"]["status"], "SENT", "{answer}");
    assert_eq!(
        (program.text().await, browser.text().await),
        ("from the command".into(), "from the command".into())
    );

    let listed = world.chatbus.run(&["token", "list", "--json"]).await;
    let all: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(all.len(), 2, "{}", listed.out);
    assert!(
        !listed.out.contains(&ada.secret) && !world.running.log().contains(&ada.secret),
        "a secret is told"
    );
    let at = now();
    let revoked = world.chatbus.run(&["token", "revoke", &ada.id]).await;
    assert_eq!(revoked.code, Some(0), "{}{}", revoked.out, revoked.err);
    let (first, second) = join!(program.ended(), browser.ended());
    assert_eq!((first, second), (Closed::Code(4401), Closed::Code(4401)));
    assert!(now() - at < Duration::from_secs(5), "closed at once: {:?}", now() - at);
    let again = WsClient::connect(&world.running.url, &ada.secret).await;
    assert_eq!(again.map(|_| ()), Err(Closed::Http(401)));
    world.send("grace", "still here").await;
    assert_eq!(bystander.text().await, "still here");
}

#[tokio::test]
async fn a_user_says_something_and_is_answered_until_revoked_on_nats() {
    says_hears_and_is_revoked(World::on_nats().await).await;
}

#[tokio::test]
async fn a_user_says_something_and_is_answered_until_revoked_on_the_embedded_bus() {
    says_hears_and_is_revoked(World::embedded().await).await;
}

/// A bot's place on the bus goes with its token, and before that when the bot gives it up.
async fn leaves_no_group_behind(world: World) {
    let made = world.chatbus.run(&["token", "create", "--bot", "echo", "--json"]).await;
    let made: Value = serde_json::from_str(&made.out).unwrap();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let bot = Token { secret: text("token"), id: text("id") };
    let groups = async || {
        let (_, bus) = world.running.get("/_debug/bus").await.ok_or("no answer")?;
        let all = bus["groups"].as_array().unwrap().clone();
        let of_bot = |group: &Value| group["group"].as_str().unwrap().strip_prefix("bot-").map(str::to_owned);
        Ok::<Vec<String>, String>(all.iter().filter_map(of_bot).collect())
    };
    let until = async |wanted: &[String]| {
        eventually("the bus has these groups", SHORT, async || {
            let groups = groups().await?;
            if groups == wanted { Ok(()) } else { Err(format!("{groups:?}")) }
        })
        .await;
    };
    let mut client = world.connect(&bot).await;
    let named = |kind: &str, durable: &str| json!({ "type": kind, "payload": { "topic": "ingress", "durable": durable } });
    client.send(&named("subscribe", "main")).await;
    assert_eq!(client.soon().await["type"], "subscribed");
    until(&[format!("{}-main", bot.id)]).await;
    client.send(&named("unsubscribe", "main")).await;
    assert_eq!(client.soon().await["type"], "unsubscribed");
    until(&[]).await;
    client.send(&named("subscribe", "again")).await;
    assert_eq!(client.soon().await["type"], "subscribed");
    until(&[format!("{}-again", bot.id)]).await;
    let revoked = world.chatbus.run(&["token", "revoke", &bot.id]).await;
    assert_eq!(revoked.code, Some(0), "{}{}", revoked.out, revoked.err);
    assert_eq!(client.ended().await, Closed::Code(4401));
    until(&[]).await;
}

#[tokio::test]
async fn a_bot_leaves_no_group_behind_on_nats() {
    leaves_no_group_behind(World::on_nats().await).await;
}

#[tokio::test]
async fn a_bot_leaves_no_group_behind_on_the_embedded_bus() {
    leaves_no_group_behind(World::embedded().await).await;
}

/// Away for ten seconds, and then back; and one who does not come back.
async fn is_waited_for(world: World) {
    let (ada, texts) = (world.token("ada").await, ["one", "two", "three", "four", "five"]);
    drop(world.connect(&ada).await);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut deliveries, at) = (Vec::new(), now());
    for text in texts {
        deliveries.push(world.send("ada", text).await);
    }
    let never = world.send("never", "for nobody").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let early = world.running.records("internal.finalizer.v1").await;
    assert!(early.is_empty(), "waiting is no outcome: {early:?}");
    let mut client = world.connect(&ada).await;
    for text in texts {
        assert_eq!(client.text().await, text);
    }
    let sent = ("SENT".to_owned(), String::new());
    assert_eq!(world.outcomes(&deliveries, SHORT).await, vec![sent; texts.len()]);
    client.silent(Duration::from_millis(500)).await;

    let ended = world.outcomes(std::slice::from_ref(&never), SHORT).await;
    let waited = now() - at;
    assert_eq!(ended[0].0, "FAILED");
    assert!(waited >= DEADLINE - Duration::from_millis(100), "not before its deadline: {waited:?}");
    assert!(waited < DEADLINE + Duration::from_secs(3), "{waited:?}");
    let letters = eventually("there is a dead letter", SHORT, async || {
        let all = world.running.records("internal.deadletter.v1").await;
        if all.is_empty() { Err("none".to_owned()) } else { Ok(all) }
    })
    .await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["event"]["payload"]["reason"], "user_offline", "{letters:?}");
    assert_eq!(letters[0]["attributes"]["deliveryId"], never.as_str(), "{letters:?}");
}

#[tokio::test]
async fn a_user_who_is_away_is_waited_for_until_the_deadline_on_nats() {
    is_waited_for(World::on_nats().await).await;
}

#[tokio::test]
async fn a_user_who_is_away_is_waited_for_until_the_deadline_on_the_embedded_bus() {
    is_waited_for(World::embedded().await).await;
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// What is published for a client that reads nothing, and in what pieces.
const PIECES: usize = 2_000;
const PIECE_BYTES: usize = 16 * 1024;
/// What the gateway may grow by meanwhile: less than what was published, with what it makes of it.
const MAY_GROW: u64 = 48 * 1024 * 1024;
/// The same where nobody reads: each piece is dead-lettered as well, whole.
const MAY_GROW_UNREAD: u64 = 2 * MAY_GROW;

#[tokio::test]
async fn a_connection_that_reads_nothing_is_closed_with_4408_while_others_of_its_user_are_served() {
    a_deaf_connection_is_closed(true).await;
}

#[tokio::test]
async fn the_only_connection_of_a_user_that_reads_nothing_is_closed_with_4408_too() {
    a_deaf_connection_is_closed(false).await;
}

/// Whether its user has another connection, that reads.
async fn a_deaf_connection_is_closed(has_another: bool) {
    let world = World::talkative().await;
    let (token, ada) = (world.token("deaf").await, world.token("ada").await);
    let mut other = match has_another {
        true => Some(world.connect(&token).await),
        false => None,
    };
    let mut deaf = WsClient::with_little_room(&world.running.url, &token.secret).await.unwrap();
    let mut ada = world.connect(&ada).await;
    let publisher = Publisher::connect(&world.nats.as_ref().unwrap().url()).await;
    world.send("ada", "warm").await;
    assert_eq!(ada.text().await, "warm");
    let before = resident(world.running.pid);
    let flood = async {
        let piece = "x".repeat(PIECE_BYTES);
        for n in 0..PIECES {
            let event = json!({ "type": "chat.message.v1", "source": "test", "userId": "deaf", "correlationId": format!("deaf-{n}"),
                "egress": { "destination": "websocket" }, "payload": { "text": format!("{n} {piece}") } });
            publisher.deliver(&format!("{PREFIX}internal.egress.v1"), &format!("deaf-{n}"), &event).await;
        }
    };
    let others = async {
        let mut longest = Duration::ZERO;
        for n in 0..40 {
            let (text, at) = (format!("to ada {n}"), now());
            let event = json!({ "type": "chat.message.v1", "source": "test", "userId": "ada", "correlationId": text,
                "egress": { "destination": "websocket" }, "payload": { "text": text } });
            publisher.deliver(&format!("{PREFIX}internal.egress.v1"), &format!("ada-{n}"), &event).await;
            assert_eq!(ada.text().await, text);
            longest = longest.max(now() - at);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        longest
    };
    let end = async {
        eventually("it is found to be slow", LONG, async || {
            let lines = world.running.log_lines();
            let is_it =
                |line: &Value| line["event"] == "gateway.closing" && line["reason"] == "slow_consumer";
            if lines.iter().any(is_it) { Ok(()) } else { Err(format!("{} lines", lines.len())) }
        })
        .await;
        // It learns why when it reads at last.
        deaf.ended().await
    };
    let mut most = before;
    let reads = async {
        let Some(other) = &mut other else { return };
        for n in 0..PIECES {
            let text = other.text().await;
            assert!(text.starts_with(&format!("{n} ")), "in order, all: {n}");
        }
    };
    let watch = async {
        loop {
            most = most.max(resident(world.running.pid));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (longest, ended) = tokio::select! {
        (longest, (), ended, ()) = async { join!(others, flood, end, reads) } => (longest, ended),
        () = watch => unreachable!("it watches for ever"),
    };
    assert_eq!(ended, Closed::Code(4408));
    let grown = most.saturating_sub(before);
    println!("closed with 4408; others waited {longest:?} at most; {} KiB more in memory", grown / 1024);
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(grown < if has_another { MAY_GROW } else { MAY_GROW_UNREAD }, "{grown} bytes more");
    let rest = settled_records(&world.nats.as_ref().unwrap().url(), "dev=chatbus-finalizer", |records| {
        let of_deaf = records.iter().filter(|record| {
            record["event"]["correlationId"].as_str().is_some_and(|id| id.starts_with("deaf-"))
        });
        let n = of_deaf.count();
        if n == PIECES { Ok(()) } else { Err(format!("{n} of {PIECES}")) }
    })
    .await;
    let failed = rest.iter().filter(|record| record["event"]["status"] == "FAILED").count();
    if has_another {
        assert_eq!(failed, 0, "the other has them all");
    } else {
        assert!(failed > 0, "what it did not read is not SENT");
    }
}
