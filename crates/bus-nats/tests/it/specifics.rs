//! What only this driver does: streams, durables, ids on the wire.

use std::time::Duration;

use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use chatbus_bus::{Bus as _, BusErrorKind, Publish as _, Settlement};
use chatbus_bus_nats::{NatsBus, NatsConfig};
use chatbus_event::{Attributes, MessageId, Topic, names};
use chatbus_testkit::NatsConfig as ServerConfig;
use chatbus_testkit::NatsServer;
use chatbus_testkit::test_runtime;

use crate::harness::{
    config, connected, disconnected, eventually, join, kept, kept_ids, message, next, open, put, take, within,
};

async fn third_party(server: &NatsServer) -> Context {
    jetstream::new(async_nats::connect(server.url()).await.expect("a third party connects"))
}

#[tokio::test]
async fn streams_are_made_as_the_design_says_with_the_prefix_in_name_and_subject_only() {
    let server = NatsServer::start().await;
    let bus = open(NatsConfig { prefix: "dev.".into(), ..config(&server) }).await;
    let other = third_party(&server).await;
    let of = |name: &'static str| {
        let other = &other;
        async move { other.get_stream(name).await.expect(name).cached_info().config.clone() }
    };
    let egress = of("dev=chatbus-egress-of").await;
    assert_eq!(egress.subjects, ["dev.internal.egress.v1.>"]);
    assert_eq!((egress.retention, egress.discard), (RetentionPolicy::WorkQueue, DiscardPolicy::New));
    assert_eq!(egress.max_age, Duration::ZERO);
    let lane = of("dev=chatbus-lane-of").await;
    assert_eq!(
        (lane.retention, lane.discard, lane.max_age),
        (RetentionPolicy::Limits, DiscardPolicy::New, Duration::ZERO)
    );
    let ingress = of("dev=chatbus-ingress").await;
    assert_eq!((ingress.retention, ingress.discard), (RetentionPolicy::Limits, DiscardPolicy::Old));
    assert_eq!(
        (ingress.max_age, ingress.duplicate_window),
        (Duration::from_secs(86_400), Duration::from_secs(120))
    );
    let finalizer = of("dev=chatbus-finalizer").await;
    assert_eq!(finalizer.subjects.len(), 3);

    let attributes: Attributes = [(names::MESSAGE_ID, "m-1"), (names::TYPE, "t")].into_iter().collect();
    let sent = chatbus_bus::Message::new(MessageId::new("m-1"), attributes, "{}");
    let stored = bus.publish(&Topic::ingress(), sent).await.expect("it works");
    let raw = other
        .get_stream("dev=chatbus-ingress")
        .await
        .expect("it works")
        .get_raw_message(stored.seq)
        .await
        .expect("it works");
    assert_eq!(raw.subject.as_str(), "dev.internal.ingress.v1");
    assert_eq!(raw.headers.get("Nats-Msg-Id").expect("it works").as_str(), "internal.ingress.v1|m-1");
    assert_eq!(raw.headers.get("messageId").expect("it works").as_str(), "m-1");
    let record = kept(&*bus, &Topic::ingress()).await.remove(0);
    assert!(!format!("{record:?}").contains("dev."), "{record:?}");
    bus.close().await;
}

#[tokio::test]
async fn the_same_id_on_two_topics_of_one_stream_is_two_messages() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let [a, b, _] = Topic::finalizers();
    assert!(!put(&bus, &a, "same").await.duplicate);
    assert!(!put(&bus, &b, "same").await.duplicate);
    assert!(put(&bus, &b, "same").await.duplicate);
    bus.close().await;
}

#[tokio::test]
async fn a_stream_with_other_limits_is_changed_and_one_that_cannot_be_is_named() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    bus.close().await;
    let window = Duration::from_secs(30);
    let bus = open(NatsConfig { dedupe_window: window, retention_bytes: 1 << 20, ..config(&server) }).await;
    let other = third_party(&server).await;
    let changed = other.get_stream("chatbus-ingress").await.expect("it works").cached_info().config.clone();
    assert_eq!((changed.duplicate_window, changed.max_bytes), (window, 1 << 20));
    bus.close().await;

    other.delete_stream("chatbus-egress").await.expect("it works");
    let theirs = jetstream::stream::Config {
        name: "chatbus-egress".into(),
        subjects: vec!["internal.egress.v1".into()],
        ..Default::default()
    };
    other.create_stream(theirs).await.expect("it works");
    let bus = NatsBus::connect(config(&server), test_runtime(1)).expect("the settings are right");
    let reason = eventually("the status names it", || async {
        let reason = bus.status().borrow().reason.clone()?;
        reason.contains("chatbus-egress").then_some(reason)
    })
    .await;
    assert!(reason.contains("retention"), "{reason}");
    let refused = bus.declare(&[]).await.unwrap_err();
    assert_eq!(refused.kind(), BusErrorKind::Misconfigured, "{refused}");
    // What may be mended must not be given up.
    let publish = bus.publish(&Topic::ingress(), message("m")).await.unwrap_err();
    assert!(publish.is_temporary(), "{publish}");
    bus.close().await;
}

#[tokio::test]
async fn a_server_with_little_room_gets_smaller_streams() {
    let server = ServerConfig { max_file_store: Some(4 << 30), ..ServerConfig::default() }.start().await;
    let bus = open(config(&server)).await;
    put(&bus, &Topic::dead_letter(), "m").await;
    bus.close().await;
    // And the next start asks for more again, and is content with what there is.
    let bus = open(config(&server)).await;
    assert_eq!(kept_ids(&*bus, &Topic::dead_letter()).await, ["m"]);
    bus.close().await;
}

/// What is logged, as lines.
#[derive(Debug, Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

// === impl Lines ===

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the lock of a test").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn that_hold(&self, text: &str) -> Vec<String> {
        let bytes = self.0.lock().expect("the lock of a test").clone();
        String::from_utf8_lossy(&bytes).lines().filter(|l| l.contains(text)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn that_streams_are_small_is_said_once_with_their_names() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    // The test's executor runs everything on this thread.
    let _logged = tracing::subscriber::set_default(subscriber);
    let server = ServerConfig { max_file_store: Some(4 << 30), ..ServerConfig::default() }.start().await;
    let bus = open(config(&server)).await;
    for _ in 0..2 {
        server.kill();
        disconnected(&*bus).await;
        server.restart().await;
        connected(&*bus).await;
    }
    bus.close().await;
    assert_eq!(lines.that_hold("connected to NATS").len(), 3);
    let warnings = lines.that_hold("bus.nats.stream");
    let small: Vec<&String> = warnings.iter().filter(|line| line.contains("WARN")).collect();
    assert_eq!(small.len(), 1, "{warnings:?}");
    for name in ["chatbus-ingress", "chatbus-egress", "chatbus-deadletter"] {
        assert!(small[0].contains(&format!("{name} (")), "{small:?}");
    }
}

#[tokio::test]
async fn a_durable_that_is_removed_goes_on_where_it_was() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    put(&bus, &topic, "a").await;
    assert_eq!(take(&mut member).await, "a");
    let other = third_party(&server).await;
    let stream = other.get_stream("chatbus-ingress").await.expect("it works");
    // Twice: with a pull waiting at the server, and with a message in hand.
    remove_durable(&stream, &bus, "b").await;
    let held = next(&mut member).await;
    assert_eq!(held.record().message.id.as_str(), "b");
    remove_durable(&stream, &bus, "c").await;
    let mut seen = vec![];
    while seen.last().map(String::as_str) != Some("c") {
        seen.push(take(&mut member).await);
    }
    drop(held);
    put(&bus, &topic, "d").await;
    let member = &mut member;
    within("the member goes on", async { while take(member).await != "d" {} }).await;
    bus.close().await;
}

#[tokio::test]
async fn a_message_with_headers_that_are_no_text_stops_nothing() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let topic = Topic::ingress();
    let mut member = join(&bus, &topic, "readers", 8).await;
    publish_bytes(&server, topic.as_str(), b"NATS/1.0\r\nchannel: \xff\xfe\r\nno colon\r\n\r\n", b"body")
        .await;
    put(&bus, &topic, "after").await;
    let odd = next(&mut member).await;
    assert_eq!(odd.record().message.body, "body");
    odd.settle(Settlement::Ack).await.expect("it works");
    assert_eq!(take(&mut member).await, "after");
    assert_eq!(kept(&*bus, &topic).await.len(), 2);
    bus.close().await;
}

#[tokio::test]
async fn an_attribute_cannot_roll_up_or_name_an_id_for_the_server() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let topic = Topic::ingress();
    put(&bus, &topic, "first").await;
    let attributes: Attributes =
        [("Nats-Rollup", "all"), ("Nats-Msg-Id", "internal.ingress.v1|first"), ("kept", "1")]
            .into_iter()
            .collect();
    let stored = bus
        .publish(&topic, chatbus_bus::Message::new(MessageId::new("second"), attributes, "x"))
        .await
        .expect("it works");
    assert!(!stored.duplicate);
    assert_eq!(kept_ids(&*bus, &topic).await, ["first", "second"]);
    bus.close().await;
}

#[tokio::test]
async fn a_full_window_refuses_and_takes_again() {
    let server = NatsServer::start().await;
    let bus = open(NatsConfig { window_messages: 4, ..config(&server) }).await;
    crate::outages::freeze(&server).await;
    let mut receipts: Vec<_> =
        (0..5).map(|n| bus.publish(&Topic::ingress(), message(&format!("m-{n}")))).collect();
    let refused = within("a receipt", receipts.pop().expect("it works")).await.unwrap_err();
    assert_eq!(refused.kind(), BusErrorKind::Full, "{refused}");
    server.thaw();
    for receipt in receipts {
        within("a receipt", receipt).await.expect("it works");
    }
    put(&bus, &Topic::ingress(), "m-4").await;
    assert_eq!(kept_ids(&*bus, &Topic::ingress()).await, ["m-0", "m-1", "m-2", "m-3", "m-4"]);
    bus.close().await;
}

#[tokio::test]
async fn a_settled_egress_message_is_not_said_twice_when_the_server_is_killed_right_after() {
    let server = NatsServer::start().await;
    let bus = open(config(&server)).await;
    let topic = Topic::parse("internal.egress.v1.a").expect("it works");
    let mut owner = join(&bus, &topic, "owner", 8).await;
    for n in 0..20 {
        put(&bus, &topic, &format!("m-{n:02}")).await;
    }
    for n in 0..20 {
        assert_eq!(take(&mut owner).await, format!("m-{n:02}"));
    }
    server.kill();
    server.restart().await;
    crate::harness::connected(&*bus).await;
    eventually("publishing works again", || async { bus.publish(&topic, message("last")).await.ok() }).await;
    assert_eq!(take(&mut owner).await, "last", "an acknowledged message came again");
    bus.close().await;
}

/// Removes the group's durable, publishes at once, and waits until the driver has made it anew.
async fn remove_durable(stream: &jetstream::stream::Stream, bus: &NatsBus, id: &str) {
    const DURABLE: &str = "readers=internal=ingress=v1";
    let before = stream.consumer_info(DURABLE).await.expect("the durable is there").created;
    // 2.10 reports an error when the new one's folder is there before the old one's is gone.
    let _ = stream.delete_consumer(DURABLE).await;
    put(bus, &Topic::ingress(), id).await;
    eventually("the durable is made anew", || async {
        stream.consumer_info(DURABLE).await.ok().filter(|info| info.created > before)
    })
    .await;
}

/// Bytes as no client library would send them.
async fn publish_bytes(server: &NatsServer, subject: &str, headers: &[u8], body: &[u8]) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let mut socket =
        BufReader::new(tokio::net::TcpStream::connect(("127.0.0.1", server.port())).await.expect("it works"));
    let mut sent = b"CONNECT {\"headers\":true,\"verbose\":false}\r\n".to_vec();
    sent.extend(format!("HPUB {subject} {} {}\r\n", headers.len(), headers.len() + body.len()).bytes());
    sent.extend([headers, body, b"\r\nPING\r\n"].concat());
    socket.write_all(&sent).await.expect("it works");
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        assert!(socket.read_line(&mut line).await.expect("it works") > 0, "the server closed");
        assert!(!line.starts_with("-ERR"), "{line}");
    }
}
