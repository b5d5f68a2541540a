//! All rules together, and what they make of an event.

use std::collections::HashMap;
use std::sync::Arc;

use chatbus_event::json::Raw;
use chatbus_event::{Event, MessageId, Timestamp};
use datalogic_rs::bumpalo::Bump;
use serde_json::Value;

use crate::logic::{Logic, is_match};
use crate::rule::Rule;
use crate::{enrich, slip, view};

/// The most rules of a set.
pub const MAX_RULES: usize = 1_000;
/// Room for an event and the values of all rules; grows where it does not do.
const ARENA_BYTES: usize = 16 * 1024;
/// Values are shown up to so many characters.
const MAX_SHOWN_CHARS: usize = 500;

/// A rule that is ready.
#[derive(Debug)]
pub struct Compiled {
    rule: Rule,
    logic: Logic,
}

/// Rules in the order in which they are asked. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    rules: Arc<[Arc<Compiled>]>,
    left_out: usize,
}

/// What is decided by, besides the event.
#[derive(Debug, Clone, Copy)]
pub struct RouteContext<'a> {
    /// The time that conditions see and that is written. Take when the bus accepted the input, so that a
    /// redelivery leads to the same bytes.
    pub now: Timestamp,
    /// The input's id, from which the ids of what is added are made.
    pub message_id: &'a MessageId,
}

/// An event after the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// Enriched, with the slip of the rule that was applied.
    pub event: Event,
    /// The rules that matched, in their order.
    pub matched: Vec<String>,
    /// The first of them, which was applied.
    pub chosen: Option<String>,
    /// The rule says that the event ends here, with nothing said.
    pub is_silent: bool,
}

/// What a rule made of an event, for people.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The rule.
    pub id: String,
    /// Where it stands.
    pub origin: String,
    /// Its priority.
    pub priority: f64,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Whether its condition is exactly `true` or 1.
    pub matched: bool,
    /// Whether it is the one that is applied.
    pub chosen: bool,
    /// The value of its condition as JSON, cut to 500 characters; none when it could not be evaluated.
    pub value: Option<String>,
    /// Why it could not be evaluated.
    pub error: Option<String>,
    /// What its condition reads of the event: paths, at most 32, and their values as JSON, each cut to 500
    /// characters; `null` where there is none.
    pub reads: Vec<(String, String)>,
}

// === impl Compiled ===

impl Compiled {
    pub(crate) fn new(rule: Rule, logic: Logic) -> Self {
        Self { rule, logic }
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

// === impl RuleSet ===

impl RuleSet {
    /// A set of these; of two with the same id the later one counts. Beyond [`MAX_RULES`] those with the highest
    /// priority numbers are left out; see [`Self::left_out`].
    pub fn new(rules: impl IntoIterator<Item = Arc<Compiled>>) -> Self {
        let mut by_id: HashMap<String, Arc<Compiled>> = HashMap::new();
        for compiled in rules {
            by_id.insert(compiled.rule.id.clone(), compiled);
        }
        let mut rules: Vec<Arc<Compiled>> = by_id.into_values().collect();
        rules.sort_by(|a, b| {
            a.rule.priority.total_cmp(&b.rule.priority).then_with(|| a.rule.id.cmp(&b.rule.id))
        });
        let left_out = rules.len().saturating_sub(MAX_RULES);
        rules.truncate(MAX_RULES);
        Self { rules: rules.into(), left_out }
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// How many more there were than a set may have.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// Finds the rules that match and applies the first. Where that one adds one of several candidates, `choose`
    /// says which: it is given the rule's id and how many there are.
    ///
    /// Writes `metadata.matchedRuleIds`, `metadata.chosenRuleId` and `metadata.routedAt`, and replaces the
    /// event's slip: with no rule there is no step left.
    pub fn route(
        &self,
        mut event: Event,
        cx: &RouteContext<'_>,
        choose: impl FnOnce(&str, usize) -> usize,
    ) -> Routed {
        let arena = Bump::with_capacity(ARENA_BYTES);
        let data = view::of_event(&event, cx.now, &arena);
        let holds = |compiled: &&Arc<Compiled>| compiled.rule.enabled && compiled.logic.holds(data, &arena);
        let matching: Vec<&Arc<Compiled>> = self.rules.iter().filter(holds).collect();
        let matched: Vec<String> = matching.iter().map(|compiled| compiled.rule.id.clone()).collect();
        let chosen = matching.first().map(|compiled| &compiled.rule);
        event.set_metadata("matchedRuleIds", Raw::of(&matched));
        event.set_metadata("chosenRuleId", Raw::of(&matched.first()));
        event.set_metadata("routedAt", Raw::of(&cx.now));
        slip::set_plan(&mut event, chosen.map_or(&[], |rule| &rule.routing_slip));
        if let Some(rule) = chosen {
            enrich::apply(rule, &mut event, data, cx, choose);
        }
        let is_silent = chosen.is_some_and(|rule| rule.silent);
        Routed { event, chosen: matched.first().cloned(), matched, is_silent }
    }

    /// What each rule makes of an event and why, in the order in which they are asked.
    pub fn explain(&self, event: &Event, now: Timestamp) -> Vec<Explained> {
        let arena = Bump::with_capacity(ARENA_BYTES);
        let data = view::of_event(event, now, &arena);
        let mut is_taken = false;
        let mut explain = |compiled: &Arc<Compiled>| {
            let Compiled { rule, logic } = &**compiled;
            let evaluated = logic.evaluate(data, &arena);
            let matched = rule.enabled && evaluated.as_ref().is_ok_and(|value| is_match(value));
            let chosen = matched && !is_taken;
            is_taken |= matched;
            let read = |path: &String| {
                let found = path.split('.').try_fold(data, |value, part| view::get(value, part));
                (
                    path.clone(),
                    found.map_or_else(|| "null".to_owned(), |value| shown(&value.to_json_string())),
                )
            };
            Explained {
                id: rule.id.clone(),
                origin: rule.origin.clone(),
                priority: rule.priority,
                enabled: rule.enabled,
                matched,
                chosen,
                value: evaluated.as_ref().ok().map(|value| shown(&value.to_json_string())),
                error: evaluated.as_ref().err().cloned(),
                reads: logic.reads().iter().map(read).collect(),
            }
        };
        self.rules.iter().map(&mut explain).collect()
    }

    /// The texts that rules give under this name in their `metadata`, sorted, each once.
    pub fn metadata_texts(&self, name: &str) -> Vec<String> {
        let enabled = self.rules().filter(|rule| rule.enabled);
        let texts = enabled.filter_map(|rule| rule.metadata.get(name).and_then(Value::as_str));
        let texts: std::collections::BTreeSet<&str> = texts.collect();
        texts.into_iter().map(str::to_owned).collect()
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests;
