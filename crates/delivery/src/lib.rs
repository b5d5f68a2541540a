//! The egress engine: one outcome for every event that asks to be said.
