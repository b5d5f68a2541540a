//! What became of events.
