//! Events and their timelines, and what is written with them.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::data::{Data, Event, Raw, Source, fits, page, within};
use super::{MemoryStore, letters};
use crate::life::{self, Life, Steps};
use crate::{
    Entry, EventFilter, Events, Page, SourceChange, SourceRow, Sources, StoreError, StoredEvent,
    TimelineStep, limits,
};

#[async_trait]
impl Events for MemoryStore {
    async fn record(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut data = self.data()?;
        limits::check_entries(entries)?;
        self.check_keys(entries.iter().map(|entry| match entry {
            Entry::Step(step) => step.key.as_str(),
            Entry::Letter(letter) => letter.id.as_str(),
            Entry::Source(change) => change.id.as_str(),
            Entry::Raw { key, .. } => key.as_str(),
        }))?;
        let steps = entries.iter().filter_map(|entry| match entry {
            Entry::Step(step) => Some(step),
            _ => None,
        });
        for (id, steps) in life::by_event(steps) {
            write_steps(&mut data, id, &steps);
        }
        for entry in entries {
            match entry {
                Entry::Step(_) => {}
                Entry::Letter(letter) => letters::insert(&mut data, letter),
                Entry::Source(change) => write_source(&mut data, change),
                Entry::Raw { key, expires_at, .. } => {
                    data.raw.entry(key.clone()).or_insert(Raw { expires_at: *expires_at });
                }
            }
        }
        Ok(())
    }

    async fn event(
        &self,
        correlation_id: &str,
    ) -> Result<Option<(StoredEvent, Vec<TimelineStep>)>, StoreError> {
        let data = self.data()?;
        let found = data.events.get_key_value(correlation_id);
        Ok(found.map(|(id, event)| (event.stored(id), event.timeline())))
    }

    async fn events(&self, filter: &EventFilter, part: &Page) -> Result<Vec<StoredEvent>, StoreError> {
        let data = self.data()?;
        let events = data.events.iter().map(|(id, event)| event.stored(id));
        let mut found: Vec<_> = events.filter(|event| is_wanted(event, filter)).collect();
        found.sort_by_key(|event| Reverse((event.first_at, event.correlation_id.clone())));
        Ok(page(found, part))
    }
}

#[async_trait]
impl Sources for MemoryStore {
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        Ok(self.data()?.sources.values().map(|source| source.row.clone()).collect())
    }
}

// === impl Event ===

impl Event {
    fn stored(&self, id: &str) -> StoredEvent {
        StoredEvent {
            correlation_id: id.to_owned(),
            status: self.life.status,
            facts: self.life.event_facts(),
            first_at: self.life.first_at,
            last_at: self.life.last_at,
            body: self.timeline().into_iter().rev().find_map(|step| step.snapshot),
        }
    }

    fn timeline(&self) -> Vec<TimelineStep> {
        let mut steps: Vec<_> = self.steps.values().cloned().collect();
        steps.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
        steps
    }
}

fn write_steps(data: &mut Data, id: &str, told: &Steps<'_>) {
    let known = data.events.get(id);
    let is_known = |key: &str| known.is_some_and(|event| event.steps.contains_key(key));
    let fresh: Vec<_> = told.steps.iter().copied().filter(|step| !is_known(&step.key)).collect();
    if let Some(life) = Life::of_all(fresh.iter().copied()) {
        match data.events.get_mut(id) {
            Some(event) => event.life.join(life),
            None => drop(data.events.insert(id.to_owned(), Event { life, steps: Default::default() })),
        }
    }
    let Some(event) = data.events.get_mut(id) else { return };
    event.life.status = told.status.map_or(event.life.status, |status| status.max(event.life.status));
    for step in fresh {
        let kept = TimelineStep {
            key: step.key.clone(),
            name: limits::name(&step.name),
            at: step.at,
            detail: step.detail.clone(),
            snapshot: step.snapshot.clone(),
        };
        event.steps.insert(step.key.clone(), kept);
    }
}

fn write_source(data: &mut Data, change: &SourceChange) {
    let at = change.at;
    let source = data.sources.entry((change.platform.clone(), change.id.clone())).or_insert_with(|| Source {
        row: SourceRow {
            platform: change.platform.clone(),
            id: change.id.clone(),
            status: None,
            stream: None,
            display_name: None,
            detail: None,
        },
        name_at: None,
        detail_at: None,
    });
    let counts = |told_at: Option<&_>| told_at.is_none_or(|told_at| at >= *told_at);
    let row = &mut source.row;
    if let Some(status) = &change.status
        && counts(row.status.as_ref().map(|(_, at)| at))
    {
        row.status = Some((limits::name(status), at));
    }
    if let Some(stream) = &change.stream
        && counts(row.stream.as_ref().map(|(_, at)| at))
    {
        row.stream = Some((limits::name(stream), at));
    }
    if let Some(name) = &change.display_name
        && counts(source.name_at.as_ref())
    {
        row.display_name = Some(limits::name(name));
        source.name_at = Some(at);
    }
    if let Some(detail) = &change.detail
        && counts(source.detail_at.as_ref())
    {
        row.detail = Some(detail.clone());
        source.detail_at = Some(at);
    }
}

fn is_wanted(event: &StoredEvent, filter: &EventFilter) -> bool {
    let facts = &event.facts;
    fits(filter.channel.as_ref(), facts.channel.as_ref())
        && fits(filter.platform.as_ref(), facts.platform.as_ref())
        && fits(filter.status.as_ref(), Some(&event.status))
        && within(event.first_at, filter.since, filter.until)
        && filter.user.as_ref().is_none_or(|user| is_of(event, user))
        && filter.text.as_ref().is_none_or(|part| {
            let said = facts.text.as_deref().unwrap_or_default();
            said.to_ascii_lowercase().contains(&limits::text(part).to_ascii_lowercase())
        })
}

fn is_of(event: &StoredEvent, user: &str) -> bool {
    let facts = &event.facts;
    let id = facts.user_id.as_deref();
    let of_platform = |(platform, raw)| facts.platform.as_deref() == Some(platform) && id == Some(raw);
    id == Some(user)
        || id.map(life::raw_user) == Some(user)
        || facts.user_name.as_deref() == Some(user)
        || user.split_once(':').is_some_and(of_platform)
}
