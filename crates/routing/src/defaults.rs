//! The rules that are there without anybody writing them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::compiler::Compiler;
use crate::problem::Problem;
use crate::ruleset::Compiled;

/// The priority of those that decide that an event is not answered: before any rule that does not ask to be
/// asked earlier.
pub const GUARD_PRIORITY: f64 = -1_000.0;

/// What the default rules are made with. Each can be replaced, or turned off, by a rule of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DefaultRules {
    /// The name by which the bot is spoken to, with or without `@`.
    pub bot_name: Option<String>,
    /// Whether a language model answers when it is spoken to.
    pub has_llm: bool,
    /// Commands of other rules, for the list of commands.
    pub commands: Vec<String>,
}

const GUARDS: &str = include_str!("defaults/guards.yaml");
const COMMANDS: &str = include_str!("defaults/commands.yaml");
const MENTION: &str = include_str!("defaults/mention.yaml");
/// Stands in the mention's pattern for the name.
const NAME: &str = "{name}";
/// Commands that the list names.
const MAX_COMMANDS: usize = 50;
/// What the files are called in explanations.
const ORIGIN: &str = "default rules";

// === impl DefaultRules ===

impl DefaultRules {
    /// Compiles them.
    ///
    /// # Errors
    /// When a name makes no pattern: it is too long.
    pub fn compile(&self, compiler: &Compiler) -> Result<Vec<Arc<Compiled>>, Vec<Problem>> {
        let mut rules = compiler.rules(ORIGIN, GUARDS)?;
        let commands = self.with_commands().to_string();
        rules.extend(compiler.rules(ORIGIN, &commands)?);
        let name = self.bot_name.as_deref().map(|name| name.trim().trim_start_matches('@'));
        if let Some(name) = name.filter(|name| self.has_llm && !name.is_empty()) {
            // The name is a text within a pattern within a text of YAML.
            let pattern = Value::String(regex::escape(name)).to_string();
            let pattern = pattern.get(1..pattern.len().saturating_sub(1)).unwrap_or_default();
            rules.extend(compiler.rules(ORIGIN, &MENTION.replace(NAME, pattern))?);
        }
        Ok(rules)
    }

    /// The command rules, the list of commands in the metadata of the one that tells it.
    fn with_commands(&self) -> Value {
        let mut rules = crate::document::parse(ORIGIN, COMMANDS).unwrap_or_default();
        let mut all: Vec<&str> = Vec::new();
        let own =
            rules.as_array().into_iter().flatten().filter_map(|rule| rule["metadata"]["command"].as_str());
        let own: Vec<String> = own.map(str::to_owned).collect();
        for command in own.iter().chain(&self.commands).filter(|command| !command.trim().is_empty()) {
            if !all.contains(&command.as_str()) && all.len() < MAX_COMMANDS {
                all.push(command);
            }
        }
        let list = json!(all.join(" "));
        for rule in rules.as_array_mut().into_iter().flatten().filter(|rule| rule["id"] == "default-help") {
            rule["metadata"]["commands"] = list.clone();
        }
        rules
    }
}

#[cfg(test)]
mod tests;
