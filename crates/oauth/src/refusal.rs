//! What an error of a token address means (RFC 6749, section 5.2; RFC 8628, section 3.5), and the answers of
//! platforms that have errors of their own there.

use serde::Deserialize;

use crate::ProviderError;

#[derive(Deserialize, Default)]
struct ErrorAnswer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default, alias = "error_description")]
    message: Option<String>,
}

/// Refusals of the application or of how it asked. They say nothing of the token, and a person mends them in
/// the settings: meanwhile the login is kept.
const NOT_OF_THE_TOKEN: [&str; 9] = [
    "invalid_client",
    "invalid_client_secret",
    "missing_client_id",
    "missing_client_secret",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_request",
    "temporarily_unavailable",
    "server_error",
];

/// The longest code, in bytes.
const MAX_CODE: usize = 64;
/// The longest message that is passed on, in characters.
const MAX_MESSAGE: usize = 200;

/// What is shorter, in bytes, is no secret, and may be a part of any word.
const SHORTEST_SECRET: usize = 6;

/// What an answer other than success means. None of these secrets is in what it gives.
pub(crate) fn judge(status: u16, body: &[u8], secrets: &[&str]) -> ProviderError {
    let told: ErrorAnswer = serde_json::from_slice(body).unwrap_or_default();
    let message = shown(told.message.as_deref().unwrap_or_default(), secrets);
    // Some answer with the reason phrase of the status as their error, and the error as their message.
    let code = match told.error {
        Some(error) if is_code(&error) => error,
        _ => as_code(&message),
    };
    if matches!(status, 400 | 401) && !code.is_empty() && !NOT_OF_THE_TOKEN.contains(&code.as_str()) {
        return ProviderError::Refused { code, message };
    }
    let said = if message.is_empty() { code } else { message };
    ProviderError::Unavailable(format!("HTTP {status} {said}").trim_end().to_owned())
}

fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// `Invalid refresh token` as `invalid_refresh_token`.
fn as_code(message: &str) -> String {
    let words = message.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_")
}

/// What may be shown of a platform's text: no secret, no control characters, not too much.
fn shown(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
        text = text.replace(secret, "…");
    }
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_token_is_a_refusal() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"invalid_grant","error_description":"expired"}"#,
                "refused: invalid_grant: expired",
            ),
            (401, r#"{"error":"invalid_grant"}"#, "refused: invalid_grant: "),
            (
                400,
                r#"{"status":400,"message":"Invalid refresh token"}"#,
                "refused: invalid_refresh_token: Invalid refresh token",
            ),
            (
                400,
                r#"{"error":"Bad Request","status":400,"message":"Invalid authorization code"}"#,
                "refused: invalid_authorization_code: Invalid authorization code",
            ),
            (
                400,
                r#"{"status":400,"message":"authorization_pending"}"#,
                "refused: authorization_pending: authorization_pending",
            ),
            (400, r#"{"error":"slow_down"}"#, "refused: slow_down: "),
            (400, r#"{"status":400,"message":"invalid client"}"#, "unavailable: HTTP 400 invalid client"),
            (
                403,
                r#"{"status":403,"message":"invalid client secret"}"#,
                "unavailable: HTTP 403 invalid client secret",
            ),
            (401, r#"{"error":"invalid_client"}"#, "unavailable: HTTP 401 invalid_client"),
            (400, r#"{"error":"unsupported_grant_type"}"#, "unavailable: HTTP 400 unsupported_grant_type"),
            (400, "<html>a proxy's</html>", "unavailable: HTTP 400"),
            (400, "", "unavailable: HTTP 400"),
            (404, r#"{"error":"invalid_grant"}"#, "unavailable: HTTP 404 invalid_grant"),
            (429, r#"{"message":"slow"}"#, "unavailable: HTTP 429 slow"),
            (500, "oops", "unavailable: HTTP 500"),
            (503, r#"{"error":"invalid_grant"}"#, "unavailable: HTTP 503 invalid_grant"),
            (302, "", "unavailable: HTTP 302"),
        ] {
            assert_eq!(judge(status, body.as_bytes(), &[]).to_string(), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_a_platform_says_is_passed_on_short_and_without_secrets() {
        let body = format!(r#"{{"message":"token s3cret is\u0007 bad {}"}}"#, "x".repeat(500));
        let ProviderError::Refused { code, message } = judge(400, body.as_bytes(), &["s3cret", "is"]) else {
            panic!("it is refused")
        };
        assert!(
            message.starts_with("token … is bad x") && message.chars().count() == MAX_MESSAGE,
            "{message}"
        );
        assert!(!code.contains("s3cret") && code.chars().count() <= MAX_MESSAGE, "{code}");
    }
}
