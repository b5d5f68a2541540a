//! A connector that runs, and the few calls every test makes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chatbus_runtime::{CancellationToken, Fence, Runtime};
use tokio::time::{sleep, timeout};

use super::Rig;
use super::check::{DEADLINE, STOP_WITHIN, fail, within};
use crate::{Availability, Connector, Emit, Emitted, Inbound, Outbound, Sink, Target, Verdict};

/// A connector that runs until it is dropped or [`Running::stop`]ped.
pub(super) struct Running<'a> {
    rig: &'a dyn Rig,
    pub(super) connector: Arc<dyn Connector>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) target: Target,
    runtime: Runtime,
    drained: CancellationToken,
    ended: CancellationToken,
}

/// Takes what is read and forgets it.
struct Taker;

// === impl Running ===

impl<'a> Running<'a> {
    /// Runs it, whatever becomes of it.
    pub(super) fn begin(rig: &'a dyn Rig) -> Self {
        let (connector, runtime) = (rig.connector(), rig.runtime());
        let (drained, ended) = (CancellationToken::new(), CancellationToken::new());
        let running = Arc::clone(&connector).run(runtime.clone(), Arc::new(Taker), drained.clone());
        let guard = ended.clone().drop_guard();
        runtime.spawn("conformance.connector", async move {
            running.await;
            drop(guard);
        });
        let (sink, target) = (connector.sink(), rig.target());
        Self { rig, connector, sink, target, runtime, drained, ended }
    }

    /// Runs it and waits until it can say something.
    pub(super) async fn connected(rig: &'a dyn Rig) -> Self {
        let running = Self::begin(rig);
        running.ready("it connects").await;
        running
    }

    /// Waits until something can be said.
    pub(super) async fn ready(&self, when: &str) {
        let mut changes = self.sink.changes();
        let ready = timeout(DEADLINE, async {
            while self.sink.availability(&self.target) != Availability::Ready {
                // A limit's end is no change.
                let _ = timeout(Duration::from_millis(20), changes.changed()).await;
            }
        });
        if ready.await.is_err() {
            let found = self.sink.availability(&self.target);
            let status = self.connector.status().snapshot();
            fail::<()>(&format!("nothing can be said when {when}: {found:?}, {status:?}"));
        }
    }

    /// Says something to the rig's target.
    pub(super) async fn say(&self, id: &str, text: &str) -> Verdict {
        self.send(self.outbound(id, text)).await
    }

    /// Says it, waiting while the sink says that it cannot begin.
    pub(super) async fn send(&self, outbound: Outbound) -> Verdict {
        let verdict = within("a verdict", self.sink.send(outbound)).await;
        self.check_words(&verdict);
        verdict
    }

    /// A text to the rig's target.
    pub(super) fn outbound(&self, id: &str, text: &str) -> Outbound {
        Outbound {
            delivery_id: id.into(),
            target: self.target.clone(),
            text: text.to_owned(),
            reply_to: None,
            deadline: self.runtime.clock.instant() + 2 * DEADLINE,
            may_have_been_sent: false,
            fence: Fence::always(),
            event: None,
        }
    }

    /// Which fence is over at this moment.
    pub(super) fn over(&self) -> Fence {
        Fence::until(self.runtime.clock.instant())
    }

    /// A verdict's code is short and plain, and nothing of it is a secret.
    fn check_words(&self, verdict: &Verdict) {
        let code = match verdict {
            Verdict::Retry { code, .. }
            | Verdict::Reauth { code, .. }
            | Verdict::Permanent { code, .. }
            | Verdict::Unverified { code, .. } => Some(code),
            Verdict::Delivered { .. } | Verdict::Accepted | Verdict::NotNow => None,
        };
        let is_code = |code: &&String| super::check::is_plain(code) && !code.contains(char::is_whitespace);
        assert!(code.is_none_or(|code| is_code(&code)), "a code is one plain word: {verdict:?}");
        if let Verdict::Retry { after, .. } = verdict {
            assert!(*after <= Duration::from_secs(3600), "nobody waits for so long: {verdict:?}");
        }
        self.check_secrets(&format!("{verdict:?}"));
    }

    /// None of the rig's secrets stands in a text.
    pub(super) fn check_secrets(&self, text: &str) {
        for secret in self.rig.secrets() {
            assert!(secret.len() >= 8, "a secret of the rig is too short to be looked for");
            assert!(!text.contains(&secret), "a secret is shown: {text}");
        }
    }

    /// Stops it and waits until it has ended.
    pub(super) async fn stop(self) {
        self.runtime.stop.cancel();
        self.drained.cancel();
        let ended = timeout(STOP_WITHIN, self.ended.cancelled()).await;
        assert!(ended.is_ok(), "it runs on for {STOP_WITHIN:?} after the stop");
    }

    /// Waits a moment in which nothing is to happen.
    pub(super) async fn a_moment(&self) {
        sleep(Duration::from_millis(100)).await;
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.runtime.stop.cancel();
        self.drained.cancel();
    }
}

#[async_trait]
impl Emit for Taker {
    async fn emit(&self, _: Vec<Inbound>) -> Emitted {
        Emitted::Taken
    }
}
