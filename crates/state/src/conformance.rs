//! The suite that every driver passes: one test for each promise of the contract.
//!
//! A driver implements [`Harness`] in its `tests/it/` and writes one line there. The expression makes
//! a fresh harness on an **empty** store for each test; it may `.await`.
//!
//! ```text
//! chatbus_state::conformance_tests!(MyHarness::new().await);
//! // Where several prefixes share a store; where one outlives its last process; with a server that can
//! // be taken away (impl Outage):
//! chatbus_state::conformance_tests!(MyHarness::new().await, prefix, durable, outage);
//! ```
//!
//! It expands to one `#[tokio::test]` (two worker threads) a promise, so put it in a module of its own.
//! Tests wait for conditions, for at most 30 s each.

mod check;
mod durable;
mod harness;
mod outages;
mod reads;
mod watches;
mod writes;

#[doc(hidden)]
pub use check::bounded;
pub use durable::*;
pub use harness::{Harness, OpenOptions, Outage};
pub use outages::*;
pub use reads::*;
pub use watches::*;
pub use writes::*;

/// One test for each promise; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    (@tests $make:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let harness = $make;
                $crate::conformance::bounded($crate::conformance::$promise(&harness)).await;
            }
        )*
    };
    ($make:expr $(, $extra:ident)* $(,)?) => {
        $crate::conformance_promises!(base @tests $make;);
        $($crate::conformance_promises!($extra @tests $make;);)*
    };
}

/// The list of promises; hands a part of it back to [`conformance_tests`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    (base $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            of_writers_that_expect_the_same_one_wins
            a_write_happens_only_when_what_is_expected_stands_there
            a_removal_happens_only_when_what_is_expected_stands_there
            what_was_removed_can_be_written_again
            every_write_has_a_larger_revision
            a_value_over_the_limit_is_refused_and_changes_nothing
            spaces_are_apart
            what_was_written_is_read_byte_for_byte
            handles_see_each_others_writes
            a_list_holds_what_is_under_its_prefix
            a_list_holds_thousands
            what_is_not_written_for_its_time_to_live_is_forgotten
            a_watch_tells_what_there_is_then_what_changes
            a_watch_sees_every_last_write_of_others
            a_watch_tells_thousands_and_then_that_it_is_current
            a_closed_state_says_so
        }
    };
    (prefix $($args:tt)*) => {
        $crate::conformance_tests! { $($args)* a_prefix_separates_and_is_never_seen }
    };
    (durable $($args:tt)*) => {
        $crate::conformance_tests! { $($args)* durable_spaces_survive_a_kill }
    };
    (outage $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            in_an_outage_calls_fail_soon_and_all_works_again_after
            a_watch_ends_with_the_connection_and_begins_anew
        }
    };
}
