//! Servers that are not there yet, that die and come back, that freeze.

use std::collections::VecDeque;
use std::time::Duration;

use chatbus_bus::{Bus as _, BusErrorKind, Publish as _, Receipt};
use chatbus_bus_nats::NatsBus;
use chatbus_event::Topic;
use chatbus_testkit::NatsConfig as ServerConfig;
use chatbus_testkit::NatsServer;
use chatbus_testkit::test_runtime;

use crate::harness::{
    config, connected, disconnected, eventually, join, kept_ids, message, open, put, take, within,
};

#[tokio::test]
async fn a_bus_may_start_before_its_server() {
    let server = ServerConfig::default().prepare();
    let bus = NatsBus::connect(config(&server), test_runtime(1)).expect("the settings are right");
    let refused = within("a receipt", bus.publish(&Topic::ingress(), message("m"))).await.unwrap_err();
    assert_eq!(refused.kind(), BusErrorKind::Closed);
    assert!(!bus.status().borrow().connected && bus.status().borrow().reason.is_some());
    server.restart().await;
    connected(&*bus).await;
    put(&bus, &Topic::ingress(), "m").await;
    bus.close().await;
}

/// What ingress does: a window of receipts, and after a failure everything from the oldest on again,
/// with the same ids, before anything new.
async fn publish_through(bus: &NatsBus, topic: &Topic, count: usize, mut at: impl FnMut(usize)) -> usize {
    let mut pending: VecDeque<(usize, Receipt)> = VecDeque::new();
    let (mut next, mut breaks) = (0, 0);
    let mut pace = tokio::time::interval(Duration::from_millis(2));
    while next < count || !pending.is_empty() {
        tokio::select! {
            _ = pace.tick(), if next < count && pending.len() < 256 => {
                at(next);
                pending.push_back((next, bus.publish(topic, message(&format!("m-{next:05}")))));
                next += 1;
            }
            answer = async { (&mut pending.front_mut().expect("one is pending").1).await }, if !pending.is_empty() => {
                let (number, _) = pending.pop_front().expect("one is pending");
                if answer.is_err() {
                    breaks += 1;
                    pending.clear();
                    next = number;
                    within("the bus is back", connected(bus)).await;
                }
            }
        }
    }
    breaks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_doubles_and_reorders_nothing_of_what_is_resent() {
    let server = std::sync::Arc::new(NatsServer::start().await);
    let bus = open(config(&server)).await;
    let topic = Topic::ingress();
    let (kill, mut killed) = tokio::sync::mpsc::channel(4);
    let keeper = {
        let server = server.clone();
        async move {
            let mut kills = 0;
            while killed.recv().await.is_some() {
                server.kill();
                tokio::time::sleep(Duration::from_millis(700)).await;
                server.restart().await;
                kills += 1;
            }
            kills
        }
    };
    let mut asked = std::collections::BTreeSet::new();
    let publisher = async {
        let breaks = publish_through(&bus, &topic, 1500, |n| {
            if (n == 400 || n == 900) && asked.insert(n) {
                kill.try_send(()).expect("the keeper listens");
            }
        })
        .await;
        drop(kill);
        breaks
    };
    let (kills, breaks) = tokio::join!(keeper, publisher);
    assert_eq!(kills, 2, "the faults did not happen");
    assert!(breaks >= 2, "the faults were not felt");
    connected(&*bus).await;
    let expected: Vec<String> = (0..1500).map(|n| format!("m-{n:05}")).collect();
    assert_eq!(kept_ids(&*bus, &topic).await, expected);
    bus.close().await;
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_used_again_when_it_thaws() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let mut member = join(&bus, &Topic::ingress(), "readers", 8).await;
    freeze(&server).await;
    let stuck = bus.publish(&Topic::ingress(), message("stuck"));
    disconnected(&*bus).await;
    let failed = within("a receipt", stuck).await.unwrap_err();
    assert!(matches!(failed.kind(), BusErrorKind::Closed | BusErrorKind::Timeout), "{failed}");
    server.thaw();
    connected(&*bus).await;
    put(&bus, &Topic::ingress(), "stuck").await;
    put(&bus, &Topic::ingress(), "next").await;
    // The kernel may have held the first one's bytes for the server: it is there once in any case.
    assert_eq!(kept_ids(&*bus, &Topic::ingress()).await, ["stuck", "next"]);
    assert_eq!([take(&mut member).await, take(&mut member).await], ["stuck", "next"]);
    bus.close().await;
}

/// Freezes it and waits until the kernel says that it stands still.
pub(crate) async fn freeze(server: &NatsServer) {
    server.freeze();
    let status = format!("/proc/{}/stat", server.pid().expect("a running server"));
    eventually("the server stands still", || async {
        let status = std::fs::read_to_string(&status).ok()?;
        status.rsplit_once(") ")?.1.starts_with('T').then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_url_list_may_begin_with_a_dead_server() {
    let server = NatsServer::start().await;
    let dead = ServerConfig::default().prepare();
    let list = format!("{},{}", dead.url(), server.url());
    let bus = open(config(&server).with_urls(&list)).await;
    put(&bus, &Topic::ingress(), "m").await;
    bus.close().await;
}
