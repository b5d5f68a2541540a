//! The two kinds of instances that say things.

use chatbus_event::{Family, InstanceId, Topic};

/// What an instance is, and so which topics are its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Says things on platforms.
    IngressEgress,
    /// Says things to connections of our own users.
    ApiGateway,
}

// === impl Role ===

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IngressEgress, Self::ApiGateway];

    /// Its name, as `serve` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IngressEgress => "ingress-egress",
            Self::ApiGateway => "api-gateway",
        }
    }

    /// The role of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// The topic of what one instance is to say.
    pub fn topic(self, instance: &InstanceId) -> Topic {
        match self {
            Self::IngressEgress => Topic::egress_of(instance),
            Self::ApiGateway => Topic::api_egress_of(instance),
        }
    }

    /// The topic of what waits in one instance's lanes.
    pub fn lane(self, instance: &InstanceId) -> Topic {
        match self {
            Self::IngressEgress => Topic::lane_of(instance),
            Self::ApiGateway => Topic::api_lane_of(instance),
        }
    }

    /// Whose topic or lane this is.
    pub fn owner(topic: &Topic) -> Option<(Self, InstanceId)> {
        let instance = topic.instance()?;
        let role = match topic.family() {
            Family::ApiEgress => Self::ApiGateway,
            Family::Lane if *topic == Topic::api_lane_of(&instance) => Self::ApiGateway,
            _ => Self::IngressEgress,
        };
        Some((role, instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_tells_its_owner() {
        for name in ["a-1", "api"] {
            let id = InstanceId::parse(name).unwrap();
            for role in Role::ALL {
                assert_eq!(Role::owner(&role.topic(&id)), Some((role, id.clone())));
                assert_eq!(Role::owner(&role.lane(&id)), Some((role, id.clone())));
                assert_eq!(Role::parse(role.as_str()), Some(role));
            }
        }
        assert_eq!(Role::owner(&Topic::egress()), None);
    }
}
