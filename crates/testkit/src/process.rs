//! A server's process, which does not outlive the test however that ends.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running server, and a watchdog that kills it when the test process is gone.
#[derive(Debug)]
pub(crate) struct Process {
    server: Child,
    watchdog: Child,
}

// === impl Process ===

impl Process {
    /// Starts the server. Panics when that cannot be.
    pub(crate) fn start(command: &mut Command) -> Self {
        let server = command.spawn().expect("the server starts");
        // Its standard input closes when this process ends, however it ends.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$1\"", "watchdog", &server.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        Self { server, watchdog }
    }

    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// True while the process exists, frozen or not.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.server.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.server.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), signal).expect("the signal reaches the server");
    }

    /// Ends it with this signal, and waits until it is gone.
    pub(crate) fn end(mut self, signal: Signal) {
        // The watchdog first: once the server is reaped its number may belong to another process.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        if self.is_running() {
            self.signal(signal);
        }
        let _ = self.server.wait();
    }
}

/// Whether the kernel shows every thread of a process as stopped; a process that is gone is, too.
pub(crate) fn all_threads_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        // The state follows the name, which is in parentheses and may hold anything.
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}
