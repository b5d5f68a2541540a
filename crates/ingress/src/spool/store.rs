//! The spool's files: appends groups, reads back in order, forgets what the bus has.
//!
//! Everything here blocks, so it runs off the executor, one job at a time; nothing here decides when.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::codec::{self, Entry, HEADER_BYTES, MAX_PAYLOAD_BYTES, Parsed};
use super::disk::{Disk, is_full};
use super::folder::Folder;
use super::segments::{Segment, Segments};
use super::{Job, Report};
use crate::platforms::Platforms;

/// An open spool.
pub(crate) struct Store {
    folder: Folder,
    disk: Box<dyn Disk>,
    platforms: Platforms,
    segments: Segments,
    /// The newest segment, while it takes more.
    active: Option<File>,
    reader: Option<Reader>,
    /// Every record below it was written and synced, or is gone.
    durable: u64,
    buffer: Vec<u8>,
}

struct Reader {
    first: u64,
    file: File,
    offset: u64,
}

/// What a spool held when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first record that is not acknowledged.
    pub(crate) cursor: u64,
    /// The number of the next record.
    pub(crate) next: u64,
    /// The length of the files.
    pub(crate) bytes: u64,
    /// Bytes cut from the end of the newest file: a record that was being written.
    pub(crate) torn: u64,
}

const FILE_HEADER: &[u8; 16] = b"chatbus spool 1\n";
const FILE_HEADER_BYTES: u64 = 16;
const READ_BYTES: u64 = 256 * 1024;

// === impl Store ===

impl Store {
    /// Opens a folder's files; cuts what a crash left half written.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn open(
        folder: Folder,
        max_bytes: u64,
        disk: Box<dyn Disk>,
        platforms: Platforms,
    ) -> io::Result<(Self, Found)> {
        let files = folder.segments()?;
        let mut store = Self {
            folder,
            disk,
            platforms,
            segments: Segments::new(max_bytes),
            active: None,
            reader: None,
            durable: 0,
            buffer: Vec::new(),
        };
        let mut torn = 0;
        for (n, &(first, bytes)) in files.iter().enumerate() {
            let segment = match files.get(n + 1) {
                Some(&(next, _)) => Segment { first, end: next, bytes },
                None => {
                    let (end, whole) = store.measure(first, bytes)?;
                    torn = bytes - whole;
                    if torn > 0 {
                        File::options().write(true).open(store.folder.segment(first))?.set_len(whole)?;
                    }
                    Segment { first, end, bytes: whole }
                }
            };
            store.segments.push(segment);
        }
        let oldest = store.segments.oldest().map_or(0, |segment| segment.first);
        let written = store.segments.newest().map_or(0, |segment| segment.end);
        let cursor = store.folder.cursor().unwrap_or(oldest).max(oldest);
        store.durable = written.max(cursor);
        let found = Found { cursor, next: store.durable, bytes: store.segments.bytes(), torn };
        Ok((store, found))
    }

    /// Does a job: the cursor first, because it makes room; then the group; then the reading.
    pub(crate) fn run(&mut self, job: &Job) -> Report {
        let mut error = None;
        let mut cursor_written = None;
        if let Some(cursor) = job.cursor {
            match self.forget(cursor) {
                Ok(()) => cursor_written = Some(cursor),
                Err(failed) => error = Some(failed),
            }
        }
        if let Err(failed) = self.append(&job.append) {
            error = Some(failed);
        }
        let (loaded, read_to) = match job.read {
            None => (Vec::new(), None),
            Some(read) => {
                let from = read.from.max(self.oldest());
                match self.read(from, read.max_bytes) {
                    Ok((loaded, to)) => (loaded, Some(to)),
                    Err(failed) => {
                        error = Some(failed);
                        (Vec::new(), None)
                    }
                }
            }
        };
        Report {
            durable: self.durable,
            oldest: self.oldest(),
            bytes: self.segments.bytes(),
            cursor_written,
            loaded,
            read_to,
            error: error.map(|error| error.to_string()),
        }
    }

    /// Removes the folder: for one that was adopted and is drained.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn remove(self) -> io::Result<()> {
        self.folder.remove()
    }

    /// Where it is, for logs.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The first record that is still there.
    fn oldest(&self) -> u64 {
        self.segments.oldest().map_or(self.durable, |segment| segment.first)
    }

    fn forget(&mut self, cursor: u64) -> io::Result<()> {
        self.folder.set_cursor(cursor)?;
        for segment in self.segments.take_done(cursor) {
            self.delete(segment)?;
        }
        Ok(())
    }

    fn delete(&mut self, segment: Segment) -> io::Result<()> {
        if self.segments.len() == 0 {
            self.active = None;
        }
        if self.reader.as_ref().is_some_and(|reader| reader.first == segment.first) {
            self.reader = None;
        }
        fs::remove_file(self.folder.segment(segment.first))
    }

    fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut at = 0;
        while at < entries.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            let begin = at;
            while let Some(entry) = entries.get(at) {
                let before = buffer.len();
                if codec::encode(entry.number, &entry.kept, &mut buffer)
                    && before > 0
                    && self.closes(buffer.len())
                {
                    buffer.truncate(before);
                    break;
                }
                at += 1;
            }
            let written = self.write(entries[begin].number, entries[at - 1].number + 1, &buffer);
            self.buffer = buffer;
            // A group after a long outage is large; the next one need not hold on to that.
            self.buffer.shrink_to(1024 * 1024);
            written?;
        }
        Ok(())
    }

    /// Whether the newest segment has no room for a group of this length.
    fn closes(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        match self.active {
            Some(_) => self.segments.is_full(bytes, FILE_HEADER_BYTES),
            None => bytes + FILE_HEADER_BYTES > self.segments.segment_bytes(),
        }
    }

    fn write(&mut self, first: u64, end: u64, group: &[u8]) -> io::Result<()> {
        if self.closes(group.len()) {
            self.active = None;
        }
        while self.segments.over(group.len() as u64) && self.segments.len() > 0 {
            if self.segments.len() == 1 {
                self.active = None;
            }
            self.drop_oldest()?;
        }
        loop {
            match self.write_once(first, end, group) {
                // The disk is full before the bound is reached: our own oldest makes room, as long as
                // there is any but the segment that is being written.
                Err(error) if is_full(&error) && self.segments.len() > usize::from(self.active.is_some()) => {
                    self.drop_oldest()?;
                }
                other => return other,
            }
        }
    }

    fn drop_oldest(&mut self) -> io::Result<()> {
        self.segments.pop_oldest().map_or(Ok(()), |oldest| self.delete(oldest))
    }

    fn write_once(&mut self, first: u64, end: u64, group: &[u8]) -> io::Result<()> {
        let mut file = match self.active.take() {
            Some(file) => file,
            None => self.begin_segment(first)?,
        };
        let whole = self.segments.newest().map_or(FILE_HEADER_BYTES, |segment| segment.bytes);
        let written = self.disk.append(&mut file, group);
        if let Err(error) = written {
            // Cut the torn part off; when not even that works, leave the file and begin another.
            if file.set_len(whole).is_ok() {
                self.active = Some(file);
            }
            return Err(error);
        }
        if let Err(error) = self.disk.sync(&file) {
            // What a failed sync left in memory must not be trusted by a later one: begin another file.
            let _ = file.set_len(whole);
            return Err(error);
        }
        self.segments.grew(end, group.len() as u64);
        self.durable = end;
        self.active = Some(file);
        Ok(())
    }

    fn begin_segment(&mut self, first: u64) -> io::Result<File> {
        // One that holds nothing, left by a failed write, has the name we need or is of no use.
        if self.segments.newest().is_some_and(|s| s.first == s.end)
            && let Some(empty) = self.segments.pop_newest()
        {
            self.delete(empty)?;
        }
        let path = self.folder.segment(first);
        let mut file = self.disk.create(&path)?;
        let begun = self.disk.append(&mut file, FILE_HEADER).and_then(|()| self.folder.sync());
        if let Err(error) = begun {
            fs::remove_file(&path)?;
            return Err(error);
        }
        self.segments.push(Segment { first, end: first, bytes: FILE_HEADER_BYTES });
        Ok(file)
    }

    /// Reads records from `from` on, until about `max_bytes` are in hand or there are no more. Also
    /// says up to where it read: a number that is missing in between is lost.
    fn read(&mut self, from: u64, max_bytes: usize) -> io::Result<(Vec<Entry>, u64)> {
        let mut loaded = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while let Some(segment) = self.segments.holding(next) {
            let mut reader = match self.reader.take().filter(|reader| reader.first == segment.first) {
                Some(reader) => reader,
                None => self.begin_reading(segment.first)?,
            };
            let platforms = self.platforms.clone();
            let done = scan(&reader.file, &mut reader.offset, segment.bytes, &platforms, |entry, _| {
                if entry.number >= next {
                    next = entry.number + 1;
                    bytes += entry.kept.size();
                    loaded.push(entry);
                }
                bytes < max_bytes
            })?;
            if done {
                next = next.max(segment.end);
            } else {
                self.reader = Some(reader);
                return Ok((loaded, next));
            }
        }
        Ok((loaded, next.max(self.durable)))
    }

    fn begin_reading(&self, first: u64) -> io::Result<Reader> {
        Ok(Reader { first, file: File::open(self.folder.segment(first))?, offset: 0 })
    }

    /// The number after the newest segment's last record, and where that record ends.
    fn measure(&self, first: u64, bytes: u64) -> io::Result<(u64, u64)> {
        let file = File::open(self.folder.segment(first))?;
        let (mut end, mut whole) = (first, FILE_HEADER_BYTES.min(bytes));
        scan(&file, &mut 0, bytes, &self.platforms, |entry, ends_at| {
            end = end.max(entry.number + 1);
            whole = ends_at;
            true
        })?;
        Ok((end, whole))
    }
}

/// Gives each record from `offset` on, and where it ends, to `take`, moving `offset` behind it, until
/// `take` says no (`false`) or the file ends (`true`). Damage is stepped over.
fn scan(
    file: &File,
    offset: &mut u64,
    length: u64,
    platforms: &Platforms,
    mut take: impl FnMut(Entry, u64) -> bool,
) -> io::Result<bool> {
    let mut want = READ_BYTES;
    while *offset < length {
        let chunk = read_at(file, *offset, want.min(length - *offset))?;
        let is_last = *offset + chunk.len() as u64 >= length;
        let mut at = 0;
        while at < chunk.len() {
            match codec::parse(&chunk.slice(at..), &|name| platforms.label(name)) {
                Parsed::Whole { entry, end } => {
                    at += end;
                    if !take(entry, *offset + at as u64) {
                        *offset += at as u64;
                        return Ok(false);
                    }
                }
                Parsed::Damaged { next } => at += next,
                // At the end of the file, a record that claims to go on is damage.
                Parsed::Short if is_last => at += codec::next_magic(&chunk[at..]),
                Parsed::Short => break,
            }
        }
        // One record longer than what was read: read more at once.
        want = if at == 0 { (HEADER_BYTES + MAX_PAYLOAD_BYTES) as u64 } else { READ_BYTES };
        *offset += at as u64;
    }
    Ok(true)
}

fn read_at(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a spool file is shorter than it was"));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
