//! Tokens of the settings, and what is shown.

use super::*;

#[tokio::test]
async fn a_token_of_the_settings_is_asked_about_and_used_until_it_is_refused() {
    let world = World::new().await;
    world.fake.inner().access.insert("access-set".to_owned());
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    // Whoever is made at once has it at once.
    assert_eq!(shown(&process.account.now()).as_deref(), Some("access-set"));
    let known = process.wait_until("it was asked about", |known| known.user_id.is_some()).await;
    assert_eq!((known.user_id.as_deref(), known.login.as_deref()), (Some("1337"), Some("user1337")));
    assert_eq!((known.state, shown(&known).as_deref()), (OK, Some("access-set")));
    assert_eq!((process.view().origin, process.view().missing), (Origin::Settings, vec!["write".to_owned()]));
    world.fake.inner().access.clear();
    process.account.refused(known.generation);
    process.wait_for(CredentialState::NeedsReauth, None).await;
    // A login wins over it, and is found by all its names.
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
    for who in ["bot", "1337", "user1337", "USER1337"] {
        assert_eq!(process.keeper.find("somewhere", who).map(|view| view.identity).as_deref(), Some("bot"));
    }
    assert_eq!(process.keeper.find("somewhere", "access-1"), None);
    assert_eq!(process.keeper.find("elsewhere", "bot"), None);
    // And is gone when it is removed.
    world.store.remove_account("somewhere", "bot").await.unwrap();
    process.wait_for(CredentialState::NeedsReauth, None).await;
    assert_eq!(process.view().origin, Origin::Settings);
}

#[tokio::test]
async fn a_token_of_the_settings_that_nobody_could_be_asked_about_is_used_all_the_same() {
    let world = World::new().await;
    {
        let mut inner = world.fake.inner();
        inner.access.insert("access-set".to_owned());
        inner.is_mute = true;
    }
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    let known = process.wait_for(CredentialState::Degraded, Some("access-set")).await;
    assert_eq!((known.user_id, known.login.as_deref()), (None, Some("Me")));
    world.fake.inner().is_mute = false;
    let known = process.wait_for(OK, Some("access-set")).await;
    assert_eq!(known.user_id.as_deref(), Some("1337"));
}

#[tokio::test]
async fn the_store_may_open_late_and_go_away() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    world.fake.inner().access.insert("access-set".to_owned());
    let process = world.stopped(1, vec![fallback()], Vault::new([1; 32], None));
    process.stores.send_replace(None);
    process.run();
    process.keeper.settled().await;
    process.wait_until("it was asked about", |known| known.user_id.is_some()).await;
    process.wait_for(OK, Some("access-set")).await;
    process.stores.send_replace(Some(Arc::clone(&process.store) as Arc<dyn Store>));
    process.wait_for(OK, Some("access-0")).await;
    process.store.set_available(false);
    // It is asked about without the store, and stays in use.
    let known = process.account.now();
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    until("it is asked about", async || world.fake.inner().identified > before).await;
    assert_eq!(shown(&process.account.now()).as_deref(), Some("access-0"));
}

#[tokio::test]
async fn a_platform_without_logins_has_the_token_of_the_settings() {
    let world = World::new().await;
    let elsewhere = Fallback { platform: "elsewhere", ..fallback() };
    let process = world.process_with(1, vec![elsewhere], Vault::new([1; 32], None));
    let account = process.keeper.account("elsewhere", "bot");
    process.keeper.settled().await;
    assert_eq!((shown(&account.now()).as_deref(), account.now().state), (Some("access-set"), OK));
    assert_eq!(process.keeper.account("elsewhere", "nobody").now().state, CredentialState::Missing);
    assert_eq!(process.keeper.views().len(), 3);
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_token() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, vec![fallback()], Vault::new([1; 32], None));
    process.keeper.settled().await;
    assert_eq!(shown(&process.account.now()).as_deref(), Some("access-0"));
    let json = serde_json::to_value(process.view()).unwrap();
    assert_eq!(json["state"], "ok");
    assert_eq!((&json["userId"], &json["origin"]), (&"1337".into(), &"store".into()));
    let shown = format!("{:?} {:?} {json} {:?}", process.keeper, process.keeper.views(), fallback());
    for secret in ["access-", "refresh-", "client-secret"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
