//! Who is connected here: users, their connections, and what they were sent.
//!
//! A user's frames are numbered and queued under the user's own lock, so that all of its connections get
//! them in the order of their numbers. Users that left are remembered for five minutes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::history::{After, Budget, History, Remembered};
use crate::link::Link;

/// All users of this instance.
#[derive(Debug)]
pub(crate) struct Users {
    all: Mutex<All>,
    pub(crate) budget: Budget,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct All {
    users: HashMap<Arc<str>, Arc<User>, foldhash::quality::RandomState>,
    connections: usize,
    /// Users that left, by when.
    left: BTreeSet<(Instant, Arc<str>)>,
    /// Behind the last frame of every user that was forgotten.
    base: u64,
    /// When a user was forgotten before its time, because too many had left.
    given_up: Option<Instant>,
    /// Users whose presence may have changed.
    dirty: HashSet<Arc<str>>,
}

/// One user.
#[derive(Debug)]
pub(crate) struct User {
    inner: Mutex<UserState>,
}

#[derive(Debug, Default)]
pub(crate) struct UserState {
    pub(crate) links: Vec<Arc<Link>>,
    /// Upgrades under way.
    reserved: usize,
    pub(crate) history: History,
    /// Whether a connection of the user ever was here.
    is_known: bool,
    left_at: Option<Instant>,
    touched_at: Option<Instant>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The user has enough connections.
    User,
    /// The instance has.
    Instance,
}

/// A place kept for a connection; given back when it is dropped.
pub(crate) struct Place {
    users: Arc<Users>,
    name: Arc<str>,
    user: Arc<User>,
    reserved_at: Instant,
    is_joined: bool,
    link: Option<Arc<Link>>,
}

/// Connections of one user over all instances.
const MAX_CONNECTIONS: usize = 10;
/// Users that left who are remembered; of more, those that left first are forgotten before their time.
const MAX_LEFT: usize = 100_000;
/// How long a user that left is remembered.
pub(crate) const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// It is forgotten a little later: whoever asks in time is answered though the question takes a while.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(310);

// === impl Users ===

impl Users {
    pub(crate) fn new(history_bytes: usize) -> Self {
        Self { all: Mutex::default(), budget: Budget::new(history_bytes), changed: watch::Sender::new(0) }
    }

    /// Keeps a place for a connection of a user that has `elsewhere` connections on other instances.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        name: &str,
        elsewhere: usize,
        most: usize,
        now: Instant,
    ) -> Result<Place, NoRoom> {
        let mut all = self.lock();
        if all.connections >= most {
            return Err(NoRoom::Instance);
        }
        let (name, user) = match all.users.get_key_value(name) {
            Some((name, user)) => (Arc::clone(name), Arc::clone(user)),
            None if elsewhere >= MAX_CONNECTIONS => return Err(NoRoom::User),
            None => {
                let name: Arc<str> = name.into();
                let history = History::after_base(all.base);
                let user =
                    Arc::new(User { inner: Mutex::new(UserState { history, ..UserState::default() }) });
                all.users.insert(Arc::clone(&name), Arc::clone(&user));
                (name, user)
            }
        };
        let mut state = user.lock();
        if state.links.len() + state.reserved + elsewhere >= MAX_CONNECTIONS {
            return Err(NoRoom::User);
        }
        state.reserved += 1;
        if let Some(at) = state.left_at.take() {
            all.left.remove(&(at, Arc::clone(&name)));
        }
        drop(state);
        all.connections += 1;
        drop(all);
        Ok(Place { users: Arc::clone(self), name, user, reserved_at: now, is_joined: false, link: None })
    }

    /// A user that is connected, or was.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<User>> {
        self.lock().users.get(name).cloned()
    }

    /// Whether a user has a connection here.
    pub(crate) fn is_connected(&self, name: &str) -> bool {
        self.get(name).is_some_and(|user| user.lock().links.iter().any(|link| link.is_open()))
    }

    /// Connections here, those that are being made included.
    pub(crate) fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Users here, those remembered included.
    pub(crate) fn len(&self) -> usize {
        self.lock().users.len()
    }

    /// All connections.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let users: Vec<Arc<User>> = self.lock().users.values().cloned().collect();
        users.iter().flat_map(|user| user.lock().links.clone()).collect()
    }

    /// What a user was sent after this place; `None` when some of it is gone, or nobody knows.
    pub(crate) fn after(&self, name: &str, seq: u64) -> Option<After> {
        self.get(name)?.lock().history.after(seq)
    }

    /// What a user was sent since then, which is not longer ago than [`REMEMBERED_FOR`]; `None` when some
    /// of it is gone. Who is not known here was sent nothing, or left longer ago.
    pub(crate) fn since(&self, name: &str, then: Instant) -> Option<Vec<Remembered>> {
        let all = self.lock();
        let user = all.users.get(name).cloned();
        let given_up = all.given_up;
        drop(all);
        match user {
            Some(user) => user.lock().history.since(then),
            None if given_up.is_some_and(|at| at >= then) => None,
            None => Some(Vec::new()),
        }
    }

    /// Since when a user that is here may have been elsewhere.
    pub(crate) fn first_gap(&self, name: &str) -> Option<Instant> {
        let user = self.get(name)?;
        let state = user.lock();
        if state.links.is_empty() { None } else { state.history.first_gap() }
    }

    /// Nothing was sent to a user elsewhere in the gaps that began between these.
    pub(crate) fn close_gaps(&self, name: &str, from: Instant, until: Instant) {
        if let Some(user) = self.get(name) {
            user.lock().history.close_gaps(from, until);
        }
    }

    /// Changes when a user came or left.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Users whose presence may have changed since the last call, with their connections here.
    pub(crate) fn take_dirty(&self) -> Vec<(Arc<str>, usize)> {
        let names = std::mem::take(&mut self.lock().dirty);
        names.into_iter().map(|name| (Arc::clone(&name), self.count(&name))).collect()
    }

    /// These have to be looked at again.
    pub(crate) fn mark_dirty(&self, names: impl IntoIterator<Item = Arc<str>>) {
        self.lock().dirty.extend(names);
    }

    /// Users that have a connection here.
    pub(crate) fn present(&self) -> Vec<Arc<str>> {
        let users: Vec<_> = self.lock().users.iter().map(|(n, u)| (Arc::clone(n), Arc::clone(u))).collect();
        users.into_iter().filter(|(_, user)| !user.lock().links.is_empty()).map(|(name, _)| name).collect()
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.get(name).map_or(0, |user| user.lock().links.len())
    }

    /// Forgets users that left long ago.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut all = self.lock();
        while let Some((at, name)) = all.left.first().cloned()
            && now.saturating_duration_since(at) >= FORGOTTEN_AFTER
        {
            all.left.pop_first();
            all.forget(&name, &self.budget);
        }
    }

    /// Gives histories up while all together hold too much: those first that were touched longest ago.
    /// It goes on to a tenth below the bound, so that the next one is far.
    pub(crate) fn keep_within_budget(&self) {
        if !self.budget.is_over() {
            return;
        }
        let all = self.lock();
        let mut oldest: Vec<(Option<Instant>, Arc<User>)> =
            all.users.values().map(|user| (user.lock().touched_at, Arc::clone(user))).collect();
        drop(all);
        oldest.sort_by_key(|(touched_at, _)| *touched_at);
        for (_, user) in oldest {
            if self.budget.has_room() {
                return;
            }
            user.lock().history.clear(&self.budget);
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl All ===

impl All {
    fn forget(&mut self, name: &str, budget: &Budget) {
        if let Some(user) = self.users.remove(name) {
            let mut state = user.lock();
            // A place of an epoch never means two things: who comes anew begins behind all that was, and
            // who comes back with a place of before is told that it is gone.
            if state.is_known {
                self.base = self.base.max(state.history.last() + 1);
            }
            state.history.clear(budget);
        }
    }
}

// === impl User ===

impl User {
    pub(crate) fn lock(&self) -> MutexGuard<'_, UserState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl UserState ===

impl UserState {
    /// Something is sent now.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.touched_at = Some(now);
    }
}

// === impl Place ===

impl Place {
    /// The connection is there. `open` is told the place of the last frame before it, and puts the
    /// first frame into it before anybody else can.
    pub(crate) fn join<T>(&mut self, link: &Arc<Link>, open: impl FnOnce(u64) -> T) -> T {
        let mut state = self.user.lock();
        state.reserved = state.reserved.saturating_sub(1);
        let opened = open(state.history.last());
        state.links.push(Arc::clone(link));
        state.is_known = true;
        drop(state);
        (self.is_joined, self.link) = (true, Some(Arc::clone(link)));
        self.tell();
        opened
    }

    /// Whose it is.
    pub(crate) fn user(&self) -> &Arc<str> {
        &self.name
    }

    /// The connection takes nothing more.
    pub(crate) fn leave(&mut self, now: Instant) {
        let Some(link) = self.link.take() else { return };
        let mut all = self.users.lock();
        let mut state = self.user.lock();
        state.links.retain(|other| !Arc::ptr_eq(other, &link));
        if state.links.is_empty() {
            state.history.left(now);
        }
        drop(state);
        self.left(&mut all, now);
        drop(all);
        self.tell();
    }

    /// Remembers when a user's last connection left, or forgets one that never had any.
    fn left(&self, all: &mut All, now: Instant) {
        let mut state = self.user.lock();
        if !state.links.is_empty() || state.reserved > 0 || state.left_at.is_some() {
            return;
        }
        if !state.is_known {
            drop(state);
            all.forget(&self.name, &self.users.budget);
        } else {
            state.left_at = Some(now);
            drop(state);
            all.left.insert((now, Arc::clone(&self.name)));
            while all.left.len() > MAX_LEFT
                && let Some((_, name)) = all.left.pop_first()
            {
                all.given_up = Some(now);
                all.forget(&name, &self.users.budget);
            }
        }
    }

    fn tell(&self) {
        self.users.lock().dirty.insert(Arc::clone(&self.name));
        self.users.changed.send_modify(|version| *version = version.wrapping_add(1));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave(self.reserved_at);
        let mut all = self.users.lock();
        all.connections = all.connections.saturating_sub(1);
        if !self.is_joined {
            let mut state = self.user.lock();
            state.reserved = state.reserved.saturating_sub(1);
            drop(state);
            self.left(&mut all, self.reserved_at);
        }
        drop(all);
        self.users.changed.send_modify(|version| *version = version.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use chatbus_event::Clock as _;
    use chatbus_runtime::SystemClock;
    use chatbus_state::Key;
    use tokio::net::{TcpListener, TcpStream};
    use uuid::Uuid;

    use super::*;

    /// A connection that is nobody's yet.
    async fn link() -> Arc<Link> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        Arc::new(Link::new(Uuid::nil(), Key::parse("token").unwrap(), tcp, Vec::new()))
    }

    /// Comes, is sent as many frames as it says, and leaves; gives the place it was told and the last.
    fn visit(users: &Arc<Users>, link: &Arc<Link>, name: &str, frames: u64, now: Instant) -> (u64, u64) {
        let mut place = users.reserve(name, 0, 10, now).unwrap();
        let begin = place.join(link, |seq| seq);
        let user = users.get(name).unwrap();
        for _ in 0..frames {
            let mut state = user.lock();
            let seq = state.history.next();
            let delivery_id = Arc::from(seq.to_string());
            state.history.keep(Remembered { seq, delivery_id, at: now, frame: "x".into() }, &users.budget);
        }
        place.leave(now);
        (begin, begin + frames)
    }

    #[tokio::test]
    async fn who_left_is_remembered_for_five_minutes_and_then_nobody_knows() {
        let (users, link, begin) = (Arc::new(Users::new(1 << 20)), link().await, SystemClock.instant());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let (first, last) = visit(&users, &link, "alice", 3, at(0));
        let (quiet, _) = visit(&users, &link, "quiet", 0, at(0));
        drop(users.reserve("never came", 0, 10, at(0)).unwrap());
        users.sweep(at(300));
        assert_eq!(users.after("alice", first).map(|after| after.frames.len()), Some(3));
        assert_eq!(
            users.after("quiet", quiet).map(|after| after.gap),
            Some(Some(at(0))),
            "it may be asked for"
        );
        assert_eq!(users.len(), 2);
        users.sweep(at(310));
        assert_eq!((users.len(), users.since("alice", at(10))), (0, Some(vec![])));
        // Whoever comes back finds no place of before, not even the last.
        let (again, _) = visit(&users, &link, "alice", 0, at(311));
        assert_eq!((users.after("alice", last), users.after("alice", first)), (None, None));
        assert!(again > last && users.after("alice", again).is_some());
    }

    #[tokio::test]
    async fn when_too_many_have_left_those_that_are_forgotten_are_unknown_and_not_nobody() {
        let (users, link, begin) = (Arc::new(Users::new(1 << 20)), link().await, SystemClock.instant());
        let second = Duration::from_secs(1);
        for n in 0..=MAX_LEFT {
            visit(&users, &link, &n.to_string(), 0, begin);
        }
        assert_eq!(users.len(), MAX_LEFT);
        let forgotten = (0..=MAX_LEFT).find(|n| users.get(&n.to_string()).is_none()).unwrap().to_string();
        assert_eq!(users.since(&forgotten, begin - second), None);
        assert_eq!(users.since(&forgotten, begin + second), Some(vec![]));
    }
}
