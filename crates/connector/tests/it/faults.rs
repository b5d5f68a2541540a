//! Each fault that a connector may have is found by the promise that it breaks.

use std::future::Future;
use std::pin::Pin;

use chatbus_connector::conformance as promise;

use crate::model::{Fault, Model};

type Broken = Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! found_by {
    ($($fault:ident $promise:ident)*) => {
        vec![$((
            Fault::$fault,
            stringify!($promise),
            Box::pin(async { promise::$promise(&Model::new(Some(Fault::$fault))).await }) as Broken,
        )),*]
    };
}

/// Time runs as fast as nothing happens, so that what never comes is soon known.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "a promise that is broken ends its task and not the test")]
async fn each_fault_is_found() {
    for (fault, promise, broken) in found_by![
        MakesSinks it_has_one_name_and_one_sink
        LosesTheSign a_channel_has_one_form
        KeepsThePrefix a_user_has_one_form
        TakesEveryPrefix names_of_other_platforms_are_refused
        KeepsControls odd_names_are_refused_or_made_harmless
        CountsNothing what_is_said_is_heard_and_counted
        SaysTwice what_is_said_is_heard_and_counted
        ForgetsKeys a_remembered_delivery_is_said_once
        IgnoresTheFence without_the_lease_nothing_is_said
        WidensTheAudience what_it_cannot_do_is_unsupported
        RefusesUnderAnotherName what_it_cannot_do_is_unsupported
        MistakesRefusals each_answer_has_its_verdict_and_leaves_a_way_on
        StaysAway each_answer_has_its_verdict_and_leaves_a_way_on
        TellsInCodes each_answer_has_its_verdict_and_leaves_a_way_on
        DoubtsOddTexts odd_texts_and_ids_are_said_or_refused
        ShowsItsSecret its_state_shows_no_secret
        ShowsTexts its_state_shows_no_secret
        RunsOn it_ends_soon_after_the_stop
        RunsOn a_stop_before_the_start_is_heeded
        EndsSilently it_ends_soon_after_the_stop
        TakesEveryChannel added_channels_are_bounded_and_configured_ones_stay
        ForgetsItsOwnChannels added_channels_are_bounded_and_configured_ones_stay
        KeepsAddedChannels added_channels_are_bounded_and_configured_ones_stay
        ConfirmsTooSoon what_is_not_safe_is_not_confirmed
        DoubtsWhatIsSafe a_genuine_call_is_confirmed_once_it_is_safe
        MakesIds a_repeated_call_is_the_same_event
        BelievesEverybody a_call_without_its_proof_is_refused_unread
        ReadsFirst a_call_without_its_proof_is_refused_unread
        TellsItsSecret odd_calls_are_answered_and_tell_nothing
    ] {
        let found = tokio::spawn(broken).await;
        assert!(found.is_err_and(|error| error.is_panic()), "{fault:?} is not found by {promise}");
    }
}
