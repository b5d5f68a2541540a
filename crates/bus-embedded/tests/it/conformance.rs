//! The suite of every driver.

use crate::harness::EmbeddedHarness;

chatbus_bus::conformance_tests!(EmbeddedHarness::new());
