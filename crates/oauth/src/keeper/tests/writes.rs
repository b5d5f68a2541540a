//! What stands in the store, and what does not yet.

use super::*;

#[tokio::test]
async fn renewed_tokens_that_could_not_be_written_are_used_and_written_later() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let first = world.process(1);
    let store = Arc::clone(&first.store);
    world.fake.inner().on_refresh = Some(Box::new(move || store.set_available(false)));
    first.wait_for(OK, Some("access-1")).await;
    let vault = &first.backing.vault;
    let stands = world.stored(vault).await.unwrap();
    assert_eq!(stands.access_token.expose_secret(), "access-0", "it was not written");
    until("it is said", async || first.view().reason.is_some_and(|said| said.contains("not written yet")))
        .await;
    // Another process has the old refresh token, which is dead, and waits for the lock.
    let second = world.process(2);
    let known = second.wait_for(CredentialState::Degraded, None).await;
    assert_eq!((known.user_id.as_deref(), world.fake.count("refresh_token")), (Some("1337"), 1));
    first.store.set_available(true);
    second.wait_for(OK, Some("access-1")).await;
    until("it is taken back", async || first.view().reason.is_none()).await;
    assert_eq!(world.stored(vault).await.unwrap().access_token.expose_secret(), "access-1");
    assert_eq!(world.fake.count("refresh_token"), 1);
}

#[tokio::test]
async fn a_person_who_logs_in_while_a_renewal_is_unwritten_wins() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let first = world.process(1);
    let store = Arc::clone(&first.store);
    world.fake.inner().on_refresh = Some(Box::new(move || store.set_available(false)));
    first.wait_for(OK, Some("access-1")).await;
    // One that waits for the lock hears of it too.
    let second = world.stopped(2, Vec::new(), Vault::new([1; 32], None));
    second.run_at(Times { lock_wait: PATIENCE * 2, ..TIMES });
    until("it has read the login", async || second.view().origin == Origin::Store).await;
    second.log_in().await;
    second.wait_for(OK, Some("access-2")).await;
    first.store.set_available(true);
    first.wait_for(OK, Some("access-2")).await;
    let stands = world.stored(&first.backing.vault).await.unwrap();
    assert_eq!(stands.access_token.expose_secret(), "access-2");
}

#[tokio::test]
async fn what_the_previous_key_sealed_is_sealed_anew() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, Vec::new(), Vault::new([2; 32], Some([1; 32])));
    let known = process.wait_for(OK, Some("access-0")).await;
    let current = Vault::new([2; 32], None);
    until("it is sealed anew", async || world.stored(&current).await.is_some()).await;
    let anew = world.stored(&current).await.unwrap();
    assert_eq!(anew.refresh_token.unwrap().expose_secret(), "refresh-0");
    assert_eq!(process.account.now().generation, known.generation, "connectors need not know");
}

#[tokio::test]
async fn tokens_that_do_not_open_need_a_person_and_are_left_alone() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process_with(1, vec![fallback()], Vault::new([3; 32], None));
    process.wait_for(CredentialState::NeedsReauth, None).await;
    assert!(process.view().reason.unwrap().contains("CHATBUS_SECRET_KEY"));
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 1);
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
}

#[tokio::test]
async fn an_account_that_was_removed_and_logged_in_again_is_seen() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process(1);
    process.wait_for(OK, Some("access-0")).await;
    // Both between two looks: the version is what it was.
    world.store.remove_account("somewhere", "bot").await.unwrap();
    process.log_in().await;
    process.wait_for(OK, Some("access-1")).await;
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 1);
}

#[tokio::test]
async fn a_stop_ends_it() {
    let world = World::new().await;
    let process = world.stopped(1, Vec::new(), Vault::new([1; 32], None));
    let running = process.keeper.run_at(process.backing.clone(), TIMES);
    process.backing.runtime.stop.cancel();
    assert!(tokio::time::timeout(PATIENCE, running).await.is_ok());
}

#[tokio::test]
async fn a_stop_waits_for_an_answer_that_may_hold_the_only_good_token_and_writes_it() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let process = world.stopped(1, Vec::new(), Vault::new([1; 32], None));
    let stop = process.backing.runtime.stop.clone();
    world.fake.inner().on_refresh = Some(Box::new(move || stop.cancel()));
    let running = process.keeper.run_at(process.backing.clone(), TIMES);
    assert!(tokio::time::timeout(PATIENCE, running).await.is_ok());
    let stands = world.stored(&process.backing.vault).await.unwrap();
    assert_eq!(stands.refresh_token.unwrap().expose_secret(), "refresh-1");
}

#[tokio::test]
async fn tokens_that_another_process_has_sealed_with_a_newer_key_are_used_but_not_renewed() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let old = world.process(1);
    let known = old.wait_for(OK, Some("access-0")).await;
    let new = world.process_with(2, Vec::new(), Vault::new([2; 32], Some([1; 32])));
    new.wait_for(OK, Some("access-0")).await;
    old.wait_for(CredentialState::Degraded, Some("access-0")).await;
    assert!(old.view().reason.unwrap().contains("CHATBUS_SECRET_KEY"));
    world.fake.inner().access.clear();
    old.account.refused(known.generation);
    old.wait_for(CredentialState::Degraded, None).await;
    assert_eq!(world.fake.count("refresh_token"), 0);
    new.account.refused(new.account.now().generation);
    new.wait_for(OK, Some("access-1")).await;
}
