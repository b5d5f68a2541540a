// Twurple's API and EventSub clients, as a bot: its token is refreshed when it has expired, it asks and says by
// Helix, hears by EventSub, and comes along when it is sent to another address.

import assert from 'node:assert/strict';

import { GREETING, addresses, event, request, run, say, sent, until } from './sandbox.js';

const { twitch } = await addresses();
process.env.TWURPLE_MOCK_API_PORT = new URL(twitch.api).port;

const { RefreshingAuthProvider } = await import('@twurple/auth');
const { ApiClient } = await import('@twurple/api');
const { EventSubWsListener } = await import('@twurple/eventsub-ws');

const SCOPES = ['user:read:chat', 'user:write:chat', 'user:manage:whispers'];
const enabled = (subscriptions) => subscriptions.filter((one) => one.status === 'enabled');

run('twurple over HTTP and EventSub', async (step) => {
  const channel = 'twurple_api';
  await request('/twitch-api/user', { login: channel, display_name: '双子' });
  const authProvider = new RefreshingAuthProvider({ clientId: 'client', clientSecret: 'secret' });
  const refreshed = [];
  authProvider.onRefresh((user) => { refreshed.push(user); });
  const logIn = async (login, scopes) => {
    const made = await request('/twitch-api/token', { login, scopes });
    const user = await authProvider.addUserForToken({
      accessToken: made.access_token,
      refreshToken: made.refresh_token,
      expiresIn: made.expires_in,
      obtainmentTimestamp: Date.now(),
      scope: scopes,
    });
    return { user, token: made.access_token };
  };
  const { user: bot, token } = await logIn('twurple_bot', SCOPES);
  await logIn(channel, []);
  step('logged in');

  await request('/twitch-api/expire', { token });
  const client = new ApiClient({ authProvider });
  const found = await client.users.getUserByName(channel);
  assert.equal(found.displayName, '双子');
  const own = await client.asUser(bot, (user) => user.users.getAuthenticatedUser(bot));
  assert.equal(own.name, 'twurple_bot');
  assert.deepEqual(refreshed, [bot], 'an expired token is refreshed once');
  step('found accounts');

  // What is heard, to be waited for one after another.
  let heard = event();
  let online = event();
  const listener = new EventSubWsListener({ apiClient: client });
  listener.onSubscriptionCreateFailure((_, error) => { throw error; });
  listener.onChannelChatMessage(found.id, bot, (message) => heard.resolve(message));
  listener.onStreamOnline(found.id, (stream) => online.resolve(stream));
  listener.start();
  await until('/twitch-api/subscriptions', (all) => enabled(all).length === 2);
  step('subscribed');

  const said = await say(channel, 'a_viewer', GREETING);
  let message = await heard.happened;
  assert.equal(message.messageText, GREETING);
  assert.equal(message.messageId, said.messages[0].id);
  assert.equal(message.chatterName, 'a_viewer');
  assert.equal(message.broadcasterDisplayName, '双子');
  step('heard a viewer');

  heard = event();
  const words = `Twurple hört: ${GREETING}`;
  const answer = await client.asUser(bot, (user) => (
    user.chat.sendChatMessage(found.id, words, { replyParentMessageId: message.messageId })
  ));
  assert.equal(answer.isSent, true);
  message = await heard.happened;
  assert.equal(message.messageId, answer.id);
  assert.equal(message.parentMessageUserName, 'a_viewer');
  const record = await sent(channel, words);
  assert.deepEqual([record.login, record.way, record.id], ['twurple_bot', 'helix', answer.id]);
  await assert.rejects(
    client.asUser(bot, (user) => user.chat.sendChatMessage(found.id, words)),
    /identical to the previous one/,
  );
  step('said something');

  await client.whispers.sendWhisper(bot, found.id, 'psst');
  const [whisper] = await request('/twitch-api/whispers');
  assert.deepEqual([whisper.from, whisper.to, whisper.text], ['twurple_bot', channel, 'psst']);
  step('whispered');

  await request('/twitch-api/user', { login: channel, live: true, title: 'Live' });
  assert.equal((await online.happened).type, 'live');
  assert.equal((await client.streams.getStreamByUserId(found.id)).title, 'Live');
  step('heard of a stream');

  heard = event();
  await request('/twitch-api/reconnect', {});
  // The old connections are gone when Twurple has come to the new ones: one for each account.
  await until('/twitch-api/sessions', (sessions) => (
    sessions.length === 2 && sessions.every((session) => !session.reconnecting)
  ));
  await say(channel, 'a_viewer', 'after the move');
  assert.equal((await heard.happened).messageText, 'after the move');
  step('moved');

  // After a broken connection it subscribes anew without deleting what is left of the old subscriptions.
  heard = event();
  await request('/twitch-api/orphans', { conflict: false });
  await request('/twitch-api/drop', {});
  await until('/twitch-api/subscriptions', (all) => all.length === 4 && enabled(all).length === 2);
  await say(channel, 'a_viewer', 'after the break');
  assert.equal((await heard.happened).messageText, 'after the break');
  listener.stop();
});
