//! Speaks to a running process over its admin API.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use chatbus_runtime::settings::Values;
use futures::StreamExt as _;
use serde_json::Value;

use crate::instance::RunFile;
use crate::settings::Core;

/// A running process.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer longer than this is not from chatbus.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

// === impl Client ===

impl Client {
    /// Finds the process: the URL that was given, else what runs in the data folder, else HOST:PORT.
    ///
    /// # Errors
    /// When none of them answers as chatbus does.
    pub(crate) async fn find(url: Option<&str>, core: &Core, values: &Values) -> anyhow::Result<Self> {
        let found = Self::look(url, core, values).await?;
        found.ok_or_else(|| {
            anyhow!(
                "no running chatbus was found at {}; start one with `chatbus serve`, or name its address with --url",
                candidates(url, core).join(" or ")
            )
        })
    }

    /// The same; `None` when nobody listens at any of these.
    ///
    /// # Errors
    /// When somebody does and does not answer as chatbus does.
    pub(crate) async fn look(
        url: Option<&str>,
        core: &Core,
        values: &Values,
    ) -> anyhow::Result<Option<Self>> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(3))
            .no_proxy()
            .build()
            .context("an HTTP client could not be made")?;
        let token = values.text("CHATBUS_ADMIN_TOKEN").map(str::to_owned);
        let mut silent = None;
        for base in candidates(url, core) {
            let asked = http.get(format!("{base}/healthz")).timeout(Duration::from_secs(5)).send().await;
            let answer = match asked {
                Ok(answer) => answer,
                Err(error) if error.is_connect() && !error.is_timeout() => continue,
                Err(_) => {
                    silent.get_or_insert(base);
                    continue;
                }
            };
            let body: Value = answer.json().await.unwrap_or_default();
            if body["service"] == "chatbus" {
                return Ok(Some(Self { http, base, token }));
            }
            bail!("{base} answers, but it is not chatbus; name the right address with --url");
        }
        match silent {
            Some(base) => bail!(
                "{base} takes connections and does not answer; look at the process there, or name another with --url"
            ),
            None => Ok(None),
        }
    }

    /// Sends a text; gives the status and the answer.
    pub(crate) async fn send(
        &self,
        body: &Value,
        key: Option<&str>,
        wait: Duration,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request =
            self.http.post(format!("{}/api/v1/send", self.base)).header("x-chatbus", "1").json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = self.authorized(request).timeout(wait + Duration::from_secs(30)).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.context("the answer is no JSON")?))
    }

    /// Reads the bus, a line at a time, until `each` says no.
    pub(crate) async fn tail(
        &self,
        query: &[(&str, String)],
        each: &mut dyn FnMut(&str) -> bool,
    ) -> anyhow::Result<()> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/tail", self.base))?;
        url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = self.authorized(self.http.get(url)).send().await?;
        if !answer.status().is_success() {
            let body: Value = answer.json().await.unwrap_or_default();
            bail!("{}", body["error"]["message"].as_str().unwrap_or("the process refused"));
        }
        let mut chunks = answer.bytes_stream();
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            rest.extend_from_slice(&chunk.context("the process stopped answering")?);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if !each(String::from_utf8_lossy(&line).trim_end()) {
                    return Ok(());
                }
            }
            if rest.len() > MAX_LINE_BYTES {
                bail!("the process sent a line that is too long");
            }
        }
        Ok(())
    }

    /// Asks for something of the admin API; gives the status and the answer.
    pub(crate) async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).header("x-chatbus", "1");
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.authorized(request).timeout(Duration::from_secs(30)).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await.context("the answer is no JSON")?))
    }

    fn authorized(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Where a process may answer.
fn candidates(url: Option<&str>, core: &Core) -> Vec<String> {
    match url {
        Some(url) => vec![url.trim_end_matches('/').to_owned()],
        None => {
            let running = RunFile::all(&core.data_dir).into_iter().map(|info| info.url);
            running.chain([format!("http://{}", core.listen)]).collect()
        }
    }
}
