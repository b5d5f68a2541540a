//! Mistakes made on purpose: the simulation finds each of them within 2,000 seeds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chatbus_delivery::{Defect, EngineConfig};
use chatbus_sim::{Plan, Wrong, run};

const SEEDS: u64 = 2_000;

/// Runs seeds until one shows the mistake by what it must show.
#[expect(clippy::print_stdout, reason = "says which seed it was")]
fn is_caught(
    configure: impl Fn(&mut EngineConfig) + Clone + Send + Sync + 'static,
    shows: fn(&Wrong) -> bool,
) {
    let (next, found) = (AtomicU64::new(0), AtomicBool::new(false));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while !found.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS {
                        return;
                    }
                    let ran = run(&Plan::of(seed), false, configure.clone());
                    if let Some(wrong) = ran.wrong.iter().find(|wrong| shows(wrong)) {
                        println!("seed {seed}: {wrong}");
                        found.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert!(found.into_inner(), "not caught within {SEEDS} seeds");
}

fn with(defect: Defect) -> impl Fn(&mut EngineConfig) + Clone + Send + Sync + 'static {
    move |config| config.defect = Some(defect)
}

#[test]
fn an_acknowledgement_before_the_outcome_is_caught() {
    is_caught(with(Defect::AckBeforeOutcome), |wrong| matches!(wrong, Wrong::Lost(_)));
}

#[test]
fn sending_without_a_look_at_the_lease_is_caught() {
    is_caught(with(Defect::NoLeaseCheck), |wrong| matches!(wrong, Wrong::Repeated(_)));
}

#[test]
fn a_takeover_without_grace_is_caught() {
    is_caught(with(Defect::NoGrace), |wrong| matches!(wrong, Wrong::Repeated(_)));
}

#[test]
fn a_fan_out_that_fails_with_the_first_failure_is_caught() {
    is_caught(with(Defect::FirstFailureDecides), |wrong| matches!(wrong, Wrong::Untrue(_)));
}

#[test]
fn sending_again_what_the_platform_calls_a_duplicate_is_caught() {
    is_caught(with(Defect::ResendOnDuplicate), |wrong| matches!(wrong, Wrong::Repeated(_)));
}

#[test]
fn reading_without_a_look_back_is_caught() {
    is_caught(with(Defect::NoLookBack), |wrong| matches!(wrong, Wrong::Repeated(_)));
}

#[test]
fn a_takeover_that_minds_no_order_is_caught() {
    is_caught(with(Defect::TakenAsFound), |wrong| matches!(wrong, Wrong::Order(_)));
}
