//! A server that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::check::{eventually, first, get, key, put, text, try_put, watch, within};
use super::harness::{HarnessExt, Outage};
use crate::{Expected, Space, State, StateError, StateErrorKind};

/// How long a call may take that nobody answers.
const SOON: Duration = Duration::from_secs(5);

/// No call hangs, each says that it failed, and once the server is back all works as before.
pub async fn in_an_outage_calls_fail_soon_and_all_works_again_after<H: Outage + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    let revision = put(state, Space::Tokens, "a", "before").await;
    harness.outage().await;
    let at = key("a");
    for space in Space::ALL {
        let value = Bytes::from_static(b"x");
        assert_fails("put", state.put(space, &at, value, Expected::Absent)).await;
        assert_fails("get", state.get(space, &at)).await;
        assert_fails("remove", state.remove(space, &at, Expected::Anything)).await;
        assert_fails("list", state.list(space, None)).await;
        assert_fails("watch", state.watch(space)).await;
    }
    wait_connected(state, false).await;
    harness.restore().await;
    wait_connected(state, true).await;
    let there = get(state, Space::Tokens, "a").await.expect("it was acknowledged");
    assert_eq!(there.revision, revision);
    for space in Space::ALL {
        let written = || async { try_put(state, space, "b", "after", Expected::Anything).await.ok() };
        eventually("writing works again", written).await;
        assert_eq!(text(state, space, "b").await.as_deref(), Some("after"));
    }
}

/// A watch does not outlive its connection, so that nobody believes in what may have changed.
pub async fn a_watch_ends_with_the_connection_and_begins_anew<H: Outage + ?Sized>(harness: &H) {
    let state = &harness.open().await;
    for round in 0..3 {
        let at = format!("k{round}");
        put(state, Space::Ledger, &at, "x").await;
        let mut changes = watch(state, Space::Ledger).await;
        assert_eq!(first(&mut changes).await.len(), round + 1);
        harness.outage().await;
        within("the end of the watch", async { while changes.next().await.is_some() {} }).await;
        harness.restore().await;
        wait_connected(state, true).await;
    }
}

async fn assert_fails<T>(what: &str, call: impl Future<Output = Result<T, StateError>>) {
    let answer = timeout(SOON, call).await;
    assert!(answer.is_ok(), "{what} took longer than {SOON:?}");
    let kind = answer.expect("it was looked at").err().map(|error| error.kind());
    let fits = matches!(kind, Some(StateErrorKind::Closed | StateErrorKind::Uncertain));
    assert!(fits, "{what} gave {kind:?}");
}

async fn wait_connected(state: &Arc<dyn State>, connected: bool) {
    let mut seen = state.connected();
    let changed = within("a change of connection", seen.wait_for(|now| *now == connected)).await;
    assert!(changed.is_ok(), "the state stopped telling whether it is connected");
}
