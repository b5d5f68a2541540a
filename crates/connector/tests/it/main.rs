//! The conformance suite against a platform in memory: one without a fault passes, and each fault is found.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod faults;
mod model;

mod faultless {
    chatbus_connector::conformance_tests!(crate::model::Model::new(None), webhook);
}
