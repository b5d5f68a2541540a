//! Refusals, in the two shapes that Twitch has: `{"status","message"}` of its OAuth server, and
//! `{"error","status","message"}` of Helix.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) message: String,
    oauth: bool,
}

/// What an endpoint answers.
pub(super) type Answer = Result<Response, Problem>;

// === impl Problem ===

impl Problem {
    /// In Helix's shape.
    pub(super) fn new(status: u16, message: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, message: message.to_owned(), oauth: false }
    }

    /// In the OAuth server's.
    pub(super) fn oauth(status: u16, message: &str) -> Self {
        Self { oauth: true, ..Self::new(status, message) }
    }

    pub(super) fn bad(message: &str) -> Self {
        Self::new(400, message)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(400, &format!("The parameter \"{parameter}\" was malformed: the value must not be empty"))
    }

    pub(super) fn scope(scope: &str) -> Self {
        Self::new(401, &format!("Missing scope: {scope}"))
    }

    fn body(&self) -> Value {
        let (status, message) = (self.status.as_u16(), &self.message);
        if self.oauth {
            return json!({ "status": status, "message": message });
        }
        let error = self.status.canonical_reason().unwrap_or("Error");
        json!({ "error": error, "status": status, "message": message })
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("OAuth realm=\"TwitchTV\", error='invalid_token'");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

/// 200 with a JSON body.
pub(super) fn ok(body: Value) -> Answer {
    Ok(Json(body).into_response())
}

/// 200 with `{"data":[…]}`.
pub(super) fn data(rows: &[Value]) -> Answer {
    ok(json!({ "data": rows }))
}
