#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What the kernel ends by itself: sessions at their deadline or too long without transport, and a device's lease."""
import errno
import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
from jvpn_netlink import SLOW, Error  # noqa: E402
from ktap import run, same, test, within  # noqa: E402
from rig import PROBE_ACK, TERM, Epoch, Rig, probe, probe_fields, where  # noqa: E402

BIRTH, ATTACHED, RECOVERING, TERMINATED = 1, 2, 4, 6
TRANSPORT_LOSS, LIFETIME = 16, 17
SWITCH = 0x83


class Sessions(Rig):
    def __init__(self):
        super().__init__("gateway")
        self.count = 0

    def begin(self, role="gateway", state=ATTACHED, bind=True, **more):
        """A session with keys. Returns its id, keys and the peer's socket."""
        self.count += 1
        sid, epoch, sock = os.urandom(16), Epoch(), self.source()
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": sid, "role": role, "state": state, "state_version": 1, "keepalive_ms": 0, "probe_interval_ms": 60000,
             "prefix": [{"addr": bytes([10, 88, 0, self.count]), "len": 32}], **more}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[epoch.attributes(sid, 1)])
        if bind:
            self.bind(sid, sock, 0, 1)
        return sid, epoch, sock

    def bind(self, sid, sock, expect, bver, **more):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": expect, "term": TERM, "bver": bver,
             "path": 0, "remote": where(sock), **more}])

    def clear(self, sid, version):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": sid, "op": "clear", "state": RECOVERING, "state_version": version, "reason": 4}])

    def look(self, sid):
        return self.watch.call("session-get", ifindex=self.ifindex, session=[{"sid": sid}])[0]["session"][0]

    def expired(self, sid, reason, version, earliest, latest, since):
        """The kernel ends it so many seconds after `since`, by one step; nothing of it is left but its name."""
        def ended(event):
            session = event.get("session", [{}])[0]
            return event["command"] == "session-ntf" and (session.get("sid"), session.get("state")) == (sid, TERMINATED)

        event = self.watch.event(ended, latest + 2)
        if not event:
            raise AssertionError("never ended")
        within(time.monotonic() - since, earliest, latest * SLOW, "seconds")
        told = event["session"][0]
        same((told["state-version"], told["reason"]), (version, reason), "step")
        signal = self.watch.signal("expired", 5, sid=sid)
        same(signal and signal["reason"], reason, "signal")
        session = self.look(sid)
        same((session["state"], session["state-version"], session["previous"] != TERMINATED),
             (TERMINATED, version, True), "state")
        same([name for name in ("binding", "epoch") if name in session], [], "what is left")

    def alive(self, sid):
        return self.look(sid)["state"] != TERMINATED

    def frame(self, sid, **more):
        """Send a frame; the errno of its refusal."""
        try:
            self.nl.call("frame-send", ifindex=self.ifindex, frame=[{"sid": sid, **more}])
        except Error as error:
            return error.errno
        return 0


@test("the deadline of a session is dumped as what is left of it, and absent without one")
def _(s):
    sid, _, _ = s.begin()
    same(("deadline-ms" in s.look(sid), s.look(sid)["lost-ttl-ms"]), (False, 0), "without")
    s.nl.call("session-set", ifindex=s.ifindex, session=[{"sid": sid, "deadline_ms": 500000, "lost_ttl_ms": 30000}])
    within(s.look(sid)["deadline-ms"], 400000, 500000, "what is left")
    same(s.look(sid)["lost-ttl-ms"], 30000, "time without transport")


@test("a session ends a second after its deadline, gateway's and client's, in BIRTH as well, with no daemon")
def _(s):
    since = time.monotonic()
    one, epoch, sock = s.begin(deadline_ms=1500)
    two, _, _ = s.begin(role="client", deadline_ms=1500)
    three, _, _ = s.begin(state=BIRTH, bind=False, deadline_ms=1500)
    stays, _, _ = s.begin(deadline_ms=600000)
    s.nl.close()
    try:
        for sid in one, two, three:
            s.expired(sid, LIFETIME, 2, 2.4, 6, since)
        same(s.alive(stays), True, "the other")
        same(s.send(sock, epoch.seal(b""))[2], {"RX_UNKNOWN_CID": 1}, "a packet for it")
    finally:
        s.register()
    # Its address is free again.
    s.nl.call("session-new", ifindex=s.ifindex, session=[
        {"sid": os.urandom(16), "prefix": [{"addr": bytes([10, 88, 0, s.count - 3]), "len": 32}]}])


@test("a daemon that lives is first; a later deadline replaces an earlier one")
def _(s):
    later, _, _ = s.begin(deadline_ms=1000)
    first, _, _ = s.begin(deadline_ms=1000)
    s.nl.call("session-set", ifindex=s.ifindex, session=[
        {"sid": later, "deadline_ms": 600000},
        {"sid": first, "state": TERMINATED, "state_version": 2, "reason": LIFETIME}])
    last, _, _ = s.begin(deadline_ms=1500)
    s.expired(last, LIFETIME, 2, 2.4, 6, time.monotonic())
    same([s.watch.signal("expired", 0, sid=sid) for sid in (later, first)], [None, None], "signals")
    same((s.alive(later), s.look(first)["state-version"]), (True, 2), "sessions")


@test("a session ends when it was without transport for too long, and only then")
def _(s):
    bound, _, _ = s.begin(lost_ttl_ms=1000)
    born, _, _ = s.begin(state=BIRTH, bind=False, lost_ttl_ms=1000)
    back, _, sock = s.begin(lost_ttl_ms=3000)
    ahead, _, there = s.begin(role="client", lost_ttl_ms=1500)
    lost, _, _ = s.begin(lost_ttl_ms=1500)
    since = time.monotonic()
    for sid in lost, ahead, back:
        s.clear(sid, 2)
    # Sent ahead of the binding is not bound.
    s.nl.call("binding-set", ifindex=s.ifindex, binding=[{"sid": ahead, "op": "move", "path": 0, "remote": where(there)}])
    s.bind(back, sock, 1, 2, state=ATTACHED, state_version=3)
    s.nl.close()
    try:
        for sid in lost, ahead:
            s.expired(sid, TRANSPORT_LOSS, 3, 2.4, 6, since)
        while time.monotonic() < since + 6:
            s.watch.poll(0.2)
        same([s.alive(sid) for sid in (bound, born, back)], [True] * 3, "the others")
    finally:
        s.register()


@test("when the lease is over nothing is sent, delivered or answered, until it is renewed")
def _(s):
    sid, epoch, sock = s.begin()
    device = {"role": "gateway", "term": TERM}

    def lease(milliseconds):
        s.nl.call("dev-set", ifindex=s.ifindex, device={**device, "lease_ms": milliseconds})

    def left():
        return s.watch.call("dev-get", ifindex=s.ifindex)[0]["device"].get("lease-ms")

    def switch(cookie=bytes(16)):
        body = bytes([SWITCH, 1, 3]) + bytes(5) + epoch.kernel_cid + os.urandom(8) + cookie + os.urandom(80)
        return s.send(sock, wire.tagged(s.key.public, body))

    def answered():
        sock.send(epoch.seal(probe()))
        answer = s.receive(sock, 5)
        return answer and probe_fields(epoch.open(answer)).type

    same(left(), None, "no lease")
    lease(600000)
    within(left(), 500000, 600000, "what is left")
    same((answered(), s.frame(sid), s.receive(sock, 5) is not None), (PROBE_ACK, 0, True), "in time")
    cookie = switch()[0][16:]
    lease(500000)
    same(switch(cookie)[2], {"UPCALLS": 1}, "a cookie after a renewal in time")
    lease(1)
    deadline = time.monotonic() + 10
    while left() and time.monotonic() < deadline:
        s.watch.poll(0.01)
    s.watch.poll(0.05)  # the clock that is looked at is coarse
    same(left(), 0, "what is left")
    before = s.counters()
    same(s.frame(sid), errno.ESTALE, "a frame")
    same(s.counted(before), {"TX_LEASE_EXPIRED": 1}, "drops")
    for plain in b"", probe():
        same(s.send(sock, epoch.seal(plain)), (None, None, {"RX_LEASE_EXPIRED": 1}), "a packet")
    same(switch(), (None, None, {"RX_LEASE_EXPIRED": 1}), "a request without cookie")
    same(s.receive(sock), None, "answer")
    s.nl.call("dev-set", ifindex=s.ifindex, device=device)
    same(s.frame(sid), errno.ESTALE, "a frame after other news of the daemon")
    lease(600000)
    same((answered(), s.frame(sid)), (PROBE_ACK, 0), "renewed")
    s.receive(sock, 5)
    same(switch(cookie)[2], {"RETRIES": 1}, "a cookie of the time before")
    lease(0)
    same((left(), answered()), (None, PROBE_ACK), "no lease any more")


run(Sessions)
