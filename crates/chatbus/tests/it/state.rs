//! Where the shared state is kept, and what is there when the process is not.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Chatbus, Closed, Running, SHORT, WsClient, eventually, now, run};
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
async fn the_state_can_be_asked_for_by_its_name_on_nats() {
    let nats = NatsServer::start().await;
    let (one, other) =
        (Chatbus::new().with("EGRESS_INSTANCE_ID", "a"), Chatbus::new().with("EGRESS_INSTANCE_ID", "b"));
    let one = one.on_nats(&nats.url()).with("STATE_URL", "nats");
    let other = other.on_nats(&nats.url());
    let (_one, _other) = (one.ready().await, other.ready().await);
    create(&one, "ada").await;
    assert_eq!(users(&other).await, ["ada"], "what was asked for is what the bus brings");
}

async fn connect(running: &Running, token: &Value) -> Result<WsClient, Closed> {
    WsClient::connect(&running.url, token["token"].as_str().unwrap()).await
}

async fn revoke(chatbus: &Chatbus, token: &Value) -> Option<i32> {
    chatbus.run(&["token", "revoke", token["id"].as_str().unwrap()]).await.code
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_in_data_dir_while_nothing_runs() {
    let chatbus = Chatbus::new();
    let (ada, grace) = (create(&chatbus, "ada").await, create(&chatbus, "grace").await);
    let listed = chatbus.run(&["token", "list"]).await;
    assert!(listed.out.contains("ada") && listed.out.contains("grace"), "{}", listed.out);
    assert!(!listed.out.contains(ada["token"].as_str().unwrap()), "a secret is told");
    assert!(listed.err.contains("chatbus-data"), "it says where it looked: {}", listed.err);
    assert_eq!(revoke(&chatbus, &grace).await, Some(0));
    let again = chatbus.run(&["token", "revoke", grace["id"].as_str().unwrap()]).await;
    assert_eq!((again.code, again.out.as_str()), (Some(1), ""), "{}", again.err);
    assert!(again.err.contains("no token of this id"), "{}", again.err);

    let running = chatbus.ready().await;
    connect(&running, &ada).await.unwrap();
    assert_eq!(connect(&running, &grace).await.map(drop), Err(Closed::Http(401)));
    // While it runs it is asked, and nobody else opens its data.
    let alan = create(&chatbus, "alan").await;
    let mut client = connect(&running, &alan).await.unwrap();
    assert_eq!(revoke(&chatbus, &alan).await, Some(0));
    assert_eq!(client.ended().await, Closed::Code(4401));
    stop(running).await;
    assert_eq!(users(&chatbus).await, ["ada"], "the same tokens as before and while it ran");
}

#[tokio::test]
async fn a_process_that_has_the_data_and_does_not_answer_is_not_gone_round() {
    let chatbus = Chatbus::new();
    let running = chatbus.ready().await;
    running.signal(Signal::SIGSTOP);
    let made = chatbus.run(&["token", "create", "--user", "ada"]).await;
    assert_eq!((made.code, made.out.as_str()), (Some(1), ""), "{}", made.err);
    assert!(made.err.contains("does not answer"), "{}", made.err);
    // Nor when nothing says where it listens.
    std::fs::remove_dir_all(chatbus.folder().join("chatbus-data/run")).unwrap();
    let made = chatbus.run(&["token", "create", "--user", "ada"]).await;
    assert_eq!((made.code, made.out.as_str()), (Some(1), ""), "{}", made.err);
    assert!(made.err.contains(&format!("pid {}", running.pid)), "it says who has it: {}", made.err);
    running.signal(Signal::SIGCONT);
}

#[tokio::test]
async fn tokens_are_made_and_revoked_on_nats_by_a_machine_where_nothing_runs() {
    let nats = NatsServer::start().await;
    // Each has a folder of its own, and so finds no process.
    let (here, elsewhere) = (Chatbus::new().on_nats(&nats.url()), Chatbus::new().on_nats(&nats.url()));
    let ada = create(&elsewhere, "ada").await;
    let running = here.ready().await;
    let mut client = eventually("the token is known", SHORT, async || {
        connect(&running, &ada).await.map_err(|closed| format!("{closed:?}"))
    })
    .await;
    let grace = create(&elsewhere, "grace").await;
    eventually("a token that is made beside a process is known to it", SHORT, async || {
        connect(&running, &grace).await.map(drop).map_err(|closed| format!("{closed:?}"))
    })
    .await;
    let at = now();
    assert_eq!(revoke(&elsewhere, &ada).await, Some(0));
    assert_eq!(client.ended().await, Closed::Code(4401), "closed after {:?}", now() - at);
    assert_eq!((users(&here).await, users(&elsewhere).await), (vec!["grace".into()], vec!["grace".into()]));
    assert!(!elsewhere.folder().join("chatbus-data").exists(), "nothing was left where nothing runs");
    nats.kill();
    let made = elsewhere.run(&["token", "create", "--user", "alan"]).await;
    assert_eq!((made.code, made.out.as_str()), (Some(1), ""), "{}", made.err);
    assert!(made.err.contains("not in reach"), "{}", made.err);
}

#[tokio::test]
async fn without_a_process_there_are_no_tokens_in_memory() {
    for (bus, state) in [("memory", "memory"), ("memory", ""), ("embedded", "memory")] {
        let chatbus = Chatbus::new().with("MESSAGE_BUS_DRIVER", bus).with("STATE_URL", state);
        let made = chatbus.run(&["token", "create", "--user", "ada"]).await;
        assert_eq!((made.code, made.out.as_str()), (Some(1), ""), "{bus} {state:?}: {}", made.err);
        assert!(made.err.contains("no running chatbus"), "{}", made.err);
    }
    let named = Chatbus::new().run(&["token", "list", "--url", "http://127.0.0.1:9"]).await;
    assert_eq!(named.code, Some(1), "who names a process means it: {}{}", named.out, named.err);
}
