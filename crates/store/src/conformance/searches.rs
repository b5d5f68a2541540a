//! Finding events, and what of them comes back.

use bytes::Bytes;

use super::check::{event, found, record, within};
use super::entries::{at, facts, letter, raw, received, source, step};
use super::harness::Harness;
use crate::{
    Entry, EventFacts, EventFilter, EventStatus, LetterState, Page, StepEntry, StoredLetter, limits,
};

/// NUL, what is no text, every byte, nothing at all, and a mebibyte.
pub async fn bodies_come_back_byte_for_byte<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from_static(b"a\0b\xff\xfe\xc3\x28 \xed\xa0\x80"),
        (0..=255).collect(),
        "héllo 🦀 '\"\\ {}".into(),
        vec![0xab; 1 << 20].into(),
    ];
    for (n, body) in bodies.iter().enumerate() {
        let id = n.to_string();
        let whole = StepEntry {
            detail: body.clone(),
            snapshot: Some(body.clone()),
            ..step(&id, "a", 1, EventStatus::Error)
        };
        let dead = StoredLetter { letter: body.clone(), original: Some(body.clone()), ..letter(&id, 1) };
        record(store, &[whole.into(), Entry::Letter(dead)]).await;
        let (stored, way) = event(store, &id).await;
        assert_eq!(way[0].detail, body);
        assert_eq!(way[0].snapshot.as_ref(), Some(body), "an empty body is not a missing one");
        assert_eq!(stored.body.as_ref(), Some(body));
        let replay = store.begin_replay(&id).await.expect("letters are read").expect("it is open");
        assert_eq!((&replay.letter.letter, replay.letter.original.as_ref()), (body, Some(body)));
    }
}

/// Of everything that is text: no NUL, and cut between characters.
pub async fn texts_are_cleaned<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let dirty = |text: &str| format!("{text}\0{}", "é".repeat(limits::MAX_TEXT_BYTES));
    let told = EventFacts {
        kind: dirty("kind"),
        source: dirty("source"),
        platform: Some(dirty("platform")),
        channel: Some(dirty("channel")),
        user_id: Some(dirty("user")),
        user_name: Some(dirty("name")),
        text: Some(dirty("text")),
    };
    let odd = StepEntry { name: dirty("step"), ..step("e", "a", 1, EventStatus::Ingested) };
    let dead = StoredLetter {
        correlation_id: dirty("event"),
        reason: dirty("reason"),
        error_code: Some(dirty("code")),
        platform: Some(dirty("platform")),
        topic: Some(dirty("topic")),
        ..letter("l", 1)
    };
    let change = crate::SourceChange {
        status: Some(dirty("status")),
        stream: Some(dirty("stream")),
        display_name: Some(dirty("name")),
        ..source("s", 1)
    };
    let entries =
        [received("e", 1, told), odd.into(), Entry::Letter(dead), Entry::Source(change), raw("r", at(9))];
    record(store, &entries).await;
    let clean = |text: &str, there: &str, max: usize| {
        assert!(there.starts_with(&format!("{text}é")) && there.ends_with('é'), "{text}");
        assert!(there.len() <= max && there.len() + 3 >= max, "{text} has {} bytes", there.len());
    };
    let name = |text: &str, there: &str| clean(text, there, limits::MAX_NAME_BYTES);
    let (stored, way) = event(store, "e").await;
    name("kind", &stored.facts.kind);
    name("source", &stored.facts.source);
    name("platform", stored.facts.platform.as_deref().expect("it was told"));
    name("channel", stored.facts.channel.as_deref().expect("it was told"));
    name("user", stored.facts.user_id.as_deref().expect("it was told"));
    name("name", stored.facts.user_name.as_deref().expect("it was told"));
    clean("text", stored.facts.text.as_deref().expect("it was told"), limits::MAX_TEXT_BYTES);
    name("step", &way[0].name);
    let dead = store.begin_replay("l").await.expect("letters are read").expect("it is open").letter;
    for (text, there) in [("event", Some(&dead.correlation_id)), ("reason", Some(&dead.reason))]
        .into_iter()
        .chain([("code", dead.error_code.as_ref()), ("platform", dead.platform.as_ref())])
        .chain([("topic", dead.topic.as_ref())])
    {
        name(text, there.expect("it was told"));
    }
    assert_eq!(dead.state, LetterState::Replaying);
    let row = store.sources().await.expect("sources are listed").remove(0);
    name("status", &row.status.expect("it was told").0);
    name("stream", &row.stream.expect("it was told").0);
    name("name", &row.display_name.expect("it was told"));
}

/// By their first step; of one moment by their ids, so that no page has what another has.
pub async fn events_are_listed_newest_first_in_pages<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let mut entries: Vec<Entry> =
        (0..1005).map(|n| received(&format!("e{n:04}"), n / 2, facts("#c", "1", "x"))).collect();
    // A later step moves nothing, an earlier one does.
    entries.push(step("e0000", "z", 9000, EventStatus::InProgress).into());
    entries.push(step("e1004", "z", -1, EventStatus::InProgress).into());
    record(store, &entries).await;
    let list = async |limit, offset| {
        let page = Page { limit, offset };
        let events = within("events", store.events(&EventFilter::default(), &page)).await;
        let events = events.expect("events are listed");
        events.into_iter().map(|event| event.correlation_id).collect::<Vec<_>>()
    };
    let first = list(3, 0).await;
    assert_eq!(first, ["e1003", "e1002", "e1001"]);
    let mut all = Vec::new();
    for page in 0..6 {
        all.extend(list(200, page * 200).await);
    }
    assert_eq!(all.len(), 1005);
    assert_eq!(all.last().map(String::as_str), Some("e1004"));
    let mut each_once = all.clone();
    each_once.sort();
    each_once.dedup();
    assert_eq!(each_once.len(), 1005);
    assert_eq!(list(usize::MAX, 0).await, all[..limits::MAX_PAGE], "no more than that in one page");
    assert_eq!(list(10, 1000).await, all[1000..]);
    assert!(list(10, usize::MAX).await.is_empty());
    assert!(list(0, 0).await.is_empty());
}

/// Alone and together.
pub async fn each_filter_of_events_finds_what_fits_and_nothing_else<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let bare = EventFacts { kind: "system.x".into(), source: "s".into(), ..EventFacts::default() };
    record(
        store,
        &[
            received("a", 10, facts("#one", "1", "Hello 100% World_É")),
            received("b", 20, facts("#two", "1", "hello there")),
            received("c", 30, EventFacts { platform: Some("q".into()), ..facts("#one", "2", "bye") }),
            received("d", 40, bare),
            step("b", "end", 50, EventStatus::Finalized).into(),
        ],
    )
    .await;
    let none = EventFilter::default;
    let text = |text: &str| EventFilter { text: Some(text.into()), ..none() };
    for (filter, wanted) in [
        (none(), vec!["d", "c", "b", "a"]),
        (EventFilter { channel: Some("#one".into()), ..none() }, vec!["c", "a"]),
        (EventFilter { channel: Some("#ONE".into()), ..none() }, vec![]),
        (EventFilter { platform: Some("p".into()), ..none() }, vec!["b", "a"]),
        (EventFilter { status: Some(EventStatus::Finalized), ..none() }, vec!["b"]),
        (EventFilter { since: Some(at(20)), ..none() }, vec!["d", "c", "b"]),
        (EventFilter { until: Some(at(20)), ..none() }, vec!["a"]),
        (EventFilter { since: Some(at(11)), until: Some(at(31)), ..none() }, vec!["c", "b"]),
        (text("HELLO"), vec!["b", "a"]),
        (text(""), vec!["d", "c", "b", "a"]),
        // What a pattern would take for a placeholder.
        (text("0%"), vec!["a"]),
        (text("%"), vec!["a"]),
        (text("d_É"), vec!["a"]),
        (text("d_é"), vec![]),
        (text("\\"), vec![]),
        (text("' OR 1=1 --"), vec![]),
        (text("the\0re"), vec!["b"]),
        (EventFilter { user: Some("1".into()), channel: Some("#two".into()), ..text("there") }, vec!["b"]),
        (EventFilter { user: Some("1".into()), channel: Some("#two".into()), ..text("world") }, vec![]),
    ] {
        assert_eq!(found(store, &filter).await, wanted, "{filter:?}");
    }
}

/// `provider:id`, the raw id, the name as shown; before auth has seen the event and after.
pub async fn a_user_of_events_is_found_by_any_name<H: Harness + ?Sized>(harness: &H) {
    let store = &harness.open().await;
    let named = |user: &str| EventFacts { user_name: Some("Alice B".into()), ..facts("#c", user, "x") };
    let of_q = EventFacts { platform: Some("q".into()), ..facts("#c", "1", "x") };
    record(
        store,
        &[
            received("raw", 10, facts("#c", "1", "x")),
            received("seen", 20, named("p:1")),
            received("elsewhere", 30, of_q),
            received("other", 40, facts("#c", "p:11", "x")),
            received("gateway", 50, facts("#c", "api-gateway:p:1", "x")),
        ],
    )
    .await;
    for (user, wanted) in [
        ("1", vec!["elsewhere", "seen", "raw"]),
        ("p:1", vec!["gateway", "seen", "raw"]),
        ("q:1", vec!["elsewhere"]),
        ("Alice B", vec!["seen"]),
        ("11", vec!["other"]),
        ("nobody", vec![]),
    ] {
        let filter = EventFilter { user: Some(user.into()), ..EventFilter::default() };
        assert_eq!(found(store, &filter).await, wanted, "{user}");
    }
}
