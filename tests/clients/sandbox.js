// The sandbox's control API, and what the clients have to show.

import { setTimeout as pause } from 'node:timers/promises';

const CONTROL = process.env.SANDBOX_CONTROL;
/** A client that has not done everything by then has failed. */
const LIMIT_MS = 30_000;

/** Asks the control API: with a body it is a POST. */
export async function request(path, body) {
  const init = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  };
  const response = await fetch(CONTROL + path, init);
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text && JSON.parse(text);
}

/** Where the sandbox's fake platforms are. */
export const addresses = () => request('/');

/** Makes a viewer speak. */
export const say = (channel, login, text) => request('/twitch/say', { channel, login, text });

/** Waits until the sandbox has read this text in this channel, and returns its record. */
export async function sent(channel, text) {
  for (;;) {
    const messages = await request(`/twitch/sent?channel=${encodeURIComponent(channel)}`);
    const found = messages.find((message) => message.text === text);
    if (found) return found;
    await pause(50);
  }
}

/** Waits until what the control API tells at a path is as it should be. */
export async function until(path, fulfilled) {
  while (!fulfilled(await request(path))) await pause(50);
}

/** Runs one client, with a limit; its exit code and last line say what came of it. */
export function run(name, client) {
  let last = 'start';
  const fail = (problem) => {
    // Clients reject with errors, strings and nothing at all.
    console.log(`${name}: FAILED after ${last}: ${problem?.stack ?? problem ?? 'no reason given'}`);
    process.exit(1);
  };
  setTimeout(() => fail(`nothing more for ${LIMIT_MS / 1000} s`), LIMIT_MS);
  process.on('unhandledRejection', fail);
  process.on('uncaughtException', fail);
  client((step) => { last = step; }).then(() => {
    console.log(`${name}: passed`);
    process.exit(0);
  }, fail);
}

/** A promise with its resolve beside it. */
export function event() {
  let resolve;
  const happened = new Promise((done) => { resolve = done; });
  return { happened, resolve };
}

/** What a viewer says: more than ASCII, so that a wrong encoding shows. */
export const GREETING = 'Grüße, 你好 🎉';
