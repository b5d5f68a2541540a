//! The smallest bot.
fn main() {}
