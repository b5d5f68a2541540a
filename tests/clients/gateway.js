// The browser example's client, as a browser would run it, against a whole chatbus: says something,
// hears something, and goes on after the process it was connected to has been replaced.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import WebSocket from 'ws';
import { Client } from '../../examples/browser/client.js';
import { run } from './sandbox.js';

// A browser has it.
globalThis.WebSocket = WebSocket;
const PORT = 8902;
const URL = `http://127.0.0.1:${PORT}`;

run('browser client', async (step) => {
  const folder = await mkdtemp(join(tmpdir(), 'chatbus-gateway-'));
  const env = { ...process.env, DATA_DIR: join(folder, 'data'), PORT: String(PORT), SHUTDOWN_GRACE_MS: '4000' };
  let server;
  try {
    const chatbus = (...args) => promisify(execFile)(process.env.CHATBUS_BIN, args, { env });
    const start = async () => {
      server = spawn(process.env.CHATBUS_BIN, ['serve'], { env, stdio: 'ignore' });
      for (;;) {
        const answer = await fetch(`${URL}/readyz`).catch(() => null);
        if (answer?.ok) return;
        await pause(50);
      }
    };
    step('start');
    await start();
    const token = JSON.parse((await chatbus('token', 'create', '--user', 'ada', '--json')).stdout).token;

    const states = [];
    const heard = [];
    const client = new Client(`ws://127.0.0.1:${PORT}/ws/v1`, token, {
      state: (text) => states.push(text),
      message: (text) => heard.push(text),
      problem: (text) => states.push(`problem: ${text}`),
    });
    const until = async (what, condition) => {
      step(`${what} (${states.join(' | ')})`);
      while (!condition()) await pause(20);
    };
    await until('connected', () => states.at(-1)?.startsWith('connected to'));

    const said = [];
    client.say('Grüße, 你好 🎉', (problem) => said.push(problem ?? 'acknowledged'));
    await until('acknowledgement', () => said.length === 1);
    if (said[0] !== 'acknowledged') throw new Error(said[0]);
    client.say('   ', (problem) => said.push(problem));
    await until('refusal', () => said.length === 2);
    if (!said[1]) throw new Error('a blank text was acknowledged');

    await chatbus('send', '--to', 'websocket:ada', 'one');
    await until('delivery', () => heard.length === 1);

    // Replaced while the page stays: the server says when to come back, and what was said then arrives.
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    await until('restart', () => states.some((text) => text.includes('1012')));
    client.say('said while nobody listens', (problem) => said.push(problem ?? 'acknowledged'));
    await ended;
    await start();
    await until('connection', () => states.filter((text) => text.startsWith('connected to')).length === 2);
    // The only instance that could have known what was missed is gone, and that is said.
    await until('answer to the resume', () => states.includes('problem: some messages were missed'));
    await until('acknowledgement after it', () => said[2] === 'acknowledged');
    await chatbus('send', '--to', 'websocket:ada', 'two');
    await until('delivery after it', () => heard.length === 2);
    if (heard.join() !== 'one,two') throw new Error(`heard ${heard}`);

    const [revoked] = JSON.parse((await chatbus('token', 'list', '--json')).stdout);
    await chatbus('token', 'revoke', revoked.id);
    await until('revocation', () => states.at(-1)?.includes('revoked'));
  } finally {
    server?.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
});
