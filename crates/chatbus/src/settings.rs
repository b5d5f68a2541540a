//! The settings of the whole program: the core's own, the drivers', the platforms'.

mod access;
mod core;
mod document;
mod file;
mod load;
mod services;

pub(crate) use access::{Access, Origins};
pub(crate) use core::Core;
pub(crate) use document::{json_schema, markdown};
pub(crate) use load::{Environment, load};
pub(crate) use services::{Model, Services};

use chatbus_runtime::settings::SettingSpec;

use crate::registry;

/// Every setting, in the order in which the documentation shows them.
pub(crate) fn all() -> Vec<SettingSpec> {
    let mut specs = core::SPECS.to_vec();
    specs.extend_from_slice(access::SPECS);
    specs.extend_from_slice(services::SPECS);
    for bus in registry::buses() {
        specs.extend_from_slice(bus.settings());
    }
    for platform in registry::platforms() {
        specs.extend_from_slice(platform.settings());
    }
    specs
}
