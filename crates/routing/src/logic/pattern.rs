//! Regular expressions of conditions. The engine's time is linear in the text, so a hostile text cannot make a
//! pattern slow; size and length are bounded, so neither can a hostile pattern.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1_000;
/// What a compiled pattern, and what it remembers while it runs, may take.
const MAX_COMPILED_BYTES: usize = 256 * 1024;
/// How deep a pattern may be.
const MAX_NESTING: u32 = 32;
/// Patterns that are known only when they run are remembered up to this many; then all are forgotten.
const MAX_CACHED: usize = 64;

/// A pattern that a condition always asks with.
#[derive(Debug)]
pub(super) struct Pattern(pub(super) Regex);

/// Patterns that conditions compute, or read from events.
#[derive(Debug, Default)]
pub(super) struct PatternCache(Mutex<HashMap<String, Option<Regex>>>);

/// Compiles a pattern; the flags are those of JavaScript that do not depend on what was asked before.
pub(super) fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("a pattern of over {MAX_PATTERN_BYTES} bytes"));
    }
    let mut builder = RegexBuilder::new(pattern);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            // Patterns are of Unicode anyway, and one answer needs no search for all.
            'u' | 'g' => &mut builder,
            other => return Err(format!("unknown flag {other:?}; known are i m s u g")),
        };
    }
    builder
        .size_limit(MAX_COMPILED_BYTES)
        .dfa_size_limit(MAX_COMPILED_BYTES)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| format!("not a pattern: {error}"))
}

// === impl PatternCache ===

impl PatternCache {
    /// Whether the pattern is found in the text; one that cannot be compiled is not.
    pub(super) fn is_found(&self, text: &str, pattern: &str, flags: &str) -> bool {
        if pattern.len() > MAX_PATTERN_BYTES || flags.len() > 8 {
            return false;
        }
        let key = format!("{flags}/{pattern}");
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let compiled = known.unwrap_or_else(|| {
            let compiled = compile(pattern, flags).ok();
            let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            cache.insert(key, compiled.clone());
            compiled
        });
        compiled.is_some_and(|compiled| compiled.is_match(text))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
