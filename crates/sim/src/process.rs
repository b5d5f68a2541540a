//! A process: tasks that are polled together, freeze together and die together.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use chatbus_runtime::{Spawner, Task};

use crate::ordered::Ordered;

/// What decides over a process from outside.
#[derive(Default)]
pub(crate) struct Control(Mutex<State>);

#[derive(Default)]
struct State {
    frozen: bool,
    over: Option<End>,
    /// It dies at the await after so many more.
    fuse: Option<u32>,
    waker: Option<Waker>,
    spawned: Vec<Task>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It died where it stood.
    Crashed,
    /// Its main task came to its end.
    Exited,
}

/// A process: a future that ends when it does.
pub(crate) struct Process {
    control: Arc<Control>,
    tasks: Ordered<Counted>,
}

/// A task whose every poll is an await at which the process may die.
struct Counted {
    control: Arc<Control>,
    task: Task,
}

// === impl Control ===

impl Control {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops it from running, while time goes on; or lets it go on.
    pub(crate) fn set_frozen(&self, frozen: bool) {
        let mut state = self.lock();
        state.frozen = frozen;
        wake(state);
    }

    /// It dies at the await after so many more.
    pub(crate) fn arm(&self, awaits: u32) {
        let mut state = self.lock();
        state.fuse = Some(awaits);
        wake(state);
    }

    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.over.get_or_insert(end);
        wake(state);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().over.is_some()
    }

    /// Counts an await; gives whether the process lives on.
    fn step(&self) -> bool {
        let mut state = self.lock();
        if state.over.is_some() {
            return false;
        }
        match state.fuse.as_mut() {
            Some(0) => {
                state.over = Some(End::Crashed);
                wake(state);
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// A place at which the process may die.
    pub(crate) async fn point(&self) {
        if !self.step() {
            std::future::pending::<()>().await;
        }
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}

/// Spawns within the process.
#[derive(Debug)]
pub(crate) struct ProcessSpawner(pub(crate) Arc<Control>);

impl Spawner for ProcessSpawner {
    fn spawn(&self, _: &'static str, task: Task) {
        let mut state = self.0.lock();
        state.spawned.push(task);
        wake(state);
    }
}

// === impl Process ===

impl Process {
    /// A process that ends with this task.
    pub(crate) fn new(control: Arc<Control>, main: Task) -> Self {
        let mut tasks = Ordered::default();
        let ends = control.clone();
        let task: Task = Box::pin(async move {
            main.await;
            ends.end(End::Exited);
        });
        tasks.push(Counted { control: control.clone(), task });
        Self { control, tasks }
    }
}

impl Future for Process {
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let spawned = {
                let mut state = self.control.lock();
                state.waker = Some(cx.waker().clone());
                if let Some(end) = state.over {
                    state.spawned.clear();
                    drop(state);
                    self.tasks = Ordered::default();
                    return Poll::Ready(end);
                }
                if state.frozen {
                    return Poll::Pending;
                }
                std::mem::take(&mut state.spawned)
            };
            for task in spawned {
                let control = self.control.clone();
                self.tasks.push(Counted { control, task });
            }
            self.tasks.poll_woken(cx);
            let (is_over, has_spawned) = {
                let state = self.control.lock();
                (state.over.is_some(), !state.spawned.is_empty())
            };
            if !is_over && !has_spawned {
                return Poll::Pending;
            }
        }
    }
}

impl Future for Counted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.control.step() {
            return Poll::Pending;
        }
        self.task.as_mut().poll(cx)
    }
}

/// The machine that all processes run on: they are polled in the order in which they were started.
#[derive(Default)]
pub(crate) struct Machine(Mutex<Running>);

#[derive(Default)]
struct Running {
    started: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    waker: Option<Waker>,
}

// === impl Machine ===

impl Machine {
    /// Starts something.
    pub(crate) fn start(&self, process: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.started.push(Box::pin(process));
        let waker = running.waker.take();
        drop(running);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Runs for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut all = Ordered::default();
        std::future::poll_fn(move |cx| {
            let started = {
                let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                running.waker = Some(cx.waker().clone());
                std::mem::take(&mut running.started)
            };
            started.into_iter().for_each(|process| all.push(process));
            all.poll_woken(cx);
            Poll::<()>::Pending
        })
        .await;
    }
}
