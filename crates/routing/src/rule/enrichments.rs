//! What a rule adds to an event.

use chatbus_event::{EgressKind, Topic};
use serde_json::{Map, Value};

use super::MAX_TEXT_CHARS;
use crate::fields::{Fields, check_own};
use crate::problem::Report;
use crate::slip::is_followed;
use crate::template::Template;

const MAX_ANNOTATIONS: usize = 16;
const MAX_CANDIDATES: usize = 64;
/// The most bytes of one annotation or candidate.
const MAX_PART_BYTES: usize = 20 * 1024;
/// The longest platform name.
const MAX_WORD_BYTES: usize = 32;

/// What a rule adds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Enrichments {
    /// Takes the place of the message's text, as the assistant's.
    pub(crate) message: Option<Template>,
    pub(crate) annotations: Vec<Part>,
    pub(crate) candidates: Vec<Part>,
    /// One of the candidates is added, not all.
    pub(crate) random_candidate: bool,
    /// `egress.destination`: a constant.
    pub(crate) destination: Option<String>,
    /// `egress.type`.
    pub(crate) kind: Option<EgressKind>,
}

/// An annotation or candidate: what is constant in it, and its templates.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) members: Map<String, Value>,
    pub(crate) templates: Vec<(&'static str, Template)>,
}

// === impl Enrichments ===

impl Enrichments {
    pub(crate) fn read(value: Option<&Value>, known_topics: &[Topic], report: &mut Report) -> Self {
        let known = ["message", "annotations", "candidates", "randomCandidate", "egress"];
        let fields = value.and_then(|value| Fields::of(value, "enrichments", &known, report));
        let Some(fields) = fields else { return Self::default() };
        let mut read = Self {
            message: message(&fields, report),
            annotations: annotations(&fields, report),
            candidates: parts(&fields, "candidates", MAX_CANDIDATES, &["text", "reason"], report),
            random_candidate: fields.truth("randomCandidate", report).unwrap_or(false),
            ..Self::default()
        };
        if let Some(egress) = fields.get("egress")
            && let Some(egress) = Fields::of(egress, &fields.at("egress"), &["destination", "type"], report)
        {
            read.destination = destination(&egress, known_topics, report);
            let word = egress.text("type", MAX_WORD_BYTES, report);
            read.kind = word.and_then(EgressKind::parse);
            if word.is_some() && read.kind.is_none() {
                report.add(egress.at("type"), "neither chat, dm nor event");
            }
        }
        read
    }
}

/// The annotations of a rule, or those that stand beside its enrichments.
pub(super) fn annotations(fields: &Fields<'_>, report: &mut Report) -> Vec<Part> {
    parts(fields, "annotations", MAX_ANNOTATIONS, &["label", "value"], report)
}

/// A text, or an object with one.
fn message(fields: &Fields<'_>, report: &mut Report) -> Option<Template> {
    let value = fields.get("message")?;
    if value.is_string() {
        let text = fields.text("message", MAX_TEXT_CHARS, report)?;
        return template(text, fields.at("message"), report);
    }
    let known = ["text", "role", "id"];
    let message = Fields::of(value, &fields.at("message"), &known, report)?;
    match message.text("text", MAX_TEXT_CHARS, report) {
        Some(text) => template(text, message.at("text"), report),
        None => {
            report.add(message.at("text"), "missing");
            None
        }
    }
}

fn template(text: &str, path: String, report: &mut Report) -> Option<Template> {
    Template::parse(text).map_err(|why| report.add(path, why)).ok()
}

/// Objects, some of whose texts are templates.
fn parts(
    fields: &Fields<'_>,
    name: &str,
    most: usize,
    templates: &[&'static str],
    report: &mut Report,
) -> Vec<Part> {
    let mut parts = Vec::new();
    for (at, value) in fields.list(name, most, report).iter().enumerate() {
        let path = format!("{}[{at}]", fields.at(name));
        let Value::Object(members) = value else {
            report.add(path, "not an object");
            continue;
        };
        check_own(value, &path, MAX_PART_BYTES, report);
        let mut part = Part { members: members.clone(), templates: Vec::new() };
        for name in templates {
            let Some(Value::String(text)) = members.get(*name) else { continue };
            let path = format!("{path}.{name}");
            if text.chars().count() > MAX_TEXT_CHARS {
                report.add(path, format!("over {MAX_TEXT_CHARS} characters"));
            } else if let Some(template) = template(text, path, report)
                && !template.is_constant()
            {
                part.templates.push((name, template));
            }
        }
        parts.push(part);
    }
    parts
}

/// A constant: no text from outside may say where something is sent.
fn destination(egress: &Fields<'_>, known_topics: &[Topic], report: &mut Report) -> Option<String> {
    let text = egress.text("destination", 200, report)?;
    if text.contains("{{") {
        report.add(egress.at("destination"), "a template: where something is sent is a constant");
        return None;
    }
    let is_word = text.len() <= MAX_WORD_BYTES
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let is_topic = |topic: &Topic| {
        known_topics.contains(topic) || (topic.family().is_egress() && is_followed(topic, known_topics))
    };
    if is_word || Topic::parse(text).is_ok_and(|topic| is_topic(&topic)) {
        return Some(text.to_owned());
    }
    report
        .add(egress.at("destination"), "neither a platform's name nor an egress topic nor a configured one");
    None
}
