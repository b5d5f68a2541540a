//! The account changes while the connector runs, against a server that takes some tokens and others not.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chatbus_connector::{
    Account, AccountKeeper, Availability, ConnectionState, Connector as _, Credential, CredentialState,
    Snapshot, Target, Verdict,
};
use chatbus_event::Timestamp;
use chatbus_platform_twitch::TwitchConfig;
use chatbus_sandbox::twitch_irc::{LoginAttempt, Said, Say, Since, TwitchIrc, Who};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

use crate::rig::{Rig, bot, config};

/// A connector whose account somebody keeps, in `#a` and `#b` of a sandbox.
struct Stage {
    sandbox: SandboxHandle,
    keeper: AccountKeeper,
    rig: Rig,
}

// === impl Stage ===

impl Stage {
    async fn with(credential: Credential) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        let (account, keeper) = Account::new(credential);
        let base = config(&sandbox.twitch().irc_url(), &["a", "b"], false);
        let rig = Rig::run(TwitchConfig { bot: account, awaits_login: true, ..base });
        let stage = Self { sandbox, keeper, rig };
        stage.settled(1).await;
        stage
    }

    fn twitch(&self) -> &TwitchIrc {
        self.sandbox.twitch()
    }

    /// Waits until so many of our connections are in both channels, and no others are there.
    async fn settled(&self, connections: usize) {
        self.rig.joined(2).await;
        for channel in ["a", "b"] {
            self.twitch().wait_for_members(channel, connections).await;
        }
    }

    /// Waits until there is one connection, of this account (`None` is a guest), which is in both channels.
    async fn is_only(&self, login: Option<&str>) {
        let status = self.rig.connector.status();
        let mut changes = status.changes();
        let reached = async {
            loop {
                let connections = self.twitch().connections();
                if let [only] = &connections[..]
                    && only.channels.len() == 2
                    && only.anonymous == login.is_none()
                    && login.is_none_or(|login| only.login.as_deref() == Some(login))
                    && status.snapshot().joined_channels.len() == 2
                {
                    return;
                }
                // Nobody tells of connections that end.
                let _ = tokio::time::timeout(Duration::from_millis(5), changes.changed()).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), reached).await;
        waited.unwrap_or_else(|_| panic!("{:?}", self.twitch().connections()));
    }

    async fn auth(&self, state: &str) -> Snapshot {
        self.rig.until(|status| status.auth.state == state).await
    }

    /// Somebody says many things in a channel, in half a second.
    async fn chatter(&self, channel: &str) -> Vec<Said> {
        let say = Say { count: 500, rate: Some(1000.0), ..Say::new(channel, "ada", "number {n}") };
        self.twitch().say(&say).await.unwrap()
    }

    /// All of this became one event.
    async fn is_heard_once(&self, said: &[Said]) {
        assert!(said.iter().all(|said| said.told > 0), "somebody was there to hear it");
        let wanted: HashSet<String> = said.iter().map(|said| format!("twitch:{}", said.id)).collect();
        let known =
            |event: &serde_json::Value| event["message"]["id"].as_str().map(|id| format!("twitch:{id}"));
        self.rig.ear.wait_for_each(&wanted, known).await;
        let mut events: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        for event in self.rig.ear.heard() {
            let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
            if let Some(id) = known(&body) {
                events.entry(id).or_default().insert(event.id.as_str().to_owned());
            }
        }
        // Read twice it has one id, by which the bus knows it again.
        for id in &wanted {
            assert_eq!(events.get(id).map(HashSet::len), Some(1), "{id}");
        }
    }

    fn gaps(&self) -> Vec<serde_json::Value> {
        let events = self.rig.ear.heard();
        let bodies =
            events.iter().map(|event| serde_json::from_slice::<serde_json::Value>(&event.body).unwrap());
        bodies.filter(|event| event["type"] == "system.source.gap.v1").collect()
    }

    /// Says something once it can be said.
    async fn says(&self, text: &str) {
        let sink = self.rig.sink();
        let mut changes = sink.changes();
        let ready = async {
            while sink.availability(&Target::Channel("#a".into())) != Availability::Ready {
                let _ = tokio::time::timeout(Duration::from_millis(50), changes.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), ready).await.expect("it can be said");
        let verdict = sink.send(self.rig.outbound("#a", text)).await;
        assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
    }

    fn refused_logins(&self) -> Vec<LoginAttempt> {
        let mut logins = self.twitch().logins(Since::Start);
        logins.retain(|login| !login.accepted);
        logins
    }

    async fn end(self) {
        let joins = self.twitch().joins(Since::Start);
        assert!(joins.iter().all(|join| join.joined), "{joins:?}");
        self.rig.end().await;
        self.sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_token_that_comes_later_is_used_without_a_restart_and_nothing_is_missed_meanwhile() {
    let stage = Stage::with(Credential::default()).await;
    let before = stage.auth("needs_reauth").await;
    assert_eq!((before.state, before.auth.login), (ConnectionState::Connected, None));
    let (said, ()) = tokio::join!(stage.chatter("a"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.keeper.tell(bot("t-1"));
        stage.is_only(Some("bot")).await;
    });
    stage.is_heard_once(&said).await;
    assert_eq!(stage.gaps(), Vec::<serde_json::Value>::new());
    stage.says("here I am").await;
    let after = stage.auth("ok").await;
    assert_eq!(after.auth.login.as_deref(), Some("bot"));
    assert!(after.auth.user_id.is_some(), "the server told it");
    let own = stage.rig.ear.wait_for_text("here I am").await;
    assert_eq!(own["metadata"]["self"], true);
    stage.end().await;
}

#[tokio::test]
async fn a_token_that_expires_and_is_renewed_costs_nothing_while_the_connection_lives() {
    let stage = Stage::with(bot("t-1")).await;
    let (said, ()) = tokio::join!(stage.chatter("b"), async {
        stage.twitch().mark_token("t-1", true).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.keeper.tell(bot("t-2"));
        stage.says("still the same connection").await;
    });
    stage.is_heard_once(&said).await;
    assert_eq!(stage.twitch().counters().logins, 1);
    // The next login is with the new one.
    stage.twitch().drop_connections(&Who::default(), true);
    stage.rig.until(|status| status.counters.reconnects == 1).await;
    stage.is_only(Some("bot")).await;
    assert!(stage.refused_logins().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_token_that_expires_under_a_lost_connection_is_renewed_while_a_guest_reads() {
    let stage = Stage::with(bot("t-1")).await;
    stage.twitch().mark_token("t-1", true).unwrap();
    stage.twitch().drop_connections(&Who::default(), false);
    let mut refusals = stage.keeper.refusals();
    refusals.wait_for(|generation| *generation == 1).await.unwrap();
    assert_eq!(
        stage.auth("degraded").await.last_error.map(|error| error.code).as_deref(),
        Some("login_refused")
    );
    stage.is_only(None).await;
    let (said, ()) = tokio::join!(stage.chatter("a"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.keeper.tell(bot("t-2"));
        stage.is_only(Some("bot")).await;
    });
    stage.is_heard_once(&said).await;
    stage.auth("ok").await;
    stage.says("renewed").await;
    assert_eq!(stage.refused_logins().len(), 1, "tried once");
    // What was said between the loss and the guest was read by nobody, and that is told.
    let [gap] = &stage.gaps()[..] else { panic!("{:?}", stage.gaps()) };
    let payload = &gap["externalEvent"]["payload"];
    assert_eq!(payload["reason"], "connection_lost");
    assert_eq!(payload["channels"], serde_json::json!(["#a", "#b"]));
    assert!(payload["from"].as_str() <= payload["to"].as_str(), "{payload}");
    stage.end().await;
}

#[tokio::test]
async fn a_revoked_account_reads_says_nothing_and_speaks_again_when_somebody_has_logged_in() {
    let stage = Stage::with(bot("t-1")).await;
    stage.says("before").await;
    stage.twitch().mark_token("t-1", true).unwrap();
    let (said, ()) = tokio::join!(stage.chatter("a"), async {
        stage.keeper.tell_state(CredentialState::NeedsReauth);
        stage.is_only(None).await;
    });
    stage.is_heard_once(&said).await;
    let status = stage.auth("needs_reauth").await;
    assert_eq!((status.state, status.auth.login.as_deref()), (ConnectionState::Connected, Some("bot")));
    let target = Target::Channel("#a".into());
    assert!(matches!(stage.rig.sink().availability(&target), Availability::Disconnected { .. }));
    let verdict = stage.rig.sink().send(stage.rig.outbound("#a", "not now")).await;
    assert!(matches!(verdict, Verdict::Reauth { code, .. } if code == "needs_reauth"));

    let (said, ()) = tokio::join!(stage.chatter("b"), async {
        stage.keeper.tell(bot("t-2"));
        stage.is_only(Some("bot")).await;
    });
    stage.is_heard_once(&said).await;
    stage.auth("ok").await;
    stage.says("after").await;
    assert!(stage.refused_logins().is_empty() && stage.gaps().is_empty());
    let sent = stage.twitch().sent(&chatbus_sandbox::twitch_irc::SentFilter::default());
    assert_eq!(sent.iter().map(|sent| sent.text.as_str()).collect::<Vec<_>>(), ["before", "after"]);
    stage.end().await;
}

#[tokio::test]
async fn another_account_is_another_login() {
    let stage = Stage::with(bot("t-1")).await;
    let (said, ()) = tokio::join!(stage.chatter("a"), async {
        stage.keeper.tell(Credential { login: Some("Other".to_owned()), ..bot("t-2") });
        stage.is_only(Some("other")).await;
    });
    stage.is_heard_once(&said).await;
    let status = stage.rig.until(|status| status.auth.login.as_deref() == Some("other")).await;
    assert_eq!(status.auth.state, "ok");
    stage.says("as somebody else").await;
    let own = stage.rig.ear.wait_for_text("as somebody else").await;
    assert_eq!(own["message"]["rawPlatformPayload"]["user"]["login"], "other");
    stage.end().await;
}

#[tokio::test]
async fn a_token_that_may_not_speak_reads_and_says_what_it_lacks() {
    let scopes = vec!["chat:read".to_owned()];
    let expires_at = Some(Timestamp::from_millis(4_000_000_000_000));
    let user_id = Some("77".to_owned());
    let stage = Stage::with(Credential { scopes, expires_at, user_id, ..bot("t-1") }).await;
    let auth = stage.rig.status().auth;
    assert_eq!(auth.missing_scopes, ["chat:edit"]);
    assert_eq!((auth.expires_at, auth.user_id.as_deref()), (expires_at, Some("77")));
    let verdict = stage.rig.sink().send(stage.rig.outbound("#a", "hi")).await;
    assert!(matches!(verdict, Verdict::Reauth { code, .. } if code == "missing_scope"));
    let scopes = vec!["chat:read".to_owned(), "chat:edit".to_owned()];
    stage.keeper.tell(Credential { scopes, ..bot("t-2") });
    stage.rig.until(|status| status.auth.missing_scopes.is_empty()).await;
    stage.says("hi").await;
    assert_eq!(stage.twitch().counters().logins, 1, "on the same connection");
    stage.end().await;
}

#[tokio::test]
async fn a_server_that_asks_to_reconnect_is_left_when_another_connection_reads() {
    let stage = Stage::with(bot("t-1")).await;
    let (said, ()) = tokio::join!(stage.chatter("a"), async {
        stage.twitch().reconnect(&Who::default(), Some(Duration::from_secs(10)));
        stage.rig.until(|status| status.counters.reconnects == 1).await;
        stage.is_only(Some("bot")).await;
    });
    stage.is_heard_once(&said).await;
    assert!(stage.gaps().is_empty());
    stage.says("moved").await;
    stage.end().await;
}

#[tokio::test]
async fn a_gap_is_told_after_each_loss_and_not_after_the_first_connection() {
    let stage = Stage::with(Credential::default()).await;
    for losses in 1..=2 {
        stage.twitch().drop_connections(&Who::default(), true);
        stage
            .rig
            .until(|status| status.counters.reconnects == losses && status.joined_channels.len() == 2)
            .await;
    }
    let gaps = stage.rig.ear.wait_for(2, |event| event["type"] == "system.source.gap.v1").await;
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[0]["externalEvent"]["source"], "twitch.irc");
    assert_ne!(gaps[0]["externalEvent"]["id"], gaps[1]["externalEvent"]["id"]);
    stage.end().await;
}
