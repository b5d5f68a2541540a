//! A new platform in a copy of the workspace: that it builds, passes the linter and the layer check, and its
//! own tests, before anybody has changed a line of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{PlatformName, format, plan, write};
use crate::workspace;

/// Each step's name, and what cargo is told.
const STEPS: [(&str, &[&str]); 5] = [
    ("format", &["fmt", "--package", "PACKAGE", "--", "--check"]),
    (
        "lint",
        &["clippy", "--offline", "--quiet", "--package", "PACKAGE", "--all-targets", "--", "-Dwarnings"],
    ),
    ("test", &["test", "--offline", "--quiet", "--package", "PACKAGE"]),
    ("the binary", &["check", "--offline", "--quiet", "--package", "chatbus"]),
    ("layers", &["run", "--offline", "--quiet", "--package", "xtask", "--", "layers"]),
];

/// True when every step passes.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
pub(super) fn run(root: &Path, name: &PlatformName) -> Result<bool> {
    let copy = tempfile::tempdir()?;
    copy_sources(root, copy.path())?;
    write(copy.path(), &plan(copy.path(), name)?)?;
    format(copy.path(), name)?;
    for (step, arguments) in STEPS {
        println!("new-platform {name}: {step}");
        let package = name.package();
        let arguments = arguments.iter().map(|text| if *text == "PACKAGE" { &*package } else { text });
        let status = cargo_in(copy.path(), root).args(arguments).status()?;
        if !status.success() {
            println!("new-platform {name}: {step} failed");
            return Ok(false);
        }
    }
    println!("new-platform {name}: it builds and keeps every promise of a platform");
    Ok(true)
}

/// Cargo in the copy, with the target folder of the workspace: what is built there is built once.
#[expect(clippy::disallowed_methods, reason = "where cargo builds is said in its environment")]
fn cargo_in(copy: &Path, root: &Path) -> Command {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut cargo = workspace::cargo();
    cargo.current_dir(copy).env("CARGO_TARGET_DIR", target);
    cargo
}

/// All files that git knows or would, as they are on disk.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(from).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = workspace::output(&mut git)?;
    for file in listed.split('\0').filter(|file| !file.is_empty() && from.join(file).is_file()) {
        let path = to.join(file);
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        fs::copy(from.join(file), &path).with_context(|| file.to_owned())?;
    }
    Ok(())
}
