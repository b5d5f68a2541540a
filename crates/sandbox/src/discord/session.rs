//! Gateway sessions: what was dispatched in each, so that it can be told again, and who listens now.

use std::collections::{HashMap, VecDeque};

use chatbus_runtime::CancellationToken;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// Dispatches that a session keeps; a client further behind cannot resume.
const MAX_HISTORY: usize = 10_000;
/// Sessions that are kept, the oldest without a connection first to go.
const MAX_SESSIONS: usize = 1_000;
/// Frames that wait for a connection; what does not fit is told after a resume.
pub(super) const MAX_FRAMES: usize = 4_096;

/// What is sent on a connection.
#[derive(Debug, Clone)]
pub(super) enum Frame {
    Text(String),
    Close(u16),
}

/// A connection that is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// Its session.
    pub session: String,
    /// Which shard, and of how many.
    pub shard: [u64; 2],
    /// The gateway intents it asked for.
    pub intents: u64,
    /// The number of the last dispatch.
    pub seq: u64,
    /// Whether it was frozen.
    pub frozen: bool,
}

/// The server's end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) frames: mpsc::Sender<Frame>,
    pub(super) cut: CancellationToken,
    pub(super) frozen: watch::Sender<bool>,
}

#[derive(Debug)]
struct Session {
    shard: [u64; 2],
    intents: u64,
    seq: u64,
    history: VecDeque<(u64, String)>,
    line: Option<Line>,
    number: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sessions {
    sessions: HashMap<String, Session>,
    lines: HashMap<u64, Line>,
    count: u64,
    accepting: bool,
    pub(super) identifies: u64,
    pub(super) resumes: u64,
    pub(super) resumes_refused: u64,
}

// === impl Sessions ===

impl Default for Sessions {
    fn default() -> Self {
        Self {
            sessions: HashMap::new(),
            lines: HashMap::new(),
            count: 0,
            accepting: true,
            identifies: 0,
            resumes: 0,
            resumes_refused: 0,
        }
    }
}

impl Sessions {
    /// A connection comes; `None` when none are let in.
    pub(super) fn arrive(&mut self) -> Option<(Line, mpsc::Receiver<Frame>)> {
        if !self.accepting {
            return None;
        }
        self.count += 1;
        let (frames, queue) = mpsc::channel(MAX_FRAMES);
        let cut = CancellationToken::new();
        let line = Line { id: self.count, frames, cut, frozen: watch::Sender::new(false) };
        self.lines.insert(line.id, line.clone());
        Some((line, queue))
    }

    /// A connection is gone; its session stays.
    pub(super) fn depart(&mut self, line: u64) {
        self.lines.remove(&line);
        for session in self.sessions.values_mut() {
            if session.line.as_ref().is_some_and(|held| held.id == line) {
                session.line = None;
            }
        }
    }

    /// A new session for this connection.
    pub(super) fn identify(&mut self, id: &str, shard: [u64; 2], intents: u64, line: &Line) {
        self.identifies += 1;
        if self.sessions.len() >= MAX_SESSIONS {
            let idle = self.sessions.iter().filter(|(_, session)| session.line.is_none());
            let oldest = idle.min_by_key(|(_, session)| session.number).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                self.sessions.remove(&oldest);
            }
        }
        self.count += 1;
        let number = self.count;
        let (history, line) = (VecDeque::new(), Some(line.clone()));
        let session = Session { shard, intents, seq: 0, history, line, number };
        self.sessions.insert(id.to_owned(), session);
    }

    /// Goes on with a session, and tells what was dispatched after `seq`. `false` when that is not known any
    /// more.
    pub(super) fn resume(&mut self, id: &str, seq: u64, line: &Line) -> bool {
        let known = self.sessions.get_mut(id).filter(|session| {
            let oldest = session.history.front().map_or(session.seq + 1, |(first, _)| *first);
            seq <= session.seq && seq + 1 >= oldest
        });
        let Some(session) = known else {
            self.resumes_refused += 1;
            return false;
        };
        self.resumes += 1;
        if let Some(old) = session.line.replace(line.clone())
            && old.id != line.id
        {
            old.cut.cancel();
        }
        for (_, frame) in session.history.iter().filter(|(at, _)| *at > seq) {
            let _ = line.frames.try_send(Frame::Text(frame.clone()));
        }
        session.tell("RESUMED", &Value::Object(serde_json::Map::new()));
        true
    }

    /// Dispatches to one session.
    pub(super) fn tell(&mut self, id: &str, name: &str, data: &Value) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.tell(name, data);
        }
    }

    /// Dispatches to each session what `data` gives for its intents and shard.
    pub(super) fn tell_all(&mut self, name: &str, data: impl Fn(u64, [u64; 2]) -> Option<Value>) {
        for session in self.sessions.values_mut() {
            if let Some(data) = data(session.intents, session.shard) {
                session.tell(name, &data);
            }
        }
    }

    pub(super) fn drop_connections(&mut self) -> usize {
        let lines: Vec<Line> = self.lines.drain().map(|(_, line)| line).collect();
        for line in &lines {
            line.cut.cancel();
        }
        // From here on nobody listens, whenever their tasks learn of it.
        self.sessions.values_mut().for_each(|session| session.line = None);
        lines.len()
    }

    pub(super) fn freeze(&self) -> usize {
        self.lines.values().filter(|line| !line.frozen.send_replace(true)).count()
    }

    pub(super) fn close(&self, code: u16) -> usize {
        self.lines.values().filter(|line| line.frames.try_send(Frame::Close(code)).is_ok()).count()
    }

    pub(super) fn reconnect(&self) -> usize {
        self.send(r#"{"t":null,"s":null,"op":7,"d":null}"#)
    }

    pub(super) fn invalidate(&mut self) -> usize {
        self.sessions.clear();
        self.send(r#"{"t":null,"s":null,"op":9,"d":false}"#)
    }

    pub(super) fn accept(&mut self, on: bool) {
        self.accepting = on;
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        let connected = self.sessions.iter().filter_map(|(id, session)| {
            let line = session.line.as_ref()?;
            let (session, shard, intents) = (id.clone(), session.shard, session.intents);
            let seq = self.sessions.get(id).map_or(0, |session| session.seq);
            Some(Connection { session, shard, intents, seq, frozen: *line.frozen.borrow() })
        });
        let mut connected: Vec<Connection> = connected.collect();
        connected.sort_by(|a, b| (a.shard, &a.session).cmp(&(b.shard, &b.session)));
        connected
    }

    fn send(&self, text: &str) -> usize {
        self.lines.values().filter(|line| line.frames.try_send(Frame::Text(text.to_owned())).is_ok()).count()
    }
}

// === impl Session ===

impl Session {
    /// Discord writes `t` first, and clients look for it there.
    fn tell(&mut self, name: &str, data: &Value) {
        self.seq += 1;
        let frame = format!(r#"{{"t":"{name}","s":{},"op":0,"d":{data}}}"#, self.seq);
        if self.history.len() >= MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((self.seq, frame.clone()));
        if let Some(line) = &self.line {
            // What does not fit is told after a resume.
            let _ = line.frames.try_send(Frame::Text(frame));
        }
    }
}
