//! The loop's end, and the channels that are added while it runs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Rig;
use super::check::{eventually, is_plain, odd_texts};
use super::running::Running;
use crate::ConnectionState;

/// More channels than any platform takes.
const MANY: usize = 20_000;
/// As many as one may take beside the configured ones: all of them stand in the instance's lease.
const MOST: usize = 2_500;

/// How long it may take to tell them: nobody waits for what follows from it.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// It ends within seconds, and says that it is over.
pub async fn it_ends_soon_after_the_stop(rig: &dyn Rig) {
    let running = Running::connected(rig).await;
    let status = running.connector.status();
    running.stop().await;
    assert_eq!(status.snapshot().state, ConnectionState::Disconnected);
}

/// One that is stopped before it begins does not stay.
pub async fn a_stop_before_the_start_is_heeded(rig: &dyn Rig) {
    rig.runtime().stop.cancel();
    Running::begin(rig).stop().await;
}

/// However many channels somebody lists, a bounded number is wanted, each with a plain name; the configured
/// ones stay, and the added ones are gone when they are no longer listed.
pub async fn added_channels_are_bounded_and_configured_ones_stay(rig: &dyn Rig) {
    let connector = rig.connector();
    let wanted = || connector.status().snapshot().wanted_channels;
    let base = wanted();
    connector.set_channels(odd_texts());
    let running = Running::connected(rig).await;
    let mut list: Vec<String> = (0..MANY).map(|number| rig.channel(number)).collect();
    list.extend(odd_texts());
    let clock = rig.runtime().clock;
    let before = clock.instant();
    connector.set_channels(list);
    let took = clock.instant().duration_since(before);
    assert!(took < TELL_WITHIN, "telling it takes {took:?}");
    running.a_moment().await;
    let most = wanted();
    assert!(most.len() <= base.len() + MOST, "{} channels are wanted", most.len());
    assert!(base.is_subset(&most), "configured ones are gone");
    let odd: BTreeSet<&String> = most.iter().filter(|channel| !is_plain(channel)).collect();
    assert!(odd.is_empty(), "no names of channels: {odd:?}");
    connector.set_channels(Vec::new());
    eventually("the added channels are gone", || wanted() == base).await;
    running.ready("the list is empty again").await;
}
