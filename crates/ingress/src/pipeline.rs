//! The loop: moves events, receipts and jobs between the queue, the bus, the disk and the decisions.
//!
//! Inputs: the queue, the receipts of what is in flight (polled from the oldest on, all that are ready
//! at once), the disk's reports, the bus's status, one timer, and the call to finish. It makes no
//! decision and holds no lock while it waits.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use chatbus_bus::{Bus, BusErrorKind, BusStatus, Receipt};
use chatbus_event::{Clock, Topic};
use chatbus_runtime::CancellationToken;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::QUEUE_EVENTS;
use crate::emitter::Batch;
use crate::health::IngressHealth;
use crate::kept::Route;
use crate::machine::{Actions, Input, Machine, Moment};
use crate::meter::Meter;
use crate::spool::{Job, Report, Store};

/// Everything the loop owns.
pub(crate) struct Pipeline {
    pub(crate) machine: Machine,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) topic: Topic,
    pub(crate) dead_letters: Topic,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meter: Meter,
    pub(crate) queue: mpsc::Receiver<Batch>,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) health: watch::Sender<IngressHealth>,
    pub(crate) store: Worker,
    pub(crate) in_flight: VecDeque<Receipt>,
    pub(crate) actions: Actions,
}

/// The store, here or away on a job.
pub(crate) enum Worker {
    Here(Box<Store>),
    Away(JoinHandle<(Box<Store>, Report)>),
    /// The job panicked and took the store with it.
    Lost,
}

/// What the loop waited for.
enum Woken {
    Finish,
    Status,
    Spooled(Report),
    Receipts { acked: usize, failed: Option<BusErrorKind> },
    Batch(Option<Batch>),
    Timer,
}

// === impl Pipeline ===

impl Pipeline {
    /// Runs until `finish` is cancelled and everything in hand is on the bus or on disk.
    pub(crate) async fn run(mut self, finish: CancellationToken) {
        let mut status = self.bus.status();
        let mut status_lives = true;
        let mut finishing = false;
        let mut queue_lives = true;
        let mut finished = pin!(finish.cancelled());
        let mut timer = pin!(tokio::time::sleep(std::time::Duration::ZERO));
        let mut timer_set = None;
        self.tell(status_input(&mut status));
        loop {
            let now = self.now();
            if self.machine.is_finished(now) || matches!(self.store, Worker::Lost) {
                break;
            }
            let deadline = self.machine.next_deadline(now);
            // A timer that fires early costs one look; setting it anew at every turn costs more.
            if deadline.is_some_and(|at| timer_set.is_none_or(|set| at < set)) {
                timer_set = deadline;
                if let Some(at) = deadline {
                    timer.as_mut().reset(at.into());
                }
            }
            let takes = queue_lives && self.machine.takes(now.mono);
            let woken = tokio::select! {
                () = &mut finished, if !finishing => Woken::Finish,
                changed = status.changed(), if status_lives => {
                    status_lives = changed.is_ok();
                    Woken::Status
                }
                report = self.store.report() => report,
                woken = receipts(&mut self.in_flight), if !self.in_flight.is_empty() => woken,
                batch = self.queue.recv(), if takes => Woken::Batch(batch),
                () = &mut timer, if timer_set.is_some() => Woken::Timer,
            };
            match woken {
                Woken::Finish => {
                    finishing = true;
                    self.queue.close();
                    self.room.close();
                    self.tell(Input::Finish);
                }
                Woken::Status => self.tell(status_input(&mut status)),
                Woken::Spooled(report) => {
                    self.tell(Input::Spooled(report));
                    self.show_health();
                }
                Woken::Receipts { acked, failed } => {
                    if acked > 0 {
                        self.tell(Input::Acked(acked));
                    }
                    if let Some(kind) = failed {
                        self.tell(Input::Failed(kind));
                    }
                }
                Woken::Batch(Some(batch)) => self.gulp(batch),
                Woken::Batch(None) => queue_lives = false,
                Woken::Timer => {
                    timer_set = None;
                    self.tell(Input::Tick);
                    self.show_health();
                }
            }
        }
        self.end();
    }

    /// Takes this batch and what else is in the queue.
    fn gulp(&mut self, batch: Batch) {
        let mut taken = batch.events.len();
        self.room.add_permits(batch.events.len());
        self.tell(Input::Taken(batch));
        while taken < QUEUE_EVENTS {
            let Ok(batch) = self.queue.try_recv() else { return };
            taken += batch.events.len();
            self.room.add_permits(batch.events.len());
            self.tell(Input::Taken(batch));
        }
    }

    fn tell(&mut self, input: Input) {
        self.actions.clear();
        let now = self.now();
        self.machine.on(input, now, &mut self.actions);
        if self.actions.forget {
            self.in_flight.clear();
        }
        for (route, message) in self.actions.publish.drain(..) {
            let topic = match route {
                Route::Ingress => &self.topic,
                Route::DeadLetter => &self.dead_letters,
            };
            self.in_flight.push_back(self.bus.publish(topic, message));
        }
        if let Some(job) = self.actions.job.take() {
            self.store.start(job);
        }
        let changed = !self.actions.notices.is_empty();
        self.meter.record(&mut self.actions);
        if changed {
            self.show_health();
        }
    }

    fn show_health(&self) {
        let health = self.machine.health(self.now());
        self.health.send_if_modified(|shown| {
            let changed = *shown != health;
            *shown = health;
            changed
        });
        self.meter.spool(&health);
    }

    fn now(&self) -> Moment {
        Moment { mono: self.clock.instant(), wall: self.clock.now() }
    }

    fn end(self) {
        if matches!(self.store, Worker::Lost) {
            tracing::error!(event = "ingress.spool.lost", "the spool's thread ended; publishing stops");
        }
        let lost = self.machine.unsafe_events();
        if lost > 0 {
            self.meter.dropped("not_spooled_at_stop", lost);
        }
        self.show_health();
    }
}

fn status_input(status: &mut watch::Receiver<BusStatus>) -> Input {
    let now = status.borrow_and_update();
    Input::Status { connected: now.connected, epoch: now.epoch }
}

/// Waits for the oldest receipt, then takes all that are ready behind it, up to the first failure.
async fn receipts(in_flight: &mut VecDeque<Receipt>) -> Woken {
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let mut acked = 0;
        while let Some(oldest) = in_flight.front_mut() {
            match Pin::new(oldest).poll(cx) {
                Poll::Ready(Ok(_)) => acked += 1,
                Poll::Ready(Err(error)) => {
                    in_flight.pop_front();
                    return Poll::Ready(Woken::Receipts { acked, failed: Some(error.kind()) });
                }
                Poll::Pending => break,
            }
            in_flight.pop_front();
        }
        if acked == 0 { Poll::Pending } else { Poll::Ready(Woken::Receipts { acked, failed: None }) }
    })
    .await
}

// === impl Worker ===

impl Worker {
    /// Starts a job off the executor. The store goes along and comes back with the report, so no two
    /// jobs are ever at work and nothing is locked.
    fn start(&mut self, job: Job) {
        match std::mem::replace(self, Self::Lost) {
            Self::Here(mut store) => {
                *self = Self::Away(tokio::task::spawn_blocking(move || {
                    let report = store.run(&job);
                    (store, report)
                }));
            }
            other => *self = other,
        }
    }

    async fn report(&mut self) -> Woken {
        let Self::Away(job) = self else { return std::future::pending().await };
        match job.await {
            Ok((store, report)) => {
                *self = Self::Here(store);
                Woken::Spooled(report)
            }
            Err(_) => {
                *self = Self::Lost;
                Woken::Timer
            }
        }
    }
}
