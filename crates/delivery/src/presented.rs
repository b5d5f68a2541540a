//! What an instance's lease says of it.

use bytes::Bytes;
use chatbus_connector::{Audience, Target};
use chatbus_event::InstanceId;
use chatbus_state::Key;
use serde::{Deserialize, Serialize};

use crate::role::Role;

/// What an instance's lease says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presented {
    /// Its id.
    pub instance: String,
    /// One life of it. What it wrote elsewhere is valid while its lease says the same.
    pub epoch: String,
    /// Where it runs, so that another life of it on the same machine can tell that this one is over.
    pub process: Process,
    /// What it can say now.
    pub serves: Vec<Served>,
}

/// A process on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The machine, from one boot to the next.
    pub boot: String,
    /// The process id.
    pub pid: u32,
    /// When it was started, as the machine counts; tells apart processes of one id.
    pub started: u64,
}

/// A platform an instance is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// The platform's name.
    pub platform: String,
    /// The channels in which it can say something now.
    pub channels: Vec<String>,
    /// Whether it can say something to single users.
    pub direct: bool,
    /// The account it is connected with, whose limits it shares with all others that are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// The key of an instance's lease.
pub fn lease_key(role: Role, instance: &InstanceId) -> Option<Key> {
    Key::parse(&format!("{}.{instance}", role.as_str())).ok()
}

/// The key of the dispatcher's lease.
pub fn dispatcher_key() -> Option<Key> {
    Key::parse("dispatcher").ok()
}

// === impl Presented ===

impl Presented {
    /// As a lease's value.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads a lease's value.
    pub fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Whether it can say something to this target now.
    pub fn serves(&self, platform: &str, target: &Target) -> bool {
        self.serves.iter().filter(|served| served.platform == platform).any(|served| match target {
            Audience::Channel(name) => served.channels.iter().any(|channel| is_same(channel, name)),
            Audience::User(_) => served.direct,
        })
    }
}

/// Whether two texts name one channel. Who does not run a platform knows a channel as events name it: with or
/// without `#`, in any case.
fn is_same(one: &str, other: &str) -> bool {
    let bare = |name: &str| name.trim().trim_start_matches('#').to_lowercase();
    one == other || bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_known_however_an_event_writes_it() {
        let served =
            Served { platform: "brook".into(), channels: vec!["#hall".into()], direct: false, account: None };
        let process = Process { boot: String::new(), pid: 1, started: 0 };
        let presented = Presented { instance: "i".into(), epoch: "e".into(), process, serves: vec![served] };
        let serves = |platform: &str, target: Target| presented.serves(platform, &target);
        for name in ["#hall", "hall", "Hall", " #HALL "] {
            assert!(serves("brook", Audience::Channel(name.into())), "{name}");
        }
        assert!(!serves("brook", Audience::Channel("#hal".into())));
        assert!(!serves("delta", Audience::Channel("#hall".into())));
        assert!(!serves("brook", Audience::User("hall".into())));
    }
}
