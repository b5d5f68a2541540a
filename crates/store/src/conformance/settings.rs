//! What people and programs set.

use std::sync::Arc;

use bytes::Bytes;

use super::check::at_once;
use super::entries::at;
use super::harness::Harness;
use crate::{Account, Channel, Document, DocumentKind, StoreErrorKind, TokenRow};

/// By hash; one with the same hash takes the place of the other.
pub async fn tokens_are_written_listed_and_removed<H: Harness + ?Sized>(harness: &H) {
    let (store, other) = (harness.open().await, harness.open().await);
    let token = |hash: &str, record: &'static [u8]| TokenRow {
        hash: hash.into(),
        record: Bytes::from_static(record),
    };
    for token in [token("bb", b"\0\xff"), token("aa", b"1"), token("aa", b"2")] {
        store.put_token(&token).await.expect("a token is written");
    }
    let there = other.tokens().await.expect("tokens are listed");
    assert_eq!(there, [token("aa", b"2"), token("bb", b"\0\xff")]);
    assert!(other.remove_token("aa").await.expect("it is removed"));
    assert!(!store.remove_token("aa").await.expect("it is gone"));
    assert_eq!(store.tokens().await.expect("tokens are listed"), [token("bb", b"\0\xff")]);
}

fn account(identity: &str, version: u64, sealed: &str) -> Account {
    Account {
        platform: "p".into(),
        identity: identity.to_owned(),
        user_id: None,
        login: Some("bot".into()),
        sealed: Bytes::copy_from_slice(sealed.as_bytes()),
        updated_at: at(0),
        version,
    }
}

/// 0 where there is none; each write counts one up.
pub async fn an_account_is_written_only_over_the_version_that_is_known<H: Harness + ?Sized>(harness: &H) {
    let (store, other) = (harness.open().await, harness.open().await);
    let fails =
        async |account: &Account| store.put_account(account).await.expect_err("another stands there").kind();
    assert_eq!(fails(&account("bot", 3, "x")).await, StoreErrorKind::Conflict, "there is none");
    assert_eq!(store.put_account(&account("bot", 0, "1")).await.expect("there is none"), 1);
    assert_eq!(fails(&account("bot", 0, "x")).await, StoreErrorKind::Conflict);
    let second = Account { user_id: Some("7".into()), login: None, ..account("bot", 1, "\0") };
    assert_eq!(other.put_account(&second).await.expect("that is the version"), 2);
    assert_eq!(fails(&account("bot", 1, "x")).await, StoreErrorKind::Conflict);
    assert_eq!(store.put_account(&account("a", 0, "a")).await.expect("there is none"), 1);
    let there = store.accounts().await.expect("accounts are listed");
    assert_eq!(there, [account("a", 1, "a"), Account { version: 2, ..second }], "by platform and identity");
    assert!(store.remove_account("p", "bot").await.expect("it is removed"));
    assert!(!store.remove_account("p", "bot").await.expect("it is gone"));
    assert!(!store.remove_account("q", "a").await.expect("there is none"));
    assert_eq!(fails(&account("bot", 2, "x")).await, StoreErrorKind::Conflict, "it was removed");
    assert_eq!(store.put_account(&account("bot", 0, "1")).await.expect("there is none"), 1);
}

/// From the first write on.
pub async fn of_writers_of_an_account_at_one_moment_one_wins<H: Harness + ?Sized>(harness: &H) {
    let stores = [harness.open().await, harness.open().await];
    for version in 0..4 {
        let written = at_once(harness, 8, |n| {
            let (store, mine) = (Arc::clone(&stores[n % 2]), account("bot", version, &n.to_string()));
            async move { (store.put_account(&mine).await, mine.sealed) }
        })
        .await;
        let mut winners = Vec::new();
        for (answer, sealed) in written {
            match answer {
                Ok(new) => {
                    assert_eq!(new, version + 1);
                    winners.push(sealed);
                }
                Err(lost) => assert_eq!(lost.kind(), StoreErrorKind::Conflict, "{lost}"),
            }
        }
        assert_eq!(winners.len(), 1);
        let there = stores[1].accounts().await.expect("accounts are listed").remove(0);
        assert_eq!((there.version, &there.sealed), (version + 1, &winners[0]));
    }
}

/// By whichever process, of whichever name; and not with one of another kind, nor with one that did nothing.
pub async fn the_version_of_documents_changes_with_every_write_of_their_kind<H: Harness + ?Sized>(
    harness: &H,
) {
    let (store, other) = (harness.open().await, harness.open().await);
    let document = |kind, name: &str, body: &'static [u8]| Document {
        kind,
        name: name.to_owned(),
        body: Bytes::from_static(body),
        updated_at: at(7),
    };
    let versions = async || {
        let rules = store.documents_version(DocumentKind::Rule).await.expect("a version is read");
        (rules, store.documents_version(DocumentKind::Personality).await.expect("a version is read"))
    };
    let mut seen = vec![versions().await];
    let (rule, personality) = (DocumentKind::Rule, DocumentKind::Personality);
    for written in [document(rule, "b", b"1"), document(rule, "a", b"{\n}"), document(rule, "a", b"{\n}")] {
        other.put_document(&written).await.expect("a document is written");
        let now = versions().await;
        assert!(!seen.contains(&now), "{now:?} was seen before");
        assert_eq!(now.1, seen[0].1, "of the other kind nothing was written");
        seen.push(now);
    }
    other.put_document(&document(personality, "a", b"p")).await.expect("a document is written");
    let now = versions().await;
    assert_ne!(now.1, seen[0].1);
    let rules = store.documents(rule).await.expect("documents are listed");
    assert_eq!(rules, [document(rule, "a", b"{\n}"), document(rule, "b", b"1")], "by name");
    assert!(store.remove_document(rule, "a").await.expect("it is removed"));
    let removed = versions().await;
    assert!(removed.0 != now.0 && !seen.iter().any(|seen| seen.0 == removed.0));
    assert!(!store.remove_document(rule, "a").await.expect("it is gone"));
    assert_eq!(versions().await, removed);
    assert_eq!(other.documents(rule).await.expect("documents are listed"), [document(rule, "b", b"1")]);
    assert_eq!(other.documents(personality).await.expect("documents are listed").len(), 1);
}

/// By platform and name.
pub async fn channels_are_a_set<H: Harness + ?Sized>(harness: &H) {
    let (store, other) = (harness.open().await, harness.open().await);
    let channel = |platform: &str, name: &str| Channel { platform: platform.into(), name: name.into() };
    for (added, is_new) in [
        (channel("p", "#b"), true),
        (channel("p", "#a"), true),
        (channel("p", "#b"), false),
        (channel("a", "#b"), true),
    ] {
        assert_eq!(store.add_channel(&added).await.expect("a channel is added"), is_new, "{added:?}");
    }
    let there = other.channels().await.expect("channels are listed");
    assert_eq!(there, [channel("a", "#b"), channel("p", "#a"), channel("p", "#b")]);
    assert!(other.remove_channel(&channel("p", "#b")).await.expect("it is removed"));
    assert!(!store.remove_channel(&channel("p", "#b")).await.expect("it is gone"));
    assert_eq!(store.channels().await.expect("channels are listed").len(), 2);
}
