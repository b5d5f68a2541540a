//! A routing rule as it is written.

mod enrichments;
mod steps;

use chatbus_event::Topic;
use serde_json::{Map, Value};

pub(crate) use enrichments::{Enrichments, Part};

use crate::document;
use crate::fields::Fields;
use crate::problem::{Problem, Report};
use crate::slip::Plan;

/// The longest id of a rule, in bytes.
pub const MAX_RULE_ID_BYTES: usize = 100;
/// The longest text of a rule, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 4_000;
/// The most bytes of a rule's `metadata`.
const MAX_METADATA_BYTES: usize = 16 * 1024;
/// What a rule that gives no priority has.
const DEFAULT_PRIORITY: f64 = 100.0;

const MEMBERS: [&str; 14] = [
    "id",
    "enabled",
    "priority",
    "description",
    "logic",
    "routingSlip",
    "enrichments",
    "annotations",
    "metadata",
    "silent",
    "v",
    "name",
    "createdAt",
    "updatedAt",
];

/// A rule: when it matches, and what then becomes of the event.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, unique among all rules; a later rule of the same name takes the place of an earlier one.
    pub id: String,
    /// The file or document it was read from.
    pub origin: String,
    /// Whether it is asked at all; a rule that does not say is.
    pub enabled: bool,
    /// The lowest is asked first; of those with the same, by id.
    pub priority: f64,
    /// For people.
    pub description: Option<String>,
    /// The event ends here, with nothing said, whatever there is to say.
    pub silent: bool,
    /// Its own data, for its templates.
    pub metadata: Map<String, Value>,
    /// The steps that the event takes, at most 16.
    pub routing_slip: Vec<Plan>,
    pub(crate) logic: Value,
    pub(crate) enrichments: Enrichments,
}

/// Reads all rules of a file or document: one rule, which need not name itself, a list of them, or `rules:` with
/// a list.
pub(crate) fn parse(
    name: &str,
    own_id: &str,
    text: &str,
    known_topics: &[Topic],
) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut report = Report::of(name);
    let value = match document::parse(name, text) {
        Ok(value) => value,
        Err(error) => {
            report.add("", error);
            return report.result(Vec::new());
        }
    };
    let rules = match &value {
        Value::Null => &[],
        Value::Array(rules) => rules.as_slice(),
        Value::Object(members) if members.contains_key("rules") => {
            let fields = Fields::of(&value, "", &["rules", "v"], &mut report);
            fields.map_or(&[][..], |fields| fields.list("rules", crate::MAX_RULES, &mut report))
        }
        one => std::slice::from_ref(one),
    };
    if rules.len() > crate::MAX_RULES {
        report.add("", format!("over {} rules", crate::MAX_RULES));
        return report.result(Vec::new());
    }
    let is_one = rules.first().is_some_and(|first| std::ptr::eq(first, &raw const value));
    let own_name = if is_one { own_id } else { "" };
    let read = |(at, rule): (usize, &Value)| {
        report.about_item(rule, at);
        Rule::read(rule, name, own_name, known_topics, &mut report)
    };
    let rules = rules.iter().enumerate().filter_map(read).collect();
    report.result(rules)
}

/// The name of a file without folder and ending.
pub(crate) fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    ["yaml", "yml", "json"]
        .iter()
        .find_map(|ending| file.strip_suffix(ending)?.strip_suffix('.'))
        .unwrap_or(file)
}

// === impl Rule ===

impl Rule {
    fn read(
        value: &Value,
        origin: &str,
        own_name: &str,
        known_topics: &[Topic],
        report: &mut Report,
    ) -> Option<Self> {
        let fields = Fields::of(value, "", &MEMBERS, report)?;
        let id = fields.text("id", MAX_RULE_ID_BYTES, report).unwrap_or(own_name);
        if is_id(id) {
            report.about(id);
        } else if fields.get("id").is_none_or(Value::is_string) {
            report.add("id", format!("1 to {MAX_RULE_ID_BYTES} bytes with no control characters are needed"));
        }
        if fields.get("logic").is_none() {
            report.add("logic", "missing");
        }
        let mut enrichments = Enrichments::read(fields.get("enrichments"), known_topics, report);
        if enrichments.annotations.is_empty() {
            enrichments.annotations = enrichments::annotations(&fields, report);
        }
        Some(Self {
            id: id.to_owned(),
            origin: origin.to_owned(),
            enabled: fields.truth("enabled", report).unwrap_or(true),
            priority: fields.number("priority", report).unwrap_or(DEFAULT_PRIORITY),
            description: fields.text("description", MAX_TEXT_CHARS, report).map(str::to_owned),
            silent: fields.truth("silent", report).unwrap_or(false),
            metadata: fields.own("metadata", MAX_METADATA_BYTES, report),
            routing_slip: steps::read(&fields, known_topics, report),
            logic: fields.get("logic").cloned().unwrap_or(Value::Null),
            enrichments,
        })
    }
}

fn is_id(id: &str) -> bool {
    (1..=MAX_RULE_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) && id.trim() == id
}
