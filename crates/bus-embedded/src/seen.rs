//! The table `seen`: the ids of the window, so that they survive a restart and the settlement of
//! their messages.
//!
//! Ids stand in blocks, one row each, in the order of publishing. A commit rewrites the block that is
//! being filled: one page, however many ids it adds. Opening reads a few thousand rows, not a
//! quarter of a million.

use rusqlite::Connection;

use crate::dedupe::{ID_BYTES, Key, Window};

/// How many ids make a block: half a page, so that a block never needs overflow pages.
const BLOCK_IDS: usize = 128;

/// The block that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Block {
    number: i64,
    at_ms: i64,
    ids: Vec<u8>,
}

/// What a commit adds: applied to memory once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Added {
    pub(crate) keys: Vec<(Key, u64)>,
    /// The block of each key, and the block to go on with.
    blocks: Vec<i64>,
    last: Block,
}

// === impl Block ===

impl Block {
    /// The block after everything in the table.
    pub(crate) fn after_last(db: &Connection) -> rusqlite::Result<Self> {
        let last: Option<i64> = db.query_row("SELECT max(block) FROM seen", [], |row| row.get(0))?;
        Ok(Self { number: last.unwrap_or(0), at_ms: 0, ids: vec![0; BLOCK_IDS * ID_BYTES] })
    }
}

/// Reads the window back. `age_to_ms` turns a wall time into the time of the window.
pub(crate) fn load(
    db: &Connection,
    window: &mut Window,
    mut to_window_ms: impl FnMut(i64) -> i64,
) -> rusqlite::Result<usize> {
    let mut statement = db.prepare("SELECT block, at, ids FROM seen ORDER BY block")?;
    let mut rows = statement.query([])?;
    let (mut latest, mut count) = (i64::MIN, 0);
    while let Some(row) = rows.next()? {
        // The wall clock may have jumped back between two blocks; the window's must not.
        latest = latest.max(to_window_ms(row.get(1)?));
        let ids = row.get_ref(2)?.as_bytes()?;
        window.load(ids, row.get(0)?, latest);
        count += ids.len() / ID_BYTES;
    }
    Ok(count)
}

/// Writes the keys of a commit.
pub(crate) fn save(
    db: &Connection,
    block: &Block,
    keys: Vec<(Key, u64)>,
    new_generation: bool,
    wall_ms: i64,
) -> rusqlite::Result<Added> {
    let mut current = Block { number: block.number, at_ms: block.at_ms, ids: block.ids.clone() };
    let mut blocks = Vec::with_capacity(keys.len());
    let mut unsaved = false;
    let mut fresh = new_generation;
    for (key, seq) in &keys {
        if fresh || current.ids.len() >= BLOCK_IDS * ID_BYTES {
            if unsaved {
                current.save(db)?;
            }
            current.number += 1;
            current.at_ms = wall_ms;
            current.ids.clear();
            fresh = false;
        }
        current.ids.extend_from_slice(&key.to_bytes(*seq));
        blocks.push(current.number);
        unsaved = true;
    }
    if unsaved {
        current.save(db)?;
    }
    Ok(Added { keys, blocks, last: current })
}

/// Removes the blocks up to this one.
pub(crate) fn forget(db: &Connection, upto: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM seen WHERE block <= ?1")?.execute([upto]).map(drop)
}

// === impl Added ===

impl Added {
    /// Takes over what was committed.
    pub(crate) fn apply(self, window: &mut Window, block: &mut Block, now_ms: i64) {
        for ((key, seq), number) in self.keys.iter().zip(&self.blocks) {
            window.insert(*key, *seq, *number, now_ms);
        }
        if !self.blocks.is_empty() {
            *block = self.last;
        }
    }
}

impl Block {
    fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT INTO seen (block, at, ids) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (block) DO UPDATE SET ids = excluded.ids";
        db.prepare_cached(sql)?.execute((self.number, self.at_ms, &self.ids)).map(drop)
    }
}
