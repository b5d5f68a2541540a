//! Groups that are deleted under a member, as only this driver can be hit by it.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use chatbus_bus::{Bus as _, Group, Publish as _, Settlement, Waiting};
use chatbus_event::{Family, Topic};
use chatbus_testkit::NatsServer;

use crate::harness::{config, connected, eventually, join, kept_ids, message, next, open, put, take, within};

fn topic() -> Topic {
    Topic::parse("internal.egress.v1.a").expect("it works")
}

#[tokio::test]
async fn what_strangers_put_beside_our_topics_is_left_out_of_what_waits() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    put(&bus, &topic(), "ours").await;
    let stranger = async_nats::jetstream::new(async_nats::connect(server.url()).await.expect("it connects"));
    for subject in ["internal.egress.v1.b!", "internal.egress.v1.$x"] {
        let ack = stranger.publish(subject, "not ours".into()).await.expect("it publishes");
        ack.await.expect("it is stored");
    }
    let durable = pull::Config {
        durable_name: Some("strangers".into()),
        filter_subject: "internal.egress.v1.c".into(),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let stream = stranger.get_stream("chatbus-egress-of").await.expect("the stream is there");
    stream.create_consumer(durable).await.expect("a stranger's durable is made");
    let waiting = within("waiting", bus.waiting(Family::InstanceEgress)).await.expect("it is listed");
    assert_eq!(waiting, [Waiting { topic: topic(), messages: 1, groups: Vec::new() }]);
    bus.close().await;
}

#[tokio::test]
async fn what_a_member_had_not_read_yet_is_not_handed_out_once_its_group_was_deleted() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let mut owner = join(&bus, &topic(), "owner", 8).await;
    for id in ["a", "b", "c"] {
        put(&bus, &topic(), id).await;
    }
    eventually("all are on their way to the owner", || async {
        let lag = bus.lag().await.expect("the bus tells its lag");
        lag.iter().any(|lag| lag.in_flight == 3).then_some(())
    })
    .await;
    within("delete", bus.delete_group(&topic(), &Group::parse("owner").expect("it works")))
        .await
        .expect("it is deleted");
    let mut takeover = join(&bus, &topic(), "takeover", 8).await;
    let held = [next(&mut takeover).await, next(&mut takeover).await, next(&mut takeover).await];
    let came = tokio::time::timeout(Duration::from_millis(700), owner.next()).await;
    assert!(came.is_err(), "{came:?} came to a member of a deleted group");
    for delivery in held {
        within("settle", delivery.settle(Settlement::Ack)).await.expect("it is settled");
    }
    assert_eq!(kept_ids(&*bus, &topic()).await, Vec::<String>::new());
    bus.close().await;
}

/// A group that comes back with its server is the same one, and so is what is held of it.
#[tokio::test]
async fn what_is_held_over_a_restart_of_the_server_can_be_settled() {
    for topic in [topic(), Topic::parse("internal.lane.v1.a").expect("it works")] {
        let server = NatsServer::start().await;
        let bus = open(config(&server)).await;
        let mut owner = join(&bus, &topic, "owner", 8).await;
        put(&bus, &topic, "held").await;
        let held = next(&mut owner).await;
        server.kill();
        server.restart().await;
        connected(&*bus).await;
        eventually("publishing works again", || async { bus.publish(&topic, message("next")).await.ok() })
            .await;
        assert_eq!(take(&mut owner).await, "next");
        within("settle", held.settle(Settlement::Ack)).await.expect("it is settled");
        assert_eq!(kept_ids(&*bus, &topic).await, Vec::<String>::new());
        bus.close().await;
    }
}
