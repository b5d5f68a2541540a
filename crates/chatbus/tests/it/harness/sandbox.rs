//! `chatbus sandbox` as a child process, steered over its control API.

use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::process::command;
use super::wait::{SHORT, eventually};

/// A running sandbox. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct SandboxProcess {
    pub(crate) irc: String,
    pub(crate) irc_ws: String,
    pub(crate) playground: String,
    addresses: Value,
    control: String,
    http: reqwest::Client,
    _child: Child,
    _folder: TempDir,
}

// === impl SandboxProcess ===

impl SandboxProcess {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command(&["sandbox"], [("LOG_LEVEL", "error")].into_iter(), folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(SHORT, lines.next_line()).await.expect("the sandbox starts").unwrap();
        let addresses: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let address = |name: &str| addresses[name].as_str().unwrap().trim_end_matches('/').to_owned();
        Self {
            irc: address("irc"),
            irc_ws: address("ircWs"),
            playground: address("playground"),
            control: address("control"),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            addresses: addresses.clone(),
            _child: child,
            _folder: folder,
        }
    }

    /// Where one of its platforms is.
    pub(crate) fn address(&self, name: &str) -> String {
        self.addresses[name].as_str().unwrap().trim_end_matches('/').to_owned()
    }

    /// A request of the control API under `/twitch`.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.post_to(&format!("twitch/{path}"), body).await
    }

    /// A request of the control API.
    pub(crate) async fn post_to(&self, path: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/{path}", self.control)).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path} {body}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.get_from(&format!("twitch/{path}")).await
    }

    pub(crate) async fn get_from(&self, path: &str) -> Value {
        self.http.get(format!("{}/{path}", self.control)).send().await.unwrap().json().await.unwrap()
    }

    /// Everything that was said in the playground.
    pub(crate) async fn in_playground(&self) -> Vec<Value> {
        self.get_from("playground/messages").await.as_array().unwrap().clone()
    }

    /// A viewer says something; its message id.
    pub(crate) async fn say(&self, channel: &str, text: &str) -> String {
        let said = self.post("say", json!({ "channel": channel, "login": "ada", "text": text })).await;
        said["messages"][0]["id"].as_str().unwrap().to_owned()
    }

    /// Bytes as they are, to everyone. Each line is a text or `{"hex":…}`.
    pub(crate) async fn raw(&self, lines: Vec<Value>) {
        let report = self.post("raw", json!({ "lines": lines })).await;
        assert!(report["connections"].as_u64().unwrap() > 0, "nobody is connected: {report}");
    }

    /// Numbered lines at a rate; the ids of all that were said.
    pub(crate) async fn flood(&self, channel: &str, count: u64, rate: u64) -> Vec<String> {
        let report = self.post("flood", json!({ "channel": channel, "count": count, "rate": rate })).await;
        let first = report["first_id"].as_str().unwrap();
        let run = &first[..first.len() - 12];
        (0..report["sent"].as_u64().unwrap()).map(|n| format!("{run}{n:012x}")).collect()
    }

    /// Everything that clients said.
    pub(crate) async fn sent(&self) -> Vec<Value> {
        self.get("sent").await.as_array().unwrap().clone()
    }

    /// No limits for who speaks, so that a test does not wait half a minute.
    pub(crate) async fn without_limits(&self) {
        let off = json!({ "messages": false, "duplicates": false, "joins": false, "logins": false, "channel_gap_ms": 0 });
        self.post("rules", off).await;
    }

    /// Waits until so many connections have joined the channel.
    pub(crate) async fn joined(&self, channel: &str, connections: usize) {
        eventually("everybody joined", SHORT, async || {
            let all = self.get("connections").await;
            let channel = channel.trim_start_matches('#');
            let inside = all.as_array().unwrap().iter().filter(|connection| {
                connection["channels"].as_array().unwrap().iter().any(|name| name == channel)
            });
            if inside.count() >= connections { Ok(()) } else { Err(all.to_string()) }
        })
        .await;
    }
}
