//! The store on real databases: the promises of every store, and those that only a database can break.

#[cfg(test)]
mod kill;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod sqlite;
