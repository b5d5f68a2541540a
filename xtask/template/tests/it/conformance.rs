//! It keeps every promise of a platform.

chatbus_connector::conformance_tests!(crate::rig::__Platform__Rig::start().await);
