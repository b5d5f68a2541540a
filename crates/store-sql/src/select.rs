//! Lists: which rows, in which order, which part.

use chatbus_store::{DeadLetterFilter, EventFilter, Page, UserFilter, census, limits};

use crate::codes;
use crate::dialect::Dialect;
use crate::sql::LETTER_COLUMNS;
use crate::value::{Statement, Value};

/// The columns of an event; its body is that of the last step with one.
const EVENT: &str = "SELECT correlation_id, status, kind, source, platform, channel, user_id, user_name, text, \
    first_at, last_at, (SELECT s.snapshot FROM step s WHERE s.event = event.id AND s.snapshot IS NOT NULL \
    ORDER BY s.at DESC, s.key DESC LIMIT 1) FROM event";

/// A list as it is put together.
struct Select {
    conditions: Vec<String>,
    values: Vec<Value>,
}

/// One event.
pub(crate) fn event(correlation_id: &str) -> Statement {
    Statement::new(format!("{EVENT} WHERE correlation_id = ?1"), [correlation_id.into()])
}

/// Events, newest first.
pub(crate) fn events(dialect: Dialect, filter: &EventFilter, page: &Page) -> Statement {
    let mut select = Select::new();
    select.equals("channel", filter.channel.as_deref().map(limits::name));
    select.equals("platform", filter.platform.as_deref().map(limits::name));
    select.equals("status", filter.status.map(codes::status));
    select.compares("first_at >=", filter.since);
    select.compares("first_at <", filter.until);
    if let Some(user) = filter.user.as_deref().map(limits::name) {
        let whole = select.value(user.as_str());
        let mut any = format!("user_id = ?{whole} OR user_raw = ?{whole} OR user_name = ?{whole}");
        if let Some((platform, raw)) = user.split_once(':') {
            // Before auth has seen an event its user is raw.
            let (platform, raw) = (select.value(platform), select.value(raw));
            any = format!("{any} OR (user_raw = ?{raw} AND user_id = ?{raw} AND platform = ?{platform})");
        }
        select.conditions.push(format!("({any})"));
    }
    if let Some(text) = filter.text.as_deref().map(limits::text).filter(|text| !text.is_empty()) {
        let parameter = select.value(text);
        select.conditions.push(dialect.contains("text", parameter));
    }
    select.finish(EVENT, "first_at DESC, correlation_id DESC", page)
}

/// Dead letters, newest first.
pub(crate) fn letters(dialect: Dialect, filter: &DeadLetterFilter, page: &Page) -> Statement {
    let mut select = Select::new();
    if !filter.ids.is_empty() {
        let ids =
            filter.ids.iter().filter(|id| limits::may_be_id(id)).cloned().map(serde_json::Value::String);
        let parameter = select.value(serde_json::Value::Array(ids.collect()).to_string());
        select.conditions.push(dialect.is_among("id", parameter));
    }
    select.equals("reason", filter.reason.as_deref().map(limits::name));
    select.equals("platform", filter.platform.as_deref().map(limits::name));
    select.equals("correlation_id", filter.correlation_id.as_deref().map(limits::name));
    select.equals("state", filter.state.map(codes::letter));
    select.compares("at >=", filter.since);
    select.compares("at <", filter.until);
    select.finish(&format!("SELECT {LETTER_COLUMNS} FROM letter"), "at DESC, id DESC", page)
}

/// Users, the last seen first.
pub(crate) fn users(filter: &UserFilter, page: &Page) -> Statement {
    let mut select = Select::new();
    if let Some(name) = filter.name.as_deref().map(census::folded) {
        let parameter = select.value(name);
        select.conditions.push(format!("(login = ?{parameter} OR display_name = ?{parameter})"));
    }
    select.equals("provider", filter.provider.as_deref().map(limits::name));
    select.equals("status", filter.status.map(codes::user));
    select.finish("SELECT id, record FROM users", "last_seen_at DESC, id DESC", page)
}

// === impl Select ===

impl Select {
    fn new() -> Self {
        Self { conditions: Vec::new(), values: Vec::new() }
    }

    /// Adds a parameter; gives its number.
    fn value(&mut self, value: impl Into<Value>) -> usize {
        self.values.push(value.into());
        self.values.len()
    }

    fn equals(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.compares(&format!("{column} ="), value);
    }

    fn compares(&mut self, comparison: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let parameter = self.value(value);
            self.conditions.push(format!("{comparison} ?{parameter}"));
        }
    }

    fn finish(mut self, columns: &str, order: &str, page: &Page) -> Statement {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let conditions = match self.conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.conditions.join(" AND ")),
        };
        let (limit, offset) =
            (self.value(number(page.limit.min(limits::MAX_PAGE))), self.value(number(page.offset)));
        let sql = format!("{columns}{conditions} ORDER BY {order} LIMIT ?{limit} OFFSET ?{offset}");
        Statement::new(sql, self.values)
    }
}
