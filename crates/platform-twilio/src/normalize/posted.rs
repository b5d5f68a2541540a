//! What kind of request a form is.

use crate::form::Form;

/// An `EventType` that is longer, or has other characters than letters, is none.
const MAX_KIND: usize = 64;

/// What is posted is of one of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// Someone sent a text message.
    Message,
    /// Someone said something in a conversation.
    ConversationMessage,
    /// Something else happened to a conversation.
    Conversation,
    /// The status of one of our messages.
    Status,
}

// === impl Posted ===

impl Posted {
    /// What a form is; an error says what it lacks.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn of(form: &Form) -> Result<Self, &'static str> {
        if let Some(kind) = form.get("EventType").filter(|kind| kind.starts_with("on")) {
            let is_kind = kind.len() <= MAX_KIND && kind.bytes().all(|b| b.is_ascii_alphabetic());
            let message = kind == "onMessageAdded";
            return match () {
                () if !is_kind => Err("EventType is none of Twilio's"),
                () if form.get("ConversationSid").is_none() => Err("ConversationSid is missing"),
                () if message && form.get("MessageSid").is_none() => Err("MessageSid is missing"),
                () if message => Ok(Self::ConversationMessage),
                () => Ok(Self::Conversation),
            };
        }
        if sid(form).is_none() {
            return Err("MessageSid is missing");
        }
        let received = |status: &str| matches!(status, "received" | "receiving");
        let status = form.get("MessageStatus").or(form.get("SmsStatus"));
        match status {
            Some(status) if !received(status) => Ok(Self::Status),
            _ if form.get("From").is_none() => Err("From is missing"),
            _ if form.value("Body").is_none() && form.get("NumMedia").is_none() => Err("Body is missing"),
            _ => Ok(Self::Message),
        }
    }
}

/// The message's id.
pub fn sid(form: &Form) -> Option<&str> {
    form.get("MessageSid").or(form.get("SmsSid")).or(form.get("SmsMessageSid"))
}
