//! Lines that a new platform needs in files that are there. Text in, text out.

use anyhow::{Context, Result, ensure};

use super::name::PlatformName;

/// How the lines of platforms begin in a manifest.
const FAMILY: &str = "chatbus-platform-";

/// A manifest with this line among those of the platforms, before the first that it sorts before.
pub(super) fn into_family(manifest: &str, line: &str) -> Result<String> {
    let key = |line: &str| line.split([' ', '.', '=']).next().unwrap_or_default().to_owned();
    let mut lines: Vec<&str> = manifest.lines().collect();
    let family: Vec<usize> = (0..lines.len()).filter(|at| is_family(&lines, *at)).collect();
    let last = *family.last().context("the manifest names no platform")?;
    ensure!(!family.iter().any(|at| key(lines[*at]) == key(line)), "the manifest has {} already", key(line));
    let is_sorted = family.is_sorted_by_key(|at| key(lines[*at]));
    let before = family.iter().find(|at| is_sorted && key(lines[**at]) > key(line));
    lines.insert(before.copied().unwrap_or(last + 1), line);
    Ok(lines.join("\n") + "\n")
}

fn is_family(lines: &[&str], at: usize) -> bool {
    lines[at].starts_with(FAMILY)
}

/// The registry with the platform's factory, and its name among those that events may use.
pub(super) fn into_registry(source: &str, name: &PlatformName) -> Result<String> {
    let path = format!("chatbus_platform_{name}");
    ensure!(!source.contains(&format!("{path}::")), "the registry has {name} already");
    let list = source.find("fn platforms()").context("the registry has no fn platforms()")?;
    let open = source[list..].find("vec![").context("fn platforms() has no vec![…]")? + list + "vec!".len();
    let close = open + closing(&source[open..]).context("the list of platforms does not end")?;
    let listed = source[..close].trim_end().trim_end_matches(',');
    let mut made = format!("{listed}, Box::new({path}::Factory){}", &source[close..]);
    if made.contains(&format!("name: \"{name}\"")) {
        return Ok(made);
    }
    let table = made.find("fn platform_table()").context("the registry has no fn platform_table()")?;
    // The gateway's row is the last.
    let gateway = made[table..].find("Platform { name: GATEWAY").context("the table has no gateway")? + table;
    let row = format!("Platform {{ name: {path}::PLATFORM, aliases: &[], reach: Reach::Public }},\n        ");
    made.insert_str(gateway, &row);
    Ok(made)
}

/// Where the bracket closes that a text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

/// The rules with a word among those that are no sign of a platform.
pub(super) fn ordinary_word(rules: &str, word: &str) -> Result<String> {
    let section = rules.find("[platform-names]").context("layers.toml has no [platform-names]")?;
    let list = rules[section..].find("ordinary = [").context("[platform-names] has no ordinary = […]")?;
    let open = section + list + "ordinary = ".len();
    let close = open + closing(&rules[open..]).context("the list of ordinary words does not end")?;
    let separator = if rules[open + 1..close].trim().is_empty() { "" } else { ", " };
    Ok(format!("{}{separator}\"{word}\"{}", &rules[..close], &rules[close..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PlatformName {
        PlatformName::parse(text).expect("a name")
    }

    #[test]
    fn a_line_of_a_manifest_stands_in_its_place() {
        let manifest = "[a]\nchatbus-ops = 1\nchatbus-platform-a.workspace = true\n\
                        chatbus-platform-t.workspace = true\nchatbus-z = 1\n";
        for (new, line) in [("b", 3), ("z", 4)] {
            let made =
                into_family(manifest, &format!("chatbus-platform-{new}.workspace = true")).expect("made");
            let found = made.lines().position(|line| line.starts_with(&format!("chatbus-platform-{new}")));
            assert_eq!((found, made.lines().count()), (Some(line), 6), "{made}");
        }
        let unsorted = "chatbus-platform-t = 1\nchatbus-platform-a = 1\nx = 1\n";
        let made = into_family(unsorted, "chatbus-platform-b = 1").expect("made");
        assert_eq!(made.lines().nth(2), Some("chatbus-platform-b = 1"), "{made}");
        assert!(into_family(manifest, "chatbus-platform-t = 1").is_err(), "twice");
        assert!(into_family("[a]\n", "chatbus-platform-t = 1").is_err());
    }

    const REGISTRY: &str = "fn buses() { vec![] }\n\
        fn platforms() -> Vec<Box<dyn F>> {\n    vec![\n        Box::new(chatbus_platform_a::Factory),\n    ]\n}\n\
        fn platform_table() {\n    new([\n        Platform { name: \"known\", aliases: &[] },\n        \
        Platform { name: GATEWAY, aliases: &[\"b\"] },\n    ])\n}\n";

    #[test]
    fn the_registry_gets_a_factory_and_a_row_before_the_gateways() {
        let made = into_registry(REGISTRY, &name("irc2")).expect("made");
        assert!(
            made.contains("Box::new(chatbus_platform_a::Factory), Box::new(chatbus_platform_irc2::Factory)]"),
            "{made}"
        );
        let row = "name: chatbus_platform_irc2::PLATFORM, aliases: &[], reach: Reach::Public },\n        \
                   Platform { name: GATEWAY";
        assert!(made.contains(row), "{made}");
        assert!(into_registry(&made, &name("irc2")).is_err(), "twice");
        assert!(into_registry("fn main() {}", &name("irc2")).is_err());
    }

    #[test]
    fn a_name_that_events_may_use_already_gets_no_second_row() {
        let made = into_registry(REGISTRY, &name("known")).expect("made");
        assert!(made.contains("chatbus_platform_known::Factory"));
        assert!(!made.contains("chatbus_platform_known::PLATFORM"), "{made}");
    }

    #[test]
    fn an_ordinary_word_is_listed_after_the_others() {
        for (list, expected) in [("[]", "[\"hook\"]"), ("[\"a\"]", "[\"a\", \"hook\"]")] {
            let rules = format!("[platform-names]\nnames = [\"b\"]\nordinary = {list}\n");
            let made = ordinary_word(&rules, "hook").expect("made");
            assert!(made.ends_with(&format!("ordinary = {expected}\n")), "{made}");
        }
        assert!(ordinary_word("[layers]\n", "hook").is_err());
    }
}
