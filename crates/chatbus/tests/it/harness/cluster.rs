//! Several instances on one nats-server, with a sandbox whose connections are told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chatbus_testkit::NatsServer;
use serde_json::{Value, json};

use super::relay::{Owners, Relay};
use super::{Chatbus, Publisher, Running, SHORT, SandboxProcess, WsClient, eventually, settled_records};

/// Several instances, by their ids.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) sandbox: Arc<SandboxProcess>,
    pub(crate) nats: NatsServer,
    pub(crate) publisher: Publisher,
    pub(crate) owners: Owners,
    pub(crate) chatbuses: BTreeMap<String, Chatbus>,
    pub(crate) running: BTreeMap<String, Running>,
    relays: Vec<Relay>,
}

// === impl Cluster ===

impl Cluster {
    pub(crate) async fn new() -> Self {
        let (sandbox, nats) = (SandboxProcess::start().await, NatsServer::start().await);
        sandbox.without_limits().await;
        let publisher = Publisher::connect(&nats.url()).await;
        Self {
            sandbox: Arc::new(sandbox),
            nats,
            publisher,
            owners: Owners::default(),
            chatbuses: BTreeMap::new(),
            running: BTreeMap::new(),
            relays: Vec::new(),
        }
    }

    /// Starts one more that speaks in these channels, as the account that all share.
    pub(crate) async fn speaker(&mut self, id: &str, channels: &str) {
        self.speaker_with(id, channels, &[]).await;
    }

    /// The same, with more settings.
    pub(crate) async fn speaker_with(&mut self, id: &str, channels: &str, more: &[(&str, &str)]) {
        let relay = Relay::start(Arc::clone(&self.sandbox), id, Arc::clone(&self.owners)).await;
        let chatbus = Chatbus::new()
            .role("ingress-egress")
            .reading(&relay.url, channels)
            .speaking()
            .with("TWITCH_MESSAGE_LIMIT", "off")
            .with("TWITCH_JOIN_LIMIT", "verified");
        let chatbus = more.iter().fold(chatbus, |chatbus, (name, value)| chatbus.with(name, *value));
        self.relays.push(relay);
        self.start(id, chatbus).await;
    }

    /// Starts one more gateway.
    pub(crate) async fn gateway(&mut self, id: &str) {
        self.gateway_with(id, "LOG_LEVEL", "info").await;
    }

    /// The same, with one more setting.
    pub(crate) async fn gateway_with(&mut self, id: &str, name: &str, value: &str) {
        self.start(id, Chatbus::new().role("api-gateway").with(name, value)).await;
    }

    async fn start(&mut self, id: &str, chatbus: Chatbus) {
        let chatbus = chatbus.on_nats(&self.nats.url()).with("EGRESS_INSTANCE_ID", id);
        self.running.insert(id.to_owned(), chatbus.ready().await);
        self.chatbuses.insert(id.to_owned(), chatbus);
    }

    pub(crate) fn url(&self, id: &str) -> &str {
        &self.running[id].url
    }

    /// A token of a user, made at this instance.
    pub(crate) async fn token(&self, at: &str, user: &str) -> String {
        let request = self.running[at].http.post(format!("{}/api/v1/tokens", self.url(at)));
        let answer = request.header("x-chatbus", "1").json(&json!({ "user": user })).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
    }

    pub(crate) async fn client(&self, at: &str, token: &str) -> WsClient {
        eventually("the token is known", SHORT, async || {
            WsClient::connect(self.url(at), token).await.map_err(|closed| format!("{closed:?}"))
        })
        .await
    }

    /// The outcomes of these deliveries, once all are there.
    pub(crate) async fn outcomes(&self, ids: &[String]) -> BTreeMap<String, Value> {
        let wanted: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let of = |records: &[Value]| {
            let mut found = BTreeMap::<String, Value>::new();
            for record in records {
                let id = record["event"]["deliveryId"].as_str().unwrap().to_owned();
                if wanted.contains(&*id) {
                    let before = found.insert(id, record["event"].clone());
                    assert!(before.is_none(), "a second outcome: {before:?} and {record}");
                }
            }
            found
        };
        let records = settled_records(&self.nats.url(), "chatbus-finalizer", |records| {
            let found = of(records);
            let missing: Vec<_> = ids.iter().filter(|id| !found.contains_key(*id)).collect();
            if missing.is_empty() { Ok(()) } else { Err(format!("without an outcome: {missing:?}")) }
        })
        .await;
        of(&records)
    }
}
