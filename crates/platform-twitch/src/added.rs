//! The channels that are joined beside the configured ones, as somebody lists them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::channel::channel_name;
use crate::irc::limits::MAX_CHANNELS;
use crate::irc::session::Added;

/// The newest list, ready for the session. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct AddedChannels {
    pub(crate) channels: Arc<[Added]>,
    /// How many texts of the list are no channel's name.
    pub(crate) malformed: usize,
    /// How many channels of the list there was no room for.
    pub(crate) beyond: usize,
    calls: u64,
}

// === impl AddedChannels ===

impl AddedChannels {
    /// What follows when the list is this. Channels that were in it keep their number; the first ones for
    /// which there is room beside the configured ones are taken.
    pub(crate) fn renew(&self, texts: &[String], base: &[Arc<str>]) -> Self {
        let numbers: BTreeMap<&str, u64> =
            self.channels.iter().map(|added| (&*added.name, added.number)).collect();
        let mut renewed = Self { calls: self.calls + 1, ..Self::default() };
        let mut taken = BTreeMap::new();
        let mut room = MAX_CHANNELS.saturating_sub(base.len());
        for text in texts {
            let Some(name) = channel_name(text) else {
                renewed.malformed += 1;
                continue;
            };
            let is_base = base.contains(&name);
            if taken.contains_key(&name) {
                continue;
            }
            if room == 0 && !is_base {
                renewed.beyond += 1;
                continue;
            }
            room -= usize::from(!is_base);
            let number = numbers.get(&*name).copied().unwrap_or(renewed.calls);
            taken.insert(name, number);
        }
        renewed.channels = taken.into_iter().map(|(name, number)| Added { name, number }).collect();
        renewed
    }

    /// Whether a channel is among them.
    pub(crate) fn contains(&self, channel: &str) -> bool {
        self.channels.iter().any(|added| *added.name == *channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rows(added: &AddedChannels) -> Vec<(&str, u64)> {
        added.channels.iter().map(|added| (&*added.name, added.number)).collect()
    }

    #[test]
    fn a_channel_keeps_its_number_until_it_is_taken_out_and_added_again() {
        let base = ["#base".into()];
        let mut added = AddedChannels::default();
        for (list, expected) in [
            (&["b", "#A", "a"][..], &[("#a", 1), ("#b", 1)][..]),
            (&["#b", "c"], &[("#b", 1), ("#c", 2)]),
            (&["a", "b", "Base"], &[("#a", 3), ("#b", 1), ("#base", 3)]),
            (&[], &[]),
            (&["b"], &[("#b", 5)]),
        ] {
            added = added.renew(&texts(list), &base);
            assert_eq!(rows(&added), expected, "{list:?}");
            assert_eq!((added.malformed, added.beyond), (0, 0));
        }
        assert!(added.contains("#b") && !added.contains("#a"));
    }

    #[test]
    fn what_is_no_name_and_what_there_is_no_room_for_is_left_out_and_counted() {
        let base: Vec<Arc<str>> = (0..3).map(|n| format!("#base_{n}").into()).collect();
        let mut list: Vec<String> = (0..MAX_CHANNELS).map(|n| format!("added_{n:04}")).collect();
        list.extend(texts(&["base_1", "no name", "a\r\nQUIT", ""]));
        let added = AddedChannels::default().renew(&list, &base);
        assert_eq!((added.malformed, added.beyond), (3, 3));
        // A configured one takes no room.
        assert_eq!(added.channels.len(), MAX_CHANNELS - 3 + 1);
        assert!(added.contains("#added_0000") && added.contains("#base_1"));
        assert!(!added.contains(&format!("#added_{:04}", MAX_CHANNELS - 3)));
        let none = AddedChannels::default().renew(&texts(&["a"]), &vec!["#b".into(); MAX_CHANNELS + 1]);
        assert_eq!((none.channels.len(), none.beyond), (0, 1));
    }

    #[test]
    fn as_many_channels_as_there_may_be_fit_into_a_lease() {
        let names = vec![format!("#{}", "x".repeat(25)); MAX_CHANNELS];
        let encoded = serde_json::to_vec(&names).unwrap();
        // What else a lease says, other platforms included.
        assert!(encoded.len() + 4 * 1024 < 64 * 1024, "{}", encoded.len());
    }
}
