//! What may be said, by whom, where.

use datalogic_rs::bumpalo::Bump;
use serde_json::{Map, Value};

use crate::document;
use crate::fields::Fields;
use crate::logic::{Engines, Logic, is_match};
use crate::problem::{Problem, Report};
use crate::rule::{MAX_RULE_ID_BYTES, MAX_TEXT_CHARS};
use crate::template::Template;
use crate::view;

/// The most rules of a policy.
pub const MAX_POLICY_RULES: usize = 1_000;
/// What a rule that gives no priority has.
const DEFAULT_PRIORITY: f64 = 100.0;

/// Rules about what may be said; the first that matches decides, and what none matches is allowed.
#[derive(Debug, Default)]
pub struct Policy(Vec<PolicyRule>);

#[derive(Debug)]
struct PolicyRule {
    id: String,
    priority: f64,
    when: Logic,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Allow,
    Deny,
    Replace(Template),
}

/// Something that is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked<'a> {
    /// The event's source.
    pub source: &'a str,
    /// The platform it is for.
    pub platform: Option<&'a str>,
    /// The channel it is for.
    pub channel: Option<&'a str>,
    /// `egress.type`: `chat`, `dm` or `event`.
    pub kind: Option<&'a str>,
    /// The user it is for.
    pub user_id: Option<&'a str>,
    /// The id of the token that asked, where one did; never its secret.
    pub token: Option<&'a str>,
    /// What is to be said.
    pub text: &'a str,
}

/// What a policy says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be said.
    Allow,
    /// It may not.
    Deny {
        /// The rule that says so.
        rule: String,
    },
    /// Something else is said instead.
    Replace {
        /// The rule that says so.
        rule: String,
        /// What, at most 4,000 characters.
        text: String,
    },
}

// === impl Policy ===

impl Policy {
    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it may be said. A rule that forbids or replaces and whose condition cannot be evaluated forbids:
    /// a mistake in it must not open what it was to close.
    pub fn decide(&self, asked: &Asked<'_>) -> Verdict {
        if self.0.is_empty() {
            return Verdict::Allow;
        }
        let arena = Bump::with_capacity(2 * 1024 + asked.text.len().min(view::MAX_TEXT_BYTES));
        let data = view::of_texts(
            &[
                ("source", Some(asked.source)),
                ("platform", asked.platform),
                ("channel", asked.channel),
                ("type", asked.kind),
                ("userId", asked.user_id),
                ("token", asked.token),
                ("text", Some(asked.text)),
            ],
            &arena,
        );
        for rule in &self.0 {
            let deny = || Verdict::Deny { rule: rule.id.clone() };
            match (rule.when.evaluate(data, &arena), &rule.then) {
                (Err(_), Then::Deny | Then::Replace(_)) => return deny(),
                (Ok(value), then) if is_match(value) => {
                    return match then {
                        Then::Allow => Verdict::Allow,
                        Then::Deny => deny(),
                        Then::Replace(template) => Verdict::Replace {
                            rule: rule.id.clone(),
                            text: template.render(data, &Map::new()),
                        },
                    };
                }
                _ => {}
            }
        }
        Verdict::Allow
    }
}

/// Reads a policy: `rules:` with a list, or a list.
pub(crate) fn parse(name: &str, text: &str, engines: &Engines) -> Result<Policy, Vec<Problem>> {
    let mut report = Report::of(name);
    let value = match document::parse(name, text) {
        Ok(value) => value,
        Err(error) => {
            report.add("", error);
            return report.result(Policy::default());
        }
    };
    let value = match value {
        list @ (Value::Array(_) | Value::Null) => Value::Object(Map::from_iter([("rules".to_owned(), list)])),
        other => other,
    };
    let mut rules: Vec<PolicyRule> = Vec::new();
    if let Some(fields) = Fields::of(&value, "", &["rules", "v"], &mut report) {
        for (at, rule) in fields.list("rules", MAX_POLICY_RULES, &mut report).iter().enumerate() {
            report.about_item(rule, at);
            let Some(rule) = PolicyRule::read(rule, at, engines, &mut report) else { continue };
            if rules.iter().any(|earlier| earlier.id == rule.id) {
                report.add("id", "there are two rules of this name");
            }
            rules.push(rule);
        }
    }
    rules.sort_by(|a, b| a.priority.total_cmp(&b.priority));
    report.result(Policy(rules))
}

// === impl PolicyRule ===

impl PolicyRule {
    fn read(value: &Value, at: usize, engines: &Engines, report: &mut Report) -> Option<Self> {
        let known = ["id", "priority", "description", "when", "then"];
        let fields = Fields::of(value, "", &known, report)?;
        let id = fields.text("id", MAX_RULE_ID_BYTES, report).map(str::to_owned);
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("rule-{}", at + 1));
        report.about(&*id);
        let priority = fields.number("priority", report).unwrap_or(DEFAULT_PRIORITY);
        fields.text("description", MAX_TEXT_CHARS, report);
        let when = match fields.get("when") {
            None => {
                report.add("when", "missing");
                None
            }
            Some(logic) => engines
                .compile(logic)
                .map_err(|error| {
                    let field = if error.at.is_empty() { String::new() } else { format!(".{}", error.at) };
                    report.add(format!("when{field}"), error.message);
                })
                .ok(),
        };
        let then = then(&fields, report);
        Some(Self { id, priority, when: when?, then: then? })
    }
}

fn then(fields: &Fields<'_>, report: &mut Report) -> Option<Then> {
    match fields.get("then") {
        Some(Value::String(word)) if word == "allow" => return Some(Then::Allow),
        Some(Value::String(word)) if word == "deny" => return Some(Then::Deny),
        Some(value @ Value::Object(_)) => {
            let replace = Fields::of(value, "then", &["replace"], report)?;
            if let Some(text) = replace.text("replace", MAX_TEXT_CHARS, report) {
                let template = Template::parse(text).map_err(|why| report.add("then.replace", why));
                return template.ok().map(Then::Replace);
            }
        }
        _ => {}
    }
    report.add("then", "neither allow, deny nor {replace: a text}");
    None
}

#[cfg(test)]
mod tests;
