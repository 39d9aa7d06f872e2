# SPDX-License-Identifier: GPL-2.0
"""The kernel is a client with two paths, this program its gateway, which answers probes or does not.

Path 0 leads from 10.0.0.1 to the socket `near`, path 1 from 10.0.0.21 to `far`.
"""

import os
import select
import socket
import time

from jvpn_netlink import SLOW, Netlink, space
from rig import (HERE, PORT, PROBE, PROBE_ACK, TERM, Epoch, Rig, ip, probe, probe_fields, udp4, where)

SECOND_HERE = "10.0.0.21"
INNER, PEER = "10.77.0.2", "10.77.0.1"
ATTACHED = 2


def boottime():
    """CLOCK_BOOTTIME in ns, the clock of signals."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Heard:
    """One datagram of the client, opened."""

    def __init__(self, sock, plain):
        self.time, self.sock, self.plain = boottime(), sock, plain
        self.kind = "keepalive" if not plain else {1: "PROBE", 2: "PROBE_ACK", 3: "CLOSE"}.get(plain[0], "data")
        self.probe = probe_fields(plain) if self.kind.startswith("PROBE") else None


class Client(Rig):
    def __init__(self):
        super().__init__("client")
        self.answers = set()	# sockets that probes are answered on
        self.echoes = set()	# sockets that data is answered on
        self.cookies = {}
        self.heard = []
        self.answered = {}	# by socket: when the last answer was sent
        self.bver = 5
        self.sid = None

    def prepare(self):
        with space(self.kernel):
            ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
            ip("addr", "add", f"{SECOND_HERE}/8", "dev", "wire")
            self.second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.undo.callback(self.second.close)
            self.second.bind((SECOND_HERE, PORT))
            self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.undo.callback(self.inside.close)
            self.inside.bind((INNER, 4001))
        self.nl.call("path-set", ifindex=self.ifindex, path=[{"id": 1, "fd": self.second.fileno()}])
        self.near, self.far = self.source(), self.source("10.0.0.3")
        self.far.connect((SECOND_HERE, PORT))

    def renew(self, state=ATTACHED, bind=True, **figures):
        """A session in place of the one before, bound by path 0. Nobody answers."""
        if self.sid:
            self.nl.call("session-del", ifindex=self.ifindex, session=[{"sid": self.sid}])
        self.sid, self.epoch = os.urandom(16), Epoch()
        figures = {"probe_interval_ms": 40 * SLOW, "probe_misses": 2, "probe_rto_min_ms": 200 * SLOW,
                   "standby_interval_ms": 600000, "keepalive_ms": 600000, **figures}
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": self.sid, "role": "client", "state": state, "state_version": 1,
             "prefix": [{"addr": socket.inet_aton(PEER), "len": 32}], **figures}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[self.epoch.attributes(self.sid, 1)])
        if bind:
            self.bind(0, self.near)
        self.answers, self.echoes, self.cookies = set(), set(), {}
        self.forget()

    def forget(self):
        """What was heard and told so far."""
        for sock in self.near, self.far:
            while self.receive(sock) is not None:
                pass
        for netlink in self.nl, self.watch:
            netlink.poll()
            netlink.events.clear()
        self.heard = []

    def bind(self, path, sock, op="set", expect=0, bver=None):
        bver = bver or self.bver
        binding = {"sid": self.sid, "op": op, "path": path, "remote": where(sock)}
        if op == "set":
            binding.update(expect_term=TERM, expect_bver=expect, term=TERM, bver=bver)
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[binding])

    def candidate(self, path, sock, **more):
        self.nl.call("candidate-set", ifindex=self.ifindex, candidate=[
            {"sid": self.sid, "path": path, "remote": where(sock), **more}])

    def candidates(self):
        return {c["path"]: c for c in self.session(self.sid).get("candidate", [])}

    def say(self, plain, sock=None):
        (sock or self.near).send(self.epoch.seal(plain))

    def down(self, sock=None):
        """A packet of data for the client."""
        self.say(udp4(PEER, INNER), sock)

    def up(self):
        """A packet of data from the client."""
        self.inside.sendto(b"up", (PEER, 4001))

    def ack(self, heard, **fields):
        """Answer a PROBE."""
        asked = heard.probe
        fields = {"nonce": asked.nonce, "time": asked.time, "bver": self.bver,
                  "cookie": self.cookies.get(heard.sock, bytes(16)), **fields}
        self.say(probe(PROBE_ACK, asked.size, **fields), heard.sock)
        self.answered[heard.sock] = boottime()

    def take(self, sock):
        heard = Heard(sock, self.epoch.open(sock.recv(65535)))
        self.heard.append(heard)
        if heard.kind == "PROBE" and sock in self.answers:
            self.ack(heard)
        elif heard.kind == "data" and sock in self.echoes:
            self.down(sock)
            self.answered[sock] = boottime()

    def serve(self, seconds, until=lambda: False, traffic=None):
        """Play the gateway until until() or so long; `traffic`: seconds between packets of data sent up.

        Returns what until() returned at last.
        """
        end = time.monotonic() + seconds * SLOW
        next_up = time.monotonic()
        while not (done := until()):
            now = time.monotonic()
            if now >= end:
                return done
            wait = end - now
            if traffic:
                if now >= next_up:
                    self.up()
                    next_up = now + traffic
                wait = min(wait, next_up - now)
            for ready in select.select([self.near, self.far, self.nl.socket], [], [], max(wait, 0))[0]:
                if ready is self.nl.socket:
                    self.nl.poll()
                else:
                    self.take(ready)
        return done

    def told(self, kind, path=None):
        """Signals of that kind so far, which stay."""
        return [e["signal"] for e in self.nl.events
                if e.get("signal", {}).get("kind") == kind and path in (None, e["signal"].get("path"))]

    def wait_told(self, kind, path=None, seconds=10, traffic=None):
        if not self.serve(seconds, lambda: self.told(kind, path), traffic):
            raise AssertionError(f"no {kind} of path {path}; told: {[e['signal']['kind'] for e in self.nl.events if 'signal' in e]}")
        return self.told(kind, path)[-1]

    def probes(self, sock):
        return [h for h in self.heard if h.kind == "PROBE" and h.sock is sock]


__all__ = ["ATTACHED", "HERE", "INNER", "PEER", "PROBE", "Client", "Netlink", "boottime"]
