//! A real PostgreSQL server for one test: started on a free port, stopped, killed, frozen and started again.
//!
//! The data outlive the process, not the fixture. A missing server makes a test fail: a suite that skips
//! what it cannot reach proves nothing.

mod find;
mod user;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::nats::ReservedPort;
use crate::process::{Process, all_threads_stopped};
use user::ServerUser;

/// The role that owns everything, with a password so that logging in is what it is elsewhere.
const ROLE: &str = "chatbus";
const PASSWORD: &str = "a secret/word";
const DATABASE: &str = "postgres";

/// Tries until a server must be ready, and the wait between two of them: half a minute.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// One PostgreSQL server on loopback, and the folder it keeps its data in.
///
/// Dropping it kills the server and removes the folder. When the test process itself is killed, a watchdog
/// kills the server.
#[derive(Debug)]
pub struct Postgres {
    port: ReservedPort,
    folder: tempfile::TempDir,
    config: PostgresConfig,
    process: Mutex<Option<Process>>,
}

/// What a test may want of its server.
#[derive(Debug, Clone, Default)]
pub struct PostgresConfig {
    /// Sync to the disk at each commit. Without it, as by default, what was committed survives a kill of the
    /// server and not a power cut: enough for tests, and not for benchmarks.
    pub fsync: bool,
    /// Certificate and key in PEM: the server offers TLS with them.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Further settings: `name=value`.
    pub settings: Vec<String>,
}

// === impl PostgresConfig ===

impl PostgresConfig {
    /// A new server with empty data, ready for clients. Panics when there is none to be had.
    pub async fn start(&self) -> Postgres {
        let server = Postgres::prepare(self.clone());
        server.restart().await;
        server
    }
}

// === impl Postgres ===

impl Postgres {
    /// A server with default settings, ready for clients.
    pub async fn start() -> Self {
        PostgresConfig::default().start().await
    }

    fn prepare(config: PostgresConfig) -> Self {
        let user = ServerUser::find();
        let folder =
            tempfile::Builder::new().prefix("chatbus-postgres-").tempdir().expect("a temporary folder");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("the password is written");
        user.give(folder.path());
        user.give(&password);
        let made = user
            .command(&find::binary("initdb"))
            .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"])
            .arg(format!("--username={ROLE}"))
            .arg(format!("--pwfile={}", password.display()))
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb failed: {}", text(&made));
        if let Some((cert, key)) = &config.tls {
            for (from, name) in [(cert, "server.crt"), (key, "server.key")] {
                let to = folder.path().join("data").join(name);
                fs::copy(from, &to).expect("a file for TLS is copied");
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("its mode is set");
                user.give(&to);
            }
        }
        Self { port: ReservedPort::take(), folder, config, process: Mutex::default() }
    }

    /// Starts a server that was stopped or killed: the same port, the same data. Returns when it serves
    /// clients.
    ///
    /// Panics when it is running already, or does not become ready.
    pub async fn restart(&self) {
        self.spawn();
        let mut problem = String::new();
        for _ in 0..TRIES {
            if !self.is_running() {
                // The children of a killed server take a moment to notice, and hold its memory until then.
                self.process().take();
                self.spawn();
            }
            match self.check() {
                Ok(()) => return,
                Err(why) => problem = why,
            }
            tokio::time::sleep(PAUSE).await;
        }
        fail(&format!("PostgreSQL on port {} is not ready: {problem}\n{}", self.port(), self.log()));
    }

    fn check(&self) -> Result<(), String> {
        let answer = Command::new(find::binary("pg_isready"))
            .args(["--host=127.0.0.1", "--timeout=1"])
            .arg(format!("--port={}", self.port()))
            .arg(format!("--username={ROLE}"))
            .arg(format!("--dbname={DATABASE}"))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if answer.status.success() { Ok(()) } else { Err(text(&answer)) }
    }

    fn spawn(&self) {
        let mut process = self.process();
        assert!(process.is_none(), "this PostgreSQL server runs already");
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log opens");
        let mut command = ServerUser::find().command(&find::binary("postgres"));
        command
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port().to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", if self.config.fsync { "fsync=on" } else { "fsync=off" }]);
        if self.config.tls.is_some() {
            command.args(["-c", "ssl=on"]);
        }
        for setting in &self.config.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle of the log")).stderr(log);
        *process = Some(Process::start(&mut command));
    }

    /// Stops it in an orderly way (SIGINT: clients are told and cut off) and waits until it is gone.
    pub fn stop(&self) {
        self.process().take().expect("a PostgreSQL server to stop").end(Signal::SIGINT);
    }

    /// Kills it with all its children as a power cut would (SIGKILL), and waits until it is gone.
    pub fn kill(&self) {
        let process = self.process().take().expect("a PostgreSQL server to kill");
        let children = children(process.id());
        // First the server, which would otherwise begin anew when a child fails.
        process.end(Signal::SIGKILL);
        for child in children {
            let _ = kill(child, Signal::SIGKILL);
        }
    }

    /// Stops its execution without closing a connection (SIGSTOP), as a hung machine would. All of its
    /// processes stand still when this returns.
    pub fn freeze(&self) {
        let process = self.process();
        let server = process.as_ref().expect("a running PostgreSQL server");
        server.signal(Signal::SIGSTOP);
        wait_stopped(server.id());
        // A server that stands still has no new children.
        for child in children(server.id()) {
            let _ = kill(child, Signal::SIGSTOP);
            wait_stopped(u32::try_from(child.as_raw()).unwrap_or_default());
        }
    }

    /// Lets a frozen server go on (SIGCONT).
    pub fn thaw(&self) {
        let process = self.process();
        let server = process.as_ref().expect("a running PostgreSQL server");
        for child in children(server.id()) {
            let _ = kill(child, Signal::SIGCONT);
        }
        server.signal(Signal::SIGCONT);
    }

    /// True while the process exists, frozen or not.
    pub fn is_running(&self) -> bool {
        self.process().as_mut().is_some_and(Process::is_running)
    }

    /// Where clients connect: `postgres://USER:PASSWORD@127.0.0.1:PORT/DATABASE`.
    pub fn url(&self) -> String {
        format!("postgres://{ROLE}:{}@127.0.0.1:{}/{DATABASE}", self.password_in_url(), self.port())
    }

    /// The password as [`url`](Self::url) has it, to look for where it must not be.
    pub fn password_in_url(&self) -> String {
        PASSWORD.replace(' ', "%20").replace('/', "%2F")
    }

    /// The password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The port, the same over every restart.
    pub fn port(&self) -> u16 {
        self.port.number()
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

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.process().is_some() {
            self.kill();
        }
    }
}

fn children(server: u32) -> Vec<Pid> {
    let listed = fs::read_to_string(Path::new("/proc").join(format!("{server}/task/{server}/children")));
    let listed = listed.unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).map(Pid::from_raw).collect()
}

/// The signal alone only asks for it.
fn wait_stopped(pid: u32) {
    while !all_threads_stopped(pid) {
        std::thread::yield_now();
    }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[expect(clippy::panic, reason = "a test without its server fails")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

#[cfg(test)]
mod tests;
