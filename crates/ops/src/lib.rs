//! Health, readiness, metrics and the admin API.
