//! Connections end, and nothing is lost by it.

use std::time::Duration;

use chatbus_connector::{ConnectionState, Notes as _};
use chatbus_event::sha256_hex;

use crate::rig::{Rig, say};

#[tokio::test]
async fn a_dropped_connection_is_resumed_and_nothing_is_lost_or_said_twice() {
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    rig.discord().drop_connections();
    rig.say("ada", "two");
    rig.say("ada", "three");
    rig.ear.wait_text("three").await;
    rig.say("ada", "four");
    rig.ear.wait_text("four").await;
    assert_eq!(rig.ear.texts(), ["one", "two", "three", "four"]);
    let snapshot = rig.until_connected().await;
    assert_eq!(snapshot.counters.reconnects, 1);
    assert!(snapshot.last_reconnect_at.is_some());
    let counters = rig.discord().counters();
    assert_eq!((counters["identifies"], counters["resumes"]), (1, 1));
}

#[tokio::test]
async fn the_next_process_resumes_where_the_last_one_ended() {
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    let left = rig.end().await;
    say(left.0.discord(), "ada", "while nobody listens");
    let rig = Rig::again(left).await;
    rig.ear.wait_text("while nobody listens").await;
    rig.say("ada", "three");
    rig.ear.wait_text("three").await;
    assert_eq!(rig.ear.texts(), ["one", "while nobody listens", "three"]);
    let counters = rig.discord().counters();
    assert_eq!((counters["identifies"], counters["resumes"]), (1, 1));
    assert_eq!(rig.ear.events("system.source.gap.v1").len(), 0, "there was no gap");
    assert_eq!(rig.snapshot().joined_channels.len(), 2, "what a resumed session does not tell is asked for");
}

#[tokio::test]
async fn a_connection_that_is_dead_without_ending_is_given_up_and_resumed() {
    let rig = Rig::connected_after(|discord| discord.heartbeat_every(Duration::from_millis(300))).await;
    assert_eq!(rig.discord().freeze(), 1);
    rig.say("ada", "is anybody there?");
    rig.ear.wait_text("is anybody there?").await;
    let counters = rig.discord().counters();
    assert_eq!((counters["identifies"], counters["resumes"]), (1, 1));
}

#[tokio::test]
async fn every_close_code_that_leaves_the_session_is_followed_by_a_resume() {
    let rig = Rig::connected().await;
    for (resumes, code) in (1..).zip([1000, 4000, 4008]) {
        assert_eq!(rig.discord().close(code), 1, "{code}");
        let text = format!("after {code}");
        rig.until(|snapshot| snapshot.state != ConnectionState::Connected).await;
        rig.say("ada", &text);
        rig.ear.wait_text(&text).await;
        assert_eq!(rig.discord().counters()["resumes"], resumes, "{code}");
    }
    assert_eq!(rig.ear.texts(), ["after 1000", "after 4000", "after 4008"]);
}

#[tokio::test]
async fn a_request_to_reconnect_is_followed_at_once() {
    let rig = Rig::connected().await;
    rig.discord().reconnect();
    rig.until(|snapshot| snapshot.counters.reconnects == 1).await;
    rig.say("ada", "still here");
    rig.ear.wait_text("still here").await;
    assert_eq!(rig.discord().counters()["resumes"], 1);
}

#[tokio::test]
async fn as_many_shards_are_run_as_are_recommended() {
    let rig = Rig::connected_after(|discord| discord.recommend_shards(2)).await;
    let shards: Vec<[u64; 2]> = rig.discord().connections().iter().map(|known| known.shard).collect();
    assert_eq!(shards, [[0, 2], [1, 2]]);
    rig.say("ada", "of one guild");
    rig.ear.wait_text("of one guild").await;
    assert_eq!(rig.ear.texts().len(), 1);
}

#[tokio::test]
async fn an_address_to_resume_at_that_is_not_the_gateways_is_not_used() {
    let rig = Rig::connected().await;
    for (resumes, url) in (1..).zip(["not a url", "wss://gateway.example.com"]) {
        let session = rig.discord().connections()[0].session.clone();
        let ready =
            serde_json::json!({ "session_id": session, "resume_gateway_url": url, "user": { "id": "1" } });
        rig.discord().dispatch("READY", &ready);
        rig.until(|snapshot| snapshot.counters.reconnects == resumes).await;
        assert_eq!(rig.discord().counters()["resumes"], resumes, "{url}");
    }
    rig.say("ada", "still here");
    rig.ear.wait_text("still here").await;
}

#[tokio::test]
async fn however_often_the_connection_is_dropped_in_a_busy_channel_all_is_heard_once_and_in_order() {
    let rig = Rig::connected().await;
    let mut said = Vec::new();
    for n in 0..400 {
        let text = format!("number {n}");
        rig.say("ada", &text);
        said.push(text);
        if n % 100 == 50 {
            rig.discord().drop_connections();
        }
        if n % 100 == 99 {
            rig.ear.wait_text(said.last().unwrap()).await;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.ear.texts(), said);
    assert_eq!(rig.discord().counters()["identifies"], 1);
}

#[tokio::test]
async fn what_a_killed_process_had_not_noted_is_told_again_under_the_same_id() {
    let key = format!("discord.gateway.{}.0", &sha256_hex(b"sandbox-token")[..16]);
    let rig = Rig::connected().await;
    rig.say("ada", "one");
    rig.ear.wait_text("one").await;
    let left = rig.end().await;
    let early = left.2.get(&key).await.unwrap().expect("a note");
    assert!(!early.windows(13).any(|part| part == b"sandbox-token"), "no secret is in it");
    let rig = Rig::again(left).await;
    rig.say("ada", "two");
    rig.ear.wait_text("two").await;
    let left = rig.end().await;
    left.2.put(&key, early).await.unwrap();
    let rig = Rig::again(left).await;
    rig.say("ada", "three");
    rig.ear.wait_text("three").await;
    assert_eq!(rig.ear.texts(), ["one", "two", "two", "three"]);
    let heard = rig.ear.heard();
    assert_eq!(heard[1].id, heard[2].id);
    assert_eq!(rig.discord().counters()["identifies"], 1);
}
