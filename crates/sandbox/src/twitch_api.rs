//! Twitch behind HTTP: its OAuth server, Helix, and EventSub over WebSockets and webhooks; on the same rooms
//! as the IRC server ([`crate::twitch_irc`]), so that what is said on one side is heard on the other.
//!
//! Two layouts of paths lead to the same: `/helix/…`, `/oauth2/…` and `/ws` as on Twitch's own hosts, and
//! `/mock/…`, `/auth/…`, `/eventsub/subscriptions` and `/ws` as in twitch-cli, which Twurple speaks to when
//! `TWURPLE_MOCK_API_PORT` is set.
//!
//! Where it differs from the real one:
//! - Every login is an account. Its id is that of the IRC tags; accounts are found by id once their login was
//!   seen anywhere.
//! - Every application exists, with any secret, until one is set.
//! - Refresh tokens work once, as Twitch's public clients have them.
//! - It sends nobody and nothing anywhere but to loopback: other redirects and callbacks are refused.

mod answer;
mod auth;
mod eventsub;
mod helix;
mod limits;
mod loopback;
mod oauth;
mod orders;
mod pairs;
mod people;
mod server;
mod shelf;
mod steer;
mod world;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chatbus_runtime::{CancellationToken, Runtime};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::TaskTracker;

pub use auth::{Issued, TokenView};
pub use eventsub::{Emit, SessionView, Sessions};
pub use helix::SentWhisper;
pub use orders::{Fault, Order};
pub use people::{Person, Stream};
pub use steer::NewToken;

use crate::SandboxConfig;
use crate::twitch_irc::{Attached, InRoom, Moment, TwitchIrc};
use auth::Check;
use eventsub::Hub;
use world::World;

/// Frames waiting for one connection to EventSub beyond which a viewer who says much waits.
const LOW_WATER: usize = 512;

/// The fake Twitch behind HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TwitchApi {
    core: Arc<Core>,
    chat: TwitchIrc,
}

/// What its tasks share, and the rooms tell.
#[derive(Debug)]
struct Core {
    runtime: Runtime,
    world: Mutex<World>,
    /// Told whenever something may have changed that a test waits for.
    changed: Notify,
    tasks: TaskTracker,
    stop: CancellationToken,
    addr: SocketAddr,
    /// Whether anybody has asked to be told what is said.
    listens: AtomicBool,
}

// === impl TwitchApi ===

impl TwitchApi {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.core.addr
    }

    /// `http://…` of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.core.addr)
    }

    /// `ws://…/ws`, for `TWITCH_EVENTSUB_URL`.
    pub fn eventsub_url(&self) -> String {
        format!("ws://{}/ws", self.core.addr)
    }

    async fn wait_until(&self, fulfilled: impl Fn(&World) -> bool) {
        self.core.wait_until(fulfilled).await;
    }

    /// The login of an account's id, when it was seen anywhere and exists.
    fn login_of(&self, id: &str) -> Option<String> {
        if let Some(login) = self.core.lock().people.login_of(id) {
            return Some(login.to_owned());
        }
        let login = self.chat.login_with_id(id)?;
        let mut world = self.core.lock();
        world.people.see(&login);
        world.people.login_of(id).map(str::to_owned)
    }
}

// === impl Core ===

impl Core {
    /// For short uses; the rooms' own lock is never taken while this one is held, but the other way round.
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moment(&self) -> Moment {
        Moment::of(&*self.runtime.clock)
    }

    fn changed(&self) {
        self.changed.notify_waiters();
    }

    async fn wait_until(&self, fulfilled: impl Fn(&World) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fulfilled(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl Attached for Core {
    fn token_is_good(&self, token: &str, login: &str) -> Option<bool> {
        let now = self.moment().mono;
        match self.lock().auth.check(token, now) {
            Check::Unknown => None,
            Check::Dead => Some(false),
            Check::Good(token) => Some(token.login.as_deref() == Some(login)),
        }
    }

    fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    fn said(&self, said: &InRoom<'_>, now: Moment) {
        let mut world = self.lock();
        world.people.see(said.login);
        world.people.see(said.channel);
        if self.listens() {
            let event = eventsub::chat_event(said, &world.people);
            world.hub.emit(eventsub::CHAT_MESSAGE, None, &event, None, now);
        }
    }

    fn caught_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.wait_until(|world| world.hub.backlog() <= LOW_WATER))
    }
}

pub(crate) fn start(
    listener: TcpListener,
    chat: &TwitchIrc,
    config: &SandboxConfig,
    runtime: &Runtime,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> std::io::Result<TwitchApi> {
    let addr = listener.local_addr()?;
    let (posts, waiting) = mpsc::channel(eventsub::MAX_POSTS);
    let hub =
        Hub::new(format!("ws://{addr}/ws"), config.max_connections, posts, Arc::clone(&runtime.entropy));
    let core = Arc::new(Core {
        runtime: runtime.clone(),
        world: Mutex::new(World::new(&runtime.entropy, hub)),
        changed: Notify::new(),
        tasks: tasks.clone(),
        stop: stop.clone(),
        addr,
        listens: AtomicBool::new(false),
    });
    chat.attach(Arc::clone(&core) as Arc<dyn Attached>);
    let api = TwitchApi { core, chat: chat.clone() };
    let (working, ending) = (Arc::clone(&api.core), stop.clone());
    let working = async move {
        tokio::select! {
            () = eventsub::work(working, waiting) => {}
            () = ending.cancelled() => {}
        }
    };
    runtime.spawn("sandbox.twitch_api.webhooks", tasks.track_future(working));
    let serving = server::accept(api.clone(), listener, config.max_connections, stop.clone());
    runtime.spawn("sandbox.twitch_api", tasks.track_future(serving));
    Ok(api)
}
