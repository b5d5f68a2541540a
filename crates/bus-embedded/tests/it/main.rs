//! The embedded bus from outside: the promises of every bus, and those that only a disk can break.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod opening;
mod scanning;
#[cfg(test)]
mod state;
