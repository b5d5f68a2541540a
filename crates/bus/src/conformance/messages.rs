//! What goes in comes out: attributes, bytes, sizes, prefix.

use std::sync::Arc;

use chatbus_event::{Attributes, MessageId, Topic, names};

use super::check::{
    answer, eventually, fail, join, kept, kept_ids, message, next, put, put_message, settle, take,
};
use super::harness::{Harness, HarnessExt, OpenOptions, ThirdParty};
use crate::{Bus, BusErrorKind, Message, ScanFrom, ScanTopics, Settlement};

/// Names keep their case, values keep every character, and none is added that was not sent.
pub async fn attributes_come_back_as_sent<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut reader = join(&bus, &topic, "readers", 8).await;
    let sent: Attributes = [
        (names::CORRELATION_ID, "c-1"),
        (names::MESSAGE_ID, "m-1"),
        (names::TRACEPARENT, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("X-mIxEd_Case.9", "Value With: colon, = and \"quotes\""),
        (names::CHANNEL, "#straße"),
        ("emoji", "👩‍👩‍👧‍👦 日本語 \u{202e}rtl"),
        ("percent", "%41%0A"),
        ("long", &"é".repeat(1000)),
        ("empty", ""),
    ]
    .into_iter()
    .collect();
    let with = |id: &str, attributes: Attributes| Message::new(MessageId::new(id), attributes, "{}");
    put_message(&bus, &topic, with("m-1", sent.clone())).await;
    put_message(&bus, &topic, with("m-2", Attributes::new())).await;

    let delivered = next(&mut reader).await;
    assert_same(&delivered.record().message.attributes, &sent);
    assert_eq!(delivered.record().message.id.as_str(), "m-1");
    settle(delivered, Settlement::Ack).await;
    let bare = next(&mut reader).await;
    assert_same(&bare.record().message.attributes, &Attributes::new());
    let scanned = kept(&bus, ScanTopics::One(topic), ScanFrom::Oldest).await;
    assert_same(&scanned[0].message.attributes, &sent);
    bus.close().await;
}

/// The body is bytes: nothing reads, cuts or rewrites it.
pub async fn a_body_comes_back_byte_for_byte<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut reader = join(&bus, &topic, "readers", 8).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies: [Vec<u8>; 5] = [
        every_byte,
        Vec::new(),
        b" {\"b\" : 1.10,\"a\":[ ],\"a\":1e400}\r\n".to_vec(),
        vec![0; 3],
        vec![0xff; 300 * 1024],
    ];
    for (i, body) in bodies.iter().enumerate() {
        put_message(&bus, &topic, message(&format!("body-{i}"), body.clone())).await;
    }
    for (i, body) in bodies.iter().enumerate() {
        let delivery = next(&mut reader).await;
        assert_eq!(delivery.record().message.id.as_str(), format!("body-{i}"));
        assert!(delivery.record().message.body == *body, "body {i} was changed");
        settle(delivery, Settlement::Ack).await;
    }
    bus.close().await;
}

/// A record says its topic, a growing place, and when it was accepted; the receipt says the same place.
pub async fn a_record_says_where_and_when_it_was_accepted<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let before = harness.runtime().clock.now();
    let first = put(&bus, &topic, "first").await;
    let second = put(&bus, &topic, "second").await;
    let after = harness.runtime().clock.now();
    assert!(first.seq < second.seq && !first.duplicate && !second.duplicate, "{first:?} {second:?}");
    let records = kept(&bus, ScanTopics::One(topic.clone()), ScanFrom::Oldest).await;
    assert_eq!(records.iter().map(|r| r.seq).collect::<Vec<_>>(), [first.seq, second.seq]);
    for record in records {
        assert_eq!(record.topic, topic);
        assert!(
            record.published_at.as_millis() >= before.as_millis() - 5
                && record.published_at.as_millis() <= after.as_millis() + 5,
            "{} is not between {before} and {after}",
            record.published_at
        );
    }
    bus.close().await;
}

/// Two prefixes on one store are two buses, and neither prefix is seen in what is read.
pub async fn a_prefix_separates_and_is_never_seen<H: Harness + ?Sized>(harness: &H) {
    let with = |prefix: &str| OpenOptions { prefix: prefix.to_owned(), ..OpenOptions::default() };
    let topic = Topic::ingress();
    // Both first, where that can be, so that a shared group or id would show.
    let dev = harness.open_as(with("dev.")).await;
    let mut dev_reader = join(&dev, &topic, "readers", 8).await;
    put(&dev, &topic, "same-id").await;
    let dev = release(harness, dev).await;

    let plain = harness.open_as(with("")).await;
    let mut plain_reader = join(&plain, &topic, "readers", 8).await;
    assert_eq!(kept_ids(&plain, &topic).await, Vec::<String>::new(), "the other prefix's message is seen");
    let stored = put_message(&plain, &topic, message("same-id", "plain")).await;
    assert!(!stored.duplicate, "the other prefix's id is seen");
    let delivery = next(&mut plain_reader).await;
    assert_eq!(delivery.record().message.body, "plain");
    assert_eq!(delivery.record().topic, topic);
    settle(delivery, Settlement::Ack).await;
    let all = kept(&plain, ScanTopics::All, ScanFrom::Oldest).await;
    assert_eq!(all.len(), 1, "{all:?}");
    for lag in plain.lag().await.expect("the bus tells its lag") {
        assert_eq!((lag.topic.clone(), lag.pending), (topic.clone(), 0), "{lag:?}");
    }
    drop(plain_reader);
    plain.close().await;

    let dev = match dev {
        Some(dev) => dev,
        None => {
            let dev = harness.open_as(with("dev.")).await;
            dev_reader = join(&dev, &topic, "readers", 8).await;
            dev
        }
    };
    let delivery = next(&mut dev_reader).await;
    assert_eq!(delivery.record().topic, topic, "the prefix is seen");
    assert_eq!(delivery.record().message.body, "same-id");
    assert!(
        delivery
            .record()
            .message
            .attributes
            .iter()
            .all(|(name, value)| !format!("{name}{value}").contains("dev.")),
        "the prefix is seen in the attributes"
    );
    settle(delivery, Settlement::Ack).await;
    let all = kept(&dev, ScanTopics::All, ScanFrom::Oldest).await;
    assert_eq!(all.iter().map(|r| r.topic.as_str()).collect::<Vec<_>>(), ["internal.ingress.v1"]);
    for lag in dev.lag().await.expect("the bus tells its lag") {
        assert_eq!(lag.topic, topic);
    }
    dev.close().await;
}

/// A body at the limit passes, one over it is refused for good, and what follows is not disturbed.
pub async fn a_message_over_the_limit_is_refused_and_disturbs_nothing<H: Harness + ?Sized>(harness: &H) {
    let limit = 64 * 1024;
    let bus = harness.open_as(OpenOptions { max_message_bytes: limit, ..OpenOptions::default() }).await;
    let topic = Topic::ingress();
    assert_eq!(bus.max_message_bytes(), limit);
    let mut reader = join(&bus, &topic, "readers", 8).await;
    let large = bus.publish(&topic, message("large", vec![b'x'; limit]));
    let too_large = bus.publish(&topic, message("too-large", vec![b'x'; limit + 1]));
    let small = bus.publish(&topic, message("small", "x"));
    answer(large).await.expect("a body at the limit is stored");
    let refused = answer(too_large).await.expect_err("a body over the limit is refused");
    assert_eq!(refused.kind(), BusErrorKind::TooLarge, "{refused}");
    assert!(!refused.is_temporary());
    answer(small).await.expect("the next one is stored");
    assert_eq!(take(&mut reader).await, "large");
    assert_eq!(take(&mut reader).await, "small");
    assert_eq!(kept_ids(&bus, &topic).await, ["large", "small"]);
    bus.close().await;
}

/// What one place publishes without waiting is stored in the order of its calls.
pub async fn publishes_from_one_place_are_stored_in_their_order<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topics = [Topic::ingress(), Topic::enriched()];
    let mut receipts = Vec::new();
    for i in 0..1000 {
        let id = format!("p-{i:04}");
        receipts.push(bus.publish(&topics[i % 2], message(&id, id.clone())));
    }
    let mut places = [Vec::new(), Vec::new()];
    for (i, receipt) in receipts.into_iter().enumerate() {
        places[i % 2].push(answer(receipt).await.expect("each is stored").seq);
    }
    for (n, topic) in topics.iter().enumerate() {
        assert!(places[n].is_sorted_by(|a, b| a < b), "receipts of {topic} are out of order");
        let expected: Vec<String> = (0..1000).filter(|i| i % 2 == n).map(|i| format!("p-{i:04}")).collect();
        assert_eq!(kept_ids(&bus, topic).await, expected);
    }
    bus.close().await;
}

/// Whoever does not wait for a receipt has published all the same.
pub async fn a_dropped_receipt_changes_nothing<H: Harness + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut expected = Vec::new();
    for i in 0..50 {
        let id = format!("unwaited-{i:04}");
        drop(bus.publish(&topic, message(&id, id.clone())));
        expected.push(id);
    }
    put(&bus, &topic, "waited").await;
    expected.push("waited".to_owned());
    assert_eq!(kept_ids(&bus, &topic).await, expected);
    bus.close().await;
}

/// What another program publishes, without our id or attributes, is a message like any other.
pub async fn a_third_partys_message_gets_an_id_of_its_own<H: ThirdParty + ?Sized>(harness: &H) {
    let bus = harness.open().await;
    let topic = Topic::ingress();
    let mut reader = join(&bus, &topic, "readers", 8).await;
    harness.publish_raw(&topic, &Attributes::new(), b"{\"n\":1}").await;
    harness.publish_raw(&topic, &Attributes::new(), b"{\"n\":1}").await;
    let theirs: Attributes = [("channel", "#theirs")].into_iter().collect();
    harness.publish_raw(&topic, &theirs, &[0xff, 0x00]).await;
    put(&bus, &topic, "ours").await;

    let (first, second, third) = (next(&mut reader).await, next(&mut reader).await, next(&mut reader).await);
    assert_eq!(first.record().message.body, &b"{\"n\":1}"[..]);
    assert_ne!(first.record().message.id, second.record().message.id, "two messages, one id");
    assert_eq!(third.record().message.attributes.get("Channel"), Some("#theirs"));
    assert_eq!(third.record().message.body, &[0xff, 0x00][..]);
    let again = kept(&bus, ScanTopics::One(topic), ScanFrom::Oldest).await;
    assert_eq!(again[0].message.id, first.record().message.id, "the id is not the same when read again");
    assert_eq!(take(&mut reader).await, "ours");
    bus.close().await;
}

/// A third party that copies our attributes to another topic is not deduplicated.
pub async fn a_third_party_that_copies_our_attributes_is_not_a_duplicate<H: ThirdParty + ?Sized>(
    harness: &H,
) {
    let bus = harness.open().await;
    let (ours, theirs) = (Topic::ingress(), Topic::egress());
    let copied: Attributes =
        [(names::MESSAGE_ID, "m-1"), (names::CORRELATION_ID, "c-1")].into_iter().collect();
    put_message(&bus, &ours, Message::new(MessageId::new("m-1"), copied.clone(), "{}")).await;
    harness.publish_raw(&theirs, &copied, b"reply").await;
    let record = eventually("the copy is on the bus", || async {
        kept(&bus, ScanTopics::One(theirs.clone()), ScanFrom::Oldest).await.pop()
    })
    .await;
    assert_eq!(record.message.body, "reply");
    bus.close().await;
}

/// Closes a bus where its store takes one at a time.
async fn release<H: Harness + ?Sized>(harness: &H, bus: Arc<dyn Bus>) -> Option<Arc<dyn Bus>> {
    if harness.capabilities().concurrent {
        return Some(bus);
    }
    bus.close().await;
    None
}

/// The order may differ; nothing else may.
fn assert_same(got: &Attributes, sent: &Attributes) {
    let sorted = |attributes: &Attributes| {
        let mut pairs: Vec<(String, String)> =
            attributes.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        pairs.sort();
        pairs
    };
    let (got, sent) = (sorted(got), sorted(sent));
    if got != sent {
        fail::<()>(&format!("attributes were changed: sent {sent:?}, got {got:?}"));
    }
}
