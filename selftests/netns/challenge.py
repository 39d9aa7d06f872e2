#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where packets may come from, what the kernel tells of answers to the daemon's own PROBEs, and NOTICE."""
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import inner  # noqa: E402
from jvpn_netlink import space  # noqa: E402
from ktap import run, same, test, within  # noqa: E402
from rig import (CANDIDATE, CLOSE, CONFIRM, NAT_CHECK, NOTICE, PROBE, PROBE_ACK, TERM, Epoch, Rig, ip, probe,  # noqa: E402
                 probe_fields, where)

INNER, PEER = "10.77.0.1", "10.77.0.2"
ATTACHED = 2


class Gateway(Rig):
    """One session, bound to the socket `here`; `there` is another of the same peer."""

    def __init__(self, role="gateway"):
        super().__init__(role)

    def prepare(self):
        with space(self.kernel):
            ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
            self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.undo.callback(self.inside.close)
        self.inside.bind((INNER, 4001))
        self.inside.settimeout(10)
        self.here, self.there = self.source(), self.source("10.3.3.3")

    def begin(self, role="gateway", bind=True, **more):
        if hasattr(self, "sid"):
            self.nl.call("session-del", ifindex=self.ifindex, session=[{"sid": self.sid}])
        self.sid, self.epoch = os.urandom(16), Epoch()
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": self.sid, "role": role, "state": ATTACHED, "state_version": 1, "keepalive_ms": 0,
             "probe_interval_ms": 60000, "prefix": [{"addr": socket.inet_aton(PEER), "len": 32}], **more}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[self.epoch.attributes(self.sid, 1)])
        if bind:
            self.nl.call("binding-set", ifindex=self.ifindex, binding=[
                {"sid": self.sid, "op": "set", "expect_term": TERM, "expect_bver": 0, "term": TERM, "bver": 1,
                 "path": 0, "remote": where(self.here)}])
        self.forget()

    def forget(self):
        self.watch.poll()
        self.watch.events.clear()
        for sock in self.here, self.there:
            while self.receive(sock) is not None:
                pass

    def data(self, payload, sock):
        return self.send(sock, self.epoch.seal(inner.udp(PEER, INNER, payload)))[2]

    def heard(self, payload, sock):
        sock.send(self.epoch.seal(inner.udp(PEER, INNER, payload)))
        return self.inside.recv(100) == payload

    def ask(self, sock, nonce, **more):
        """The daemon sends a PROBE with a nonce of its own; returns it as the peer gets it."""
        self.nl.call("frame-send", ifindex=self.ifindex, frame=[
            {"sid": self.sid, "type": PROBE, "path": 0, "remote": where(sock), "nonce": nonce, **more}])
        return probe_fields(self.epoch.open(self.receive(sock, 5)))

    def answer(self, nonce, sock):
        sock.send(self.epoch.seal(probe(PROBE_ACK, nonce=nonce)))

    def acked(self, nonce, seconds=5):
        return self.watch.signal("probe-acked", seconds, nonce=nonce)


@test("with strict-source data is taken from the bound address alone; a challenge may begin all the same")
def _(g):
    g.begin(strict_source=1)
    same(g.session(g.sid)["strict-source"], 1, "figure")
    same(g.heard(b"here", g.here), True, "from the bound address")
    same(g.data(b"there", g.there), {"RX_STRICT_SOURCE": 1}, "from another")
    signal = g.watch.signal("source-changed", 5)
    same(signal and signal["remote"], where(g.there), "told")
    same(g.session(g.sid)["binding"]["remote"], where(g.here), "binding")
    g.nl.call("session-set", ifindex=g.ifindex, session=[{"sid": g.sid, "strict_source": 0}])
    same(g.heard(b"there", g.there), True, "without it")


@test("with strict-source frames that try a path or answer are taken from anywhere, others not")
def _(g):
    g.begin(strict_source=1)
    for flags in CANDIDATE, NAT_CHECK:
        g.there.send(g.epoch.seal(probe(flags=flags)))
        same(probe_fields(g.epoch.open(g.receive(g.there, 5))).type, PROBE_ACK, f"flags {flags}")
    nonce = os.urandom(8)
    g.ask(g.there, nonce, flags=NAT_CHECK)
    g.answer(nonce, g.there)
    same(bool(g.acked(nonce)), True, "an answer")
    for plain in b"", probe(), probe(flags=CONFIRM), bytes([CLOSE]) + bytes(31):
        same(g.send(g.there, g.epoch.seal(plain)), (None, None, {"RX_STRICT_SOURCE": 1}), f"{plain[:2].hex()}")
    same(g.watch.signal("closed", 0), None, "closed")
    g.here.send(g.epoch.seal(probe()))
    same(probe_fields(g.epoch.open(g.receive(g.here, 5))).type, PROBE_ACK, "from the bound address")


@test("without a binding strict-source lets no data in, but frames that prove the keys")
def _(g):
    g.begin(strict_source=1, bind=False)
    g.here.send(g.epoch.seal(b""))
    same(bool(g.watch.signal("confirmed", 5, cid=g.epoch.kernel_cid)), True, "confirmed")
    same(g.data(b"unbound", g.here), {"RX_STRICT_SOURCE": 1}, "data")


@test("the answer to a PROBE of the daemon is told once, with the address it came from")
def _(g):
    g.begin()
    nonce = os.urandom(8)
    asked = g.ask(g.there, nonce, flags=NAT_CHECK)
    same((asked.nonce, asked.flags), (nonce, NAT_CHECK), "PROBE")
    g.answer(nonce, g.there)
    signal = g.acked(nonce)
    same((signal["sid"], signal["remote"], signal["path"]), (g.sid, where(g.there), 0), "signal")
    g.answer(nonce, g.there)
    g.answer(os.urandom(8), g.there)
    g.answer(bytes(8), g.there)
    g.here.send(g.epoch.seal(probe()))
    g.receive(g.here, 5)  # all that was sent before has been dealt with
    same(g.watch.signal("probe-acked", 0), None, "told again, or of what was never asked")


@test("of many unanswered PROBEs the last four are remembered; those without a nonce of the daemon are not")
def _(g):
    g.begin()
    nonces = [os.urandom(8) for _ in range(6)]
    for nonce in nonces:
        g.ask(g.here, nonce)
    g.nl.call("frame-send", ifindex=g.ifindex, frame=[{"sid": g.sid, "type": PROBE}])
    own = probe_fields(g.epoch.open(g.receive(g.here, 5))).nonce
    for nonce in nonces + [own]:
        g.answer(nonce, g.here)
    for nonce in nonces[2:]:
        same(bool(g.acked(nonce)), True, "one of the last")
    same(g.watch.signal("probe-acked", 0), None, "others")


@test("with the answer comes how long ago the bound address showed life that was news")
def _(g):
    g.begin()
    g.heard(b"life", g.here)
    late = g.epoch.counter
    g.epoch.counter += 1
    g.heard(b"elsewhere", g.there)
    trigger = g.watch.signal("source-changed", 5)
    g.watch.poll(0.3)
    # An older packet of the bound address that arrives late is no sign of life.
    counter, g.epoch.counter = g.epoch.counter, late
    g.here.send(g.epoch.seal(b""))
    g.epoch.counter = counter
    nonce = os.urandom(8)
    g.ask(g.there, nonce)
    g.answer(nonce, g.there)
    dead = g.acked(nonce)
    if dead["time-ns"] - dead["silent-ms"] * 10**6 > trigger["time-ns"] + 10**6:
        raise AssertionError(f"life after the trigger: {dead}, {trigger}")
    g.heard(b"alive", g.here)
    g.ask(g.there, nonce)
    g.answer(nonce, g.there)
    alive = g.acked(nonce)
    if alive["time-ns"] - (alive["silent-ms"] + 1) * 10**6 <= trigger["time-ns"]:
        raise AssertionError(f"no life after the trigger: {alive}, {trigger}")


@test("a gateway sends NOTICE as it is told to, a client tells of it")
def _(g):
    g.begin()
    data = os.urandom(240)
    g.nl.call("frame-send", ifindex=g.ifindex, frame=[
        {"sid": g.sid, "type": NOTICE, "notice": 2},
        {"sid": g.sid, "type": NOTICE, "notice": 1, "data": data}])
    same([g.epoch.open(g.receive(g.here, 5)) for _ in range(2)], [b"\4\2\0\0", b"\4\1\0\0" + data], "frames")
    g.begin(role="client")
    for kind, options in (2, b""), (1, data):
        g.here.send(g.epoch.seal(bytes([NOTICE, kind, 0, 0]) + options))
        signal = g.watch.signal("notice", 5)
        same((signal["sid"], signal["notice"], signal["data"], signal["remote"]), (g.sid, kind, options, where(g.here)),
             "signal")


run(Gateway)
