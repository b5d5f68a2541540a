//! The accounts whose logins are stored: whether their tokens open, are good, and may do what is asked.

use std::sync::Arc;

use chatbus_connector::{Account, AccountSource, Credential};
use chatbus_oauth::{Identity, Provider, ProviderError, Vault};
use chatbus_runtime::Runtime;
use chatbus_runtime::settings::Values;
use chatbus_store::{Account as Row, Store};
use secrecy::SecretString;

use super::Finding;
use crate::process::secret_key;
use crate::registry;
use crate::settings::Core;

/// A token, and whether another can be had for it.
struct Held {
    token: SecretString,
    is_renewed: bool,
}

/// The accounts whose tokens are good, for the platforms that are looked at next.
#[derive(Debug, Default)]
pub(super) struct Good(Vec<(&'static str, &'static str, Credential)>);

impl AccountSource for Good {
    fn account(&self, platform: &'static str, identity: &'static str) -> Account {
        let known = self.0.iter().find(|good| (good.0, good.1) == (platform, identity));
        Account::fixed(known.map(|good| good.2.clone()).unwrap_or_default())
    }
}

/// Asks each platform of each account. Renews nothing: a running chatbus may be about to.
pub(super) async fn examine(
    values: &Values,
    core: &Core,
    store: Option<&Arc<dyn Store>>,
    runtime: &Runtime,
) -> (Vec<Finding>, Good) {
    let mut good = Good::default();
    let findings = look(values, core, store, runtime, &mut good).await;
    (findings, good)
}

async fn look(
    values: &Values,
    core: &Core,
    store: Option<&Arc<dyn Store>>,
    runtime: &Runtime,
    good: &mut Good,
) -> Vec<Finding> {
    let providers = match registry::providers(values) {
        Ok(providers) => providers,
        Err(problems) => return problems.iter().map(Finding::problem).collect(),
    };
    let Some(store) = store.filter(|_| !providers.is_empty()) else { return Vec::new() };
    let vault = match secret_key::vault(values, &core.data_dir, &*runtime.entropy) {
        Ok(vault) => vault,
        Err(problem) => return vec![Finding::problem(&problem)],
    };
    let rows = match store.accounts().await {
        Ok(rows) => rows,
        Err(error) => return vec![Finding::bad("accounts", error.to_string(), "check STORE_URL")],
    };
    let mut findings = Vec::new();
    for provider in providers {
        for (identity, wanted) in &provider.flow().identities {
            findings.push(account(&*provider, identity, wanted, &rows, &vault, values, good).await);
        }
    }
    findings
}

async fn account(
    provider: &dyn Provider,
    identity: &'static str,
    wanted: &[String],
    rows: &[Row],
    vault: &Vault,
    values: &Values,
    good: &mut Good,
) -> Finding {
    let platform = provider.platform();
    let name = format!("{platform} account {identity}");
    let log_in = format!("chatbus oauth login {platform} {identity}");
    let row = rows.iter().find(|row| row.platform == platform && row.identity == identity);
    let held = match row.map(|row| vault.open(platform, identity, &row.sealed)) {
        Some(Ok(opened)) => Some(Held {
            is_renewed: opened.record.refresh_token.is_some(),
            token: opened.record.access_token,
        }),
        Some(Err(error)) => {
            return Finding::bad(name, error.to_string(), "set the key that sealed it, or log in again");
        }
        None => registry::fallback_tokens(values)
            .into_iter()
            .find(|set| set.platform == platform && set.identity == identity)
            .map(|set| Held { token: set.token, is_renewed: false }),
    };
    let Some(held) = held else {
        return match identity {
            "bot" => Finding::bad(name, "nobody has logged in", log_in),
            _ => Finding::good(name, "nobody has logged in; nothing needs it"),
        };
    };
    let answer = provider.identify(&held.token).await;
    if let Ok(whose) = &answer {
        let known = Credential::ready(held.token, Some(whose.login.clone()), Some(whose.user_id.clone()));
        good.0.push((platform, identity, Credential { scopes: whose.scopes.clone(), ..known }));
    }
    told(name, answer, wanted, held.is_renewed, log_in)
}

fn told(
    name: String,
    answer: Result<Identity, ProviderError>,
    wanted: &[String],
    is_renewed: bool,
    log_in: String,
) -> Finding {
    match answer {
        Ok(whose) => {
            let lacks: Vec<_> =
                wanted.iter().filter(|scope| !whose.scopes.contains(scope)).cloned().collect();
            match lacks.is_empty() {
                true => Finding::good(name, format!("{}, with every scope", whose.login)),
                false => Finding::bad(
                    name,
                    format!("{} lacks the scopes {}", whose.login, lacks.join(" ")),
                    log_in,
                ),
            }
        }
        Err(ProviderError::Refused { .. }) if is_renewed => {
            Finding::good(name, "its token has ended; `chatbus serve` renews it")
        }
        Err(error @ ProviderError::Refused { .. }) => Finding::bad(name, error.to_string(), log_in),
        Err(error) => Finding::bad(name, error.to_string(), "check the network and run this again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_platform_says_of_a_token_is_good_or_says_how_to_mend_it() {
        let identity = |scopes: &[&str]| {
            Ok(Identity {
                user_id: "7".into(),
                login: "bot".into(),
                scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
                expires_in: None,
            })
        };
        let refused = || Err(ProviderError::Refused { code: "401".into(), message: "invalid".into() });
        let wanted = ["chat:read".to_owned(), "chat:edit".to_owned()];
        for (answer, is_renewed, ok, words) in [
            (identity(&["chat:edit", "chat:read"]), false, true, "every scope"),
            (identity(&["chat:read"]), true, false, "chat:edit"),
            (refused(), true, true, "renews it"),
            (refused(), false, false, "invalid"),
            (Err(ProviderError::Unavailable("no connection".into())), true, false, "no connection"),
        ] {
            let finding = told("a".into(), answer, &wanted, is_renewed, "log in".into());
            assert_eq!((finding.ok, finding.message.contains(words)), (ok, true), "{}", finding.message);
            assert_eq!(finding.mend.is_none(), ok);
        }
    }
}
