//! What people and programs set.

use async_trait::async_trait;
use chatbus_store::{
    Account, Accounts, Channel, Channels, Document, DocumentKind, Documents, StoreError, StoreErrorKind,
    TokenRow, Tokens, limits,
};

use super::SqlStore;
use crate::database::Database;
use crate::sql;
use crate::value::{Row, Statement, Value, odd};

#[async_trait]
impl<D: Database> Tokens for SqlStore<D> {
    async fn put_token(&self, token: &TokenRow) -> Result<(), StoreError> {
        limits::check_token(token)?;
        let values = [token.hash.clone().into(), token.record.clone().into()];
        self.change([Statement::new(sql::PUT_TOKEN, values)]).await.map(drop)
    }

    async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = self.find(Statement::new(sql::TOKENS, [])).await?;
        rows.into_iter().map(|mut row| Ok(TokenRow { hash: row.text()?, record: row.bytes()? })).collect()
    }

    async fn remove_token(&self, hash: &str) -> Result<bool, StoreError> {
        Ok(limits::may_be_id(hash) && self.changes(sql::REMOVE_TOKEN, [hash.into()]).await?)
    }
}

#[async_trait]
impl<D: Database> Accounts for SqlStore<D> {
    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let rows = self.find(Statement::new(sql::ACCOUNTS, [])).await?;
        rows.into_iter().map(to_account).collect()
    }

    async fn put_account(&self, account: &Account) -> Result<u64, StoreError> {
        limits::check_account(account)?;
        let name = |told: &Option<String>| -> Value { told.as_deref().map(limits::name).into() };
        let mut values: Vec<Value> = vec![
            account.platform.clone().into(),
            account.identity.clone().into(),
            name(&account.user_id),
            name(&account.login),
            account.sealed.clone().into(),
            account.updated_at.into(),
        ];
        let statement = match account.version {
            0 => Statement::new(sql::INSERT_ACCOUNT, values),
            known => {
                values.push(i64::try_from(known).unwrap_or(i64::MAX).into());
                Statement::new(sql::UPDATE_ACCOUNT, values)
            }
        };
        match self.change([statement]).await?.into_iter().next() {
            Some(mut row) => u64::try_from(row.int()?).map_err(|_| odd()),
            None => Err(StoreError::new(StoreErrorKind::Conflict, "the account was written by another")),
        }
    }

    async fn remove_account(&self, platform: &str, identity: &str) -> Result<bool, StoreError> {
        let may_be = limits::may_be_id(platform) && limits::may_be_id(identity);
        Ok(may_be && self.changes(sql::REMOVE_ACCOUNT, [platform.into(), identity.into()]).await?)
    }
}

#[async_trait]
impl<D: Database> Documents for SqlStore<D> {
    async fn documents_version(&self, kind: DocumentKind) -> Result<u64, StoreError> {
        let rows = self.find(Statement::new(sql::DOCUMENTS_VERSION, [kind.as_str().into()])).await?;
        let mut row = rows.into_iter().next().ok_or_else(odd)?;
        u64::try_from(row.int()?).map_err(|_| odd())
    }

    async fn documents(&self, kind: DocumentKind) -> Result<Vec<Document>, StoreError> {
        let rows = self.find(Statement::new(sql::DOCUMENTS, [kind.as_str().into()])).await?;
        let to_document = |mut row: Row| {
            Ok(Document { kind, name: row.text()?, body: row.bytes()?, updated_at: row.time()? })
        };
        rows.into_iter().map(to_document).collect()
    }

    async fn put_document(&self, document: &Document) -> Result<(), StoreError> {
        limits::check_document(document)?;
        let kind = document.kind.as_str();
        let values = [
            kind.into(),
            document.name.clone().into(),
            document.body.clone().into(),
            document.updated_at.into(),
        ];
        // The counter first: whoever writes this kind at the same moment waits here, and for nothing else.
        let counted = Statement::new(sql::DOCUMENT_WRITTEN, [kind.into()]);
        self.change([counted, Statement::new(sql::PUT_DOCUMENT, values)]).await.map(drop)
    }

    async fn remove_document(&self, kind: DocumentKind, name: &str) -> Result<bool, StoreError> {
        if !limits::may_be_id(name) {
            return Ok(false);
        }
        let values = || -> [Value; 2] { [kind.as_str().into(), name.into()] };
        let counted = Statement::new(sql::DOCUMENT_REMOVED, values());
        let removed = self.change([counted, Statement::new(sql::REMOVE_DOCUMENT, values())]).await?;
        Ok(!removed.is_empty())
    }
}

#[async_trait]
impl<D: Database> Channels for SqlStore<D> {
    async fn channels(&self) -> Result<Vec<Channel>, StoreError> {
        let rows = self.find(Statement::new(sql::CHANNELS, [])).await?;
        rows.into_iter().map(|mut row| Ok(Channel { platform: row.text()?, name: row.text()? })).collect()
    }

    async fn add_channel(&self, channel: &Channel) -> Result<bool, StoreError> {
        limits::check_channel(channel)?;
        self.changes(sql::ADD_CHANNEL, [channel.platform.clone().into(), channel.name.clone().into()]).await
    }

    async fn remove_channel(&self, channel: &Channel) -> Result<bool, StoreError> {
        let may_be = limits::may_be_id(&channel.platform) && limits::may_be_id(&channel.name);
        let values = [channel.platform.clone().into(), channel.name.clone().into()];
        Ok(may_be && self.changes(sql::REMOVE_CHANNEL, values).await?)
    }
}

fn to_account(mut row: Row) -> Result<Account, StoreError> {
    Ok(Account {
        platform: row.text()?,
        identity: row.text()?,
        user_id: row.maybe_text()?,
        login: row.maybe_text()?,
        sealed: row.bytes()?,
        updated_at: row.time()?,
        version: u64::try_from(row.int()?).map_err(|_| odd())?,
    })
}
