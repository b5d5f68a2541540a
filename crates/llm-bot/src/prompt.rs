//! What the model is sent. Pure.

use serde::Serialize;

use crate::config::Compose;
use crate::memory::Said;
use crate::question::{Question, Speaker};

/// One message of the model's protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChatMessage {
    pub(crate) role: &'static str,
    pub(crate) content: String,
}

/// Everything the model is told: who it is, who asks, what was said before, what is asked.
pub(crate) fn messages(
    system: &str,
    question: &Question,
    before: &[Said],
    max_chars: usize,
) -> Vec<ChatMessage> {
    let mut all = Vec::with_capacity(before.len() + 3);
    if !system.trim().is_empty() {
        all.push(ChatMessage { role: "system", content: system.to_owned() });
    }
    if let Some(speaker) = &question.speaker {
        all.push(ChatMessage { role: "system", content: context(speaker) });
    }
    all.extend(before.iter().map(|said| match said {
        Said::User(text) => ChatMessage { role: "user", content: text.clone() },
        Said::Bot(text) => ChatMessage { role: "assistant", content: text.clone() },
    }));
    all.push(ChatMessage { role: "user", content: asked(question, max_chars) });
    all
}

/// The system prompt with the personalities.
pub(crate) fn compose(system: &str, personalities: &[String], mode: Compose) -> String {
    let system = Some(system.trim()).filter(|system| !system.is_empty());
    let parts = personalities.iter().map(String::as_str);
    let all: Vec<&str> = match mode {
        Compose::Replace if !personalities.is_empty() => parts.collect(),
        Compose::Append | Compose::Replace => system.into_iter().chain(parts).collect(),
        Compose::Prepend => parts.chain(system).collect(),
    };
    all.join("\n\n")
}

/// What is remembered of a question: what the user said, not what a rule put before it.
pub(crate) fn to_remember(question: &Question) -> String {
    question.text.clone().unwrap_or_else(|| question.prompts.join("\n\n"))
}

/// Prompts, then the message. Cut at the end: what rules say stands first.
fn asked(question: &Question, max_chars: usize) -> String {
    let parts: Vec<&str> = question.prompts.iter().chain(&question.text).map(String::as_str).collect();
    let joined = parts.join("\n\n");
    match joined.char_indices().nth(max_chars) {
        Some((end, _)) => joined.get(..end).unwrap_or_default().to_owned(),
        None => joined,
    }
}

fn context(speaker: &Speaker) -> String {
    let mut line = format!("The next question is from \"{}\"", speaker.name);
    if !speaker.roles.is_empty() {
        line.push_str(", whose roles are: ");
        line.push_str(&speaker.roles.join(", "));
    }
    line.push('.');
    line
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chatbus_event::Event;

    use super::*;

    fn question(json: &'static str) -> Question {
        Question::of(&Event::decode(&Bytes::from_static(json.as_bytes())).unwrap(), |_| false)
    }

    #[test]
    fn personalities_are_appended_prepended_or_put_in_place_of_the_system_prompt() {
        let both = ["one".to_owned(), "two".to_owned()];
        for (mode, with, without) in [
            (Compose::Append, "base\n\none\n\ntwo", "base"),
            (Compose::Prepend, "one\n\ntwo\n\nbase", "base"),
            (Compose::Replace, "one\n\ntwo", "base"),
        ] {
            assert_eq!(compose(" base ", &both, mode), with);
            assert_eq!(compose("base", &[], mode), without);
            assert_eq!(compose(" ", &both, mode), "one\n\ntwo");
        }
    }

    #[test]
    fn the_model_is_told_who_it_is_who_asks_what_was_said_and_what_is_asked() {
        let question = question(
            r#"{"type":"t","user":{"displayName":"Ann","roles":["moderator","vip"]},
                "message":{"role":"user","text":"why?"},"annotations":[{"kind":"prompt","value":"Be brief."}]}"#,
        );
        let before = [Said::User("hi".into()), Said::Bot("hello".into())];
        let sent = messages("You are a bot.", &question, &before, 100);
        let sent: Vec<(&str, &str)> = sent.iter().map(|m| (m.role, m.content.as_str())).collect();
        assert_eq!(
            sent,
            [
                ("system", "You are a bot."),
                ("system", "The next question is from \"Ann\", whose roles are: moderator, vip."),
                ("user", "hi"),
                ("assistant", "hello"),
                ("user", "Be brief.\n\nwhy?"),
            ]
        );
        assert_eq!(to_remember(&question), "why?");
    }

    #[test]
    fn a_long_question_is_cut_between_characters() {
        let question = question(r#"{"type":"t","message":{"role":"user","text":"üüüüüü"}}"#);
        assert_eq!(messages(" ", &question, &[], 3), [ChatMessage { role: "user", content: "üüü".into() }]);
    }
}
