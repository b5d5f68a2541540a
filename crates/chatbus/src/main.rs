//! The `chatbus` command.
fn main() {}
