//! Where the workspace is, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace: the nearest folder from here up that has a `layers.toml`. Not where this
/// program was built: two checkouts may share a target folder.
pub(crate) fn root() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().find(|folder| folder.join("layers.toml").is_file());
    found.unwrap_or(Path::new(".")).to_owned()
}

/// The same cargo that runs this program.
#[expect(clippy::disallowed_methods, reason = "cargo names itself in the environment of what it runs")]
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The binary: the one that `CHATBUS_BIN` names, else built now.
#[expect(clippy::disallowed_methods, reason = "CI has built it already and says where")]
pub(crate) fn chatbus() -> Command {
    if let Some(built) = std::env::var_os("CHATBUS_BIN") {
        let mut command = Command::new(built);
        command.current_dir(root());
        return command;
    }
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "chatbus", "--"]);
    command
}

/// What a command prints. An error when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} prints no UTF-8"))
}
