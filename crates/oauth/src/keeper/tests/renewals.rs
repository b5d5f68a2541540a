//! Tokens are renewed, by one process.

use super::*;

#[tokio::test]
async fn three_processes_renew_a_token_that_is_over_exactly_once() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let all = [1, 2, 3].map(|seed| world.stopped(seed, Vec::new(), Vault::new([1; 32], None)));
    for process in &all {
        // Nobody hears of another's renewal but by looking with the lock in hand.
        process.run_at(Times { reread: PATIENCE * 2, lock_wait: PATIENCE, ..TIMES });
    }
    for process in &all {
        let known = process.wait_for(OK, Some("access-1")).await;
        assert_eq!(known.login.as_deref(), Some("user1337"));
        assert!(known.expires_at.is_some_and(|ends| ends > process.backing.runtime.clock.now()));
    }
    assert_eq!(world.fake.count("refresh_token"), 1);
    let stored = world.stored(&all[0].backing.vault).await.unwrap();
    assert_eq!(stored.refresh_token.unwrap().expose_secret(), "refresh-1");
    assert_eq!(world.store.accounts().await.unwrap()[0].version, 2);
}

#[tokio::test]
async fn a_refused_renewal_needs_a_person_everywhere_and_a_login_mends_it_everywhere() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    world.fake.inner().refresh = "another".to_owned();
    let all = [1, 2, 3].map(|seed| world.process(seed));
    for process in &all {
        process.wait_for(CredentialState::NeedsReauth, None).await;
        let reason = process.view().reason.unwrap();
        assert!(reason.contains("invalid_refresh_token") && !reason.contains("refresh-0"), "{reason}");
    }
    all[0].log_in().await;
    for process in &all {
        process.wait_for(OK, Some("access-1")).await;
        assert_eq!((process.view().reason, process.view().origin), (None, Origin::Store));
    }
}

#[tokio::test]
async fn a_renewal_that_fails_is_degraded_and_tried_again_while_the_old_token_is_used() {
    let world = World::new().await;
    world.logged_in(Duration::from_millis(300)).await;
    world.fake.answer(&[(503, ""), (503, "")]);
    let process = world.process(1);
    process.wait_for(CredentialState::Degraded, Some("access-0")).await;
    assert_eq!(process.view().reason.as_deref(), Some("renewal failed: unavailable: HTTP 503"));
    process.wait_for(OK, Some("access-1")).await;
    assert_eq!((process.view().reason, world.fake.count("refresh_token")), (None, 3));
}

#[tokio::test]
async fn without_the_lock_nothing_is_renewed() {
    let world = World::new().await;
    world.logged_in(Duration::ZERO).await;
    let process = world.stopped(1, Vec::new(), Vault::new([1; 32], None));
    process.state.set_connected(false);
    process.run();
    process.wait_for(CredentialState::Degraded, None).await;
    assert_eq!(world.fake.count("refresh_token"), 0);
    process.state.set_connected(true);
    process.wait_for(OK, Some("access-1")).await;
}

#[tokio::test]
async fn what_a_platform_refused_to_a_connector_is_renewed_at_once() {
    let world = World::new().await;
    world.logged_in(Duration::from_secs(14_400)).await;
    let process = world.process(1);
    let known = process.wait_for(OK, Some("access-0")).await;
    until("it is validated", async || world.fake.inner().identified > 0).await;
    // One that the platform still calls good stays.
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    until("it is asked about", async || world.fake.inner().identified > before).await;
    assert_eq!(world.fake.count("refresh_token"), 0);
    world.fake.inner().access.clear();
    process.account.refused(known.generation);
    let next = process.account.after(known.generation, PATIENCE).await.unwrap();
    assert_eq!((shown(&next).as_deref(), next.state), (Some("access-1"), OK));
    // What was refused of the token before says nothing of this one.
    let before = world.fake.inner().identified;
    process.account.refused(known.generation);
    process.keeper.changed();
    world.fake.inner().access.clear();
    process.account.refused(next.generation);
    process.wait_for(OK, Some("access-2")).await;
    assert_eq!(world.fake.inner().identified, before + 1);
}
