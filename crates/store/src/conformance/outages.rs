//! A database that goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::check::{event, eventually, record, sight, user, within};
use super::entries::{at, facts, letter, message, received};
use super::harness::Outage;
use crate::{
    Account, Channel, DeadLetterFilter, Document, DocumentKind, Entry, EventFilter, LetterState, Page, Store,
    StoreError, StoreErrorKind, TokenRow, UserChange, UserFilter,
};

/// How long a call may take that nobody answers: the driver's bound of five seconds, and a busy machine's.
const SOON: Duration = Duration::from_secs(7);

/// No call hangs, each says that it may work later, and once the database is back all is as it was.
pub async fn in_an_outage_calls_fail_soon_and_all_works_again_after<H: Outage + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    record(store, &[received("e", 1, facts("#c", "1", "x")), Entry::Letter(letter("l", 1))]).await;
    sight(store, &[message("before", "1", 1)]).await;
    for round in 0..2 {
        harness.outage().await;
        wait_connected(store, false).await;
        all_calls_fail(store).await;
        harness.restore().await;
        wait_connected(store, true).await;
        let write = || async { store.sight(&[message(&format!("after {round}"), "1", 2)]).await.ok() };
        eventually("writing works again", write).await;
        assert_eq!(user(store, "p:1").await.messages, 2 + round, "what failed was not counted");
        assert_eq!(event(store, "e").await.1.len(), 1);
        assert_eq!(store.open_letters().await.expect("letters are counted"), (1, Some(at(1))));
    }
}

async fn all_calls_fail(store: &Arc<dyn Store>) {
    let page = Page::default();
    let rule = Document { kind: DocumentKind::Rule, name: "r".into(), body: "{}".into(), updated_at: at(0) };
    let account = Account {
        platform: "p".into(),
        identity: "bot".into(),
        user_id: None,
        login: None,
        sealed: "x".into(),
        updated_at: at(0),
        version: 0,
    };
    let channel = Channel { platform: "p".into(), name: "#c".into() };
    let token = TokenRow { hash: "h".into(), record: "r".into() };
    let entries = [received("e", 1, facts("#c", "1", "x"))];
    let sightings = [message("k", "1", 1)];
    let (events, letters, users) =
        (EventFilter::default(), DeadLetterFilter::default(), UserFilter::default());
    let change = UserChange::default();
    // Side by side: each waits for as long as it takes to be sure.
    tokio::join!(
        fails("record", store.record(&entries)),
        fails("event", store.event("e")),
        fails("events", store.events(&events, &page)),
        fails("letters", store.letters(&letters, &page)),
        fails("open_letters", store.open_letters()),
        fails("begin_replay", store.begin_replay("l")),
        fails("settle_letter", store.settle_letter("l", LetterState::Discarded)),
        fails("sight", store.sight(&sightings)),
        fails("user", store.user("p:1")),
        fails("users", store.users(&users, &page)),
        fails("change_user", store.change_user("p:1", &change)),
        fails("sweep", store.sweep(at(0), 1)),
    );
    tokio::join!(
        fails("put_token", store.put_token(&token)),
        fails("tokens", store.tokens()),
        fails("remove_token", store.remove_token("h")),
        fails("accounts", store.accounts()),
        fails("put_account", store.put_account(&account)),
        fails("remove_account", store.remove_account("p", "bot")),
        fails("documents_version", store.documents_version(DocumentKind::Rule)),
        fails("documents", store.documents(DocumentKind::Rule)),
        fails("put_document", store.put_document(&rule)),
        fails("remove_document", store.remove_document(DocumentKind::Rule, "r")),
        fails("sources", store.sources()),
        fails("channels", store.channels()),
        fails("add_channel", store.add_channel(&channel)),
        fails("remove_channel", store.remove_channel(&channel)),
    );
}

async fn fails<T>(what: &str, call: impl Future<Output = Result<T, StoreError>>) {
    let answer = timeout(SOON, call).await;
    assert!(answer.is_ok(), "{what} took longer than {SOON:?}");
    let kind = answer.expect("it was looked at").err().map(|error| error.kind());
    assert_eq!(kind, Some(StoreErrorKind::Unavailable), "{what}");
}

async fn wait_connected(store: &Arc<dyn Store>, connected: bool) {
    let mut seen = store.connected();
    let changed = within("a change of connection", seen.wait_for(|now| *now == connected)).await;
    assert!(changed.is_ok(), "the store stopped telling whether it is connected");
}
