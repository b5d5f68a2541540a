//! Real protocol lines, where they are: `$CHATBUS_CORPUS`, else `../shared/corpus` beside the
//! checkout. A test without them says so, because they are no part of the repository.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The folder of the corpus.
#[derive(Debug)]
pub(crate) struct Corpus(PathBuf);

// === impl Corpus ===

impl Corpus {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment")]
    pub(crate) fn find() -> Option<Self> {
        let beside = || {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
            root.join("../shared/corpus")
        };
        let folder = std::env::var_os("CHATBUS_CORPUS").map_or_else(beside, PathBuf::from);
        if folder.join("twitch-irc.txt").is_file() {
            return Some(Self(folder));
        }
        println!("absent: the corpus at {}; set CHATBUS_CORPUS", folder.display());
        None
    }

    /// The lines of a text file, without their ends.
    pub(crate) fn lines(&self, file: &str) -> Vec<Vec<u8>> {
        let bytes = std::fs::read(self.0.join(file)).unwrap();
        let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// The rows of a JSON lines file.
    pub(crate) fn rows(&self, file: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap();
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A line as the sandbox's control API takes any bytes.
    pub(crate) fn hex(line: &[u8]) -> Value {
        json!({ "hex": line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
    }
}
