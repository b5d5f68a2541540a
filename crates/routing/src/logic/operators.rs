//! The operators that JsonLogic does not have.

use std::ops::RangeInclusive;
use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{ArenaExt as _, CustomOperator, DataValue};

use super::pattern::{Pattern, PatternCache};
use crate::view::{get, text_of};

/// One of ours.
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// How many values it takes.
    pub(super) args: RangeInclusive<usize>,
    apply: fn(&[&DataValue<'_>]) -> bool,
}

/// Asked with patterns, which it keeps; see [`PatternCache`].
pub(super) const RE_TEST: &str = "re_test";
/// A pattern is looked for in so many bytes of a text.
const MAX_SEARCHED_BYTES: usize = 16 * 1024;

pub(super) const OPERATORS: &[Operator] = &[
    Operator { name: "ci_eq", args: 2..=2, apply: ci_eq },
    Operator { name: "has_annotation", args: 2..=3, apply: has_annotation },
    Operator { name: "has_candidate", args: 1..=2, apply: has_candidate },
    Operator { name: "has_role", args: 2..=3, apply: has_role },
    Operator { name: RE_TEST, args: 2..=3, apply: |_| false },
    Operator { name: "slip_complete", args: 1..=1, apply: slip_complete },
    Operator { name: "text_contains", args: 2..=3, apply: text_contains },
];

/// As the engine takes it.
pub(super) fn boxed(operator: &'static Operator, cache: &Arc<PatternCache>) -> Box<dyn CustomOperator> {
    if operator.name == RE_TEST { Box::new(ReTest(cache.clone())) } else { Box::new(Plain(operator.apply)) }
}

/// `re_test` with a pattern that is always the same.
pub(super) fn constant(pattern: Pattern) -> Box<dyn CustomOperator> {
    Box::new(pattern)
}

struct Plain(fn(&[&DataValue<'_>]) -> bool);

struct ReTest(Arc<PatternCache>);

impl CustomOperator for Plain {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        Ok(arena.bool((self.0)(args)))
    }
}

impl CustomOperator for Pattern {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        let text = text_of(arg(args, 0));
        Ok(arena.bool(self.0.is_match(searched(&text))))
    }
}

impl CustomOperator for ReTest {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> datalogic_rs::Result<&'a DataValue<'a>> {
        let text = text_of(arg(args, 0));
        let (pattern, flags) = match arg(args, 1) {
            DataValue::Array(pair) => (pair.first(), pair.get(1)),
            pattern => (Some(pattern), args.get(2).copied()),
        };
        let flags = flags.and_then(DataValue::as_str).unwrap_or_default();
        let is_found = pattern
            .and_then(DataValue::as_str)
            .is_some_and(|pattern| self.0.is_found(searched(&text), pattern, flags));
        Ok(arena.bool(is_found))
    }
}

fn searched(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SEARCHED_BYTES)).unwrap_or(text)
}

fn arg<'d, 'a>(args: &[&'d DataValue<'a>], at: usize) -> &'d DataValue<'a> {
    args.get(at).copied().unwrap_or(&DataValue::Null)
}

/// A flag that is set: `true`, or the text of it.
fn is_set(args: &[&DataValue<'_>], at: usize) -> bool {
    match arg(args, at) {
        DataValue::Bool(flag) => *flag,
        DataValue::String(flag) => *flag == "true",
        _ => false,
    }
}

/// The same without case. What is no text is compared as one; null is an empty one.
fn ci_eq(args: &[&DataValue<'_>]) -> bool {
    same(&text_of(arg(args, 0)), &text_of(arg(args, 1)), true)
}

fn same(a: &str, b: &str, ignore_case: bool) -> bool {
    match ignore_case {
        true if a.is_ascii() && b.is_ascii() => a.eq_ignore_ascii_case(b),
        true => a.to_lowercase() == b.to_lowercase(),
        false => a == b,
    }
}

fn text_contains(args: &[&DataValue<'_>]) -> bool {
    let (text, needle) = (text_of(arg(args, 0)), text_of(arg(args, 1)));
    if !is_set(args, 2) {
        return contains(&text, &needle);
    }
    if text.is_ascii() && needle.is_ascii() {
        return contains_ascii(text.as_bytes(), needle.as_bytes());
    }
    contains(&text.to_lowercase(), &needle.to_lowercase())
}

/// A needle that ends in a space is also found at the end of the text, where nobody writes the space.
fn contains(text: &str, needle: &str) -> bool {
    let word = needle.trim_end();
    text.contains(needle)
        || (word.len() < needle.len() && !word.is_empty() && text.trim_end().ends_with(word))
}

/// The same without case, and without copies: it is asked for every message.
fn contains_ascii(text: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    let (word, text_end) = (needle.trim_ascii_end(), text.trim_ascii_end());
    let is_at_end = word.len() < needle.len()
        && !word.is_empty()
        && text_end
            .len()
            .checked_sub(word.len())
            .and_then(|at| text_end.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(word));
    is_at_end
        || text.windows(needle.len()).any(|window| {
            window.first().is_some_and(|byte| byte.eq_ignore_ascii_case(first))
                && window.eq_ignore_ascii_case(needle)
        })
}

fn has_role(args: &[&DataValue<'_>]) -> bool {
    let role = text_of(arg(args, 1));
    let ignore_case = is_set(args, 2);
    let DataValue::Array(roles) = arg(args, 0) else { return false };
    !role.is_empty() && roles.iter().filter_map(DataValue::as_str).any(|own| same(own, &role, ignore_case))
}

/// The items of a list, or of this member of an event.
fn items<'d, 'a>(value: &'d DataValue<'a>, member: &str) -> &'d [DataValue<'a>] {
    match value {
        DataValue::Array(items) => items,
        other => match get(other, member) {
            Some(DataValue::Array(items)) => items,
            _ => &[],
        },
    }
}

fn has_annotation(args: &[&DataValue<'_>]) -> bool {
    let label = text_of(arg(args, 1));
    let is_it = |annotation: &DataValue<'_>| {
        get(annotation, "label").and_then(DataValue::as_str) == Some(&*label)
            && args.get(2).is_none_or(|wanted| get(annotation, "value").is_some_and(|own| equal(own, wanted)))
    };
    items(arg(args, 0), "annotations").iter().any(is_it)
}

/// Equal as `===` has it: of one type, and for texts, numbers and truths of one value.
fn equal(a: &DataValue<'_>, b: &DataValue<'_>) -> bool {
    match (a, b) {
        (DataValue::Null, DataValue::Null) => true,
        (DataValue::Bool(a), DataValue::Bool(b)) => a == b,
        (DataValue::Number(a), DataValue::Number(b)) => a == b,
        (DataValue::String(a), DataValue::String(b)) => a == b,
        _ => false,
    }
}

fn has_candidate(args: &[&DataValue<'_>]) -> bool {
    let is_it = |candidate: &DataValue<'_>| match args.get(1) {
        None => true,
        Some(source) => get(candidate, "source").is_some_and(|own| equal(own, source)),
    };
    items(arg(args, 0), "candidates").iter().any(is_it)
}

/// A slip that has come to its end: nothing pending or failed, something done.
fn slip_complete(args: &[&DataValue<'_>]) -> bool {
    let steps = items(arg(args, 0), "routingSlip");
    let status = |step: &DataValue<'_>| {
        get(step, "status").and_then(DataValue::as_str).unwrap_or("PENDING").to_owned()
    };
    let statuses: Vec<String> = steps.iter().map(status).collect();
    !statuses.iter().any(|status| matches!(status.as_str(), "PENDING" | "ERROR"))
        && statuses.iter().any(|status| status == "OK")
}
