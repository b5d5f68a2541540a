//! The connector against the sandbox's Twitch, while viewers speak and connections break: nothing is lost that
//! the platform still had, nothing is published twice, and every gap is told.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_connector::{Account, Credential};
use chatbus_event::Timestamp;
use chatbus_platform_twitch::{ApiConfig, Read, TwitchConfig};
use chatbus_sandbox::twitch_api::{NewToken, Sessions};
use chatbus_sandbox::twitch_irc::Say;
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use serde_json::Value;

use crate::rig::{Rig, config};

const CHANNEL: &str = "cool_user";
/// The moments at which a gap begins and ends are those at which we heard, not at which Twitch was told.
const TOLERANCE: Duration = Duration::from_millis(250);

async fn sandbox() -> SandboxHandle {
    Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap()
}

fn rig(sandbox: &SandboxHandle, read: Read) -> Rig {
    let api = sandbox.twitch_api();
    let scopes = ["user:read:chat", "moderator:read:followers"];
    let issued = api.make_token(&NewToken::of("bot", &scopes)).unwrap();
    let credential = Credential::ready(issued.access_token.into(), Some("bot".to_owned()), None);
    let of_sandbox = ApiConfig {
        api_url: format!("{}/helix", api.url()).parse().unwrap(),
        auth_url: format!("{}/oauth2", api.url()).parse().unwrap(),
        ..ApiConfig::twitch("client".to_owned(), None)
    };
    Rig::run(TwitchConfig {
        read,
        api: Some(of_sandbox),
        eventsub_url: api.eventsub_url().parse().unwrap(),
        bot: Account::fixed(credential),
        ..config(&sandbox.twitch().irc_url(), &[CHANNEL], false)
    })
}

/// What a viewer said, by its text.
#[derive(Default)]
struct Said(BTreeMap<String, Timestamp>);

// === impl Said ===

impl Said {
    /// Says so many things, one after the other.
    async fn speak(&mut self, sandbox: &SandboxHandle, count: usize) {
        for _ in 0..count {
            let text = format!("text {:05}", self.0.len());
            let said = sandbox.twitch().say(&Say::new(CHANNEL, "ada", &text)).await.unwrap();
            self.0.insert(text, said[0].at);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The last one is heard, so all before it have had their chance.
    async fn last_is_heard(&self, rig: &Rig) {
        let (last, _) = self.0.last_key_value().unwrap();
        rig.ear.wait_for_text(last).await;
    }

    /// How often each was heard, and which were not and are in no gap.
    fn compare(&self, rig: &Rig) -> (usize, Vec<&str>) {
        let (heard, gaps) = heard(rig);
        let is_told = |at: Timestamp| {
            gaps.iter().any(|(from, to)| at.plus(TOLERANCE) >= *from && at.minus(TOLERANCE) <= *to)
        };
        let missing = self.0.iter().filter(|(text, at)| !heard.contains_key(*text) && !is_told(**at));
        (heard.values().copied().max().unwrap_or_default(), missing.map(|(text, _)| &**text).collect())
    }
}

/// How often each text was heard, and the gaps that were told.
fn heard(rig: &Rig) -> (BTreeMap<String, usize>, Vec<(Timestamp, Timestamp)>) {
    let (mut texts, mut gaps) = (BTreeMap::new(), Vec::new());
    for event in rig.ear.heard() {
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        if let Some(text) = body["message"]["text"].as_str() {
            *texts.entry(text.to_owned()).or_default() += 1;
        }
        if body["type"] == "system.source.gap.v1" {
            let payload = &body["externalEvent"]["payload"];
            let at = |name: &str| Timestamp::parse(payload[name].as_str().unwrap()).unwrap();
            gaps.push((at("from"), at("to")));
        }
    }
    (texts, gaps)
}

async fn gaps_told(rig: &Rig, count: usize) {
    rig.ear.wait_for(count, |event| event["type"] == "system.source.gap.v1").await;
}

#[tokio::test]
async fn a_session_that_is_moved_again_and_again_loses_nothing_and_says_nothing_twice() {
    let sandbox = sandbox().await;
    let rig = rig(&sandbox, Read::EventSub);
    rig.joined(1).await;
    let mut said = Said::default();
    for moves in 1..=5 {
        said.speak(&sandbox, 20).await;
        assert_eq!(sandbox.twitch_api().reconnect_sessions(&Sessions::default(), None), 1);
        said.speak(&sandbox, 40).await;
        rig.until(|status| status.counters.reconnects == moves).await;
    }
    said.speak(&sandbox, 20).await;
    said.last_is_heard(&rig).await;
    let (texts, gaps) = heard(&rig);
    assert_eq!((texts.len(), gaps.len()), (said.0.len(), 0));
    assert!(texts.values().all(|times| *times == 1), "{texts:?}");
    rig.end().await;
}

#[tokio::test]
async fn what_is_lost_with_a_connection_is_in_a_gap_that_is_told() {
    let sandbox = sandbox().await;
    // What a dead session leaves behind stands in the way until it is removed.
    sandbox.twitch_api().set_orphans_conflict(true);
    let rig = rig(&sandbox, Read::EventSub);
    rig.joined(1).await;
    let mut said = Said::default();
    let all = Sessions::default();
    for (n, code) in [None, Some(4000), Some(4006), Some(4007), None].into_iter().enumerate() {
        said.speak(&sandbox, 20).await;
        match code {
            None => sandbox.twitch_api().drop_sessions(&all),
            Some(code) => sandbox.twitch_api().close_sessions(&all, code, "bye").unwrap(),
        };
        said.speak(&sandbox, 20).await;
        gaps_told(&rig, n + 1).await;
        rig.joined(1).await;
    }
    said.speak(&sandbox, 20).await;
    said.last_is_heard(&rig).await;
    let (most, missing) = said.compare(&rig);
    assert_eq!((most, missing), (1, vec![]));
    assert_eq!(heard(&rig).1.len(), 5);
    rig.end().await;
}

#[tokio::test]
async fn a_frozen_connection_is_given_up_and_what_it_kept_is_in_a_gap() {
    let sandbox = sandbox().await;
    let rig = rig(&sandbox, Read::EventSub);
    rig.joined(1).await;
    let mut said = Said::default();
    said.speak(&sandbox, 10).await;
    said.last_is_heard(&rig).await;
    assert_eq!(sandbox.twitch_api().freeze_sessions(&Sessions::default(), true), 1);
    said.speak(&sandbox, 10).await;
    gaps_told(&rig, 1).await;
    said.speak(&sandbox, 10).await;
    said.last_is_heard(&rig).await;
    assert_eq!(said.compare(&rig), (1, vec![]));
    rig.end().await;
}

#[tokio::test]
async fn a_notification_that_twitch_repeats_is_one_event() {
    let sandbox = sandbox().await;
    let rig = rig(&sandbox, Read::EventSub);
    rig.joined(1).await;
    let api = sandbox.twitch_api();
    let mut said = Said::default();
    said.speak(&sandbox, 1).await;
    said.last_is_heard(&rig).await;
    let chat = api.subscriptions().into_iter().find(|row| row["type"] == "channel.chat.message").unwrap();
    assert!(api.repeat_notification(chat["id"].as_str().unwrap()).unwrap());
    said.speak(&sandbox, 1).await;
    said.last_is_heard(&rig).await;
    assert_eq!(said.compare(&rig), (1, vec![]));
    assert_eq!(rig.status().counters.other["eventsubRepeated"], 1);
    rig.end().await;
}

#[tokio::test]
async fn a_revoked_subscription_is_shown_and_a_stream_that_begins_is_told() {
    let sandbox = sandbox().await;
    let rig = rig(&sandbox, Read::EventSub);
    rig.joined(1).await;
    let api = sandbox.twitch_api();
    api.wait_for_subscriptions(11).await;
    assert_eq!(api.set_live(CHANNEL, true, 5).unwrap(), 1);
    let online = rig.ear.wait_for(1, |event| event["type"] == "system.stream.online").await.remove(0);
    assert_eq!(online["externalEvent"]["payload"]["broadcasterLogin"], CHANNEL);
    let chat = api.subscriptions().into_iter().find(|row| row["type"] == "channel.chat.message").unwrap();
    api.revoke_subscription(chat["id"].as_str().unwrap(), "user_removed").unwrap();
    let status = rig.until(|status| !status.refused_channels.is_empty()).await;
    assert_eq!(status.refused_channels[0].code, "user_removed");
    assert!(status.joined_channels.is_empty());
    rig.end().await;
}

#[tokio::test]
async fn read_both_ways_each_message_is_one_event_although_each_way_breaks() {
    let sandbox = sandbox().await;
    let rig = rig(&sandbox, Read::Both);
    rig.joined(1).await;
    let api = sandbox.twitch_api();
    rig.until(|status| status.counters.other.get("eventsubChannels") == Some(&1)).await;
    let mut said = Said::default();
    said.speak(&sandbox, 20).await;
    api.drop_sessions(&Sessions::default());
    said.speak(&sandbox, 40).await;
    gaps_told(&rig, 1).await;
    said.speak(&sandbox, 20).await;
    api.reconnect_sessions(&Sessions::default(), None);
    said.speak(&sandbox, 40).await;
    said.last_is_heard(&rig).await;
    let (texts, _) = heard(&rig);
    assert_eq!(texts.len(), said.0.len(), "IRC heard what EventSub missed");
    assert!(texts.values().all(|times| *times == 1));
    rig.end().await;
}
