//! The order of a conversation when the instance that had it is gone.

use std::time::Duration;

use chatbus_bus::ScanTopics;
use chatbus_event::{InstanceId, Topic};
use serde_json::json;

use crate::nodes::{Cluster, LEASE};
use crate::world::{World, event};

fn topic_of(name: &str) -> Topic {
    Topic::egress_of(&InstanceId::parse(name).unwrap())
}

fn patient(text: &str) -> String {
    event("#one", text, json!({ "metadata": { "deadlineMs": 900_000 } }))
}

async fn topic_holds(world: &World) -> usize {
    world.records(ScanTopics::One(topic_of("a"))).await.len()
}

#[tokio::test(start_paused = true)]
async fn what_stood_in_a_topic_and_in_the_lane_beside_it_is_taken_over_in_one_order() {
    let cluster = Cluster::new();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#one"]).await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    // So slow that it gives up its slots once: the first stay in its topic, those behind them wait in its lane,
    // and the last are in its topic again.
    a.sink.set_takes(Duration::from_secs(3600));
    let all: Vec<String> = (0..400).map(|n| format!("{n}")).collect();
    for text in &all[..350] {
        world.publish(&topic_of("a"), &[], patient(text)).await;
    }
    world.until(LEASE, async || world.in_lane_of("a").await > 200 && topic_holds(world).await < 120).await;
    assert!(topic_holds(world).await > 80, "it stands in both");
    a.kill().await;
    for text in &all[350..] {
        world.publish(&topic_of("a"), &[], patient(text)).await;
    }
    world.until_finalized(400).await;
    let outcomes = world.one_outcome_each(400).await;
    assert!(outcomes.values().all(|status| status == "SENT"), "{outcomes:?}");
    assert_eq!(b.sink.texts("#one"), all);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_over_comes_before_what_is_newer_and_still_waits() {
    let cluster = Cluster::new();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#one"]).await;
    a.runs().await;
    b.runs().await;
    let world = &cluster.world;
    a.kill().await;
    for n in 0..5 {
        world.publish(&topic_of("a"), &[], patient(&format!("old {n}"))).await;
    }
    b.sink.limits("#one", Duration::from_secs(30));
    for n in 0..5 {
        world.publish(&topic_of("b"), &[], patient(&format!("new {n}"))).await;
    }
    world.until_finalized(10).await;
    let said = b.sink.texts("#one");
    let expected = ["new 0", "old 0", "old 1", "old 2", "old 3", "old 4", "new 1", "new 2", "new 3", "new 4"];
    assert_eq!(said, expected);
}
