//! The group as a table of steps.

use std::borrow::Cow;
use std::time::Duration;

use chatbus_bus::Message;
use chatbus_event::{Attributes, MessageId, Timestamp};

use super::*;

fn record(seq: u64) -> Record {
    let message = Message::new(MessageId::new(&seq.to_string()), Attributes::new(), vec![0; 100]);
    Record { topic: Topic::ingress(), seq, published_at: Timestamp::EPOCH, message }
}

fn stored(cursor: u64, mark: u64, head: u64) -> Stored {
    let name = GroupName::parse("g").unwrap();
    Stored { name, cursor, mark, settled: cursor, lost: 0, published: head, head, unsettled: Vec::new() }
}

fn log(stored: Stored) -> (GroupState, u64) {
    let mut state = GroupState::new(false, stored);
    let member = state.join(100, Arc::new(Notify::new()));
    (state, member)
}

fn now() -> Instant {
    chatbus_event::Clock::instant(&chatbus_runtime::SystemClock)
}

/// As the writer does it: the mark is committed with the messages.
fn publish(state: &mut GroupState, seqs: std::ops::RangeInclusive<u64>) {
    state.mark = state.mark_with(*seqs.end());
    let records: Vec<_> = seqs.map(|seq| (Cow::Owned(record(seq)), 100)).collect();
    state.offer(records.into_iter());
}

fn take(state: &mut GroupState, member: u64) -> (u64, u32) {
    match state.take(member, now()) {
        Taken::Delivery(taking) => (taking.record.seq, taking.deliveries),
        other => panic!("{other:?}"),
    }
}

fn settle(state: &mut GroupState, acked: &[u64]) -> Change {
    for seq in acked {
        assert!(state.begin_settling(*seq));
    }
    let mut change = Change { acked: acked.to_vec(), ..Change::default() };
    state.plan(&mut change);
    state.settled(&change);
    change
}

#[test]
fn settling_in_order_moves_the_cursor_and_writes_no_rows() {
    let (mut state, member) = log(stored(0, 0, 0));
    publish(&mut state, 1..=5);
    let taken: Vec<_> = (0..5).map(|_| take(&mut state, member)).collect();
    assert_eq!(taken, [(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]);
    let change = settle(&mut state, &[1, 2, 3]);
    assert_eq!((change.cursor, change.rows.len(), change.deleted_rows.len()), (3, 0, 0));
    assert_eq!(state.standing().pending, 2);
}

#[test]
fn what_the_cursor_passes_unsettled_gets_a_row_until_it_is_settled() {
    let (mut state, member) = log(stored(0, 0, 0));
    publish(&mut state, 1..=3);
    for _ in 0..3 {
        take(&mut state, member);
    }
    let change = settle(&mut state, &[3]);
    assert_eq!(change.cursor, 3);
    assert_eq!(change.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
    let change = settle(&mut state, &[1]);
    assert_eq!((change.cursor, change.rows.len(), change.deleted_rows), (3, 0, vec![1]));
    assert_eq!(state.standing().first, 2);
}

#[test]
fn a_retry_waits_for_its_time_and_takes_no_share_meanwhile() {
    let mut state = GroupState::new(false, stored(0, 0, 0));
    let member = state.join(1, Arc::new(Notify::new()));
    publish(&mut state, 1..=2);
    take(&mut state, member);
    assert!(matches!(state.take(member, now()), Taken::Wait(None)), "its share is one");
    assert!(state.begin_settling(1));
    let due = now() + Duration::from_secs(60);
    let retried = vec![Retried { seq: 1, not_before_ms: 60_000, due }];
    let mut change = Change { retried, ..Change::default() };
    state.plan(&mut change);
    assert_eq!(change.rows.iter().map(|row| (row.seq, row.failures)).collect::<Vec<_>>(), [(1, 1)]);
    state.settled(&change);
    assert_eq!(take(&mut state, member).0, 2);
    settle(&mut state, &[2]);
    match state.take(member, now()) {
        Taken::Wait(until) => assert_eq!(until, Some(due)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(state.take(member, due), Taken::Read(Plan::These(seqs)) if seqs == [1]));
}

#[test]
fn what_was_perhaps_in_hand_at_a_kill_is_recorded_one_at_a_time() {
    let (mut state, member) = log(stored(0, 2, 3));
    let plan = match state.take(member, now()) {
        Taken::Read(plan) => plan,
        other => panic!("{other:?}"),
    };
    assert_eq!(plan, Plan::After(0, 3));
    let (entries, gone) = state.sort_out(&plan, (1..=3).map(|seq| (record(seq), 100)).collect());
    state.filled(&plan, entries, &gone, 3);
    for seq in 1..=2 {
        let claim = match state.take(member, now()) {
            Taken::Record(claim) => claim,
            other => panic!("{other:?}"),
        };
        assert_eq!(claim, Claim::Rows(vec![(seq, 2)]));
        assert!(matches!(state.take(member, now()), Taken::Wait(None)), "it is being recorded");
        state.claimed(&claim, true);
        assert_eq!(take(&mut state, member), (seq, 2));
    }
    // Nobody ever had the third.
    let claim = match state.take(member, now()) {
        Taken::Record(claim) => claim,
        other => panic!("{other:?}"),
    };
    assert_eq!(claim, Claim::Mark(3));
    state.claimed(&claim, true);
    assert_eq!(take(&mut state, member), (3, 1));
    let change = settle(&mut state, &[1, 2, 3]);
    assert_eq!(change.deleted_rows, [1, 2]);
}

#[test]
fn what_is_given_back_comes_first_and_counts_nothing() {
    let (mut state, member) = log(stored(0, 0, 0));
    publish(&mut state, 1..=3);
    take(&mut state, member);
    take(&mut state, member);
    state.give_back(2);
    state.give_back(1);
    let plan = match state.take(member, now()) {
        Taken::Read(plan) => plan,
        other => panic!("{other:?}"),
    };
    assert_eq!(plan, Plan::These(vec![1, 2]));
    let (entries, gone) = state.sort_out(&plan, vec![(record(1), 100), (record(2), 100)]);
    state.filled(&plan, entries, &gone, 0);
    assert_eq!(
        [take(&mut state, member), take(&mut state, member), take(&mut state, member)],
        [(1, 1), (2, 1), (3, 1)]
    );
}

#[test]
fn what_does_not_fit_in_memory_is_read_later_and_in_order() {
    let (mut state, member) = log(stored(0, 0, 0));
    let n = READ_AHEAD + 10;
    publish(&mut state, 1..=n);
    for seq in 1..=READ_AHEAD {
        assert_eq!(take(&mut state, member).0, seq);
        settle(&mut state, &[seq]);
    }
    publish(&mut state, n + 1..=n + 1);
    assert!(
        matches!(state.take(member, now()), Taken::Read(Plan::After(after, upto)) if (after, upto) == (READ_AHEAD, n + 1))
    );
}

const READ_AHEAD: u64 = READY_ITEMS as u64;

#[test]
fn a_message_that_is_gone_is_settled_and_lost_only_when_nobody_had_it() {
    let (mut state, member) = log(stored(0, 0, 0));
    publish(&mut state, 1..=3);
    take(&mut state, member);
    assert_eq!(state.forget(1, true), Forgot::Nothing, "a member holds it");
    assert_eq!(state.forget(2, true), Forgot::Unsettled { stored: false });
    assert_eq!((state.lost, state.standing().pending), (1, 2));
    assert_eq!(take(&mut state, member).0, 3);
    state.remember(2, true);
    assert_eq!((state.lost, state.standing().pending), (0, 3));
    assert!(matches!(state.take(member, now()), Taken::Read(Plan::These(seqs)) if seqs == [2]));
}

#[test]
fn a_row_after_the_cursor_waits_for_its_turn_and_the_cursor_passes_nothing_unread() {
    let row = StoredUnsettled { seq: 2, failures: 1, deliveries: 1, not_before_ms: 0, due: None };
    let (mut state, member) = log(Stored { unsettled: vec![row], ..stored(0, 0, 3) });
    let plan = match state.take(member, now()) {
        Taken::Read(plan) => plan,
        other => panic!("{other:?}"),
    };
    let (entries, gone) = state.sort_out(&plan, (1..=3).map(|seq| (record(seq), 100)).collect());
    state.filled(&plan, entries, &gone, 3);
    state.claimed(&Claim::Mark(3), true);
    assert_eq!(take(&mut state, member).0, 1);
    assert!(matches!(state.take(member, now()), Taken::Read(Plan::These(seqs)) if seqs == [2]));
    state.filled(&Plan::These(vec![]), Vec::new(), &[], 0);
    assert_eq!(take(&mut state, member).0, 3);
    let change = settle(&mut state, &[3]);
    assert_eq!(change.rows.iter().map(|row| row.seq).collect::<Vec<_>>(), [1]);
}
