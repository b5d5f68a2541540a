//! Gateway tokens, from the shared state to the store.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chatbus_state::{Space, State};
use chatbus_store::{Store, TokenRow};

/// Has the store hold the tokens that the shared state holds, and no others. What stands in the store never
/// comes back into the state: a token that was revoked stays revoked.
pub(super) async fn note(state: &dyn State, store: &dyn Store) -> anyhow::Result<()> {
    let held = state.list(Space::Tokens, None).await.context("the shared state")?;
    let held: BTreeMap<String, TokenRow> = held
        .into_iter()
        .map(|(key, entry)| {
            let hash = key.to_string();
            (hash.clone(), TokenRow { hash, record: entry.value })
        })
        .collect();
    let known = store.tokens().await.context("the store")?;
    for gone in known.iter().filter(|row| !held.contains_key(&row.hash)) {
        store.remove_token(&gone.hash).await.context("the store")?;
    }
    for row in held.values().filter(|row| !known.contains(row)) {
        store.put_token(row).await.context("the store")?;
    }
    Ok(())
}
