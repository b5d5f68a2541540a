//! What tests of services turn on and off.

use chatbus_event::Timestamp;
use chatbus_store::{Entry, Events as _, MemoryStore, Sighting, Store as _, StoreErrorKind, Users as _};

fn raw(key: &str) -> Entry {
    let at = Timestamp::EPOCH;
    Entry::Raw { key: key.into(), body: "x".into(), why: "test".into(), at, expires_at: at }
}

#[tokio::test]
async fn a_record_with_a_key_that_is_refused_takes_its_call_with_it() {
    let store = MemoryStore::new("memory");
    store.refuse("bad");
    let error = store.record(&[raw("good"), raw("bad")]).await.unwrap_err();
    assert_eq!((error.kind(), error.record()), (StoreErrorKind::Refused, Some(1)));
    assert_eq!(store.sweep(Timestamp::EPOCH, 10).await.unwrap(), 0);
    store.record(&[raw("good")]).await.unwrap();
    let sighting = Sighting {
        key: "bad".into(),
        key_expires_at: Timestamp::EPOCH,
        provider: "p".into(),
        provider_user_id: "1".into(),
        login: None,
        display_name: None,
        email: None,
        roles: None,
        at: Timestamp::EPOCH,
        is_message: true,
    };
    assert_eq!(store.sight(&[sighting]).await.unwrap_err().record(), Some(0));
}

#[tokio::test]
async fn a_store_out_of_reach_says_so_and_keeps_what_it_has() {
    let store = MemoryStore::new("memory");
    store.record(&[raw("a")]).await.unwrap();
    let connected = store.connected();
    store.set_available(false);
    assert!(!*connected.borrow());
    assert!(store.record(&[raw("b")]).await.unwrap_err().is_temporary());
    store.set_available(true);
    assert_eq!(store.sweep(Timestamp::EPOCH, 10).await.unwrap(), 1);
}
