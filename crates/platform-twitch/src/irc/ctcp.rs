//! CTCP, as far as Twitch has it: `/me`.

/// The text of an action without its wrapper, and whether it was one. The closing mark may be missing.
pub(crate) fn action(text: &str) -> (&str, bool) {
    let Some(inner) = text.strip_prefix("\u{1}ACTION") else { return (text, false) };
    let inner = inner.strip_suffix('\u{1}').unwrap_or(inner);
    match inner.strip_prefix(' ') {
        Some(inner) => (inner, true),
        None if inner.is_empty() => (inner, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_loses_its_wrapper_and_nothing_else_does() {
        assert_eq!(action("\u{1}ACTION waves\u{1}"), ("waves", true));
        assert_eq!(action("\u{1}ACTION  waves"), (" waves", true));
        assert_eq!(action("\u{1}ACTION\u{1}"), ("", true));
        assert_eq!(action("\u{1}ACTIONS\u{1}"), ("\u{1}ACTIONS\u{1}", false));
        assert_eq!(action("\u{1}VERSION\u{1}"), ("\u{1}VERSION\u{1}", false));
        assert_eq!(action("ACTION waves"), ("ACTION waves", false));
    }
}
