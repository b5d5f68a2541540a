//! Fake platforms on real sockets, for demos, bot developers and tests.
