//! Badges: `name/version` pairs, of which events carry the names.

/// Names in the order in which they are shown.
pub(super) fn names(badges: &str) -> Vec<&str> {
    badges
        .split(',')
        .map(|badge| badge.split('/').next().unwrap_or(badge))
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_is_known_by_its_name_whatever_its_version_looks_like() {
        assert_eq!(names("moderator/1,subscriber/12"), ["moderator", "subscriber"]);
        assert_eq!(names("warcraft/horde,predictions/blue-1"), ["warcraft", "predictions"]);
        assert_eq!(names("moderator,,/1,a/b/c"), ["moderator", "a"]);
        assert!(names("").is_empty());
    }
}
