//! Each service, made from the settings.

use std::sync::Arc;

use chatbus_auth::{Auth, AuthConfig};
use chatbus_event::Topic;
use chatbus_event_router::{Router, RouterConfig, RuleBook, RuleBookConfig};
use chatbus_llm_bot::{LlmBot, LlmConfig, PersonalityConfig};
use chatbus_ops::ReadinessCheck;
use chatbus_persistence::{Persistence, PersistenceConfig, sweep};
use chatbus_routing::{Compiler, DefaultRules};
use chatbus_runtime::settings::Problem;
use chatbus_store::{Store, Users};
use secrecy::SecretString;

use super::checks::BookCheck;
use super::refresh::Totals;
use super::{Ready, Service, With};
use crate::registry;
use crate::settings::Model;

/// Makes a service once the store is there.
pub(super) type Make = Box<dyn FnOnce(Arc<dyn Store>) -> Ready + Send>;

/// How a service is made, and what readiness asks of it.
pub(super) struct Plan {
    pub(super) make: Make,
    pub(super) checks: Vec<Arc<dyn ReadinessCheck>>,
}

/// `None` for a service that has nothing to do as it is configured.
///
/// # Errors
/// Every setting that is wrong.
pub(super) fn plan(service: Service, with: &With<'_>, totals: &Totals) -> Result<Option<Plan>, Vec<Problem>> {
    match service {
        Service::Auth => Ok(Some(auth(with))),
        Service::EventRouter => Ok(Some(event_router(with))),
        Service::LlmBot => match &with.core.services.model {
            Some(model) => llm_bot(with, model).map(Some),
            None => Ok(None),
        },
        Service::Persistence => Ok(Some(persistence(with, totals))),
    }
}

fn auth(with: &With<'_>) -> Plan {
    let mut config = AuthConfig::new(registry::platform_names());
    config.gateway = registry::GATEWAY_SOURCE.to_owned();
    config.ignored = with.core.services.ignored_users.iter().cloned().collect();
    let runtime = with.runtime.clone();
    let make = move |store: Arc<dyn Store>| {
        let handler = Auth::new(Arc::clone(&store) as Arc<dyn Users>, store, config, runtime);
        Ready { topics: vec![Topic::ingress()], handler: Arc::new(handler) }
    };
    Plan { make: Box::new(make), checks: Vec::new() }
}

/// The rules of files are there before the store is, which may take a while; the router waits for both.
fn event_router(with: &With<'_>) -> Plan {
    let services = &with.core.services;
    let defaults = DefaultRules {
        bot_name: services.bot_name.clone().or_else(|| with.login.clone()),
        has_llm: services.model.is_some(),
        commands: Vec::new(),
    };
    let (path, runtime) = (services.rules.clone(), with.runtime.clone());
    let source = format!("{}.{}", Service::EventRouter.as_str(), with.instance);
    let check = Arc::new(BookCheck::new(Service::EventRouter.as_str(), "rules"));
    let shown = Arc::clone(&check);
    let make = move |store: Arc<dyn Store>| {
        let config = RuleBookConfig { path, documents: Some(store), defaults, known_topics: Vec::new() };
        let book = Arc::new(RuleBook::new(config));
        let rules = book.rules();
        let asked = Arc::clone(&book);
        shown.ask(Box::new(move || asked.status()));
        runtime.spawn("event-router.rules", book.run(runtime.clone()));
        let router = Router::new(rules, RouterConfig { source, known_topics: Vec::new() });
        Ready { topics: vec![Topic::enriched()], handler: Arc::new(router) }
    };
    Plan { make: Box::new(make), checks: vec![check] }
}

fn llm_bot(with: &With<'_>, model: &Model) -> Result<Plan, Vec<Problem>> {
    let services = &with.core.services;
    let mut config = LlmConfig {
        base_url: model.base_url.clone(),
        api_key: model.api_key.clone().map(SecretString::from),
        model: model.name.clone(),
        timeout: model.timeout,
        personalities: PersonalityConfig {
            paths: services.personalities.iter().cloned().collect(),
            ..PersonalityConfig::default()
        },
        ..LlmConfig::default()
    };
    if let Some(prompt) = &model.system_prompt {
        config.system_prompt.clone_from(prompt);
    }
    // What is wrong with the settings is said at the start, not when the store is there.
    let wrong =
        |error: chatbus_llm_bot::ClientError| vec![Problem::new("OPENAI_BASE_URL", error.to_string())];
    LlmBot::new(config.clone(), None, with.runtime.clone()).map_err(wrong)?;
    let runtime = with.runtime.clone();
    let make = move |store: Arc<dyn Store>| {
        let topics = vec![Topic::llmbot()];
        match LlmBot::new(config, Some(store), runtime) {
            Ok(bot) => Ready { topics, handler: Arc::new(bot) },
            // It was made a moment ago from the same settings.
            Err(error) => {
                tracing::error!(event = "llm-bot.not_made", reason = %error, "the language model is not asked");
                Ready { topics: Vec::new(), handler: Arc::new(super::checks::Nothing) }
            }
        }
    };
    Ok(Plan { make: Box::new(make), checks: Vec::new() })
}

fn persistence(with: &With<'_>, totals: &Totals) -> Plan {
    let names = registry::platform_names();
    let mut config = PersistenceConfig::new(names.into_iter().chain([registry::GATEWAY_SOURCE]));
    config.ttl = with.core.services.ttl;
    let (runtime, counters) = (with.runtime.clone(), totals.persistence());
    let make = move |store: Arc<dyn Store>| {
        let sweeping = sweep(Arc::clone(&store), runtime.clone(), Arc::clone(&counters));
        runtime.spawn("persistence.sweep", sweeping);
        let handler = Persistence::new(store, config, runtime, counters);
        Ready { topics: Persistence::topics(), handler: Arc::new(handler) }
    };
    Plan { make: Box::new(make), checks: Vec::new() }
}

/// What is wrong with a rule.
pub(crate) fn check_rule(name: &str, text: &str) -> Result<(), String> {
    let compiled = Compiler::default().stored_rules(name, name, text);
    compiled.map(drop).map_err(|problems| chatbus_routing::list(&problems))
}

/// What is wrong with a personality.
pub(crate) fn check_personality(name: &str, text: &str) -> Result<(), String> {
    chatbus_llm_bot::check_personality(text).map_err(|why| format!("{name}: {why}"))
}
