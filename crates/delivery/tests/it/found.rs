//! What the simulation found: each of these once lost an event, or said of it what was not so.

use chatbus_bus::{Group, Message, Subscription};
use chatbus_event::{Finalize, InstanceId, Status, Timestamp, Topic};
use serde_json::json;

use crate::nodes::Cluster;
use crate::world::event;

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_back_gets_its_topic_from_a_takeover_that_died_over_it() {
    let cluster = Cluster::new();
    let topic = Topic::egress_of(&InstanceId::parse("a").unwrap());
    let left_behind = Subscription::new(topic.clone(), Group::parse("takeover").unwrap());
    cluster.world.bus.declare(&[left_behind]).await.unwrap();
    let mut a = cluster.ingress("a", &["#one"]).await;
    let mut b = cluster.ingress("b", &["#two"]).await;
    a.runs().await;
    b.runs().await;
    cluster.world.publish(&topic, &[], event("#one", "hello", json!({}))).await;
    cluster.world.until_finalized(1).await;
    assert_eq!(cluster.world.one_outcome_each(1).await["hello"], "SENT");
    assert_eq!(a.sink.texts("#one"), ["hello"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_second_brings_no_dead_letter() {
    let cluster = Cluster::new();
    let world = &cluster.world;
    let mut a = cluster.ingress("a", &["#one"]).await;
    a.runs().await;
    let attributes = [("deliveryId", "d")];
    let nowhere = event("#none", "late", json!({ "metadata": { "deadlineMs": 3000 } }));
    world.publish(&Topic::egress(), &attributes, nowhere).await;
    // Another, who had it before, says only now that it was said.
    let said = Finalize {
        correlation_id: "late",
        delivery_id: "d",
        destination: "internal.egress.v1",
        delivered_at: Timestamp::EPOCH,
        status: Status::Sent,
        provider_message_id: None,
        error: None,
        attempts: &[],
        candidates: None,
        annotations: None,
        routing_slip: None,
        metadata: None,
        qos: None,
    };
    let outcome = Message::new(said.message_id(), said.attributes("another", None), said.body());
    world.bus.publish(&Topic::finalizer(), outcome).await.unwrap();
    world.until(std::time::Duration::from_secs(30), async || world.in_lane_of("a").await == 1).await;
    world.until(std::time::Duration::from_secs(30), async || world.in_lane_of("a").await == 0).await;
    assert_eq!(world.one_outcome_each(1).await["late"], "SENT");
}
