//! Texts with places to fill in: `{{path.to.member}}`, and nothing else. No code, no loops, no HTML.

use datalogic_rs::DataValue;
use serde_json::{Map, Value};

use crate::view::{get, text_of};

/// The longest text that a template gives, in characters; what is beyond is cut off.
pub const MAX_RENDERED_CHARS: usize = 4_000;
/// The deepest path.
const MAX_PATH: usize = 16;
/// Places of one template.
const MAX_PLACES: usize = 100;

/// A template, read once. What is filled in is never read as a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Vec<String>),
}

// === impl Template ===

impl Template {
    /// Reads a template. `{{{path}}}` and `{{&path}}` are the same as `{{path}}`: nothing is escaped anyway.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (inner, after) = match after.strip_prefix('{') {
                Some(after) => after.split_once("}}}"),
                None => after.split_once("}}"),
            }
            .ok_or("{{ without }}")?;
            parts.push(Part::Place(path(inner)?));
            if parts.len() > 2 * MAX_PLACES {
                return Err(format!("over {MAX_PLACES} places"));
            }
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }

    /// Whether there is anything to fill in.
    pub(crate) fn is_constant(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The text with every place filled in from the event, else from `own`; nothing where neither has it.
    pub(crate) fn render(&self, event: &DataValue<'_>, own: &Map<String, Value>) -> String {
        let mut out = String::new();
        let mut left = MAX_RENDERED_CHARS;
        for part in &self.0 {
            match part {
                Part::Text(text) => push(&mut out, text, &mut left),
                Part::Place(path) => fill(&mut out, path, event, own, &mut left),
            }
            if left == 0 {
                break;
            }
        }
        out
    }
}

fn path(inner: &str) -> Result<Vec<String>, String> {
    let inner = inner.trim();
    let inner = inner.strip_prefix('&').map_or(inner, str::trim);
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | ':'))
    };
    let parts: Vec<&str> = inner.split('.').collect();
    if parts.len() > MAX_PATH {
        return Err(format!("a path of over {MAX_PATH} parts"));
    }
    if parts.iter().all(|part| is_name(part)) {
        return Ok(parts.into_iter().map(str::to_owned).collect());
    }
    let shown: String = inner.chars().take(60).collect();
    Err(format!("{shown:?} is no path such as user.displayName; there are no sections and no code"))
}

fn fill(
    out: &mut String,
    path: &[String],
    event: &DataValue<'_>,
    own: &Map<String, Value>,
    left: &mut usize,
) {
    if let Some(value) = follow(event, path).filter(|value| !value.is_null()) {
        match value {
            DataValue::Array(items) => {
                let mut is_first = true;
                for text in items.iter().map(text_of).filter(|text| !text.is_empty()) {
                    push(out, if is_first { "" } else { ", " }, left);
                    push(out, &text, left);
                    is_first = false;
                }
            }
            plain => push(out, &text_of(plain), left),
        }
        return;
    }
    let found = path.split_first().and_then(|(first, rest)| {
        rest.iter().try_fold(own.get(first)?, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        })
    });
    match found {
        Some(Value::String(text)) => push(out, text, left),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => push(out, &value.to_string(), left),
        _ => {}
    }
}

fn follow<'d, 'a>(value: &'d DataValue<'a>, path: &[String]) -> Option<&'d DataValue<'a>> {
    path.iter().try_fold(value, |value, part| match value {
        DataValue::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => get(other, part),
    })
}

fn push(out: &mut String, text: &str, left: &mut usize) {
    for c in text.chars().take(*left) {
        out.push(c);
        *left -= 1;
    }
}

#[cfg(test)]
mod tests;
