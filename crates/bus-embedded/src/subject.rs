//! A topic as the tables hold it: with BUS_PREFIX in front. The type stays in this crate, so a
//! prefix can be put on twice, or never, nowhere.

use std::sync::Arc;

use chatbus_event::Topic;

use crate::OpenError;

/// BUS_PREFIX, checked.
#[derive(Debug, Clone)]
pub(crate) struct Prefix(Arc<str>);

/// A prefixed topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject(String);

// === impl Prefix ===

impl Prefix {
    pub(crate) fn parse(text: &Arc<str>) -> Result<Self, OpenError> {
        let valid = text.len() <= 100
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if valid { Ok(Self(Arc::clone(text))) } else { Err(OpenError::BadPrefix(text.to_string())) }
    }

    /// The file of this prefix's bus. A prefix is a bus of its own: its own places, its own bounds.
    pub(crate) fn file_name(&self) -> String {
        self.file_of("bus")
    }

    /// The file of its shared state.
    pub(crate) fn state_file_name(&self) -> String {
        self.file_of("state")
    }

    fn file_of(&self, what: &str) -> String {
        // A leading dot would hide the file, and ".." is a folder.
        format!("{what}{}{}.db", if self.0.is_empty() { "" } else { "-" }, self.0)
    }

    pub(crate) fn subject(&self, topic: &Topic) -> Subject {
        Subject(format!("{}{topic}", self.0))
    }

    /// The topic of a subject of this prefix; `None` for any other text.
    pub(crate) fn topic(&self, subject: &str) -> Option<Topic> {
        Topic::parse(subject.strip_prefix(&*self.0)?).ok()
    }
}

// === impl Subject ===

impl Subject {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_put_on_once_and_taken_off_once() {
        let prefix = Prefix::parse(&"dev.".into()).unwrap();
        let subject = prefix.subject(&Topic::ingress());
        assert_eq!(subject.as_str(), "dev.internal.ingress.v1");
        assert_eq!(prefix.topic(subject.as_str()), Some(Topic::ingress()));
        assert_eq!(prefix.topic("internal.ingress.v1"), None);
        assert_eq!(prefix.file_name(), "bus-dev..db");
    }

    #[test]
    fn a_prefix_cannot_leave_the_folder() {
        for bad in ["../", "a/b", "a b", "é"] {
            assert!(matches!(Prefix::parse(&bad.into()), Err(OpenError::BadPrefix(_))), "{bad}");
        }
        assert_eq!(Prefix::parse(&"..".into()).unwrap().file_name(), "bus-...db");
    }
}
