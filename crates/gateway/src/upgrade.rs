//! From a request to its answer: what is a WebSocket upgrade, and with which token. Pure.

use axum::http::header::{
    AUTHORIZATION, CONNECTION, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The subprotocol we speak.
pub(crate) const SUBPROTOCOL: &str = "chatbus.v1";
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// An upgrade that is one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// The token's secret.
    pub(crate) secret: &'a str,
    /// The page it comes from, when a browser says so.
    pub(crate) origin: Option<&'a str>,
    /// `Sec-WebSocket-Accept`.
    pub(crate) accept_key: String,
    /// Whether the client offered our subprotocol, and so has to be told that we speak it.
    pub(crate) offers_subprotocol: bool,
}

/// Why a request is none, or is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: &'static str,
}

// === impl Refusal ===

impl Refusal {
    pub(crate) const DRAINING: Self =
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "this instance stops; connect to another");
    pub(crate) const FULL: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "unavailable",
        "this instance has no room for connections",
    );
    pub(crate) const TOO_MANY: Self = Self::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_connections",
        "this user has 10 connections already",
    );
    pub(crate) const ORIGIN: Self =
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", "the token does not allow this origin");

    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    pub(crate) fn unauthorized(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn unavailable(message: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    fn bad(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_upgrade", message)
    }

    fn required(message: &'static str) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// Reads a request, whose path the router has looked at.
    pub(crate) fn read(request: &'a Parts) -> Result<Self, Refusal> {
        let headers = &request.headers;
        if request.method != Method::GET || request.version != Version::HTTP_11 {
            return Err(Refusal::bad("a WebSocket begins with GET and HTTP/1.1"));
        }
        if !tokens(headers, &UPGRADE)?.any(|token| token.eq_ignore_ascii_case("websocket"))
            || !tokens(headers, &CONNECTION)?.any(|token| token.eq_ignore_ascii_case("upgrade"))
        {
            return Err(Refusal::required(
                "this is a WebSocket: send Connection: Upgrade and Upgrade: websocket",
            ));
        }
        if only(headers, &SEC_WEBSOCKET_VERSION)? != Some("13") {
            return Err(Refusal::required("send Sec-WebSocket-Version: 13"));
        }
        let key = only(headers, &SEC_WEBSOCKET_KEY)?.unwrap_or_default();
        if !STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
            return Err(Refusal::bad("Sec-WebSocket-Key is not 16 bytes in base64"));
        }
        let offered: Vec<&str> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)?.collect();
        Ok(Self {
            secret: secret(headers, &offered)?,
            origin: only(headers, &ORIGIN)?,
            accept_key: derive_accept_key(key.as_bytes()),
            offers_subprotocol: offered.contains(&SUBPROTOCOL),
        })
    }
}

/// The token, from the header or the subprotocol; never from the query.
fn secret<'a>(headers: &'a HeaderMap, offered: &[&'a str]) -> Result<&'a str, Refusal> {
    let header = match only(headers, &AUTHORIZATION)? {
        None => None,
        Some(value) => match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => return Err(Refusal::unauthorized("send Authorization: Bearer TOKEN")),
        },
    };
    let mut bearers = offered.iter().filter_map(|protocol| protocol.strip_prefix(BEARER_SUBPROTOCOL));
    let (protocol, more) = (bearers.next(), bearers.next());
    match (header, protocol, more) {
        (Some(token), None, None) | (None, Some(token), None) => Ok(token),
        (None, None, None) => Err(Refusal::unauthorized("send a token")),
        _ => Err(Refusal::bad("send one token, in one place")),
    }
}

/// The items of a list header, of all its lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<impl Iterator<Item = &'a str>, Refusal> {
    let mut lines = Vec::new();
    for value in headers.get_all(name) {
        lines.push(value.to_str().map_err(|_| Refusal::bad("a header is not ASCII"))?);
    }
    Ok(lines.into_iter().flat_map(|line| line.split(',')).map(str::trim))
}

/// The value of a header that may stand there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(|text| Some(text.trim())).map_err(|_| Refusal::bad("a header is not ASCII"))
        }
        (Some(_), Some(_)) => Err(Refusal::bad("a header stands there twice")),
    }
}

#[cfg(test)]
mod tests;
