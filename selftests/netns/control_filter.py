#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The control filter of a gateway: what a stranger's datagram does, step by step, and what it never does."""
import os
import random
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
from rig import TERM, Epoch, Rig  # noqa: E402
from ktap import Skip, run, same, say, test, within  # noqa: E402

INIT, REATTACH, SWITCH = 0x01, 0x82, 0x83
KID = 3
# type: (length, offset of the cookie, of the request id)
REQUESTS = {INIT: (512, 16, 8), REATTACH: (208, 80, 72), SWITCH: (128, 24, 16)}
# type: reserved bytes, where a suite byte is
RESERVED = {INIT: [4, 7], REATTACH: [4, 7, 68, 71], SWITCH: [3, 7]}


def slot_now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 30_000_000_000


class Gateway(Rig):
    """A gateway with a session that has a live key and one whose key is of an earlier term."""

    def __init__(self):
        super().__init__("gateway")
        self.sid = os.urandom(16)
        self.live, self.old = Epoch(), Epoch(term=TERM - 1)

    def prepare(self):
        self.client = self.source()
        for sid, epoch in (self.sid, self.live), (os.urandom(16), self.old):
            self.nl.call("session-new", ifindex=self.ifindex, session=[
                {"sid": sid, "role": "gateway", "state": 2, "state_version": 1}])
            self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[epoch.attributes(sid, 0)])

    def request(self, kind, cookie=bytes(16), cid=None, kid=KID):
        """A request that is good to the last byte the kernel can judge; the rest is random."""
        length, cookie_at, req_id_at = REQUESTS[kind]
        data = bytearray(os.urandom(length - 8))
        data[0:3] = bytes([kind, 1, kid])
        if kind == SWITCH:
            data[3:8] = bytes(5)
            data[8:16] = self.live.kernel_cid if cid is None else cid
        else:
            data[3:8] = b"\1" + bytes(4)
        if kind == REATTACH:
            data[68:72] = bytes(4)
        data[cookie_at:cookie_at + 16] = cookie
        self.req_id = bytes(data[req_id_at:req_id_at + 8])
        return self.tag(data)

    def tag(self, data):
        return wire.tagged(self.key.public, bytes(data))

    def refused(self, datagram, counter, sock=None):
        same(self.send(sock or self.client, datagram), (None, None, {counter: 1}), "a refusal")

    def delivered(self, datagram, sock=None):
        same(self.send(sock or self.client, datagram), (None, datagram, {"UPCALLS": 1}), "a delivery")

    def retried(self, datagram, sock=None):
        """Returns the cookie."""
        answer, delivered, grown = self.send(sock or self.client, datagram)
        same((delivered, grown), (None, {"RETRIES": 1}), "a RETRY")
        same(len(answer), 32, "length of RETRY")
        same(answer[:8], bytes([3, 1, 0, 0, 0, 0, 0, 0]), "head of RETRY")
        same(answer[8:16], self.req_id, "request id of RETRY")
        if not any(answer[16:]):
            raise AssertionError("the cookie is zero")
        return answer[16:]


@test("a datagram of every type and a wrong length is malformed")
def _(g):
    for kind, (length, _, _) in REQUESTS.items():
        good = g.request(kind)
        for size in 1, 8, 32, length - 1, length + 1, 1400:
            g.refused((good + bytes(1400))[:size], "RX_MALFORMED")
    for kind, length in (0x02, 175), (0x02, 513), (0x03, 31), (0x04, 161), (0x05, 33), (0x06, 95), (0x81, 31):
        g.refused(bytes([kind, 1]) + bytes(length - 2), "RX_MALFORMED")
    g.refused(b"", "RX_MALFORMED")


@test("an unknown type is told apart")
def _(g):
    for kind in 0x00, 0x07, 0x10, 0x41, 0x80, 0x84, 0xC1, 0xFF:
        g.refused(bytes([kind]) + g.request(INIT)[1:], "RX_UNKNOWN_TYPE")


@test("another version is refused before reserved bytes and tag are looked at")
def _(g):
    for kind in REQUESTS:
        bad = bytearray(g.request(kind))
        bad[1] = 2
        g.refused(bad, "CTL_VERSION")
        bad[RESERVED[kind][0]] = 1
        bad[-1] ^= 1
        g.refused(bad, "CTL_VERSION")


@test("reserved bytes and suite must be what they are")
def _(g):
    for kind, places in RESERVED.items():
        for at in places + ([3] if kind != SWITCH else []):
            bad = bytearray(g.request(kind)[:-8])
            bad[at] ^= 0x80
            g.refused(g.tag(bad), "RX_MALFORMED")


@test("a tag that does not verify is dropped, whichever byte is wrong")
def _(g):
    for kind, (length, cookie_at, req_id_at) in REQUESTS.items():
        good = g.request(kind)
        for at in cookie_at, req_id_at, length - 9, length - 8, length - 1:
            bad = bytearray(good)
            bad[at] ^= 1
            g.refused(bad, "CTL_TAG")
        g.refused(g.request(kind, kid=KID + 1), "CTL_TAG")


@test("a SWITCH must name a live key of the current term")
def _(g):
    g.refused(g.request(SWITCH, cid=os.urandom(8)), "CTL_EPOCH")
    g.refused(g.request(SWITCH, cid=g.live.peer_cid), "CTL_EPOCH")
    g.refused(g.request(SWITCH, cid=g.old.kernel_cid), "CTL_EPOCH")


@test("SWITCH and REATTACH without a cookie are answered by RETRY, INIT goes through")
def _(g):
    g.retried(g.request(SWITCH))
    g.retried(g.request(REATTACH))
    g.delivered(g.request(INIT))


@test("the cookie of a RETRY is good at once, for every request from that source")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    g.delivered(g.request(SWITCH, cookie))
    g.delivered(g.request(SWITCH, cookie))
    g.delivered(g.request(REATTACH, cookie))


@test("a source has one cookie in one slot of time")
def _(g):
    while True:
        slot = slot_now()
        cookies = {g.retried(g.request(REATTACH)) for _ in range(3)}
        if slot_now() == slot:
            break
    same(len(cookies), 1, "cookies")


@test("it is good for no other port and no other address")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    port = g.source()
    address = g.source("10.0.0.3", g.client.getsockname()[1])
    for sock in port, address:
        other = g.retried(g.request(SWITCH, cookie), sock)
        if other == cookie:
            raise AssertionError("another source has the same cookie")
        g.delivered(g.request(SWITCH, other), sock)


@test("a cookie with any bit wrong is none")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    for at in 0, 7, 8, 15:
        bad = bytearray(cookie)
        bad[at] ^= 0x10
        g.retried(g.request(SWITCH, bad))


@test("init-retry always: an INIT needs a cookie too")
def _(g):
    g.set_device(init_retry="always")
    cookie = g.retried(g.request(INIT))
    g.delivered(g.request(INIT, cookie))
    g.set_device()
    g.delivered(g.request(INIT))


@test("a daemon that registers makes all cookies worthless at once, one that says more does not")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    g.delivered(g.request(SWITCH, cookie))
    g.set_device()
    g.delivered(g.request(SWITCH, cookie))
    g.nl.close()
    if not g.watch.signal("daemon-gone", 5):
        raise AssertionError("no daemon-gone")
    g.register()
    g.retried(g.request(SWITCH, cookie))


@test("what only clients take is refused by its role")
def _(g):
    g.refused(bytes([3, 1]) + bytes(30), "CTL_ROLE")
    g.refused(bytes([5, 1, 1]) + bytes(29), "CTL_ROLE")
    g.refused(bytes([6, 1]) + bytes(94), "CTL_ROLE")
    g.refused(bytes([2, 1, 0, 1]) + bytes(172), "CTL_ROLE")
    g.refused(bytes([4, 1, 0, 1]) + bytes(156), "CTL_ROLE")


@test("key ids: the tag is checked under the key that the datagram names")
def _(g):
    other = wire.Key(os.urandom(32))
    g.set_device(key=[{"kid": 200, "tag_key": wire.sha256(b"jvpn1 tag1" + other.public)[:16]}])
    g.refused(g.request(INIT), "CTL_TAG")
    mine, g.key = g.key, other
    g.delivered(g.request(INIT, kid=200))
    g.refused(g.request(INIT, kid=201), "CTL_TAG")
    g.key = mine
    g.set_device()
    g.delivered(g.request(INIT))


@test("noise of all kinds is counted, one by one, and never answered")
def _(g):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    rng = random.Random(seed)
    before, many = g.counters(), 1500
    bases = [g.request(kind) for kind in REQUESTS]
    for _ in range(many):
        if rng.random() < 0.5:
            datagram = bytearray(rng.choice(bases))
            for _ in range(rng.randint(1, 3)):
                datagram[rng.randrange(len(datagram))] ^= 1 << rng.randrange(8)
            # a flip undone by another one would be a good datagram
            if bytes(datagram) in bases:
                datagram[-1] ^= 1
        else:
            datagram = bytearray(rng.randbytes(rng.choice([0, 1, 2, 31, 32, 96, 128, 160, 208, 512, 1000])))
            if len(datagram) > 1 and rng.random() < 0.7:
                datagram[0:2] = bytes([rng.choice([1, 2, 3, 4, 5, 6, 0x82, 0x83]), 1])
        g.client.send(datagram)
    grown = g.counted(before, many)
    say(grown)
    same(sum(grown.values()), many, "datagrams counted")
    same((grown.get("RETRIES", 0), grown.get("UPCALLS", 0)), (0, 0), "answered, delivered")
    same((g.receive(g.client), g.receive(g.udp)), (None, None), "datagrams received")


def in_one_piece(sock, datagrams):
    """UDP_SEGMENT: one buffer, cut into datagrams of one length on the way."""
    sock.sendmsg([b"".join(datagrams)], [(17, 103, struct.pack("<H", len(datagrams[0])))])


def flood(g, sock, datagrams):
    """Send, and tell (counters grown, seconds it took)."""
    before, start = g.counters(), time.monotonic()
    for datagram in datagrams:
        sock.send(datagram)
    grown = g.counted(before, len(datagrams))
    taken = time.monotonic() - start
    same(sum(grown.values()), len(datagrams), "datagrams counted")
    while g.receive(g.udp) is not None or g.receive(sock) is not None:
        pass
    return grown, taken


@test("a source prefix gets its share of INIT and no more, others keep theirs")
def _(g):
    sock, neighbour, other = (g.source(f"10.20.{host}") for host in ("1.1", "1.77", "2.1"))
    init, start = g.request(INIT), time.monotonic()
    grown, taken = flood(g, sock, [init] * 500)
    say(f"{grown} in {taken:.3f} s")
    within(grown["UPCALLS"], 200, 200 + 100 * taken + 1, "delivered")
    same(grown["UPCALLS"] + grown.get("CTL_PREFIX_RATE", 0), 500, "delivered and refused")
    # the same prefix from elsewhere shares the bucket, another prefix does not
    first = grown["UPCALLS"]
    grown, _ = flood(g, neighbour, [init] * 100)
    within(first + grown.get("UPCALLS", 0), 200, 200 + 100 * (time.monotonic() - start) + 1, "of both")
    grown, _ = flood(g, other, [init] * 100)
    same(grown, {"UPCALLS": 100}, "another prefix")


@test("SWITCH has a larger share of its own")
def _(g):
    sock = g.source("10.20.1.2")
    cookie = g.retried(g.request(SWITCH), sock)
    grown, taken = flood(g, sock, [g.request(SWITCH, cookie)] * 3500)
    say(f"{grown} in {taken:.3f} s")
    within(grown["UPCALLS"], 2000, min(3500, 2000 + 1000 * taken + 1), "delivered")
    same(grown["UPCALLS"] + grown.get("CTL_PREFIX_RATE", 0), 3500, "delivered and refused")


@test("a prefix that has no cookie uses up nothing")
def _(g):
    sock = g.source("10.20.3.1")
    grown, _ = flood(g, sock, [g.request(REATTACH)] * 500)
    same(grown, {"RETRIES": 500}, "without cookie")
    cookie = g.retried(g.request(REATTACH), sock)
    grown, _ = flood(g, sock, [g.request(REATTACH, cookie)] * 200)
    same(grown, {"UPCALLS": 200}, "with cookie")


@test("more INITs than 1000 in a second need a cookie for a while")
def _(g):
    sock, other = g.source("10.20.4.1"), g.source("10.20.5.1")
    burst = [g.request(INIT) for _ in range(60)]
    before, start, many = g.counters(), time.monotonic(), 3000
    for _ in range(many // len(burst)):
        in_one_piece(sock, burst)
    grown = g.counted(before, many)
    taken = time.monotonic() - start
    say(f"{grown} in {taken:.3f} s")
    while g.receive(g.udp) is not None:
        pass
    if taken > 1.5:
        raise Skip(f"this machine makes only {many / taken:.0f} datagrams a second")
    within(grown.get("RETRIES", 0), 1, many - 1000, "answered by RETRY")
    cookie = g.retried(g.request(INIT), other)
    g.delivered(g.request(INIT, cookie), other)
    # and no longer when the flood is over
    deadline = time.monotonic() + 10
    while "UPCALLS" not in g.send(other, g.request(INIT))[2]:
        if time.monotonic() > deadline:
            raise AssertionError("INIT needs a cookie for ever")
        time.sleep(0.1)


@test("of datagrams that come in one piece each is judged by itself")
def _(g):
    sock = g.source("10.20.6.1")
    cookie = g.retried(g.request(SWITCH), sock)
    good = [g.request(SWITCH, cookie) for _ in range(8)]
    bad = bytearray(good[3])
    bad[-1] ^= 1
    good[3] = bytes(bad)
    before = g.counters()
    in_one_piece(sock, good)
    grown = g.counted(before, 8)
    same(grown, {"UPCALLS": 7, "CTL_TAG": 1}, "counted")
    same([g.receive(g.udp, 5) for _ in range(7)], good[:3] + good[4:], "delivered")


@test("without its daemon a gateway answers nothing")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    g.nl.close()
    if not g.watch.signal("daemon-gone", 5):
        raise AssertionError("no daemon-gone")
    for kind in REQUESTS:
        g.refused(g.request(kind), "CTL_NO_DAEMON")
        g.refused(g.request(kind, cookie), "CTL_NO_DAEMON")
    g.register()
    g.retried(g.request(SWITCH, cookie))


@test("a term that ended refuses the keys of its time")
def _(g):
    cookie = g.retried(g.request(SWITCH))
    g.set_device(term=TERM + 1)
    g.refused(g.request(SWITCH, cookie), "CTL_EPOCH")


run(Gateway)
