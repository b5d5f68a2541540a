// Twurple's chat client, as a bot that is logged in: joins, hears a viewer, answers.
//   node twurple.js ws|irc
// It has no option for the port, so the sandbox must have 80 (ws) and 6667 (irc).

import assert from 'node:assert/strict';

import { GREETING, addresses, event, request, run, say, sent } from './sandbox.js';

const transport = process.argv[2];
assert.ok(['ws', 'irc'].includes(transport), 'ws or irc');

// Before it logs in, Twurple asks Twitch's OAuth server whose token it holds.
const { twitch } = await addresses();
process.env.TWURPLE_MOCK_API_PORT = new URL(twitch.api).port;
const SCOPES = ['chat:read', 'chat:edit'];

const { StaticAuthProvider } = await import('@twurple/auth');
const { ChatClient } = await import('@twurple/chat');

run(`twurple over ${transport}`, async (step) => {
  const channel = `twurple_${transport}`;
  const { access_token: token } = await request('/twitch-api/token', { login: 'twurple_bot', scopes: SCOPES });
  const client = new ChatClient({
    authProvider: new StaticAuthProvider('client', token, SCOPES),
    channels: [channel],
    hostName: '127.0.0.1',
    ssl: false,
    webSocket: transport === 'ws',
  });
  const joined = event();
  const heard = event();
  client.onJoin((name) => joined.resolve(name));
  client.onMessage((_, user, text, message) => heard.resolve({ user, text, message }));
  client.connect();
  assert.equal((await joined.happened).replace('#', ''), channel);
  step('joined');

  await say(channel, 'a_viewer', GREETING);
  const { user, text, message } = await heard.happened;
  assert.equal(user, 'a_viewer');
  assert.equal(text, GREETING);
  assert.ok(message.id, 'a message id');
  assert.ok(message.userInfo.userId, 'a user id');
  assert.ok(Math.abs(Date.now() - message.date.getTime()) < 60_000, 'the time it was sent');
  step('heard a viewer');

  const words = `Twurple hört: ${text}`;
  await client.say(channel, words, { replyTo: message });
  step('said something');
  const record = await sent(channel, words);
  assert.equal(record.login, 'twurple_bot');
  assert.equal(record.accepted, true);
  client.quit();
});
