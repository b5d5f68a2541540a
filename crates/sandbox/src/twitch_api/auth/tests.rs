//! Tokens with time that is made up.

use chatbus_testkit::SeededEntropy;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn auth() -> (Auth, Instant) {
    use chatbus_event::Clock as _;
    let clock = chatbus_testkit::FakeClock::at(chatbus_event::Timestamp::EPOCH);
    (Auth::new(Arc::new(SeededEntropy::new(1))), clock.instant())
}

fn user(login: &str) -> Wanted<'_> {
    Wanted {
        client_id: "app",
        login: Some(login),
        scopes: scopes_of("chat:read"),
        lifetime: Some(60 * SECOND),
        refreshable: true,
    }
}

#[test]
fn a_token_is_good_until_it_expires_or_is_revoked() {
    let (mut auth, now) = auth();
    let first = auth.issue(user("ann"), now).access_token;
    let second = auth.issue(user("ann"), now).access_token;
    assert!(
        matches!(auth.check(&first, now + 59 * SECOND), Check::Good(token) if token.login.as_deref() == Some("ann"))
    );
    assert!(matches!(auth.check(&first, now + 60 * SECOND), Check::Dead));
    assert!(auth.end(&second, true, now));
    assert!(matches!(auth.check(&second, now), Check::Dead));
    assert!(matches!(auth.check("never", now), Check::Unknown));
    assert_eq!(auth.views(now).iter().map(|view| view.state).collect::<Vec<_>>(), ["good", "revoked"]);
}

#[test]
fn a_refresh_token_works_once_and_for_its_application_alone() {
    let (mut auth, now) = auth();
    let refresh = auth.issue(user("ann"), now).refresh_token.unwrap();
    let invalid = Denied::bad("Invalid refresh token");
    assert_eq!(auth.refresh("other", &refresh, now), Err(invalid));
    let next = auth.refresh("app", &refresh, now).unwrap();
    assert_eq!((next.scopes.as_slice(), next.login.as_deref()), (&["chat:read".to_owned()][..], Some("ann")));
    assert_eq!(auth.refresh("app", &refresh, now), Err(invalid));
    let next = next.refresh_token.unwrap();
    auth.refuse_refreshes("ann", true);
    assert_eq!(auth.refresh("app", &next, now), Err(invalid));
    auth.refuse_refreshes("ann", false);
    assert!(auth.refresh("app", &next, now).is_ok());
    assert_eq!(auth.refreshed()["ann"], 2);
}

#[test]
fn a_code_works_once_in_time_and_with_its_redirect() {
    let (mut auth, now) = auth();
    let code = |auth: &mut Auth| auth.authorize("app", "http://localhost/", Scopes::new(), now).unwrap();
    let first = code(&mut auth);
    assert!(auth.exchange_code("app", &first, "http://localhost/other", now).is_err());
    assert!(auth.exchange_code("app", &first, "http://localhost/", now).is_err());
    let second = code(&mut auth);
    assert!(auth.exchange_code("app", &second, "http://localhost/", now + 601 * SECOND).is_err());
    let third = code(&mut auth);
    assert_eq!(
        auth.exchange_code("app", &third, "http://localhost/", now).unwrap().login.as_deref(),
        Some(DEFAULT_USER)
    );
    auth.grants_as = None;
    assert_eq!(auth.authorize("app", "http://localhost/", Scopes::new(), now), None);
}

#[test]
fn a_device_waits_until_its_user_decides() {
    let (mut auth, now) = auth();
    let (device, user) = auth.start_device("app", scopes_of("a b"), now);
    assert_eq!(auth.exchange_device("app", &device, now), Err(Denied::bad("authorization_pending")));
    assert_eq!(auth.waiting_devices(now), [user.as_str()]);
    assert!(auth.decide_device(&user.to_ascii_lowercase(), Some("ann"), now));
    let issued = auth.exchange_device("app", &device, now).unwrap();
    assert_eq!((issued.login.as_deref(), issued.scopes.len()), (Some("ann"), 2));
    assert_eq!(auth.exchange_device("app", &device, now), Err(Denied::bad("invalid device code")));
    let (denied, user) = auth.start_device("app", Scopes::new(), now);
    assert!(auth.decide_device(&user, None, now));
    assert_eq!(auth.exchange_device("app", &denied, now), Err(Denied::bad("access_denied")));
    assert!(!auth.decide_device("NOBODY00", None, now));
    let (late, _) = auth.start_device("app", Scopes::new(), now);
    let then = now + device::DEVICE_LIFETIME;
    assert_eq!(auth.exchange_device("app", &late, then), Err(Denied::bad("invalid device code")));
}
