//! The contract of stores, on the driver that lives in memory.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod switches;
