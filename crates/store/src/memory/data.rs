//! The tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use chatbus_event::Timestamp;

use crate::census::Answer;
use crate::life::Life;
use crate::{
    Account, Channel, Document, DocumentKind, Page, SourceRow, StoredLetter, TimelineStep, User, limits,
};

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) events: BTreeMap<String, Event>,
    pub(super) letters: BTreeMap<String, StoredLetter>,
    pub(super) raw: BTreeMap<String, Raw>,
    pub(super) sources: BTreeMap<(String, String), Source>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) sightings: HashMap<String, (Answer, Timestamp)>,
    pub(super) tokens: BTreeMap<String, Bytes>,
    pub(super) accounts: BTreeMap<(String, String), Account>,
    pub(super) documents: BTreeMap<(&'static str, String), Document>,
    pub(super) document_versions: HashMap<DocumentKind, u64>,
    pub(super) channels: BTreeSet<Channel>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) life: Life,
    pub(super) steps: BTreeMap<String, TimelineStep>,
}

/// What nobody could read; only its time is ever asked for.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) expires_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) row: SourceRow,
    /// When the name, and when the detail was told.
    pub(super) name_at: Option<Timestamp>,
    pub(super) detail_at: Option<Timestamp>,
}

// === impl Data ===

impl Data {
    /// Removes what is past its time, `limit` rows in all.
    pub(super) fn sweep(&mut self, now: Timestamp, limit: usize) -> usize {
        let mut left = limit;
        let mut may_go = |expires_at: Timestamp| {
            let goes = expires_at <= now && left > 0;
            left -= usize::from(goes);
            goes
        };
        self.events.retain(|_, event| !may_go(event.life.expires_at));
        self.letters.retain(|_, letter| !may_go(letter.expires_at));
        self.raw.retain(|_, raw| !may_go(raw.expires_at));
        self.sightings.retain(|_, (_, expires_at)| !may_go(*expires_at));
        limit - left
    }
}

/// A part of a list.
pub(super) fn page<T>(rows: Vec<T>, page: &Page) -> Vec<T> {
    rows.into_iter().skip(page.offset).take(page.limit.min(limits::MAX_PAGE)).collect()
}

/// Whether a field that is set is this.
pub(super) fn fits<T: PartialEq>(wanted: Option<&T>, there: Option<&T>) -> bool {
    wanted.is_none_or(|wanted| Some(wanted) == there)
}

/// Whether a time lies in what is asked for.
pub(super) fn within(at: Timestamp, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
    since.is_none_or(|since| at >= since) && until.is_none_or(|until| at < until)
}
