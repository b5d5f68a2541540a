// Twilio's own library on the sandbox's Twilio: messages, conversations, refusals, and signed webhooks.

import { createServer } from 'node:http';
import twilio from 'twilio';

import { addresses, request, run, until } from './sandbox.js';

const FROM = '+15550100';
const ADA = '+15557777';

run('twilio', async (step) => {
  const url = (await addresses()).twilio.url;
  const account = await request('/twilio/account', {});
  // The library has no setting for another server.
  const inner = new twilio.RequestClient();
  const httpClient = {
    request: (options) => {
      const uri = options.uri.replace(/^https:\/\/(api|conversations)\.twilio\.com/, url);
      return inner.request({ ...options, uri });
    },
  };
  const client = twilio(account.sid, account.auth_token, { httpClient });

  const message = await client.messages.create({ from: FROM, to: ADA, body: 'hello' });
  if (!message.sid.startsWith('SM')) throw new Error(`no id: ${message.sid}`);
  await until('/twilio/sent', (all) => all.some((sent) => sent.sid === message.sid && sent.body === 'hello'));
  step('a message');

  await request('/twilio/refuse', { status: 400, code: 21610, what: 'messages', count: 1 });
  const refused = await client.messages.create({ from: FROM, to: ADA, body: 'no' }).catch((error) => error);
  if (refused.code !== 21610 || refused.status !== 400) throw new Error(`not refused: ${refused}`);
  step('a refusal');

  const conversation = await client.conversations.v1.conversations.create({ friendlyName: 'hall' });
  await client.conversations.v1.conversations(conversation.sid).participants.create({ identity: 'bot' });
  const said = await client.conversations.v1.conversations(conversation.sid).messages.create({ author: 'bot', body: 'hi all' });
  if (!said.sid.startsWith('IM')) throw new Error(`no id: ${said.sid}`);
  step('a conversation');

  const calls = [];
  const server = createServer((call, answer) => {
    let body = '';
    call.on('data', (part) => { body += part; });
    call.on('end', () => {
      const params = Object.fromEntries(new URLSearchParams(body));
      const at = `http://${call.headers.host}${call.url}`;
      const valid = twilio.validateRequest(account.auth_token, call.headers['x-twilio-signature'], at, params);
      calls.push({ valid, params });
      answer.writeHead(valid ? 200 : 403, { 'content-type': 'text/xml' });
      answer.end('<Response/>');
    });
  });
  await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
  await request('/twilio/webhook', { url: `http://127.0.0.1:${server.address().port}/sms` });
  await request('/twilio/text', { from: ADA, to: FROM, body: 'ärger & co' });
  if (calls.length !== 1 || !calls[0].valid || calls[0].params.Body !== 'ärger & co') {
    throw new Error(`the webhook: ${JSON.stringify(calls)}`);
  }
  step('a webhook');
  server.close();
});
