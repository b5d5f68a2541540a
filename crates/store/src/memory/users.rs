//! Users.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::MemoryStore;
use super::data::{fits, page};
use crate::census::{self, Census};
use crate::{Page, Seen, Sighting, StoreError, User, UserChange, UserFilter, Users, limits};

#[async_trait]
impl Users for MemoryStore {
    async fn sight(&self, sightings: &[Sighting]) -> Result<Vec<Seen>, StoreError> {
        let mut data = self.data()?;
        limits::check_sightings(sightings)?;
        self.check_keys(sightings.iter().map(|sighting| sighting.key.as_str()))?;
        let mut census = Census::default();
        for sighting in sightings {
            let id = census::user_id(sighting);
            if let Some(user) = data.users.get(&id) {
                census.users.insert(id, user.clone());
            }
            if let Some((answer, _)) = data.sightings.get(&sighting.key) {
                census.keys.insert(sighting.key.clone(), *answer);
            }
        }
        let seen = census.take(sightings);
        for sighting in census.counted.iter().filter_map(|at| sightings.get(*at)) {
            if let Some(answer) = census.keys.get(&sighting.key) {
                data.sightings.insert(sighting.key.clone(), (*answer, sighting.key_expires_at));
            }
        }
        data.users.extend(census.users);
        Ok(seen)
    }

    async fn user(&self, id: &str) -> Result<Option<User>, StoreError> {
        Ok(self.data()?.users.get(id).cloned())
    }

    async fn users(&self, filter: &UserFilter, part: &Page) -> Result<Vec<User>, StoreError> {
        let data = self.data()?;
        let mut found: Vec<_> = data.users.values().filter(|user| is_wanted(user, filter)).cloned().collect();
        found.sort_by_key(|user| Reverse((user.last_seen_at, user.id.clone())));
        Ok(page(found, part))
    }

    async fn change_user(&self, id: &str, change: &UserChange) -> Result<Option<User>, StoreError> {
        let mut data = self.data()?;
        limits::check_change(change)?;
        let Some(user) = data.users.get_mut(id) else { return Ok(None) };
        census::change(user, change);
        Ok(Some(user.clone()))
    }
}

fn is_wanted(user: &User, filter: &UserFilter) -> bool {
    let is_named = |name: &String| {
        let name = census::folded(name);
        [&user.login, &user.display_name].into_iter().flatten().any(|known| census::folded(known) == name)
    };
    fits(filter.provider.as_ref(), Some(&user.provider))
        && fits(filter.status.as_ref(), Some(&user.status))
        && filter.name.as_ref().is_none_or(is_named)
}
