// discord.js on the sandbox's Discord: messages, answers, direct messages, and a connection that is lost.

import { Client, Events, GatewayIntentBits, Partials } from 'discord.js';

import { addresses, request, run, until } from './sandbox.js';

run('discord.js', async (step) => {
  const { discord } = await addresses();
  const client = new Client({
    intents: [
      GatewayIntentBits.Guilds,
      GatewayIntentBits.GuildMessages,
      GatewayIntentBits.DirectMessages,
      GatewayIntentBits.MessageContent,
    ],
    partials: [Partials.Channel],
    rest: { api: `${discord.url}/api` },
  });
  const heard = [];
  client.on(Events.MessageCreate, async (message) => {
    if (message.author.bot) return;
    heard.push(message.content);
    await message.reply(`heard ${message.content}`);
  });
  const ready = new Promise((resolve) => { client.once(Events.ClientReady, resolve); });
  await client.login('sandbox-token');
  await ready;
  step('ready');

  const answered = (text) => until('/discord/sent', (all) => all.some((sent) => sent.text === `heard ${text}`));
  const hall = await request('/discord/say', { login: 'ada', text: 'in public', channel: 'general' });
  await answered('in public');
  step('answered in public');
  const alone = await request('/discord/say', { login: 'ada', text: 'in private' });
  await answered('in private');
  const sent = await request('/discord/sent');
  const of = (text) => sent.find((one) => one.text === `heard ${text}`);
  if (of('in public').channel !== hall.channel || of('in private').channel !== alone.channel) {
    throw new Error(`an answer went elsewhere: ${JSON.stringify(sent)}`);
  }
  if (of('in public').reply_to !== hall.id) throw new Error('the answer refers to nothing');
  step('answered in private');

  await request('/discord/drop', {});
  await request('/discord/say', { login: 'ada', text: 'meanwhile', channel: 'general' });
  await answered('meanwhile');
  if (heard.filter((text) => text === 'meanwhile').length !== 1) throw new Error(`heard ${heard}`);
  step('resumed');
  await client.destroy();
});
