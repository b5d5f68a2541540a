use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ME: u64 = 1;
const OTHER: u64 = 2;

/// A group that begins at 1, on a topic that holds 1..=4.
struct Fixture {
    state: GroupState,
    start: Instant,
    kept: BTreeSet<u64>,
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "an Instant can only be had from the global clock")]
    fn new() -> Self {
        Self { state: GroupState::starting_at(1, 1), start: Instant::now(), kept: (1..=4).collect() }
    }

    fn take(&mut self, millis: u64, session: u64) -> Option<(u64, u32, u32)> {
        let now = self.at(millis);
        let kept = &self.kept;
        let taken = self.state.take(now, session, |from| kept.range(from..).next().copied());
        taken.map(|(seq, counts)| (seq, counts.failures, counts.deliveries))
    }

    fn at(&self, millis: u64) -> Instant {
        self.start + Duration::from_millis(millis)
    }
}

#[test]
fn messages_come_in_order_each_once() {
    let mut f = Fixture::new();
    for seq in 1..=4 {
        assert_eq!(f.take(0, ME), Some((seq, 0, 1)));
        assert_eq!(f.state.in_flight(), 1);
        assert!(f.state.ack(seq, ME));
        assert!(!f.state.ack(seq, ME), "settled twice");
    }
    assert_eq!(f.take(0, ME), None);
    assert_eq!((f.state.unsettled().count(), f.state.counts.len()), (0, 0), "something is left behind");
}

#[test]
fn what_is_given_back_comes_before_what_is_due_before_what_is_fresh() {
    let mut f = Fixture::new();
    for seq in 1..=3 {
        assert_eq!(f.take(0, ME).map(|t| t.0), Some(seq));
    }
    assert!(f.state.retry(1, ME, f.at(100)));
    assert!(f.state.give_back(3, ME));
    assert!(f.state.give_back(2, ME));
    assert_eq!(f.take(100, ME), Some((2, 0, 1)), "giving back counts nothing");
    assert_eq!(f.take(100, ME), Some((3, 0, 1)));
    assert_eq!(f.take(100, ME), Some((1, 1, 2)), "a retry counts a failure");
    assert_eq!(f.take(100, ME), Some((4, 0, 1)));
    assert_eq!(f.take(100, ME), None);
}

#[test]
fn a_retry_waits_for_its_time_and_others_pass() {
    let mut f = Fixture::new();
    assert_eq!(f.take(0, ME), Some((1, 0, 1)));
    assert!(f.state.retry(1, ME, f.at(500)));
    assert_eq!(f.state.next_due(), Some(f.at(500)));
    assert_eq!(f.take(499, ME), Some((2, 0, 1)));
    assert_eq!(f.take(500, ME), Some((1, 1, 2)));
    assert_eq!(f.state.next_due(), None);
}

#[test]
fn a_session_settles_only_what_it_holds() {
    let mut f = Fixture::new();
    assert_eq!(f.take(0, ME), Some((1, 0, 1)));
    assert!(!f.state.ack(1, OTHER) && !f.state.retry(1, OTHER, f.at(0)) && !f.state.give_back(1, OTHER));
    f.state.abandon(ME);
    assert!(!f.state.ack(1, ME), "a session that is gone settled something");
    assert_eq!(f.take(0, OTHER), Some((1, 0, 2)), "a delivery that ended in a crash counts");
    assert_eq!(f.state.unsettled().collect::<Vec<_>>(), [1]);
}

#[test]
fn what_is_forgotten_unread_is_lost_and_what_is_settled_held_or_removed_is_not() {
    // (what happened to message 1 before it was forgotten, dropped by retention, lost)
    type Before = fn(&mut Fixture);
    let cases: [(&str, Before, bool, u64); 7] = [
        ("never read", |_| {}, true, 1),
        ("never read, removed", |_| {}, false, 0),
        ("held", |f| assert!(f.take(0, ME).is_some()), true, 0),
        ("settled", |f| assert!(f.take(0, ME).is_some() && f.state.ack(1, ME)), true, 0),
        ("returned", |f| assert!(f.take(0, ME).is_some() && f.state.give_back(1, ME)), true, 1),
        ("waiting", |f| assert!(f.take(0, ME).is_some() && f.state.retry(1, ME, f.start)), true, 1),
        ("waiting, removed", |f| assert!(f.take(0, ME).is_some() && f.state.retry(1, ME, f.start)), false, 0),
    ];
    for (what, before, dropped, lost) in cases {
        let mut f = Fixture::new();
        before(&mut f);
        f.kept.remove(&1);
        f.state.forget(1, dropped);
        assert_eq!(f.state.lost(), lost, "{what}");
        assert_eq!(f.take(1000, ME).map(|t| t.0), Some(2), "{what}");
        assert!(!f.state.ack(1, ME), "{what}");
    }
}

/// One step of a random life of a group; numbers pick among what there is.
#[derive(Debug, Clone)]
enum Step {
    Publish,
    Take(u64),
    Ack(usize),
    Retry(usize, u64),
    GiveBack(usize),
    Abandon(u64),
    Forget(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let session = 1..=2_u64;
    let step = prop_oneof![
        3 => Just(Step::Publish),
        4 => session.clone().prop_map(Step::Take),
        2 => any::<usize>().prop_map(Step::Ack),
        2 => (any::<usize>(), 0..100_u64).prop_map(|(n, millis)| Step::Retry(n, millis)),
        2 => any::<usize>().prop_map(Step::GiveBack),
        1 => session.prop_map(Step::Abandon),
        1 => any::<usize>().prop_map(Step::Forget),
        2 => (0..100_u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_each_message_is_settled_once_or_comes_again(steps in steps()) {
        let mut f = Fixture::new();
        f.kept.clear();
        let (mut last, mut millis, mut lost) = (0, 0, 0);
        let mut unsettled: BTreeSet<u64> = BTreeSet::new();
        let mut held: Vec<(u64, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Publish => {
                    last += 1;
                    f.kept.insert(last);
                    unsettled.insert(last);
                }
                Step::Take(session) => {
                    if let Some((seq, _, deliveries)) = f.take(millis, session) {
                        prop_assert!(unsettled.contains(&seq), "{seq} came after it was settled or dropped");
                        prop_assert!(!held.iter().any(|(h, _)| *h == seq), "{seq} is in two hands");
                        prop_assert!(deliveries >= 1);
                        held.push((seq, session));
                    }
                }
                Step::Ack(n) if !held.is_empty() => {
                    let (seq, session) = held.swap_remove(n % held.len());
                    f.state.ack(seq, session);
                    unsettled.remove(&seq);
                }
                Step::Retry(n, after) if !held.is_empty() => {
                    let (seq, session) = held.swap_remove(n % held.len());
                    f.state.retry(seq, session, f.at(millis + after));
                }
                Step::GiveBack(n) if !held.is_empty() => {
                    let (seq, session) = held.swap_remove(n % held.len());
                    f.state.give_back(seq, session);
                }
                Step::Abandon(session) => {
                    f.state.abandon(session);
                    held.retain(|(_, holder)| *holder != session);
                }
                Step::Forget(n) if !f.kept.is_empty() => {
                    let seq = f.kept.iter().copied().nth(n % f.kept.len()).unwrap();
                    f.kept.remove(&seq);
                    let was_held = held.iter().any(|(h, _)| *h == seq);
                    held.retain(|(h, _)| *h != seq);
                    lost += u64::from(unsettled.remove(&seq) && !was_held);
                    f.state.forget(seq, true);
                }
                Step::Wait(more) => millis += more,
                Step::Ack(_) | Step::Retry(..) | Step::GiveBack(_) | Step::Forget(_) => {}
            }
        }
        prop_assert_eq!(f.state.lost(), lost);
        f.state.abandon(1);
        f.state.abandon(2);
        let mut rest = BTreeSet::new();
        while let Some((seq, _, _)) = f.take(millis + 1000, ME) {
            prop_assert!(rest.insert(seq), "{} came twice", seq);
        }
        prop_assert_eq!(rest, unsettled);
    }
}
