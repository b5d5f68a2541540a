//! The in-memory driver.

/// A bus that lives in the memory of one process.
#[derive(Debug)]
pub struct MemoryBus;
