//! What stands in the store is taken over.

use chatbus_connector::CredentialState;

use super::{Input, Minder, Refresh, Row, Snapshot};
use crate::keeper::reader::in_time;
use crate::{OpenError, Opened, Origin};

// === impl Minder ===

impl Minder {
    /// Takes over what was read last.
    pub(super) async fn adopt_latest(&mut self) {
        let snapshot = self.snapshots.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            self.adopt(&snapshot).await;
        }
    }

    /// Takes over what stands in the store, where that is news.
    pub(super) async fn adopt(&mut self, snapshot: &Snapshot) {
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
    pub(super) fn fall_back(&mut self) {
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
}
