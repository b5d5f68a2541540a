//! The answer to a publish.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::oneshot;

use crate::BusError;

/// What the bus says of a message it accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its place in its topic's family; for a duplicate the first one's where the driver knows it.
    pub seq: u64,
    /// Whether a message with the same id was already there, so that this one was dropped.
    pub duplicate: bool,
}

/// Resolves once the message is durable, or with why it is not. Dropping it changes nothing.
#[must_use = "a message is not on the bus before its receipt resolves"]
pub struct Receipt(Inner);

enum Inner {
    Ready(Option<Result<Stored, BusError>>),
    Oneshot(oneshot::Receiver<Result<Stored, BusError>>),
    Future(BoxFuture<'static, Result<Stored, BusError>>),
}

// === impl Receipt ===

impl Receipt {
    /// One that is known already.
    pub fn ready(result: Result<Stored, BusError>) -> Self {
        Self(Inner::Ready(Some(result)))
    }

    /// One that another task answers; a dropped sender is [`BusError::closed`].
    pub fn oneshot(receiver: oneshot::Receiver<Result<Stored, BusError>>) -> Self {
        Self(Inner::Oneshot(receiver))
    }

    /// Whether it resolves without being polled before.
    pub fn is_driven_elsewhere(&self) -> bool {
        !matches!(self.0, Inner::Future(_))
    }

    /// One that has to be driven.
    pub fn future(future: impl Future<Output = Result<Stored, BusError>> + Send + 'static) -> Self {
        Self(Inner::Future(Box::pin(future)))
    }
}

impl Future for Receipt {
    type Output = Result<Stored, BusError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Ready(result) => {
                Poll::Ready(result.take().unwrap_or_else(|| Err(BusError::closed("receipt read twice"))))
            }
            Inner::Oneshot(receiver) => Pin::new(receiver)
                .poll(cx)
                .map(|r| r.unwrap_or_else(|_| Err(BusError::closed("the bus stopped before it answered")))),
            Inner::Future(future) => future.as_mut().poll(cx),
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}
