//! A nats-server of our own on a free port.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

use super::child::Guarded;

/// A running nats-server; it ends with this value.
#[derive(Debug)]
pub(super) struct NatsServer {
    pub(super) url: String,
    _process: Guarded,
}

const READY_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The address of a server, if there is one.
pub(super) fn url_of(server: Option<&NatsServer>) -> Option<&str> {
    server.map(|server| server.url.as_str())
}

// === impl NatsServer ===

impl NatsServer {
    /// Starts one that keeps its streams in `folder`; `None` when there is no such program.
    ///
    /// # Errors
    /// When it starts and does not become ready.
    pub(super) async fn start(
        program: &Path,
        folder: &Path,
        sync_always: bool,
    ) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let shown = folder.display().to_string();
        let sync = if sync_always { ", sync_interval: always" } else { "" };
        let config = folder.join("server.conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"127.0.0.1:-1\"\nports_file_dir: {shown:?}\n\
                 jetstream {{ store_dir: {shown:?}{sync} }}\n"
            ),
        )?;
        let log = std::fs::File::create(folder.join("server.log"))?;
        let mut command = Command::new(program);
        command.arg("--config").arg(&config).stdout(Stdio::null()).stderr(log);
        let mut process = match Guarded::start(&mut command) {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("{} does not start", program.display()));
            }
        };
        let ready = async {
            loop {
                if let Some(url) = announced(folder) {
                    return Ok(url);
                }
                if process.has_ended() {
                    let log = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
                    bail!("{} ended at once: {}", program.display(), log.trim());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let url = tokio::time::timeout(READY_WITHIN, ready).await.context("nats-server is not ready")??;
        Ok(Some(Self { url, _process: process }))
    }
}

/// The address that the server writes into a file of its own choosing once it listens.
fn announced(folder: &Path) -> Option<String> {
    let files = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let file = files.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "ports"))?;
    let said: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).ok()?).ok()?;
    said["nats"][0].as_str().map(str::to_owned)
}
