//! Channel names in the platform's form.

use std::sync::Arc;

/// `#` and 1 to 64 of `a-z 0-9 _ -`, lower case. `None` when no channel can be called so.
pub fn channel_name(text: &str) -> Option<Arc<str>> {
    let text = text.trim();
    let name = text.strip_prefix('#').unwrap_or(text);
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let valid = (1..=64).contains(&name.len()) && name.bytes().all(is_part);
    valid.then(|| format!("#{}", name.to_ascii_lowercase()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_found_with_or_without_its_sign_and_in_any_case() {
        for text in ["my-channel", "#my-channel", " #MY-Channel"] {
            assert_eq!(channel_name(text).as_deref(), Some("#my-channel"), "{text:?}");
        }
        for bad in ["", "#", "##a", "a/b", "a b", "a:b", "höhle", "..", &"x".repeat(65)] {
            assert_eq!(channel_name(bad), None, "{bad:?}");
        }
    }
}
