//! A language model that knows nothing: it speaks the OpenAI-compatible chat completions protocol over real HTTP,
//! and answers every question with the same sentence about it. So a bot can be tried with no account anywhere,
//! and a client's handling of faults can be tested.
//!
//! | request | answers |
//! |---|---|
//! | `GET /v1/models` | its one model |
//! | `POST /v1/chat/completions` `{"messages":[…],"stream"?}` | one choice; with `"stream":true` as server-sent events, a word at a time; 400 `{"error"}` for what is no such request |
//!
//! Any key is welcome, and none. What is asked is kept and can be read back, the newest [`MAX_QUESTIONS`].

mod answer;
mod fault;
mod server;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatbus_runtime::Runtime;
use serde_json::Value;

pub use answer::answer_to;
pub use fault::ModelFault;
pub(crate) use server::start;

/// Questions that are kept; older ones are forgotten.
pub const MAX_QUESTIONS: usize = 1_000;
/// Faults that may be outstanding.
const MAX_FAULTS: usize = 1_000;

/// The model, steered. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

/// Something it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The request's body.
    pub body: Value,
    /// The request's `Authorization`.
    pub authorization: Option<String>,
}

#[derive(Debug)]
struct Shared {
    runtime: Runtime,
    addr: SocketAddr,
    world: Mutex<World>,
}

#[derive(Debug, Default)]
struct World {
    questions: VecDeque<Question>,
    faults: VecDeque<ModelFault>,
    asked: u64,
    in_hand: usize,
    most_in_hand: usize,
}

/// A question in hand, until its answer begins or who asked is gone.
struct InHand(Arc<Shared>);

// === impl Model ===

impl Model {
    /// The bound address.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// `http://…/v1`, which is what clients call its base URL.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.shared.addr)
    }

    /// What it was asked, the oldest first.
    pub fn questions(&self) -> Vec<Question> {
        self.shared.lock().questions.iter().cloned().collect()
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.shared.lock().asked
    }

    /// How many questions were in hand at one time, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.lock().most_in_hand
    }

    /// One of the next requests meets this; those told before come first.
    ///
    /// # Errors
    /// When too many faults are outstanding.
    pub fn fault(&self, fault: ModelFault) -> Result<(), &'static str> {
        let mut world = self.shared.lock();
        if world.faults.len() >= MAX_FAULTS {
            return Err("too many faults are outstanding");
        }
        world.faults.push_back(fault);
        Ok(())
    }

    /// Everything as at the start; connections stay.
    pub fn reset(&self) {
        let mut world = self.shared.lock();
        // What is in hand stays so.
        let in_hand = world.in_hand;
        *world = World { in_hand, most_in_hand: in_hand, ..World::default() };
    }
}

// === impl Shared ===

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl InHand ===

impl InHand {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut world = shared.lock();
        world.in_hand += 1;
        world.most_in_hand = world.most_in_hand.max(world.in_hand);
        Self(Arc::clone(shared))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut world = self.0.lock();
        world.in_hand = world.in_hand.saturating_sub(1);
    }
}

// === impl World ===

impl World {
    /// Keeps a question; gives its number and the fault it meets.
    fn ask(&mut self, question: Question) -> (u64, Option<ModelFault>) {
        if self.questions.len() >= MAX_QUESTIONS {
            self.questions.pop_front();
        }
        self.questions.push_back(question);
        self.asked += 1;
        (self.asked, self.faults.pop_front())
    }
}
