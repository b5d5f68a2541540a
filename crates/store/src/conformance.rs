//! The suite that every driver passes: one test for each promise of the contract.
//!
//! A driver implements [`Harness`] in its `tests/it/` and writes one line there. The expression makes
//! a fresh harness on an **empty** database for each test; it may `.await`.
//!
//! ```text
//! chatbus_store::conformance_tests!(MyHarness::new().await);
//! // With a server that can be taken away (impl Outage):
//! chatbus_store::conformance_tests!(MyHarness::new().await, outage);
//! ```
//!
//! It expands to one `#[tokio::test]` (two worker threads) a promise, so put it in a module of its own.
//! Tests wait for conditions, for at most 30 s each.

mod check;
mod durable;
mod entries;
mod events;
mod harness;
mod letters;
mod outages;
mod refusals;
mod searches;
mod settings;
mod sightings;
mod sources;
mod sweeps;
mod users;

#[doc(hidden)]
pub use check::bounded;
pub use durable::*;
pub use events::*;
pub use harness::{Harness, Outage};
pub use letters::*;
pub use outages::*;
pub use refusals::*;
pub use searches::*;
pub use settings::*;
pub use sightings::*;
pub use sources::*;
pub use sweeps::*;
pub use users::*;

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
            an_event_is_read_with_its_way_in_the_order_of_time
            an_event_is_the_same_whatever_order_its_steps_come_in
            a_repeated_step_changes_nothing_but_how_far_the_event_is
            the_body_is_that_of_the_last_step_with_one
            calls_about_the_same_events_at_one_moment_lose_nothing
            whoever_reads_sees_all_of_a_call_or_nothing
            ten_thousand_entries_are_one_call
            bodies_come_back_byte_for_byte
            texts_are_cleaned
            events_are_listed_newest_first_in_pages
            each_filter_of_events_finds_what_fits_and_nothing_else
            a_user_of_events_is_found_by_any_name
            a_refused_entry_is_named_and_nothing_of_its_call_is_written
            a_refused_sighting_is_named_and_nothing_of_its_call_is_counted
            what_people_write_is_refused_when_it_is_too_much
            what_was_told_of_a_source_stays_until_something_newer_is_told
            a_letter_comes_back_as_it_was_and_a_repeat_changes_nothing
            letters_are_listed_newest_first_and_filtered
            open_letters_are_counted_with_the_oldest
            a_letter_that_is_done_stays_done
            of_replays_begun_at_one_moment_one_is_the_first
            of_decisions_about_a_letter_at_one_moment_one_holds
            a_first_sighting_makes_a_user_and_later_ones_change_it
            sightings_at_one_moment_are_counted_exactly
            sightings_of_one_call_count_each
            a_repeated_sighting_counts_nothing_and_is_answered_as_the_first_time
            a_key_twice_in_one_call_counts_once
            a_session_begins_after_a_day_of_silence
            roles_are_given_and_taken_away
            an_older_sighting_changes_no_name_and_no_role
            a_change_by_people_is_not_lost_among_sightings
            users_are_listed_the_last_seen_first_and_filtered
            tokens_are_written_listed_and_removed
            an_account_is_written_only_over_the_version_that_is_known
            of_writers_of_an_account_at_one_moment_one_wins
            the_version_of_documents_changes_with_every_write_of_their_kind
            channels_are_a_set
            what_is_past_its_time_goes_and_nothing_else
            a_sweep_has_a_limit_and_says_when_it_is_reached
            a_sweep_among_writers_takes_nothing_that_may_stay
            two_opens_of_one_database_are_one_store
            what_was_answered_is_there_after_it_is_opened_again
        }
    };
    (outage $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            in_an_outage_calls_fail_soon_and_all_works_again_after
        }
    };
}
