//! Logins.

use std::time::Duration;

use chatbus_sandbox::twitch_api::{Fault, NewToken, Order};
use reqwest::header;
use serde_json::{Value, json};

use super::{answer, id_of, oauth};
use crate::client::{Client, sandbox};

async fn validate(sandbox: &chatbus_sandbox::SandboxHandle, path: &str, token: &str) -> (u16, Value) {
    let url = format!("{}{path}", sandbox.twitch_api().url());
    let request = reqwest::Client::new().get(url).header(header::AUTHORIZATION, format!("OAuth {token}"));
    let answer = answer(request).await.expect("an answer");
    (answer.status, answer.body)
}

/// Where a browser is sent.
async fn redirected(sandbox: &chatbus_sandbox::SandboxHandle, redirect_uri: &str) -> (u16, String) {
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let url = format!(
        "{}/oauth2/authorize?client_id=app&redirect_uri={redirect_uri}&response_type=code&scope=chat:read+chat:edit&state=s%261",
        sandbox.twitch_api().url()
    );
    let response = browser.get(url).send().await.expect("an answer");
    let location =
        response.headers().get(header::LOCATION).map(|value| value.to_str().expect("a text").to_owned());
    (response.status().as_u16(), location.unwrap_or_default())
}

#[tokio::test]
async fn a_browser_comes_back_with_a_code_that_gives_a_token() {
    let sandbox = sandbox().await;
    sandbox.twitch_api().grant_as(Some("Ann")).unwrap();
    let (status, location) = redirected(&sandbox, "http://localhost:5/back?a=1").await;
    assert_eq!(status, 303);
    let (code, rest) =
        location.strip_prefix("http://localhost:5/back?a=1&code=").unwrap().split_once('&').unwrap();
    assert_eq!(rest, "scope=chat%3Aedit+chat%3Aread&state=s%261");
    let form = format!(
        "client_id=app&client_secret=x&grant_type=authorization_code&code={code}&redirect_uri=http%3A%2F%2Flocalhost%3A5%2Fback%3Fa%3D1"
    );
    let (status, body) = oauth(&sandbox, "/oauth2/token", &form).await;
    assert_eq!(
        (status, &body["token_type"], &body["scope"]),
        (200, &json!("bearer"), &json!(["chat:edit", "chat:read"])),
        "{body}"
    );
    for path in ["/oauth2/validate", "/auth/validate"] {
        let (status, seen) = validate(&sandbox, path, body["access_token"].as_str().unwrap()).await;
        assert_eq!(
            (status, &seen["login"], &seen["user_id"]),
            (200, &json!("ann"), &json!(id_of("ann"))),
            "{seen}"
        );
        assert_eq!(
            (&seen["client_id"], &seen["scopes"]),
            (&json!("app"), &json!(["chat:edit", "chat:read"]))
        );
        assert!((14_000..=14_400).contains(&seen["expires_in"].as_u64().unwrap()), "{seen}");
    }
    let again = oauth(&sandbox, "/oauth2/token", &form).await;
    assert_eq!(again, (400, json!({ "status": 400, "message": "Invalid authorization code" })));
}

#[tokio::test]
async fn a_browser_comes_back_denied_and_is_never_sent_away() {
    let sandbox = sandbox().await;
    sandbox.twitch_api().grant_as(None).unwrap();
    let (status, location) = redirected(&sandbox, "http://127.0.0.1:5/").await;
    assert_eq!(status, 303);
    assert_eq!(
        location,
        "http://127.0.0.1:5/?error=access_denied&error_description=The+user+denied+you+access&state=s%261"
    );
    let (status, location) = redirected(&sandbox, "http://example.com/").await;
    assert_eq!((status, location.as_str()), (400, ""));
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_and_kills_the_refresh_token() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let first = api.make_token(&NewToken::of("ann", &["chat:read"])).unwrap();
    let form = format!(
        "client_id=client&client_secret=x&grant_type=refresh_token&refresh_token={}",
        first.refresh_token.unwrap()
    );
    let (status, second) = oauth(&sandbox, "/oauth2/token", &form).await;
    assert_eq!((status, &second["scope"]), (200, &json!(["chat:read"])), "{second}");
    let dead = (400, json!({ "status": 400, "message": "Invalid refresh token" }));
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await, dead);
    assert_eq!(validate(&sandbox, "/oauth2/validate", &first.access_token).await.0, 200);
    let form = format!(
        "client_id=client&grant_type=refresh_token&refresh_token={}",
        second["refresh_token"].as_str().unwrap()
    );
    api.refuse_refreshes("ann", true).unwrap();
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await, dead);
    api.refuse_refreshes("ann", false).unwrap();
    assert_eq!(oauth(&sandbox, &format!("/auth/token?{form}"), "").await.0, 200);
    assert_eq!(api.refreshes()["ann"], 2);
}

#[tokio::test]
async fn a_device_gets_its_token_when_its_user_has_decided() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let (status, started) = oauth(&sandbox, "/oauth2/device", "client_id=app&scopes=chat:read").await;
    assert_eq!(
        (status, &started["expires_in"], &started["interval"]),
        (200, &json!(1800), &json!(5)),
        "{started}"
    );
    let form = format!(
        "client_id=app&scopes=chat:read&device_code={}&grant_type=urn:ietf:params:oauth:grant-type:device_code",
        started["device_code"].as_str().unwrap()
    );
    let pending = (400, json!({ "status": 400, "message": "authorization_pending" }));
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await, pending);
    let user_code = started["user_code"].as_str().unwrap();
    assert_eq!(api.waiting_devices(), [user_code]);
    api.approve_device(user_code, "ann").unwrap();
    let (status, token) = oauth(&sandbox, "/oauth2/token", &form).await;
    assert_eq!((status, token["refresh_token"].is_string()), (200, true), "{token}");
    assert_eq!(oauth(&sandbox, "/oauth2/token", &form).await.1["message"], "invalid device code");
    // And as a browser does it, at the address that the device shows.
    let (_, started) = oauth(&sandbox, "/oauth2/device", "client_id=app&scopes=").await;
    let shown = reqwest::get(started["verification_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(shown.status(), 200);
    assert!(api.waiting_devices().is_empty());
}

#[tokio::test]
async fn what_the_oauth_server_refuses_it_refuses_in_its_own_words() {
    let sandbox = sandbox().await;
    sandbox.twitch_api().set_client_secret("strict", "right").unwrap();
    for (form, status, message) in [
        ("grant_type=refresh_token", 400, "missing client id"),
        ("client_id=app", 400, "missing grant type"),
        ("client_id=app&grant_type=password", 400, "invalid grant type"),
        ("client_id=app&grant_type=refresh_token", 400, "missing refresh token"),
        ("client_id=app&grant_type=refresh_token&refresh_token=x", 400, "Invalid refresh token"),
        (
            "client_id=app&grant_type=authorization_code&code=x&redirect_uri=y",
            400,
            "Invalid authorization code",
        ),
        ("client_id=app&grant_type=client_credentials", 400, "missing client secret"),
        ("client_id=strict&client_secret=wrong&grant_type=client_credentials", 403, "invalid client secret"),
    ] {
        let expected = (status, json!({ "status": status, "message": message }));
        assert_eq!(oauth(&sandbox, "/oauth2/token", form).await, expected, "{form}");
    }
    let good = "client_id=strict&client_secret=right&grant_type=client_credentials";
    let (status, token) = oauth(&sandbox, "/oauth2/token", good).await;
    assert_eq!((status, token.get("refresh_token"), token.get("scope")), (200, None, None));
    let (status, seen) =
        validate(&sandbox, "/oauth2/validate", token["access_token"].as_str().unwrap()).await;
    assert_eq!((status, seen.get("login")), (200, None));
    let invalid = (401, json!({ "status": 401, "message": "invalid access token" }));
    assert_eq!(validate(&sandbox, "/oauth2/validate", "nonsense").await, invalid);
}

#[tokio::test]
async fn a_token_ends_by_time_by_a_test_and_by_its_client() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let short = NewToken { lifetime: Some(Duration::ZERO), ..NewToken::of("ann", &[]) };
    let [short, expired, revoked, own] =
        [short, NewToken::of("bob", &[]), NewToken::of("cid", &[]), NewToken::of("dan", &[])]
            .map(|new| api.make_token(&new).unwrap().access_token);
    api.expire_token(&expired).unwrap();
    assert_eq!(api.end_tokens_of("cid", true).unwrap(), 1);
    let form = format!("client_id=client&token={own}");
    assert_eq!(oauth(&sandbox, "/oauth2/revoke", &form).await.0, 200);
    assert_eq!(
        oauth(&sandbox, "/oauth2/revoke", &form).await,
        (400, json!({ "status": 400, "message": "Invalid token" }))
    );
    for token in [&short, &expired, &revoked, &own] {
        assert_eq!(validate(&sandbox, "/oauth2/validate", token).await.0, 401);
    }
    let states: Vec<_> = api.tokens().iter().map(|view| (view.state, view.refresh_token.is_some())).collect();
    assert_eq!(states, [("expired", true), ("expired", true), ("revoked", false), ("revoked", false)]);
    assert!(api.expire_token("nonsense").is_err());
}

#[tokio::test]
async fn the_server_of_tokens_is_down_for_as_long_as_it_is_told() {
    let sandbox = sandbox().await;
    let fault = Fault::Status { status: 503, message: "service unavailable".into(), retry_after: None };
    let order = Order { path: Some("/oauth2/token".into()), fault, count: Some(2), lasts: None };
    sandbox.twitch_api().order(order).unwrap();
    let form = "client_id=app&client_secret=x&grant_type=client_credentials";
    let down = (503, json!({ "status": 503, "message": "service unavailable" }));
    assert_eq!(oauth(&sandbox, "/oauth2/token", form).await, down);
    assert_eq!(oauth(&sandbox, "/auth/token", form).await, down);
    assert_eq!(oauth(&sandbox, "/oauth2/token", form).await.0, 200);
}

#[tokio::test]
async fn irc_takes_tokens_that_are_good_and_those_nobody_has_heard_of() {
    let sandbox = sandbox().await;
    let api = sandbox.twitch_api();
    let token = |login| api.make_token(&NewToken::of(login, &["chat:read"])).unwrap().access_token;
    let (good, expired, revoked, of_another) = (token("ann"), token("ann"), token("ann"), token("bob"));
    api.expire_token(&expired).unwrap();
    api.revoke_token(&revoked).unwrap();
    for (token, accepted) in [
        (good.as_str(), true),
        (&expired, false),
        (&revoked, false),
        (&of_another, false),
        ("unheard_of", true),
    ] {
        let mut client = Client::connect(sandbox.twitch().irc_addr()).await;
        client.send(&format!("PASS oauth:{token}\r\nNICK ann")).await;
        let line = client.line().await;
        assert_eq!(line.contains(" 001 "), accepted, "{line}");
        assert_eq!(line.ends_with(":Login authentication failed"), !accepted, "{line}");
    }
}
