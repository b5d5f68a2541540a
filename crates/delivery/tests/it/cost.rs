//! What an event costs the others: nothing grows with the number of instances, and nobody stands behind a
//! crowd that waits.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_event::Timestamp;
use serde_json::json;

use crate::nodes::{Cluster, LEASE};
use crate::sink::FakeSink;
use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_generic_event_for_a_user_of_one_instance_costs_two_messages_however_many_there_are() {
    const EVENTS: usize = 20;
    let mut costs = BTreeMap::new();
    for instances in 1..=6 {
        let cluster = Cluster::new();
        let mut nodes = Vec::new();
        for n in 0..instances {
            let mut node = cluster.gateway(&format!("g{n}")).await;
            node.runs().await;
            nodes.push(node);
        }
        // The first dispatches, the user is at the last.
        let last = nodes.last().unwrap();
        last.connect("alice").await;
        let world = &cluster.world;
        world.until(LEASE, async || nodes.iter().all(|node| node.knows_or_has("alice"))).await;
        let before = cluster.published();
        for n in 0..EVENTS {
            let to = json!({ "egress": { "destination": "socket", "type": "chat" }, "userId": "alice" });
            world.say_with("", &format!("{n}"), to).await;
        }
        world.until_finalized(EVENTS).await;
        world.one_outcome_each(EVENTS).await;
        assert_eq!(last.sink.texts("@alice").len(), EVENTS);
        costs.insert(instances, cluster.published() - before);
    }
    // Its outcome, and where it is not said by who reads it, one message to who does.
    let expected: BTreeMap<usize, usize> =
        (1..=6).map(|n| (n, if n == 1 { EVENTS } else { 2 * EVENTS })).collect();
    assert_eq!(costs, expected);
}

#[tokio::test(start_paused = true)]
async fn nobody_stands_behind_twenty_thousand_for_users_that_are_offline_and_five_thousand_for_a_slow_channel()
 {
    let mut world = World::new();
    world.config.deadline = Duration::from_secs(3_600);
    world.config.limits.lane = 10_000;
    let gateway = FakeSink::new("socket", world.runtime.clock.clone());
    gateway.serves_nobody();
    world.also_serve(gateway);
    world.brook.limits("#slow", Duration::from_millis(500));
    let engine = world.running().await;
    let mut others = 0;
    for n in 0..25_000 {
        if n % 5 == 4 {
            world.say("#slow", &format!("slow {n}")).await;
        } else {
            let to = json!({ "egress": { "destination": "socket", "type": "chat" }, "userId": format!("user-{}", n % 400) });
            world.say_with("", &format!("offline {n}"), to).await;
        }
        if n % 100 == 0 {
            world.say(&format!("#c{}", n % 1_000), &format!("other {n}")).await;
            others += 1;
        }
    }
    world
        .until(Duration::from_secs(20), async || {
            world.brook.said().iter().filter(|said| said.text.starts_with("other")).count() == others
        })
        .await;
    world.until(Duration::from_secs(1), async || world.held_and_pending().await.0 <= 1).await;
    let mut late = Vec::new();
    for finalize in world.finalized().await {
        let text = finalize["correlationId"].as_str().unwrap();
        let delivered = Timestamp::parse(finalize["deliveredAt"].as_str().unwrap()).unwrap();
        if text.starts_with("other") {
            late.push((delivered.since(world.published_at(text)), text.to_owned()));
        }
    }
    late.sort();
    assert_eq!(late.len(), others);
    assert!(late.last().unwrap().0 < Duration::from_millis(50), "{:?}", late.last());
    engine.stop().await;
}
