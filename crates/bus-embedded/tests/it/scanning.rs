//! Reading back several families at once.

use std::time::Duration;

use chatbus_bus::{Bus as _, Publish as _, Scan, ScanFrom, ScanTopics};
use chatbus_bus_embedded::EmbeddedConfig;
use chatbus_event::Topic;

use crate::harness::{message, open};

#[tokio::test]
async fn what_is_committed_between_two_records_of_another_family_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let bus = open(EmbeddedConfig::new(dir.path()));
    for id in ["a", "b"] {
        bus.publish(&Topic::ingress(), message(id, b"{}".to_vec())).await.unwrap();
    }
    let scan = Scan { topics: ScanTopics::All, from: ScanFrom::Oldest, follow: true };
    let mut records = bus.scan(scan).await.unwrap();
    let first = records.next().await.unwrap().unwrap();
    // The scan has found the finalizers empty by now, and holds one more record of ingress.
    bus.publish(&Topic::finalizer(), message("c", b"{}".to_vec())).await.unwrap();
    let mut seen = vec![first.message.id];
    for _ in 0..2 {
        let next = tokio::time::timeout(Duration::from_secs(10), records.next()).await;
        seen.push(next.expect("nothing is left unseen").unwrap().unwrap().message.id);
    }
    assert_eq!(seen.iter().map(chatbus_event::MessageId::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
    bus.close().await;
}
