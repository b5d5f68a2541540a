//! What a condition may be: known operations only, of bounded size, and loops that end soon.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::LogicError;
use super::operators::{self, OPERATORS};
use super::pattern::Pattern;

/// The most levels of a condition.
pub const MAX_LOGIC_DEPTH: usize = 32;
/// The most operations and values of a condition.
pub const MAX_LOGIC_NODES: usize = 1_000;
/// The longest text in a condition, in bytes.
const MAX_TEXT_BYTES: usize = 4_000;
/// The longest condition that is given as a text, in bytes.
const MAX_LOGIC_BYTES: usize = 64 * 1024;
/// Paths that are remembered for explanations.
const MAX_READS: usize = 32;
/// Operations that go through a list. They may stand in one another twice at most, and `reduce`, whose value
/// may grow with each item, in none: so what a condition costs is bounded by the lists of an event.
const LOOPS: [&str; 6] = ["map", "filter", "reduce", "all", "some", "none"];
const MAX_NESTED_LOOPS: usize = 2;

/// A condition that was checked.
pub(super) struct Checked {
    /// The same with each constant pattern in an operator of its own.
    pub(super) logic: Value,
    pub(super) patterns: Vec<(String, Pattern)>,
    pub(super) reads: Vec<String>,
}

struct Checker<'k> {
    is_builtin: &'k dyn Fn(&str) -> bool,
    nodes: usize,
    patterns: Vec<(String, Pattern)>,
    reads: Vec<String>,
}

/// Where a node stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    depth: usize,
    loops: usize,
    in_reduce: bool,
}

/// Checks a condition: an object, or its JSON as a text.
pub(super) fn check(logic: &Value, is_builtin: &dyn Fn(&str) -> bool) -> Result<Checked, LogicError> {
    let parsed;
    let logic = match logic {
        Value::String(text) if text.len() > MAX_LOGIC_BYTES => {
            return Err(wrong("", format!("over {MAX_LOGIC_BYTES} bytes")));
        }
        Value::String(text) => {
            parsed = serde_json::from_str(text).map_err(|error| wrong("", format!("not JSON: {error}")))?;
            &parsed
        }
        other => other,
    };
    let mut checker = Checker { is_builtin, nodes: 0, patterns: Vec::new(), reads: Vec::new() };
    let place = Place { path: "", depth: 0, loops: 0, in_reduce: false };
    let logic = checker.node(logic, place)?;
    Ok(Checked { logic, patterns: checker.patterns, reads: checker.reads })
}

fn wrong(at: &str, message: impl Into<String>) -> LogicError {
    LogicError { at: at.to_owned(), message: message.into() }
}

// === impl Checker ===

impl Checker<'_> {
    fn node(&mut self, value: &Value, place: Place<'_>) -> Result<Value, LogicError> {
        self.nodes += 1;
        if self.nodes > MAX_LOGIC_NODES {
            return Err(wrong("", format!("over {MAX_LOGIC_NODES} operations and values")));
        }
        if place.depth > MAX_LOGIC_DEPTH {
            return Err(wrong("", format!("over {MAX_LOGIC_DEPTH} levels")));
        }
        match value {
            Value::String(text) if text.len() > MAX_TEXT_BYTES => {
                Err(wrong(place.path, format!("a text of over {MAX_TEXT_BYTES} bytes")))
            }
            Value::Array(items) => self.list(items, place).map(Value::Array),
            Value::Object(members) if !members.is_empty() => self.operation(members, place),
            other => Ok(other.clone()),
        }
    }

    fn list(&mut self, items: &[Value], place: Place<'_>) -> Result<Vec<Value>, LogicError> {
        let item = |(at, item): (usize, &Value)| {
            let path = format!("{}[{at}]", place.path);
            self.node(item, Place { path: &path, depth: place.depth + 1, ..place })
        };
        items.iter().enumerate().map(item).collect()
    }

    fn operation(&mut self, members: &Map<String, Value>, place: Place<'_>) -> Result<Value, LogicError> {
        let Some((name, given)) = members.iter().next().filter(|_| members.len() == 1) else {
            let message = format!("an object with {} members is no operation, which has one", members.len());
            return Err(wrong(place.path, message));
        };
        let shown: String = name.chars().take(60).collect();
        let path = if place.path.is_empty() { shown.clone() } else { format!("{}.{shown}", place.path) };
        let ours = OPERATORS.iter().find(|operator| operator.name == name);
        if ours.is_none() && !(self.is_builtin)(name) {
            return Err(wrong(&path, format!("unknown operator {shown:?}")));
        }
        let mut place = Place { path: &path, ..place };
        if LOOPS.contains(&name.as_str()) {
            let is_reduce = name == "reduce";
            if place.loops >= MAX_NESTED_LOOPS || place.in_reduce || (is_reduce && place.loops > 0) {
                let message = "goes through a list within another: that may be once, and never with reduce";
                return Err(wrong(&path, message));
            }
            place.loops += 1;
            place.in_reduce = is_reduce;
        }
        if matches!(name.as_str(), "var" | "val") {
            self.remember(given);
        }
        let args = match given {
            Value::Array(items) => Value::Array(self.list(items, place)?),
            other => self.node(other, Place { depth: place.depth + 1, ..place })?,
        };
        if let Some(operator) = ours {
            let count = args.as_array().map_or(1, Vec::len);
            if !operator.args.contains(&count) {
                let (least, most) = operator.args.clone().into_inner();
                return Err(wrong(&path, format!("takes {least} to {most} values, {count} are given")));
            }
        }
        if name == operators::RE_TEST
            && let Some(constant) = self.constant_pattern(&args, &path)?
        {
            return Ok(constant);
        }
        Ok(json!({ name: args }))
    }

    /// `re_test` with a pattern that is known now: compiled once, and refused now when it is none.
    fn constant_pattern(&mut self, args: &Value, path: &str) -> Result<Option<Value>, LogicError> {
        let Value::Array(args) = args else { return Ok(None) };
        let (value, pattern, flags) = match args.as_slice() {
            [value, Value::String(pattern)] => (value, pattern, ""),
            [value, Value::String(pattern), Value::String(flags)] => (value, pattern, flags.as_str()),
            [value, Value::Array(pair)] => match pair.as_slice() {
                [Value::String(pattern)] => (value, pattern, ""),
                [Value::String(pattern), Value::String(flags)] => (value, pattern, flags.as_str()),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let compiled: Regex = super::pattern::compile(pattern, flags).map_err(|why| wrong(path, why))?;
        let name = format!("{}#{}", operators::RE_TEST, self.patterns.len());
        self.patterns.push((name.clone(), Pattern(compiled)));
        Ok(Some(json!({ name: [value] })))
    }

    fn remember(&mut self, given: &Value) {
        let path = match given {
            Value::String(path) => path.clone(),
            Value::Array(items) => match items.first() {
                Some(Value::String(path)) => path.clone(),
                _ => return,
            },
            _ => return,
        };
        if self.reads.len() < MAX_READS && !path.is_empty() && !self.reads.contains(&path) {
            self.reads.push(path);
        }
    }
}
