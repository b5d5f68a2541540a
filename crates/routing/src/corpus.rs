//! Where the public test data lies, for tests that read it in place.

use std::path::PathBuf;

/// A folder or file of the corpus; says so and gives `None` where there is none beside the checkout.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told where its data lies")]
    let root = std::env::var_os("CHATBUS_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus"),
        PathBuf::from,
    );
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("the corpus is absent: {} is not there", path.display());
    None
}
