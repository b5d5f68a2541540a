// tmi.js, as a bot that is logged in: joins, hears a viewer, answers.

import assert from 'node:assert/strict';

import tmi from 'tmi.js';

import { GREETING, event, run, say, sent } from './sandbox.js';

run('tmi.js', async (step) => {
  const channel = 'tmi_js';
  const client = new tmi.Client({
    connection: { server: '127.0.0.1', port: 80, secure: false },
    identity: { username: 'tmi_bot', password: 'oauth:token' },
    channels: [channel],
    logger: { info() {}, warn: console.error, error: console.error },
  });
  const joined = event();
  const heard = event();
  client.on('join', (name, user, self) => { if (self) joined.resolve(name); });
  client.on('message', (_, tags, text, self) => { if (!self) heard.resolve({ tags, text }); });
  await client.connect();
  step('connected');
  assert.equal(await joined.happened, `#${channel}`);
  step('joined');

  await say(channel, 'a_viewer', GREETING);
  const { tags, text } = await heard.happened;
  assert.equal(tags.username, 'a_viewer');
  assert.equal(text, GREETING);
  assert.ok(tags.id, 'a message id');
  assert.ok(tags['user-id'], 'a user id');
  step('heard a viewer');

  const words = `tmi.js hört: ${text}`;
  // Resolves when the server has answered with the state of the user.
  await client.say(channel, words);
  step('said something');
  const record = await sent(channel, words);
  assert.equal(record.login, 'tmi_bot');
  assert.equal(record.accepted, true);
  await client.disconnect();
});
