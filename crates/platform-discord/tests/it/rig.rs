//! A sandbox, a connector on it, and an ear that keeps what was emitted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::{
    ConnectionState, Connector, Emit, Emitted, Inbound, MemoryNotes, Outbound, Sink, Snapshot, Target,
    Verdict,
};
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_platform_discord::{ApiUrl, DiscordConfig, DiscordConnector};
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_sandbox::discord::{BOTS_ID, Discord, GENERAL_ID, GUILD_ID, Said, Say};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::watch;
use twilight_model::gateway::Intents;

/// How long anything may take that should happen at once, a new session's five seconds included.
const SOON: Duration = Duration::from_secs(30);

/// Keeps what was emitted.
pub(crate) struct Ear(watch::Sender<Vec<Inbound>>);

pub(crate) struct Rig {
    pub(crate) sandbox: SandboxHandle,
    pub(crate) ear: Arc<Ear>,
    pub(crate) notes: Arc<MemoryNotes>,
    pub(crate) connector: Arc<DiscordConnector>,
    runtime: Runtime,
    drained: CancellationToken,
    ended: watch::Receiver<bool>,
}

// === impl Ear ===

impl Ear {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Vec::new())))
    }

    pub(crate) fn heard(&self) -> Vec<Inbound> {
        self.0.borrow().clone()
    }

    /// The bodies of all events of this type.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let bodies = self.heard().into_iter().map(|event| serde_json::from_slice(&event.body).unwrap());
        bodies.filter(|body: &Value| body["type"] == kind).collect()
    }

    /// The texts of all chat messages.
    pub(crate) fn texts(&self) -> Vec<String> {
        let events = self.events("chat.message.v1");
        events.iter().map(|event| event["message"]["text"].as_str().unwrap().to_owned()).collect()
    }

    /// The event of this type that satisfies, once it is there.
    pub(crate) async fn wait(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut heard = self.0.subscribe();
        let waiting = async {
            loop {
                if let Some(event) = self.events(kind).into_iter().find(&is_it) {
                    return event;
                }
                heard.changed().await.unwrap();
            }
        };
        let found = tokio::time::timeout(SOON, waiting).await;
        found.unwrap_or_else(|_| panic!("no such {kind} among {:?}", self.0.borrow().len()))
    }

    pub(crate) async fn wait_text(&self, text: &str) -> Value {
        self.wait("chat.message.v1", |event| event["message"]["text"] == text).await
    }
}

#[async_trait]
impl Emit for Ear {
    async fn emit(&self, events: Vec<Inbound>) -> Emitted {
        self.0.send_modify(|heard| heard.extend(events));
        Emitted::Taken
    }
}

// === impl Rig ===

impl Rig {
    /// Connected, after the sandbox was made ready.
    pub(crate) async fn connected_after(prepare: impl FnOnce(&Discord)) -> Self {
        let rig = Self::started_after(prepare).await;
        rig.until_connected().await;
        rig
    }

    pub(crate) async fn connected() -> Self {
        Self::connected_after(|_| {}).await
    }

    pub(crate) async fn started_after(prepare: impl FnOnce(&Discord)) -> Self {
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(7)).await.unwrap();
        prepare(sandbox.discord());
        Self::on(sandbox, Ear::new(), Arc::new(MemoryNotes::default()))
    }

    fn on(sandbox: SandboxHandle, ear: Arc<Ear>, notes: Arc<MemoryNotes>) -> Self {
        let runtime = test_runtime(11);
        let config = config(&sandbox.discord().url());
        let connector = DiscordConnector::new(config, notes.clone(), Arc::clone(&runtime.clock)).unwrap();
        let connector = Arc::new(connector);
        let drained = CancellationToken::new();
        let running =
            Arc::clone(&connector).run(runtime.clone(), Arc::clone(&ear) as Arc<dyn Emit>, drained.clone());
        let (ending, ended) = watch::channel(false);
        runtime.spawn("test.connector", async move {
            running.await;
            ending.send_replace(true);
        });
        Self { sandbox, ear, notes, connector, runtime, drained, ended }
    }

    /// Ends the connector, and gives what outlives its process.
    pub(crate) async fn end(mut self) -> (SandboxHandle, Arc<Ear>, Arc<MemoryNotes>) {
        self.runtime.stop.cancel();
        self.drained.cancel();
        let ended = tokio::time::timeout(SOON, self.ended.wait_for(|ended| *ended)).await;
        ended.expect("it ends").unwrap();
        (self.sandbox, self.ear, self.notes)
    }

    /// Another process with the same notes.
    pub(crate) async fn again((sandbox, ear, notes): (SandboxHandle, Arc<Ear>, Arc<MemoryNotes>)) -> Self {
        let rig = Self::on(sandbox, ear, notes);
        rig.until_connected().await;
        rig
    }

    pub(crate) fn discord(&self) -> &Discord {
        self.sandbox.discord()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.connector.status().snapshot()
    }

    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        self.connector.sink()
    }

    /// The state, once it satisfies.
    pub(crate) async fn until(&self, is_it: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let status = self.connector.status();
        let mut changes = status.changes();
        let waiting = async {
            while !is_it(&status.snapshot()) {
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "it stays {:?}", status.snapshot());
        status.snapshot()
    }

    pub(crate) async fn until_connected(&self) -> Snapshot {
        self.until(|snapshot| snapshot.state == ConnectionState::Connected).await
    }

    /// A member says something in the first channel.
    pub(crate) fn say(&self, login: &str, text: &str) -> Said {
        say(self.discord(), login, text)
    }

    pub(crate) async fn send(&self, id: &str, target: &Target, text: &str) -> Verdict {
        self.sink().send(self.outbound(id, target, text)).await
    }

    pub(crate) fn outbound(&self, id: &str, target: &Target, text: &str) -> Outbound {
        Outbound {
            delivery_id: id.into(),
            target: target.clone(),
            text: text.to_owned(),
            reply_to: None,
            deadline: self.runtime.clock.instant() + SOON,
            may_have_been_sent: false,
            fence: Fence::always(),
            event: None,
        }
    }
}

pub(crate) fn say(discord: &Discord, login: &str, text: &str) -> Said {
    let channel = Some(GENERAL_ID.to_owned());
    discord.say(&Say { channel, login: login.to_owned(), text: text.to_owned(), ..Say::default() }).unwrap()
}

pub(crate) fn general() -> Target {
    Target::Channel(GENERAL_ID.into())
}

pub(crate) fn config(url: &str) -> DiscordConfig {
    DiscordConfig {
        token: SecretString::from("sandbox-token"),
        guild: GUILD_ID.into(),
        channels: vec![GENERAL_ID.into(), BOTS_ID.into()],
        api: ApiUrl::parse(url).unwrap(),
        gateway: None,
        intents: Intents::GUILDS
            | Intents::GUILD_MESSAGES
            | Intents::GUILD_MEMBERS
            | Intents::DIRECT_MESSAGES
            | Intents::MESSAGE_CONTENT,
        egress: Topic::egress_of(&InstanceId::parse("i-1").unwrap()),
        shape: Shape::Flat,
    }
}
