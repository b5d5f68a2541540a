//! The connector beside the sandbox's Twitch, as the conformance suite wants it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::conformance::{Answer, Class, Rig};
use chatbus_connector::{Account, ConnectionState, Connector, Credential, Target};
use chatbus_platform_twitch::irc::transport::public_roots;
use chatbus_platform_twitch::{ApiConfig, TwitchConfig, TwitchConnector};
use chatbus_runtime::Runtime;
use chatbus_sandbox::twitch_api::{Fault, NewToken, Order};
use chatbus_sandbox::twitch_irc::{Modes, Refusal, SentFilter, Since, TwitchIrc, Who};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

use crate::rig::config;

/// Where it speaks.
pub(super) const CHANNEL: &str = "hall";
const SCOPES: [&str; 4] = ["chat:read", "chat:edit", "user:write:chat", "user:manage:whispers"];
/// The application's secret.
const CLIENT_SECRET: &str = "a-secret-of-the-application";

/// A name, what the sandbox is told for it, and what that means.
pub(super) type Row = (&'static str, Trouble, Class);

/// What becomes of what is said next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// It is said.
    None,
    /// IRC refuses it with this code.
    Notice(&'static str),
    /// It is said by IRC, and nobody is told.
    Silence,
    /// It is said by IRC, and the connection ends before anybody is told.
    Cut,
    /// Helix refuses the request with this status and message.
    Status(u16, &'static str),
    /// The same, and there is no IRC any more.
    OnlyHelix(u16, &'static str),
    /// Helix refuses the text with this code and message.
    Dropped(&'static str, &'static str),
    /// It is said by Helix, and the connection ends without an answer.
    Lost,
}

/// A connector whose account moderates its channel, so that it may say a hundred things in a row.
pub(super) struct TwitchRig {
    pub(super) sandbox: SandboxHandle,
    connector: Arc<TwitchConnector>,
    runtime: Runtime,
    answers: &'static [Row],
    pub(super) target: Target,
    pub(super) user: Option<String>,
    /// Which requests to Helix have trouble.
    pub(super) path: &'static str,
    pub(super) secrets: Vec<String>,
}

// === impl TwitchRig ===

impl TwitchRig {
    /// With what `make` makes of the settings for IRC alone and without an account.
    pub(super) async fn start(
        answers: &'static [Row],
        token: String,
        make: impl FnOnce(TwitchConfig, &SandboxHandle) -> TwitchConfig,
    ) -> Self {
        let runtime = test_runtime(2);
        // What the suite stops is the connector.
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        sandbox.twitch().set_role(CHANNEL, "bot", |role| role.moderator = true).unwrap();
        let config = make(config(&sandbox.twitch().irc_url(), &[CHANNEL], false), &sandbox);
        let user = config.api.is_some().then(|| "1337".to_owned());
        let connector = TwitchConnector::new(config, public_roots().unwrap(), Arc::clone(&runtime.clock));
        Self {
            sandbox,
            connector: Arc::new(connector),
            runtime,
            answers,
            target: Target::Channel(format!("#{CHANNEL}").into()),
            user,
            path: "chat/messages",
            secrets: vec![token],
        }
    }

    /// With an application and a token that may do everything.
    pub(super) async fn with_helix(
        answers: &'static [Row],
        change: impl FnOnce(TwitchConfig) -> TwitchConfig,
    ) -> Self {
        let mut token = String::new();
        let mut rig = Self::start(answers, String::new(), |base, sandbox| {
            let api = sandbox.twitch_api();
            token = api.make_token(&NewToken::of("bot", &SCOPES)).unwrap().access_token;
            let bot = Credential::ready(token.clone().into(), Some("bot".to_owned()), None);
            change(TwitchConfig { bot: Account::fixed(bot), api: Some(api_of(sandbox)), ..base })
        })
        .await;
        rig.secrets = vec![token, CLIENT_SECRET.to_owned()];
        rig
    }

    fn order(&self, fault: Fault) {
        let path = Some(self.path.to_owned());
        self.sandbox.twitch_api().order(Order { path, fault, count: Some(1), lasts: None }).unwrap();
    }

    /// Sets the channel's modes until one more text was said by IRC, and does `then`.
    fn until_said(&self, set: impl FnOnce(&mut Modes), then: impl FnOnce(&TwitchIrc) + Send + 'static) {
        let twitch = self.sandbox.twitch().clone();
        let before = twitch.counters().sent;
        let known = twitch.modes(CHANNEL);
        twitch.set_modes(CHANNEL, set).unwrap();
        self.runtime.spawn("test.until_said", async move {
            twitch.wait_for_sent(before + 1).await;
            then(&twitch);
            twitch.set_modes(CHANNEL, |modes| *modes = known).unwrap();
        });
    }

    /// Ends IRC's connection, lets no other in, and waits until the connector knows.
    async fn end_irc(&self) {
        let status = self.connector.status();
        let mut changes = status.changes();
        self.sandbox.twitch().accept(false);
        self.sandbox.twitch().drop_connections(&Who::default(), false);
        while status.snapshot().state == ConnectionState::Connected {
            changes.changed().await.unwrap();
        }
    }
}

/// The sandbox's HTTP interfaces, and an application of it.
pub(super) fn api_of(sandbox: &SandboxHandle) -> ApiConfig {
    let api = sandbox.twitch_api();
    ApiConfig {
        api_url: format!("{}/helix", api.url()).parse().unwrap(),
        auth_url: format!("{}/oauth2", api.url()).parse().unwrap(),
        ..ApiConfig::twitch("client".to_owned(), Some(CLIENT_SECRET.into()))
    }
}

#[async_trait]
impl Rig for TwitchRig {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector) as Arc<dyn Connector>
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn user(&self) -> Option<String> {
        self.user.clone()
    }

    /// In rooms, and then in private.
    async fn heard(&self) -> Vec<String> {
        let api = self.sandbox.twitch_api();
        let sent = api.sent(&SentFilter::default()).into_iter().filter(|sent| sent.accepted);
        let whispers = api.whispers(Since::Start).into_iter().map(|whisper| whisper.text);
        sent.map(|sent| sent.text).chain(whispers).collect()
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    fn answers(&self) -> Vec<Answer> {
        self.answers.iter().map(|(name, _, class)| Answer { name, class: *class }).collect()
    }

    async fn answer(&self, wanted: &'static str) {
        let (_, trouble, _) = self.answers.iter().find(|(name, ..)| *name == wanted).unwrap();
        let status = |status, message: &str| Fault::Status {
            status,
            message: message.to_owned(),
            retry_after: Some(Duration::from_secs(1)),
        };
        match *trouble {
            Trouble::None => {}
            Trouble::Notice(code) => {
                let refusal = Refusal { channel: None, code: code.to_owned(), count: Some(1) };
                self.sandbox.twitch().refuse(refusal).unwrap();
            }
            Trouble::Silence => self.until_said(|modes| modes.silent = true, |_| {}),
            Trouble::Cut => self.until_said(
                |modes| modes.verdict_delay_ms = 60_000,
                |twitch| {
                    twitch.drop_connections(&Who::default(), false);
                },
            ),
            Trouble::Status(code, message) => self.order(status(code, message)),
            Trouble::OnlyHelix(code, message) => {
                self.end_irc().await;
                self.order(status(code, message));
            }
            Trouble::Dropped(code, message) => {
                self.order(Fault::DropMessage { code: code.to_owned(), message: message.to_owned() });
            }
            Trouble::Lost => self.order(Fault::Lose),
        }
    }
}
