//! A running publisher with one connector.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chatbus_connector::{AuthState, Emit, Emitted, Inbound, Status};
use chatbus_event::{Attributes, Clock, InstanceId, MessageId, names};
use chatbus_ingress::{Ingress, IngressConfig, IngressHandle};
use chatbus_runtime::{CancellationToken, Runtime, SystemClock};
use chatbus_telemetry::{Metrics, PlatformLabels, ReasonLabels};
use chatbus_testkit::test_runtime;
use tokio::task::JoinHandle;

use crate::fake_bus::FakeBus;

pub(crate) struct Rig {
    pub(crate) metrics: Metrics,
    pub(crate) status: Status,
    pub(crate) handle: IngressHandle,
    pub(crate) emit: Arc<dyn Emit>,
    finish: CancellationToken,
    running: JoinHandle<()>,
    next: AtomicU64,
}

pub(crate) fn config(root: &Path, instance: &str) -> IngressConfig {
    IngressConfig::new(InstanceId::parse(instance).unwrap(), root)
}

impl Rig {
    pub(crate) async fn start(root: &Path, bus: &Arc<FakeBus>) -> Self {
        Self::with(config(root, "i"), bus, test_runtime(1)).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test's executor is the owner of its tasks")]
    pub(crate) async fn with(config: IngressConfig, bus: &Arc<FakeBus>, runtime: Runtime) -> Self {
        let metrics = Metrics::new();
        let ingress = Ingress::open(config, Arc::clone(bus) as _, metrics.clone(), runtime).await.unwrap();
        let handle = ingress.handle();
        let status = Status::new([], AuthState::anonymous());
        let emit = handle.emitter("test", Some(Arc::new(status.clone())));
        let finish = CancellationToken::new();
        let running = tokio::spawn(ingress.run(finish.clone()));
        Self { metrics, status, handle, emit, finish, running, next: AtomicU64::new(0) }
    }

    /// Emits events for three conversations in turn: `<conversation>-<number>`.
    pub(crate) async fn emit(&self, count: u64) {
        let events = (0..count).map(|_| event(self.next.fetch_add(1, Ordering::SeqCst), "{}")).collect();
        assert_eq!(self.emit.emit(events).await, Emitted::Taken);
    }

    pub(crate) async fn emit_one(&self, body: &str) {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.emit.emit(vec![event(n, body)]).await, Emitted::Taken);
    }

    /// Stops gracefully.
    pub(crate) async fn finish(self) {
        self.finish.cancel();
        self.running.await.unwrap();
    }

    /// Ends it where it stands, as a kill does, and waits until the folder is free.
    pub(crate) async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn published(&self) -> u64 {
        self.metrics.ingress_published.get_or_create(&PlatformLabels { platform: "test" }).get()
    }

    pub(crate) fn spooled(&self) -> u64 {
        self.metrics.ingress_spooled.get_or_create(&PlatformLabels { platform: "test" }).get()
    }

    pub(crate) fn dropped(&self, reason: &'static str) -> u64 {
        self.metrics.ingress_dropped.get_or_create(&ReasonLabels { reason }).get()
    }
}

pub(crate) fn event(n: u64, body: &str) -> Inbound {
    let id = MessageId::new(&format!("{}-{n}", n % 3));
    let mut attributes = Attributes::new();
    attributes.set(names::MESSAGE_ID, id.as_str());
    attributes.set(names::CORRELATION_ID, format!("c-{n}"));
    Inbound {
        attributes,
        body: if body == "{}" { format!(r#"{{"type":"t","n":{n}}}"#).into() } else { body.to_owned().into() },
        conversation: (n % 3).to_string().into(),
        received_at: SystemClock.now(),
        id,
    }
}

/// Waits for a condition; a test that never sees it fails.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never happened: {what}");
}

/// Every id of `0..count` once, each conversation in its order.
pub(crate) fn assert_whole(ids: &[String], count: u64) {
    let mut last = [None; 3];
    for id in ids {
        let (conversation, n) = id.split_once('-').unwrap();
        let (conversation, n): (usize, u64) = (conversation.parse().unwrap(), n.parse().unwrap());
        assert!(last[conversation].is_none_or(|before| before < n), "{id} after {last:?}");
        last[conversation] = Some(n);
    }
    assert_eq!(ids.len() as u64, count);
}
