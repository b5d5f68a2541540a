//! It keeps every promise of a platform, and of one that is called.

chatbus_connector::conformance_tests!(crate::rig::WebhookRig::start().await, webhook);
