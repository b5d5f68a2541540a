//! What outlives a store that was opened.

use super::check::{event, record, sight, user, within};
use super::entries::{at, facts, letter, message, received, source};
use super::harness::Harness;
use crate::{Account, Channel, Document, DocumentKind, Entry, SourceChange, TokenRow};

/// They have one id, and each sees what the other was answered.
pub async fn two_opens_of_one_database_are_one_store<H: Harness + ?Sized>(harness: &H) {
    let (one, other) = (harness.open().await, harness.open().await);
    assert!(!one.id().is_empty());
    assert_eq!(one.id(), other.id());
    assert_eq!(one.is_shared(), other.is_shared());
    for (n, (writer, reader)) in [(&one, &other), (&other, &one)].into_iter().enumerate() {
        let id = n.to_string();
        record(writer, &[received(&id, 1, facts("#c", "1", "x"))]).await;
        assert_eq!(event(reader, &id).await.1.len(), 1);
        sight(writer, &[message(&id, "1", 1)]).await;
        assert_eq!(user(reader, "p:1").await.messages, n as u64 + 1);
    }
    assert!(*one.connected().borrow() && *other.connected().borrow());
}

/// Of every repository; and the id is the same.
pub async fn what_was_answered_is_there_after_it_is_opened_again<H: Harness + ?Sized>(harness: &H) {
    let store = harness.open().await;
    let id = store.id().to_owned();
    let connected = SourceChange { status: Some("CONNECTED".into()), ..source("s", 1) };
    let entries =
        [received("e", 1, facts("#c", "1", "x")), Entry::Letter(letter("l", 1)), Entry::Source(connected)];
    record(&store, &entries).await;
    sight(&store, &[message("k", "1", 1)]).await;
    let channel = Channel { platform: "p".into(), name: "#c".into() };
    store.add_channel(&channel).await.expect("a channel is added");
    store.put_token(&TokenRow { hash: "h".into(), record: "r".into() }).await.expect("a token is written");
    let rule = Document { kind: DocumentKind::Rule, name: "r".into(), body: "{}".into(), updated_at: at(0) };
    store.put_document(&rule).await.expect("a document is written");
    let account = Account {
        platform: "p".into(),
        identity: "bot".into(),
        user_id: None,
        login: None,
        sealed: "x".into(),
        updated_at: at(0),
        version: 0,
    };
    store.put_account(&account).await.expect("an account is written");
    let before = (event(&store, "e").await, user(&store, "p:1").await);
    within("close", store.close()).await;
    drop(store);

    let store = harness.open().await;
    assert_eq!(store.id(), id);
    assert_eq!((event(&store, "e").await, user(&store, "p:1").await), before);
    assert!(sight(&store, &[message("k", "1", 1)]).await[0].is_repeated);
    assert_eq!(store.open_letters().await.expect("letters are counted"), (1, Some(at(1))));
    assert_eq!(
        store.sources().await.expect("sources are listed")[0].status,
        Some(("CONNECTED".into(), at(1)))
    );
    assert_eq!(store.channels().await.expect("channels are listed"), [channel]);
    assert_eq!(store.tokens().await.expect("tokens are listed").len(), 1);
    assert_eq!(store.documents(DocumentKind::Rule).await.expect("documents are listed"), [rule]);
    assert_eq!(store.accounts().await.expect("accounts are listed"), [Account { version: 1, ..account }]);
}
