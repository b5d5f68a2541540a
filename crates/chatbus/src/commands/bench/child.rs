//! Other programs that a benchmark starts, so that their CPU time is not ours. None outlives us.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A program that ends with this value, or with this process.
#[derive(Debug)]
pub(super) struct Guarded {
    // First, so that it is gone before the number it would kill is free again.
    _watchdog: Child,
    child: Child,
}

/// A sandbox in a process of its own, steered over its control API.
#[derive(Debug)]
pub(super) struct SandboxProcess {
    pub(super) irc: String,
    pub(super) twilio: String,
    control: String,
    http: reqwest::Client,
    _process: Guarded,
}

// === impl Guarded ===

impl Guarded {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start(command: &mut Command) -> std::io::Result<Self> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// Starts it with its standard input and output in our hands.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) fn start_steered(command: &mut Command) -> anyhow::Result<(Self, ChildStdin, ChildStdout)> {
        let mut guarded = Self::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = guarded.child.stdin.take().context("it has no input")?;
        let stdout = guarded.child.stdout.take().context("it has no output")?;
        Ok((guarded, stdin, stdout))
    }

    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        let child = command.kill_on_drop(true).spawn()?;
        // Its standard input closes when this process ends, however it ends.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$1\"", "watchdog"])
            .arg(child.id().unwrap_or_default().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { _watchdog: watchdog, child })
    }

    /// Whether it ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

// === impl SandboxProcess ===

impl SandboxProcess {
    /// Starts one from this program, with no setting of ours.
    ///
    /// # Errors
    /// When it does not start or does not say where it listens.
    pub(super) async fn start(folder: &std::path::Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let mut command = Command::new(program);
        command.args(["sandbox", "--log-level", "warn"]).current_dir(folder).env_clear();
        let mut process = Guarded::start(command.stdout(Stdio::piped()))?;
        let out = process.child.stdout.take().context("the sandbox has no output")?;
        let line = BufReader::new(out).lines().next_line().await?.context("the sandbox ended at once")?;
        let said: serde_json::Value = serde_json::from_str(&line).context("the sandbox's addresses")?;
        let address = |name: &str| {
            said[name].as_str().map(str::to_owned).with_context(|| format!("the sandbox names no {name}"))
        };
        let http = reqwest::Client::builder().no_proxy().build()?;
        let (irc, twilio, control) = (address("irc")?, address("twilio")?, address("control")?);
        Ok(Self { irc, twilio, control, http, _process: process })
    }

    /// Asks something of it.
    ///
    /// # Errors
    /// When it refuses.
    pub(super) async fn post(
        &self,
        path: &str,
        body: serde_json::Value,
    ) -> anyhow::Result<serde_json::Value> {
        let answer = self.http.post(format!("{}{path}", self.control)).json(&body).send().await?;
        let status = answer.status();
        let said: serde_json::Value = answer.json().await?;
        anyhow::ensure!(status.is_success(), "the sandbox refused {path}: {said}");
        Ok(said)
    }

    /// Reads something from it.
    ///
    /// # Errors
    /// When it does not answer.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        Ok(self.http.get(format!("{}{path}", self.control)).send().await?.json().await?)
    }
}
