//! The in-memory driver from outside; leases, mirrors and views on it.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod flaky;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod mirrors;
#[cfg(test)]
mod views;
