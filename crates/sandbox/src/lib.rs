//! Fake platforms on real sockets: for demos, for bot developers, for tests and benchmarks.
//!
//! There are Twitch, as IRC over TCP and WebSocket ([`twitch_irc`]) and behind HTTP with its logins, Helix and
//! EventSub ([`twitch_api`]); Discord's REST and gateway ([`discord`](mod@discord)); Twilio's messages, conversations
//! and signed webhooks ([`twilio`](mod@twilio)); and a platform that exists nowhere else and says nothing twice that
//! has a key ([`playground`]). Beside them stands a language model that answers every question with a fixed sentence
//! about it ([`model`](mod@model)). Everything is steered by methods of [`SandboxHandle`],
//! [`TwitchIrc`](twitch_irc::TwitchIrc), [`TwitchApi`](twitch_api::TwitchApi),
//! [`Playground`](playground::Playground) and [`Model`](model::Model), or from any language over HTTP with the
//! control API below; both do the same, but that only the model's methods break connections. The control API
//! asks nobody who they are, so nothing listens anywhere but on loopback, and requests from web pages of other
//! origins are refused.
//!
//! # Control API
//!
//! Bodies and answers are JSON, whatever the content type says. A request that makes no sense is
//! answered 400 `{"error":"<field> <what is wrong>"}` and changes nothing. `WHO` is any of `connection`
//! (number), `login`, `channel`; none of them means all connections. `since` is the `seq` of the last
//! record seen, or a moment as RFC 3339. Optional fields stand in brackets.
//!
//! | request | body or query | does, and answers |
//! |---|---|---|
//! | `GET /` | | addresses and this table |
//! | `POST /twitch/say` | `channel` `login` `text` `[tags]` `[count]` `[rate]` | a viewer speaks; `{n}` in the text is the message's number; `tags` sets tags, or with null leaves one out; answers `{messages:[{id,at,told}]}` when all is said |
//! | `POST /twitch/raw` | `lines` or `file`, `[channel]` `[connection]` `[rate]` | exactly these bytes and CRLF to every connection logged in, or those in the channel; a line is a text or `{"hex":"…"}`; answers `{lines,bytes,connections}` |
//! | `POST /twitch/flood` | `channel` `count` `[rate]` `[text_bytes]` | numbered chat lines as fast as clients read, or at a rate; answers `{sent,first_id,last_id,seconds}` |
//! | `POST /twitch/viewers` | `channels` `[count]` `[rate]` `[seed]` | scripted viewers say so many lines; answers `{said:[{id,channel,login,text,at,told}],pings}` |
//! | `POST /twitch/drop` | `[WHO]` `[reset]` | closes connections, with a TCP reset if asked; answers `{connections}` |
//! | `POST /twitch/freeze` | `[WHO]` | stops reading and writing without closing; answers `{connections}` |
//! | `POST /twitch/unfreeze` | `[WHO]` | goes on; answers `{connections}` |
//! | `POST /twitch/reconnect` | `[WHO]` `[close_after_ms]` | sends RECONNECT, and closes later if asked; answers `{connections}` |
//! | `POST /twitch/accept` | `on` | accepts new connections, or closes them at once |
//! | `POST /twitch/refuse` | `code` `[channel]` `[count]` | the next `count` sends (all without it, 0 takes it back) get a NOTICE with this `msg-id` |
//! | `POST /twitch/silence` | `channel` `[on]` | messages are accepted and their sender is told nothing |
//! | `POST /twitch/slow-verdicts` | `channel` `ms` | USERSTATE and NOTICE come so much later |
//! | `POST /twitch/channel` | `channel` `[slow_seconds]` `[followers_only_minutes]` `[subs_only]` `[emote_only]` `[suspended]` `[never_joins]` `[silent]` `[verdict_delay_ms]` | sets what is given; answers all modes |
//! | `POST /twitch/role` | `channel` `login` `[moderator]` `[vip]` `[subscriber]` `[follower]` `[banned]` `[timeout_seconds]` | sets what is given |
//! | `POST /twitch/ban` | `channel` `login` `[on]` | bans, or with `on:false` unbans |
//! | `POST /twitch/suspend` | `channel` `[on]` | suspends a channel |
//! | `POST /twitch/token` | `state` (`good` `bad` `expired`), `token` or `login` | logins with it, or of that account, fail from now on, or work again |
//! | `POST /twitch/rules` | `[joins]` `[logins]` `[messages]` `[duplicates]` `[cut_long]` `[channel_gap_ms]` `[sink]` | switches limits; answers all |
//! | `POST /twitch/reset` | `[drop]` | everything as at the start; connections stay unless dropped |
//! | `GET /twitch/sent` | `[channel]` `[since]` | `[{seq,at,channel,login,text,tags,connection,way,accepted,code,id}]`, the newest 100,000; none are kept in sink mode |
//! | `GET /twitch/connections` | | connections with their channels |
//! | `GET /twitch/joins` | `[since]` | `[{seq,at,connection,login,channel,joined,code}]` |
//! | `GET /twitch/logins` | `[since]` | `[{seq,at,connection,login,accepted,code}]` |
//! | `GET /twitch/counters` | | sums since the start, and what arrived in sink mode |
//! | `POST /twitch-api/token` | `[login]` `[scopes]` `[client_id]` `[lifetime_seconds]` | makes a token of an account, or without `login` of the application `client_id` (`client`); answers it with its refresh token |
//! | `POST /twitch-api/expire` | `token` or `login` | ends a token's life, or that of all of an account; refresh tokens stay; answers `{tokens}` |
//! | `POST /twitch-api/revoke` | `token` or `login` | the same, and refresh tokens go too; with `login`, the subscriptions that its tokens made are revoked |
//! | `POST /twitch-api/token-lifetime` | `[seconds]` | how long new user tokens live |
//! | `POST /twitch-api/refuse-refreshes` | `login` `[on]` | refreshes of an account's tokens are refused as invalid |
//! | `POST /twitch-api/client` | `client_id` `secret` | an application with another secret is refused from now on |
//! | `POST /twitch-api/grant-as` | `login` or `deny` | who grants what `/oauth2/authorize` and `/activate` ask |
//! | `POST /twitch-api/device` | `code`, `login` or `deny` | decides on a device, by its user's code or its own |
//! | `POST /twitch-api/user` | `login` `[display_name]` `[missing]` `[broadcaster_type]` `[title]` `[game]` `[live]` `[viewers]` | sets what is given; `live` is told as `stream.online` or `stream.offline`; answers `{id,login,user,told}` |
//! | `POST /twitch-api/refuse` | `status` `[message]` `[retry_after_ms]` `[path]` `[count]` `[for_ms]` | the next `count` requests (all without it, 0 takes it back) to this path (`chat/messages`, `oauth2/token`) are refused with this status |
//! | `POST /twitch-api/drop-message` | `code` `[message]` `[count]` `[for_ms]` | messages by Helix are answered 200 with this drop reason |
//! | `POST /twitch-api/lose` | `[path]` `[count]` `[for_ms]` | what is asked is done, and the connection ends without an answer |
//! | `POST /twitch-api/delay` | `ms` `[path]` `[count]` `[for_ms]` | what is asked is done at once and answered so much later |
//! | `POST /twitch-api/points` | `points` | points of a full bucket of Helix, 800 at the start; all buckets are full then |
//! | `POST /twitch-api/whisper-rules` | `[dropped]` `[limited]` | whispers are answered 204 and dropped; their limits hold |
//! | `POST /twitch-api/reset` | | everything as at the start; EventSub's connections stay |
//! | `POST /twitch-api/emit` | `type` `event` `[version]` `[subscription]` | tells an event to the subscriptions whose condition it meets, or to the one named; answers `{told}` |
//! | `POST /twitch-api/freeze` | `[session]` `[connection]` | EventSub stops reading and writing without closing; answers `{connections}` |
//! | `POST /twitch-api/unfreeze` | `[session]` `[connection]` | goes on; answers `{connections}` |
//! | `POST /twitch-api/keepalives` | `on` `[session]` `[connection]` | sends keepalives, or none; answers `{connections}` |
//! | `POST /twitch-api/drop` | `[session]` `[connection]` | ends connections without a close frame; answers `{connections}` |
//! | `POST /twitch-api/close` | `code` `[reason]` `[session]` `[connection]` | closes connections with this code; answers `{connections}` |
//! | `POST /twitch-api/reconnect` | `[session]` `[connection]` `[grace_ms]` | sends `session_reconnect`, and closes with 4004 later; answers `{connections}` |
//! | `POST /twitch-api/revoke-subscription` | `subscription` `[status]` | takes a subscription back, as `authorization_revoked` if nothing is said |
//! | `POST /twitch-api/repeat` | `subscription` | its last notification once more, with the same message id; answers `{told}` |
//! | `POST /twitch-api/orphans` | `conflict` | whether subscriptions of sessions that are gone answer 409 to equal new ones |
//! | `GET /twitch-api/tokens` | | `[{access_token,refresh_token,client_id,login,scopes,state,expires_in}]`, the newest 10,000 |
//! | `GET /twitch-api/refreshes` | | how often each account's tokens were refreshed |
//! | `GET /twitch-api/devices` | | the user codes of devices that wait |
//! | `GET /twitch-api/sent` | `[channel]` `[since]` | what `GET /twitch/sent` tells: messages by IRC and by Helix, each with its `way` |
//! | `GET /twitch-api/whispers` | `[since]` | `[{seq,at,id,from,to,text,cut,delivered}]`, the newest 100,000 |
//! | `GET /twitch-api/counters` | | notifications that nobody could be told, and connections there are |
//! | `GET /twitch-api/sessions` | | connections to EventSub with their sessions |
//! | `GET /twitch-api/subscriptions` | | all subscriptions, with the application and account that made them |
//! | `POST /playground/refuse` | `status` `[code]` `[retry_after_ms]` `[channel]` `[count]` | the next `count` messages (all without it, 0 takes it back) are refused with this status; what was said already under its key is not |
//! | `POST /playground/lose` | `every` | of what is said, every so many get no answer: the connection ends; 0 for none |
//! | `POST /playground/delay` | `ms` | answers come so much later than what they answer was said |
//! | `POST /playground/freeze` | `on` | nothing is said or answered, and no connection ends |
//! | `POST /playground/drop` | | ends all connections |
//! | `POST /playground/keys` | `on` | whether keys count: without them what is posted twice is said twice |
//! | `POST /playground/reset` | | everything as at the start; connections stay |
//! | `GET /playground/messages` | `[channel]` `[since]` | `[{seq,at,channel,text,key,id,repeats}]`, the newest 100,000; `repeats` counts what came again under the key and was not said |
//! | `POST /model/say` | `text` | one of the next questions is answered with this |
//! | `POST /model/refuse` | `status` `[code]` `[retry_after]` | one of the next questions is refused with this status, and a `Retry-After` of so many seconds |
//! | `POST /model/delay` | `ms` | one of the next questions is answered so much later |
//! | `POST /model/reset` | | everything as at the start; connections stay |
//! | `GET /model/questions` | | the bodies of what was asked, the newest 1,000 |
//! | `POST /twilio/account` | `[sid]` `[auth_token]` `[api_key]` `[api_secret]` `[status]` | sets what is given; answers all |
//! | `POST /twilio/webhook` | `url` `[signed_as]` | where webhooks go, on loopback, and the public address that is signed in its place |
//! | `POST /twilio/text` | `from` `to` `[body]` `[media]` `[profile_name]` `[sid]` | a person sends an SMS, with `media` an MMS, with `whatsapp:` before the numbers a WhatsApp message; answers `{sid,status}` once the webhook did |
//! | `POST /twilio/say` | `conversation` `author` `body` `[sid]` | a participant writes in a conversation; answers `{sid,status}` |
//! | `POST /twilio/conversation` | `[sid]` | a conversation begins; answers `{sid,status}` |
//! | `POST /twilio/refuse` | `status` `code` `[message]` `[retry_after]` `[what]` `[count]` | the next `count` (all without it, 0 takes it back) of `messages` `conversations` `participants` or `account`, without it of all that is sent, are refused |
//! | `POST /twilio/fail` | `status` (`failed` `undelivered`) `code` | one of the next messages is taken, and fails by its status callback |
//! | `POST /twilio/delay` | `ms` | answers come so much later than what they answer was done |
//! | `POST /twilio/lose` | `count` | so many of what is done next get no answer: the connection ends |
//! | `POST /twilio/callbacks` | `on` | whether status callbacks are made |
//! | `POST /twilio/opt-out` | `from` `to` `[on]` | the person at `to` opts out of what comes from a number, or in again |
//! | `POST /twilio/reset` | | everything as at the start, the webhook included |
//! | `GET /twilio/sent` | `[since]` | `[{seq,at,sid,from,to,body,status_callback,status,code}]`, the newest 100,000 |
//! | `GET /twilio/posts` | `[since]` | what was posted to webhooks: `[{seq,at,url,params,status,answer}]` |
//! | `POST /discord/say` | `login` `text` `[channel]` `[roles]` `[nick]` `[reply_to]` `[bot]` | a member speaks in a channel (id or name), or without one to the bot alone; answers `{id,channel,user}` |
//! | `POST /discord/edit` | `message` `text` | a message is edited |
//! | `POST /discord/delete` | `message` | a message is deleted |
//! | `POST /discord/join` | `login` | somebody joins the guild; answers `{user}` |
//! | `POST /discord/leave` | `login` | somebody leaves it |
//! | `POST /discord/thread` | `channel` `name` | a thread is begun; answers `{id}` |
//! | `POST /discord/dispatch` | `name` `data` | any dispatch to every session |
//! | `POST /discord/refuse` | `status` `[code]` `[path]` `[retry_after_ms]` `[scope]` `[count]` | the next `count` requests (1 without it) whose path holds `path` (`/messages` without it) are refused; `scope` of a 429 is `user`, `shared` or `global` |
//! | `POST /discord/lose` | `count` | so many messages are said and not answered: the connection ends |
//! | `POST /discord/limit` | `messages` `[per_ms]` | how many requests a bucket has room for within a time |
//! | `POST /discord/token` | `refused` | tokens are refused (401, close code 4004), or good again |
//! | `POST /discord/intents` | `granted` `[hidden]` | which privileged intents the application has, as bits; when hidden its flags do not tell |
//! | `POST /discord/heartbeat` | `ms` | the heartbeat interval of coming connections |
//! | `POST /discord/shards` | `count` | how many shards are recommended |
//! | `POST /discord/drop` | | ends the gateway connections; answers `{connections}` |
//! | `POST /discord/freeze` | | they neither read nor write any more; answers `{connections}` |
//! | `POST /discord/close` | `code` | closes them with this code; answers `{connections}` |
//! | `POST /discord/reconnect` | | asks them to reconnect (op 7); answers `{connections}` |
//! | `POST /discord/invalidate` | | forgets all sessions and says so (op 9); answers `{connections}` |
//! | `POST /discord/accept` | `on` | lets gateway connections in, or not |
//! | `POST /discord/reset` | | everything as at the start; connections end |
//! | `GET /discord/sent` | `[since]` | `[{seq,at,id,channel,user,text,nonce,reply_to,allowed_mentions,repeats}]`, the newest 100,000; `repeats` counts what came again under the nonce and was not said |
//! | `GET /discord/connections` | | `[{session,shard,intents,seq,frozen}]` |
//! | `GET /discord/counters` | | `identifies` `resumes` `resumes_refused` `requests` `requests_refused` `repeats` |
//!
//! Counts are 1 to 100,000 for `say` and `viewers`, rates up to 1,000,000 a second; files and lines up
//! to 64 MiB.

mod accept;
mod config;
mod control;
pub mod discord;
mod http_door;
pub mod model;
pub mod playground;
mod sandbox;
pub mod twilio;
pub mod twitch_api;
pub mod twitch_irc;
pub mod viewers;

pub use config::SandboxConfig;
pub use sandbox::{Sandbox, SandboxHandle, StartError};
