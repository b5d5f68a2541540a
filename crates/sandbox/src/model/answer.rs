//! What it answers. Pure: the same question always gets the same answer.

use serde_json::{Value, json};

/// Of a question so many characters are repeated.
const MAX_TOPIC_CHARS: usize = 80;

/// The answer to a request: a fixed sentence about what the last user message asks.
pub fn answer_to(request: &Value) -> String {
    match topic(request) {
        Some(topic) => {
            format!(
                "You asked about \"{topic}\". I am the sandbox's model and know nothing, but I heard you."
            )
        }
        None => "I am the sandbox's model. Ask me something.".to_owned(),
    }
}

/// The last line of the last user message, without a command or a name before it and without what ends it.
fn topic(request: &Value) -> Option<String> {
    let messages = request.get("messages")?.as_array()?;
    let last =
        messages.iter().rev().find(|message| message.get("role").and_then(Value::as_str) == Some("user"))?;
    let line = last.get("content")?.as_str()?.trim().lines().next_back()?;
    let is_address = |word: &&str| word.starts_with(['!', '@']);
    let words: Vec<&str> = line.split_whitespace().skip_while(is_address).collect();
    let words = words.join(" ").replace('"', "'");
    let end = words.char_indices().nth(MAX_TOPIC_CHARS).map_or(words.len(), |(at, _)| at);
    let topic = words.get(..end)?.trim_matches(|c: char| c.is_whitespace() || "?!.,".contains(c));
    (!topic.is_empty()).then(|| topic.to_owned())
}

/// The answer as one JSON object.
pub(super) fn whole(number: u64, model: &str, created: i64, text: &str) -> Value {
    json!({
        "id": id(number), "object": "chat.completion", "created": created, "model": model,
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": text },
        }],
    })
}

/// The answer as server-sent events, a word at a time.
pub(super) fn pieces(number: u64, model: &str, created: i64, text: &str) -> Vec<String> {
    let piece = |delta: Value, finish: Option<&str>| {
        let chunk = json!({
            "id": id(number), "object": "chat.completion.chunk", "created": created, "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        format!("data: {chunk}\n\n")
    };
    let mut all = vec![piece(json!({ "role": "assistant", "content": "" }), None)];
    all.extend(text.split_inclusive(' ').map(|word| piece(json!({ "content": word }), None)));
    all.push(piece(json!({}), Some("stop")));
    all.push("data: [DONE]\n\n".to_owned());
    all
}

fn id(number: u64) -> String {
    format!("chatcmpl-sandbox-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> String {
        answer_to(&json!({ "messages": [
            { "role": "system", "content": "x" }, { "role": "user", "content": "before" },
            { "role": "assistant", "content": "y" }, { "role": "user", "content": text },
        ] }))
    }

    #[test]
    fn the_answer_names_what_was_asked_and_nothing_else_changes_it() {
        assert_eq!(
            asked("Be brief.\n\n!ask @bot why is the \"sky\" blue?!"),
            "You asked about \"why is the 'sky' blue\". I am the sandbox's model and know nothing, but I heard you."
        );
        assert_eq!(asked(&"ü".repeat(500)).matches('ü').count(), MAX_TOPIC_CHARS);
    }

    #[test]
    fn with_nothing_asked_it_says_so() {
        for nothing in ["", "  ", "!ask", "???"] {
            assert_eq!(asked(nothing), "I am the sandbox's model. Ask me something.", "{nothing:?}");
        }
        for odd in
            [json!({}), json!({ "messages": 7 }), json!({ "messages": [{ "role": "user", "content": [] }] })]
        {
            assert_eq!(answer_to(&odd), "I am the sandbox's model. Ask me something.");
        }
    }

    #[test]
    fn the_pieces_are_the_whole() {
        let text = "one two  three";
        let joined: String = pieces(1, "m", 0, text)
            .iter()
            .filter_map(|piece| serde_json::from_str::<Value>(piece.strip_prefix("data: ")?.trim()).ok())
            .map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(joined, text);
    }
}
