//! Reading back without a group.

use std::sync::Arc;
use std::time::Duration;

use chatbus_event::{Family, Topic};

use super::check::{
    QUIET, eventually, ids, join, kept, kept_ids, nothing_comes, put, put_many, take, topic, within,
};
use super::harness::{Harness, HarnessExt};
use crate::{Bus, Records, Scan, ScanFrom, ScanTopics};

/// A scan begins where it is told and ends at what was there.
pub async fn a_scan_begins_where_it_is_told<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let clock = harness.runtime().clock;
    let topic = Topic::finalizer();
    let one = || ScanTopics::One(topic.clone());
    assert_eq!(kept_ids(&bus, &topic).await, Vec::<String>::new());
    for id in ["first", "second", "third"] {
        put(&bus, &topic, id).await;
        let published = kept(&bus, one(), ScanFrom::Last(1)).await[0].published_at;
        eventually("time passes", || async {
            (clock.now() > published.plus(Duration::from_millis(10))).then_some(())
        })
        .await;
    }
    let all = kept(&bus, one(), ScanFrom::Oldest).await;
    assert_eq!(ids(&all), ["first", "second", "third"]);
    let from_second = kept(&bus, one(), ScanFrom::Time(all[1].published_at)).await;
    assert_eq!(ids(&from_second), ["second", "third"]);
    let later = all[2].published_at.plus(Duration::from_secs(60));
    assert!(kept(&bus, one(), ScanFrom::Time(later)).await.is_empty());
    assert_eq!(ids(&kept(&bus, one(), ScanFrom::Last(2)).await), ["second", "third"]);
    assert_eq!(ids(&kept(&bus, one(), ScanFrom::Last(9)).await), ["first", "second", "third"]);
    assert!(kept(&bus, one(), ScanFrom::New).await.is_empty());

    let scan = Scan { topics: one(), from: ScanFrom::Oldest, follow: false };
    let mut begun = within("scan", bus.scan(scan)).await.expect("the bus scans");
    put(&bus, &topic, "after-the-call").await;
    for id in ["first", "second", "third"] {
        assert_eq!(record(&mut begun).await, id);
    }
    assert!(within("the end", begun.next()).await.is_none(), "it goes on behind what was there at the call");
    bus.close().await;
}

/// A scan of a family reads all its topics in order, one of everything reads every family, and neither settles.
pub async fn a_scan_reads_families_and_settles_nothing<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let (a, b) = (topic("internal.egress.v1.a"), topic("internal.egress.v1.b"));
    let mut owner = join(&bus, &a, "owner", 8).await;
    put(&bus, &a, "a-1").await;
    put(&bus, &b, "b-1").await;
    put(&bus, &a, "a-2").await;
    put(&bus, &Topic::egress(), "generic").await;
    put(&bus, &Topic::ingress(), "in").await;
    let family = kept(&bus, ScanTopics::Family(Family::InstanceEgress), ScanFrom::Oldest).await;
    assert_eq!(ids(&family), ["a-1", "b-1", "a-2"]);
    assert_eq!(family.iter().map(|r| r.topic.clone()).collect::<Vec<_>>(), [a.clone(), b.clone(), a.clone()]);
    assert_eq!(kept_ids(&bus, &b).await, ["b-1"]);
    let mut all = ids(&kept(&bus, ScanTopics::All, ScanFrom::Oldest).await);
    all.sort();
    assert_eq!(all, ["a-1", "a-2", "b-1", "generic", "in"]);
    assert_eq!(take(&mut owner).await, "a-1");
    assert_eq!(take(&mut owner).await, "a-2");
    bus.close().await;
}

/// A scan that follows goes on with what is published later, on every topic it reads.
pub async fn a_following_scan_goes_on_with_what_comes<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::finalizer();
    put(&bus, &topic, "old").await;
    let mut from_old = scan(&bus, ScanTopics::One(topic.clone()), ScanFrom::Oldest).await;
    let mut from_new = scan(&bus, ScanTopics::One(topic.clone()), ScanFrom::New).await;
    let mut of_all = scan(&bus, ScanTopics::All, ScanFrom::New).await;
    assert_eq!(record(&mut from_old).await, "old");
    let sent = put_many(&bus, &topic, "new", 100).await;
    put(&bus, &Topic::ingress(), "elsewhere").await;
    for id in &sent {
        assert_eq!(record(&mut from_old).await, *id);
        assert_eq!(record(&mut from_new).await, *id);
    }
    let mut everything = Vec::new();
    for _ in 0..=100 {
        everything.push(record(&mut of_all).await);
    }
    everything.sort();
    assert_eq!(everything[0], "elsewhere");
    assert_eq!(everything[1..], sent);
    bus.close().await;
}

/// One message can be read and removed by its place, on its own topic only.
pub async fn one_message_can_be_fetched_and_removed<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let (lane, other) = (topic("internal.lane.v1.a"), topic("internal.lane.v1.b"));
    let first = put(&bus, &lane, "first").await;
    let second = put(&bus, &lane, "second").await;
    let third = put(&bus, &lane, "third").await;
    let fetched = bus.fetch(&lane, second.seq).await.expect("the bus reads").expect("it is kept");
    assert_eq!((fetched.message.id.as_str(), fetched.seq, &fetched.topic), ("second", second.seq, &lane));
    assert_eq!(fetched.message.body, "second");
    assert_eq!(bus.fetch(&other, second.seq).await.expect("the bus reads"), None, "it is of another topic");
    bus.remove(&other, second.seq).await.expect("removing what is not there is no error");
    assert_eq!(kept_ids(&bus, &lane).await, ["first", "second", "third"]);

    bus.remove(&lane, second.seq).await.expect("the bus removes");
    bus.remove(&lane, second.seq).await.expect("removing what is gone is no error");
    bus.remove(&lane, third.seq + 1000).await.expect("removing what never was is no error");
    assert_eq!(bus.fetch(&lane, second.seq).await.expect("the bus reads"), None);
    assert_eq!(bus.fetch(&lane, first.seq).await.expect("the bus reads").map(|r| r.seq), Some(first.seq));
    assert_eq!(kept_ids(&bus, &lane).await, ["first", "third"]);
    let mut owner = join(&bus, &lane, "owner", 8).await;
    assert_eq!([take(&mut owner).await, take(&mut owner).await], ["first", "third"]);
    nothing_comes(&mut owner, QUIET, "the second was removed").await;
    bus.close().await;
}

async fn scan(bus: &Arc<dyn Bus>, topics: ScanTopics, from: ScanFrom) -> Box<dyn Records> {
    within("scan", bus.scan(Scan { topics, from, follow: true })).await.expect("the bus scans")
}

async fn record(records: &mut Box<dyn Records>) -> String {
    let record = within("a record", records.next()).await.expect("the scan goes on").expect("it reads");
    record.message.id.to_string()
}
