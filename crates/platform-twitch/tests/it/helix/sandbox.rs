//! IRC and Helix of one Twitch: whatever goes wrong with either, everything that was said was said once.

use std::collections::BTreeMap;
use std::time::Duration;

use chatbus_connector::{Account, AccountKeeper, Availability, Credential, Outbound, Target, Verdict};
use chatbus_platform_twitch::helix::Helix;
use chatbus_platform_twitch::helix::users::Users;
use chatbus_platform_twitch::{ApiConfig, TwitchConfig};
use chatbus_sandbox::twitch_api::{Fault, NewToken, Order};
use chatbus_sandbox::twitch_irc::{SentFilter, Since};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use serde_json::Value;

use super::clock;
use crate::rig::{Rig, config};

const SCOPES: [&str; 4] = ["chat:read", "chat:edit", "user:write:chat", "user:manage:whispers"];

struct Stage {
    sandbox: SandboxHandle,
    rig: Rig,
    keeper: AccountKeeper,
}

// === impl Stage ===

impl Stage {
    /// In two channels by IRC, with a token whose user Helix has to tell.
    async fn start() -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        let (bot, keeper) = Account::new(credential(&sandbox));
        let base = config(&sandbox.twitch().irc_url(), &["a", "b"], true);
        let rig = Rig::run(TwitchConfig { bot, api: Some(api_of(&sandbox)), ..base });
        rig.joined(2).await;
        Self { sandbox, rig, keeper }
    }

    fn order(&self, fault: Fault) {
        let path = Some("chat/messages".to_owned());
        self.sandbox.twitch_api().order(Order { path, fault, count: Some(1), lasts: None }).unwrap();
    }

    /// Says it once the sink says that it could.
    async fn say(&self, channel: &str, text: &str) -> Verdict {
        let outbound = self.rig.outbound(channel, text);
        self.is_ready(&outbound.target).await;
        self.rig.sink().send(outbound).await
    }

    async fn is_ready(&self, target: &Target) {
        let sink = self.rig.sink();
        let mut changes = sink.changes();
        loop {
            match sink.availability(target) {
                Availability::Ready => return,
                Availability::NotBefore(at) => tokio::time::sleep_until(at.into()).await,
                Availability::Disconnected { .. } | Availability::Unserved => {
                    changes.changed().await.unwrap();
                }
            }
        }
    }

    /// How often each text was said in the rooms.
    fn said(&self) -> BTreeMap<String, usize> {
        let mut said = BTreeMap::new();
        let sent = self.sandbox.twitch_api().sent(&SentFilter::default());
        for sent in sent.into_iter().filter(|sent| sent.accepted) {
            *said.entry(sent.text).or_default() += 1;
        }
        said
    }
}

fn api_of(sandbox: &SandboxHandle) -> ApiConfig {
    let api = sandbox.twitch_api();
    ApiConfig {
        api_url: format!("{}/helix", api.url()).parse().unwrap(),
        auth_url: format!("{}/oauth2", api.url()).parse().unwrap(),
        ..ApiConfig::twitch("client".to_owned(), None)
    }
}

fn credential(sandbox: &SandboxHandle) -> Credential {
    let issued = sandbox.twitch_api().make_token(&NewToken::of("bot", &SCOPES)).unwrap();
    Credential::ready(issued.access_token.into(), Some("bot".to_owned()), None)
}

#[tokio::test]
async fn whatever_goes_wrong_with_helix_each_text_is_said_once_or_not_at_all() {
    let stage = Stage::start().await;
    let retry_after = Some(Duration::from_secs(1));
    let status = |status, message: &str| Fault::Status { status, message: message.to_owned(), retry_after };
    let dropped = |code: &str| Fault::DropMessage { code: code.to_owned(), message: String::new() };
    let rows = [
        ("#a", None, "delivered", 1),
        ("#b", Some(Fault::Lose), "unverified connection_lost", 1),
        ("#a", Some(status(500, "oops")), "unverified http_500", 0),
        ("#b", Some(status(403, "no")), "permanent http_403", 0),
        ("#a", Some(status(429, "slow")), "retry http_429", 0),
        ("#b", Some(dropped("msg_followersonly")), "permanent msg_followersonly", 0),
        // Nothing is said there for as long as that lasts.
        ("#a", Some(dropped("msg_slowmode")), "retry msg_slowmode", 0),
        // Of what Helix refuses the token for nothing was said: IRC says it, and what comes after it.
        ("#b", Some(status(401, "Missing scope: user:write:chat")), "delivered", 1),
        ("#b", None, "delivered", 1),
    ];
    for (at, (channel, fault, expected, times)) in rows.into_iter().enumerate() {
        if let Some(fault) = fault.clone() {
            stage.order(fault);
        }
        let text = format!("text {at}");
        let got = match stage.say(channel, &text).await {
            Verdict::Delivered { provider_message_id } => {
                assert!(provider_message_id.is_some(), "{fault:?}");
                "delivered".to_owned()
            }
            Verdict::Unverified { code, .. } => format!("unverified {code}"),
            Verdict::Permanent { code, .. } => format!("permanent {code}"),
            Verdict::Retry { code, .. } => format!("retry {code}"),
            other => panic!("{fault:?}: {other:?}"),
        };
        assert_eq!(got, expected, "{fault:?}");
        assert_eq!(stage.said().get(&text).copied().unwrap_or_default(), times, "{fault:?}");
    }
    stage.rig.end().await;
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_under_what_is_being_said() {
    let stage = Stage::start().await;
    assert!(matches!(stage.say("#a", "before").await, Verdict::Delivered { .. }));
    stage.sandbox.twitch_api().end_tokens_of("bot", false).unwrap();
    let renewing = async {
        stage.keeper.refusals().wait_for(|generation| *generation == 1).await.unwrap();
        stage.keeper.tell(credential(&stage.sandbox));
    };
    let (verdict, ()) = tokio::join!(stage.say("#b", "after"), renewing);
    assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
    assert_eq!(stage.said().into_values().collect::<Vec<_>>(), [1, 1]);
    stage.rig.end().await;
}

#[tokio::test]
async fn what_is_said_by_helix_comes_back_by_irc_as_our_own() {
    let stage = Stage::start().await;
    assert!(matches!(stage.say("#a", "who says this?").await, Verdict::Delivered { .. }));
    let event: Value = stage.rig.ear.wait_for_text("who says this?").await;
    assert_eq!(event["metadata"]["self"], true);
    stage.rig.end().await;
}

#[tokio::test]
async fn a_whisper_reaches_one_user_and_no_room() {
    let stage = Stage::start().await;
    let api = stage.sandbox.twitch_api();
    let asking = Account::fixed(credential(&stage.sandbox));
    let users = Users::new(Helix::new(api_of(&stage.sandbox), asking, clock()), clock());
    let ada = users.id_of("ada").await.unwrap().unwrap();
    let whisper = Outbound { target: Target::User(ada), ..stage.rig.outbound("#a", "psst") };
    assert_eq!(stage.rig.sink().send(whisper.clone()).await, Verdict::Accepted);
    let whispers = api.whispers(Since::Start);
    let [only] = &whispers[..] else { panic!("{whispers:?}") };
    assert_eq!((only.from.as_str(), only.to.as_str(), only.text.as_str()), ("bot", "ada", "psst"));
    assert!(stage.said().is_empty());
    // Nobody is told that it did not arrive.
    api.drop_whispers(true);
    stage.is_ready(&whisper.target).await;
    assert_eq!(stage.rig.sink().send(whisper.clone()).await, Verdict::Accepted);
    let stranger = Outbound { target: Target::User("999999999".into()), ..whisper };
    assert!(matches!(stage.rig.sink().send(stranger).await, Verdict::Permanent { .. }));
    stage.rig.end().await;
}
