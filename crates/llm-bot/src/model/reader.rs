//! Reads an answer as it comes: a stream of events, or one JSON object. Pure.

use serde::Deserialize;

use super::failure::{BAD_ANSWER, MODEL_ERROR, RATE_LIMITED, Trouble};
use super::sse::Events;

/// An answer in the making.
///
/// Which of the two kinds it is its first byte says, not the content type: endpoints and the proxies before
/// them often name another.
#[derive(Debug)]
pub(super) struct Reader {
    most: usize,
    taken: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Unknown,
    Json(Vec<u8>),
    Stream(Streamed),
}

#[derive(Debug, Default)]
struct Streamed {
    events: Events,
    text: String,
    /// Something of the protocol was read.
    is_known: bool,
    is_whole: bool,
    is_over: bool,
}

#[derive(Debug, Deserialize)]
struct Piece {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    delta: Option<Said>,
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// The end of a stream.
const DONE: &str = "[DONE]";

// === impl Reader ===

impl Reader {
    /// For an answer of at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, taken: 0, body: Body::Unknown }
    }

    /// Takes what came.
    ///
    /// # Errors
    /// When it is too much, no answer, or the endpoint's word that it failed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken > self.most {
            return Err(Trouble::lasting(BAD_ANSWER, format!("the answer is over {} bytes", self.most)));
        }
        if matches!(self.body, Body::Unknown) {
            let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(()) };
            let is_json = *first == b'{';
            self.body = if is_json { Body::Json(Vec::new()) } else { Body::Stream(Streamed::default()) };
        }
        match &mut self.body {
            Body::Unknown => Ok(()),
            Body::Json(kept) => {
                kept.extend_from_slice(bytes);
                Ok(())
            }
            Body::Stream(streamed) => streamed.push(bytes),
        }
    }

    /// Whether all of the answer is there, although more may come.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.body, Body::Stream(streamed) if streamed.is_whole)
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        matches!(&self.body, Body::Stream(streamed) if streamed.is_over)
    }

    /// The answer, now that its end has come.
    ///
    /// # Errors
    /// When it is none, or only its beginning.
    pub(super) fn finish(self) -> Result<String, Trouble> {
        match self.body {
            Body::Unknown => Err(Trouble::lasting(BAD_ANSWER, "the answer is empty")),
            Body::Json(bytes) => whole(&bytes),
            Body::Stream(streamed) if streamed.is_whole => Ok(streamed.text),
            Body::Stream(streamed) if streamed.is_known => {
                Err(Trouble::passing(MODEL_ERROR, "the answer ended in its middle"))
            }
            Body::Stream(_) => Err(garbage()),
        }
    }
}

fn garbage() -> Trouble {
    Trouble::lasting(BAD_ANSWER, "the answer is not of the chat completions protocol")
}

fn whole(bytes: &[u8]) -> Result<String, Trouble> {
    let piece: Piece = serde_json::from_slice(bytes).map_err(|_| garbage())?;
    piece.check()?;
    let choice = piece.choices.into_iter().next().ok_or_else(garbage)?;
    Ok(choice.message.ok_or_else(garbage)?.text())
}

/// What an endpoint's `error` means. Its message may hold the user's words and is not passed on.
pub(super) fn refusal(error: &serde_json::Value) -> Trouble {
    let word = |key: &str| error.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    if word("code") == "insufficient_quota" || word("type") == "insufficient_quota" {
        return Trouble::lasting(RATE_LIMITED, "the account's quota at the model's endpoint is used up");
    }
    if word("code").contains("rate_limit") || word("type").contains("rate_limit") {
        return Trouble::passing(RATE_LIMITED, "the model's endpoint limits how often it is asked");
    }
    Trouble::passing(MODEL_ERROR, "the model's endpoint answered with an error")
}

// === impl Streamed ===

impl Streamed {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let Self { events, text, is_known, is_whole, is_over } = self;
        events.push(bytes, |data| {
            if *is_over {
                return Ok(());
            }
            if data.trim() == DONE {
                // With nothing before it, it ends no answer.
                (*is_over, *is_whole) = (true, *is_known);
                return Ok(());
            }
            let piece: Piece = serde_json::from_str(data).map_err(|_| garbage())?;
            piece.check()?;
            *is_known = true;
            for choice in piece.choices.into_iter().filter(|choice| choice.index == 0) {
                text.push_str(&choice.delta.or(choice.message).unwrap_or_default().text());
                *is_whole |= choice.finish_reason.is_some();
            }
            Ok(())
        })
    }
}

// === impl Piece ===

impl Piece {
    fn check(&self) -> Result<(), Trouble> {
        match self.error.as_ref().filter(|error| !error.is_null()) {
            Some(error) => Err(refusal(error)),
            None => Ok(()),
        }
    }
}

// === impl Said ===

impl Said {
    fn text(self) -> String {
        match self.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<String, Trouble> {
        let mut reader = Reader::new(10_000);
        reader.push(body.as_bytes())?;
        reader.finish()
    }

    fn code(body: &str) -> (&'static str, bool) {
        let trouble = read(body).unwrap_err();
        (trouble.failure.code, trouble.passes)
    }

    #[test]
    fn a_stream_and_an_object_say_the_same() {
        for body in [
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}"#,
            " \n {\"choices\":[{\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Hel\"},{\"text\":\"lo\"},{}]}}]}",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n: ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: [DONE]\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\ndata: [DONE]\n\ndata: {\"error\":{}}\n\n",
        ] {
            assert_eq!(read(body).as_deref(), Ok("Hello"), "{body}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_an_empty_one() {
        for body in [
            r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#,
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ] {
            assert_eq!(read(body).as_deref(), Ok(""), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer_is_told_from_one_that_was_cut() {
        for garbage in [
            "",
            "  ",
            "<html>sorry</html>",
            "{",
            "{}",
            r#"{"choices":[]}"#,
            r#"{"choices":[{}]}"#,
            "[1]",
            "data: nonsense\n\n",
            "data: [DONE]\n\n",
            "data: 7\n\n",
        ] {
            assert_eq!(code(garbage), (BAD_ANSWER, false), "{garbage:?}");
        }
        for cut in [
            "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"}}]}\n\n",
            "data: {\"choices\":[]}\n\ndata: {\"cho",
        ] {
            assert_eq!(code(cut), (MODEL_ERROR, true), "{cut:?}");
        }
    }

    #[test]
    fn an_error_in_an_answer_is_one_and_its_words_are_not_passed_on() {
        let error = |inner: &str| read(&format!("data: {{\"error\":{{{inner}}}}}\n\n")).unwrap_err();
        let trouble = error(r#""message":"the user said: secret""#);
        assert_eq!((trouble.failure.code, trouble.passes), (MODEL_ERROR, true));
        assert!(!trouble.failure.message.contains("secret"));
        let quota = error(r#""code":"insufficient_quota""#);
        assert_eq!((quota.failure.code, quota.passes), (RATE_LIMITED, false));
        let limited = error(r#""type":"rate_limit_exceeded""#);
        assert_eq!((limited.failure.code, limited.passes), (RATE_LIMITED, true));
    }

    #[test]
    fn an_answer_is_bounded_while_it_is_read() {
        let mut reader = Reader::new(10);
        assert!(reader.push(b"{\"a\":\"xx").is_ok());
        assert_eq!(reader.push(b"xxxx").unwrap_err().failure.code, BAD_ANSWER);
    }
}
