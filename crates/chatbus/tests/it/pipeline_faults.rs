//! Services that are killed, and a database that is away: nothing is lost, and nothing counted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chatbus_testkit::{NatsServer, Postgres};
use futures::join;
use serde_json::{Value, json};

use crate::harness::{
    Chatbus, LONG, Moments, Running, SHORT, SandboxProcess, eventually, nats_records, scale,
};

const CHANNELS: usize = 20;

const RULES: &str = r#"
rules:
  - id: answer
    priority: 1
    logic: { "!=": [ { "var": "metadata.self" }, true ] }
    enrichments:
      candidates:
        - text: "you said {{message.text}}"
"#;

/// One process for each role, on NATS and PostgreSQL.
struct World {
    sandbox: SandboxProcess,
    nats: NatsServer,
    postgres: Postgres,
    settings: Vec<Chatbus>,
    running: Vec<Running>,
}

const ROLES: [&str; 4] = ["ingress-egress", "auth", "event-router", "persistence"];

impl World {
    async fn start() -> Self {
        let (sandbox, nats, postgres) =
            (SandboxProcess::start().await, NatsServer::start().await, Postgres::start().await);
        sandbox.without_limits().await;
        let channels: Vec<String> = (0..CHANNELS).map(|n| format!("room{n}")).collect();
        let settings: Vec<Chatbus> = ROLES
            .into_iter()
            .map(|role| {
                let chatbus = Chatbus::new()
                    .role(role)
                    .reading(&sandbox.irc, &channels.join(","))
                    .speaking()
                    .on_nats(&nats.url())
                    .with("STORE_URL", postgres.url())
                    .with("EGRESS_INSTANCE_ID", role)
                    .with("TWITCH_MESSAGE_LIMIT", "off")
                    .with("TWITCH_JOIN_LIMIT", "verified")
                    .with("RULES_PATH", "rules.yaml");
                std::fs::write(chatbus.folder().join("rules.yaml"), RULES).unwrap();
                chatbus
            })
            .collect();
        let mut running = Vec::new();
        for chatbus in &settings {
            running.push(chatbus.ready().await);
        }
        for n in 0..CHANNELS {
            sandbox.joined(&format!("room{n}"), 1).await;
        }
        Self { sandbox, nats, postgres, settings, running }
    }

    /// Everything the store has, by correlation id.
    async fn events(&self) -> BTreeMap<String, Value> {
        let mut all = BTreeMap::new();
        loop {
            let path = format!("/api/v1/events?limit=1000&offset={}", all.len());
            let Some((200, rows)) = self.running[3].get(&path).await else { return all };
            let rows = rows.as_array().unwrap().clone();
            if rows.is_empty() {
                return all;
            }
            let before = all.len();
            for row in rows {
                all.insert(row["correlationId"].as_str().unwrap().to_owned(), row);
            }
            if all.len() == before {
                return all;
            }
        }
    }

    /// Everything that was read, and what the store has of it: once all of it ended with a whole timeline, and
    /// nothing more came meanwhile. What we say ourselves is read too, so it goes on for a while.
    async fn settled(&self) -> (Vec<Value>, BTreeMap<String, Value>) {
        eventually("every event ended", scale(LONG, 6 * LONG), async || {
            let ingress = nats_records(&self.nats.url(), "chatbus-ingress").await;
            let events = self.events().await;
            let is_over = |id: &String| {
                matches!(events.get(id).and_then(|row| row["status"].as_str()), Some("FINALIZED" | "ERROR"))
            };
            let ids = ids_of(&ingress);
            if let Some(open) = ids.iter().find(|id| !is_over(id)) {
                let known = events.get(open).map(ToString::to_string);
                return Err(format!("of {} events {open} has not ended: {known:?}", ids.len()));
            }
            // A few timelines, since each is a request.
            for id in ids.iter().step_by((ids.len() / 50).max(1)) {
                let (_, page) =
                    self.running[3].get(&format!("/api/v1/events/{id}")).await.ok_or("no answer")?;
                let steps = page["timeline"].as_array().ok_or("no timeline")?;
                let names: BTreeSet<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
                if let Some(missing) =
                    ["received", "enriched", "outcome"].iter().find(|n| !names.contains(*n))
                {
                    return Err(format!("{id} has no {missing}: {names:?}"));
                }
            }
            let again = nats_records(&self.nats.url(), "chatbus-ingress").await;
            if again.len() == ingress.len() { Ok((ingress, events)) } else { Err("more came".to_owned()) }
        })
        .await
    }

    /// Checks that all that is on the bus ended, once each, and was counted once.
    async fn all_is_well(&self) {
        let (ingress, events) = self.settled().await;
        let chats: Vec<&Value> =
            ingress.iter().filter(|record| record["event"]["type"] == "chat.message.v1").collect();
        let ids = ids_of(&ingress);
        let outcomes = nats_records(&self.nats.url(), "chatbus-finalizer").await;
        let mut deliveries = BTreeMap::<String, Vec<Value>>::new();
        for outcome in &outcomes {
            let id = outcome["event"]["deliveryId"].as_str().unwrap().to_owned();
            deliveries.entry(id).or_default().push(outcome["event"].clone());
        }
        let twice: Vec<_> = deliveries.iter().filter(|(_, outcomes)| outcomes.len() > 1).collect();
        assert!(twice.is_empty(), "deliveries with more than one outcome: {twice:?}");
        let failed: BTreeSet<&str> = outcomes
            .iter()
            .filter(|outcome| outcome["event"]["status"] == "FAILED")
            .map(|outcome| outcome["event"]["correlationId"].as_str().unwrap())
            .collect();
        for id in &ids {
            let is_error = events[id]["status"] == "ERROR";
            assert_eq!(is_error, failed.contains(id.as_str()), "{id}: {}", events[id]);
        }
        let (_, users) = self.running[3].get("/api/v1/users?limit=1000").await.unwrap();
        let counted: u64 =
            users.as_array().unwrap().iter().map(|user| user["messages"].as_u64().unwrap()).sum();
        let said: BTreeSet<&str> =
            chats.iter().map(|chat| chat["attributes"]["messageId"].as_str().unwrap()).collect();
        assert_eq!(counted, said.len() as u64, "messages are counted once each");
        println!(
            "{} events, {} outcomes, {} of them failed, {} users with {counted} messages",
            ids.len(),
            outcomes.len(),
            failed.len(),
            users.as_array().unwrap().len()
        );
    }

    /// Viewers say so many lines at this rate, in all channels; they wait while nobody is there to hear them.
    async fn chat(&self, lines: u64, rate: u64) {
        let (each, rate) = (lines / CHANNELS as u64, (rate / CHANNELS as u64).max(1));
        let floods = (0..CHANNELS).map(|n| {
            let channel = format!("room{n}");
            async move {
                let mut left = each;
                while left > 0 {
                    self.sandbox.joined(&channel, 1).await;
                    let asked = json!({ "channel": channel, "count": left, "rate": rate });
                    let report = self.sandbox.post("flood", asked).await;
                    left = left.saturating_sub(report["sent"].as_u64().unwrap());
                }
            }
        });
        futures::future::join_all(floods).await;
    }
}

fn ids_of(ingress: &[Value]) -> BTreeSet<String> {
    let id = |record: &Value| record["event"]["correlationId"].as_str().unwrap().to_owned();
    ingress.iter().map(id).collect()
}

#[tokio::test]
async fn services_that_are_killed_at_random_lose_nothing_and_count_nothing_twice() {
    let mut world = World::start().await;
    let (lines, rate) = (scale(2_000, 50_000), scale(200, 500));
    let moments = Moments::new();
    let kills = scale(8_u32, 100);
    let mut running = std::mem::take(&mut world.running);
    let faults = async {
        let mut killed = BTreeMap::<&str, u32>::new();
        for n in 0..kills {
            tokio::time::sleep(moments.between(300, 1_200)).await;
            // Each in its turn, at any moment.
            let at = n as usize % ROLES.len();
            running[at].kill().await;
            *killed.entry(ROLES[at]).or_default() += 1;
            running[at] = world.settings[at].ready().await;
        }
        (running, killed)
    };
    let ((running, killed), ()) = join!(faults, world.chat(lines, rate));
    world.running = running;
    println!("killed: {killed:?}");
    assert_eq!(killed.values().sum::<u32>(), kills);
    world.all_is_well().await;
}

#[tokio::test]
async fn a_database_that_is_away_loses_nothing_and_readiness_names_it() {
    let world = World::start().await;
    let away = Duration::from_secs(scale(4, 30));
    let (lines, rate) = (scale(1_000, 10_000), 200);
    let outage = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.postgres.stop();
        eventually("readiness names the store", SHORT, async || {
            match world.running[3].get("/readyz").await {
                Some((503, said)) if said["waitingFor"].to_string().contains("store") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        tokio::time::sleep(away).await;
        world.postgres.restart().await;
        world.running[3].until_ready().await;
    };
    join!(outage, world.chat(lines, rate));
    world.all_is_well().await;
}

#[tokio::test]
async fn a_second_store_on_one_bus_is_refused_and_the_setting_is_named() {
    let nats = NatsServer::start().await;
    let one = Chatbus::new().role("persistence").on_nats(&nats.url()).with("EGRESS_INSTANCE_ID", "one");
    let _running = one.ready().await;
    let other = Chatbus::new().on_nats(&nats.url()).with("EGRESS_INSTANCE_ID", "two");
    let refused = eventually("the other store is seen", SHORT, async || {
        let done = other.run(&["serve", "persistence"]).await;
        if done.code == Some(2) { Ok(done) } else { Err(format!("{:?}: {}", done.code, done.err)) }
    })
    .await;
    assert!(refused.err.contains("STORE_URL"), "{}", refused.err);
}
