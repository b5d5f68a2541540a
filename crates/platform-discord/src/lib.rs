//! Discord as a platform.
