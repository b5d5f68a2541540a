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
/// Commands that the list names, and how long one may be.
const MAX_COMMANDS: usize = 50;
const MAX_COMMAND_BYTES: usize = 64;
/// What the files are called in explanations.
const ORIGIN: &str = "default rules";

// === impl DefaultRules ===

impl DefaultRules {
    /// Compiles them. A part that cannot be made is left out and told, as that for a name which is too long:
    /// those that keep the bot from answering itself are always there.
    pub fn compile(&self, compiler: &Compiler) -> (Vec<Arc<Compiled>>, Vec<Problem>) {
        let mut parts = vec![GUARDS.to_owned(), self.with_commands().to_string()];
        let name = self.bot_name.as_deref().map(|name| name.trim().trim_start_matches('@'));
        if let Some(name) = name.filter(|name| self.has_llm && !name.is_empty()) {
            // The name is a text within a pattern within a text of YAML.
            let pattern = Value::String(regex::escape(name)).to_string();
            let pattern = pattern.get(1..pattern.len().saturating_sub(1)).unwrap_or_default();
            parts.push(MENTION.replace(NAME, pattern));
        }
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for part in parts {
            match compiler.rules(ORIGIN, &part) {
                Ok(compiled) => rules.extend(compiled),
                Err(wrong) => problems.extend(wrong),
            }
        }
        (rules, problems)
    }

    /// The command rules, the list of commands in the metadata of the one that tells it.
    fn with_commands(&self) -> Value {
        let mut rules = crate::document::parse(ORIGIN, COMMANDS).unwrap_or_default();
        let mut all: Vec<&str> = Vec::new();
        let own =
            rules.as_array().into_iter().flatten().filter_map(|rule| rule["metadata"]["command"].as_str());
        let own: Vec<String> = own.map(str::to_owned).collect();
        let is_shown = |command: &&String| !command.trim().is_empty() && command.len() <= MAX_COMMAND_BYTES;
        for command in own.iter().chain(&self.commands).filter(is_shown) {
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
