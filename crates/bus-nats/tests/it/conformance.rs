//! The suite that every driver passes.

use crate::harness::NatsHarness;

chatbus_bus::conformance_tests!(NatsHarness::new().await, outage, third_party);
