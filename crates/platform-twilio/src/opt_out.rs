//! Who does not want to hear from which of our numbers.
//!
//! Twilio keeps that for each pair of numbers, answers the keywords itself, and refuses with 21610 what is sent
//! all the same. It is remembered so that nothing is tried in vain, and forgotten when the recipient writes START:
//! <https://help.twilio.com/articles/223134027>.

use std::sync::Arc;

use bytes::Bytes;
use chatbus_connector::Notes;
use chatbus_event::sha256_hex;
use tracing::warn;

use crate::address::last_four;

const STOP: [&str; 8] = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"];
const START: [&str; 3] = ["START", "YES", "UNSTOP"];

/// What a text asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Stop,
    Start,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct OptOuts(pub(crate) Arc<dyn Notes>);

// === impl Wish ===

impl Wish {
    /// A keyword is one when it is all of the text; Twilio says so itself where keywords are chosen freely.
    pub(crate) fn of(text: &str, opt_out_type: Option<&str>) -> Option<Self> {
        let word = opt_out_type.unwrap_or(text).trim().to_ascii_uppercase();
        if STOP.contains(&&*word) {
            return Some(Self::Stop);
        }
        START.contains(&&*word).then_some(Self::Start)
    }
}

// === impl OptOuts ===

impl OptOuts {
    /// Whether `to` opted out of what comes from `from`. What cannot be asked is no: Twilio knows better.
    pub(crate) async fn has(&self, from: &str, to: &str) -> bool {
        match self.0.get(&key(from, to)).await {
            Ok(note) => note.is_some(),
            Err(error) => {
                warn!(event = "twilio.opt_out.unknown", to = last_four(to), %error, "cannot be looked up");
                false
            }
        }
    }

    /// Notes what `to` wants of `from`.
    pub(crate) async fn note(&self, from: &str, to: &str, wish: Wish) {
        let key = key(from, to);
        let noted = match wish {
            Wish::Stop => self.0.put(&key, Bytes::from_static(b"21610")).await,
            Wish::Start => self.0.remove(&key).await,
        };
        if let Err(error) = noted {
            warn!(event = "twilio.opt_out.not_noted", to = last_four(to), %error, "Twilio has to tell again");
        }
    }
}

/// Numbers are no business of whoever looks through the state.
fn key(from: &str, to: &str) -> String {
    format!("twilio.opt-out.{}", sha256_hex(format!("{from}\n{to}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_the_whole_text() {
        for (text, kind, wish) in [
            ("STOP", None, Some(Wish::Stop)),
            (" stop \n", None, Some(Wish::Stop)),
            ("Unsubscribe", None, Some(Wish::Stop)),
            ("start", None, Some(Wish::Start)),
            ("please stop", None, None),
            ("STOP!", None, None),
            ("", None, None),
            ("basta", Some("STOP"), Some(Wish::Stop)),
            ("STOP", Some("HELP"), None),
        ] {
            assert_eq!(Wish::of(text, kind), wish, "{text:?} {kind:?}");
        }
    }
}
