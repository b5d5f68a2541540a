//! What only a disk can do: be full, be in use, hold things for too long.

use std::collections::BTreeSet;
use std::time::Duration;

use chatbus_bus::{
    Bus, BusErrorKind, Group, Publish as _, Scan, ScanFrom, ScanTopics, Settlement, Subscription,
};
use chatbus_bus_embedded::{EmbeddedBus, EmbeddedConfig};
use chatbus_event::Topic;

use crate::harness::{message, open};

async fn kept(bus: &EmbeddedBus, topic: &Topic) -> Vec<String> {
    let scan = Scan { topics: ScanTopics::One(topic.clone()), from: ScanFrom::Oldest, follow: false };
    let mut records = bus.scan(scan).await.unwrap();
    let mut ids = Vec::new();
    while let Some(record) = records.next().await {
        ids.push(record.unwrap().message.id.to_string());
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_publishing_says_full_loses_nothing_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(dir.path());
    config.max_pages = Some(500);
    let bus = open(config);
    let topic = Topic::egress();
    let subscription = Subscription::new(topic.clone(), Group::parse("owner").unwrap()).max_in_flight(2000);
    let mut owner = bus.subscribe(subscription).await.unwrap();
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    // Many at a time, so that a group that fails holds several.
    for round in 0..200 {
        let receipts: Vec<_> = (0..20)
            .map(|n| format!("{round}-{n}"))
            .map(|id| (bus.publish(&topic, message(&id, vec![b'x'; 1000])), id))
            .collect();
        for (receipt, id) in receipts {
            match receipt.await {
                Ok(_) => stored.push(id),
                Err(error) => {
                    assert_eq!(error.kind(), BusErrorKind::Full, "{error}");
                    refused.push(id);
                }
            }
        }
        if refused.len() > 100 {
            break;
        }
    }
    assert!(stored.len() > 300 && refused.len() > 100, "{} stored, {} refused", stored.len(), refused.len());
    let status = bus.status().borrow().clone();
    assert!(!status.connected && status.reason.is_some_and(|why| why.contains("full")));
    assert_eq!(kept(&bus, &topic).await, stored, "half of a group is there, or something is lost");

    let mut settled = Vec::new();
    for _ in 0..200 {
        let delivery = owner.next().await.unwrap();
        settled.push(delivery.record().message.id.to_string());
        delivery.settle(Settlement::Ack).await.unwrap();
    }
    assert_eq!(settled, stored[..200]);
    // None of the refused ones is remembered as stored.
    for id in &refused[..100] {
        let again = bus.publish(&topic, message(id, vec![b'x'; 1000])).await.unwrap();
        assert!(!again.duplicate, "{id}");
    }
    assert!(bus.status().borrow().connected);
    let expected: BTreeSet<_> = stored[200..].iter().chain(&refused[..100]).cloned().collect();
    assert_eq!(kept(&bus, &topic).await.into_iter().collect::<BTreeSet<_>>(), expected);
    bus.close().await;
}

#[tokio::test]
async fn what_is_too_old_goes_though_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(dir.path());
    config.retention = Duration::from_millis(300);
    let bus = open(config);
    let (log, queue) = (Topic::ingress(), Topic::egress());
    let idle = Subscription::new(log.clone(), Group::parse("idle").unwrap());
    bus.declare(&[idle]).await.unwrap();
    // More than one commit removes.
    for n in 0..200 {
        bus.publish(&log, message(&n.to_string(), vec![0])).await.unwrap();
    }
    bus.publish(&queue, message("waits", vec![0])).await.unwrap();
    let mut left = usize::MAX;
    for _ in 0..1000 {
        left = kept(&bus, &log).await.len();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(left, 0);
    assert_eq!(kept(&bus, &queue).await, ["waits"], "a queue holds what is not settled");
    let lag = bus.lag().await.unwrap().remove(0);
    assert_eq!((lag.pending, lag.lost, lag.oldest), (0, 200, None));
    bus.close().await;
}

#[tokio::test]
async fn what_waits_for_the_writer_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = EmbeddedConfig::new(dir.path());
    config.backlog_bytes = 64 * 1024;
    let bus = open(config);
    let receipts: Vec<_> =
        (0..2000).map(|n| bus.publish(&Topic::ingress(), message(&n.to_string(), vec![0; 10_000]))).collect();
    let (mut stored, mut full) = (0_u64, 0);
    for receipt in receipts {
        match receipt.await {
            Ok(_) => stored += 1,
            Err(error) => {
                assert_eq!(error.kind(), BusErrorKind::Full, "{error}");
                full += 1;
            }
        }
    }
    assert!(full > 0 && stored > 0, "{stored} stored, {full} refused");
    assert_eq!(kept(&bus, &Topic::ingress()).await.len() as u64, stored);
    bus.close().await;
}

#[tokio::test]
async fn counts_and_rows_are_right_when_settled_out_of_order_over_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    let topic = Topic::ingress();
    let subscription = || Subscription::new(topic.clone(), Group::parse("g").unwrap()).max_in_flight(50);
    let mut member = bus.subscribe(subscription()).await.unwrap();
    let mut held = Vec::new();
    for n in 0..20 {
        bus.publish(&topic, message(&n.to_string(), vec![0])).await.unwrap();
        held.push(member.next().await.unwrap());
    }
    // All even ones, the last first.
    let mut kept_back = Vec::new();
    for delivery in held.into_iter().rev() {
        if delivery.record().message.id.as_str().parse::<u32>().unwrap() % 2 == 0 {
            delivery.settle(Settlement::Ack).await.unwrap();
        } else {
            kept_back.push(delivery);
        }
    }
    assert_eq!(bus.lag().await.unwrap()[0].pending, 10);
    bus.kill().await;
    drop((kept_back, member, bus));

    let bus = open(EmbeddedConfig::new(dir.path()));
    assert_eq!(bus.lag().await.unwrap()[0].pending, 10);
    let mut member = bus.subscribe(subscription()).await.unwrap();
    for n in (1..20).step_by(2) {
        let delivery = member.next().await.unwrap();
        assert_eq!(delivery.record().message.id.as_str(), n.to_string());
        assert_eq!((delivery.failures(), delivery.deliveries()), (0, 2));
        delivery.settle(Settlement::Ack).await.unwrap();
    }
    let lag = bus.lag().await.unwrap().remove(0);
    assert_eq!((lag.pending, lag.in_flight, lag.oldest), (0, 0, None));
    bus.close().await;
}
