//! Where an event goes next and what may be said. Pure: it decides, others send.
//!
//! * [`Compiler`] reads rules and policies from YAML or JSON and says of each mistake where it stands.
//! * [`RuleSet`] finds the rules that match an event; the first is applied: it enriches the event, and its
//!   routing slip takes the place of the event's own.
//! * [`slip`] decides where an event goes when a step of its slip is done.
//! * [`Policy`] decides what may be said.
//!
//! Rules and policies see the event and nothing else: no setting, no secret, no file. What comes from outside
//! never becomes a topic, a pattern whose cost grows faster than the text, or a template.

mod compiler;
mod defaults;
mod document;
mod enrich;
mod fields;
mod logic;
mod pick;
mod policy;
mod problem;
mod rule;
mod ruleset;
pub mod slip;
mod template;
mod view;

#[cfg(test)]
mod corpus;

pub use compiler::Compiler;
pub use defaults::{DefaultRules, GUARD_PRIORITY};
pub use document::MAX_DOCUMENT_BYTES;
pub use logic::{MAX_LOGIC_DEPTH, MAX_LOGIC_NODES};
pub use pick::pick;
pub use policy::{Asked, MAX_POLICY_RULES, Policy, Verdict};
pub use problem::{Problem, list};
pub use rule::{MAX_RULE_ID_BYTES, Rule};
pub use ruleset::{Compiled, Explained, MAX_RULES, RouteContext, Routed, RuleSet};
pub use template::MAX_RENDERED_CHARS;
