//! What people and programs set: tokens, accounts, documents, channels.

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    Account, Accounts, Channel, Channels, Document, DocumentKind, Documents, StoreError, StoreErrorKind,
    TokenRow, Tokens, limits,
};

#[async_trait]
impl Tokens for MemoryStore {
    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        let mut data = self.data()?;
        limits::check_token(token)?;
        data.tokens.insert(token.hash.clone(), token.record.clone());
        Ok(())
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let data = self.data()?;
        let rows = data.tokens.iter();
        Ok(rows.map(|(hash, record)| TokenRow { hash: hash.clone(), record: record.clone() }).collect())
    }

    async fn remove_token(&self, hash: &str) -> Result<bool, StoreError> {
        Ok(self.data()?.tokens.remove(hash).is_some())
    }
}

#[async_trait]
impl Accounts for MemoryStore {
    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        Ok(self.data()?.accounts.values().cloned().collect())
    }

    async fn put_account(&self, account: &Account) -> Result<u64, StoreError> {
        let mut data = self.data()?;
        limits::check_account(account)?;
        let at = (account.platform.clone(), account.identity.clone());
        let there = data.accounts.get(&at).map_or(0, |account| account.version);
        if there != account.version {
            return Err(StoreError::new(StoreErrorKind::Conflict, "the account was written by another"));
        }
        let name = |told: &Option<String>| told.as_deref().map(limits::name);
        let written = Account {
            user_id: name(&account.user_id),
            login: name(&account.login),
            version: there + 1,
            ..account.clone()
        };
        data.accounts.insert(at, written);
        Ok(there + 1)
    }

    async fn remove_account(&self, platform: &str, identity: &str) -> Result<bool, StoreError> {
        Ok(self.data()?.accounts.remove(&(platform.to_owned(), identity.to_owned())).is_some())
    }
}

#[async_trait]
impl Documents for MemoryStore {
    async fn documents_version(&self, kind: DocumentKind) -> Result<u64, StoreError> {
        Ok(self.data()?.document_versions.get(&kind).copied().unwrap_or_default())
    }

    async fn documents(&self, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        let data = self.data()?;
        Ok(data.documents.values().filter(|document| document.kind == kind).cloned().collect())
    }

    async fn put_document(&self, document: &Document) -> Result<(), StoreError> {
        let mut data = self.data()?;
        limits::check_document(document)?;
        data.documents.insert((document.kind.as_str(), document.name.clone()), document.clone());
        *data.document_versions.entry(document.kind).or_default() += 1;
        Ok(())
    }

    async fn remove_document(&self, kind: DocumentKind, name: &str) -> Result<bool, StoreError> {
        let mut data = self.data()?;
        let removed = data.documents.remove(&(kind.as_str(), name.to_owned())).is_some();
        if removed {
            *data.document_versions.entry(kind).or_default() += 1;
        }
        Ok(removed)
    }
}

#[async_trait]
impl Channels for MemoryStore {
    async fn channels(&self) -> Result<Vec<Channel>, StoreError> {
        Ok(self.data()?.channels.iter().cloned().collect())
    }

    async fn add_channel(&self, channel: &Channel) -> Result<bool, StoreError> {
        let mut data = self.data()?;
        limits::check_channel(channel)?;
        Ok(data.channels.insert(channel.clone()))
    }

    async fn remove_channel(&self, channel: &Channel) -> Result<bool, StoreError> {
        Ok(self.data()?.channels.remove(channel))
    }
}
