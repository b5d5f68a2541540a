//! `cargo xtask new-platform NAME`: a crate for a platform, and the lines elsewhere that it needs.
//!
//! What it makes speaks a small JSON API to a fake of its own, and passes the conformance suite: a start that
//! works, in which the words of the real platform take the place of the made-up ones.

mod insert;
mod name;
mod template;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{layers, workspace};
use name::PlatformName;

const MANIFEST: &str = "Cargo.toml";
const BINARY_MANIFEST: &str = "crates/chatbus/Cargo.toml";
const REGISTRY: &str = "crates/chatbus/src/registry.rs";
const LAYERS: &str = "layers.toml";
const SETTINGS: &str = "docs/settings.md";

/// Everything that is going to be written: nothing is until all of it is known.
#[derive(Debug)]
struct Plan {
    /// New files and their text, relative to the root.
    new: Vec<(PathBuf, String)>,
    /// Files that are there, and their new text.
    changed: Vec<(&'static str, String)>,
}

/// Makes it; with `try_only` in a copy of the workspace, where it is built, linted and tested, and of which
/// nothing stays.
pub(crate) fn run(name: &str, try_only: bool) -> Result<bool> {
    let root = workspace::root();
    let name = PlatformName::parse(name)?;
    if try_only {
        return trial::run(&root, &name);
    }
    let plan = plan(&root, &name)?;
    write(&root, &plan)?;
    format(&root, &name)?;
    workspace::output(workspace::cargo().args(["update", "--workspace", "--offline", "--quiet"]))
        .context("the crate is made, and Cargo.lock does not have it")?;
    report(&name, &plan);
    Ok(true)
}

/// What there is to write.
///
/// # Errors
/// When there is such a platform, or its name means something else here.
fn plan(root: &Path, name: &PlatformName) -> Result<Plan> {
    let folder = name.folder();
    ensure!(!root.join(&folder).exists(), "{} is there already", folder.display());
    if let Some(setting) = name.setting_of_others(&read(root, SETTINGS)?) {
        bail!("the settings of {name} would stand among others: {setting} is there already");
    }
    let new = template::files(name).into_iter().map(|(file, text)| (folder.join(file), text)).collect();
    let package = name.package();
    let mut changed = vec![
        (
            MANIFEST,
            insert::into_family(
                &read(root, MANIFEST)?,
                &format!("{package} = {{ path = \"{}\" }}", folder.display()),
            )?,
        ),
        (
            BINARY_MANIFEST,
            insert::into_family(&read(root, BINARY_MANIFEST)?, &format!("{package}.workspace = true"))?,
        ),
        (REGISTRY, insert::into_registry(&read(root, REGISTRY)?, name)?),
    ];
    if layers::is_ordinary_word(root, name.as_str())? {
        changed.push((LAYERS, insert::ordinary_word(&read(root, LAYERS)?, name.as_str())?));
    }
    Ok(Plan { new, changed })
}

fn write(root: &Path, plan: &Plan) -> Result<()> {
    let new = plan.new.iter().map(|(file, text)| (file.as_path(), text));
    for (file, text) in new.chain(plan.changed.iter().map(|(file, text)| (Path::new(file), text))) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Names are of any length, and lines are not.
fn format(root: &Path, name: &PlatformName) -> Result<()> {
    let folder = root.join(name.folder());
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024"]);
    rustfmt.args([folder.join("src/lib.rs"), folder.join("tests/it/main.rs"), root.join(REGISTRY)]);
    workspace::output(&mut rustfmt).map(drop)
}

#[expect(clippy::print_stdout, reason = "a command of the developers' terminal")]
fn report(name: &PlatformName, plan: &Plan) {
    let (folder, package) = (name.folder(), name.package());
    let folder = folder.display();
    println!("{folder}: {} files", plan.new.len());
    for (file, _) in &plan.changed {
        println!("{file}: {}", insertion(file));
    }
    println!("Cargo.lock: the crate");
    println!(
        "\n\
         It works as it is, against a fake of its own:\n\
         \x20 cargo nextest run -p {package}\n\
         \n\
         Next, and docs/guides/add-a-platform.md says more of each:\n\
         \x20 {folder}/src/api.rs         what the platform speaks, in place of the made-up API\n\
         \x20 {folder}/tests/it/fake.rs   the same from the other side\n\
         \x20 {folder}/src/verdict.rs     each of its answers, with its test\n\
         \x20 {folder}/src/normalize.rs   what it tells of a message\n\
         \x20 {folder}/src/channel.rs     how its channels are called\n\
         \x20 {folder}/src/factory.rs     its settings; then cargo xtask docs\n\
         \x20 docs/{name}.md and a row in ARCHITECTURE.md"
    );
}

/// What is inserted into a file.
fn insertion(file: &str) -> &'static str {
    match file {
        REGISTRY => "its factory, and its name among those that events may use",
        LAYERS => "its name is a word that stands in other crates too, and the check does not look for it",
        _ => "the crate",
    }
}

fn read(root: &Path, file: &str) -> Result<String> {
    fs::read_to_string(root.join(file)).with_context(|| file.to_owned())
}

#[cfg(test)]
mod tests;
