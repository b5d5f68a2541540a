//! The gateway: one reader for each shard.

pub(crate) mod backfill;
pub(crate) mod life;
pub(crate) mod note;
pub(crate) mod reader;
pub(crate) mod start;
