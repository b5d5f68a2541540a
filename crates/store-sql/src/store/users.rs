//! Users.

use async_trait::async_trait;
use chatbus_store::{Page, Seen, Sighting, StoreError, User, UserChange, UserFilter, Users, census, limits};

use super::SqlStore;
use crate::database::Database;
use crate::people::Work;
use crate::value::{Row, Statement};
use crate::{select, sql};

#[async_trait]
impl<D: Database> Users for SqlStore<D> {
    async fn sight(&self, sightings: &[Sighting]) -> Result<Vec<Seen>, StoreError> {
        limits::check_sightings(sightings)?;
        if sightings.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.database.rewrite(Work::Sight(sightings.to_vec())).await?.seen)
    }

    async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        if id.contains('\0') {
            return Ok(None);
        }
        let rows = self.find(Statement::new(sql::USER, [id.into()])).await?;
        rows.into_iter().next().map(to_user).transpose()
    }

    async fn users(&self, filter: &UserFilter, page: &Page) -> Result<Vec<User>, StoreError> {
        let rows = self.find(select::users(filter, page)).await?;
        rows.into_iter().map(to_user).collect()
    }

    async fn change_user(&self, id: &str, change: &UserChange) -> Result<Option<User>, StoreError> {
        limits::check_change(change)?;
        if id.contains('\0') {
            return Ok(None);
        }
        let mut done = self.database.rewrite(Work::Change(id.to_owned(), change.clone())).await?;
        Ok(done.users.pop())
    }
}

fn to_user(mut row: Row) -> Result<User, StoreError> {
    census::parse_user(&row.text()?, &row.bytes()?)
}
