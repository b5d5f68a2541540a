//! A token is renewed by one of all processes at a time.
//!
//! A refresh token may be good for one use. So: whoever renews holds a lock in the shared state; reads the store
//! with the lock in hand, since another may have renewed before; and keeps the lock until what it got is
//! written. Should the lock be lost on the way, the store's versions decide.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_runtime::{Backoff, Fence};
use chatbus_state::{Held, InvalidKey, Key, Lease};
use chatbus_store::{Store, StoreError, StoreErrorKind};
use tokio::sync::{oneshot, watch};

use super::{Input, Minder, Tools, in_time};
use crate::keeper::reader::snapshot;
use crate::{Provider, ProviderError, Record, Tokens};

/// What is shown meanwhile.
const UNWRITTEN: &str = "renewed tokens are not written yet";

/// What came of a try to write.
enum Wrote {
    Done,
    NotYet(StoreError),
}

// === impl Minder ===

impl Minder {
    /// Gets another token, unless another process has or does.
    pub(super) async fn renew(&mut self, provider: &dyn Provider) {
        let mut lock = Box::pin(lock(Arc::clone(&self.tools), self.key()));
        let locked = loop {
            tokio::select! {
                biased;
                locked = &mut lock => break locked,
                // Whoever has the lock may be done, or somebody may log in.
                Ok(()) = self.snapshots.changed() => {
                    self.adopt_latest().await;
                    if !self.refresh.is_renewal_due(self.tools.runtime.clock.instant()) {
                        return;
                    }
                }
            }
        };
        match locked {
            Some(Ok(held)) => {
                let fence = held.fence();
                let (done, is_done) = oneshot::channel::<()>();
                let give_up = async {
                    let _ = is_done.await;
                };
                // Not ended when the lock is lost: an answer that is under way may hold the only good token.
                let work = async {
                    self.renew_locked(provider, &fence).await;
                    let _ = done.send(());
                };
                tokio::join!(held.keep(give_up), work);
            }
            Some(Err(reason)) => self.failed("renewal", Input::RenewalFailed, reason),
            None => {}
        }
    }

    /// What is locked.
    fn key(&self) -> Result<Key, InvalidKey> {
        let (platform, identity) = (Key::hex(&self.slot.platform), Key::hex(&self.slot.identity));
        Key::parse(&format!("oauth.{platform}.{identity}"))
    }

    async fn renew_locked(&mut self, provider: &dyn Provider, fence: &Fence) {
        let Some(store) = self.tools.store() else {
            return self.failed("renewal", Input::RenewalFailed, "the store is not open");
        };
        match snapshot(&self.tools, &*store).await {
            Ok(snapshot) => self.adopt(&snapshot).await,
            Err(error) => return self.failed("renewal", Input::RenewalFailed, &error.to_string()),
        }
        let now = self.tools.runtime.clock.instant();
        if !self.refresh.is_renewal_due(now) {
            return;
        }
        if let Some(error) = self.unread {
            return self.failed("reading", Input::RenewalFailed, &error.to_string());
        }
        if !fence.is_held(now) {
            return self.failed("renewal", Input::RenewalFailed, "the lock was lost");
        }
        let Some(before) = self.record.clone() else { return };
        match self.ask(provider, &before).await {
            Ok(tokens) => self.renewed(provider, before, tokens).await,
            Err(error) => self.not_renewed(&error),
        }
    }

    async fn ask(&self, provider: &dyn Provider, record: &Record) -> Result<Tokens, ProviderError> {
        let Some(token) = &record.refresh_token else {
            return Err(ProviderError::Unavailable("there is no refresh token".to_owned()));
        };
        self.tools.exchange.refresh(provider.flow(), token).await
    }

    fn not_renewed(&mut self, error: &ProviderError) {
        let input = match error {
            ProviderError::Refused { .. } => Input::RenewalRefused,
            ProviderError::Unavailable(_) => Input::RenewalFailed,
        };
        self.failed("renewal", input, &error.to_string());
    }

    /// There are new tokens: they are used at once, and written for as long as that takes.
    async fn renewed(&mut self, provider: &dyn Provider, before: Record, tokens: Tokens) {
        self.take(&before, tokens);
        let times = self.tools.times;
        let mut backoff = Backoff::new(times.first_rewrite, times.longest_rewrite);
        loop {
            let error = match self.write(&before).await {
                Wrote::Done => return self.slot.clear_reason(UNWRITTEN),
                Wrote::NotYet(error) => error,
            };
            let (platform, identity) = (&self.slot.platform, &self.slot.identity);
            let is_last = self.tools.runtime.stop.is_cancelled();
            if is_last {
                tracing::error!(event = "oauth.token.lost", platform, identity, reason = %error, "renewed tokens could not be written before the stop");
                return;
            }
            tracing::warn!(event = "oauth.token.unwritten", platform, identity, reason = %error, "{UNWRITTEN}");
            self.slot.set_reason(Some(UNWRITTEN.to_owned()));
            let renew_at = self.refresh.next_renewal();
            let is_due = async {
                match renew_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.tools.runtime.stop.cancelled() => {}
                () = is_due => {
                    let Some(record) = self.record.clone() else { return };
                    match self.ask(provider, &record).await {
                        Ok(tokens) => self.take(&record, tokens),
                        // What is refused need not be written.
                        Err(error @ ProviderError::Refused { .. }) => return self.not_renewed(&error),
                        Err(error) => self.not_renewed(&error),
                    }
                }
                () = tokio::time::sleep(backoff.next(&*self.tools.runtime.entropy)) => {}
            }
        }
    }

    fn take(&mut self, before: &Record, tokens: Tokens) {
        let record = before.renewed(tokens, self.tools.runtime.clock.now());
        let (platform, identity) = (&self.slot.platform, &self.slot.identity);
        tracing::info!(event = "oauth.token.renewed", platform, identity, expires_at = ?record.expires_at, "token renewed");
        self.begin(record, true);
    }

    /// Writes the tokens over those that they were had with.
    async fn write(&mut self, before: &Record) -> Wrote {
        let Some(store) = self.tools.store() else {
            return Wrote::NotYet(StoreError::new(StoreErrorKind::Unavailable, "the store is not open"));
        };
        let Some(row) = self.row() else { return Wrote::Done };
        match in_time(&self.tools, store.put_account(&row)).await {
            Ok(version) => {
                self.wrote(version, row.sealed);
                Wrote::Done
            }
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                self.settle(&*store, before, error).await
            }
            Err(error) => Wrote::NotYet(error),
        }
    }

    /// Another version stands there: our own, when only its answer was lost; the old tokens, sealed anew; or
    /// what a person did, which counts.
    async fn settle(&mut self, store: &dyn Store, before: &Record, error: StoreError) -> Wrote {
        let snapshot = match snapshot(&self.tools, store).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Wrote::NotYet(error),
        };
        let (platform, identity) = (&self.slot.platform, &self.slot.identity);
        let row = snapshot.rows.iter().find(|row| row.platform == *platform && row.identity == *identity);
        let stands = row.and_then(|row| {
            let opened = self.tools.vault.open(platform, identity, &row.sealed).ok()?;
            Some((row.version, row.sealed.clone(), opened.record))
        });
        match (stands, &self.record) {
            (Some((version, sealed, there)), Some(ours)) if there.has_tokens_of(ours) => {
                self.wrote(version, sealed);
                Wrote::Done
            }
            (Some((version, sealed, there)), _) if there.has_tokens_of(before) => {
                self.stands = Some((version, sealed));
                Wrote::NotYet(error)
            }
            _ => {
                tracing::info!(
                    event = "oauth.token.overtaken",
                    platform,
                    identity,
                    "somebody logged in or out meanwhile"
                );
                self.adopt(&snapshot).await;
                Wrote::Done
            }
        }
    }
}

/// Waits for the lock; `None` when the process stops first.
async fn lock(tools: Arc<Tools>, key: Result<Key, InvalidKey>) -> Option<Result<Held, &'static str>> {
    let Ok(key) = key else { return Some(Err("the account's name is too long for a lock")) };
    let value = Bytes::from(tools.holder.clone());
    let (_, told) = watch::channel(value.clone());
    let lease = Lease::new(Arc::clone(&tools.state), tools.runtime.clone(), key, tools.times.lock, told);
    match tokio::time::timeout(tools.times.lock_wait, lease.acquire(|entry| entry.value == value)).await {
        Ok(held) => held.map(Ok),
        Err(_) => Some(Err("another process is renewing it, or the shared state is out of reach")),
    }
}
