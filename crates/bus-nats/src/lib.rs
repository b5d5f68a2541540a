//! The NATS JetStream bus.
