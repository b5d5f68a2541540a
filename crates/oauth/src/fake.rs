//! A platform for tests: its token server on a socket, and what it says of tokens.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::routing::post;
use chatbus_http::HttpClient;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpListener;

use crate::{FlowSpec, Identity, Provider, ProviderError};

/// The form of a request.
pub(crate) type Asked = HashMap<String, String>;

/// A platform. Each refresh token is good for one use, after which it gives `access-N` and `refresh-N`.
#[derive(Debug)]
pub(crate) struct Fake {
    flow: FlowSpec,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// All requests.
    pub(crate) asked: Vec<Asked>,
    /// Answers that come before any other.
    pub(crate) answers: VecDeque<(u16, String)>,
    /// The refresh token that is good.
    pub(crate) refresh: String,
    /// The access tokens that are good.
    pub(crate) access: HashSet<String>,
    /// Whether nobody can be asked whose a token is.
    pub(crate) is_mute: bool,
    /// Whose tokens are.
    pub(crate) user_id: String,
    /// How often somebody asked whose a token is.
    pub(crate) identified: usize,
    /// Called when a refresh token is used up, before the answer.
    pub(crate) on_refresh: Option<Box<dyn Fn() + Send>>,
    issued: usize,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner")
    }
}

// === impl Fake ===

impl Fake {
    pub(crate) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Mutex::new(Inner { user_id: "1337".to_owned(), ..Inner::default() }));
        let server = axum::Router::new()
            .route("/token", post(answer))
            .route("/device", post(answer))
            .with_state(Arc::clone(&inner));
        let serve = async move { axum::serve(listener, server).await.unwrap() };
        chatbus_testkit::test_runtime(0).spawn("test.platform", serve);
        let scopes = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let flow = FlowSpec {
            authorize_url: "https://somewhere.test/authorize?force_verify=true".to_owned(),
            token_url: format!("{url}/token"),
            device_url: Some(format!("{url}/device")),
            client_id: "client".to_owned(),
            client_secret: Some("client-secret".into()),
            redirect_uri: None,
            identities: vec![("bot", scopes(&["read", "write"])), ("owner", scopes(&["read"]))],
            validate_every: Some(Duration::from_secs(3600)),
        };
        Arc::new(Self { flow, inner })
    }

    /// The same platform with another flow.
    pub(crate) fn with(&self, change: impl FnOnce(&mut FlowSpec)) -> Arc<Self> {
        let mut flow = self.flow.clone();
        change(&mut flow);
        Arc::new(Self { flow, inner: Arc::clone(&self.inner) })
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// How many requests had this grant type.
    pub(crate) fn count(&self, grant: &str) -> usize {
        self.inner()
            .asked
            .iter()
            .filter(|asked| asked.get("grant_type").is_some_and(|is| is == grant))
            .count()
    }

    /// Gives these answers before any other.
    pub(crate) fn answer(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
        self.inner().answers.extend(answers);
    }
}

/// A client for tests.
pub(crate) fn http() -> HttpClient {
    HttpClient::new(Duration::from_secs(5), 4096).unwrap()
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, Form(asked): Form<Asked>) -> (StatusCode, String) {
    let mut inner = inner.lock().unwrap();
    let (status, body) = inner.judge(&asked);
    inner.asked.push(asked);
    (StatusCode::from_u16(status).unwrap(), body)
}

impl Inner {
    fn judge(&mut self, asked: &Asked) -> (u16, String) {
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        let is = |field: &str, text: &str| asked.get(field).is_some_and(|is| is == text);
        if is("grant_type", "refresh_token") {
            if !is("refresh_token", &self.refresh) {
                return (400, r#"{"status":400,"message":"Invalid refresh token"}"#.to_owned());
            }
            if let Some(tell) = &self.on_refresh {
                tell();
            }
        } else if !is("code", "good") {
            return (400, r#"{"status":400,"message":"Invalid authorization code"}"#.to_owned());
        }
        self.issued += 1;
        let count = self.issued;
        self.refresh = format!("refresh-{count}");
        self.access = HashSet::from([format!("access-{count}")]);
        let body = format!(
            r#"{{"access_token":"access-{count}","refresh_token":"refresh-{count}","expires_in":14400,"scope":["read"],"token_type":"bearer"}}"#
        );
        (200, body)
    }
}

#[async_trait]
impl Provider for Fake {
    fn platform(&self) -> &'static str {
        "somewhere"
    }

    fn flow(&self) -> &FlowSpec {
        &self.flow
    }

    async fn identify(&self, token: &SecretString) -> Result<Identity, ProviderError> {
        let mut inner = self.inner();
        inner.identified += 1;
        if inner.is_mute {
            return Err(ProviderError::Unavailable("HTTP 503".to_owned()));
        }
        if !inner.access.contains(token.expose_secret()) {
            let (code, message) = ("invalid_token".to_owned(), "invalid access token".to_owned());
            return Err(ProviderError::Refused { code, message });
        }
        Ok(Identity {
            user_id: inner.user_id.clone(),
            login: format!("user{}", inner.user_id),
            scopes: vec!["read".to_owned()],
            expires_in: Some(Duration::from_secs(14_400)),
        })
    }
}
