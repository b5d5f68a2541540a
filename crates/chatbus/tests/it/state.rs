//! Where the shared state is kept, and what is there when the process is not.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Chatbus, Running, run};
use chatbus_testkit::NatsServer;

async fn create(chatbus: &Chatbus, user: &str) -> Value {
    let made = chatbus.run(&["token", "create", "--user", user, "--json"]).await;
    assert_eq!(made.code, Some(0), "{}{}", made.out, made.err);
    serde_json::from_str(&made.out).unwrap()
}

/// The users who have tokens.
async fn users(chatbus: &Chatbus) -> Vec<String> {
    let listed = chatbus.run(&["token", "list", "--json"]).await;
    assert_eq!(listed.code, Some(0), "{}{}", listed.out, listed.err);
    let all: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    all.iter().map(|token| token["user_id"].as_str().unwrap().to_owned()).collect()
}

async fn stop(mut running: Running) {
    running.signal(Signal::SIGTERM);
    assert_eq!(running.ended().await.code(), Some(0), "{}", running.log());
}

#[tokio::test]
async fn a_state_that_cannot_be_right_with_its_bus_is_named_with_all_other_problems() {
    let folder = tempfile::tempdir().unwrap();
    for (bus, state, right) in [
        ("nats", "embedded", "use nats"),
        ("nats", "redis://me:hushhush@127.0.0.1:1", "use nats"),
        ("embedded", "nats", "use embedded or memory"),
        ("embedded", "sqlite:x", "use embedded or memory"),
    ] {
        let settings =
            [("MESSAGE_BUS_DRIVER", bus), ("STATE_URL", state), ("TWITCH_CHANNELS", "not/a/channel")];
        for more in [&[][..], &[("PORT", "high")]] {
            let settings = [&settings[..], more].concat();
            let done = run(&["serve"], &settings, folder.path()).await;
            assert_eq!(done.code, Some(2), "{bus} {state}: {}", done.err);
            assert!(done.err.contains("TWITCH_CHANNELS:"), "{}", done.err);
            let line = done.err.lines().find(|line| line.contains("STATE_URL:"));
            assert!(line.is_some_and(|line| line.contains(right)), "{bus} {state}: {}", done.err);
        }
        for command in [&["serve"][..], &["doctor"], &["config", "show"]] {
            let done = run(command, &settings[..2], folder.path()).await;
            assert!(!(done.out + &done.err).contains("hushhush"), "{command:?}");
        }
    }
}

#[tokio::test]
async fn tokens_outlive_the_process_where_the_state_is_on_disk_and_not_where_it_is_in_memory() {
    for (state, kept) in [("embedded", true), ("memory", false)] {
        let chatbus = Chatbus::new().with("STATE_URL", state);
        let running = chatbus.ready().await;
        create(&chatbus, "ada").await;
        assert_eq!(users(&chatbus).await, ["ada"], "{state}");
        let warned = running.log_lines().iter().any(|line| line["event"] == "process.state_forgets");
        assert_eq!(warned, !kept, "{state}: {}", running.log());
        stop(running).await;
        let running = chatbus.ready().await;
        assert_eq!(users(&chatbus).await.len(), usize::from(kept), "{state}");
        stop(running).await;
    }
}

#[tokio::test]
async fn the_state_of_nats_can_be_asked_for_by_its_name() {
    let nats = NatsServer::start().await;
    let (one, other) =
        (Chatbus::new().with("EGRESS_INSTANCE_ID", "a"), Chatbus::new().with("EGRESS_INSTANCE_ID", "b"));
    let one = one.on_nats(&nats.url()).with("STATE_URL", "nats");
    let other = other.on_nats(&nats.url());
    let (_one, _other) = (one.ready().await, other.ready().await);
    create(&one, "ada").await;
    assert_eq!(users(&other).await, ["ada"], "what was asked for is what the bus brings");
}
