//! Whose a token is.

use chatbus_connector::PlatformFactory as _;
use chatbus_oauth::ProviderError;
use chatbus_platform_twitch::{Factory, oauth};
use chatbus_runtime::settings::{Origin, resolve};
use serde_json::{Value, json};

use super::{FakeTwitch, Reply, no, nowhere};

async fn identified(url: &str) -> Result<chatbus_oauth::Identity, ProviderError> {
    let layer = [("TWITCH_CLIENT_ID", "app"), ("TWITCH_AUTH_URL", url)]
        .map(|(name, value)| (name.to_owned(), value.to_owned(), Origin::Flag(name.to_owned())));
    let (values, problems) = resolve(Factory.settings(), &[layer.to_vec()]);
    assert_eq!(problems, []);
    oauth::provider(&values).unwrap().unwrap().identify(&"t-1".into()).await
}

#[tokio::test]
async fn a_token_is_validated_and_a_refusal_is_told_from_trouble() {
    let valid =
        json!({"client_id":"app","login":"bot","scopes":["chat:read"],"user_id":"99","expires_in":60});
    let twitch = FakeTwitch::start(move |asked, _| {
        assert_eq!((asked.path.as_str(), asked.authorization.as_str()), ("/validate", "OAuth t-1"));
        Reply::Json(200, valid.clone())
    })
    .await;
    let identity = identified(&twitch.url).await.unwrap();
    assert_eq!((identity.user_id.as_str(), identity.login.as_str()), ("99", "bot"));
    let refusing = FakeTwitch::start(|_, _| no(401, "invalid access token")).await;
    assert_eq!(
        identified(&refusing.url).await.unwrap_err(),
        ProviderError::Refused {
            code: "invalid_token".to_owned(),
            message: "invalid access token".to_owned()
        }
    );
    for reply in
        [Reply::Json(500, Value::Null), Reply::Json(200, Value::Null), Reply::HangUp, no(429, "slow")]
    {
        let troubled = FakeTwitch::start(move |_, _| reply.clone()).await;
        assert!(matches!(identified(&troubled.url).await.unwrap_err(), ProviderError::Unavailable(_)));
    }
    assert!(matches!(identified(&nowhere().await).await.unwrap_err(), ProviderError::Unavailable(_)));
}
