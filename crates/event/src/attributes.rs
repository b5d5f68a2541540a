//! The attributes of a bus message: small named texts beside the body.

use std::borrow::Cow;

/// Names of the attributes chatbus sets. The body is the truth; these are for routing and reading.
pub mod names {
    /// The event's correlation id.
    pub const CORRELATION_ID: &str = "correlationId";
    /// The event's type.
    pub const TYPE: &str = "type";
    /// The event's source.
    pub const SOURCE: &str = "source";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// The dedupe id, as in [`MessageId`](crate::MessageId).
    pub const MESSAGE_ID: &str = "messageId";
    /// The event's channel.
    pub const CHANNEL: &str = "channel";
    /// Names one delivery through every hop and retry, on the egress side.
    pub const DELIVERY_ID: &str = "deliveryId";
    /// RFC 3339; after it the delivery is given up, on the egress side.
    pub const DEADLINE: &str = "deadline";
    /// How often the event was forwarded between instances, on the egress side.
    pub const HOPS: &str = "hops";
    /// The outcome's status, on a finalizer topic.
    pub const STATUS: &str = "status";
    /// Where outcomes are copied to.
    pub const REPLY_TO: &str = "replyTo";
    /// CloudEvents 1.0, binary mode.
    pub const CE_ID: &str = "ce-id";
    /// CloudEvents 1.0, binary mode.
    pub const CE_TYPE: &str = "ce-type";
    /// CloudEvents 1.0, binary mode.
    pub const CE_SOURCE: &str = "ce-source";
    /// CloudEvents 1.0, binary mode.
    pub const CE_SPECVERSION: &str = "ce-specversion";
    /// CloudEvents 1.0, binary mode.
    pub const CE_TIME: &str = "ce-time";
}

/// An ordered list of named texts. Names keep their case and are compared without it.
///
/// Values hold no control characters and no white space at either end, so that every driver can
/// carry them as they are and none can be made to start another header line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(Cow<'static, str>, String)>);

// === impl Attributes ===

impl Attributes {
    /// No attributes.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No attributes, with room for `n`.
    pub fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    /// Sets `name` to `value`, replacing what stood there. Control characters are dropped from the
    /// value and it is trimmed; an empty name, one with anything but printable ASCII, or one with a
    /// colon is ignored, since no driver could carry it.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        let name = name.into();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return;
        }
        let value = clean(value.into());
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds a name and value that are known to be valid, and a name that is not there yet.
    pub(crate) fn push(&mut self, name: &'static str, value: String) {
        self.0.push((Cow::Borrowed(name), value));
    }

    /// The value of `name`, whatever the case of either.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Removes `name` and gives what it was.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(self.0.remove(at).1)
    }

    /// Names and values, in the order in which they were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<N: Into<Cow<'static, str>>, V: Into<String>> FromIterator<(N, V)> for Attributes {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut attributes = Self::new();
        for (name, value) in pairs {
            attributes.set(name, value);
        }
        attributes
    }
}

fn clean(value: String) -> String {
    let is_plain = |b: &u8| matches!(b, 0x20..=0x7e);
    let ends_are_plain = !value.starts_with(' ') && !value.ends_with(' ');
    if ends_are_plain && value.as_bytes().iter().all(is_plain) {
        return value;
    }
    if value.chars().any(char::is_control) {
        let kept: String = value.chars().filter(|c| !c.is_control()).collect();
        return kept.trim().to_owned();
    }
    if value.trim().len() == value.len() { value } else { value.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_are_found_without_it() {
        let mut a = Attributes::new();
        a.set(names::CORRELATION_ID, "c-1");
        assert_eq!(a.get("correlationid"), Some("c-1"));
        a.set("CORRELATIONID", "c-2");
        assert_eq!(a.iter().collect::<Vec<_>>(), [("correlationId", "c-2")]);
        assert_eq!(a.remove("CorrelationId").as_deref(), Some("c-2"));
        assert!(a.is_empty());
    }

    #[test]
    fn no_value_can_start_another_header_line() {
        let a: Attributes = [("channel", " #a\r\nNats-Msg-Id: x\0 ")].into_iter().collect();
        assert_eq!(a.get("channel"), Some("#aNats-Msg-Id: x"));
        let b: Attributes = [("bad name", "x"), ("", "x"), ("a:b", "x")].into_iter().collect();
        assert!(b.is_empty());
    }
}
