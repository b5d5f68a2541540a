//! What is wrong with a rule or a policy, and where it stands.

use std::fmt;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// The file or document it stands in.
    pub file: String,
    /// The rule's id, or its place where it has none.
    pub rule: Option<String>,
    /// The field, as a path such as `enrichments.candidates[0].text`; empty for the whole.
    pub field: String,
    /// What is wrong, for people.
    pub message: String,
}

/// Where mistakes are collected while something is read.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    rule: Option<String>,
    found: Vec<Problem>,
}

/// Who reads a list of mistakes mends the first of them.
const MAX_PROBLEMS: usize = 100;

/// Mistakes as one text, a line each.
pub fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if let Some(rule) = &self.rule {
            write!(f, "rule {rule:?}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn of(file: &str) -> Self {
        Self { file: file.to_owned(), rule: None, found: Vec::new() }
    }

    /// What is said from here on is about this rule.
    pub(crate) fn about(&mut self, rule: impl Into<String>) {
        self.rule = Some(rule.into());
    }

    /// The same for an item of a list: by its id where it has one, else by its place.
    pub(crate) fn about_item(&mut self, item: &serde_json::Value, at: usize) {
        let id = item.get("id").and_then(serde_json::Value::as_str).filter(|id| !id.is_empty());
        self.about(id.map_or_else(|| format!("#{}", at + 1), |id| id.chars().take(100).collect()));
    }

    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        if self.found.len() < MAX_PROBLEMS {
            let (file, rule) = (self.file.clone(), self.rule.clone());
            self.found.push(Problem { file, rule, field: field.into(), message: message.into() });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The value, unless anything was wrong.
    pub(crate) fn result<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.is_empty() { Ok(value) } else { Err(self.found) }
    }
}
