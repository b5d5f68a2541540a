//! The router as the bus calls it, and its books over real files.
#![cfg(test)]

mod book;
mod documents;
mod policy;
mod router;
mod tools;

use std::path::Path;
use std::time::Duration;

use chatbus_event::Timestamp;

/// No wait of these tests takes longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Writes a file so that its time differs from what stood there before, however coarse the file system's clock.
fn write(path: &Path, text: &str) {
    let before = std::fs::metadata(path).ok().and_then(|about| about.modified().ok());
    std::fs::write(path, text).unwrap();
    if let Some(before) = before {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(before + Duration::from_secs(2)).unwrap();
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2025-11-21T17:02:00Z").unwrap()
}
