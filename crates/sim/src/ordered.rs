//! Futures that are polled in the order in which they came, whoever was woken first: the executor wakes
//! those who wait for one thing in an order that no seed repeats.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Futures that are polled in the order in which they came.
pub(crate) struct Ordered<F> {
    futures: Vec<(Arc<Woken>, F)>,
}

/// Whether one of them was woken.
#[derive(Debug, Default)]
struct Woken {
    is: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is.store(true, Ordering::Release);
        let outer = self.outer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(outer) = outer {
            outer.wake();
        }
    }
}

// === impl Ordered ===

impl<F> Default for Ordered<F> {
    fn default() -> Self {
        Self { futures: Vec::new() }
    }
}

impl<F: Future + Unpin> Ordered<F> {
    /// Adds one, to be polled after the others.
    pub(crate) fn push(&mut self, future: F) {
        let woken = Arc::new(Woken::default());
        woken.is.store(true, Ordering::Release);
        self.futures.push((woken, future));
    }

    /// Polls those that were woken, once each, and forgets those that are over. Gives what they ended with.
    pub(crate) fn poll_woken(&mut self, cx: &Context<'_>) -> Vec<F::Output> {
        let mut ended = Vec::new();
        self.futures.retain_mut(|(woken, future)| {
            *woken.outer.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            if !woken.is.swap(false, Ordering::AcqRel) {
                return true;
            }
            let waker = Waker::from(woken.clone());
            match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => {
                    ended.push(output);
                    false
                }
                Poll::Pending => true,
            }
        });
        ended
    }
}
