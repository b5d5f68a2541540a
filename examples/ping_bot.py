#!/usr/bin/env python3
"""Answers !ping with pong: a bot in any language is a program that reads and writes NATS.

    scripts/setup
    MESSAGE_BUS_DRIVER=nats cargo run -p chatbus -- serve --twitch-channel NAME
    NATS_URL=nats://127.0.0.1:4222 BUS_PREFIX= .tools/venv/bin/python examples/ping_bot.py

Start it after chatbus, which makes the streams. Several copies share the work.
"""
import asyncio
import json
import os
import uuid
from datetime import datetime, timezone

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

PREFIX = os.environ.get("BUS_PREFIX", "")  # in front of every subject, and in no event


async def answer(jetstream, message, event):
    headers = {name.lower(): value for name, value in (message.headers or {}).items()}
    destination = (event.get("egress") or {}).get("destination") or event["egressDestination"]
    candidate = {"id": str(uuid.uuid4()), "kind": "text", "source": "ping-bot", "text": "pong", "priority": 0,
                 "status": "proposed", "createdAt": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
    event["candidates"] = [*(event.get("candidates") or []), candidate]  # every other field stays as it came
    # Made from the question's id: asked twice, the bus drops the second answer.
    answer_id = f"{headers.get('messageid', event.get('id'))}/ping-bot"
    kept = {name: headers[name.lower()] for name in ("correlationId", "traceparent", "channel") if name.lower() in headers}
    own = {"messageId": answer_id, "Nats-Msg-Id": f"{destination}/{answer_id}", "type": event["type"], "source": event["source"]}
    await jetstream.publish(PREFIX + destination, json.dumps(event).encode(), headers={**kept, **own})


async def main():
    connection = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222").split(","))
    jetstream = connection.jetstream()
    # Durable: it goes on where it stopped. New: it does not answer what was said before its first start.
    questions = await jetstream.subscribe(f"{PREFIX}internal.ingress.v1", queue="ping-bot", durable="ping-bot",
                                          manual_ack=True, config=ConsumerConfig(deliver_policy=DeliverPolicy.NEW))
    print("ping_bot: ready", flush=True)
    async for message in questions.messages:
        event = json.loads(message.data)
        asked = ((event.get("message") or {}).get("text") or "").strip().lower() == "!ping"
        if asked and not (event.get("metadata") or {}).get("self"):
            await answer(jetstream, message, event)  # returns when the bus has acknowledged it
        await message.ack()


asyncio.run(main())
