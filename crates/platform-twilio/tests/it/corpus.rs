//! Where the public test data lies.

use std::path::PathBuf;

use serde_json::Value;

/// The JSON files of a folder of the corpus, by name; says so and gives none where it is not beside the checkout.
pub(crate) fn files(folder: &str) -> Vec<(String, Value)> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
    let root = std::env::var_os("CHATBUS_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join("twilio").join(folder);
    let Ok(entries) = std::fs::read_dir(&path) else {
        println!("the corpus is absent: {} is not there", path.display());
        return Vec::new();
    };
    let mut files: Vec<(String, Value)> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}
