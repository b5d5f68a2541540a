//! What happened, in order, for people.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::clock::now;

/// What happened, in order. Cheap to clone; says nothing when nobody listens.
#[derive(Debug, Clone)]
pub(crate) struct Trace(Option<Arc<Lines>>);

#[derive(Debug)]
struct Lines {
    start: Instant,
    text: Mutex<String>,
}

// === impl Trace ===

impl Trace {
    pub(crate) fn new(start: Instant, listens: bool) -> Self {
        Self(listens.then(|| Arc::new(Lines { start, text: Mutex::default() })))
    }

    pub(crate) fn say(&self, who: &str, what: impl FnOnce() -> String) {
        let Some(lines) = &self.0 else { return };
        let at = now().saturating_duration_since(lines.start).as_secs_f64();
        let mut text = lines.text.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(text, "{at:9.3} {who:8} {}", what());
    }

    pub(crate) fn text(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |lines| {
            lines.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}
