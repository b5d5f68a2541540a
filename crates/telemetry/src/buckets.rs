//! Histogram buckets.

/// From a tenth of a millisecond (a hop in one process) to a minute (a delivery's deadline).
pub(crate) const STAGE_SECONDS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];
