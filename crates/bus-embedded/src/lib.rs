//! The embedded bus: durable, one process, nothing installed.
