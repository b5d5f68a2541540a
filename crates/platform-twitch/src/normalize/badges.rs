//! Badges: `name/version` pairs, of which events carry the names.

use crate::irc::grammar::scan;

/// Names in the order in which they are shown.
pub(super) fn names(badges: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = badges;
    while !rest.is_empty() {
        let (badge, after) = scan::cut(rest, b',');
        let (name, _) = scan::cut(badge, b'/');
        if !name.is_empty() {
            names.push(name);
        }
        rest = after;
    }
    names
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
