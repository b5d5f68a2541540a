//! The files of a new platform's crate: those of `xtask/template`, with its name in place of the placeholders.

use super::name::PlatformName;

macro_rules! template {
    ($($file:literal)*) => {
        [$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/template/", $file)))),*]
    };
}

const TEMPLATE: [(&str, &str); 14] = template![
    "Cargo.toml"
    "src/api.rs"
    "src/channel.rs"
    "src/connector.rs"
    "src/factory.rs"
    "src/lib.rs"
    "src/normalize.rs"
    "src/sink.rs"
    "src/verdict.rs"
    "tests/it/conformance.rs"
    "tests/it/fake.rs"
    "tests/it/main.rs"
    "tests/it/reading.rs"
    "tests/it/rig.rs"
];

/// Each file, relative to the crate, and its text.
pub(super) fn files(name: &PlatformName) -> Vec<(&'static str, String)> {
    let fill = |text: &str| {
        text.replace("__platform__", name.as_str())
            .replace("__PLATFORM__", &name.upper())
            .replace("__Platform__", &name.camel())
    };
    TEMPLATE.iter().map(|(file, text)| (*file, fill(text))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_template_is_made_and_no_placeholder_is_left() {
        let made = files(&PlatformName::parse("irc2").expect("a name"));
        for (file, text) in &made {
            assert!(!text.to_lowercase().contains("__platform"), "{file}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
        let there: BTreeSet<String> = ["", "src", "tests/it"]
            .iter()
            .flat_map(|inner| {
                fs::read_dir(folder.join(inner)).expect("the template").map(|entry| entry.expect("an entry"))
            })
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.path().strip_prefix(&folder).expect("inside").display().to_string())
            .collect();
        assert_eq!(there, made.iter().map(|(file, _)| (*file).to_owned()).collect());
    }
}
