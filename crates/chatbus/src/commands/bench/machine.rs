//! Where a benchmark ran: numbers without it mean nothing.

use std::fmt;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use serde::Serialize;

/// The machine.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Machine {
    pub(super) cpus: usize,
    pub(super) model: String,
    pub(super) kernel: String,
    /// Processes that wanted to run in the last minute, at the start.
    pub(super) load: String,
    pub(super) folder: String,
}

// === impl Machine ===

impl Machine {
    pub(super) fn here(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let info = read("/proc/cpuinfo");
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            model: model.map(|(_, name)| name.trim().to_owned()).unwrap_or_default(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            folder: folder.display().to_string(),
        }
    }

    /// Whether a folder is in memory, so that syncing it costs nothing.
    pub(super) fn is_memory(folder: &Path) -> bool {
        statfs(folder).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPUs ({}), Linux {}, load {}", self.cpus, self.model, self.kernel, self.load)
    }
}
