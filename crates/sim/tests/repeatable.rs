//! The same seed gives the same run.

use chatbus_sim::{Plan, run};

#[test]
fn a_seed_repeats_to_the_last_line() {
    for seed in [3, 8, 84, 194, 1868, 2247] {
        let plan = Plan::of(seed);
        let (one, other) = (run(&plan, true, |_| {}), run(&plan, true, |_| {}));
        assert!(one.trace.lines().count() > 50, "seed {seed}");
        let differs = one.trace.lines().zip(other.trace.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one, other, "seed {seed}");
    }
}

#[test]
fn listening_changes_nothing() {
    for seed in 0..5 {
        let plan = Plan::of(seed);
        let (quiet, told) = (run(&plan, false, |_| {}), run(&plan, true, |_| {}));
        assert_eq!((quiet.said, quiet.wrong), (told.said, told.wrong), "seed {seed}");
    }
}
