//! The in-memory driver from outside; leases, mirrors and views on it.

#[cfg(test)]
mod conformance;
