use axum::http::{HeaderValue, Request};

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn request(change: impl FnOnce(&mut Parts)) -> Parts {
    let (mut parts, ()) = Request::get("/ws/v1").body(()).unwrap().into_parts();
    for (name, value) in [
        (&UPGRADE, "websocket"),
        (&CONNECTION, "keep-alive, Upgrade"),
        (&SEC_WEBSOCKET_VERSION, "13"),
        (&SEC_WEBSOCKET_KEY, KEY),
        (&AUTHORIZATION, "Bearer s3cret"),
    ] {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    change(&mut parts);
    parts
}

fn set(name: &'static HeaderName, value: &'static str) -> impl FnOnce(&mut Parts) {
    move |parts| drop(parts.headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap()))
}

fn add(name: &'static HeaderName, value: &'static str) -> impl FnOnce(&mut Parts) {
    move |parts| assert!(parts.headers.append(name, HeaderValue::from_static(value)))
}

fn status(parts: &Parts) -> u16 {
    Asked::read(parts).map_or_else(|refusal| refusal.status.as_u16(), |_| 101)
}

#[test]
fn a_program_sends_its_token_in_the_header() {
    let parts = request(set(&ORIGIN, "https://example.org"));
    let asked = Asked::read(&parts).unwrap();
    assert_eq!((asked.secret, asked.origin), ("s3cret", Some("https://example.org")));
    assert_eq!(asked.accept_key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the example of RFC 6455");
    assert!(!asked.offers_subprotocol);
}

#[test]
fn a_browser_sends_its_token_as_a_subprotocol() {
    let parts = request(|parts| {
        parts.headers.remove(AUTHORIZATION);
        set(&SEC_WEBSOCKET_PROTOCOL, "chatbus.v1, bearer.s3cret")(parts);
    });
    let asked = Asked::read(&parts).unwrap();
    assert_eq!((asked.secret, asked.offers_subprotocol), ("s3cret", true));
}

#[test]
fn everything_odd_has_its_answer() {
    let cases: [(Parts, u16); 17] = [
        (request(|_| {}), 101),
        (request(|parts| parts.method = Method::POST), 400),
        (request(|parts| parts.version = Version::HTTP_10), 400),
        (request(|parts| drop(parts.headers.remove(UPGRADE))), 426),
        (request(set(&UPGRADE, "h2c")), 426),
        (request(set(&UPGRADE, "h2c, WebSocket")), 101),
        (request(set(&CONNECTION, "close")), 426),
        (request(set(&SEC_WEBSOCKET_VERSION, "8")), 426),
        (request(|parts| drop(parts.headers.remove(SEC_WEBSOCKET_KEY))), 400),
        (request(set(&SEC_WEBSOCKET_KEY, "c2hvcnQ=")), 400),
        (request(add(&SEC_WEBSOCKET_KEY, KEY)), 400),
        (request(|parts| drop(parts.headers.remove(AUTHORIZATION))), 401),
        (request(set(&AUTHORIZATION, "Basic dXNlcjpwYXNz")), 401),
        (request(set(&AUTHORIZATION, "Bearer \u{fc}")), 400),
        (request(add(&AUTHORIZATION, "Bearer other")), 400),
        (request(set(&SEC_WEBSOCKET_PROTOCOL, "bearer.other")), 400),
        (
            request(|parts| {
                parts.headers.remove(AUTHORIZATION);
                parts.uri = "/ws/v1?token=s3cret".parse().unwrap();
            }),
            401,
        ),
    ];
    for (parts, expected) in cases {
        assert_eq!(status(&parts), expected, "{parts:?}");
    }
}
