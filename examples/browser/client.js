// A client of the gateway: connects with a token, says things until they are acknowledged, hands over
// what comes, and after a break connects again and asks for what it missed. No framework, no build.

/** Waits between tries double from the first to the last, with jitter, so that not all come at once. */
const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 30_000;
/** What is not acknowledged is said again this often; its id makes that safe. */
const SAY_AGAIN_MS = 15_000;
/** As many at once: the gateway takes 20 in 10 s. */
const AT_ONCE = 10;
/** The browser answers pings by itself and tells nobody: so we ask, to notice a dead connection. */
const ASK_EVERY_MS = 25_000;
const ANSWER_WITHIN_MS = 10_000;
/** Errors after which the same text may be taken. */
const AGAIN = ['bus_unavailable', 'rate_limited', 'draining'];
/** As many deliveries as the gateway keeps for a user: none is handed over twice. */
const SEEN = 100;

export class Client {
  #url;
  #token;
  #on;
  #socket = null;
  #unsaid = new Map(); // id -> { text, done }
  #place = null; // the last frame we had: { epoch, seq }
  #resuming = null; // where the connection before this one ended
  #missed = 0; // frames of the resume that are to come
  #seen = new Set();
  #wait = FIRST_WAIT_MS;
  #refused = 0; // tries in a row that never became ready
  #retry;
  #again;
  #ask;
  #answer;

  /** `on` has `state(text)`, `message(text, frame)` and `problem(text)`. */
  constructor(url, token, on) {
    this.#url = url;
    this.#token = token;
    this.#on = on;
    this.#again = setInterval(() => this.#sayAll(), SAY_AGAIN_MS);
    this.#connect();
  }

  /** Says a text once there is a connection; `done(problem)` is called when its fate is known. */
  say(text, done = () => {}) {
    const id = newId();
    this.#unsaid.set(id, { text, done });
    this.#send(id);
  }

  /** Ends it for good. */
  close() {
    clearInterval(this.#again);
    clearTimeout(this.#retry);
    const socket = this.#socket;
    this.#drop();
    socket?.close(1000);
    this.#on.state('closed');
  }

  #connect() {
    this.#on.state('connecting');
    // Browsers can set no header: the token travels as a subprotocol.
    const socket = new WebSocket(this.#url, ['chatbus.v1', `bearer.${this.#token}`]);
    this.#socket = socket;
    const isCurrent = () => this.#socket === socket;
    socket.onmessage = ({ data }) => isCurrent() && this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => isCurrent() && this.#closed(code, reason);
  }

  /** Lets go of the connection: nothing that it still says counts. */
  #drop() {
    this.#socket = null;
    clearInterval(this.#ask);
    clearTimeout(this.#answer);
  }

  #closed(code, reason) {
    this.#drop();
    if (code === 4401) {
      clearInterval(this.#again);
      this.#on.state('closed: the token expired or was revoked');
      return;
    }
    // A refused token and a server that is away look alike from a page: both are 1006.
    this.#refused += 1;
    let wait = this.#wait * (0.5 + Math.random());
    this.#wait = Math.min(2 * this.#wait, LAST_WAIT_MS);
    // The instance stops and says when to come back.
    if (code === 1012) wait = 1000 * (retryAfter(reason) ?? wait / 1000);
    const hint = this.#refused > 3 ? '; is the token right?' : '';
    this.#on.state(`closed (${code} ${reason}), again in ${(wait / 1000).toFixed(1)} s${hint}`);
    this.#retry = setTimeout(() => this.#connect(), wait);
  }

  #hear({ type, payload = {}, metadata = {} }) {
    clearTimeout(this.#answer);
    switch (type) {
      case 'connection.ready':
        this.#wait = FIRST_WAIT_MS;
        this.#refused = 0;
        this.#missed = 0;
        this.#resuming ??= this.#place;
        this.#place = { epoch: payload.epoch, seq: payload.seq };
        this.#on.state(`connected to ${payload.instance} as ${payload.user_id}`);
        if (this.#resuming) this.#write({ type: 'connection.resume', payload: this.#resuming });
        this.#sayAll();
        this.#ask = setInterval(() => this.#ping(), ASK_EVERY_MS);
        break;
      case 'connection.resumed':
        this.#missed = payload.messages ?? 0;
        if (this.#missed === 0) this.#resuming = null;
        if (!payload.recovered) this.#on.problem('some messages were missed');
        break;
      case 'chat.message.received':
        this.#received(payload, metadata);
        break;
      case 'chat.ack':
        this.#settle(payload.id);
        break;
      case 'chat.error':
        this.#on.problem(`${payload.code}: ${payload.message}`);
        if (!AGAIN.includes(payload.code)) this.#settle(payload.id, payload.message);
        break;
    }
  }

  #received(payload, metadata) {
    if (this.#missed > 0) {
      // Of the connection before: its place says nothing about this one.
      this.#missed -= 1;
      if (this.#missed === 0) this.#resuming = null;
    } else {
      this.#place.seq = metadata.seq;
    }
    if (this.#seen.has(metadata.id)) return;
    this.#seen.add(metadata.id);
    if (this.#seen.size > SEEN) this.#seen.delete(this.#seen.values().next().value);
    this.#on.message(payload.text ?? JSON.stringify(payload.data), { payload, metadata });
  }

  #settle(id, problem) {
    this.#unsaid.get(id)?.done(problem);
    this.#unsaid.delete(id);
  }

  #sayAll() {
    for (const id of [...this.#unsaid.keys()].slice(0, AT_ONCE)) this.#send(id);
  }

  #send(id) {
    const payload = { text: this.#unsaid.get(id).text };
    this.#write({ type: 'chat.message.send', payload, metadata: { id } });
  }

  #ping() {
    this.#write({ type: 'ping' });
    clearTimeout(this.#answer);
    this.#answer = setTimeout(() => {
      const socket = this.#socket;
      this.#closed(1006, 'no answer');
      socket?.close();
    }, ANSWER_WITHIN_MS);
  }

  #write(frame) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }
}

function retryAfter(reason) {
  try {
    const { retry_after: seconds } = JSON.parse(reason);
    return Number.isFinite(seconds) ? seconds : undefined;
  } catch {
    return undefined;
  }
}

/** A random UUID; `crypto.randomUUID` is there only on pages from HTTPS and localhost. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
