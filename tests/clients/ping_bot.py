"""The example bot in Python, against a whole chatbus: a viewer asks, the channel hears the answer.

tests/clients/run starts the sandbox; this starts nats-server, chatbus and the bot.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

CONTROL = os.environ["SANDBOX_CONTROL"]
CHANNEL = "ping_py"
LIMIT = time.monotonic() + 45


def get(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def say(text):
    body = json.dumps({"channel": CHANNEL, "login": "a_viewer", "text": text}).encode()
    request = urllib.request.Request(f"{CONTROL}/twitch/say", body, {"content-type": "application/json"})
    urllib.request.urlopen(request, timeout=5).close()


def sent():
    return [message["text"] for message in get(f"{CONTROL}/twitch/sent?{urllib.parse.urlencode({'channel': CHANNEL})}")]


def until(what, condition):
    """Waits for a condition; a connection that is refused counts as not yet."""
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        if time.monotonic() > LIMIT:
            raise SystemExit(f"ping_bot.py: FAILED: no {what} in time")
        time.sleep(0.05)


def main(folder, started):
    def start(name, *command, **environment):
        log = open(f"{folder}/{name}.log", "wb")
        started.append((subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log), log.name))

    start("nats", os.environ["NATS_SERVER"], "-js", "-sd", f"{folder}/nats", "-a", "127.0.0.1", "-p", "4222")
    start("chatbus", os.environ["CHATBUS_BIN"], "serve", "ingress-egress", MESSAGE_BUS_DRIVER="nats", BUS_PREFIX="dev.",
          DATA_DIR=f"{folder}/chatbus", PORT="8901", TWITCH_IRC_URL="irc://127.0.0.1:6667", TWITCH_CHANNELS=CHANNEL,
          TWITCH_BOT_USERNAME="ping_bot", TWITCH_BOT_ACCESS_TOKEN="token", TWITCH_SEND="irc")
    until("readiness of chatbus", lambda: get("http://127.0.0.1:8901/readyz")["ready"])
    start("bot", sys.executable, "examples/ping_bot.py", BUS_PREFIX="dev.")
    until("greeting of the bot", lambda: "ready" in open(f"{folder}/bot.log").read())
    say("hello")
    say("!ping")
    until("answer", lambda: "pong" in sent())
    assert sent() == ["pong"], f"one answer to one question, not {sent()}"
    print("ping_bot.py: passed")


with tempfile.TemporaryDirectory() as folder:
    started = []
    try:
        main(folder, started)
    except BaseException:
        for _, log in started:
            print(f"--- {log}\n{open(log).read()[-3000:]}")
        raise
    finally:
        for process, _ in reversed(started):
            process.terminate()
        for process, _ in started:
            process.wait(timeout=15)
