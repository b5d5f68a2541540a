//! What this process uses: CPU time of all its threads, and its peak memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chatbus_event::Clock;
use nix::sys::resource::{UsageWho, getrusage};

/// Time that passed and CPU time that was used.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Spent {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

/// Runs since it was started.
#[derive(Debug)]
pub(super) struct Stopwatch {
    clock: Arc<dyn Clock>,
    wall: Instant,
    cpu: Duration,
}

// === impl Stopwatch ===

impl Stopwatch {
    pub(super) fn start(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), wall: clock.instant(), cpu: cpu() }
    }

    pub(super) fn passed(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.wall)
    }

    pub(super) fn spent(&self) -> Spent {
        Spent { wall: self.passed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

// === impl Spent ===

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
    }
}

/// User and system time of all threads so far.
fn cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let time = |t: nix::sys::time::TimeVal| {
        Duration::from_secs(t.tv_sec().unsigned_abs()) + Duration::from_micros(t.tv_usec().unsigned_abs())
    };
    time(usage.user_time()) + time(usage.system_time())
}

/// Makes the peak begin anew at what is resident now, where the kernel allows it.
pub(super) fn reset_peak() {
    // Without it the peak is the whole run's, which is no less true.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that was resident since the last reset; `None` where the kernel does not say.
pub(super) fn peak_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The memory that is resident now; `None` where the kernel does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_cpu_time_and_memory_has_a_peak() {
        let clock: Arc<dyn Clock> = Arc::new(chatbus_runtime::SystemClock);
        let watch = Stopwatch::start(&clock);
        let mut sum = 0_u64;
        while watch.spent().cpu < Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(watch.passed() >= Duration::from_millis(1));
        assert!(peak_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
