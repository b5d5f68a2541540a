//! What has to be asked before there are subscriptions, and then the subscriptions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chatbus_connector::Account;
use tokio::sync::mpsc;

use super::conduit;
use super::subscriptions::{Channel, Grants, HelixApi, Outcome, Refusal, Told, Transport, reconcile, wanted};
use crate::helix::HelixError;

/// By which way notifications are to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Session(Arc<str>),
    /// Of the conduit, on this session.
    Conduit(Arc<str>),
    Webhook(Arc<str>),
}

/// What is found out on the way.
#[derive(Debug)]
pub(super) enum Progress {
    /// Whose token it is.
    Who { user_id: String, login: String },
    /// Channels' owners.
    Known(Vec<Channel>),
    /// Channels that are nobody's.
    Nobody(Vec<Arc<str>>),
    /// Scopes that are missing.
    Lacks(BTreeSet<&'static str>),
}

/// One run.
pub(super) struct Work {
    pub(super) api: Arc<HelixApi>,
    /// The account of a channel's owner.
    pub(super) owner: Account,
    pub(super) way: Way,
    pub(super) channels: Vec<Arc<str>>,
    pub(super) known: HashMap<Arc<str>, Arc<str>>,
    pub(super) dead: Vec<Arc<str>>,
    pub(super) is_fresh: bool,
    pub(super) progress: mpsc::Sender<Progress>,
    pub(super) told: mpsc::Sender<Told>,
}

// === impl Work ===

impl Work {
    pub(super) async fn run(mut self) -> Outcome {
        match self.prepare().await {
            Ok((transport, grants, channels)) => {
                let (wanted, lacks) = wanted(&channels, &grants);
                self.say(Progress::Lacks(lacks)).await;
                let Self { api, dead, is_fresh, told, .. } = &self;
                reconcile(&**api, &wanted, &transport, dead, *is_fresh, told).await
            }
            Err(Refusal::Reauth(why)) => Outcome::Reauth(why),
            Err(Refusal::Limited(wait)) => Outcome::Again(wait, "asked too often".to_owned()),
            Err(Refusal::Refused(why) | Refusal::Unavailable(why) | Refusal::MissingScope(why)) => {
                Outcome::Again(super::client::ASK_AGAIN_AFTER, why)
            }
            Err(other) => Outcome::Again(super::client::ASK_AGAIN_AFTER, other.code().to_owned()),
        }
    }

    async fn prepare(&mut self) -> Result<(Transport, Grants, Vec<Channel>), Refusal> {
        let who = self.api.helix.who().await.map_err(|error| match error {
            HelixError::NoToken | HelixError::Refused(_) => Refusal::Reauth(error.to_string()),
            _ => Refusal::Unavailable(error.to_string()),
        })?;
        self.say(Progress::Who { user_id: who.user_id.clone(), login: who.login.clone() }).await;
        let owner = self.owner.now();
        let owner = owner.user_id.map(|id| (id, owner.scopes)).filter(|_| self.api.is_app);
        let grants = Grants { user_id: who.user_id, scopes: who.scopes, owner };
        let channels = self.resolve().await?;
        let transport = match &self.way {
            Way::Session(id) => Transport::Session(Arc::clone(id)),
            Way::Webhook(address) => Transport::Webhook(Arc::clone(address)),
            Way::Conduit(session) => Transport::Conduit(conduit::join(&self.api, session).await?.into()),
        };
        Ok((transport, grants, channels))
    }

    /// The channels with their owners' ids.
    async fn resolve(&mut self) -> Result<Vec<Channel>, Refusal> {
        let unknown: Vec<&str> = self
            .channels
            .iter()
            .filter(|name| !self.known.contains_key(*name))
            .map(|name| name.trim_start_matches('#'))
            .collect();
        if !unknown.is_empty() {
            let found = self.api.users(&unknown).await?;
            self.known.extend(found.into_iter().map(|(login, id)| (format!("#{login}").into(), id)));
        }
        let (mut channels, mut nobody) = (Vec::new(), Vec::new());
        for name in &self.channels {
            match self.known.get(name) {
                Some(id) => channels.push(Channel { name: Arc::clone(name), id: Arc::clone(id) }),
                None => nobody.push(Arc::clone(name)),
            }
        }
        self.say(Progress::Known(channels.clone())).await;
        self.say(Progress::Nobody(nobody)).await;
        Ok(channels)
    }

    async fn say(&self, progress: Progress) {
        // Nobody listens when this run was given up.
        let _ = self.progress.send(progress).await;
    }
}
