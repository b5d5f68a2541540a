use proptest::prelude::*;

use super::*;

fn label(name: &str) -> &'static str {
    if name == "test" { "test" } else { "other" }
}

fn event(id: &str, body: &[u8]) -> Kept {
    Kept {
        id: MessageId::new(id),
        attributes: Bytes::from_static(b"packed"),
        body: Bytes::copy_from_slice(body),
        conversation: "#room".into(),
        received_at: Timestamp::from_millis(1_700_000_000_123),
        platform: "test",
        route: Route::Ingress,
    }
}

fn file(events: &[Kept]) -> (Vec<u8>, Vec<usize>) {
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    for (number, event) in (0..).zip(events) {
        assert!(encode(number, event, &mut out));
        ends.push(out.len());
    }
    (out, ends)
}

/// As the store reads: steps over damage, and over what is short at the end.
fn read(bytes: &[u8]) -> Vec<Entry> {
    let bytes = Bytes::copy_from_slice(bytes);
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        at += match parse(&bytes.slice(at..), &label) {
            Parsed::Whole { entry, end } => {
                found.push(entry);
                end
            }
            Parsed::Damaged { next } => next,
            Parsed::Short => next_magic(&bytes[at..]),
        };
    }
    found
}

fn events() -> impl Strategy<Value = Vec<Kept>> {
    prop::collection::vec(("[a-z0-9]{1,20}", prop::collection::vec(any::<u8>(), 0..120)), 1..6)
        .prop_map(|all| all.iter().map(|(id, body)| event(id, body)).collect())
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(events in events()) {
        let (bytes, _) = file(&events);
        let read: Vec<Kept> = read(&bytes).into_iter().map(|entry| entry.kept).collect();
        prop_assert_eq!(read, events);
    }

    #[test]
    fn a_file_cut_anywhere_keeps_every_record_before_the_cut(events in events(), cut in any::<prop::sample::Index>()) {
        let (bytes, ends) = file(&events);
        let cut = cut.index(bytes.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let read = read(&bytes[..cut]);
        prop_assert_eq!(read.len(), whole);
        prop_assert!(read.iter().zip(&events).all(|(entry, event)| entry.kept == *event));
    }

    #[test]
    fn a_flipped_bit_costs_the_record_it_is_in_and_no_other(
        events in events(), at in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let (mut bytes, ends) = file(&events);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let hit = ends.iter().filter(|end| **end <= at).count();
        let read = read(&bytes);
        let expected: Vec<u64> = (0..events.len() as u64).filter(|n| *n != hit as u64).collect();
        prop_assert_eq!(read.iter().map(|entry| entry.number).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let mut begun = MAGIC.to_vec();
        begun.extend(bytes);
        let _ = read(&begun);
    }
}

#[test]
fn a_text_that_looks_like_a_record_is_not_taken_for_one_after_damage() {
    let inner = {
        let (bytes, _) = file(&[event("forged", b"x")]);
        bytes
    };
    // Chat text is UTF-8, and in it the record's first bytes cannot stand.
    let text = String::from_utf8_lossy(&inner).into_owned();
    let (mut bytes, _) = file(&[event("outer", text.as_bytes()), event("next", b"y")]);
    bytes[8] ^= 1;
    let ids: Vec<_> = read(&bytes).into_iter().map(|entry| entry.kept.id.to_string()).collect();
    assert_eq!(ids, ["next"]);
}

#[test]
fn an_event_too_long_for_a_record_is_refused_and_leaves_no_trace() {
    let mut out = b"before".to_vec();
    assert!(!encode(0, &event("a", &vec![0; MAX_PAYLOAD_BYTES]), &mut out));
    assert_eq!(out, b"before");
}

#[test]
fn a_conversation_with_an_endless_name_is_still_written() {
    let mut kept = event("a", b"x");
    kept.conversation = "é".repeat(40_000).into();
    kept.route = Route::DeadLetter;
    let (bytes, _) = file(&[kept]);
    let read = read(&bytes);
    assert_eq!(read[0].kept.conversation.len(), 65_534);
    assert_eq!(read[0].kept.route, Route::DeadLetter);
}

#[test]
fn a_whole_record_with_a_payload_that_makes_no_sense_is_damage() {
    let (good, _) = file(&[event("a", b"x")]);
    // The route, then the platform's length, with the checksum made right again.
    for (at, value) in [(HEADER_BYTES + 8, 9), (HEADER_BYTES + 9, 255)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        let crc = checksum(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        let end = bytes.len();
        assert_eq!(parse(&bytes.into(), &label), Parsed::Damaged { next: end });
    }
}
