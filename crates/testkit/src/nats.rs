//! A real nats-server for one test: started on a free port, killed, frozen and started again.
//!
//! The store outlives the process, not the fixture: a restart finds what the killed server had
//! synced. A missing server makes a test fail: a suite that skips what it cannot reach proves
//! nothing.

mod config;
mod find;
mod port;
mod ready;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;

use crate::process::{Process, all_threads_stopped};

pub use config::{NatsConfig, NatsTls};
pub use find::nats_server_binary;
pub(crate) use find::variable;
pub use port::ReservedPort;

/// One nats-server on loopback with JetStream on, and the folder it keeps its streams in.
///
/// Dropping it kills the server and removes the folder. When the test process itself is killed,
/// a watchdog kills the server.
#[derive(Debug)]
pub struct NatsServer {
    client: ReservedPort,
    monitor: ReservedPort,
    /// Held so that no other test takes the route port while this server is down.
    _route: Option<ReservedPort>,
    tls: bool,
    folder: tempfile::TempDir,
    process: Mutex<Option<Process>>,
}

// === impl NatsServer ===

impl NatsServer {
    /// A server with default settings, ready for clients.
    pub async fn start() -> Self {
        NatsConfig::default().start().await
    }

    /// Servers that replicate to each other, all ready; JetStream has its leader.
    pub async fn start_cluster(size: usize, config: &NatsConfig) -> Vec<Self> {
        let routes: Vec<ReservedPort> = (0..size).map(|_| ReservedPort::take()).collect();
        let urls: Vec<String> =
            routes.iter().map(|route| format!("nats://127.0.0.1:{}", route.number())).collect();
        let servers: Vec<Self> = routes
            .into_iter()
            .enumerate()
            .map(|(at, route)| Self::prepare_member(config, at, route, &urls))
            .collect();
        for server in &servers {
            server.spawn();
        }
        for server in &servers {
            server.wait_until_ready().await;
        }
        servers
    }

    pub(crate) fn prepare(config: &NatsConfig) -> Self {
        Self::write(config, "single", None, &[])
    }

    fn prepare_member(config: &NatsConfig, at: usize, route: ReservedPort, routes: &[String]) -> Self {
        Self::write(config, &format!("n{at}"), Some(route), routes)
    }

    fn write(config: &NatsConfig, name: &str, route: Option<ReservedPort>, routes: &[String]) -> Self {
        let folder = tempfile::Builder::new().prefix("chatbus-nats-").tempdir().expect("a temporary folder");
        let (client, monitor) = (ReservedPort::take(), ReservedPort::take());
        let text = config.render(&config::Place {
            name,
            client: client.number(),
            monitor: monitor.number(),
            store: &folder.path().join("store"),
            cluster: route.as_ref().map(|route| (route.number(), routes)),
        });
        fs::write(folder.path().join("server.conf"), text).expect("the server's settings are written");
        Self { client, monitor, _route: route, tls: config.tls.is_some(), folder, process: Mutex::new(None) }
    }

    /// Starts a server that was only prepared, or was killed or stopped: the same port, the same
    /// store. Returns when it serves clients.
    ///
    /// Panics when it is running already, or does not become ready.
    pub async fn restart(&self) {
        self.spawn();
        self.wait_until_ready().await;
    }

    /// Waits until the server answers a new connection and JetStream is up (in a cluster: has a
    /// leader). Panics with the server's log after 30 s, or as soon as the process is gone.
    #[expect(clippy::panic, reason = "a test without its server fails")]
    pub async fn wait_until_ready(&self) {
        if let Err(problem) =
            ready::wait(self.client.number(), self.monitor.number(), || self.is_running()).await
        {
            panic!("nats-server on port {} is not ready: {problem}\n{}", self.client.number(), self.log());
        }
    }

    fn spawn(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "this nats-server runs already");
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log opens");
        let mut command = Command::new(nats_server_binary());
        command
            .arg("--config")
            .arg(self.folder.path().join("server.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log);
        *process = Some(Process::start(&mut command));
    }

    /// Kills it as a power cut would (SIGKILL), running or frozen, and waits until it is gone.
    pub fn kill(&self) {
        let process = self.process().take().expect("a nats-server to kill");
        process.end(Signal::SIGKILL);
    }

    /// Stops it in an orderly way (SIGTERM) and waits until it is gone.
    pub fn stop(&self) {
        let process = self.process().take().expect("a nats-server to stop");
        process.end(Signal::SIGTERM);
    }

    /// Stops its execution without closing a connection (SIGSTOP), as a hung machine would. Every one
    /// of its threads stands still when this returns; the signal alone only asks for that.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = self.pid().expect("a running nats-server");
        while !all_threads_stopped(pid) {
            std::thread::yield_now();
        }
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process();
        process.as_ref().expect("a running nats-server").signal(signal);
    }

    /// True while the process exists, frozen or not.
    pub fn is_running(&self) -> bool {
        self.process().as_mut().is_some_and(Process::is_running)
    }

    /// The server's process id; `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// Where clients connect: `nats://127.0.0.1:PORT`, `tls://localhost:PORT` with TLS.
    pub fn url(&self) -> String {
        match self.tls {
            true => format!("tls://localhost:{}", self.client.number()),
            false => format!("nats://127.0.0.1:{}", self.client.number()),
        }
    }

    /// The port for clients, the same over every restart.
    pub fn port(&self) -> u16 {
        self.client.number()
    }

    /// The HTTP port of the server's own monitoring, for `/jsz`, `/connz` and the like.
    pub fn monitor_port(&self) -> u16 {
        self.monitor.number()
    }

    /// Where its streams are.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(process) = self.process().take() {
            process.end(Signal::SIGKILL);
        }
    }
}

/// The folder of the workspace this test was built in.
pub(crate) fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/testkit is two folders below the root")
}

#[cfg(test)]
mod tests;
