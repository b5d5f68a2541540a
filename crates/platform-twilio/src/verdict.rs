//! What Twilio's codes mean for a delivery: one table.
//!
//! Codes come with a refusal of a request, or later with the status of a message; they mean the same in both.
//! Their list is <https://www.twilio.com/docs/api/errors>.

use std::time::Duration;

use chatbus_connector::{PermanentReason, Verdict};

use crate::address::masked;

/// What becomes of something that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Not said; it may be in a while, at the earliest after this.
    Retry(Duration),
    /// The account or its key is refused.
    Reauth,
    /// Never.
    Permanent(PermanentReason),
    /// Not in one piece.
    TooLong,
    /// The recipient does not want to hear from this number.
    OptedOut,
    /// It may have been said.
    Unverified,
}

/// Why something was not said, or is not known to have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What becomes of it.
    pub class: Class,
    /// Twilio's code, or one for what it did not say.
    pub code: String,
    /// For people; no phone number in it.
    pub message: String,
    /// Whether the table has the code.
    pub is_known: bool,
}

use Class::{OptedOut, Permanent, Reauth, Retry, TooLong, Unverified};
use PermanentReason::{NoRecipient, Rejected};

/// Without a `Retry-After`.
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);

/// Code, class, and what it says where Twilio sends the code alone.
const TABLE: &[(u32, Class, &str)] = &[
    (20003, Reauth, "the account or its key is refused"),
    (20005, Reauth, "the account is not active"),
    (20404, Permanent(Rejected), "there is no such thing at Twilio"),
    (20429, Retry(SOON), "too many requests"),
    (21211, Permanent(NoRecipient), "the number is not valid"),
    (21212, Permanent(Rejected), "TWILIO_FROM is not valid"),
    (21214, Permanent(NoRecipient), "the number cannot be reached"),
    (21217, Permanent(NoRecipient), "the number does not seem to be valid"),
    (21401, Permanent(NoRecipient), "the number is not valid"),
    (21408, Permanent(Rejected), "the account may not send to this region"),
    (21421, Permanent(NoRecipient), "the number is not valid"),
    (21602, Permanent(Rejected), "the text is missing"),
    (21603, Permanent(Rejected), "the sender is missing"),
    (21604, Permanent(NoRecipient), "the recipient is missing"),
    (21605, TooLong, "the text is too long"),
    (21606, Permanent(Rejected), "TWILIO_FROM is not a number of this account that can send this"),
    (21608, Permanent(Rejected), "a trial account sends to verified numbers only"),
    (21610, OptedOut, "the recipient opted out of messages from this number"),
    (21611, Retry(LATER), "too many messages of this number are waiting"),
    (21612, Permanent(Rejected), "this number cannot send to that one"),
    (21614, Permanent(NoRecipient), "the number cannot receive messages"),
    (21617, TooLong, "the text is too long"),
    (21619, Permanent(Rejected), "the text is missing"),
    (21703, Permanent(Rejected), "the messaging service has no number for this"),
    (21910, Permanent(Rejected), "sender and recipient are of different channels"),
    (30001, Retry(LATER), "the queue overflowed"),
    (30002, Reauth, "the account is suspended"),
    (30003, Permanent(Rejected), "the handset cannot be reached"),
    (30004, Permanent(Rejected), "the message was blocked"),
    (30005, Permanent(Rejected), "the handset is not known"),
    (30006, Permanent(Rejected), "a landline, or a carrier that cannot be reached"),
    (30007, Permanent(Rejected), "the carrier filtered the message"),
    (30008, Permanent(Rejected), "the carrier gave no reason"),
    (30010, Permanent(Rejected), "the message costs more than allowed"),
    (30017, Retry(LATER), "the carrier's network is congested"),
    (30018, Permanent(Rejected), "the carrier wants the sender registered first"),
    (30019, Permanent(Rejected), "the carrier does not take so much"),
    (30022, Retry(LATER), "the campaign's rate is exceeded"),
    (30023, Permanent(Rejected), "the brand's limit of the day is reached"),
    (30024, Permanent(Rejected), "the carrier does not know the sender"),
    (30032, Permanent(Rejected), "the toll-free number is not verified"),
    (30034, Permanent(Rejected), "the number belongs to no registered campaign"),
    (30410, Unverified, "the provider did not answer in time"),
    (50430, Permanent(Rejected), "TWILIO_IDENTITY does not take part in the conversation"),
    (63003, Permanent(NoRecipient), "the channel does not know the recipient"),
    (63005, Permanent(Rejected), "the channel does not take this content"),
    (63007, Permanent(Rejected), "TWILIO_FROM is not a sender of this channel"),
    (63016, Permanent(Rejected), "over 24 hours since the recipient wrote: only templates may be sent"),
    (63018, Retry(LATER), "the channel's rate is exceeded"),
    (63024, Permanent(NoRecipient), "the recipient is not valid"),
];

// === impl Refusal ===

impl Refusal {
    /// Of an answer that is no success.
    pub(crate) fn of_answer(
        status: u16,
        code: Option<u32>,
        message: &str,
        retry_after: Option<Duration>,
    ) -> Self {
        let row = code.and_then(row);
        let class = match (status, row) {
            (429, Some((_, Retry(after), _))) => Retry(retry_after.unwrap_or(*after)),
            (429, _) => Retry(retry_after.unwrap_or(SOON)),
            // It broke while it was at it.
            (500.., _) => Unverified,
            (_, Some((_, Retry(after), _))) => Retry(retry_after.unwrap_or(*after)),
            (_, Some((_, class, _))) => *class,
            (401, None) => Reauth,
            (_, None) => Permanent(Rejected),
        };
        let code = code.map_or_else(|| format!("http_{status}"), |code| code.to_string());
        let said = if message.is_empty() { row.map_or("", |(_, _, words)| words) } else { message };
        let is_known = row.is_some() || matches!(status, 401 | 429 | 500..);
        Self { class, code, message: masked(said), is_known }
    }

    /// Of a message that was taken, and then failed.
    pub(crate) fn of_status(status: &str, code: Option<u32>) -> Self {
        let row = code.and_then(row);
        Self {
            class: row.map_or(Permanent(Rejected), |(_, class, _)| *class),
            code: code.map_or_else(|| status.to_owned(), |code| code.to_string()),
            message: row.map_or_else(
                || format!("it was taken, and then {status}"),
                |(_, _, words)| (*words).to_owned(),
            ),
            is_known: row.is_some(),
        }
    }

    /// Of no answer, or one that says nothing.
    pub(crate) fn unverified(code: &str, message: &str) -> Self {
        Self { class: Unverified, code: code.to_owned(), message: message.to_owned(), is_known: true }
    }

    /// The verdict on the delivery, with this said of its parts where it has several.
    pub(crate) fn verdict(self, parts: &str) -> Verdict {
        let (code, message) = (self.code, format!("{}{parts}", self.message));
        match self.class {
            Retry(after) => Verdict::Retry { after, code, message },
            Reauth => Verdict::Reauth { code, message },
            Permanent(reason) => Verdict::Permanent { reason, code, message },
            TooLong | OptedOut => Verdict::Permanent { reason: Rejected, code, message },
            Unverified => Verdict::Unverified { code, message },
        }
    }
}

fn row(code: u32) -> Option<&'static (u32, Class, &'static str)> {
    TABLE.iter().find(|(known, _, _)| *known == code)
}

#[cfg(test)]
mod tests;
