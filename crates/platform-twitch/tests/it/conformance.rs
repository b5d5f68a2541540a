//! It keeps every promise of a platform, by whichever way it speaks, and of one that is called.

mod called;
mod helix;
mod irc;
mod stage;
mod whispers;
