//! Reads the fields of a request one by one, so that every complaint names its field, a wrong type and
//! an unknown name included.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::twitch_irc::BadRequest;

/// A request that is not carried out: status and `{"error":…}`.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: String,
}

/// The fields of a body or a query that were not read yet.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

// === impl Refused ===

impl Refused {
    pub(super) fn with(status: StatusCode, error: &str) -> Self {
        Self { status, error: error.to_owned() }
    }

    pub(super) fn field(name: &str, problem: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: format!("{name} {problem}") }
    }
}

impl From<BadRequest> for Refused {
    fn from(bad: BadRequest) -> Self {
        Self::field(bad.field, &bad.problem)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

// === impl Fields ===

impl Fields {
    /// The fields of a JSON object; an empty body has none.
    pub(super) fn of_body(body: &[u8]) -> Result<Self, Refused> {
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Refused::field("body", "is not a JSON object")),
            Err(error) => Err(Refused::field("body", &format!("is not JSON: {error}"))),
        }
    }

    /// The fields of a query; all are texts.
    pub(super) fn of_query(pairs: Vec<(String, String)>) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
    }

    /// A field as it is; null is as good as absent.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refused::field(name, "is not a text")),
        }
    }

    pub(super) fn must_text(&mut self, name: &str) -> Result<String, Refused> {
        self.text(name)?.ok_or_else(|| Refused::field(name, "is missing"))
    }

    pub(super) fn on(&mut self, name: &str) -> Result<Option<bool>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(on)) => Ok(Some(on)),
            Some(_) => Err(Refused::field(name, "is not true or false")),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => {
                let number =
                    value.as_u64().ok_or_else(|| Refused::field(name, "is not a whole number from 0"))?;
                Ok(Some(number))
            }
        }
    }

    /// A number from -1 on.
    pub(super) fn signed(&mut self, name: &str) -> Result<Option<i64>, Refused> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) if number >= -1 => Ok(Some(number)),
                _ => Err(Refused::field(name, "is not a whole number from -1")),
            },
        }
    }

    /// Something in a second: above 0, at most a million.
    pub(super) fn rate(&mut self) -> Result<Option<f64>, Refused> {
        match self.value("rate") {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(rate) if rate > 0.0 && rate <= 1_000_000.0 => Ok(Some(rate)),
                _ => Err(Refused::field("rate", "is not above 0 and at most 1000000")),
            },
        }
    }

    /// Complains about what was not read: most likely a misspelt name.
    pub(super) fn end(self) -> Result<(), Refused> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refused::field(name, "is no field of this request")),
        }
    }
}
