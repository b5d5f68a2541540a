//! Waiting with a deadline, and odd texts.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How long a condition may take: far longer than any platform needs on a busy machine.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a connector may take to end.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How long one test may take in all: a call that never returns fails it instead of hanging it.
const TEST_DEADLINE: Duration = Duration::from_secs(180);

/// One whole test, within its deadline.
pub async fn bounded(promise: impl Future<Output = ()>) {
    assert!(timeout(TEST_DEADLINE, promise).await.is_ok(), "the test took longer than {TEST_DEADLINE:?}");
}

/// Fails the test.
pub(super) fn fail<T>(why: &str) -> T {
    assert!(why.is_empty(), "{why}");
    unreachable!("an empty reason to fail")
}

/// `future`'s value, within the deadline.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| fail(&format!("took too long: {what}")))
}

/// Polls until it is so.
pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        while !is_so() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Texts that have hurt somebody somewhere.
pub(super) fn odd_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "\u{a0}\u{2003}",
        "\0",
        "\u{1}ACTION waves\u{1}",
        "a\r\nQUIT :b\r\n\r\nc",
        "a\nx-header: b",
        "\u{202e}txet desrever",
        "\u{feff}\u{200b}",
        "/ban everybody",
        "@everyone <@1>",
        "../../etc/passwd",
        "a?b=c&d#e",
        "%00%0a%2f",
        "\"}],{\"a\":1",
        "${jndi:x} {{x}} $(x) `x`",
        "'; DROP TABLE a; --",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "e\u{301}\u{301}\u{301}\u{301}",
        "*",
        ">",
    ]
    .map(str::to_owned)
    .into();
    texts.push("x".repeat(300));
    texts
}

/// Whether a text can stand in a line, a path or a list without being more than a text.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.trim() == text && !text.chars().any(char::is_control)
}
