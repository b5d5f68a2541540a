//! The channels there are, and when the next of them needs a look.
//!
//! The loop asks for the next deadline at every turn, so it must not cost a walk over all channels.
//! Whoever changes a channel gets it from here, which notes the channel as touched; [`settle`] brings
//! the agenda up to date with what was touched.
//!
//! A channel keeps its [`Place`] as long as it is here. A place is given away again, but only [`forget`]
//! empties one, and only when nothing is being said there: nobody may hold a place from before a
//! [`forget`] to after it but for a send in flight, whose channel is not forgotten.
//!
//! [`settle`]: Channels::settle
//! [`forget`]: Channels::forget

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::join::Join;
use super::lane::Lane;

/// Which of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) name: Arc<str>,
    /// Whether it is configured, and so never left.
    pub(super) is_base: bool,
    /// By which call it was added the last time; 0 while it is not among the added ones.
    pub(super) added_by: u64,
    pub(super) join: Join,
    pub(super) lane: Lane,
    touched: bool,
    /// What the agenda has of it.
    due: Option<Instant>,
    /// What it is listed for.
    need: Need,
}

/// What a channel needs beside its deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// A JOIN, when the limits allow.
    Join,
    /// A PART, when the limits allow.
    Part,
    /// A verdict for what waits there and cannot be said any more.
    Verdict,
    /// To be forgotten: we are not in it, and are not to be.
    Nobody,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Channels {
    all: Vec<Option<Channel>>,
    /// Where each is, by its name.
    places: BTreeMap<Arc<str>, Place>,
    /// The places that are empty.
    free: Vec<Place>,
    /// Each channel that has a deadline, with it.
    agenda: BTreeSet<(Instant, Place)>,
    /// How many wait to be joined.
    to_join: usize,
    to_part: BTreeSet<Place>,
    /// Those that need a verdict or are to be forgotten.
    to_clear: BTreeSet<Place>,
    touched: Vec<Place>,
}

// === impl Channels ===

impl Channels {
    /// With the configured channels, in the order of their names.
    pub(super) fn new(names: &[Arc<str>], now: Instant) -> Self {
        let mut channels = Self {
            all: Vec::with_capacity(names.len()),
            places: BTreeMap::new(),
            free: Vec::new(),
            agenda: BTreeSet::new(),
            to_join: 0,
            to_part: BTreeSet::new(),
            to_clear: BTreeSet::new(),
            touched: Vec::with_capacity(names.len()),
        };
        let mut names = names.to_vec();
        names.sort_unstable();
        for name in names {
            channels.add(Channel { is_base: true, ..Channel::new(name, now) });
        }
        channels.settle();
        channels
    }

    /// Adds a channel, unless there is one of its name.
    pub(super) fn add(&mut self, channel: Channel) {
        if self.places.contains_key(&channel.name) {
            return;
        }
        let name = Arc::clone(&channel.name);
        let free = self.free.pop().and_then(|place| Some((place, self.all.get_mut(place.0)?)));
        let place = match free {
            Some((place, empty)) => {
                *empty = Some(channel);
                place
            }
            None => {
                self.all.push(Some(channel));
                Place(self.all.len() - 1)
            }
        };
        self.places.insert(name, place);
        self.get_mut(place);
    }

    /// The channel of this name, spelled as we do.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    pub(super) fn get(&self, place: Place) -> Option<&Channel> {
        self.all.get(place.0)?.as_ref()
    }

    /// A channel that may be changed.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Channel> {
        let channel = self.all.get_mut(place.0)?.as_mut()?;
        if !std::mem::replace(&mut channel.touched, true) {
            self.touched.push(place);
        }
        Some(channel)
    }

    /// All channels, in the order of their places: the configured ones come first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.all.iter().flatten()
    }

    /// All channels, any of which may be changed.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        let Self { all, touched, .. } = self;
        all.iter_mut().enumerate().filter_map(|(at, channel)| {
            let channel = channel.as_mut()?;
            if !std::mem::replace(&mut channel.touched, true) {
                touched.push(Place(at));
            }
            Some(channel)
        })
    }

    /// Looks again at the channels that were touched.
    pub(super) fn settle(&mut self) {
        while let Some(place) = self.touched.pop() {
            let Some(channel) = self.all.get_mut(place.0).and_then(Option::as_mut) else { continue };
            channel.touched = false;
            let (need, due) = (channel.needs(), channel.deadline());
            let needed = std::mem::replace(&mut channel.need, need);
            let was_due = std::mem::replace(&mut channel.due, due);
            if need != needed {
                self.unlist(needed, place);
                self.list(need, place);
            }
            if due != was_due {
                was_due.map(|before| self.agenda.remove(&(before, place)));
                self.agenda.extend(due.map(|due| (due, place)));
            }
        }
    }

    /// Forgets a channel in which nothing is being said.
    pub(super) fn forget(&mut self, place: Place) {
        let Some(slot) = self.all.get_mut(place.0) else { return };
        let Some(channel) = slot.take_if(|channel| channel.lane.job.is_none()) else { return };
        self.unlist(channel.need, place);
        channel.due.map(|due| self.agenda.remove(&(due, place)));
        self.places.remove(&channel.name);
        self.touched.retain(|touched| *touched != place);
        self.free.push(place);
    }

    /// When the first of them needs a look, as of the last [`Self::settle`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.agenda.first().map(|(due, _)| *due)
    }

    /// Whether any waits to be joined, as of the last [`Self::settle`].
    pub(super) fn any_to_join(&self) -> bool {
        self.to_join > 0
    }

    /// One that waits to be left, as of the last [`Self::settle`].
    pub(super) fn to_part(&self) -> Option<Place> {
        self.to_part.first().copied()
    }

    /// One that needs a verdict or is to be forgotten, as of the last [`Self::settle`].
    pub(super) fn to_clear(&self) -> Option<Place> {
        self.to_clear.first().copied()
    }

    fn list(&mut self, need: Need, place: Place) {
        match need {
            Need::Nothing => {}
            Need::Join => self.to_join += 1,
            Need::Part => drop(self.to_part.insert(place)),
            Need::Verdict | Need::Nobody => drop(self.to_clear.insert(place)),
        }
    }

    fn unlist(&mut self, need: Need, place: Place) {
        match need {
            Need::Nothing => {}
            Need::Join => self.to_join = self.to_join.saturating_sub(1),
            Need::Part => drop(self.to_part.remove(&place)),
            Need::Verdict | Need::Nobody => drop(self.to_clear.remove(&place)),
        }
    }
}

// === impl Channel ===

impl Channel {
    /// A channel that is to be joined.
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        Self {
            name,
            is_base: false,
            added_by: 0,
            join: Join::new(now),
            lane: Lane::default(),
            touched: false,
            due: None,
            need: Need::Nothing,
        }
    }

    /// What it needs beside its deadlines. What is being said when it is to be left is finished first, as
    /// long as it can be.
    pub(super) fn needs(&self) -> Need {
        let is_kept = self.join.is_kept();
        match &self.lane.job {
            None if self.join.is_part_due() => Need::Part,
            None if self.join.is_out() && !is_kept => Need::Nobody,
            _ if self.join.is_due() => Need::Join,
            Some(job) if !is_kept && job.flight.is_none() => {
                if job.said > 0 && self.join.is_joined() {
                    Need::Nothing
                } else {
                    Need::Verdict
                }
            }
            _ => Need::Nothing,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        [self.lane.deadline(), self.join.deadline()].into_iter().flatten().min()
    }
}
