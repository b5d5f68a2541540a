//! The sink against the sandbox's playground, over real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod conformance;

use std::sync::Arc;
use std::time::Duration;

use chatbus_connector::{
    Availability, Connector, Emit, Emitted, Inbound, Outbound, PermanentReason, Sink, Target, Verdict,
};
use chatbus_platform_playground::{Endpoint, PlaygroundConnector, channel_name};
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use chatbus_sandbox::playground::Refusal;
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

struct Nobody;

#[async_trait::async_trait]
impl Emit for Nobody {
    async fn emit(&self, _: Vec<Inbound>) -> Emitted {
        panic!("there is nothing to read")
    }
}

struct Rig {
    sandbox: SandboxHandle,
    connector: Arc<PlaygroundConnector>,
    sink: Arc<dyn Sink>,
    runtime: Runtime,
}

impl Rig {
    async fn start() -> Self {
        let runtime = test_runtime(1);
        let sandbox = Sandbox::start(SandboxConfig::default(), runtime.clone()).await.unwrap();
        let endpoint = Endpoint::parse(&sandbox.playground().url()).unwrap();
        let channels = vec![channel_name("hall").unwrap()];
        let connector = PlaygroundConnector::new(endpoint, channels, Arc::clone(&runtime.clock)).unwrap();
        let connector = Arc::new(connector);
        let running = Arc::clone(&connector).run(runtime.clone(), Arc::new(Nobody), CancellationToken::new());
        runtime.spawn("connector", running);
        let rig = Self { sandbox, sink: connector.sink(), connector, runtime };
        rig.until(Availability::Ready).await;
        rig
    }

    async fn until(&self, wanted: Availability) {
        let mut changes = self.sink.changes();
        let seen = async {
            while self.sink.availability(&hall()) != wanted {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it becomes so");
    }

    async fn say(&self, id: &str) -> Verdict {
        self.say_with(id, Fence::always()).await
    }

    async fn say_with(&self, id: &str, fence: Fence) -> Verdict {
        let outbound = Outbound {
            delivery_id: id.into(),
            target: hall(),
            text: format!("text of {id}"),
            reply_to: None,
            deadline: self.runtime.clock.instant() + Duration::from_secs(60),
            may_have_been_sent: false,
            fence,
            event: None,
        };
        self.sink.send(outbound).await
    }

    /// What is heard: key, and how often it came again.
    fn heard(&self) -> Vec<(String, u64)> {
        let all = self.sandbox.playground().messages(Some("hall"), 0);
        all.into_iter().map(|message| (message.key.unwrap(), message.repeats)).collect()
    }
}

fn hall() -> Target {
    Target::Channel("#hall".into())
}

fn id_of(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered { provider_message_id: Some(id) } => id.clone(),
        other => panic!("not delivered: {other:?}"),
    }
}

#[tokio::test]
async fn a_delivery_is_said_once_however_often_it_is_sent() {
    let rig = Rig::start().await;
    let (first, again, other) = (rig.say("d-1").await, rig.say("d-1").await, rig.say("d-2").await);
    assert_eq!(id_of(&first), id_of(&again));
    assert_ne!(id_of(&first), id_of(&other));
    assert_eq!(rig.heard(), [("d-1".to_owned(), 1), ("d-2".to_owned(), 0)]);
    // Nothing but the key is why.
    rig.sandbox.playground().heed_keys(false);
    assert_ne!(id_of(&rig.say("d-1").await), id_of(&first));
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_it_open_and_sending_again_tells() {
    let rig = Rig::start().await;
    rig.sandbox.playground().lose(1);
    let verdict = rig.say("d-1").await;
    assert!(matches!(&verdict, Verdict::Unverified { code, .. } if code == "connection_lost"), "{verdict:?}");
    rig.sandbox.playground().lose(0);
    id_of(&rig.say("d-1").await);
    assert_eq!(rig.heard(), [("d-1".to_owned(), 1)]);
}

#[tokio::test]
async fn a_connection_that_is_dropped_while_the_answer_is_awaited_leaves_it_open_too() {
    let rig = Rig::start().await;
    rig.sandbox.playground().delay(Duration::from_secs(3600));
    let (verdict, ()) = tokio::join!(rig.say("d-1"), async {
        while rig.heard().is_empty() {
            tokio::task::yield_now().await;
        }
        rig.sandbox.playground().drop_connections();
    });
    assert!(matches!(verdict, Verdict::Unverified { .. }), "{verdict:?}");
}

#[tokio::test]
async fn refusals_are_told_with_their_codes_and_nothing_is_heard() {
    let rig = Rig::start().await;
    let refuse = |status, code: &str, retry_after| {
        let refusal = Refusal { channel: None, status, code: code.into(), retry_after, count: Some(1) };
        rig.sandbox.playground().refuse(refusal).unwrap();
    };
    refuse(429, "slow_down", Some(Duration::from_millis(1_500)));
    refuse(403, "banned", None);
    let message = "the playground refuses".to_owned();
    let slow =
        Verdict::Retry { after: Duration::from_secs(2), code: "slow_down".into(), message: message.clone() };
    assert_eq!(rig.say("d-1").await, slow);
    let reason = PermanentReason::Rejected;
    assert_eq!(rig.say("d-1").await, Verdict::Permanent { reason, code: "banned".into(), message });
    assert_eq!(rig.heard(), []);
    id_of(&rig.say("d-1").await);
}

#[tokio::test]
async fn without_the_lease_nothing_is_sent() {
    let rig = Rig::start().await;
    let lost = Fence::until(rig.runtime.clock.instant());
    assert_eq!(rig.say_with("d-1", lost).await, Verdict::NotNow);
    assert_eq!(rig.heard(), []);
}

#[tokio::test]
async fn a_server_that_is_frozen_or_gone_is_noticed_and_other_channels_are_never_served() {
    let rig = Rig::start().await;
    assert_eq!(rig.sink.availability(&Target::Channel("#other".into())), Availability::Unserved);
    assert_eq!(rig.sink.availability(&Target::User("1".into())), Availability::Unserved);
    let mut changes = rig.sink.changes();
    rig.sandbox.playground().freeze(true);
    let lost = async {
        while !matches!(rig.sink.availability(&hall()), Availability::Disconnected { .. }) {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), lost).await.expect("it is noticed");
    let snapshot = rig.connector.status().snapshot();
    assert_eq!(snapshot.last_error.map(|error| error.code), Some("no_answer".to_owned()));
    assert!(snapshot.joined_channels.is_empty());
    rig.sandbox.playground().freeze(false);
    rig.until(Availability::Ready).await;
    assert_eq!(rig.connector.status().snapshot().counters.reconnects, 1);
}
