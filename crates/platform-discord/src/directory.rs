//! What is known of the guild: its channels and threads, its roles, its owner, and which channels are wanted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use chatbus_event::json::Raw;

use crate::channel::{channel_id, snowflake};

/// Channels and threads that are known; further ones are not (Discord has at most 500 channels and 1,000 active
/// threads in a guild).
const MAX_CHANNELS: usize = 10_000;
/// Roles that are known (Discord has at most 250 in a guild).
const MAX_ROLES: usize = 1_000;
/// Channels that are read, configured ones included.
pub(crate) const MAX_WANTED: usize = 500;
/// Administrator, and managing of messages.
const MODERATES: u64 = (1 << 3) | (1 << 13);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    guild: u64,
    owner: Option<u64>,
    channels: HashMap<u64, Place>,
    roles: HashMap<u64, Role>,
    wanted: Vec<Arc<str>>,
    base: usize,
    /// What was asked to be read beside the configured channels, as it was written.
    asked: Vec<String>,
}

/// A channel or thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: Arc<str>,
    /// The channel that a thread is in.
    pub(crate) thread_of: Option<u64>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) name: Arc<str>,
    /// Whether who has it moderates.
    pub(crate) moderates: bool,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new(guild: &str, base: &[Arc<str>]) -> Self {
        let wanted: Vec<Arc<str>> = base.iter().take(MAX_WANTED).map(Arc::clone).collect();
        Self { guild: snowflake(guild).unwrap_or(0), base: wanted.len(), wanted, ..Self::default() }
    }

    pub(crate) fn guild(&self) -> u64 {
        self.guild
    }

    /// Reads these channels beside the configured ones; gives how many are left out because they are neither ids
    /// nor names that are known, or too many. Names are looked up again whenever the guild is told.
    pub(crate) fn set_added(&mut self, added: &[String]) -> usize {
        self.asked = added.iter().take(MAX_WANTED).cloned().collect();
        self.look_up() + added.len().saturating_sub(MAX_WANTED)
    }

    fn look_up(&mut self) -> usize {
        self.wanted.truncate(self.base);
        let found: Vec<Option<Arc<str>>> =
            self.asked.iter().map(|text| channel_id(text).or_else(|| self.named(text))).collect();
        let mut left_out = 0;
        for id in found {
            match id {
                Some(id) if self.wanted.contains(&id) => {}
                Some(id) if self.wanted.len() < MAX_WANTED => self.wanted.push(id),
                _ => left_out += 1,
            }
        }
        left_out
    }

    /// The channels that are read, the configured ones first.
    pub(crate) fn wanted(&self) -> &[Arc<str>] {
        &self.wanted
    }

    /// Those that were added at run time.
    pub(crate) fn added(&self) -> &[Arc<str>] {
        self.wanted.get(self.base..).unwrap_or_default()
    }

    /// Whether what is said there is read: in a wanted channel, or a thread of one.
    pub(crate) fn is_wanted(&self, channel: &str) -> bool {
        let is = |id: &str| self.wanted.iter().any(|wanted| &**wanted == id);
        if is(channel) {
            return true;
        }
        let parent = snowflake(channel).and_then(|id| self.channels.get(&id)?.thread_of);
        parent.is_some_and(|parent| is(&parent.to_string()))
    }

    pub(crate) fn is_known(&self, channel: &str) -> bool {
        snowflake(channel).is_some_and(|id| self.channels.contains_key(&id))
    }

    /// Whether the guild's channels were told.
    pub(crate) fn is_filled(&self) -> bool {
        !self.channels.is_empty()
    }

    /// The id of the channel with this name, `#` or not; of several the oldest.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<str>> {
        let name = name.trim();
        let name = name.strip_prefix('#').unwrap_or(name);
        let named = self.channels.iter().filter(|(_, place)| !name.is_empty() && &*place.name == name);
        named.map(|(id, _)| *id).min().map(|id| id.to_string().into())
    }

    pub(crate) fn place(&self, channel: u64) -> Option<&Place> {
        self.channels.get(&channel)
    }

    pub(crate) fn role(&self, role: u64) -> Option<&Role> {
        self.roles.get(&role)
    }

    pub(crate) fn is_owner(&self, user: Option<u64>) -> bool {
        user.is_some() && self.owner == user
    }

    /// Takes in a guild, whole: `GUILD_CREATE`, or what REST gives of it.
    pub(crate) fn learn_guild(&mut self, guild: &Raw) {
        if guild.get("id").as_ref().and_then(id_of) != Some(self.guild) {
            return;
        }
        if let Some(owner) = guild.get("owner_id").as_ref().and_then(id_of) {
            self.owner = Some(owner);
        }
        for (list, learn) in
            [("roles", Self::learn_role as fn(&mut Self, &Raw)), ("channels", Self::learn_channel)]
        {
            let all = guild.get(list).and_then(|list| list.as_array());
            all.unwrap_or_default().iter().for_each(|one| learn(self, one));
        }
        self.learn_threads(guild);
        self.look_up();
    }

    /// Takes in what stands under `threads`.
    pub(crate) fn learn_threads(&mut self, list: &Raw) {
        let threads = list.get("threads").and_then(|threads| threads.as_array());
        threads.unwrap_or_default().iter().for_each(|thread| self.learn_channel(thread));
    }

    /// Takes in a channel or a thread.
    pub(crate) fn learn_channel(&mut self, channel: &Raw) {
        let [id, name, parent, kind] = channel.pick(["id", "name", "parent_id", "type"]);
        let Some(id) = id.as_ref().and_then(id_of) else { return };
        if self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(&id) {
            return;
        }
        // 10 to 12 are the kinds of threads; the parent of anything else is a category.
        let is_thread = kind.and_then(|kind| kind.as_u64()).is_some_and(|kind| (10..=12).contains(&kind));
        let thread_of = parent.as_ref().and_then(id_of).filter(|_| is_thread);
        let name = name.as_ref().and_then(Raw::as_str).unwrap_or(Cow::Borrowed(""));
        self.channels.insert(id, Place { name: name.as_ref().into(), thread_of });
    }

    pub(crate) fn forget_channel(&mut self, channel: &Raw) {
        if let Some(id) = channel.get("id").as_ref().and_then(id_of) {
            self.channels.remove(&id);
        }
    }

    /// Takes in a role.
    pub(crate) fn learn_role(&mut self, role: &Raw) {
        let [id, name, permissions] = role.pick(["id", "name", "permissions"]);
        let (Some(id), Some(name)) = (id.as_ref().and_then(id_of), name) else { return };
        if self.roles.len() >= MAX_ROLES && !self.roles.contains_key(&id) {
            return;
        }
        let bits: u64 = permissions.and_then(|bits| bits.as_str()?.parse().ok()).unwrap_or(0);
        let name = name.as_str().unwrap_or(Cow::Borrowed("")).as_ref().into();
        self.roles.insert(id, Role { name, moderates: bits & MODERATES != 0 });
    }

    pub(crate) fn forget_role(&mut self, role: u64) {
        self.roles.remove(&role);
    }
}

/// An id as Discord writes it: a text.
pub(crate) fn id_of(raw: &Raw) -> Option<u64> {
    raw.as_str().and_then(|text| snowflake(&text))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn raw(json: &'static str) -> Raw {
        Raw::parse(&Bytes::from_static(json.as_bytes())).unwrap()
    }

    fn directory() -> Directory {
        let mut directory = Directory::new("1", &["10".into()]);
        directory.learn_guild(&raw(
            r#"{"id":"1","owner_id":"7","roles":[{"id":"5","name":"Mods","permissions":"8192"},{"id":"6","name":"Fans","permissions":"0"}],
               "channels":[{"id":"10","type":0,"name":"general","parent_id":"3"},{"id":"11","type":0,"name":"bots"}],
               "threads":[{"id":"20","type":11,"name":"t","parent_id":"10"},{"id":"21","type":11,"name":"u","parent_id":"11"}]}"#,
        ));
        directory
    }

    #[test]
    fn threads_of_wanted_channels_are_read_and_other_channels_are_not() {
        let mut directory = directory();
        let read = |directory: &Directory| {
            ["10", "11", "20", "21", "3", "99"]
                .into_iter()
                .filter(|id| directory.is_wanted(id))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(&directory), ["10", "20"]);
        assert_eq!(directory.set_added(&["#bots".to_owned(), "10".to_owned(), "nowhere".to_owned()]), 1);
        assert_eq!(read(&directory), ["10", "11", "20", "21"]);
        assert_eq!(directory.added(), ["11".into()]);
        assert_eq!(directory.set_added(&[]), 0);
        assert_eq!(read(&directory), ["10", "20"], "the configured ones stay");
    }

    #[test]
    fn a_channel_that_was_added_by_its_name_is_read_once_the_guild_is_told() {
        let mut directory = Directory::new("1", &["10".into()]);
        assert_eq!(directory.set_added(&["#bots".to_owned()]), 1);
        directory.learn_guild(&raw(r#"{"id":"1","channels":[{"id":"11","name":"bots"}]}"#));
        assert_eq!(directory.added(), ["11".into()]);
    }

    #[test]
    fn names_lead_to_ids_and_roles_to_what_they_may_do() {
        let mut directory = directory();
        assert_eq!(directory.named("#general").as_deref(), Some("10"));
        assert_eq!(directory.named("#"), None);
        assert!(directory.role(5).unwrap().moderates && !directory.role(6).unwrap().moderates);
        assert!(directory.is_owner(Some(7)) && !directory.is_owner(Some(8)) && !directory.is_owner(None));
        directory.learn_guild(&raw(r#"{"id":"2","owner_id":"8","channels":[{"id":"30","name":"x"}]}"#));
        assert_eq!(directory.named("x"), None, "another guild's");
    }
}
