//! Text that people write, YAML or JSON, as a tree.

use serde_json::Value;

/// The longest file or document that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;
/// Nodes of a YAML document, so that anchors cannot multiply it.
const MAX_NODES: usize = 200_000;
/// Levels of a YAML document.
const MAX_LEVELS: usize = 48;

/// Reads a document: JSON where the name ends in `.json`, else YAML, of which JSON is a part.
pub(crate) fn parse(name: &str, text: &str) -> Result<Value, String> {
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(format!("over {MAX_DOCUMENT_BYTES} bytes"));
    }
    let is_json = name.rsplit('.').next().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if is_json {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let options = serde_saphyr::options! {
        strict_booleans: true,
        budget: budget(),
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

fn budget() -> Option<serde_saphyr::Budget> {
    serde_saphyr::budget! {
        max_nodes: MAX_NODES,
        max_events: 2 * MAX_NODES,
        max_depth: MAX_LEVELS,
        flow_nesting_limit: MAX_LEVELS,
        max_aliases: 1_000,
        max_anchors: 1_000,
        max_recorded_anchor_events: MAX_NODES,
        max_recorded_anchor_bytes: MAX_DOCUMENT_BYTES,
    }
}

/// How many levels a tree has; a plain value has none.
pub(crate) fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_and_json_are_read_and_words_are_no_booleans() {
        let expected = json!({ "a": ["no", true, 1.5], "b": { "c": null } });
        assert_eq!(parse("x.yaml", "a: [no, true, 1.5]\nb:\n  c: null\n"), Ok(expected.clone()));
        assert_eq!(parse("x.JSON", &expected.to_string()), Ok(expected.clone()));
        assert_eq!(parse("x", &expected.to_string()), Ok(expected));
    }

    #[test]
    fn what_is_broken_is_said_with_its_place() {
        let error = parse("x.yaml", "a: [1,\nb: 2\n").unwrap_err();
        assert!(error.contains("line"), "{error}");
        let error = parse("x.json", "{\n\"a\": 1,}").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        let error = parse("x.yaml", "a: 1\na: 2\n").unwrap_err();
        assert!(error.contains("duplicate"), "{error}");
    }

    #[test]
    fn what_would_grow_or_is_too_deep_is_refused() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e"), ("g", "f")] {
            let items = vec![format!("*{of}"); 10].join(",");
            bomb.push_str(&format!("{name}: &{name} [{items}]\n"));
        }
        assert!(parse("x.yaml", &bomb).is_err());
        assert!(parse("x.yaml", &"[".repeat(100)).is_err());
        assert!(parse("x.yaml", &"- ".repeat(100)).is_err());
        assert!(parse("x.yaml", &" ".repeat(MAX_DOCUMENT_BYTES + 1)).unwrap_err().starts_with("over"));
    }

    #[test]
    fn levels_are_counted() {
        assert_eq!(levels(&json!(1)), 0);
        assert_eq!(levels(&json!([{ "a": [] }, 1])), 3);
    }
}
