use super::*;
use crate::Provider as _;
use crate::fake::{Fake, http};

const GOOD: &str = r#"{"access_token":"a","refresh_token":"r","expires_in":10,"scope":["x","y"]}"#;

#[tokio::test]
async fn a_refresh_sends_a_form_and_reads_scopes_of_either_kind() {
    let fake = Fake::start().await;
    let exchange = Exchange::new(http());
    for (answer, expected) in [
        (GOOD, (Some("r"), Some(10), Some(vec!["x", "y"]))),
        (r#"{"access_token":"a","scope":"x  y"}"#, (None, None, Some(vec!["x", "y"]))),
        (r#"{"access_token":"a","refresh_token":"","expires_in":0}"#, (None, None, None)),
        (r#"{"access_token":"a","refresh_token":null,"expires_in":null,"scope":null}"#, (None, None, None)),
    ] {
        fake.answer(&[(200, answer)]);
        let tokens = exchange.refresh(fake.flow(), &"old&=ü".into()).await.unwrap();
        assert_eq!(tokens.access_token.expose_secret(), "a");
        let scopes = tokens.scopes.as_ref().map(|all| all.iter().map(String::as_str).collect());
        let told = (
            tokens.refresh_token.as_ref().map(|token| token.expose_secret()),
            tokens.expires_in.map(|lasts| lasts.as_secs()),
            scopes,
        );
        assert_eq!(told, expected, "{answer}");
        assert!(!format!("{tokens:?}").contains("\"a\""));
    }
    let asked = fake.inner().asked[0].clone();
    let field = |name: &str| asked.get(name).map(String::as_str);
    assert_eq!(field("grant_type"), Some("refresh_token"));
    assert_eq!(field("refresh_token"), Some("old&=ü"));
    assert_eq!((field("client_id"), field("client_secret")), (Some("client"), Some("client-secret")));
}

#[tokio::test]
async fn a_public_client_sends_no_secret() {
    let fake = Fake::start().await.with(|flow| flow.client_secret = None);
    fake.answer(&[(200, GOOD)]);
    Exchange::new(http()).refresh(fake.flow(), &"old".into()).await.unwrap();
    assert!(!fake.inner().asked[0].contains_key("client_secret"));
}

#[tokio::test]
async fn only_a_refusal_is_for_good() {
    let fake = Fake::start().await;
    let exchange = Exchange::new(http());
    let long = format!(r#"{{"access_token":"{}"}}"#, "x".repeat(5000));
    for (status, answer, expected) in [
        (400, r#"{"status":400,"message":"Invalid refresh token"}"#, "refused: invalid_refresh_token"),
        (
            401,
            r#"{"error":"invalid_grant","error_description":"bad: old-token"}"#,
            "refused: invalid_grant: bad: …",
        ),
        (503, "", "unavailable: HTTP 503"),
        (429, r#"{"message":"too many"}"#, "unavailable: HTTP 429 too many"),
        (200, "<html>", "unavailable: an answer that is not what the protocol has"),
        (200, r#"{"access_token":""}"#, "unavailable: an answer with an empty token"),
        (200, long.as_str(), "unavailable: the answer is longer than 4096 bytes"),
    ] {
        fake.answer(&[(status, answer)]);
        let error = exchange.refresh(fake.flow(), &"old-token".into()).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{answer}: {error}");
    }
    let gone = fake.with(|flow| flow.token_url = "http://127.0.0.1:1/token".to_owned());
    let error = exchange.refresh(gone.flow(), &"old".into()).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_device_is_waited_for_until_its_person_decides() {
    let fake = Fake::start().await;
    let exchange = Exchange::new(http());
    fake.answer(&[(
        200,
        r#"{"device_code":"d","user_code":"ABCD","verification_uri":"https://somewhere.test/activate","expires_in":1800,"interval":7}"#,
    )]);
    let scopes = ["read".to_owned(), "write".to_owned()];
    let code = exchange.device_start(fake.flow(), &scopes).await.unwrap();
    assert_eq!(
        (code.user_code.as_str(), code.interval.as_secs(), code.expires_in.as_secs()),
        ("ABCD", 7, 1800)
    );
    assert_eq!(fake.inner().asked[0]["scope"], "read write");

    fake.answer(&[
        (400, r#"{"status":400,"message":"authorization_pending"}"#),
        (400, r#"{"error":"authorization_pending"}"#),
        (400, r#"{"error":"slow_down"}"#),
        (400, r#"{"error":"access_denied"}"#),
        (400, r#"{"error":"expired_token"}"#),
        (200, GOOD),
    ]);
    let mut told = Vec::new();
    for _ in 0..6 {
        told.push(match exchange.device_poll(fake.flow(), &scopes, &code.device_code).await {
            Ok(Polled::Pending) => "pending".to_owned(),
            Ok(Polled::SlowDown) => "slow down".to_owned(),
            Ok(Polled::Tokens(_)) => "tokens".to_owned(),
            Err(ProviderError::Refused { code, .. }) => code,
            Err(error) => panic!("{error}"),
        });
    }
    assert_eq!(told, ["pending", "pending", "slow down", "access_denied", "expired_token", "tokens"]);
    assert_eq!(fake.inner().asked[1]["device_code"], "d");

    let without = fake.with(|flow| flow.device_url = None);
    let error = exchange.device_start(without.flow(), &scopes).await.unwrap_err();
    assert!(matches!(error, ProviderError::Refused { ref code, .. } if code == "no_device_flow"), "{error}");
}
