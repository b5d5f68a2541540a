//! Channels that are added and taken out while the connector runs, against the sandbox's server.

use std::collections::BTreeSet;
use std::time::Duration;

use chatbus_connector::{Availability, Snapshot, Target, Verdict};
use chatbus_platform_twitch::irc::transport::public_roots;
use chatbus_sandbox::twitch_irc::{Say, SentFilter, Since, Who};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

use crate::rig::{Rig, config};

async fn sandbox() -> SandboxHandle {
    Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap()
}

/// In the configured `#base`, with an account.
async fn at_base(sandbox: &SandboxHandle) -> Rig {
    let rig = Rig::run(config(&sandbox.twitch().irc_url(), &["base"], true));
    rig.joined(1).await;
    rig
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn has_joined(status: &Snapshot, names: &[&str]) -> bool {
    status.joined_channels == set(names)
}

/// Waits until the server has our connection in these channels and no others.
async fn server_has(sandbox: &SandboxHandle, names: &[&str]) {
    let seen = || -> Vec<BTreeSet<String>> {
        let connections = sandbox.twitch().connections();
        connections.into_iter().map(|connection| connection.channels.into_iter().collect()).collect()
    };
    let reached = async {
        while seen() != [set(names)] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), reached).await.is_err() {
        panic!("the server has {:?} and not {names:?}", seen());
    }
}

async fn said_by_viewer(sandbox: &SandboxHandle, channel: &str, text: &str) -> usize {
    let said = sandbox.twitch().say(&Say::new(channel, "ada", text)).await.unwrap();
    said.iter().map(|said| said.told).sum()
}

/// Waits until something can be said there.
async fn ready(rig: &Rig, channel: &str) {
    let (sink, target) = (rig.sink(), Target::Channel(channel.into()));
    let ready = async {
        while sink.availability(&target) != Availability::Ready {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.expect("ready");
}

#[tokio::test]
async fn an_added_channel_is_read_and_spoken_in_until_it_is_taken_out() {
    let sandbox = sandbox().await;
    let rig = at_base(&sandbox).await;
    let added = Target::Channel("#added".into());
    assert_eq!(rig.sink().channel("Added").as_deref(), Some("#added"));
    assert_eq!(rig.sink().availability(&added), Availability::Unserved);

    rig.set_channels(&["Added"]);
    let status = rig.until(|status| has_joined(status, &["#base", "#added"])).await;
    assert_eq!(status.wanted_channels, set(&["#base", "#added"]));
    assert_eq!(status.added_channels, set(&["#added"]));
    assert_eq!(said_by_viewer(&sandbox, "added", "hello there").await, 1);
    assert_eq!(rig.ear.wait_for_text("hello there").await["channel"], "#added");
    ready(&rig, "#added").await;
    let verdict = rig.say(rig.outbound("#added", "hello back")).await.unwrap();
    assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
    let sent = sandbox.twitch().sent(&SentFilter { channel: Some("added".to_owned()), since: Since::Start });
    assert_eq!(sent.iter().map(|sent| sent.text.as_str()).collect::<Vec<_>>(), ["hello back"]);

    rig.set_channels(&[]);
    let status = rig.until(|status| has_joined(status, &["#base"])).await;
    assert_eq!(status.wanted_channels, set(&["#base"]));
    assert_eq!(status.added_channels, set(&[]));
    server_has(&sandbox, &["base"]).await;
    assert_eq!(rig.sink().availability(&added), Availability::Unserved);
    assert_eq!(rig.say(rig.outbound("#added", "too late")).await.unwrap(), Verdict::NotNow);
    assert_eq!(said_by_viewer(&sandbox, "added", "anybody?").await, 0);
    assert_eq!(said_by_viewer(&sandbox, "base", "still here").await, 1);
    rig.ear.wait_for_text("still here").await;
    rig.end().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_was_added_before_it_runs_is_joined_with_the_configured_channels() {
    let sandbox = sandbox().await;
    let config = config(&sandbox.twitch().ws_url(), &["base"], false);
    let rig = Rig::run_beside(config, public_roots().unwrap(), &["one", "#two", "base", "no name"]);
    let status = rig.until(|status| status.joined_channels.len() == 3).await;
    assert_eq!(status.joined_channels, set(&["#base", "#one", "#two"]));
    assert_eq!(status.added_channels, set(&["#one", "#two"]));
    assert_eq!(status.last_error.map(|error| error.code).as_deref(), Some("channels_left_out"));
    server_has(&sandbox, &["base", "one", "two"]).await;
    rig.end().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn after_a_reconnect_we_are_where_we_are_wanted_by_then() {
    let sandbox = sandbox().await;
    let rig = at_base(&sandbox).await;
    rig.set_channels(&["one", "two"]);
    rig.joined(3).await;
    sandbox.twitch().accept(false);
    assert_eq!(sandbox.twitch().drop_connections(&Who::default(), true), 1);
    rig.joined(0).await;
    rig.set_channels(&["two", "three"]);
    let target = Target::Channel("#three".into());
    let status = rig.until(|status| status.wanted_channels.contains("#three")).await;
    assert_eq!(status.wanted_channels, set(&["#base", "#two", "#three"]));
    assert!(matches!(rig.sink().availability(&target), Availability::Disconnected { .. }));
    assert_eq!(rig.sink().availability(&Target::Channel("#one".into())), Availability::Unserved);
    sandbox.twitch().accept(true);
    rig.until(|status| has_joined(status, &["#base", "#two", "#three"])).await;
    server_has(&sandbox, &["base", "three", "two"]).await;
    rig.end().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refused_channel_is_named_until_it_is_taken_out_and_tried_again_when_it_is_added_again() {
    let sandbox = sandbox().await;
    let rig = at_base(&sandbox).await;
    sandbox.twitch().set_role("closed", "bot", |role| role.banned = true).unwrap();
    rig.set_channels(&["closed"]);
    let status = rig.until(|status| !status.refused_channels.is_empty()).await;
    let refused: Vec<_> = status.refused_channels.iter().map(|r| (&*r.channel, &*r.code)).collect();
    assert_eq!(refused, [("#closed", "msg_banned")]);
    assert!(has_joined(&status, &["#base"]));
    rig.set_channels(&[]);
    rig.until(|status| status.refused_channels.is_empty()).await;
    sandbox.twitch().set_role("closed", "bot", |role| role.banned = false).unwrap();
    rig.set_channels(&["closed"]);
    let status = rig.until(|status| has_joined(status, &["#base", "#closed"])).await;
    assert!(status.refused_channels.is_empty());
    rig.end().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_being_said_in_a_channel_that_is_taken_out_has_its_verdict_before_we_leave() {
    let sandbox = sandbox().await;
    let rig = at_base(&sandbox).await;
    sandbox.twitch().set_modes("added", |modes| modes.verdict_delay_ms = 300).unwrap();
    rig.set_channels(&["added"]);
    ready(&rig, "#added").await;
    let verdict = rig.say(rig.outbound("#added", "goodbye"));
    sandbox.twitch().wait_for_sent(1).await;
    rig.set_channels(&[]);
    rig.until(|status| has_joined(status, &["#base"])).await;
    let verdict = verdict.await.unwrap();
    assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
    server_has(&sandbox, &["base"]).await;
    rig.end().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn many_channels_at_once_are_joined_without_overstepping_what_the_server_allows() {
    let sandbox = sandbox().await;
    let rig = at_base(&sandbox).await;
    let names: Vec<String> = (0..45).map(|n| format!("many_{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // The server counts by the same clock, which runs ahead while nothing happens.
    tokio::time::pause();
    rig.set_channels(&names);
    rig.joined(46).await;
    let joins = sandbox.twitch().joins(Since::Start);
    assert_eq!(joins.iter().filter(|join| join.joined).count(), 46);
    assert!(joins.iter().all(|join| join.code != Some("rate_limit")));
    rig.set_channels(&names[..5]);
    rig.joined(6).await;
    let expected: Vec<&str> = std::iter::once("base").chain(names[..5].iter().copied()).collect();
    server_has(&sandbox, &expected).await;
    rig.end().await;
    sandbox.stop().await;
}
