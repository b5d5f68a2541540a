//! Answers other gateways that ask what this one sent a user.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatbus_runtime::{Backoff, Runtime};
use chatbus_state::{Change, Changes, Expected, Key, Space, State, StateError};
use futures::{StreamExt as _, stream};
use tracing::debug;

use super::WITHIN;
use super::wire::{self, Answer, Kept, Question, Wanted};
use crate::history::Remembered;
use crate::session::Identity;
use crate::users::{REMEMBERED_FOR, Users};

/// Answers.
pub(crate) struct Answering {
    pub(crate) users: Arc<Users>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) state: Arc<dyn State>,
    pub(crate) runtime: Runtime,
}

/// Questions that are answered at once; more wait where the watch has them.
const AT_ONCE: usize = 16;
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

// === impl Answering ===

impl Answering {
    /// Answers until it is dropped.
    pub(crate) async fn run(self) {
        let this = &self;
        let mut backoff = Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        loop {
            match self.state.watch(Space::Questions).await {
                Ok(changes) => {
                    backoff.reset();
                    let questions = stream::unfold(changes, next);
                    questions
                        .for_each_concurrent(AT_ONCE, |(key, value)| async move {
                            if key.parts().next() == Some(&this.identity.instance) {
                                this.answer(&key, &value).await;
                            }
                        })
                        .await;
                }
                Err(error) => {
                    debug!(event = "gateway.questions_unwatched", reason = %error, "no watch yet");
                }
            }
            tokio::time::sleep(backoff.next(&*self.runtime.entropy)).await;
        }
    }

    async fn answer(&self, key: &Key, value: &[u8]) {
        let Some(id) = key.parts().nth(1) else { return };
        let answered = tokio::time::timeout(WITHIN, self.write(key, id, value)).await;
        if let Ok(Err(error)) = answered {
            debug!(event = "gateway.not_answered", reason = %error, "another gateway was not answered");
        }
    }

    async fn write(&self, key: &Key, id: &str, value: &[u8]) -> Result<(), StateError> {
        // Whoever asked may have given up: then nobody takes the answer away again.
        if self.state.get(Space::Questions, key).await?.is_none() {
            return Ok(());
        }
        let pages = Question::decode(value).map_or(Answer::Gone, |question| self.held(&question)).pages();
        let keys = wire::keys(id, pages.len());
        // The first is what the asker looks for: it comes when the others are there.
        for (key, page) in keys.iter().zip(pages).rev() {
            self.state.put(Space::Answers, key, page, Expected::Anything).await?;
        }
        self.state.remove(Space::Questions, key, Expected::Anything).await
    }

    fn held(&self, question: &Question) -> Answer {
        let now = self.runtime.clock.instant();
        let Question { epoch, user, wanted } = question;
        if *epoch != self.identity.epoch {
            return Answer::Gone;
        }
        let kept = |frames: Vec<Remembered>| {
            let kept = frames.into_iter().map(|Remembered { seq, delivery_id, at, frame }| Kept {
                seq,
                delivery_id,
                age: now.saturating_duration_since(at),
                frame,
            });
            kept.collect()
        };
        match wanted {
            Wanted::After(seq) => self.users.after(user, *seq).map_or(Answer::Gone, |after| Answer::Held {
                frames: kept(after.frames),
                known: after.known,
                gap: after.gap.map(|began| now.saturating_duration_since(began)),
            }),
            Wanted::Since(age) => {
                // The question was on its way for a while, in which the moment moved into the past.
                let age = age.duration().min(REMEMBERED_FOR) + WITHIN;
                let frames = now.checked_sub(age).and_then(|then| self.users.since(user, then));
                frames.map_or(Answer::Gone, |frames| Answer::Held {
                    frames: kept(frames),
                    known: Vec::new(),
                    gap: None,
                })
            }
        }
    }
}

/// The next question.
async fn next(mut changes: Box<dyn Changes>) -> Option<((Key, Bytes), Box<dyn Changes>)> {
    loop {
        if let Change::Set(key, entry) = changes.next().await? {
            return Some(((key, entry.value), changes));
        }
    }
}
