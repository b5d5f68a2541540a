//! Which process this is, so that a later life of the same instance can tell that this one is over.

use chatbus_delivery::Process;

/// This process.
pub(super) fn this() -> Process {
    let pid = std::process::id();
    Process { boot: boot(), pid, started: started(pid).unwrap_or(0) }
}

/// Whether a process is known to be over: it ran on this machine since it was booted, and does not any more.
pub(super) fn is_over(process: &Process) -> bool {
    let boot = boot();
    !boot.is_empty() && process.boot == boot && started(process.pid) != Some(process.started)
}

/// This boot of this machine, and where its process ids count; empty when that cannot be known.
fn boot() -> String {
    let Ok(boot) = std::fs::read_to_string("/proc/sys/kernel/random/boot_id") else { return String::new() };
    let Ok(space) = std::fs::read_link("/proc/self/ns/pid") else { return String::new() };
    format!("{} {}", boot.trim(), space.display())
}

/// When a process was started, in the machine's ticks since boot; `None` when there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; the start is the 20th field behind it.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_over_only_when_that_is_known() {
        let me = this();
        assert!(!is_over(&me));
        assert!(is_over(&Process { started: me.started + 1, ..me.clone() }), "another with the same id");
        assert!(!is_over(&Process { boot: "another machine".into(), started: 1, ..this() }));
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        let process = Process { pid: gone.id(), ..me };
        gone.wait().unwrap();
        assert!(is_over(&process));
    }
}
