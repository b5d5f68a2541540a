//! What the bus does by family: the table, whether it holds until settled, its statements.

use std::sync::LazyLock;

use chatbus_event::Family;

/// How many families there are, so that what is kept by family is an array.
pub(crate) const FAMILIES: usize = Family::ALL.len();

/// The statements of one family's table.
#[derive(Debug)]
pub(crate) struct FamilySql {
    pub(crate) insert: String,
    pub(crate) delete: String,
    /// In order after a place, all topics: `?1` after, `?2` up to, `?3` how many.
    pub(crate) read_all: String,
    /// The same of one topic: `?4`.
    pub(crate) read_topic: String,
    pub(crate) read_one: String,
    /// The oldest rows without their bodies, for retention: `?1` how many.
    pub(crate) oldest: String,
    /// The first place at or after `?1` and its time.
    pub(crate) place: String,
    /// The place of the last but `?1`, all topics.
    pub(crate) last_all: String,
    /// The same of one topic: `?2`.
    pub(crate) last_topic: String,
    /// When the first message of topic `?1` at or after place `?2` came.
    pub(crate) first_at: String,
    /// Place and size of one message of topic `?2`.
    pub(crate) size: String,
    /// How many messages each topic has, by subject, and of how many topics: `?1`.
    pub(crate) counts: String,
}

/// The part of a table's name, and the value of `topic.family`.
pub(crate) fn name(family: Family) -> &'static str {
    match family {
        Family::Ingress => "ingress",
        Family::Enriched => "enriched",
        Family::LlmBot => "llmbot",
        Family::Egress => "egress",
        Family::InstanceEgress => "instance_egress",
        Family::ApiEgress => "api_egress",
        Family::Finalizer => "finalizer",
        Family::DeadLetter => "deadletter",
        Family::RouterDlq => "router_dlq",
        Family::Lane => "lane",
        Family::Other => "other",
    }
}

/// Its place in [`Family::ALL`].
pub(crate) fn index(family: Family) -> usize {
    Family::ALL.iter().position(|known| *known == family).unwrap_or(FAMILIES - 1)
}

/// Whether messages stay until they are settled or removed, and new ones are refused when full.
pub(crate) fn holds(family: Family) -> bool {
    family.is_egress() || family == Family::Lane
}

/// Whether several topics share the table, so that reading one of them needs an index.
pub(crate) fn has_many_topics(family: Family) -> bool {
    matches!(
        family,
        Family::InstanceEgress | Family::ApiEgress | Family::Finalizer | Family::Lane | Family::Other
    )
}

pub(crate) fn sql(family: Family) -> &'static FamilySql {
    static ALL: LazyLock<[FamilySql; FAMILIES]> =
        LazyLock::new(|| Family::ALL.map(|f| FamilySql::new(name(f))));
    &ALL[index(family)]
}

// === impl FamilySql ===

impl FamilySql {
    fn new(name: &str) -> Self {
        let table = format!("message_{name}");
        let columns = "seq, topic, at, id, attributes, body";
        // As `size_of` in the writer counts it.
        let size = "octet_length(id) + octet_length(attributes) + octet_length(body) + 32";
        Self {
            insert: format!("INSERT INTO {table} ({columns}) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
            delete: format!("DELETE FROM {table} WHERE seq = ?1"),
            read_all: format!(
                "SELECT {columns} FROM {table} WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
            ),
            read_topic: format!(
                "SELECT {columns} FROM {table} WHERE topic = ?4 AND seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
            ),
            read_one: format!("SELECT {columns} FROM {table} WHERE seq = ?1"),
            oldest: format!("SELECT seq, topic, at, {size} FROM {table} ORDER BY seq LIMIT ?1"),
            place: format!("SELECT seq, at FROM {table} WHERE seq >= ?1 ORDER BY seq LIMIT 1"),
            last_all: format!("SELECT seq FROM {table} ORDER BY seq DESC LIMIT 1 OFFSET ?1"),
            last_topic: format!(
                "SELECT seq FROM {table} WHERE topic = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?1"
            ),
            first_at: format!("SELECT at FROM {table} WHERE topic = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1"),
            size: format!("SELECT {size} FROM {table} WHERE seq = ?1 AND topic = ?2"),
            counts: format!(
                "SELECT topic.subject, held.messages FROM \
                   (SELECT topic, count(*) AS messages FROM {table} GROUP BY topic LIMIT ?1) AS held \
                 JOIN topic ON topic.id = held.topic"
            ),
        }
    }
}
