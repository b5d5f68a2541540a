//! The publisher, put together.

use std::io;
use std::sync::Arc;

use chatbus_bus::Bus;
use chatbus_connector::{Accept, Emit};
use chatbus_event::Topic;
use chatbus_runtime::{CancellationToken, Runtime};
use chatbus_telemetry::{Metrics, PlatformLabels};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::adopt::Adopter;
use crate::config::{IngressConfig, Limits, QUEUE_EVENTS};
use crate::emitter::{Batch, Emitter, Tally};
use crate::health::IngressHealth;
use crate::machine::{Actions, Machine, Moment};
use crate::meter::Meter;
use crate::pipeline::{Pipeline, Worker};
use crate::platforms::Platforms;
use crate::spool::disk::Disk;
use crate::spool::{Folder, RealDisk, Store};

/// From the platforms' sockets to the bus: the window of what is in flight, and the spool.
pub struct Ingress {
    pipeline: Pipeline,
    adopter: Adopter,
    handle: IngressHandle,
}

/// Gives connectors their way in, and shows how the publisher does. Cheap to clone.
#[derive(Clone)]
pub struct IngressHandle {
    platforms: Platforms,
    runtime: Runtime,
    metrics: Metrics,
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Batch>,
    health: watch::Receiver<IngressHealth>,
}

/// Why the spool cannot be used. Without it nothing could be promised, so nothing is read.
#[derive(Debug, thiserror::Error)]
#[error("the spool folder {path} cannot be used: {source}")]
pub struct OpenError {
    path: String,
    source: io::Error,
}

// === impl Ingress ===

impl Ingress {
    /// Opens this instance's spool; what it holds from before is published first.
    ///
    /// # Errors
    /// When the spool's folder cannot be created, locked, read or written.
    pub async fn open(
        config: IngressConfig,
        bus: Arc<dyn Bus>,
        metrics: Metrics,
        runtime: Runtime,
    ) -> Result<Self, OpenError> {
        Self::open_on(config, bus, metrics, runtime, Box::new(RealDisk)).await
    }

    pub(crate) async fn open_on(
        config: IngressConfig,
        bus: Arc<dyn Bus>,
        metrics: Metrics,
        runtime: Runtime,
        disk: Box<dyn Disk>,
    ) -> Result<Self, OpenError> {
        let platforms = Platforms::default();
        let failed = |source| OpenError { path: config.spool_root.display().to_string(), source };
        let (root, name) = (config.spool_root.clone(), config.instance.to_string());
        let (max_bytes, names) = (config.spool_max_bytes, platforms.clone());
        let opened = tokio::task::spawn_blocking(move || {
            Store::open(Folder::own(&root, &name)?, max_bytes, disk, names)
        });
        let (store, found) =
            opened.await.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
        if found.torn > 0 {
            tracing::info!(
                event = "ingress.spool.torn", instanceId = %config.instance, bytes = found.torn,
                "a record that was being written when the process ended was cut off"
            );
        }

        let limits = Limits::new(&config);
        let now = Moment { mono: runtime.clock.instant(), wall: runtime.clock.now() };
        let source = format!("ingress-egress.{}", config.instance);
        let late_after = limits.late_after;
        let machine = Machine::new(
            limits,
            Arc::clone(&runtime.entropy),
            source.clone(),
            bus.max_message_bytes(),
            found,
            now,
        );
        let meter = || Meter::new(metrics.clone(), platforms.clone(), config.instance.clone());
        let health_now = machine.health(now);
        let (shown, health) = watch::channel(health_now);
        let (sender, queue) = mpsc::channel(QUEUE_EVENTS);
        let room = Arc::new(Semaphore::new(QUEUE_EVENTS));
        let adopter = Adopter {
            root: config.spool_root.clone(),
            bus: Arc::clone(&bus),
            topic: config.topic.clone(),
            dead_letters: Topic::dead_letter(),
            platforms: platforms.clone(),
            meter: meter(),
            health: health.clone(),
            late_after,
            runtime: runtime.clone(),
            source,
        };
        let pipeline = Pipeline {
            machine,
            bus,
            topic: config.topic.clone(),
            dead_letters: Topic::dead_letter(),
            clock: Arc::clone(&runtime.clock),
            meter: meter(),
            queue,
            room: Arc::clone(&room),
            health: shown,
            store: Worker::Here(Box::new(store)),
            in_flight: std::collections::VecDeque::new(),
            actions: Actions::default(),
        };
        let handle = IngressHandle { platforms, runtime, metrics, room, queue: sender, health };
        Ok(Self { pipeline, adopter, handle })
    }

    /// What connectors and readiness hold.
    pub fn handle(&self) -> IngressHandle {
        self.handle.clone()
    }

    /// Publishes until `finish` is cancelled. Then it takes nothing more, waits at most the grace for
    /// the bus, and returns once everything it was given is on the bus or synced in the spool.
    ///
    /// Cancel `finish` only after the connectors have stopped reading: what they emit later is refused.
    pub async fn run(self, finish: CancellationToken) {
        let Self { pipeline, adopter, handle } = self;
        // Ours must not keep the queue open for itself.
        drop(handle);
        let adopting = finish.child_token();
        let publishing = async {
            pipeline.run(finish).await;
            adopting.cancel();
        };
        tokio::join!(publishing, adopter.run(adopting.clone()));
    }
}

// === impl IngressHandle ===

impl IngressHandle {
    /// One platform's way in. Its name is a label of metrics.
    pub fn emitter(&self, platform: &'static str, tally: Option<Arc<dyn Tally>>) -> Arc<dyn Emit> {
        self.entrance(platform, tally)
    }

    /// A way in for who must know that each event is safe before going on. All such events keep the
    /// order in which they were handed over, with those of every emitter.
    pub fn accepter(&self, platform: &'static str) -> Arc<dyn Accept> {
        self.entrance(platform, None)
    }

    fn entrance(&self, platform: &'static str, tally: Option<Arc<dyn Tally>>) -> Arc<Emitter> {
        self.platforms.add(platform, tally);
        let labels = PlatformLabels { platform };
        Arc::new(Emitter {
            platform,
            clock: Arc::clone(&self.runtime.clock),
            room: Arc::clone(&self.room),
            queue: self.queue.clone(),
            received: self.metrics.ingress_received.get_or_create(&labels).clone(),
        })
    }

    /// How it does, now and whenever that changes.
    pub fn health(&self) -> watch::Receiver<IngressHealth> {
        self.health.clone()
    }
}
