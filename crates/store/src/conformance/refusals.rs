//! Records that no database takes.

use bytes::Bytes;

use super::check::{assert_refused, found, record, sight, user};
use super::entries::{at, facts, letter, message, raw, received, source, step};
use super::harness::Harness;
use crate::{
    Account, Channel, Document, DocumentKind, Entry, EventFilter, EventStatus, Sighting, StepEntry,
    StoredLetter, TokenRow, UserChange, limits,
};

/// Ids that cannot be cleaned, bodies over the bound; whatever stands before and behind it.
pub async fn a_refused_entry_is_named_and_nothing_of_its_call_is_written<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let huge = Bytes::from(vec![0; limits::MAX_BODY_BYTES + 1]);
    let long = "x".repeat(limits::MAX_ID_BYTES + 1);
    let of = |id: &str, key: &str| step(id, key, 1, EventStatus::Ingested);
    let bad: Vec<Entry> = vec![
        of("a\0b", "k").into(),
        of("", "k").into(),
        of(&long, "k").into(),
        of("e", "").into(),
        of("e", "a\0b").into(),
        of("e", &long).into(),
        StepEntry { snapshot: Some(huge.clone()), ..of("e", "k") }.into(),
        StepEntry { detail: huge.clone(), ..of("e", "k") }.into(),
        Entry::Letter(letter("a\0b", 1)),
        Entry::Letter(StoredLetter { original: Some(huge), ..letter("l", 1) }),
        Entry::Source(source("", 1)),
        raw("", at(0)),
    ];
    for bad in bad {
        let good = [received("good", 1, facts("#c", "1", "x")), Entry::Letter(letter("good", 1))];
        let [event, dead] = good.clone();
        let call = [event, Entry::Source(source("good", 1)), bad.clone(), dead, raw("good", at(0))];
        assert_refused(store.record(&call).await, 2);
        assert!(found(store, &EventFilter::default()).await.is_empty(), "{bad:?}");
        assert_eq!(store.open_letters().await.expect("letters are counted"), (0, None));
        assert!(store.sources().await.expect("sources are listed").is_empty());
        assert_eq!(store.sweep(at(1), 100).await.expect("it is swept"), 0, "nothing raw was kept");
    }
    // The longest ids there may be, together.
    let longest = "é".repeat(limits::MAX_ID_BYTES / 2);
    record(store, &[of(&longest, &longest).into(), Entry::Letter(letter(&longest, 1)), raw(&longest, at(0))])
        .await;
    assert_eq!(found(store, &EventFilter::default()).await, [longest]);
    assert!(store.event("a\0b").await.expect("an id that cannot be is nowhere").is_none());
}

/// The same for sightings.
pub async fn a_refused_sighting_is_named_and_nothing_of_its_call_is_counted<H: Harness + ?Sized>(
    harness: &H,
) {
    let store = &harness.open().await;
    let good = message("good", "1", 1);
    for bad in [
        message("a\0b", "1", 1),
        message("", "1", 1),
        message("k", "", 1),
        message("k", "1\0", 1),
        message("k", &"x".repeat(limits::MAX_ID_BYTES + 1), 1),
        Sighting { provider: "a:b".into(), ..message("k", "1", 1) },
    ] {
        assert_refused(store.sight(&[good.clone(), bad]).await, 1);
        assert!(store.user("p:1").await.expect("users are read").is_none());
    }
    let [seen] = &sight(store, &[good]).await[..] else { return };
    assert!(seen.is_new && !seen.is_repeated);
    // What the provider tells is cleaned instead: nobody is unseen because of it.
    let name = format!("A\0{}", "é".repeat(limits::MAX_NAME_BYTES));
    let many = (0..=limits::MAX_LIST).map(|n| format!("r\0{n:03}")).collect();
    let roles = Some(crate::PlatformRoles { platform: "p".into(), roles: many });
    let odd = Sighting {
        login: Some(name.clone()),
        display_name: Some(name.clone()),
        email: Some(name),
        roles,
        ..message("odd", "2", 1)
    };
    sight(store, &[odd]).await;
    let odd = user(store, "p:2").await;
    for told in [odd.login.as_ref(), odd.display_name.as_ref(), odd.email.as_ref()] {
        let told = told.expect("it was told");
        assert!(told.starts_with("Aé") && told.len() <= limits::MAX_NAME_BYTES);
    }
    assert_eq!(odd.roles().len(), limits::MAX_LIST);
    assert_eq!(odd.roles().first(), Some(&"r000"));
}

/// Tokens, accounts, documents, channels, changes of users.
pub async fn what_people_write_is_refused_when_it_is_too_much<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let document = |name: &str, body: usize| Document {
        kind: DocumentKind::Rule,
        name: name.to_owned(),
        body: vec![b' '; body].into(),
        updated_at: at(0),
    };
    let longest = "x".repeat(limits::MAX_DOCUMENT_NAME_BYTES);
    store.put_document(&document(&longest, limits::MAX_BODY_BYTES)).await.expect("it just fits");
    let longer = longest + "x";
    for bad in [document("", 1), document(&longer, 1), document("a", limits::MAX_BODY_BYTES + 1)] {
        assert_refused(store.put_document(&bad).await, 0);
    }
    assert_refused(store.put_token(&TokenRow { hash: String::new(), record: Bytes::new() }).await, 0);
    let account = Account {
        platform: "p".into(),
        identity: "a\0b".into(),
        user_id: None,
        login: None,
        sealed: Bytes::new(),
        updated_at: at(0),
        version: 0,
    };
    assert_refused(store.put_account(&account).await, 0);
    assert_refused(store.add_channel(&Channel { platform: "p".into(), name: String::new() }).await, 0);
    sight(store, &[message("k", "1", 1)]).await;
    let tags = Some(vec![String::from("t"); limits::MAX_LIST + 1]);
    assert_refused(store.change_user("p:1", &UserChange { tags, ..UserChange::default() }).await, 0);
    assert!(user(store, "p:1").await.tags.is_empty());
}
