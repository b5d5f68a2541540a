//! The list of what can be configured: one line a bus, one line a platform.

use std::sync::Arc;

use chatbus_bus::BusFactory;
use chatbus_connector::{BuildContext, PlatformFactory};
use chatbus_delivery::{Platform, PlatformTable, Reach};
use chatbus_event::{InstanceId, Shape, Topic};
use chatbus_runtime::SystemClock;
use chatbus_runtime::settings::{Problem, Values};

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
    vec![Box::new(chatbus_platform_twitch::Factory), Box::new(chatbus_platform_playground::Factory)]
}

/// Adds what the chosen bus and the platforms have against the settings, so that one look shows
/// everything that is wrong. A setting that was named already is left out: it was judged by the
/// value it has instead.
pub(crate) fn add_problems(values: &Values, problems: &mut Vec<Problem>) {
    let Ok(instance) = InstanceId::parse("check") else { return };
    let egress = Topic::egress_of(&instance);
    let cx = BuildContext { instance, egress, shape: Shape::default(), clock: Arc::new(SystemClock) };
    let driver = values.text("MESSAGE_BUS_DRIVER");
    let of_buses =
        buses().into_iter().filter(|bus| Some(bus.driver()) == driver).flat_map(|bus| bus.check(values));
    let of_platforms =
        platforms().into_iter().flat_map(|platform| platform.build(values, &cx).err().unwrap_or_default());
    let found: Vec<Problem> = of_buses.chain(of_platforms).collect();
    let known: Vec<String> = problems.iter().map(|problem| problem.setting.clone()).collect();
    problems.extend(found.into_iter().filter(|problem| !known.contains(&problem.setting)));
}

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
        Platform { name: GATEWAY, aliases: &["api-gateway"], reach: Reach::Gateway },
    ])
}
