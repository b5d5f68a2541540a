//! The binary as a child process, and its HTTP side.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::wait::{SHORT, eventually};

/// How to start a chatbus: its settings and the folder it works in.
#[derive(Debug)]
pub(crate) struct Chatbus {
    folder: Arc<TempDir>,
    settings: BTreeMap<String, String>,
    roles: Vec<&'static str>,
    is_whole: bool,
    started: AtomicU32,
}

/// A `chatbus serve` that answers. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) pid: u32,
    log: PathBuf,
    errors: PathBuf,
    child: Child,
    _folder: Arc<TempDir>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command that does not end by itself within this time hangs.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// Runs the binary to its end with these arguments and settings, in this folder.
pub(crate) async fn run(args: &[&str], settings: &[(&str, &str)], folder: &Path) -> Finished {
    let running = command(args, settings.iter().copied(), folder).stdin(Stdio::null()).output();
    let output = tokio::time::timeout(COMMAND_WITHIN, running).await.expect("the command ends").unwrap();
    Finished {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// With these settings and nothing of this process's environment, so that no setting of the machine
/// changes a test.
pub(super) fn command<'a>(
    args: &[&str],
    settings: impl Iterator<Item = (&'a str, &'a str)>,
    folder: &Path,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatbus"));
    command.args(args).env_clear().envs(settings).current_dir(folder).kill_on_drop(true);
    command
}

// === impl Chatbus ===

impl Chatbus {
    /// Nothing but a free port, JSON logs, and a folder of its own.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("chatbus-test-").tempdir().unwrap();
        let settings = [("PORT", "0"), ("LOG_FORMAT", "json")];
        let settings =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self {
            folder: Arc::new(folder),
            settings,
            roles: Vec::new(),
            is_whole: false,
            started: AtomicU32::new(0),
        }
    }

    /// With a setting.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Only this role, and others named so. Without any: those that deliver.
    pub(crate) fn role(mut self, role: &'static str) -> Self {
        self.roles.push(role);
        self
    }

    /// With every role, as `serve` runs them.
    pub(crate) fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// Reading these channels without an account.
    pub(crate) fn reading(self, irc_url: &str, channels: &str) -> Self {
        self.with("TWITCH_IRC_URL", irc_url)
            .with("TWITCH_CHANNELS", channels)
            .with("IRC_RECONNECT_INITIAL_MS", "100")
            .with("IRC_RECONNECT_MAX_MS", "500")
    }

    /// Also speaking, as `chatbus_bot`.
    pub(crate) fn speaking(self) -> Self {
        self.with("TWITCH_BOT_USERNAME", "chatbus_bot").with("TWITCH_BOT_ACCESS_TOKEN", TOKEN)
    }

    /// On this nats-server.
    pub(crate) fn on_nats(self, url: &str) -> Self {
        self.with("MESSAGE_BUS_DRIVER", "nats").with("NATS_URL", url)
    }

    /// The folder it runs in; DATA_DIR is in there.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Runs another command of the binary with the same settings.
    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        run(args, &self.pairs().collect::<Vec<_>>(), self.folder()).await
    }

    /// Starts `serve` and waits until it is ready.
    pub(crate) async fn ready(&self) -> Running {
        let running = self.listening().await;
        running.until_ready().await;
        running
    }

    /// Starts `serve` and waits until it answers, ready or not.
    pub(crate) async fn listening(&self) -> Running {
        let n = self.started.fetch_add(1, Ordering::Relaxed);
        let (log, errors) =
            (self.folder().join(format!("serve-{n}.log")), self.folder().join(format!("serve-{n}.err")));
        // What answers and records would be in the way of tests that count what is on the bus.
        let roles: &[&str] = match (self.is_whole, self.roles.as_slice()) {
            (true, _) => &[],
            (false, []) => &["ingress-egress", "api-gateway"],
            (false, named) => named,
        };
        let arguments: Vec<&str> = ["serve"].iter().chain(roles).copied().collect();
        let mut child = command(&arguments, self.pairs(), self.folder())
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let url = eventually("chatbus listens", SHORT, async || {
            let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("chatbus ended with {status}:\n{}{}", read(&log), read(&errors));
            }
            let lines = read(&log);
            let listening =
                lines.lines().find(|line| line.contains("\"http.listening\"")).ok_or(lines.clone())?;
            let line: Value = serde_json::from_str(listening).map_err(|error| error.to_string())?;
            Ok(line["url"].as_str().unwrap().to_owned())
        })
        .await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Running { url, http, pid, log, errors, child, _folder: Arc::clone(&self.folder) }
    }
}

/// The bot's token: no output may ever hold it.
pub(crate) const TOKEN: &str = "oauth:s3cretS3cretS3cret";

// === impl Running ===

impl Running {
    /// The status and JSON of a path; `None` when nothing answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = self.http.get(format!("{}{path}", self.url)).timeout(SHORT).send().await.ok()?;
        Some((answer.status().as_u16(), answer.json().await.ok()?))
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn until_ready(&self) {
        eventually("chatbus is ready", SHORT, async || match self.get("/readyz").await {
            Some((200, _)) => Ok(()),
            other => Err(format!("{other:?}\n{}", self.log())),
        })
        .await;
    }

    /// Publishes a text to be said. The delivery id when it was acknowledged, else why not.
    pub(crate) async fn send(&self, to: &str, text: &str) -> Result<String, String> {
        let request = self.http.post(format!("{}/api/v1/send", self.url)).header("x-chatbus", "1");
        let body = json!({ "to": to, "text": text });
        let answer = request.json(&body).timeout(SHORT).send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        match (status, body["deliveryId"].as_str()) {
            (202, Some(id)) => Ok(id.to_owned()),
            _ => Err(format!("{status} {body}")),
        }
    }

    /// Everything that is on a topic.
    pub(crate) async fn records(&self, topic: &str) -> Vec<Value> {
        let text = self.text(&format!("/api/v1/tail?last=1000000&topic={topic}")).await;
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        let read = |path| std::fs::read_to_string(path).unwrap();
        read(&self.log) + &read(&self.errors)
    }

    /// The whole lines of the log, which are JSON.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.kill_confirmed().await;
    }

    /// Waits until it is gone, by a kill and nothing else.
    pub(crate) async fn kill_confirmed(&mut self) {
        let status = self.ended().await;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.try_into().unwrap()), signal).unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(SHORT, self.child.wait()).await.expect("chatbus ends").unwrap()
    }
}
