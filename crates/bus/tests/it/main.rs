//! The in-memory driver and the handler loop, from outside.

mod conformance;
