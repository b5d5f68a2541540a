//! Minds one account.

mod renewal;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chatbus_connector::CredentialState;
use chatbus_store::Account as Row;
use tokio::sync::watch;

use super::Tools;
use super::reader::{Snapshot, in_time};
use crate::refresh::{Act, Facts, Input, Refresh};
use crate::slot::Slot;
use crate::{OpenError, Opened, Origin, Provider, ProviderError, Record};

/// What is known of one account, and what is done about it.
pub(super) struct Minder {
    slot: Arc<Slot>,
    tools: Arc<Tools>,
    snapshots: watch::Receiver<Option<Snapshot>>,
    record: Option<Record>,
    /// What stands in the store, as far as is known: the version, and what was sealed. The version alone begins
    /// anew with an account that was removed.
    stands: Option<(u64, Bytes)>,
    /// Why what stands there cannot be read. Then nothing is renewed: the refresh token may be another by now.
    unread: Option<OpenError>,
    refresh: Refresh,
    /// When this process wrote the account last: what was read before that is older.
    wrote_at: Option<Instant>,
}

// === impl Minder ===

impl Minder {
    pub(super) fn new(
        slot: Arc<Slot>,
        tools: Arc<Tools>,
        snapshots: watch::Receiver<Option<Snapshot>>,
    ) -> Self {
        let refresh = Refresh::useless(tools.times.pace);
        Self { slot, tools, snapshots, record: None, stands: None, unread: None, refresh, wrote_at: None }
    }

    /// Minds it until the process stops.
    pub(super) async fn run(mut self) {
        let stop = self.tools.runtime.stop.clone();
        // Without a platform to ask it stays as it is.
        let Some(provider) = self.slot.provider.clone() else { return self.slot.settle() };
        let mut snapshots = self.snapshots.clone();
        let is_read = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            read = snapshots.wait_for(Option::is_some) => read.is_ok(),
            () = tokio::time::sleep(self.tools.times.store_wait) => false,
        };
        if is_read {
            self.adopt_latest().await;
        } else {
            self.fall_back();
        }
        self.slot.settle();
        let mut refusals = self.slot.refusals();
        loop {
            let due = self.refresh.next();
            let wait = async {
                match due {
                    Some((at, act)) => {
                        tokio::time::sleep_until(at.into()).await;
                        act
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = self.snapshots.changed() => self.adopt_latest().await,
                Ok(()) = refusals.changed() => {
                    if *refusals.borrow_and_update() >= self.slot.generation() {
                        self.on(Input::Doubted);
                    }
                }
                act = wait => match act {
                    Act::Validate => self.validate(&*provider).await,
                    Act::Renew => self.renew(&*provider).await,
                }
            }
        }
    }

    /// Takes over what was read last.
    async fn adopt_latest(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            self.adopt(&snapshot).await;
        }
    }

    /// Takes over what stands in the store, where that is news.
    async fn adopt(&mut self, snapshot: &Snapshot) {
        if self.wrote_at.is_some_and(|at| snapshot.begun <= at) {
            return;
        }
        let is_ours = |row: &&Row| row.platform == self.slot.platform && row.identity == self.slot.identity;
        let Some(row) = snapshot.rows.iter().find(is_ours) else {
            if self.stands.is_some() || self.record.is_none() {
                self.fall_back();
            }
            return;
        };
        let stands = (row.version, row.sealed.clone());
        if self.stands.as_ref() != Some(&stands) {
            let was_stored = self.stands.replace(stands).is_some();
            match self.tools.vault.open(&row.platform, &row.identity, &row.sealed) {
                Ok(opened) => self.read(opened, was_stored).await,
                Err(error) => self.cannot_read(error, was_stored),
            }
        }
    }

    /// A login was read; one that replaces another was had just now.
    async fn read(&mut self, opened: Opened, was_stored: bool) {
        self.unread = None;
        self.slot.set_origin(Origin::Store);
        // Of the same tokens the platform may have told us more than it told who wrote them.
        if !self.record.as_ref().is_some_and(|known| known.has_tokens_of(&opened.record)) {
            self.begin(opened.record, was_stored);
        }
        if opened.stale {
            self.seal_anew().await;
        }
    }

    /// What stands in the store cannot be read: a token of the store that is known stays in use as long as it
    /// lasts, as while another process seals with a newer key already.
    fn cannot_read(&mut self, error: OpenError, was_stored: bool) {
        let (platform, identity) = (&self.slot.platform, &self.slot.identity);
        tracing::error!(event = "oauth.account.unreadable", platform, identity, reason = %error, "stored tokens do not open");
        self.unread = Some(error);
        self.slot.set_origin(Origin::Store);
        if was_stored && self.record.is_some() {
            return self.failed("reading", Input::RenewalFailed, &error.to_string());
        }
        self.record = None;
        self.refresh = Refresh::useless(self.tools.times.pace);
        self.slot.set_reason(Some(format!("the stored tokens do not open: {error}")));
        self.publish();
    }

    /// Nobody has logged in: the token of the settings is used, if there is one.
    fn fall_back(&mut self) {
        (self.stands, self.unread) = (None, None);
        let Some(record) = self.slot.fallback.clone() else {
            self.record = None;
            self.refresh = Refresh::useless(self.tools.times.pace);
            self.slot.set_origin(Origin::Nowhere);
            self.slot.set_reason(None);
            return self.slot.tell(None, CredentialState::Missing, false);
        };
        self.slot.set_origin(Origin::Settings);
        self.begin(record, false);
    }

    /// From here on these tokens are used.
    fn begin(&mut self, record: Record, is_fresh: bool) {
        let clock = &*self.tools.runtime.clock;
        let facts = Facts {
            lasts: record.expires_at.map(|ends| ends.since(clock.now())),
            can_renew: record.refresh_token.is_some(),
            is_confirmed: !record.user_id.is_empty(),
            is_fresh,
            validate_every: self.slot.provider.as_ref().and_then(|provider| provider.flow().validate_every),
        };
        self.refresh = Refresh::new(self.tools.times.pace, facts, clock.instant(), self.unit());
        self.record = Some(record);
        self.slot.set_reason(None);
        // What is over is told once it could not be renewed.
        if self.refresh.is_usable() {
            self.publish();
        }
    }

    /// Asks the platform whether the token is good.
    async fn validate(&mut self, provider: &dyn Provider) {
        let Some(record) = &self.record else { return };
        let asking = tokio::time::timeout(self.tools.times.ask, provider.identify(&record.access_token));
        let answer = tokio::select! {
            biased;
            () = self.tools.runtime.stop.cancelled() => return,
            answer = asking => answer,
        };
        let late = |_| Err(ProviderError::Unavailable("no answer".to_owned()));
        match answer.unwrap_or_else(late) {
            Ok(identity) => {
                let lasts = identity.expires_in;
                let now = self.tools.runtime.clock.now();
                if let Some(record) = &mut self.record
                    && record.learn(identity, now)
                {
                    tracing::debug!(event = "oauth.account.learnt", platform = %self.slot.platform, identity = %self.slot.identity, "the platform says more of the account");
                }
                self.on(Input::Validated(lasts));
                if self.refresh.state() == CredentialState::Ok {
                    self.slot.set_reason(None);
                }
            }
            Err(error) => {
                let input = match &error {
                    ProviderError::Refused { .. } => Input::ValidationRefused,
                    ProviderError::Unavailable(_) => Input::ValidationFailed,
                };
                self.failed("validation", input, &error.to_string());
            }
        }
    }

    /// The previous key sealed what was read: the current one is to. Another process may do so before us.
    async fn seal_anew(&mut self) {
        let (Some(store), Some(row)) = (self.tools.store(), self.row()) else { return };
        match in_time(&self.tools, store.put_account(&row)).await {
            Ok(version) => self.wrote(version, row.sealed),
            Err(error) => {
                tracing::debug!(event = "oauth.account.not_sealed_anew", reason = %error, "still sealed with the previous key");
            }
        }
    }

    /// The account as it is to stand in the store, over the version that is there.
    fn row(&self) -> Option<Row> {
        let record = self.record.as_ref()?;
        let (slot, runtime) = (&self.slot, &self.tools.runtime);
        let sealed = self.tools.vault.seal(&slot.platform, &slot.identity, record, &*runtime.entropy);
        Some(Row {
            platform: slot.platform.clone(),
            identity: slot.identity.clone(),
            user_id: Some(record.user_id.clone()),
            login: Some(record.login.clone()),
            sealed: sealed.into(),
            updated_at: runtime.clock.now(),
            version: self.stands.as_ref().map_or(0, |(version, _)| *version),
        })
    }

    fn wrote(&mut self, version: u64, sealed: Bytes) {
        self.stands = Some((version, sealed));
        self.wrote_at = Some(self.tools.runtime.clock.instant());
    }

    /// Something failed; says so, and takes note of it.
    fn failed(&mut self, what: &'static str, input: Input, reason: &str) {
        let (platform, identity) = (&self.slot.platform, &self.slot.identity);
        tracing::warn!(event = "oauth.token.failed", platform, identity, what, outcome = ?input, reason, "{what} failed");
        self.slot.set_reason(Some(format!("{what} failed: {reason}")));
        self.on(input);
    }

    fn on(&mut self, input: Input) {
        let (now, unit) = (self.tools.runtime.clock.instant(), self.unit());
        self.refresh.on(input, now, unit);
        // What waits for a renewal that is due now is told after that.
        let waits = !self.refresh.is_usable() && self.refresh.is_renewal_due(now);
        if !waits && input != Input::Doubted {
            self.publish();
        }
    }

    fn publish(&self) {
        self.slot.tell(self.record.as_ref(), self.refresh.state(), self.refresh.is_usable());
    }

    fn unit(&self) -> f64 {
        self.tools.runtime.entropy.unit()
    }
}
