//! How one logs in to Twitch.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_http::hyper::{Request, StatusCode, header};
use chatbus_http::{HttpClient, Sent};
use chatbus_oauth::{FlowSpec, Identity, Provider, ProviderError};
use chatbus_runtime::settings::{Problem, Values};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::factory::api;
use crate::normalize::PLATFORM;

/// What a login of the bot asks for: whispers, chat by IRC, chat by EventSub and Helix, and reading as the
/// application where the bot is.
pub const BOT_SCOPES: [&str; 8] = [
    "user:manage:whispers",
    "chat:read",
    "chat:edit",
    "user:read:chat",
    "user:write:chat",
    "user:bot",
    "channel:bot",
    "moderator:read:followers",
];

/// What a login of the channel's owner asks for: what happens in the channel that only its owner may see, and
/// that the bot may be there.
pub const BROADCASTER_SCOPES: [&str; 8] = [
    "channel:bot",
    "channel:read:subscriptions",
    "channel:read:redemptions",
    "channel:read:hype_train",
    "channel:read:polls",
    "channel:read:predictions",
    "bits:read",
    "moderator:read:followers",
];

/// Twitch asks everybody to validate tokens once an hour
/// (dev.twitch.tv/docs/authentication/validate-tokens).
const VALIDATE_EVERY: Duration = Duration::from_secs(3600);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Twitch {
    flow: FlowSpec,
    validate_url: String,
    http: HttpClient,
}

/// What the settings say of logins; `None` when there is no application, or Twitch is switched off.
///
/// # Errors
/// Every problem with these settings.
pub fn provider(values: &Values) -> Result<Option<Arc<dyn Provider>>, Vec<Problem>> {
    if values.bool("TWITCH_ENABLED") == Some(false) {
        return Ok(None);
    }
    let mut problems = Vec::new();
    // One without a secret can be logged in to by device code.
    let api = api::application(values, true, &mut problems);
    let redirect_uri = api::redirect_uri(values, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(api) = api else { return Ok(None) };
    let http = HttpClient::new(ANSWER_WITHIN, MOST_BYTES)
        .map_err(|error| vec![Problem::new("TWITCH_AUTH_URL", error.to_string())])?;
    let at = |path: &str| format!("{}{path}", api.auth_url.as_str().trim_end_matches('/'));
    let owned = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
    let bot = Some(values.list("TWITCH_OAUTH_SCOPES")).filter(|scopes| !scopes.is_empty());
    let flow = FlowSpec {
        authorize_url: at("/authorize"),
        token_url: at("/token"),
        device_url: Some(at("/device")),
        client_id: api.client_id.clone(),
        client_secret: api.client_secret.clone(),
        redirect_uri,
        identities: vec![
            ("bot", bot.unwrap_or_else(|| owned(&BOT_SCOPES))),
            ("broadcaster", owned(&BROADCASTER_SCOPES)),
        ],
        validate_every: Some(VALIDATE_EVERY),
    };
    Ok(Some(Arc::new(Twitch { flow, validate_url: at("/validate"), http })))
}

// === impl Twitch ===

#[async_trait]
impl Provider for Twitch {
    fn platform(&self) -> &'static str {
        PLATFORM
    }

    fn flow(&self) -> &FlowSpec {
        &self.flow
    }

    async fn identify(&self, token: &SecretString) -> Result<Identity, ProviderError> {
        let request = Request::get(&self.validate_url)
            .header(header::AUTHORIZATION, format!("OAuth {}", token.expose_secret()))
            .body(Sent::default())
            .map_err(|_| refused("the token has characters that no token has"))?;
        let unavailable = |why: String| ProviderError::Unavailable(why);
        let answer = self.http.ask(request).await.map_err(|error| unavailable(error.to_string()))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            StatusCode::OK => {
                identity(&body).ok_or_else(|| unavailable("it said not whose it is".to_owned()))
            }
            StatusCode::UNAUTHORIZED => {
                let message = body.get("message").and_then(Value::as_str);
                Err(refused(message.unwrap_or("the token is refused")))
            }
            status => Err(unavailable(format!("HTTP {}", status.as_u16()))),
        }
    }
}

fn refused(message: &str) -> ProviderError {
    ProviderError::Refused { code: "invalid_token".to_owned(), message: message.to_owned() }
}

/// What `/validate` answered; `None` when it names no user, as for an application's token.
pub(crate) fn identity(body: &Value) -> Option<Identity> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let scopes = body.get("scopes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(Identity {
        user_id: text("user_id")?.to_owned(),
        login: text("login")?.to_owned(),
        scopes: scopes.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        // Tokens that end never say 0.
        expires_in: body
            .get("expires_in")
            .and_then(Value::as_u64)
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use chatbus_connector::PlatformFactory as _;
    use chatbus_runtime::settings::{Origin, resolve};
    use serde_json::json;

    use super::*;

    fn provider_of(pairs: &[(&str, &str)]) -> Result<Option<Arc<dyn Provider>>, Vec<Problem>> {
        let layer =
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), Origin::Flag((*k).to_owned())));
        let (values, problems) = resolve(crate::Factory.settings(), &[layer.collect()]);
        assert_eq!(problems, []);
        provider(&values)
    }

    #[test]
    fn an_application_is_enough_to_log_in_with_and_nothing_is_no_provider() {
        let application = [("TWITCH_CLIENT_ID", "id"), ("TWITCH_CLIENT_SECRET", "hush")];
        let provider = provider_of(&application).unwrap().unwrap();
        let flow = provider.flow();
        assert_eq!(flow.authorize_url, "https://id.twitch.tv/oauth2/authorize");
        assert_eq!(flow.token_url, "https://id.twitch.tv/oauth2/token");
        assert_eq!(flow.device_url.as_deref(), Some("https://id.twitch.tv/oauth2/device"));
        assert_eq!(flow.redirect_uri, None);
        assert_eq!(flow.identities.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["bot", "broadcaster"]);
        assert_eq!(flow.identities.first().unwrap().1, BOT_SCOPES);
        assert_eq!(flow.validate_every, Some(Duration::from_secs(3600)));
        assert!(!format!("{provider:?}").contains("hush"));
        assert!(provider_of(&[]).unwrap().is_none());
        assert!(provider_of(&[&application[..], &[("TWITCH_ENABLED", "no")]].concat()).unwrap().is_none());
        assert!(provider_of(&application[..1]).unwrap().unwrap().flow().client_secret.is_none());
        assert_eq!(provider_of(&application[1..]).unwrap_err().len(), 1);
    }

    #[test]
    fn scopes_and_the_way_back_are_settings() {
        let pairs = [
            ("TWITCH_CLIENT_ID", "id"),
            ("TWITCH_OAUTH_SCOPES", "chat:read, chat:edit"),
            ("TWITCH_REDIRECT_URI", "https://bot.example/back?x=1"),
            ("TWITCH_AUTH_URL", "http://127.0.0.1:1/"),
        ];
        let provider = provider_of(&pairs).unwrap().unwrap();
        let flow = provider.flow();
        assert_eq!(flow.token_url, "http://127.0.0.1:1/token");
        assert_eq!(flow.redirect_uri.as_deref(), Some("https://bot.example/back?x=1"));
        assert_eq!(flow.identities.first().unwrap().1, ["chat:read", "chat:edit"]);
        assert_eq!(flow.identities.get(1).unwrap().1, BROADCASTER_SCOPES);
        let bad = [("TWITCH_CLIENT_ID", "id"), ("TWITCH_REDIRECT_URI", "https://a,https://b")];
        assert_eq!(provider_of(&bad).unwrap_err().first().unwrap().setting, "TWITCH_REDIRECT_URI");
    }

    #[test]
    fn an_answer_names_whose_the_token_is_or_nobody() {
        let answer =
            json!({"client_id":"id","login":"bot","scopes":["chat:read"],"user_id":"7","expires_in":60});
        let expected = Identity {
            user_id: "7".to_owned(),
            login: "bot".to_owned(),
            scopes: vec!["chat:read".to_owned()],
            expires_in: Some(Duration::from_secs(60)),
        };
        assert_eq!(identity(&answer), Some(expected));
        let endless = json!({"login":"bot","scopes":null,"user_id":"7","expires_in":0});
        assert_eq!(identity(&endless).unwrap().expires_in, None);
        for nobody in
            [json!({"client_id":"id","scopes":[],"expires_in":9}), json!(null), json!({"user_id":7})]
        {
            assert_eq!(identity(&nobody), None, "{nobody}");
        }
    }
}
