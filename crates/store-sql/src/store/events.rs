//! Events and sources.

use async_trait::async_trait;
use chatbus_store::{
    Entry, EventFacts, EventFilter, Events, Page, SourceRow, Sources, StoreError, StoredEvent, TimelineStep,
    limits,
};

use super::SqlStore;
use crate::batch::Batch;
use crate::database::Database;
use crate::value::{Row, Statement};
use crate::{codes, select, sql};

#[async_trait]
impl<D: Database> Events for SqlStore<D> {
    async fn record(&self, entries: &[Entry]) -> Result<(), StoreError> {
        limits::check_entries(entries)?;
        if entries.is_empty() {
            return Ok(());
        }
        self.database.record(Batch::new(entries)).await
    }

    async fn event(
        &self,
        correlation_id: &str,
    ) -> Result<Option<(StoredEvent, Vec<TimelineStep>)>, StoreError> {
        if !limits::may_be_id(correlation_id) {
            return Ok(None);
        }
        let steps = Statement::new(sql::STEPS, [correlation_id.into()]);
        let found = self.database.read(vec![select::event(correlation_id), steps]).await?;
        let mut found = found.into_iter();
        let event = found.next().and_then(|rows| rows.into_iter().next());
        let Some(event) = event else { return Ok(None) };
        let steps = found.next().unwrap_or_default();
        Ok(Some((to_event(event)?, steps.into_iter().map(to_step).collect::<Result<_, _>>()?)))
    }

    async fn events(&self, filter: &EventFilter, page: &Page) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = self.find(select::events(self.database.dialect(), filter, page)).await?;
        rows.into_iter().map(to_event).collect()
    }
}

#[async_trait]
impl<D: Database> Sources for SqlStore<D> {
    async fn sources(&self) -> Result<Vec<SourceRow>, StoreError> {
        let rows = self.find(Statement::new(sql::SOURCES, [])).await?;
        rows.into_iter().map(to_source).collect()
    }
}

fn to_event(mut row: Row) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        correlation_id: row.text()?,
        status: codes::status_of(row.int()?)?,
        facts: EventFacts {
            kind: row.maybe_text()?.unwrap_or_default(),
            source: row.maybe_text()?.unwrap_or_default(),
            platform: row.maybe_text()?,
            channel: row.maybe_text()?,
            user_id: row.maybe_text()?,
            user_name: row.maybe_text()?,
            text: row.maybe_text()?,
        },
        first_at: row.time()?,
        last_at: row.time()?,
        body: row.maybe_bytes()?,
    })
}

fn to_step(mut row: Row) -> Result<TimelineStep, StoreError> {
    Ok(TimelineStep {
        key: row.text()?,
        name: row.text()?,
        at: row.time()?,
        detail: row.bytes()?,
        snapshot: row.maybe_bytes()?,
    })
}

fn to_source(mut row: Row) -> Result<SourceRow, StoreError> {
    let (platform, id) = (row.text()?, row.text()?);
    let status = row.maybe_text()?.zip(row.maybe_time()?);
    let stream = row.maybe_text()?.zip(row.maybe_time()?);
    Ok(SourceRow {
        platform,
        id,
        status,
        stream,
        display_name: row.maybe_text()?,
        detail: row.maybe_bytes()?,
    })
}
