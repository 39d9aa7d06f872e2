#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Control frames that a gateway gets, and what it tells of a client that falls silent."""
import os
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
from jvpn_netlink import SLOW, space  # noqa: E402
from ktap import run, same, say, test, within  # noqa: E402
from rig import (CANDIDATE, CLOSE, CONFIRM, NAT_CHECK, NOTICE, PROBE, PROBE_ACK, TERM, Epoch, Rig, ip, probe,  # noqa: E402
                 probe_fields, udp4, where)

INNER, PEER = "10.77.0.1", "10.77.0.2"
BIRTH, ATTACHED, TERMINATED = 1, 2, 6
TRANSPORT_DEAD = 1


class Gateway(Rig):
    def __init__(self):
        super().__init__("gateway")
        self.bver = 5

    def prepare(self):
        with space(self.kernel):
            ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
            self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.undo.callback(self.inside.close)
        self.inside.bind((INNER, 4001))  # so that nothing is answered from inside
        self.client = self.source()
        self.renew()

    def renew(self, state=ATTACHED, bind=True, **figures):
        """Another session in place of the one before."""
        if hasattr(self, "sid"):
            self.nl.call("session-del", ifindex=self.ifindex, session=[{"sid": self.sid}])
        self.sid, self.epoch = os.urandom(16), Epoch()
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": self.sid, "role": "gateway", "state": state, "state_version": 1,
             "prefix": [{"addr": socket.inet_aton(PEER), "len": 32}], **figures}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[self.epoch.attributes(self.sid, 1)])
        if bind:
            self.bind(0, self.bver)
        self.watch.poll()
        self.watch.events.clear()

    def bind(self, expect, bver, sock=None):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": self.sid, "op": "set", "expect_term": TERM, "expect_bver": expect, "term": TERM, "bver": bver,
             "path": 0, "remote": where(sock or self.client)}])

    def say(self, plain, sock=None):
        (sock or self.client).send(self.epoch.seal(plain))

    def ask(self, plain, sock=None, flags=0):
        """Send a frame and return what comes back, opened; None if nothing does until a second one is answered."""
        sock = sock or self.client
        self.say(plain, sock)
        mark = os.urandom(8)
        self.say(probe(nonce=mark, flags=flags), sock)
        answers = []
        while True:
            datagram = self.receive(sock, 5)
            if datagram is None:
                raise AssertionError("the gateway is gone")
            answers.append(self.epoch.open(datagram))
            if answers[-1][8:16] == mark:
                break
        if len(answers) > 2:
            raise AssertionError(f"{len(answers) - 1} answers to one frame")
        return answers[0] if len(answers) == 2 else None

    def ignored(self, plain, sock=None):
        same(self.ask(plain, sock), None, "answer")


@test("a PROBE is answered by as many bytes, with its nonce and time")
def _(g):
    for size in 64, 65, 128, 1000, 1400:
        nonce = os.urandom(8)
        answer = g.ask(probe(size=size, nonce=nonce, time=0x89ABCDEF, path_id=3))
        ack = probe_fields(answer)
        same((ack.type, ack.size, ack.nonce, ack.time, ack.path_id), (PROBE_ACK, size, nonce, 0x89ABCDEF, 3), "ACK")
        same((ack.term, ack.bver), (TERM, g.bver), "version")
        same((ack.highest, ack.packets), (g.epoch.counter - 2, g.epoch.counter - 1), "counters")
        if not any(ack.cookie):
            raise AssertionError("no cookie")


@test("it is answered where it came from, and the binding stays")
def _(g):
    other = g.source("10.0.0.9")
    ack = probe_fields(g.ask(probe(flags=CANDIDATE), other, CANDIDATE))
    same(ack.type, PROBE_ACK, "frame")
    same(g.receive(g.client), None, "at the bound address")
    same(g.session(g.sid)["binding"]["remote"], where(g.client), "binding")
    same(g.watch.signal("source-changed", 0), None, "signal")
    g.ask(probe(), other)
    same(g.watch.signal("source-changed", 5)["remote"], where(other), "remote")


@test("the cookie in the answer is good for a SWITCH from there, and only from there")
def _(g):
    other = g.source("10.0.0.10")
    cookie = probe_fields(g.ask(probe(flags=CANDIDATE), other)).cookie

    def switch():
        return wire.switch_seal(g.key.public, os.urandom(32), 3, g.epoch.kernel_cid, os.urandom(8), cookie, 1,
                                term=TERM, bver=1, reason=TRANSPORT_DEAD, path_id=0, rx_highest=0)

    same(g.send(other, switch())[2], {"UPCALLS": 1}, "from there")
    same(g.send(g.client, switch())[2], {"RETRIES": 1}, "from elsewhere")


@test("a replayed PROBE is not answered")
def _(g):
    before, datagram = g.counters(), g.epoch.seal(probe())
    for _ in range(3):
        g.client.send(datagram)
    same(g.counted(before, 2), {"RX_REPLAY": 2}, "counted")
    same(g.epoch.open(g.receive(g.client, 5))[0], PROBE_ACK, "first answer")
    g.ignored(b"")  # whatever else was under way would come before the mark's answer


@test("a frame out of shape is dropped and counted, an unknown one ignored")
def _(g):
    bad = [probe()[:63], probe(zero=1), probe(path_id=16), probe(flags=8), probe(cookie=b"\1" + bytes(15)),
           probe(size=80)[:79] + b"\1", probe(PROBE_ACK, size=65)[:64] + b"\1",
           bytes([CLOSE]) + bytes(30), bytes([CLOSE]) + bytes(32), bytes([CLOSE, 0, 1]) + bytes(29), bytes([NOTICE]) + bytes(63),
           bytes([NOTICE, 2]), bytes([NOTICE, 2, 0, 1]), bytes([NOTICE, 2]) + bytes(243)]
    before = g.counters()
    for frame in bad:
        g.ignored(frame)
    same(g.counted(before, len(bad)), {"RX_FRAME": len(bad)}, "counted")
    for kind in 0x05, 0x0F, 0x00:
        g.ignored(bytes([kind]) + bytes(63))
    g.ignored(bytes([NOTICE, 2]) + bytes(242))
    g.ignored(b"")
    same(g.counted(before, len(bad)), {"RX_FRAME": len(bad)}, "counted")
    same((g.watch.signal("closed", 0), g.watch.signal("notice", 0)), (None, None), "signals")


@test("an unasked PROBE_ACK changes nothing")
def _(g):
    g.ignored(probe(PROBE_ACK, nonce=os.urandom(8), cookie=os.urandom(16)))


@test("before it is attached a session's PROBE is not answered, but it confirms the keys")
def _(g):
    g.renew(state=BIRTH, bind=False)
    g.say(probe(flags=CONFIRM))
    signal = g.watch.signal("confirmed", 5)
    same((signal["sid"], signal["cid"], signal["remote"]), (g.sid, g.epoch.kernel_cid, where(g.client)), "confirmed")
    g.nl.call("session-set", ifindex=g.ifindex, session=[
        {"sid": g.sid, "state": ATTACHED, "state_version": 2, "reason": 1}])
    g.bind(0, g.bver)
    g.ask(probe())
    same(g.receive(g.client), None, "late answer")


@test("a terminated session answers nothing")
def _(g):
    g.renew()
    g.nl.call("session-set", ifindex=g.ifindex, session=[
        {"sid": g.sid, "state": TERMINATED, "state_version": 2, "reason": 19}])
    same(g.send(g.client, g.epoch.seal(probe())), (None, None, {"RX_UNKNOWN_CID": 1}), "PROBE")


@test("a version that the client shows is remembered once, if it is one that was given")
def _(g):
    g.renew()
    g.ask(probe())
    seen = g.session(g.sid).get("bver-seen", 0)
    g.ask(probe(term=TERM + 1, bver=3))
    g.ask(probe(term=TERM, bver=g.bver + 1))
    same((g.session(g.sid).get("bver-seen", 0), g.watch.signal("version", 0)), (seen, None), "made-up versions")
    for kind, bver in (PROBE, 3), (PROBE_ACK, 4), (PROBE, g.bver):
        g.ask(probe(kind, bver=bver))
        signal = g.watch.signal("version", 5)
        same((signal["sid"], signal["term"], signal["bver"]), (g.sid, TERM, bver), "signal")
        same(g.session(g.sid)["bver-seen"], bver, "remembered")
    g.ask(probe(bver=g.bver))
    g.ask(probe(bver=3))
    same((g.session(g.sid)["bver-seen"], g.watch.signal("version", 0)), (g.bver, None), "the same or less")


@test("CLOSE is told with its reason and version")
def _(g):
    g.say(struct.pack("<BB6xQQ8x", CLOSE, 42, TERM, g.bver))
    signal = g.watch.signal("closed", 5)
    same((signal["sid"], signal["reason"], signal["term"], signal["bver"], signal["remote"]),
         (g.sid, 42, TERM, g.bver, where(g.client)), "signal")


@test("the daemon's probe goes where it says, and its answer is taken")
def _(g):
    other, nonce = g.source("10.0.0.11"), os.urandom(8)
    g.nl.call("frame-send", ifindex=g.ifindex, frame=[
        {"sid": g.sid, "type": PROBE, "flags": NAT_CHECK, "nonce": nonce, "path": 0, "remote": where(other)}])
    sent = probe_fields(g.epoch.open(g.receive(other, 5)))
    same((sent.type, sent.flags, sent.nonce, sent.cookie, sent.size), (PROBE, NAT_CHECK, nonce, bytes(16), 64), "PROBE")
    same(g.receive(g.client), None, "at the bound address")
    g.ignored(probe(PROBE_ACK, nonce=nonce, time=sent.time), other)


@test("the daemon's CLOSE carries reason and version")
def _(g):
    g.nl.call("frame-send", ifindex=g.ifindex, frame=[{"sid": g.sid, "type": CLOSE, "reason": 5}])
    same(g.epoch.open(g.receive(g.client, 5)), struct.pack("<BB6xQQ8x", CLOSE, 5, TERM, g.bver), "CLOSE")


@test("a client that is silent for dead-idle-ms is told of, once per silence")
def _(g):
    g.renew(dead_idle_ms=1000 * SLOW, dead_busy_ms=60000)
    for _ in range(2):
        g.ask(probe())
        signal = g.watch.signal("silent", 10)
        same((signal["sid"], signal["remote"]), (g.sid, where(g.client)), "signal")
        within(signal["silent-ms"], 1000 * SLOW, 4000 * SLOW, "silent ms")
        same(g.watch.signal("silent", 2.5), None, "a second signal")
    # what it says in time keeps it
    for _ in range(8):
        g.ask(probe())
        same(g.watch.signal("silent", 0.4), None, "signal")


@test("downlink that nothing answers is told of after dead-busy-ms, idleness is not")
def _(g):
    g.renew(dead_idle_ms=60000, dead_busy_ms=1000 * SLOW)
    g.ask(probe())
    same(g.watch.signal("silent", 3), None, "signal of an idle client")
    g.inside.sendto(b"down", (PEER, 4001))
    g.epoch.open(g.receive(g.client, 5))
    start = time.monotonic()
    if not g.watch.signal("silent", 10):
        raise AssertionError("no signal")
    took = time.monotonic() - start
    say(f"after {took:.2f} s")
    within(took, 0.9 * SLOW, 4 * SLOW, "seconds")
    # downlink that is answered is no silence
    for _ in range(8):
        g.inside.sendto(b"down", (PEER, 4001))
        g.epoch.open(g.receive(g.client, 5))
        g.say(udp4(PEER, INNER))
        same(g.watch.signal("silent", 0.4), None, "signal")


@test("without transport it answers that nothing is bound")
def _(g):
    g.renew(bind=False)
    ack = probe_fields(g.ask(probe()))
    same((ack.type, ack.bver), (PROBE_ACK, 0), "ACK")
    g.bind(0, g.bver)
    same(probe_fields(g.ask(probe())).bver, g.bver, "version once bound")


@test("without transport nobody is silent")
def _(g):
    g.renew(bind=False, dead_idle_ms=500, dead_busy_ms=500)
    same(g.watch.signal("silent", 3), None, "signal")
    g.bind(0, g.bver)
    if not g.watch.signal("silent", 10):
        raise AssertionError("no signal after binding")


run(Gateway)
