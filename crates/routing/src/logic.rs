//! Conditions in JsonLogic, checked and compiled once.

mod check;
mod operators;
mod pattern;

use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::datavalue::NumberValue;
use datalogic_rs::{DataValue, Engine};
use serde_json::Value;

pub use check::{MAX_LOGIC_DEPTH, MAX_LOGIC_NODES};
use operators::OPERATORS;
use pattern::{Pattern, PatternCache};

/// The engine that conditions share, and the patterns that are known only when they run.
#[derive(Debug, Clone)]
pub(crate) struct Engines {
    shared: Arc<Engine>,
    cache: Arc<PatternCache>,
}

/// A condition.
#[derive(Debug)]
pub(crate) struct Logic {
    engine: Arc<Engine>,
    compiled: datalogic_rs::Logic,
    /// The paths it reads, as far as they are constant.
    reads: Vec<String>,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogicError {
    /// Where, as a path within it.
    pub(crate) at: String,
    pub(crate) message: String,
}

// === impl Engines ===

impl Engines {
    pub(crate) fn new() -> Self {
        let cache = Arc::new(PatternCache::default());
        Self { shared: Arc::new(engine(&cache, Vec::new())), cache }
    }

    /// Checks and compiles a condition: an object, or its JSON as a text.
    pub(crate) fn compile(&self, logic: &Value) -> Result<Logic, LogicError> {
        let known = |name: &str| self.shared.builtin_operator_names().any(|builtin| builtin == name);
        let checked = check::check(logic, &known)?;
        let engine = if checked.patterns.is_empty() {
            self.shared.clone()
        } else {
            Arc::new(engine(&self.cache, checked.patterns))
        };
        let compiled = engine
            .compile(checked.logic.to_string().as_str())
            .map_err(|error| LogicError { at: String::new(), message: error.to_string() })?;
        Ok(Logic { engine, compiled, reads: checked.reads })
    }
}

/// An engine with our operators, and one for each constant pattern of a condition.
fn engine(cache: &Arc<PatternCache>, patterns: Vec<(String, Pattern)>) -> Engine {
    let mut builder = Engine::builder();
    for operator in OPERATORS {
        builder = builder.add_operator(operator.name, operators::boxed(operator, cache));
    }
    for (name, pattern) in patterns {
        builder = builder.add_operator(name, operators::constant(pattern));
    }
    builder.build()
}

// === impl Logic ===

impl Logic {
    /// Its value for this data.
    pub(crate) fn evaluate<'a>(
        &'a self,
        data: &'a DataValue<'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>, String> {
        self.engine.evaluate(&self.compiled, data, arena).map_err(|error| error.to_string())
    }

    /// Whether it holds: its value is exactly `true` or 1. What cannot be evaluated does not hold.
    pub(crate) fn holds<'a>(&'a self, data: &'a DataValue<'a>, arena: &'a Bump) -> bool {
        self.engine.evaluate(&self.compiled, data, arena).is_ok_and(is_match)
    }

    /// The paths it reads, as far as they are constant.
    pub(crate) fn reads(&self) -> &[String] {
        &self.reads
    }
}

/// Whether a value is exactly `true` or 1.
pub(crate) fn is_match(value: &DataValue<'_>) -> bool {
    match value {
        DataValue::Bool(truth) => *truth,
        DataValue::Number(NumberValue::Integer(number)) => *number == 1,
        DataValue::Number(NumberValue::Float(number)) => number.to_bits() == 1.0_f64.to_bits(),
        _ => false,
    }
}

#[cfg(test)]
mod suites;
#[cfg(test)]
mod tests;
