//! Keepers against a token server, over one store and one shared state.
