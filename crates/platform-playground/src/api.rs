//! The playground's HTTP API, as its clients see it.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url, header};
use serde_json::json;

/// Where a playground is: an address of this machine and no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Why a text is no [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotLoopback;

/// One server's API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    endpoint: Endpoint,
    http: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// Why nothing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nobody listens there: nothing went out.
    Unreachable,
    /// The connection ended, or there was no answer in time.
    Lost,
}

/// How long an answer may take.
const POST_WITHIN: Duration = Duration::from_secs(10);
const HELLO_WITHIN: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

// === impl Endpoint ===

impl Endpoint {
    /// Reads `http://` and a loopback address, with a port or without. A name is none, `localhost`
    /// included: what it means is for others to say.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, NotLoopback> {
        let url = Url::parse(text.trim()).map_err(|_| NotLoopback)?;
        let is_plain = url.scheme() == "http" && url.path() == "/" && url.query().is_none();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if is_plain && is_loopback && url.username().is_empty() && url.password().is_none() {
            return Ok(Self(url));
        }
        Err(NotLoopback)
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl std::fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("only http:// and a loopback address, such as http://127.0.0.1:9100")
    }
}

// === impl Api ===

impl Api {
    /// # Errors
    /// When no HTTP client can be made on this machine.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, reqwest::Error> {
        // Neither a proxy nor a redirect leads away from this machine.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .build()?;
        Ok(Self { endpoint, http })
    }

    /// Whether the server answers.
    pub(crate) async fn hello(&self) -> bool {
        let request = self.http.get(self.endpoint.at("/v1/hello")).timeout(HELLO_WITHIN);
        request.send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Says a text under a key.
    pub(crate) async fn say(&self, channel: &str, text: &str, key: &str) -> Result<Answer, Unanswered> {
        let path = format!("/v1/channels/{}/messages", channel.trim_start_matches('#'));
        let request = self.http.post(self.endpoint.at(&path)).timeout(POST_WITHIN);
        let request = request.header("idempotency-key", key).json(&json!({ "text": text }));
        let answer = request.send().await.map_err(|error| Unanswered::of(&error))?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = answer.bytes().await.map_err(|_| Unanswered::Lost)?.to_vec();
        Ok(Answer { status, retry_after, body })
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Unanswered {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_connect() { Self::Unreachable } else { Self::Lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_an_endpoint() {
        for good in ["http://127.0.0.1:9100", "http://127.0.0.1/", " http://[::1]:80 ", "http://127.9.9.9:1"]
        {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:9100",
            "https://127.0.0.1",
            "http://localhost:9100",
            "http://10.0.0.1",
            "http://0.0.0.0:9100",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "http://me:pw@127.0.0.1",
            "http://127.0.0.1/path",
            "http://127.0.0.1?q",
        ] {
            assert_eq!(Endpoint::parse(bad), Err(NotLoopback), "{bad}");
        }
    }
}
