//! The embedded bus from outside: the promises of every bus, and those that only a disk can break.

mod conformance;
mod disk;
mod harness;
mod kill;
mod opening;
