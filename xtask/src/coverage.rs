//! `cargo xtask coverage`: which lines the tests of three packages run, held against floors.
//!
//! Only lines of production code count: a test module runs all its own lines and would flatter
//! the file it stands in.

mod lcov;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::{rust, workspace};
use lcov::Lines;

/// A part of the workspace and the least share of its lines that tests must run.
struct Floor {
    name: &'static str,
    package: &'static str,
    /// What the paths of its files begin with, from the root.
    files: &'static str,
    percent: usize,
}

const FLOORS: [Floor; 3] = [
    Floor { name: "event", package: "event", files: "crates/event/src/", percent: 90 },
    Floor {
        name: "Twitch builder",
        package: "platform-twitch",
        files: "crates/platform-twitch/src/normalize",
        percent: 90,
    },
    Floor { name: "ingress publisher", package: "ingress", files: "crates/ingress/src/", percent: 90 },
];

/// True when every part is at or above its floor.
#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
pub(crate) fn run() -> Result<bool> {
    let root = workspace::root();
    let installed = Command::new("bash").arg(root.join("scripts/setup")).arg("coverage").status()?;
    ensure!(installed.success(), "scripts/setup coverage failed");

    let (report, passed) = measure(&root)?;
    let mut files = Vec::new();
    for floor in &FLOORS {
        for file in rust::production_files(&root.join("crates").join(floor.package))? {
            let name = file.strip_prefix(&root).unwrap_or(&file).to_owned();
            let source = fs::read_to_string(&file)?;
            let counted = report.get(&file).map(|lines| lcov::count(lines, &rust::production(&source).text));
            // A file without a line that can run (declarations only) is not in the report.
            files.extend(counted.map(|counted| (name, counted)));
        }
    }

    for (name, counted) in &files {
        println!("{:>8}  {:>5}/{:<5}  {}", counted.percent(), counted.run, counted.all, name.display());
    }
    if !passed {
        println!("coverage: tests failed under instrumentation");
    }
    let mut reached = passed;
    for floor in &FLOORS {
        let inside = |name: &Path| name.to_string_lossy().starts_with(floor.files);
        let total: lcov::Counted =
            files.iter().filter(|(name, _)| inside(name)).map(|(_, counted)| *counted).sum();
        let enough = total.reaches(floor.percent);
        let verdict = if enough { "reached" } else { "NOT REACHED" };
        println!(
            "coverage of {}: {} of {} lines, floor {} %: {verdict}",
            floor.name,
            total.percent(),
            total.all,
            floor.percent
        );
        reached &= enough;
    }
    Ok(reached)
}

/// Builds and runs the tests; how often each line of each file ran, and whether all tests passed.
fn measure(root: &Path) -> Result<(Lines, bool)> {
    let tools = root.join(".tools/llvm");
    let folder = root.join("target/coverage");
    let profiles = folder.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles)?;
    }
    fs::create_dir_all(&profiles)?;

    let mut build = tests(root, &profiles);
    build.args(["--no-run", "--quiet", "--message-format", "json-render-diagnostics"]);
    let programs = executables(&workspace::output(&mut build)?)?;
    ensure!(!programs.is_empty(), "cargo built no tests");
    let ran = tests(root, &profiles).args(["--quiet", "--no-fail-fast"]).status()?;

    let merged = folder.join("merged.profdata");
    let written =
        fs::read_dir(&profiles)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    let mut merge = Command::new(tools.join("llvm-profdata"));
    workspace::output(merge.args(["merge", "--sparse", "-o"]).arg(&merged).args(&written))?;

    let mut export = Command::new(tools.join("llvm-cov"));
    export.args(["export", "--format=lcov", "--skip-functions"]).arg("--instr-profile").arg(&merged);
    for program in &programs {
        export.arg("--object").arg(program);
    }
    let lines = lcov::parse(&workspace::output(&mut export)?).context("the report of llvm-cov")?;
    Ok((lines, ran.success()))
}

/// `cargo test` for the packages of all floors, instrumented. Only crates of this workspace are:
/// everything else comes from the ordinary build in the same target folder.
fn tests(root: &Path, profiles: &Path) -> Command {
    let mut command = workspace::cargo();
    command.args(["test", "--tests"]);
    for package in FLOORS.iter().map(|floor| floor.package).collect::<BTreeSet<_>>() {
        command.args(["--package", &format!("chatbus-{package}")]);
    }
    command.env("RUSTC_WORKSPACE_WRAPPER", root.join("scripts/lib/rustc-coverage"));
    // Processes of one program share a file, which the runtime merges as it writes.
    command.env("LLVM_PROFILE_FILE", profiles.join("%4m.profraw"));
    command
}

#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
}

/// The test programs among cargo's messages, one JSON object a line.
fn executables(messages: &str) -> Result<Vec<PathBuf>> {
    let artifacts = messages.lines().map(serde_json::from_str::<Artifact>);
    let programs = artifacts.filter_map(|artifact| artifact.map(|artifact| artifact.executable).transpose());
    programs.collect::<Result<_, _>>().context("cargo's messages")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_programs_are_those_with_an_executable() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/a\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executables(messages).expect("parsed"), [PathBuf::from("/t/a")]);
        assert!(executables("warning: no JSON").is_err());
    }
}
