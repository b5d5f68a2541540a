//! What the Twilio connector is made from: values that are read and checked already.

use std::sync::Arc;

use chatbus_connector::Notes;
use chatbus_event::{Clock, Entropy, Shape, Topic};
use secrecy::SecretString;

/// Settings of the Twilio connector.
#[derive(Debug, Clone)]
pub struct TwilioConfig {
    /// The account.
    pub account_sid: String,
    /// Its auth token: signs what Twilio posts, and authorises requests where there is no key.
    pub auth_token: SecretString,
    /// An API key for requests.
    pub api_key: Option<ApiKey>,
    /// Who text messages come from; without it none are sent.
    pub from: Option<Sender>,
    /// The Conversations service; the account's default one without it.
    pub chat_service: Option<String>,
    /// Who we are in conversations.
    pub identity: Option<String>,
    /// Addresses under which Twilio may reach us, without a slash at their end; the first is named to it for
    /// status callbacks. None: whatever a request was sent to.
    pub public_urls: Vec<String>,
    /// Whether a request may also be signed for the address that it says it was sent to.
    pub trusts_origin: bool,
    /// The REST API's address, without a slash at its end.
    pub api_url: String,
    /// The Conversations API's address, without a slash at its end.
    pub conversations_url: String,
    /// Where answers come in: this instance's own egress topic.
    pub egress: Topic,
    /// How events are laid out.
    pub shape: Shape,
    /// What is remembered: who opted out, and which conversations were joined.
    pub notes: Arc<dyn Notes>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids of events.
    pub entropy: Arc<dyn Entropy>,
}

/// A key and its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// `SK…`.
    pub key: String,
    /// The secret.
    pub secret: SecretString,
}

/// Who text messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A phone number, a short code, or a sender's name.
    Number(String),
    /// A messaging service, which chooses a number.
    Service(String),
}

// === impl Sender ===

impl Sender {
    /// Reads a phone number with or without `whatsapp:`, a short code, a sender's name of at most 11 letters and
    /// digits, or a service's id.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() == 34 && crate::address::is_sid(text, "MG") {
            return Some(Self::Service(text.to_owned()));
        }
        let is_number = crate::address::recipient(text).is_some() && !text.starts_with("twilio:");
        let is_short = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let is_letter = |b: u8| b.is_ascii_alphanumeric() || b == b' ';
        let is_name = (1..=11).contains(&text.len())
            && text.bytes().all(is_letter)
            && text.bytes().any(|b| b.is_ascii_alphabetic());
        (is_number || is_short || is_name).then(|| Self::Number(text.to_owned()))
    }

    /// The text that was read.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(text) | Self::Service(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_a_number_a_code_a_name_or_a_service() {
        let service = format!("MG{}", "0".repeat(32));
        assert_eq!(Sender::parse(&service), Some(Sender::Service(service.clone())));
        for good in ["+15005550006", "whatsapp:+15005550006", "12345", "My Company"] {
            assert_eq!(Sender::parse(good), Some(Sender::Number(good.to_owned())), "{good}");
        }
        for bad in ["", "15005550006", "12", "A name that is too long", "a\nb", "twilio:+15005550006", "MG/x"]
        {
            assert_eq!(Sender::parse(bad), None, "{bad:?}");
        }
    }
}
