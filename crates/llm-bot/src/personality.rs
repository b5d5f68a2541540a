//! Personalities: texts that say how the model is to speak, asked for by annotations.

mod files;
mod library;
mod sheet;
mod wish;

pub(crate) use library::Library;
pub(crate) use wish::Wish;
