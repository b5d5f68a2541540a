//! The connector beside its fake, as the conformance suite wants it.

use std::sync::Arc;

use async_trait::async_trait;
use chatbus_connector::conformance::{Answer, Class, Rig};
use chatbus_connector::{Connector, Target};
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_platform___platform__::{__Platform__Config, __Platform__Connector, channel_name};
use chatbus_runtime::Runtime;
use chatbus_testkit::test_runtime;

use crate::fake::{Fake, TOKEN};

pub(crate) struct __Platform__Rig {
    pub(crate) fake: Fake,
    pub(crate) connector: Arc<__Platform__Connector>,
    pub(crate) runtime: Runtime,
}

/// What the fake can be made to answer.
const ANSWERS: [(&str, u16, Class); 7] = [
    ("said", 201, Class::Delivered),
    ("slow down", 429, Class::Retry),
    ("forbidden", 403, Class::Permanent),
    ("gone", 404, Class::Permanent),
    ("unheard of", 418, Class::Permanent),
    ("broken", 500, Class::Unverified),
    ("log in", 401, Class::Reauth),
];

// === impl __Platform__Rig ===

impl __Platform__Rig {
    pub(crate) async fn start() -> Self {
        let runtime = test_runtime(1);
        let fake = Fake::start(&runtime).await;
        let config = __Platform__Config {
            url: fake.url().parse().unwrap(),
            token: TOKEN.into(),
            channels: vec![channel_name("hall").unwrap()],
            egress: Topic::egress_of(&InstanceId::parse("test").unwrap()),
            shape: Shape::default(),
        };
        let connector = __Platform__Connector::new(config, Arc::clone(&runtime.clock)).unwrap();
        Self { fake, connector: Arc::new(connector), runtime }
    }
}

#[async_trait]
impl Rig for __Platform__Rig {
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
        self.fake.heard()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }

    fn answers(&self) -> Vec<Answer> {
        ANSWERS.map(|(name, _, class)| Answer { name, class }).into()
    }

    async fn answer(&self, wanted: &'static str) {
        let (_, status, _) = ANSWERS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        if status >= 300 {
            self.fake.refuse(status);
        }
    }
}
