//! Reads rules and policies, and says what is wrong with them.

use std::sync::Arc;

use chatbus_event::Topic;

use crate::logic::Engines;
use crate::policy::{self, Policy};
use crate::problem::{Problem, Report};
use crate::rule::{self, Rule};
use crate::ruleset::Compiled;

/// Compiles what people write. Its conditions share an engine, and remember the patterns that they compute.
#[derive(Debug, Clone)]
pub struct Compiler {
    engines: Engines,
    known_topics: Vec<Topic>,
}

// === impl Compiler ===

impl Compiler {
    /// A compiler; `known_topics` are those beyond the contract's that a rule may send to.
    pub fn new(known_topics: Vec<Topic>) -> Self {
        Self { engines: Engines::new(), known_topics }
    }

    /// Reads and compiles the rules of a file or document: one rule, a list of them, or `rules:` with a list, in
    /// YAML, or in JSON where `name` ends in `.json`. A single rule without an id is called as its file is.
    ///
    /// # Errors
    /// Everything that is wrong, each with file, rule and field. Then none of the file's rules is to be used.
    pub fn rules(&self, name: &str, text: &str) -> Result<Vec<Arc<Compiled>>, Vec<Problem>> {
        self.compile(name, rule::parse(name, rule::stem(name), text, &self.known_topics)?)
    }

    /// The same for a document of a store: a single rule without an id has this one. `name` is what problems
    /// are told with.
    ///
    /// # Errors
    /// As for [`Self::rules`].
    pub fn stored_rules(&self, name: &str, id: &str, text: &str) -> Result<Vec<Arc<Compiled>>, Vec<Problem>> {
        self.compile(name, rule::parse(name, id, text, &self.known_topics)?)
    }

    fn compile(&self, name: &str, rules: Vec<Rule>) -> Result<Vec<Arc<Compiled>>, Vec<Problem>> {
        let mut report = Report::of(name);
        let mut compiled: Vec<Arc<Compiled>> = Vec::with_capacity(rules.len());
        for rule in rules {
            report.about(&*rule.id);
            if compiled.iter().any(|earlier| earlier.rule().id == rule.id) {
                report.add("id", "there are two rules of this name in the file");
            }
            match self.engines.compile(&rule.logic) {
                Ok(logic) => compiled.push(Arc::new(Compiled::new(rule, logic))),
                Err(error) => {
                    let field = if error.at.is_empty() { String::new() } else { format!(".{}", error.at) };
                    report.add(format!("logic{field}"), error.message);
                }
            }
        }
        report.result(compiled)
    }

    /// Reads and compiles a policy: `rules:` with a list, or a list.
    ///
    /// # Errors
    /// Everything that is wrong. Then nothing of it is to be used.
    pub fn policy(&self, name: &str, text: &str) -> Result<Policy, Vec<Problem>> {
        policy::parse(name, text, &self.engines)
    }
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}
