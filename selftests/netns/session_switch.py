#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""SWITCH and REATTACH between a real client and a real gateway over a network that loses, doubles, delays and repeats."""
import json
import os
import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from ends import Ends, wait_until  # noqa: E402
from ktap import run, same, say, test  # noqa: E402
from relay import (DATA, DOWN, INIT, INIT_RESP, REATTACH, REATTACH_RESP, RETRY, SWITCH, SWITCH_RESP, UP,  # noqa: E402
                   Relay)

RELAY, GATEWAY, PORT = "203.0.113.1", "203.0.113.2", 51820
OTHER = {"wifi": "lte", "lte": "wifi"}
SWITCHED = [("T4", "RECOVERING", "TRANSPORT_DEAD", "ADMIN"), ("T9", "ATTACHED", "REATTACH_SUCCESS", "ADMIN")]


class World(Ends):
    names = ("client", "middle", "gateway")

    def build(self):
        self.cable(self.client, "wifi", "192.0.2.2/24", self.middle, "wifi", "192.0.2.1/24")
        self.cable(self.client, "lte", "198.51.100.2/24", self.middle, "lte", "198.51.100.1/24")
        self.cable(self.middle, "gw", f"{RELAY}/24", self.gateway, "wan", f"{GATEWAY}/24")
        self.client.ip("route", "add", "default", "via", "192.0.2.1", "dev", "wifi", "metric", "100")
        self.client.ip("route", "add", "default", "via", "198.51.100.1", "dev", "lte", "metric", "200")
        self.relay = Relay(self.middle.space, (RELAY, PORT), (GATEWAY, PORT),
                           {"192.0.2.2": "wifi", "198.51.100.2": "lte"})
        self.undo.callback(self.relay.close)
        for end in self.client, self.gateway:
            end.start()
            end.make_key()
            # enough switches for all tests, no longer a pause between them than needed, and patience with
            # a relay that may be slow: nothing but the tests switches
            for knob, value in (("liveness", "frugal"), ("switch-cooldown", "100ms"), ("max-switches", "32"), ("switch-window", "10s"),
                                ("reattach-rate", "50"), ("reattach-burst", "50")):
                end.cli("policy", "set", "quick", knob, value)
        self.gateway.cli("link", "add", "jvpn0", "private-key", str(self.gateway.private),
                         "listen", f"{GATEWAY}:{PORT}", "address", "10.77.0.1/24", "up")
        self.gateway.cli("peer", "add", self.client.public, "name", "phone", "allowed-ips", "10.77.0.2/32",
                         "policy", "quick")
        self.client.cli("link", "add", "jvpn0", "private-key", str(self.client.private))
        self.client.cli("transport", "add", "wifi", "preference", "100")
        self.client.cli("transport", "add", "lte", "preference", "50")
        self.relay.obey(None)
        self.start_mark = self.relay.mark()
        self.client.cli("peer", "add", self.gateway.public, "name", "home", "endpoint", f"{RELAY}:{PORT}",
                        "allowed-ips", "10.77.0.1/32", "policy", "quick")

    # what is asked of it

    def paths(self):
        shown = json.loads(self.client.cli("-j", "transport", "show").stdout)
        return {t["name"]: t["path"] for t in shown if "name" in t and "path" in t}

    def on(self):
        """The uplink the client is on."""
        session = self.client.is_at("ATTACHED")
        names = {path: name for name, path in self.paths().items()}
        return names[session["binding"]["path"]] if session else None

    def warm(self, uplink):
        """A cookie for that uplink is in hand and it answers."""
        path = self.paths()[uplink]
        session = self.client.session()
        return [c for c in session.get("candidate", []) if c["path"] == path and c["state"] == "alive" and
                "cookie-ms" in c]

    def rest(self):
        """Attached, both ends of one mind, the other uplink warm, no datagram under way that matters."""
        self.relay.obey(None)
        wait_until("the client is attached", 20, self.client.is_at, "ATTACHED")
        uplink = self.on()
        wait_until("the other uplink is warm", 30, self.warm, OTHER[uplink])
        wait_until("the ends agree", 10, self.agree)
        self.client_seq, self.gateway_seq = self.client.last_seq(), self.gateway.last_seq()
        self.version = self.client.session()["bver"]
        self.refused = self.gateway.refused()
        self.mark = self.relay.mark()
        return uplink

    def agree(self):
        client, gateway = self.client.session(), self.gateway.session()
        return client and gateway and client["sid"] == gateway["sid"] and \
            (client["term"], client["bver"]) == (gateway["term"], gateway["bver"]) and client["state"] == gateway["state"]

    def switch(self, uplink, ok=True):
        return self.client.cli("session", "switch", "peer", "home", "transport", uplink, ok=ok)

    def settled(self, uplink, commits=1):
        """Both ends are on that uplink after so many commits, and the tunnel carries."""
        wait_until(f"the client is on {uplink}", 15, lambda: self.on() == uplink)
        wait_until("the ends agree", 10, self.agree)
        same(self.client.session()["bver"], self.version + commits, "binding version")
        same(self.via(self.gateway.remote()), uplink, "the gateway sends to")
        self.carries()

    def via(self, remote):
        """The uplink that an address of the relay stands for."""
        with self.relay.lock:
            for client, sock in self.relay.towards.items():
                if sock.getsockname() == remote:
                    return self.relay.uplinks[client[0]]
        return None

    def carries(self):
        self.client.inside("ping", "-q", "-c", "2", "-i", "0.2", "-W", "3", "10.77.0.1")


def undisturbed(requests):
    """
    The client asks again 20 ms after an answer is due. On a machine that stood still for so long the scenario
    was another one than it says; then it is played once more.
    """
    def decorate(scenario):
        def play(w):
            for _ in range(5):
                try:
                    return scenario(w)
                except AssertionError as error:
                    seen = len(w.relay.since(w.mark, SWITCH, REATTACH))
                    if seen <= requests:
                        raise
                    say(f"{seen} requests, not {requests}: once more ({error})")
            return scenario(w)
        return play
    return decorate


def nth(kind, number, act, way=UP):
    """A rule: act(passed) on the number-th datagram of that kind, pass the others."""
    count = [0]

    def rule(passed):
        if passed.kind != kind or passed.way != way:
            return None
        count[0] += 1
        return act(passed) if count[0] == number else None
    return rule


def lose(_):
    return []


class Chaos:
    """A rule: control datagrams are lost, doubled, withheld and released, as the dice fall."""

    def __init__(self, dice):
        self.dice, self.late = dice, {UP: [], DOWN: []}

    def __call__(self, passed):
        if passed.kind not in (SWITCH, SWITCH_RESP, REATTACH, REATTACH_RESP, RETRY):
            return None
        late = self.late[passed.way]
        released = [late.pop(0)] if late and self.dice.random() < 0.5 else []
        throw = self.dice.random()
        if throw < 0.25:
            return released
        if throw < 0.45:
            late.append(passed.data)
            return released
        return [passed.data] * (2 if throw < 0.65 else 1) + released


@test("the handshake is an INIT and its answer; inner packets pass both ways")
def _(w):
    wait_until("the client is attached", 20, w.client.is_at, "ATTACHED", 1)
    same(w.relay.control(w.start_mark), [INIT, INIT_RESP], "control datagrams")
    wait_until("the ends agree", 10, w.agree)
    same(w.client.session()["bver"], 1, "binding version")
    w.carries()
    w.gateway.inside("ping", "-q", "-c", "1", "-W", "3", "10.77.0.2")


@test("a warm switch is one request and one answer")
@undisturbed(1)
def _(w):
    to = OTHER[w.rest()]
    w.switch(to)
    w.settled(to)
    same(w.relay.control(w.mark), [SWITCH, SWITCH_RESP], "control datagrams")
    for end, seq in (w.client, w.client_seq), (w.gateway, w.gateway_seq):
        wait_until("it is told", 5, lambda e=end, s=seq: e.story(s) == SWITCHED)


@test("a cold switch asks for a cookie first")
@undisturbed(2)
def _(w):
    here = w.rest()
    to = OTHER[here]
    device = {"wifi": "192.0.2.2/24", "lte": "198.51.100.2/24"}[to]
    # a new path, over which nothing has come back so far
    w.relay.obey(lambda p: [] if p.uplink == to and p.kind == DATA else None)
    w.client.ip("addr", "del", device, "dev", to)
    w.client.ip("addr", "add", device, "dev", to)
    if to == "lte":
        w.client.ip("route", "replace", "default", "via", "198.51.100.1", "dev", "lte", "metric", "200")
    else:
        w.client.ip("route", "replace", "default", "via", "192.0.2.1", "dev", "wifi", "metric", "100")
    wait_until("the transport is back", 10, lambda: to in w.paths())
    w.mark = w.relay.mark()
    w.switch(to)
    w.relay.obey(None)
    w.settled(to)
    same(w.relay.control(w.mark), [SWITCH, RETRY, SWITCH, SWITCH_RESP], "control datagrams")


@test("a SWITCH that is lost is followed by a REATTACH")
@undisturbed(2)
def _(w):
    to = OTHER[w.rest()]
    w.relay.obey(nth(SWITCH, 1, lose))
    w.switch(to)
    w.settled(to)
    same(w.relay.control(w.mark), [SWITCH, REATTACH, REATTACH_RESP], "control datagrams")


@test("an answer that is lost costs another commit, and both ends end up with the same binding")
@undisturbed(2)
def _(w):
    to = OTHER[w.rest()]
    w.relay.obey(nth(SWITCH_RESP, 1, lose, DOWN))
    w.switch(to)
    w.settled(to, commits=2)
    same(w.relay.control(w.mark), [SWITCH, SWITCH_RESP, REATTACH, REATTACH_RESP], "control datagrams")
    same(len(w.gateway.story(w.gateway_seq)), 4, "transitions of the gateway")


@test("a SWITCH that arrives twice counts once")
@undisturbed(1)
def _(w):
    to = OTHER[w.rest()]
    w.relay.obey(nth(SWITCH, 1, lambda p: [p.data, p.data]))
    w.switch(to)
    w.settled(to)
    wait_until("it is counted", 5, lambda: w.gateway.refusals_since(w.refused) == {"REPLAY_DETECTED": 1})
    same(len(w.relay.since(w.mark, SWITCH_RESP)), 1, "answers")


@test("an answer that arrives twice counts once")
@undisturbed(1)
def _(w):
    to = OTHER[w.rest()]
    w.relay.obey(nth(SWITCH_RESP, 1, lambda p: [p.data, p.data], DOWN))
    before = w.client.refused()
    w.switch(to)
    w.settled(to)
    wait_until("it is counted", 5, lambda: w.client.refusals_since(before) == {"NONCE_STALE": 1})


@test("requests that overtake each other: the later one counts")
@undisturbed(2)
def _(w):
    to = OTHER[w.rest()]
    held = []

    def hold(passed):
        held.append(passed.data)
        return []

    def release(passed):
        return [passed.data, *held]

    first, second = nth(SWITCH, 1, hold), nth(REATTACH, 1, release)

    def rule(passed):
        one, two = first(passed), second(passed)
        return one if one is not None else two
    w.relay.obey(rule)
    w.switch(to)
    w.settled(to)
    wait_until("it is counted", 5, lambda: w.gateway.refusals_since(w.refused) == {"NONCE_STALE": 1})


@test("what was captured is worth nothing later, from its own address or another")
@undisturbed(1)
def _(w):
    here = w.rest()
    to = OTHER[here]
    w.switch(to)
    w.settled(to)
    captured = [p for p in w.relay.since(w.mark) if p.kind != DATA or p.way == UP]
    w.rest()
    w.switch(here)
    w.settled(here)
    version, state = w.gateway.session()["bver"], w.gateway.session()["state-version"]
    for passed in captured:
        w.relay.again(passed)
    switch = [p for p in captured if p.kind == SWITCH]
    wait_until("the SWITCH is counted", 5,
               lambda: w.gateway.refusals_since(w.refused).get("NONCE_STALE", 0) == len(switch))
    for passed in captured:
        answer = w.relay.elsewhere(passed.data)
        same(answer is None or (passed.kind == SWITCH and answer[0] == RETRY), True, f"answer {answer}")
    same((w.gateway.session()["bver"], w.gateway.session()["state-version"]), (version, state), "versions")
    w.carries()


@test("what was withheld until the client has moved on is dead")
def _(w):
    here = w.rest()
    to = OTHER[here]
    held = []
    w.relay.obey(lambda p: held.append(p) or [] if p.kind in (SWITCH, REATTACH) and p.uplink == to else None)
    # it is given up, and the last word is sent where the session stays
    failed = w.switch(to, ok=False)
    same(failed.returncode != 0, True, "exit status")
    w.relay.obey(None)
    wait_until("the last word has come", 10, lambda: w.gateway.session()["bver"] > w.version and w.agree())
    same((w.on(), w.via(w.gateway.remote())), (here, here), "uplink")
    version = w.gateway.session()["bver"]
    for passed in held:
        w.relay.again(passed)
    wait_until("they are counted", 5, lambda: w.gateway.refusals_since(w.refused).get("NONCE_STALE", 0) == len(held))
    same((w.gateway.session()["bver"], w.via(w.gateway.remote())), (version, here), "binding")
    w.carries()


@test("forged answers are ignored")
@undisturbed(1)
def _(w):
    to = OTHER[w.rest()]

    def forge(passed):
        data = bytearray(passed.data)
        data[40] ^= 1
        return [bytes(data), bytes([RETRY, 1]) + bytes(6) + passed.data[8:16] + os.urandom(16), passed.data]
    w.relay.obey(nth(SWITCH_RESP, 1, forge, DOWN))
    before = w.client.refused()
    w.switch(to)
    w.settled(to)
    same(w.client.refusals_since(before).get("AUTH_FAIL"), 1, "refused by the client")


@test("a rekey is one request and one answer, and loses nothing")
def _(w):
    here = w.rest()
    wait_until("the keys are old enough", 15, lambda: min(e["age-ms"] for e in w.client.session()["epoch"]) > 6000)
    traffic = subprocess.Popen(["ip", "netns", "exec", w.client.space, "ping", "-q", "-i", "0.005", "-c", "1000", "-W", "10",
                                "10.77.0.1"], stdout=subprocess.PIPE, text=True)
    w.client.cli("session", "rekey", "peer", "home")
    refused = w.client.cli("session", "rekey", "peer", "home", ok=False)
    same(refused.returncode, 6, f"exit status of another at once: {refused.stderr}")
    said, _ = traffic.communicate()
    same("1000 received" in said, True, said)
    said = w.relay.control(w.mark)
    # a cookie may have grown old while nothing was sent
    same(said[2:] if said[1] == RETRY else said, [REATTACH, REATTACH_RESP], "control datagrams")
    same((w.on(), w.client.session()["bver"]), (here, w.version), "binding")
    for end in w.client, w.gateway:
        wait_until("the old keys are gone", 10, lambda e=end: len(e.session()["epoch"]) == 1)
    for end, seq in (w.client, w.client_seq), (w.gateway, w.gateway_seq):
        wait_until("it is told", 5, lambda e=end, s=seq: len(e.events("KEY_ROTATED", after=s)) == 1)
        same(end.story(seq), [], "transitions")
    w.carries()


@test("a rekey whose answer is lost is repeated, and what was captured of it is worth nothing")
def _(w):
    w.rest()
    wait_until("another is allowed", 10, lambda: w.client.cli("session", "rekey", "peer", "home", ok=False).returncode == 0)
    captured = [p for p in w.relay.since(w.mark, REATTACH) if any(p.data[80:96])]  # with a cookie, to the daemon
    w.relay.obey(nth(REATTACH_RESP, 1, lose, DOWN))
    wait_until("another is allowed", 10, lambda: w.client.cli("session", "rekey", "peer", "home", ok=False).returncode == 0)
    same(w.client.session()["bver"], w.version, "binding version")
    for passed in captured:
        w.relay.again(passed)
    wait_until("it is counted", 5, lambda: w.gateway.refusals_since(w.refused).get("NONCE_STALE", 0) == len(captured))
    w.carries()


@test("the cipher that the gateway prefers comes with the next keys")
def _(w):
    w.rest()
    for word, aead in ("aes-256-gcm", 1), ("chacha20-poly1305", 0):
        w.gateway.cli("policy", "set", "quick", "cipher", word)
        w.client.cli("session", "reattach", "peer", "home")
        for end in w.client, w.gateway:
            wait_until("the old keys are gone", 10, lambda e=end: len(e.session()["epoch"]) == 1)
            same(end.session()["epoch"][0].get("aead", 0), aead, word)
        w.carries()


@test("a gateway asks for new keys, and for the binding")
def _(w):
    w.rest()
    w.gateway.cli("session", "reattach", "peer", "phone")
    wait_until("the binding is made once more", 10, lambda: w.client.session()["bver"] == w.version + 1 and w.agree())
    w.gateway.cli("session", "rekey", "peer", "phone")
    wait_until("the keys are new", 15, lambda: w.client.events("KEY_ROTATED", after=w.client_seq))
    w.carries()


@test("a network that does all of that at random leaves one binding, and never a version twice")
def _(w):
    seed = int(os.environ.get("JVPN_SEED") or random.SystemRandom().randrange(1 << 32))
    say(f"JVPN_SEED={seed}")
    chaos = Chaos(random.Random(seed))
    uplink = w.rest()
    for _ in range(6):
        uplink = OTHER[w.on() or uplink]
        w.relay.obey(chaos)
        w.switch(uplink, ok=False)
        w.relay.obey(None)
        wait_until("both ends attached and of one mind", 20, lambda: w.on() and w.agree())
    commits = [(r["owner_epoch"], r["binding_version"]) for r in w.gateway.events("STATE_CHANGE")
               if r["new_state"] == "ATTACHED"]
    same(len(set(commits)), len(commits), "distinct versions")
    same(commits, sorted(commits), "versions rise")
    wait_until("the ends agree on where", 10, lambda: w.via(w.gateway.remote()) == w.on())
    w.carries()


run(World)
