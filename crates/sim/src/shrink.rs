//! A failure with fewer faults, which is easier to understand.

use chatbus_delivery::EngineConfig;

use crate::plan::Plan;
use crate::world::run;

/// How often a smaller plan is tried at most.
const TRIES: usize = 120;

/// Leaves out faults, then events, one by one, for as long as something is still wrong.
pub fn shrink(plan: &Plan, configure: impl Fn(&mut EngineConfig) + Clone + Send + Sync + 'static) -> Plan {
    let mut tries = 0;
    let mut fails = |plan: &Plan| {
        tries += 1;
        tries <= TRIES && !run(plan, false, configure.clone()).wrong.is_empty()
    };
    let mut best = plan.clone();
    let mut at = 0;
    while at < best.faults.len() {
        let mut fewer = best.clone();
        fewer.faults.remove(at);
        if fails(&fewer) {
            best = fewer;
        } else {
            at += 1;
        }
    }
    // Events by ever smaller parts.
    let mut part = best.events.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < best.events.len() {
            let mut fewer = best.clone();
            fewer.events.drain(at..(at + part).min(fewer.events.len()));
            if fails(&fewer) {
                best = fewer;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    best
}
