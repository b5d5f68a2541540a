//! One personality as it is written: in the store, or in a file. Pure.

use serde::Deserialize;

/// A personality that may be used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sheet {
    /// By which it is asked for.
    pub(super) name: String,
    /// How the model is to speak.
    pub(super) text: String,
    /// Of two with one name, both active, the higher one counts.
    pub(super) version: f64,
}

#[derive(Debug, Deserialize)]
struct Written {
    name: Option<String>,
    text: Option<String>,
    status: Option<String>,
    version: Option<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Version {
    Number(f64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Written>),
    One(Written),
}

/// A name is at most so long; a longer one is asked for by nobody.
const MAX_NAME_BYTES: usize = 200;

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Yaml,
}

/// Reads one personality or a list of them; those that are not active are left out. `name` is for one that has
/// none of its own.
///
/// # Errors
/// When the text is of another kind. What is told of it holds nothing of its content.
pub(super) fn read(text: &str, syntax: Syntax, name: &str) -> Result<Vec<Sheet>, String> {
    let written: OneOrMany = match syntax {
        Syntax::Json => {
            serde_json::from_str(text).map_err(|error| format!("line {}: no personality", error.line()))?
        }
        Syntax::Yaml => serde_saphyr::from_str(text).map_err(|_| "no personality".to_owned())?,
    };
    let written = match written {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    Ok(written.into_iter().filter_map(|written| written.sheet(name)).collect())
}

/// Without control characters other than line breaks, trimmed, at most so many characters; and whether anything
/// was cut off.
pub(super) fn clean(text: &str, max_chars: usize) -> (String, bool) {
    let kept: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let kept = kept.trim();
    match kept.char_indices().nth(max_chars) {
        Some((end, _)) => (kept.get(..end).unwrap_or_default().trim_end().to_owned(), true),
        None => (kept.to_owned(), false),
    }
}

// === impl Written ===

impl Written {
    fn sheet(self, name: &str) -> Option<Sheet> {
        let is_active = self.status.is_none_or(|status| status.trim().eq_ignore_ascii_case("active"));
        let text = self.text.filter(|text| !text.trim().is_empty())?;
        let name = self.name.unwrap_or_else(|| name.to_owned()).trim().to_owned();
        let version = match self.version {
            Some(Version::Number(number)) => number,
            Some(Version::Text(text)) => text.trim().parse().unwrap_or(0.0),
            None => 0.0,
        };
        let is_name = (1..=MAX_NAME_BYTES).contains(&name.len());
        (is_active && is_name).then_some(Sheet { name, text, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_say_the_same() {
        let expected = [Sheet { name: "pirate".into(), text: "Speak like one.".into(), version: 2.0 }];
        let json = r#"{"name":"pirate","text":"Speak like one.","status":"active","version":2,"tags":["x"]}"#;
        assert_eq!(read(json, Syntax::Json, "file").unwrap(), expected);
        let yaml = "name: pirate\ntext: Speak like one.\nversion: \"2\"\n";
        assert_eq!(read(yaml, Syntax::Yaml, "file").unwrap(), expected);
        let list =
            "- text: A\n- name: b\n  text: |\n    B\n    b\n  status: inactive\n- name: c\n  text: C\n";
        let names: Vec<String> =
            read(list, Syntax::Yaml, "file").unwrap().into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["file", "c"]);
    }

    #[test]
    fn what_is_inactive_or_says_nothing_is_left_out_and_garbage_is_an_error() {
        for nothing in [
            r#"{"name":"a","text":"x","status":"draft"}"#,
            r#"{"name":"a","text":" "}"#,
            r#"{"name":"a"}"#,
            "[]",
        ] {
            assert_eq!(read(nothing, Syntax::Json, "f").unwrap(), [], "{nothing}");
        }
        assert!(read("secret words", Syntax::Json, "f").is_err_and(|why| !why.contains("secret")));
        assert!(read("a: [", Syntax::Yaml, "f").is_err());
        // Aliases that multiply are stopped by the reader's own budget.
        let bomb: String = (1..12)
            .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(",")))
            .collect();
        assert!(read(&format!("a0: &a0 [x]\n{bomb}"), Syntax::Yaml, "f").is_err());
    }

    #[test]
    fn a_text_is_cleaned_and_cut_between_characters() {
        assert_eq!(clean(" a\u{0}b\nc ", 10), ("ab\nc".into(), false));
        assert_eq!(clean("üüüü", 3), ("üüü".into(), true));
        assert_eq!(clean("ab cd", 3), ("ab".into(), true));
    }
}
