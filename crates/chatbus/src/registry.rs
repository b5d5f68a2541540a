//! The list of what can be configured: one line a bus, one line a platform.

mod state;

use std::path::Path;
use std::sync::Arc;

use chatbus_bus::{BusFactory, OpenContext, OpenError, Opened, StateReach};
use chatbus_connector::{BuildContext, PlatformFactory};
use chatbus_delivery::{Platform, PlatformTable, Reach};
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_oauth::Provider;
use chatbus_runtime::settings::{Problem, Values};
use chatbus_runtime::{Runtime, SystemClock};
use chatbus_store::{Store, StoreError};
use secrecy::SecretString;

/// Every bus driver.
pub(crate) fn buses() -> Vec<Box<dyn BusFactory>> {
    vec![
        Box::new(chatbus_bus_embedded::Factory),
        Box::new(chatbus_bus_nats::Factory),
        Box::new(chatbus_bus::MemoryFactory),
    ]
}

/// Every platform.
pub(crate) fn platforms() -> Vec<Box<dyn PlatformFactory>> {
    vec![
        Box::new(chatbus_platform_twitch::Factory),
        Box::new(chatbus_platform_discord::Factory),
        Box::new(chatbus_platform_twilio::Factory),
        Box::new(chatbus_platform_playground::Factory),
        Box::new(chatbus_platform_webhook::Factory),
    ]
}

/// Every platform whose accounts log in, as far as it is configured.
///
/// # Errors
/// What is wrong with its settings.
pub(crate) fn providers(values: &Values) -> Result<Vec<Arc<dyn Provider>>, Vec<Problem>> {
    let twitch = chatbus_platform_twitch::oauth::provider(values)?;
    Ok(twitch.into_iter().collect())
}

/// A token that is a setting.
pub(crate) struct SetToken {
    pub(crate) platform: &'static str,
    pub(crate) identity: &'static str,
    pub(crate) token: SecretString,
    pub(crate) login: Option<String>,
}

/// Tokens that are used while nobody has logged in.
pub(crate) fn fallback_tokens(values: &Values) -> Vec<SetToken> {
    let token = values.text("TWITCH_BOT_ACCESS_TOKEN").map(str::trim).filter(|token| !token.is_empty());
    let twitch = token.map(|token| SetToken {
        platform: "twitch",
        identity: "bot",
        token: token.strip_prefix("oauth:").unwrap_or(token).into(),
        login: values.text("TWITCH_BOT_USERNAME").map(|login| login.trim().to_lowercase()),
    });
    twitch.into_iter().collect()
}

/// Adds what the chosen bus and the platforms have against the settings, so that one look shows
/// everything that is wrong. A setting that was named already is left out: it was judged by the
/// value it has instead.
pub(crate) fn add_problems(values: &Values, problems: &mut Vec<Problem>) {
    let Ok(instance) = InstanceId::parse("check") else { return };
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext::alone(instance, egress, Shape::default(), Arc::new(SystemClock));
    let of_platforms =
        platforms().into_iter().flat_map(|platform| platform.build(values, &cx).err().unwrap_or_default());
    let found: Vec<Problem> = bus_problems(values).into_iter().chain(of_platforms).collect();
    let known: Vec<String> = problems.iter().map(|problem| problem.setting.clone()).collect();
    problems.extend(found.into_iter().filter(|problem| !known.contains(&problem.setting)));
}

/// What the chosen bus has against the settings, and against the state beside it.
pub(crate) fn bus_problems(values: &Values) -> Vec<Problem> {
    let all = buses();
    let driver = values.text("MESSAGE_BUS_DRIVER");
    let Some(bus) = all.iter().find(|bus| Some(bus.driver()) == driver) else { return Vec::new() };
    let mut problems = bus.check(values);
    problems.extend(state::problem(values, &**bus, &all));
    problems
}

/// Whose the shared state is; `None` when there is no such driver.
pub(crate) fn state_reach(values: &Values) -> Option<StateReach> {
    let all = buses();
    let driver = values.text("MESSAGE_BUS_DRIVER");
    let bus = all.iter().find(|bus| Some(bus.driver()) == driver)?;
    Some(state::reach(values, &**bus, &all))
}

/// Opens the bus of this driver, and the shared state that STATE_URL names or the bus brings.
///
/// # Errors
/// When there is no such driver, or it can never work as configured.
pub(crate) async fn open_bus(
    values: &Values,
    driver: &str,
    cx: OpenContext,
) -> Result<(Opened, &'static str), OpenError> {
    let all = buses();
    let Some(bus) = all.iter().find(|bus| bus.driver() == driver) else {
        let problem = Problem::new("MESSAGE_BUS_DRIVER", "there is no such driver");
        return Err(OpenError::Configuration(problem));
    };
    let instead =
        state::instead(values, &**bus, &all, &cx.runtime.clock).map_err(OpenError::Configuration)?;
    let mut opened = bus.open(values, cx).await?;
    if let Some(state) = instead {
        tracing::warn!(
            event = "process.state_forgets",
            "gateway tokens and the ledger end with this process (STATE_URL)"
        );
        opened.state = state;
    }
    Ok((opened, bus.driver()))
}

/// Opens the store that STORE_URL names.
///
/// # Errors
/// [`Misconfigured`](chatbus_store::StoreErrorKind::Misconfigured) when it can never be opened so; else when it is
/// out of reach.
pub(crate) async fn open_store(
    url: &str,
    data_dir: &Path,
    runtime: &Runtime,
) -> Result<Arc<dyn Store>, StoreError> {
    chatbus_store_sql::open(url, &data_dir.join("store.sqlite"), runtime.clone()).await
}

/// The names of the platforms of this build.
pub(crate) fn platform_names() -> Vec<&'static str> {
    platforms().iter().map(|factory| factory.platform()).collect()
}

/// The gateway's name in the source of its events.
pub(crate) const GATEWAY_SOURCE: &str = "api-gateway";

/// The gateway's name among the platforms.
pub(crate) const GATEWAY: &str = "websocket";

/// The platforms that events may name, whether or not this build can serve them: an event for one that
/// is not served here waits for an instance that does, and never goes anywhere else.
pub(crate) fn platform_table() -> PlatformTable {
    PlatformTable::new([
        Platform { name: "twitch", aliases: &[], reach: Reach::Public },
        Platform { name: "discord", aliases: &[], reach: Reach::Public },
        Platform { name: "twilio", aliases: &[], reach: Reach::Direct },
        Platform { name: chatbus_platform_playground::PLATFORM, aliases: &[], reach: Reach::Public },
        Platform { name: chatbus_platform_webhook::PLATFORM, aliases: &[], reach: Reach::Public },
        Platform { name: GATEWAY, aliases: &["api-gateway"], reach: Reach::Gateway },
    ])
}
