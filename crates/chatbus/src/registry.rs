//! The list of what can be configured: one line a bus, one line a platform.

use chatbus_bus::BusFactory;
use chatbus_connector::PlatformFactory;
use chatbus_delivery::{Platform, PlatformTable, Reach};

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
    vec![Box::new(chatbus_platform_twitch::Factory)]
}

/// The platforms that events may name, whether or not this build can serve them: an event for one that
/// is not served here waits for an instance that does, and never goes anywhere else.
pub(crate) fn platform_table() -> PlatformTable {
    PlatformTable::new([
        Platform { name: "twitch", aliases: &[], reach: Reach::Public },
        Platform { name: "discord", aliases: &[], reach: Reach::Public },
        Platform { name: "twilio", aliases: &[], reach: Reach::Direct },
        Platform { name: "websocket", aliases: &["api-gateway"], reach: Reach::Gateway },
    ])
}
