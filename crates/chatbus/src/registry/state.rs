//! STATE_URL: which shared state goes with which bus.
//!
//! A bus that several processes share needs a state that they share: without the others' leases in sight
//! each would take the others for gone, and take over what is theirs. That nobody else is there cannot be
//! known without a shared state either, so it is an error and no warning. The other way round, a bus that
//! is one process's own needs a state of its own: with the leases of others in it, whose buses are others,
//! nobody might dispatch this one.

use std::sync::Arc;

use chatbus_bus::{BusFactory, StateReach};
use chatbus_event::Clock;
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_state::State;

const SETTING: &str = "STATE_URL";

/// What is wrong with STATE_URL beside this bus.
pub(super) fn problem(values: &Values, bus: &dyn BusFactory, all: &[Box<dyn BusFactory>]) -> Option<Problem> {
    let chosen = choose(values.text(SETTING)?, bus, all, &(Arc::new(SystemClock) as Arc<dyn Clock>));
    chosen.err().map(|why| Problem::new(SETTING, why))
}

/// The state that takes the place of the bus's own; `None` where that is the one that is asked for.
///
/// # Errors
/// When what is asked for cannot be had with this bus.
pub(super) fn instead(
    values: &Values,
    bus: &dyn BusFactory,
    all: &[Box<dyn BusFactory>],
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn State>>, Problem> {
    let Some(text) = values.text(SETTING) else { return Ok(None) };
    choose(text, bus, all, clock).map_err(|why| Problem::new(SETTING, why))
}

/// Whose the state is that goes with this bus.
pub(super) fn reach(values: &Values, bus: &dyn BusFactory, all: &[Box<dyn BusFactory>]) -> StateReach {
    let word = values.text(SETTING).map(str::trim).filter(|word| !bus.state().names.contains(word));
    let named = word.and_then(|word| all.iter().find(|factory| factory.state().names.contains(&word)));
    named.map_or(bus.state(), |factory| factory.state()).reach
}

fn choose(
    text: &str,
    bus: &dyn BusFactory,
    all: &[Box<dyn BusFactory>],
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn State>>, String> {
    let word = text.trim();
    if bus.state().names.contains(&word) {
        return Ok(None);
    }
    let lone = |factory: &dyn BusFactory| {
        if bus.state().reach.is_shared() { None } else { factory.lone_state(Arc::clone(clock)) }
    };
    let mut possible = bus.state().names.to_vec();
    for factory in all.iter().filter(|factory| lone(&***factory).is_some()) {
        possible.extend(factory.state().names.first().filter(|name| !bus.state().names.contains(name)));
    }
    let (driver, possible) = (bus.driver(), possible.join(" or "));
    let known = all.iter().find(|factory| factory.state().names.contains(&word));
    match known.map(|factory| (factory, lone(&**factory))) {
        Some((_, Some(state))) => Ok(Some(state)),
        Some((factory, None)) if bus.state().reach.is_shared() && !factory.state().reach.is_shared() => {
            Err(format!(
                "{word} is one process's own, and several share the bus {driver}: each would take the others for gone, and take \
             over what is theirs; use {possible}, or leave it unset"
            ))
        }
        Some(_) => Err(format!(
            "{word} does not go with the bus {driver}, which is one process's own, as its state must be; use {possible}, or \
             leave it unset"
        )),
        None => {
            // Behind the scheme may stand a password.
            let kind = word.split_once("://").map_or(word, |(scheme, _)| scheme);
            Err(format!(
                "{kind:?} is no shared state of this build; with the bus {driver} use {possible}, or leave it unset"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::buses;
    use super::*;

    /// Whether the bus's own state is taken, or why nothing is.
    fn is_own(driver: &str, text: &str) -> Result<bool, String> {
        let all = buses();
        let bus = all.iter().find(|factory| factory.driver() == driver).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        choose(text, &**bus, &all, &clock).map(|instead| instead.is_none())
    }

    #[test]
    fn a_bus_has_its_own_state_and_one_process_may_do_without_a_file() {
        for (driver, text, own) in [
            ("embedded", "embedded", true),
            ("embedded", " embedded ", true),
            ("embedded", "memory", false),
            ("memory", "memory", true),
            ("memory", "embedded", true),
            ("nats", "nats", true),
        ] {
            assert_eq!(is_own(driver, text), Ok(own), "{driver} {text}");
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused_with_what_would_be() {
        for (driver, text, words) in [
            ("nats", "embedded", &["one process's own", "use nats"][..]),
            ("nats", "memory", &["one process's own", "use nats"]),
            ("embedded", "nats", &["does not go with", "use embedded or memory"]),
            ("memory", "nats", &["does not go with", "use memory or embedded"]),
            ("nats", "redis://me:hush@host/1", &["\"redis\" is no shared state", "use nats"]),
            ("embedded", "redis://host", &["\"redis\" is no shared state", "use embedded or memory"]),
            ("embedded", "sqlite", &["\"sqlite\" is no shared state"]),
        ] {
            let why = is_own(driver, text).unwrap_err();
            assert!(words.iter().all(|word| why.contains(word)), "{driver} {text}: {why}");
            assert!(!why.contains("hush"), "{why}");
        }
    }
}
