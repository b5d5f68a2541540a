//! What is kept, for how long, and what happens when there is no more room.

use chatbus_event::Topic;

use super::check::{
    QUIET, answer, declare, eventually, id_of, join, kept_ids, message, next, nothing_comes, put, settle,
    take, take_n, topic,
};
use super::harness::{Harness, HarnessExt, OpenOptions};
use crate::{BusErrorKind, Settlement};

/// The least the suite asks a driver to bound a family by.
const SMALL: u64 = 64 * 1024;

/// An egress topic is a queue: what is acknowledged is gone, what is not stays.
pub async fn an_acknowledged_egress_message_is_gone<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    for topic in [Topic::egress(), topic("internal.egress.v1.a"), topic("internal.api.egress.v1.a")] {
        let mut owner = join(&bus, &topic, "owner", 8).await;
        for id in ["first", "second", "third"] {
            put(&bus, &topic, id).await;
        }
        assert_eq!(take(&mut owner).await, "first");
        let retried = next(&mut owner).await;
        assert_eq!(id_of(&retried), "second");
        settle(retried, Settlement::Retry { after: std::time::Duration::from_secs(3600) }).await;
        eventually("the acknowledged one is gone", || async {
            (kept_ids(&bus, &topic).await == ["second", "third"]).then_some(())
        })
        .await;
        assert_eq!(take(&mut owner).await, "third");
        eventually("the acknowledged one is gone", || async {
            (kept_ids(&bus, &topic).await == ["second"]).then_some(())
        })
        .await;
    }
    bus.close().await;
}

/// Other topics are logs: settling removes nothing.
pub async fn an_acknowledged_message_of_a_log_is_kept<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    for topic in [Topic::ingress(), Topic::finalizer(), Topic::dead_letter()] {
        let mut member = join(&bus, &topic, "readers", 8).await;
        put(&bus, &topic, "m").await;
        assert_eq!(take(&mut member).await, "m");
        nothing_comes(&mut member, QUIET, "it is acknowledged").await;
        assert_eq!(kept_ids(&bus, &topic).await, ["m"]);
    }
    bus.close().await;
}

/// A full queue refuses, keeps all it has, and takes the same message once there is room.
pub async fn a_full_queue_refuses_and_takes_again_when_there_is_room<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open_as(OpenOptions { queue_bytes: SMALL, ..OpenOptions::default() }).await;
    let topic = Topic::egress();
    let mut stored = Vec::new();
    let mut refused = None;
    for i in 0..200 {
        let id = format!("m-{i:04}");
        match answer(bus.publish(&topic, message(&id, vec![b'x'; 1024]))).await {
            Ok(_) => stored.push(id),
            Err(error) => {
                assert_eq!(error.kind(), BusErrorKind::Full, "{error}");
                assert!(error.is_temporary());
                refused = Some(id);
                break;
            }
        }
    }
    let Some(refused) = refused else {
        return super::check::fail("a queue of 64 KiB took 200 KiB");
    };
    assert!(stored.len() > 10, "only {} KiB fit into 64", stored.len());
    assert_eq!(kept_ids(&bus, &topic).await, stored, "a full queue lost something");
    // Other families have room of their own.
    put(&bus, &Topic::ingress(), "elsewhere").await;

    let mut owner = join(&bus, &topic, "owner", 8).await;
    assert_eq!(take_n(&mut owner, 5).await, stored[..5]);
    let again = eventually("there is room again", || async {
        answer(bus.publish(&topic, message(&refused, "small"))).await.ok()
    })
    .await;
    assert!(!again.duplicate, "a refused message was remembered as stored");
    let mut rest = take_n(&mut owner, stored.len() - 4).await;
    assert_eq!(rest.pop(), Some(refused));
    assert_eq!(rest, stored[5..]);
    bus.close().await;
}

/// A log drops its oldest; what a group had not read by then is counted, and reading goes on behind it.
pub async fn what_retention_drops_unread_is_counted<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open_as(OpenOptions { retention_bytes: SMALL, ..OpenOptions::default() }).await;
    let topic = Topic::enriched();
    declare(&bus, &topic, "slow").await;
    let first = put(&bus, &topic, "first").await;
    let published = std::sync::atomic::AtomicU64::new(1);
    eventually("the oldest is dropped", || async {
        for _ in 0..20 {
            let n = published.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let id = format!("m-{n}");
            answer(bus.publish(&topic, message(&id, vec![b'x'; 1024])))
                .await
                .expect("a log takes everything");
        }
        bus.fetch(&topic, first.seq).await.expect("the bus reads").is_none().then_some(())
    })
    .await;
    put(&bus, &topic, "last").await;
    let published = published.into_inner() + 1;

    let mut member = join(&bus, &topic, "slow", 64).await;
    let mut received = 1;
    while take(&mut member).await != "last" {
        received += 1;
    }
    let lost = eventually("what was dropped unread is counted", || async {
        let lags = bus.lag().await.expect("the bus tells its lag");
        lags.into_iter().find(|lag| lag.group.as_str() == "slow" && lag.lost > 0).map(|lag| lag.lost)
    })
    .await;
    assert_eq!(received + lost, published, "{received} received and {lost} lost of {published}");
    bus.close().await;
}
