//! Readiness that tells the truth: what the process still waits for, and what it does without.

use std::sync::Arc;

use chatbus_bus::Bus;
use chatbus_connector::{ConnectionState, Snapshot, Status};

/// What one part says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    /// Why it is not ready; empty when it is.
    pub waiting_for: Vec<String>,
    /// What it does without.
    pub degraded: Vec<String>,
}

/// A part that can be asked.
pub trait ReadinessCheck: Send + Sync {
    /// The role it belongs to; `None` for what every role needs.
    fn role(&self) -> Option<&str>;

    /// How it stands now. Cheap; never blocks.
    fn check(&self) -> Check;
}

/// All parts of a process.
#[derive(Clone)]
pub struct Readiness {
    checks: Vec<Arc<dyn ReadinessCheck>>,
}

/// Asks a platform's status.
#[derive(Debug)]
pub struct PlatformCheck {
    /// The platform's name.
    pub platform: &'static str,
    /// Its role.
    pub role: &'static str,
    /// Its status.
    pub status: Status,
}

/// Asks whether the bus is in reach.
pub(crate) struct BusCheck(pub(crate) Arc<dyn Bus>);

// === impl Readiness ===

impl Readiness {
    /// The bus, and these.
    pub fn new(bus: Arc<dyn Bus>, checks: impl IntoIterator<Item = Arc<dyn ReadinessCheck>>) -> Self {
        let bus: Arc<dyn ReadinessCheck> = Arc::new(BusCheck(bus));
        Self { checks: std::iter::once(bus).chain(checks).collect() }
    }

    /// How all parts stand, or those that one role needs.
    pub fn check(&self, role: Option<&str>) -> Check {
        let mut all = Check::default();
        for part in &self.checks {
            if role.is_none() || part.role().is_none() || part.role() == role {
                let check = part.check();
                all.waiting_for.extend(check.waiting_for);
                all.degraded.extend(check.degraded);
            }
        }
        all
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Readiness({} checks)", self.checks.len())
    }
}

// === impl ReadinessCheck ===

impl ReadinessCheck for BusCheck {
    fn role(&self) -> Option<&str> {
        None
    }

    fn check(&self) -> Check {
        let status = self.0.status().borrow().clone();
        Check {
            waiting_for: if status.connected { vec![] } else { vec!["bus".to_owned()] },
            degraded: vec![],
        }
    }
}

impl ReadinessCheck for PlatformCheck {
    fn role(&self) -> Option<&str> {
        Some(self.role)
    }

    fn check(&self) -> Check {
        platform_check(self.platform, &self.status.snapshot())
    }
}

/// A platform is ready when it is connected and every configured channel is joined. A refused channel
/// is done without, unless all are refused. Nothing waits for a channel that was added at run time: an
/// instance that works must not stop being ready because somebody adds one.
pub fn platform_check(platform: &str, snapshot: &Snapshot) -> Check {
    let mut check = Check::default();
    match snapshot.state {
        ConnectionState::Disabled => return check,
        ConnectionState::Connected => {}
        _ => check.waiting_for.push(platform.to_owned()),
    }
    let refused = |channel: &&String| snapshot.refused_channels.iter().any(|r| r.channel == **channel);
    for channel in &snapshot.wanted_channels {
        let is_added = snapshot.added_channels.contains(channel);
        if !is_added && !snapshot.joined_channels.contains(channel) && !refused(&channel) {
            check.waiting_for.push(format!("{platform}:{channel}"));
        }
    }
    for channel in &snapshot.refused_channels {
        check.degraded.push(format!("{platform}:{} ({})", channel.channel, channel.code));
    }
    let wanted = &snapshot.wanted_channels;
    if !wanted.is_empty() && wanted.iter().all(|channel| refused(&channel)) {
        check.waiting_for.push(format!("{platform}:channels"));
    }
    if snapshot.auth.state == "needs_reauth" {
        check.degraded.push(format!("{platform}:needs_reauth"));
    }
    check
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbus_connector::{AuthState, RefusedChannel};

    fn snapshot(state: ConnectionState, joined: &[&str], refused: &[&str]) -> Snapshot {
        let status = Status::new(["#a".to_owned(), "#b".to_owned()], AuthState::anonymous());
        status.update(|s| {
            s.state = state;
            s.joined_channels = joined.iter().map(|c| (*c).to_owned()).collect();
            s.refused_channels = refused
                .iter()
                .map(|c| RefusedChannel { channel: (*c).to_owned(), code: "no_answer".into() })
                .collect();
        });
        status.snapshot()
    }

    #[test]
    fn a_platform_is_ready_when_connected_with_its_channels_joined() {
        use ConnectionState::{Connected, Connecting, Disabled, Reconnecting};
        for (state, joined, refused, waiting, degraded) in [
            (Connected, &["#a", "#b"][..], &[][..], &[][..], &[][..]),
            (Connecting, &[], &[], &["p", "p:#a", "p:#b"], &[]),
            (Reconnecting, &["#a", "#b"], &[], &["p"], &[]),
            (Connected, &["#a"], &[], &["p:#b"], &[]),
            (Connected, &["#a"], &["#b"], &[], &["p:#b (no_answer)"]),
            (Connected, &[], &["#a", "#b"], &["p:channels"], &["p:#a (no_answer)", "p:#b (no_answer)"]),
            (Disabled, &[], &[], &[], &[]),
        ] {
            let check = platform_check("p", &snapshot(state, joined, refused));
            assert_eq!(check.waiting_for, waiting, "{state:?} {joined:?} {refused:?}");
            assert_eq!(check.degraded, degraded, "{state:?} {joined:?} {refused:?}");
        }
    }

    #[test]
    fn a_channel_that_was_added_at_run_time_is_degraded_at_most_and_holds_nothing_back() {
        for (joined, refused, waiting, degraded) in [
            (&["#a", "#b"][..], &[][..], &[][..], &[][..]),
            (&["#a", "#b"], &["#new"], &[], &["p:#new (no_answer)"]),
            (&["#a"], &["#new"], &["p:#b"], &["p:#new (no_answer)"]),
            (&["#a", "#b", "#new"], &[], &[], &[]),
        ] {
            let mut snapshot = snapshot(ConnectionState::Connected, joined, refused);
            snapshot.wanted_channels.insert("#new".to_owned());
            snapshot.added_channels.insert("#new".to_owned());
            let check = platform_check("p", &snapshot);
            assert_eq!(check.waiting_for, waiting, "{joined:?} {refused:?}");
            assert_eq!(check.degraded, degraded, "{joined:?} {refused:?}");
        }
    }
}
