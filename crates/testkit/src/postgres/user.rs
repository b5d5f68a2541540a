//! As whom the server runs: PostgreSQL refuses to be root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

/// The user that the server runs as; `None` is whoever runs the test.
pub(super) struct ServerUser(Option<User>);

// === impl ServerUser ===

impl ServerUser {
    /// Root hands over to the user that comes with the package.
    pub(super) fn find() -> Self {
        if !geteuid().is_root() {
            return Self(None);
        }
        let user = User::from_name("postgres").ok().flatten();
        Self(Some(user.unwrap_or_else(|| super::fail("there is no user postgres: run scripts/setup"))))
    }

    /// A program that runs as that user.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            // Where the test runs may be closed to that user.
            command.current_dir("/");
        }
        command
    }

    /// Makes that user the owner.
    pub(super) fn give(&self, path: &Path) {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("root gives a file away");
        }
    }
}
