//! Parameters of a request: Twitch takes most from the query and from a form alike, some several times.

use serde_json::{Map, Value};

use super::answer::Problem;

/// Parameters, in the order given.
#[derive(Debug, Default)]
pub(super) struct Pairs(Vec<(String, String)>);

// === impl Pairs ===

impl Pairs {
    /// Those of the query and, when the body is a form, those of the body.
    pub(super) fn of(query: Option<&str>, body: &[u8]) -> Self {
        let mut pairs = Vec::new();
        for text in [query.unwrap_or_default().as_bytes(), body] {
            // A JSON body would be read as one strange name.
            if text.first() == Some(&b'{') {
                continue;
            }
            let decoded = url::form_urlencoded::parse(text);
            pairs.extend(decoded.map(|(key, value)| (key.into_owned(), value.into_owned())));
        }
        Self(pairs)
    }

    /// The first of this name that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All of this name that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, v)| v.as_str())
    }
}

/// The body as a JSON object; an empty one has no fields.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::bad("The request body is no JSON object")),
    }
}

/// A field that is a text and not empty.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_comes_from_query_or_form_and_may_come_again() {
        let pairs = Pairs::of(Some("login=a&login=b%20c&empty="), b"grant_type=refresh_token");
        assert_eq!(pairs.all("login").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!((pairs.get("empty"), pairs.get("grant_type")), (None, Some("refresh_token")));
        assert_eq!(Pairs::of(None, b"{\"a\":1}").get("{\"a\":1}"), None);
    }
}
