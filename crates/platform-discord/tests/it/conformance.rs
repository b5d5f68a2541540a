//! Discord keeps every promise of a platform.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_connector::conformance::{Answer, Class, Rig};
use chatbus_connector::{Connector, MemoryNotes, Target};
use chatbus_platform_discord::DiscordConnector;
use chatbus_runtime::Runtime;
use chatbus_sandbox::discord::{Refusal, Scope};
use chatbus_sandbox::{Sandbox, SandboxConfig, SandboxHandle};
use chatbus_testkit::test_runtime;

use crate::rig::{config, general};

struct DiscordRig {
    sandbox: SandboxHandle,
    connector: Arc<DiscordConnector>,
    runtime: Runtime,
    user: String,
}

/// What the sandbox does about the next message.
#[derive(Clone, Copy)]
enum Does {
    Says,
    /// It says it, and the connection ends before the answer.
    Loses,
    /// A status and Discord's code; 0 is an answer that is not Discord's.
    Refuses(u16, u64),
    /// A 429 of this scope.
    Limits(Scope, u64),
    /// From now on.
    RefusesToken,
}

/// Each answer that the sandbox can be made to give. The last one is for good: nothing is asked after it.
const ANSWERS: [(&str, Does, Class); 49] = [
    ("said", Does::Says, Class::Delivered),
    ("lost", Does::Loses, Class::Unverified),
    ("broken", Does::Refuses(500, 0), Class::Unverified),
    ("bad gateway", Does::Refuses(502, 0), Class::Unverified),
    ("limit of the bucket", Does::Limits(Scope::User, 0), Class::Retry),
    ("limit of the resource", Does::Limits(Scope::Shared, 0), Class::Retry),
    ("limit of the account", Does::Limits(Scope::Global, 0), Class::Retry),
    ("slow mode", Does::Limits(Scope::User, 20_016), Class::Retry),
    ("announcements", Does::Limits(Scope::User, 20_022), Class::Retry),
    ("writing in the channel", Does::Limits(Scope::User, 20_028), Class::Retry),
    ("writing in the server", Does::Limits(Scope::User, 20_029), Class::Retry),
    ("opening too fast", Does::Refuses(403, 40_003), Class::Retry),
    ("sending is off", Does::Refuses(403, 40_004), Class::Retry),
    ("service limited", Does::Limits(Scope::User, 40_062), Class::Retry),
    ("overloaded", Does::Refuses(503, 130_000), Class::Retry),
    ("unknown channel", Does::Refuses(404, 10_003), Class::Permanent),
    ("unknown guild", Does::Refuses(404, 10_004), Class::Permanent),
    ("unknown message", Does::Refuses(404, 10_008), Class::Permanent),
    ("unknown user", Does::Refuses(404, 10_013), Class::Permanent),
    ("explicit", Does::Refuses(400, 20_009), Class::Permanent),
    ("not of this application", Does::Refuses(403, 20_012), Class::Permanent),
    ("flagged", Does::Refuses(403, 20_026), Class::Permanent),
    ("words not allowed", Does::Refuses(400, 20_031), Class::Permanent),
    ("too many participants", Does::Refuses(400, 30_033), Class::Permanent),
    ("too large", Does::Refuses(413, 40_005), Class::Permanent),
    ("banned", Does::Refuses(403, 40_007), Class::Permanent),
    ("no tag", Does::Refuses(400, 40_067), Class::Permanent),
    ("refused in front", Does::Refuses(403, 40_333), Class::Permanent),
    ("missing access", Does::Refuses(403, 50_001), Class::Permanent),
    ("empty", Does::Refuses(400, 50_006), Class::Permanent),
    ("not to this user", Does::Refuses(403, 50_007), Class::Permanent),
    ("no text channel", Does::Refuses(400, 50_008), Class::Permanent),
    ("verification", Does::Refuses(403, 50_009), Class::Permanent),
    ("missing permissions", Does::Refuses(403, 50_013), Class::Permanent),
    ("not on this channel", Does::Refuses(400, 50_024), Class::Permanent),
    ("invalid form", Does::Refuses(400, 50_035), Class::Permanent),
    ("invalid type", Does::Refuses(400, 50_068), Class::Permanent),
    ("archived", Does::Refuses(400, 50_083), Class::Permanent),
    ("invalid JSON", Does::Refuses(400, 50_109), Class::Permanent),
    ("no guild in common", Does::Refuses(403, 50_278), Class::Permanent),
    ("no history", Does::Refuses(400, 160_002), Class::Permanent),
    ("locked", Does::Refuses(400, 160_005), Class::Permanent),
    ("moderated", Does::Refuses(400, 200_000), Class::Permanent),
    ("harmful link", Does::Refuses(400, 240_000), Class::Permanent),
    ("unknown code", Does::Refuses(400, 99_999), Class::Permanent),
    ("forbidden in front", Does::Refuses(403, 0), Class::Permanent),
    ("moved", Does::Refuses(404, 0), Class::Permanent),
    ("unverified account", Does::Refuses(403, 40_002), Class::Reauth),
    ("token refused", Does::RefusesToken, Class::Reauth),
];

// === impl DiscordRig ===

impl DiscordRig {
    async fn start() -> Self {
        let runtime = test_runtime(2);
        // What the suite stops is the connector.
        let sandbox = Sandbox::start(SandboxConfig::default(), test_runtime(1)).await.unwrap();
        let (config, notes) = (config(&sandbox.discord().url()), Arc::new(MemoryNotes::default()));
        let connector = DiscordConnector::new(config, notes, Arc::clone(&runtime.clock)).unwrap();
        let user = sandbox.discord().join("ada");
        Self { sandbox, connector: Arc::new(connector), runtime, user }
    }

    fn refuse(&self, status: u16, code: u64, scope: Scope) {
        let retry_after = (status == 429).then_some(Duration::from_millis(20));
        let path = "/messages".to_owned();
        self.sandbox.discord().refuse(Refusal { path, status, code, retry_after, scope, count: 1 }).unwrap();
    }
}

#[async_trait]
impl Rig for DiscordRig {
    fn runtime(&self) -> Runtime {
        self.runtime.clone()
    }

    fn connector(&self) -> Arc<dyn Connector> {
        Arc::clone(&self.connector) as Arc<dyn Connector>
    }

    fn target(&self) -> Target {
        general()
    }

    fn user(&self) -> Option<String> {
        Some(self.user.clone())
    }

    /// An id: a name is a channel's only once the guild has one called so.
    fn channel(&self, number: usize) -> String {
        format!("4177198342{number:07}")
    }

    async fn heard(&self) -> Vec<String> {
        self.sandbox.discord().sent(0).into_iter().map(|sent| sent.text).collect()
    }

    fn secrets(&self) -> Vec<String> {
        vec!["sandbox-token".to_owned()]
    }

    fn answers(&self) -> Vec<Answer> {
        ANSWERS.map(|(name, _, class)| Answer { name, class }).into()
    }

    async fn answer(&self, wanted: &'static str) {
        let (_, does, _) = ANSWERS.into_iter().find(|(name, ..)| *name == wanted).unwrap();
        match does {
            Does::Says => {}
            Does::Loses => self.sandbox.discord().lose(1),
            Does::Refuses(status, code) => self.refuse(status, code, Scope::User),
            Does::Limits(scope, code) => self.refuse(429, code, scope),
            Does::RefusesToken => self.sandbox.discord().refuse_token(true),
        }
    }

    /// Several messages' worth.
    fn long(&self) -> usize {
        16_000
    }
}

chatbus_connector::conformance_tests!(DiscordRig::start().await);
