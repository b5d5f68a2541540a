//! Connections that break on all platforms at once, while people speak.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::rig::World;
use crate::harness::{LONG, Moments, eventually, now, scale};

/// Says something on each platform; the ids under which it has to be on the bus.
async fn speak(world: &World, n: u64) -> Vec<String> {
    let sandbox = &world.sandbox;
    let text = format!("line {n}");
    let twitch = sandbox.say("hall", &text).await;
    let discord =
        sandbox.post_to("discord/say", json!({ "login": "bea", "text": text, "channel": "general" })).await;
    let sms = sandbox
        .post_to("twilio/text", json!({ "from": "+15557777", "to": super::rig::NUMBER, "body": text }))
        .await;
    assert_eq!(sms["status"], 200, "a webhook is answered: {sms}");
    let id = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap().to_owned();
    vec![twitch, id(&discord, "id"), id(&sms, "sid")]
}

#[tokio::test]
async fn what_people_say_while_connections_break_is_on_the_bus_once() {
    let world = World::start().await;
    let moments = Moments::new();
    let until = now() + scale(Duration::from_secs(12), Duration::from_secs(600));
    let mut said = Vec::new();
    let mut n = 0;
    while now() < until {
        // Of the two transports of Twitch one is left alone each time: nothing replays what both missed.
        let faults = [
            ("twitch/drop", json!({ "reset": true })),
            ("discord/drop", json!({})),
            ("twitch-api/drop", json!({})),
            ("discord/reconnect", json!({})),
            ("twitch-api/reconnect", json!({ "grace_ms": 2_000 })),
            ("discord/drop", json!({})),
        ];
        for (path, body) in faults {
            world.sandbox.post_to(path, body).await;
            for _ in 0..6 {
                n += 1;
                said.extend(speak(&world, n).await);
                tokio::time::sleep(moments.between(10, 120)).await;
            }
            eventually("all platforms are connected again", LONG, async || {
                for platform in ["twitch", "discord"] {
                    let shown = world.running.get(&format!("/_debug/{platform}")).await.ok_or("no answer")?.1;
                    let snapshot = &shown["snapshot"];
                    let eventsub = &snapshot["counters"]["eventsubConnected"];
                    let is_half = platform == "twitch" && eventsub != 1;
                    if snapshot["state"] != "CONNECTED" || is_half {
                        return Err(snapshot.to_string());
                    }
                }
                world
                    .running
                    .get("/readyz")
                    .await
                    .filter(|ready| ready.0 == 200)
                    .map(drop)
                    .ok_or("not ready".into())
            })
            .await;
        }
    }
    let counted = eventually("all that was said is on the bus", LONG, async || {
        let mut counted = BTreeMap::<String, usize>::new();
        for record in world.running.records("internal.ingress.v1").await {
            if let Some(id) = record["event"]["message"]["id"].as_str() {
                *counted.entry(id.to_owned()).or_default() += 1;
            }
        }
        let missing: Vec<_> = said.iter().filter(|id| !counted.contains_key(*id)).collect();
        if missing.is_empty() { Ok(counted) } else { Err(format!("{} missing: {missing:?}", missing.len())) }
    })
    .await;
    let twice: Vec<_> = said.iter().filter(|id| counted[*id] != 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    println!("{} lines, each once", said.len());
}
