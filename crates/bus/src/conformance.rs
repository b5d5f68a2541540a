//! The suite that every driver passes: one test for each promise of the contract.
//!
//! A driver implements [`Harness`] in its `tests/it/` and writes one line there. The expression makes
//! a fresh harness on an **empty** store for each test; it may `.await`.
//!
//! ```text
//! mod harness;                                    // struct MyHarness; impl Harness for MyHarness
//! use harness::MyHarness;
//!
//! chatbus_bus::conformance_tests!(MyHarness::new().await);
//! // With a server that can be taken away (impl Outage) and that others publish to (impl ThirdParty):
//! chatbus_bus::conformance_tests!(MyHarness::new().await, outage, third_party);
//! ```
//!
//! It expands to one `#[tokio::test]` (two worker threads) a promise, so put it in a module of its own.
//! The crate that uses it has `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies.
//!
//! What a harness has to know:
//! * `runtime()` is the suite's own: `chatbus_testkit::test_runtime(seed)` does.
//! * `open_with` waits until the bus is in reach and passes [`OpenOptions::dead_lettering`] into every
//!   delivery. All opens of one store use the same sizes and windows; only the prefix differs.
//! * `crash` cuts the bus off *first*; the suite drops the deliveries and consumers of it afterwards,
//!   and these drops must not reach the store. A driver does that best with a spawner that can abort
//!   its tasks, or with a kill switch it has for tests.
//! * A store of one process at a time says `concurrent: false`; two instances are then two
//!   subscriptions on one bus.
//! * Tests wait for conditions, for at most 30 s each and three minutes in all. `ack_wait` should be at most 2 s.
//!
//! What the suite demands beyond the words of the contract, because the rest of chatbus leans on it:
//! * On egress and lane topics a group begins with what is kept, so that a message for a reader who has
//!   not come yet waits. On all others it begins with what comes after its declaration.
//! * A message that waits for its retry takes none of the member's share, however many wait.
//! * A settled message of a lane is gone, as one of an egress topic is.
//! * A message refused as `Full` or `TooLarge` leaves no trace: its id is not remembered.
//! * Counts of deliveries survive a kill; counts of failures need not.

mod check;
mod crashes;
mod dead_letters;
mod dedupe;
mod giving_up;
mod groups;
mod harness;
mod messages;
mod outages;
mod retention;
mod scans;
mod settling;
mod takeover;

#[doc(hidden)]
pub use check::bounded;
pub use crashes::*;
pub use dedupe::*;
pub use giving_up::*;
pub use groups::*;
pub use harness::{Capabilities, Harness, OpenOptions, Outage, ThirdParty};
pub use messages::*;
pub use outages::*;
pub use retention::*;
pub use scans::*;
pub use settling::*;
pub use takeover::*;

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
            attributes_come_back_as_sent
            a_body_comes_back_byte_for_byte
            a_record_says_where_and_when_it_was_accepted
            a_prefix_separates_and_is_never_seen
            a_message_over_the_limit_is_refused_and_disturbs_nothing
            publishes_from_one_place_are_stored_in_their_order
            a_dropped_receipt_changes_nothing
            members_of_a_group_share_its_messages
            every_group_gets_every_message
            each_instance_gets_a_copy_of_its_own
            a_declared_group_gets_what_came_while_no_member_lived
            a_new_group_replays_nothing_old
            declaring_again_changes_nothing
            an_egress_message_waits_for_its_first_reader
            a_member_gets_messages_in_order
            topics_of_one_family_are_apart
            a_thousand_messages_through_a_small_window_arrive_once_each
            waiting_for_a_delivery_can_be_given_up
            a_member_holds_no_more_than_it_asked_for
            a_member_that_leaves_gives_back_what_it_held
            lag_counts_what_is_not_settled
            a_retry_comes_after_its_delay_and_others_pass_meanwhile
            what_is_acknowledged_unconfirmed_does_not_come_again
            many_waiting_retries_stall_nothing
            a_retry_counts_a_failure_and_a_return_none
            a_returned_delivery_comes_to_another_member
            a_dropped_delivery_comes_back
            a_delivery_held_longer_than_the_ack_wait_is_not_redelivered
            a_repeat_is_dropped_and_said_so
            the_same_id_on_another_topic_is_another_message
            after_the_window_a_repeat_is_a_message
            a_repeat_of_a_settled_message_is_dropped
            a_repeat_after_a_restart_is_dropped
            a_kill_redelivers_the_same_message
            a_kill_loses_nothing_that_was_confirmed
            a_group_keeps_its_place_over_a_restart
            a_waiting_retry_survives_a_kill
            a_closed_bus_says_so
            closing_answers_every_receipt
            an_acknowledged_egress_message_is_gone
            an_acknowledged_message_of_a_log_is_kept
            a_full_queue_refuses_and_takes_again_when_there_is_room
            what_retention_drops_unread_is_counted
            a_scan_begins_where_it_is_told
            a_scan_reads_families_and_settles_nothing
            a_following_scan_goes_on_with_what_comes
            one_message_can_be_fetched_and_removed
            a_message_that_fails_each_time_becomes_a_dead_letter
            a_message_waits_until_its_dead_letter_is_stored
            bad_bytes_block_nothing_behind_them
            a_message_that_kills_each_time_is_given_up
            topics_that_hold_messages_are_listed_even_when_nobody_ever_subscribed
            a_deleted_groups_held_messages_come_to_the_next_group
            a_deleted_group_stays_deleted_over_a_restart
            a_woken_member_of_a_deleted_group_disturbs_nothing
            deleting_what_is_not_there_is_no_error
            a_member_that_lived_on_gets_what_comes_after_the_takeover
            a_living_member_takes_a_free_topic_back
        }
    };
    (outage $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            publishes_fail_in_an_outage_and_a_resend_stores_each_once
            a_member_outlives_an_outage
        }
    };
    (third_party $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            a_third_partys_message_gets_an_id_of_its_own
            a_third_party_that_copies_our_attributes_is_not_a_duplicate
        }
    };
}
