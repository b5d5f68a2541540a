//! Against copies of the workspace's own files.

use super::*;

/// A workspace with the files that are changed, and nothing else.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for file in [MANIFEST, BINARY_MANIFEST, REGISTRY, LAYERS, SETTINGS] {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::copy(workspace::root().join(file), to).expect("copied");
    }
    folder
}

fn made(root: &Path, name: &str) -> Result<Plan> {
    plan(root, &PlatformName::parse(name)?)
}

#[test]
fn a_platform_is_one_new_crate_and_four_lines() {
    let folder = copy();
    let plan = made(folder.path(), "irc2").expect("planned");
    write(folder.path(), &plan).expect("written");
    assert!(folder.path().join("crates/platform-irc2/src/verdict.rs").is_file());
    let files: Vec<&str> = plan.changed.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, [MANIFEST, BINARY_MANIFEST, REGISTRY]);
    for (file, words) in [
        (MANIFEST, &["\nchatbus-platform-irc2 = { path = \"crates/platform-irc2\" }\n"][..]),
        (BINARY_MANIFEST, &["\nchatbus-platform-irc2.workspace = true\n"]),
        (REGISTRY, &["chatbus_platform_irc2::Factory", "chatbus_platform_irc2::PLATFORM"]),
    ] {
        let before = read(&workspace::root(), file).expect("read");
        let after = read(folder.path(), file).expect("read");
        assert!(words.iter().all(|word| after.contains(word)), "{file}: {after}");
        let gone =
            before.lines().filter(|line| !after.contains(line.trim_end_matches([']', ' ', ',']))).count();
        assert_eq!(gone, 0, "lines of {file} are lost");
    }
}

#[test]
fn what_is_there_is_refused_and_nothing_is_written() {
    let folder = copy();
    write(folder.path(), &made(folder.path(), "irc2").expect("planned")).expect("written");
    for (name, why) in
        [("irc2", "is there already"), ("nats", "NATS_URL"), ("../x", "no name"), ("dm", "else")]
    {
        let refused = made(folder.path(), name).expect_err(name).to_string();
        assert!(refused.contains(why), "{name}: {refused}");
        assert!(name == "irc2" || !folder.path().join(format!("crates/platform-{name}")).exists());
    }
}
