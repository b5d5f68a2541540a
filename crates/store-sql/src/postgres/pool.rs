//! A few connections, and calls on them with their bounds.
//!
//! There is no ready-made pool here because those start tasks of their own, which only the supervisor does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chatbus_runtime::{Backoff, CancellationToken, Runtime};
use chatbus_store::StoreError;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_postgres::IsolationLevel;

use super::connect::{Connector, Link};
use super::error::{WorkError, unavailable};
use super::tx::{Tx, TxWork};

/// Connections of one process, beside the monitor's. More calls wait.
const CONNECTIONS: u32 = 8;

/// How often a transaction is tried that others got in the way of.
const TRIES: u32 = 8;
const RETRY_INITIAL: Duration = Duration::from_millis(4);
const RETRY_MAX: Duration = Duration::from_millis(100);

/// Whether a call writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything is read as of one moment.
    Read,
    Write,
}

/// The connections.
pub(super) struct Pool {
    pub(super) connector: Connector,
    pub(super) runtime: Runtime,
    idle: Mutex<Vec<Link>>,
    permits: Semaphore,
    pub(super) connected: watch::Sender<bool>,
    pub(super) closing: CancellationToken,
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(connector: Connector, runtime: Runtime) -> Self {
        let permits = Semaphore::new(usize::try_from(CONNECTIONS).unwrap_or(1));
        let (connected, closing) = (watch::Sender::new(true), CancellationToken::new());
        Self { connector, runtime, idle: Mutex::default(), permits, connected, closing }
    }

    /// Does work in a transaction, within a time.
    pub(super) async fn perform<W: TxWork>(
        &self,
        kind: Kind,
        limit: Duration,
        work: &W,
    ) -> Result<W::Output, StoreError> {
        if self.closing.is_cancelled() {
            return Err(unavailable("the store is closed"));
        }
        if !*self.connected.borrow() {
            // The monitor looks for it; a call would wait for nothing.
            return Err(unavailable(&format!("{} is out of reach", self.connector.place())));
        }
        match timeout(limit, self.tried(kind, work)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.lost().notify_one();
                let place = self.connector.place();
                Err(unavailable(&format!("{place} gave no answer within {} s", limit.as_secs())))
            }
        }
    }

    async fn tried<W: TxWork>(&self, kind: Kind, work: &W) -> Result<W::Output, StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| unavailable("the store is closed"))?;
        let mut backoff = Backoff::new(RETRY_INITIAL, RETRY_MAX);
        loop {
            let mut link = self.link().await?;
            // Dropped on the way, when the time is over, the connection ends: nobody knows what it is at.
            match transact(&mut link, kind, work).await {
                Ok(output) => {
                    self.idle().push(link);
                    return Ok(output);
                }
                Err(error) if error.is_of_connection() => {
                    self.lost().notify_one();
                    return Err(error.into_store());
                }
                Err(error) => {
                    self.idle().push(link);
                    if !error.is_passing() || backoff.attempts() >= TRIES {
                        return Err(error.into_store());
                    }
                    sleep(backoff.next(&*self.runtime.entropy)).await;
                }
            }
        }
    }

    async fn link(&self) -> Result<Link, StoreError> {
        loop {
            let known = self.idle().pop();
            match known {
                Some(link) if link.client.is_closed() => {}
                Some(link) => return Ok(link),
                // Whatever is wrong with the server now was not wrong when it was opened: people mend it.
                None => {
                    let connected = self.connector.connect().await;
                    return connected.map_err(|error| unavailable(&error.to_string()));
                }
            }
        }
    }

    /// Takes nothing more.
    pub(super) fn begin_close(&self) {
        self.closing.cancel();
        self.idle().clear();
        self.connected.send_if_modified(std::mem::take);
    }

    /// Waits for what is in hand, at most for this long, and ends the connections.
    pub(super) async fn close(&self, limit: Duration) {
        self.closing.cancel();
        // Held by nobody means that every call has ended.
        let _ = timeout(limit, self.permits.acquire_many(CONNECTIONS)).await;
        self.permits.close();
        self.begin_close();
    }

    pub(super) fn lost(&self) -> &Arc<Notify> {
        &self.connector.lost
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One try. What fails is taken back: by the server, or by the transaction's end.
async fn transact<W: TxWork>(link: &mut Link, kind: Kind, work: &W) -> Result<W::Output, WorkError> {
    let Link { client, statements, .. } = link;
    let begin = client.build_transaction();
    let begin = match kind {
        Kind::Read => begin.isolation_level(IsolationLevel::RepeatableRead).read_only(true),
        Kind::Write => begin.isolation_level(IsolationLevel::ReadCommitted),
    };
    let mut tx = Tx { inner: begin.start().await?, statements };
    let output = work.run(&mut tx).await?;
    tx.inner.commit().await?;
    Ok(output)
}
