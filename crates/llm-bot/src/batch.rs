//! Several messages at once: those of one conversation one after another, others at the same time.

use std::collections::HashMap;

use async_trait::async_trait;
use chatbus_bus::{BatchHandler, HandlerError, Outgoing, Record};
use futures::future::join_all;

use crate::bot::{LlmBot, NAME, Work};
use crate::question::Key;

/// What came of one message.
type Handled = Result<Vec<Outgoing>, HandlerError>;

/// The messages of a batch by conversation, each with its place in the batch.
#[derive(Default)]
struct Conversations<'a> {
    all: Vec<Vec<(usize, Work<'a>)>>,
    known: HashMap<Key, usize>,
}

// === impl LlmBot ===

#[async_trait]
impl BatchHandler for LlmBot {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn handle(&self, inputs: &[&Record]) -> Vec<Handled> {
        let mut results: Vec<Option<Handled>> = inputs.iter().map(|_| None).collect();
        let mut conversations = Conversations::default();
        for (result, (at, record)) in results.iter_mut().zip(inputs.iter().enumerate()) {
            match self.read(record) {
                Ok(work) => conversations.push(at, work),
                Err(error) => *result = Some(Err(error)),
            }
        }
        let running = conversations.all.into_iter().map(|conversation| async {
            let mut done = Vec::with_capacity(conversation.len());
            for (at, work) in conversation {
                done.push((at, Box::pin(self.one(work)).await));
            }
            done
        });
        for (at, handled) in join_all(running).await.into_iter().flatten() {
            if let Some(result) = results.get_mut(at) {
                *result = Some(handled);
            }
        }
        let unhandled = || Err(HandlerError::Retry("not handled".to_owned()));
        results.into_iter().map(|result| result.unwrap_or_else(unhandled)).collect()
    }
}

// === impl Conversations ===

impl<'a> Conversations<'a> {
    fn push(&mut self, at: usize, work: Work<'a>) {
        let next = self.all.len();
        let place = match &work.question.conversation {
            Some(key) => *self.known.entry(key.clone()).or_insert(next),
            None => next,
        };
        match self.all.get_mut(place) {
            Some(conversation) => conversation.push((at, work)),
            None => self.all.push(vec![(at, work)]),
        }
    }
}
