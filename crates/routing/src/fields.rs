//! Members of a tree that people wrote, each checked as it is read.

use serde_json::{Map, Value};

use crate::document::levels;
use crate::problem::Report;

/// The members of one object, and where it stands.
pub(crate) struct Fields<'v> {
    members: &'v Map<String, Value>,
    path: String,
}

/// The deepest that a tree of the author's own may be: it becomes part of events.
const MAX_OWN_LEVELS: usize = 16;

// === impl Fields ===

impl<'v> Fields<'v> {
    /// The members of a value that is to be an object, and to have no members but these.
    pub(crate) fn of(value: &'v Value, path: &str, known: &[&str], report: &mut Report) -> Option<Self> {
        let Value::Object(members) = value else {
            report.add(path, "not an object");
            return None;
        };
        let fields = Self { members, path: path.to_owned() };
        for name in members.keys().filter(|name| !known.is_empty() && !known.contains(&name.as_str())) {
            report.add(fields.at(name), format!("unknown; known are {}", known.join(", ")));
        }
        Some(fields)
    }

    /// The path of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        let shown: String = name.chars().take(60).collect();
        if self.path.is_empty() { shown } else { format!("{}.{shown}", self.path) }
    }

    /// A member that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text of at most so many characters.
    pub(crate) fn text(&self, name: &str, chars: usize, report: &mut Report) -> Option<&'v str> {
        match self.get(name)? {
            Value::String(text) if text.chars().count() <= chars => Some(text),
            Value::String(_) => {
                report.add(self.at(name), format!("over {chars} characters"));
                None
            }
            _ => {
                report.add(self.at(name), "not a text");
                None
            }
        }
    }

    pub(crate) fn truth(&self, name: &str, report: &mut Report) -> Option<bool> {
        let value = self.get(name)?;
        if !value.is_boolean() {
            report.add(self.at(name), "neither true nor false");
        }
        value.as_bool()
    }

    pub(crate) fn number(&self, name: &str, report: &mut Report) -> Option<f64> {
        let number = self.get(name)?.as_f64().filter(|number| number.is_finite());
        if number.is_none() {
            report.add(self.at(name), "not a number");
        }
        number
    }

    /// A list of at most so many items.
    pub(crate) fn list(&self, name: &str, items: usize, report: &mut Report) -> &'v [Value] {
        match self.get(name) {
            None => &[],
            Some(Value::Array(list)) if list.len() <= items => list,
            Some(Value::Array(_)) => {
                report.add(self.at(name), format!("over {items} items"));
                &[]
            }
            Some(_) => {
                report.add(self.at(name), "not a list");
                &[]
            }
        }
    }

    /// An object whose members are the author's own, of at most so many bytes.
    pub(crate) fn own(&self, name: &str, bytes: usize, report: &mut Report) -> Map<String, Value> {
        match self.get(name) {
            None => Map::new(),
            Some(value @ Value::Object(members)) => {
                check_own(value, &self.at(name), bytes, report);
                members.clone()
            }
            Some(_) => {
                report.add(self.at(name), "not an object");
                Map::new()
            }
        }
    }
}

/// Says so when a tree of the author's own is too long or too deep.
pub(crate) fn check_own(value: &Value, path: &str, bytes: usize, report: &mut Report) {
    if value.to_string().len() > bytes {
        report.add(path, format!("over {bytes} bytes"));
    }
    if levels(value) > MAX_OWN_LEVELS {
        report.add(path, format!("over {MAX_OWN_LEVELS} levels"));
    }
}
