//! Why something that the administrator asked for is not done.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chatbus_store::StoreError;
use serde_json::json;

/// Why it is not done.
#[derive(Debug)]
pub(crate) struct Refused {
    code: &'static str,
    why: String,
}

// === impl Refused ===

impl Refused {
    pub(crate) fn new(code: &'static str, why: &impl std::fmt::Display) -> Self {
        Self { code, why: why.to_string() }
    }

    pub(crate) fn bad_request(why: &impl std::fmt::Display) -> Self {
        Self::new("bad_request", why)
    }

    pub(crate) fn not_found(what: &'static str) -> Self {
        Self::new("not_found", &what)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::new("store_unavailable", &error)
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.code {
            "bad_request" => StatusCode::BAD_REQUEST,
            "not_found" => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": { "code": self.code, "message": self.why } }))).into_response()
    }
}
