//! Sources.

use bytes::Bytes;

use super::check::{orders, record};
use super::entries::{at, source};
use super::harness::Harness;
use crate::{Entry, SourceChange, SourceRow};

/// Each field for itself, in any order of the changes, in one call or in several.
pub async fn what_was_told_of_a_source_stays_until_something_newer_is_told<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    for (n, order) in orders(&[0, 1, 2, 3]).into_iter().enumerate() {
        for in_one_call in [true, false] {
            let id = format!("{n} {in_one_call}");
            let changes = [
                SourceChange {
                    status: Some("CONNECTED".into()),
                    display_name: Some("old".into()),
                    ..source(&id, 10)
                },
                SourceChange {
                    stream: Some("ONLINE".into()),
                    detail: Some(Bytes::from_static(b"\0\xff")),
                    ..source(&id, 20)
                },
                SourceChange {
                    status: Some("DISCONNECTED".into()),
                    display_name: Some("new".into()),
                    ..source(&id, 30)
                },
                source(&id, 40),
            ];
            let entries: Vec<_> = order.iter().map(|&n| Entry::Source(changes[n].clone())).collect();
            for call in entries.chunks(if in_one_call { 4 } else { 1 }) {
                record(store, call).await;
            }
            let rows = store.sources().await.expect("sources are listed");
            let row = rows.into_iter().find(|row| row.id == id);
            let wanted = SourceRow {
                platform: "p".into(),
                id,
                status: Some(("DISCONNECTED".into(), at(30))),
                stream: Some(("ONLINE".into(), at(20))),
                display_name: Some("new".into()),
                detail: Some(Bytes::from_static(b"\0\xff")),
            };
            assert_eq!(row, Some(wanted), "{order:?}");
        }
    }
    let bare = SourceChange { platform: "a".into(), ..source("z", 1) };
    // Of one moment the last that is told holds.
    let two = ["CONNECTING", "CONNECTED"]
        .map(|status| Entry::Source(SourceChange { status: Some(status.into()), ..source("same", 1) }));
    record(store, &[Entry::Source(bare)]).await;
    record(store, &two).await;
    let rows = store.sources().await.expect("sources are listed");
    assert_eq!((rows[0].platform.as_str(), rows[0].id.as_str()), ("a", "z"), "by platform and id");
    assert!(rows.is_sorted_by_key(|row| (row.platform.clone(), row.id.clone())));
    let same = rows.into_iter().find(|row| row.id == "same").expect("it is there");
    assert_eq!(same.status, Some(("CONNECTED".into(), at(1))));
}
