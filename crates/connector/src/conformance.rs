//! The suite that every platform passes: one test for each promise of the contract.
//!
//! A platform implements [`Rig`] in its `tests/it/`, around its own connector and a fake of the platform, and
//! writes one line there. The expression makes a fresh rig for each test; it may `.await`.
//!
//! ```text
//! mod rig;                                        // struct MyRig; impl Rig for MyRig
//! use rig::MyRig;
//!
//! chatbus_connector::conformance_tests!(MyRig::new().await);
//! // Where it is called over HTTP (impl Caller):
//! chatbus_connector::conformance_tests!(MyRig::new().await, webhook);
//! ```
//!
//! It expands to one `#[tokio::test]` (two worker threads) a promise, so put it in a module of its own. The
//! crate that uses it has `tokio` with `macros` and `rt-multi-thread` among its dev-dependencies. Tests wait
//! for conditions, for at most 30 s each and three minutes in all.

mod calls;
mod check;
mod names;
mod rig;
mod running;
mod saying;
mod stopping;

pub use calls::*;
#[doc(hidden)]
pub use check::bounded;
pub use names::*;
pub use rig::{Answer, Caller, Class, Rig};
pub use saying::*;
pub use stopping::*;

/// One test for each promise; see [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    (@tests $make:expr; $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let rig = $make;
                $crate::conformance::bounded($crate::conformance::$promise(&rig)).await;
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
            it_has_one_name_and_one_sink
            a_channel_has_one_form
            a_user_has_one_form
            names_of_other_platforms_are_refused
            odd_names_are_refused_or_made_harmless
            what_is_said_is_heard_and_counted
            a_remembered_delivery_is_said_once
            without_the_lease_nothing_is_said
            what_it_cannot_do_is_unsupported
            each_answer_has_its_verdict_and_leaves_a_way_on
            odd_texts_and_ids_are_said_or_refused
            its_state_shows_no_secret
            it_ends_soon_after_the_stop
            a_stop_before_the_start_is_heeded
            added_channels_are_bounded_and_configured_ones_stay
        }
    };
    (webhook $($args:tt)*) => {
        $crate::conformance_tests! { $($args)*
            a_genuine_call_is_confirmed_once_it_is_safe
            what_is_not_safe_is_not_confirmed
            a_repeated_call_is_the_same_event
            a_call_without_its_proof_is_refused_unread
            odd_calls_are_answered_and_tell_nothing
        }
    };
}
