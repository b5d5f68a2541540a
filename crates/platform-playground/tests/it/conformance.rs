//! The playground keeps every promise of a platform.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_connector::conformance::{Answer, Class, Rig};
use chatbus_connector::{Connector, Target};
use chatbus_platform_playground::{Endpoint, PlaygroundConnector, channel_name};
use chatbus_runtime::Runtime;
use chatbus_sandbox::playground::Refusal;
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

struct PlaygroundRig {
    sandbox: SandboxHandle,
    connector: Arc<PlaygroundConnector>,
    runtime: Runtime,
}

/// Each answer that the sandbox can be made to give, and its status.
const ANSWERS: [(&str, u16, Class); 4] = [
    ("said", 201, Class::Delivered),
    ("slow_down", 429, Class::Retry),
    ("banned", 403, Class::Permanent),
    ("broken", 500, Class::Unverified),
];

// === impl PlaygroundRig ===

impl PlaygroundRig {
    async fn start() -> Self {
        let runtime = test_runtime(2);
        // What the suite stops is the connector.
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        let endpoint = Endpoint::parse(&sandbox.playground().url()).unwrap();
        let channels = vec![channel_name("hall").unwrap()];
        let connector = PlaygroundConnector::new(endpoint, channels, Arc::clone(&runtime.clock)).unwrap();
        Self { sandbox, connector: Arc::new(connector), runtime }
    }
}

#[async_trait]
impl Rig for PlaygroundRig {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector) as Arc<dyn Connector>
    }

    fn target(&self) -> Target {
        Target::Channel("#hall".into())
    }

    async fn heard(&self) -> Vec<String> {
        let messages = self.sandbox.playground().messages(Some("hall"), 0);
        messages.into_iter().map(|message| message.text).collect()
    }

    /// It has none.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    fn answers(&self) -> Vec<Answer> {
        ANSWERS.map(|(name, _, class)| Answer { name, class }).into()
    }

    async fn answer(&self, wanted: &'static str) {
        let (name, status, _) = ANSWERS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        if status >= 400 {
            let refusal =
                Refusal { channel: None, status, code: name.into(), retry_after: None, count: Some(1) };
            self.sandbox.playground().refuse(refusal).unwrap();
        }
    }
}

chatbus_connector::conformance_tests!(PlaygroundRig::start().await);
