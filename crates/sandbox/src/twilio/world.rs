//! What is known, said and refused: values, without sockets.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use chatbus_event::Timestamp;
use serde::Serialize;

use super::hooks::Hook;

/// Records of one kind that are kept; older ones are forgotten.
pub const MAX_RECORDS: usize = 100_000;
/// Refusals, and failures, that may be outstanding.
const MAX_FAULTS: usize = 1_000;
/// Conversations that are kept; the one with the smallest id is forgotten.
const MAX_CONVERSATIONS: usize = 10_000;

/// The account and what it logs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// `AC…`.
    pub sid: String,
    /// Signs webhooks, and logs in with the account's id.
    pub auth_token: String,
    /// `SK…`.
    pub api_key: String,
    /// Logs in with the key.
    pub api_secret: String,
    /// `active`, `suspended` or `closed`.
    pub status: String,
}

/// A text message that a person sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The person's number, with `whatsapp:` before it or without.
    pub from: String,
    /// Our number.
    pub to: String,
    /// What it says.
    pub body: String,
    /// Addresses of pictures that are sent with it.
    pub media: Vec<String>,
    /// The person's name on WhatsApp.
    pub profile_name: Option<String>,
    /// The message's id; a new one without it.
    pub sid: Option<String>,
}

/// Something that is said in a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// `CH…`.
    pub conversation: String,
    /// Who says it: an identity or a number.
    pub author: String,
    /// What.
    pub body: String,
    /// The message's id; a new one without it.
    pub sid: Option<String>,
}

/// Something that was sent through the APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Counts up from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Its id, or nothing when it was refused.
    pub sid: Option<String>,
    /// The number or service it comes from, or the author of what is said in a conversation.
    pub from: String,
    /// The number or conversation it goes to.
    pub to: String,
    /// What it says.
    pub body: String,
    /// Where its status is told.
    pub status_callback: Option<String>,
    /// Its status, or why it was refused.
    pub status: String,
    /// The code of its refusal or failure.
    pub code: Option<u32>,
}

/// Something that was posted to a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Post {
    /// Counts up from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The address that was signed.
    pub url: String,
    /// What was posted.
    pub params: Vec<(String, String)>,
    /// The status of the answer; none when there was no answer.
    pub status: Option<u16>,
    /// Its first 1,000 characters, or why there was none.
    pub answer: String,
}

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Text messages.
    Messages,
    /// What is said in conversations.
    Conversations,
    /// Joining a conversation.
    Participants,
    /// Looking at the account.
    Account,
}

/// How what is asked next is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Only of this; all that is sent without it.
    pub scope: Option<Scope>,
    /// The HTTP status, 400 to 599.
    pub status: u16,
    /// Twilio's code.
    pub code: u32,
    /// Twilio's words.
    pub message: String,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<u64>,
    /// How many; all when there is no number, and 0 takes back those of its scope.
    pub count: Option<u64>,
}

/// How a message that was taken fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `failed` or `undelivered`.
    pub status: String,
    /// Twilio's code.
    pub code: u32,
}

/// A conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Their ids, and who they are.
    pub(super) participants: Vec<(String, String)>,
    pub(super) messages: u64,
}

/// All of it.
#[derive(Debug)]
pub(super) struct World {
    pub(super) account: Account,
    pub(super) hook: Option<Hook>,
    pub(super) sent: VecDeque<Sent>,
    pub(super) posts: VecDeque<Post>,
    pub(super) conversations: BTreeMap<String, Conversation>,
    pub(super) delay: Duration,
    pub(super) lose: u64,
    pub(super) calls_back: bool,
    refusals: VecDeque<Refusal>,
    failures: VecDeque<Failure>,
    opted_out: HashSet<(String, String)>,
    last: u64,
}

// === impl Account ===

impl Default for Account {
    fn default() -> Self {
        Self {
            sid: format!("AC{}", "5a".repeat(16)),
            auth_token: "sandbox-auth-token".to_owned(),
            api_key: format!("SK{}", "5a".repeat(16)),
            api_secret: "sandbox-api-secret".to_owned(),
            status: "active".to_owned(),
        }
    }
}

// === impl World ===

impl Default for World {
    fn default() -> Self {
        Self {
            account: Account::default(),
            hook: None,
            sent: VecDeque::new(),
            posts: VecDeque::new(),
            conversations: BTreeMap::new(),
            delay: Duration::ZERO,
            lose: 0,
            calls_back: true,
            refusals: VecDeque::new(),
            failures: VecDeque::new(),
            opted_out: HashSet::new(),
            last: 0,
        }
    }
}

impl World {
    /// The number of the next record.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn record(&mut self, sent: Sent) {
        keep(&mut self.sent, sent);
    }

    pub(super) fn record_post(&mut self, post: Post) {
        keep(&mut self.posts, post);
    }

    /// A message's status changed.
    pub(super) fn set_status(&mut self, sid: &str, status: &str, code: Option<u32>) {
        if let Some(sent) = self.sent.iter_mut().rev().find(|sent| sent.sid.as_deref() == Some(sid)) {
            status.clone_into(&mut sent.status);
            sent.code = code;
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) -> Result<(), &'static str> {
        if refusal.count == Some(0) {
            self.refusals.retain(|old| old.scope != refusal.scope);
            return Ok(());
        }
        if self.refusals.len() >= MAX_FAULTS {
            return Err("is the 1001st refusal that is outstanding");
        }
        self.refusals.push_back(refusal);
        Ok(())
    }

    /// The refusal that is due to this, if one is.
    pub(super) fn refused(&mut self, scope: Scope) -> Option<Refusal> {
        let is_send = matches!(scope, Scope::Messages | Scope::Conversations);
        let fits = |refusal: &Refusal| refusal.scope.map_or(is_send, |only| only == scope);
        let at = self.refusals.iter().position(fits)?;
        let due = self.refusals.get_mut(at)?;
        let refusal = due.clone();
        if let Some(count) = &mut due.count {
            *count -= 1;
            if *count == 0 {
                self.refusals.remove(at);
            }
        }
        Some(refusal)
    }

    pub(super) fn fail(&mut self, failure: Failure) -> Result<(), &'static str> {
        if self.failures.len() >= MAX_FAULTS {
            return Err("is the 1001st failure that is outstanding");
        }
        self.failures.push_back(failure);
        Ok(())
    }

    pub(super) fn next_failure(&mut self) -> Option<Failure> {
        self.failures.pop_front()
    }

    pub(super) fn opt_out(&mut self, from: &str, to: &str, on: bool) {
        let pair = (from.to_owned(), to.to_owned());
        if !on {
            self.opted_out.remove(&pair);
        } else if self.opted_out.len() < MAX_RECORDS {
            self.opted_out.insert(pair);
        }
    }

    pub(super) fn has_opted_out(&self, from: &str, to: &str) -> bool {
        self.opted_out.contains(&(from.to_owned(), to.to_owned()))
    }

    /// Whether the answer to what was just done is lost.
    pub(super) fn loses(&mut self) -> bool {
        let loses = self.lose > 0;
        self.lose = self.lose.saturating_sub(1);
        loses
    }

    /// A conversation, which begins if there is none; says whether it did.
    pub(super) fn conversation(&mut self, sid: &str) -> (&mut Conversation, bool) {
        let is_new = !self.conversations.contains_key(sid);
        if is_new && self.conversations.len() >= MAX_CONVERSATIONS {
            self.conversations.pop_first();
        }
        (self.conversations.entry(sid.to_owned()).or_default(), is_new)
    }
}

fn keep<T>(records: &mut VecDeque<T>, record: T) {
    records.push_back(record);
    if records.len() > MAX_RECORDS {
        records.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(scope: Option<Scope>, code: u32, count: Option<u64>) -> Refusal {
        Refusal { scope, status: 400, code, message: String::new(), retry_after: None, count }
    }

    #[test]
    fn refusals_are_due_to_what_they_are_for_and_run_out() {
        let mut world = World::default();
        world.refuse(refusal(Some(Scope::Participants), 1, Some(1))).unwrap();
        world.refuse(refusal(None, 2, Some(2))).unwrap();
        let mut due = |scope| world.refused(scope).map(|refusal| refusal.code);
        assert_eq!(due(Scope::Account), None);
        assert_eq!(
            (due(Scope::Messages), due(Scope::Conversations), due(Scope::Messages)),
            (Some(2), Some(2), None)
        );
        assert_eq!((due(Scope::Participants), due(Scope::Participants)), (Some(1), None));
        world.refuse(refusal(None, 3, None)).unwrap();
        world.refuse(refusal(None, 3, Some(0))).unwrap();
        assert_eq!(world.refused(Scope::Messages), None, "taken back");
    }
}
