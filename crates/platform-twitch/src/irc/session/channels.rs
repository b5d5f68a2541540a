//! The configured channels, and when the next of them needs a look.
//!
//! The loop asks for the next deadline at every turn, so it must not cost a walk over all channels.
//! Whoever changes a channel gets it from here, which notes the channel as touched; [`settle`] brings
//! the agenda up to date with what was touched.
//!
//! [`settle`]: Channels::settle

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::join::Join;
use super::lane::Lane;

/// Which of the channels: its place in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    pub(super) join: Join,
    pub(super) lane: Lane,
    touched: bool,
    /// What the agenda has of it.
    due: Option<Instant>,
    wanted: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Channels {
    /// In the order of their names.
    all: Vec<Channel>,
    /// Each channel that has a deadline, with it.
    agenda: BTreeSet<(Instant, Place)>,
    /// How many wait to be joined.
    wanted: usize,
    touched: Vec<Place>,
}

// === impl Channels ===

impl Channels {
    pub(super) fn new(names: &[Arc<str>], now: Instant) -> Self {
        let mut names = names.to_vec();
        names.sort_unstable();
        names.dedup();
        let all: Vec<Channel> = names.into_iter().map(|name| Channel::new(name, now)).collect();
        let mut channels =
            Self { touched: Vec::with_capacity(all.len()), all, agenda: BTreeSet::new(), wanted: 0 };
        channels.all_mut().for_each(drop);
        channels.settle();
        channels
    }

    /// The channel of this name, spelled as we do.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.all.binary_search_by(|channel| (*channel.name).cmp(name)).ok().map(Place)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Channel> {
        self.all.get(place.0)
    }

    /// A channel that may be changed.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Channel> {
        let channel = self.all.get_mut(place.0)?;
        if !std::mem::replace(&mut channel.touched, true) {
            self.touched.push(place);
        }
        Some(channel)
    }

    /// All channels, in the order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.all.iter()
    }

    /// All channels, any of which may be changed.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        let Self { all, touched, .. } = self;
        all.iter_mut().enumerate().map(|(at, channel)| {
            if !std::mem::replace(&mut channel.touched, true) {
                touched.push(Place(at));
            }
            channel
        })
    }

    /// Looks again at the channels that were touched.
    pub(super) fn settle(&mut self) {
        while let Some(place) = self.touched.pop() {
            let Some(channel) = self.all.get_mut(place.0) else { continue };
            channel.touched = false;
            let is_wanted = channel.join.is_wanted();
            self.wanted = self.wanted + usize::from(is_wanted) - usize::from(channel.wanted);
            channel.wanted = is_wanted;
            let due = channel.deadline();
            if due == channel.due {
                continue;
            }
            if let Some(before) = std::mem::replace(&mut channel.due, due) {
                self.agenda.remove(&(before, place));
            }
            self.agenda.extend(due.map(|due| (due, place)));
        }
    }

    /// When the first of them needs a look, as of the last [`Self::settle`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// Whether any waits to be joined, as of the last [`Self::settle`].
    pub(super) fn any_wanted(&self) -> bool {
        self.wanted > 0
    }
}

// === impl Channel ===

impl Channel {
    fn new(name: Arc<str>, now: Instant) -> Self {
        let (join, lane) = (Join::new(now), Lane::default());
        Self { name, join, lane, touched: false, due: None, wanted: false }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.lane.deadline(), self.join.deadline()].into_iter().flatten().min()
    }
}
