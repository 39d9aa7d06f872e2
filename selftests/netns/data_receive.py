#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""DATA that comes in: what is handed to the stack, and why anything else is dropped and changes nothing."""
import os
import random
import socket
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import inner  # noqa: E402
import jvpn_wire as wire  # noqa: E402
from jvpn_netlink import endpoint, space  # noqa: E402
from ktap import run, same, say, test  # noqa: E402
from rig import AES_256_GCM, CHACHA20_POLY1305, PORT, HERE, TERM, Epoch, Rig, ip, probe, where  # noqa: E402

VECTORS = Path(__file__).resolve().parents[1] / "unit/vectors.txt"

INNER, PEER, OTHER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
INNER6, PEER6, OTHER6 = "fd77::1", "fd77::2", "fd77::3"
BIRTH, ATTACHED, TERMINATED = 1, 2, 6
WINDOW = 2048
CSUM_PARTIAL = 1


class Gateway(Rig):
    """Two sessions: PEER's, which the tests use, and OTHER's, which must never notice."""

    def __init__(self):
        super().__init__("gateway")
        self.sid, self.other = os.urandom(16), os.urandom(16)
        self.epoch, self.others = Epoch(), Epoch()

    def prepare(self):
        with space(self.kernel):
            ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
            ip("addr", "add", f"{INNER6}/64", "dev", "jvpn0", "nodad")
            self.inside = self.listen(socket.AF_INET, INNER)
            self.inside6 = self.listen(socket.AF_INET6, INNER6)
        self.client = self.source()
        for sid, epoch, address, address6 in ((self.sid, self.epoch, PEER, PEER6),
                                              (self.other, self.others, OTHER, OTHER6)):
            self.nl.call("session-new", ifindex=self.ifindex, session=[
                {"sid": sid, "role": "gateway", "state": ATTACHED, "state_version": 1, "prefix": [
                    {"addr": socket.inet_aton(address), "len": 32},
                    {"addr": socket.inet_pton(socket.AF_INET6, address6), "len": 128}]}])
            self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[epoch.attributes(sid, 1)])
            self.nl.call("binding-set", ifindex=self.ifindex, binding=[
                {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": 0, "term": TERM, "bver": 1,
                 "path": 0, "remote": where(self.client)}])
        # A first packet confirms the keys and is told; then all is quiet.
        for epoch in self.epoch, self.others:
            self.client.send(epoch.seal(b""))
            if not self.watch.signal("confirmed", 5, cid=epoch.kernel_cid):
                raise AssertionError("keys are not confirmed")

    def listen(self, family, address):
        made = socket.socket(family, socket.SOCK_DGRAM)
        self.undo.callback(made.close)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        made.settimeout(10)
        made.bind((address, 4001))
        for level, option in (socket.IPPROTO_IP, socket.IP_RECVTOS), (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS):
            if level == socket.IPPROTO_IP or family == socket.AF_INET6:
                made.setsockopt(level, option, 1)
        return made

    def state(self, sid=None):
        """All that a packet could change in a session, but for times."""
        session = self.session(sid or self.sid)
        return {name: value for name, value in session.items() if not name.endswith("-ms")
                and name not in ("drop", "epoch")} | {
            "binding": {n: v for n, v in session["binding"].items() if n != "age-ms"},
            "epoch": [{n: v for n, v in epoch.items() if n != "age-ms"} for epoch in session["epoch"]]}

    def refused(self, datagram, reason, counted=True, sock=None):
        """It is dropped for that reason, and nothing is different but the counter of it."""
        before, others = self.state(), self.session(self.other).get("drop")
        in_session = {d["reason"]: d["count"] for d in self.session(self.sid).get("drop", [])}
        same(self.send(sock or self.client, datagram), (None, None, {reason: 1}), "a refusal")
        after = {d["reason"]: d["count"] for d in self.session(self.sid).get("drop", [])}
        same(sum(after.values()) - sum(in_session.values()), counted, "drops counted in the session")
        same(self.state(), before, "session")
        same(self.session(self.other).get("drop"), others, "drops of the other session")

    def spent(self, plain, reason, flags=0):
        """As refused(), of a datagram that is authentic: its counter is spent."""
        before = self.state()
        same(self.send(self.client, self.seal(plain, flags)), (None, None, {reason: 1}), "a refusal")
        after = self.state()
        for epoch in before["epoch"]:
            epoch["rx-highest"] = self.epoch.counter - 1
            epoch["rx-packets"] += 1
        same(after, before, "session")

    def seal(self, plain, flags=0, counter=None):
        if counter is None:
            counter = self.epoch.counter
            self.epoch.counter += 1
        return wire.data_seal(self.epoch.to_kernel, self.epoch.kernel_cid, counter, plain, flags)

    def taken(self, plain, flags=0, sock=None, counter=None):
        """It is handed to the stack and counted, exactly. Returns what the session was before."""
        before = self.session(self.sid)
        (sock or self.client).send(self.seal(plain, flags, counter))
        deadline = time.monotonic() + 10
        while (after := self.session(self.sid))["rx-packets"] == before["rx-packets"] and time.monotonic() < deadline:
            time.sleep(0.001)
        same(after["rx-packets"] - before["rx-packets"], 1, "packets")
        same(after.get("drop"), before.get("drop"), "drops")
        return after["rx-bytes"] - before["rx-bytes"]

    def heard(self, sock=None):
        return (sock or self.inside).recv(65535)


@test("an IPv4 packet reaches the stack, and is counted once in session and device")
def _(g):
    device = g.nl.call("dev-get", ifindex=g.ifindex)[0]["device"]
    same(g.taken(inner.udp(PEER, INNER, b"hello")), 33, "bytes")
    same(g.heard(), b"hello", "payload")
    after = g.nl.call("dev-get", ifindex=g.ifindex)[0]["device"]
    same((after["rx-packets"] - device["rx-packets"], after["rx-bytes"] - device["rx-bytes"]), (1, 33), "device")


@test("an IPv6 packet too")
def _(g):
    same(g.taken(inner.udp(PEER6, INNER6, b"hello6")), 54, "bytes")
    same(g.heard(g.inside6), b"hello6", "payload")


@test("it is taken from any address and port, which moves no binding and is told rarely")
def _(g):
    before, elsewhere = g.state()["binding"], g.source("10.3.3.3")
    time.sleep(0.25)  # a signal of an earlier test may be less than 200 ms old
    g.watch.poll()
    g.watch.events.clear()
    start = time.monotonic()
    for i in range(20):
        g.taken(inner.udp(PEER, INNER, b"%d" % i), sock=elsewhere)
        same(g.heard(), b"%d" % i, "payload")
    taken = time.monotonic() - start
    signal = g.watch.signal("source-changed", 5)
    same((signal["sid"], signal["remote"], signal["path"]), (g.sid, where(elsewhere), 0), "signal")
    g.watch.poll()
    more = [e for e in g.watch.events if e.get("signal", {}).get("kind") == "source-changed"]
    if len(more) > taken / 0.2:
        raise AssertionError(f"{len(more) + 1} signals in {taken:.3f} s")
    same(g.state()["binding"], before, "binding")


@test("an older counter from elsewhere is told not at all")
def _(g):
    elsewhere, skipped = g.source("10.3.3.4"), g.epoch.counter
    g.epoch.counter += 1
    g.taken(inner.udp(PEER, INNER, b"new"))
    g.heard()
    time.sleep(0.25)
    g.watch.poll()
    g.watch.events.clear()
    g.taken(inner.udp(PEER, INNER, b"old"), sock=elsewhere, counter=skipped)
    same(g.heard(), b"old", "payload")
    same(g.watch.signal("source-changed", 0), None, "signal")


@test("a keepalive is authenticated and counts no packet")
def _(g):
    before = g.session(g.sid)
    g.client.send(g.seal(b""))
    deadline = time.monotonic() + 10
    while (after := g.session(g.sid))["epoch"][0]["rx-packets"] == before["epoch"][0]["rx-packets"]:
        if time.monotonic() > deadline:
            raise AssertionError("it did not arrive")
    same((after["rx-packets"], after.get("drop")), (before["rx-packets"], before.get("drop")), "packets, drops")


@test("a replayed datagram is dropped, at once and later, from the same and from another address")
def _(g):
    datagram = g.seal(inner.udp(PEER, INNER, b"once"))
    g.client.send(datagram)
    same(g.heard(), b"once", "payload")
    g.refused(datagram, "RX_REPLAY")
    g.refused(datagram, "RX_REPLAY", sock=g.source("10.3.3.5"))
    for _ in range(100):
        g.client.send(g.seal(b""))
    g.refused(datagram, "RX_REPLAY")


@test("counters inside the window may come in any order, each once; below it none")
def _(g):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    first = g.epoch.counter
    order = list(range(first, first + 300))
    random.Random(seed).shuffle(order)
    g.epoch.counter += 300
    for counter in order:
        g.taken(inner.udp(PEER, INNER, b"%d" % counter), counter=counter)
    same(sorted(int(g.heard()) for _ in order), list(range(first, first + 300)), "payloads")
    g.epoch.counter = first + 300 + WINDOW
    g.taken(inner.udp(PEER, INNER, b"far"))
    g.heard()
    g.refused(g.seal(inner.udp(PEER, INNER), counter=first + 300), "RX_WINDOW")
    g.taken(inner.udp(PEER, INNER, b"edge"), counter=first + 301)
    same(g.heard(), b"edge", "payload")


@test("a datagram with any bit wrong does not authenticate")
def _(g):
    good = g.seal(inner.udp(PEER, INNER, b"forged"))
    for at in (2, 7, 16, 20, len(good) - 17, len(good) - 16, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 0x10
        g.refused(bad, "RX_AUTH")
    g.refused(good[:1] + b"\1" + good[2:], "RX_AUTH")
    g.client.send(good)
    same(g.heard(), b"forged", "payload of the good one")


@test("forgeries with counters ahead do not move the window")
def _(g):
    bad = bytearray(g.seal(b"", counter=(1 << 48) - 1))
    bad[-1] ^= 1
    g.refused(bad, "RX_AUTH")
    g.taken(inner.udp(PEER, INNER, b"after"))
    same(g.heard(), b"after", "payload")


@test("one that is cut short does not authenticate, or is malformed")
def _(g):
    good = g.seal(inner.udp(PEER, INNER, b"truncated"))
    for size in 32, 33, len(good) - 1:
        g.refused(good[:size], "RX_AUTH")
    for size in 1, 8, 15, 16, 31:
        g.refused(good[:size], "RX_MALFORMED", counted=False)


@test("flags that do not exist are refused before a key is tried")
def _(g):
    for flag in 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 3:
        g.refused(g.seal(inner.udp(PEER, INNER), flag), "RX_MALFORMED", counted=False)
    g.epoch.counter -= 8


@test("an unknown receiver id is dropped, the peer's own id among them")
def _(g):
    plain = inner.udp(PEER, INNER)
    for cid in os.urandom(8), bytes(8), g.epoch.peer_cid:
        g.refused(wire.data_seal(g.epoch.to_kernel, cid, 1 << 20, plain), "RX_UNKNOWN_CID", counted=False)


@test("keys of one session are good for no other")
def _(g):
    plain = inner.udp(PEER, INNER)
    g.refused(wire.data_seal(g.others.to_kernel, g.epoch.kernel_cid, 1 << 20, plain), "RX_AUTH")
    g.refused(wire.data_seal(g.epoch.to_peer, g.epoch.kernel_cid, 1 << 20, plain), "RX_AUTH")


@test("an inner source that is not the session's is dropped")
def _(g):
    for source, to in ((OTHER, INNER), (INNER, INNER), ("192.0.2.9", INNER), ("0.0.0.0", INNER),
                       ("127.0.0.1", INNER), (OTHER6, INNER6), ("::1", INNER6), ("fe80::1", INNER6)):
        g.spent(inner.udp(source, to), "RX_SOURCE")


@test("of overlapping prefixes the longest decides")
def _(g):
    sid, epoch = os.urandom(16), Epoch()
    g.nl.call("session-new", ifindex=g.ifindex, session=[
        {"sid": sid, "state": ATTACHED, "prefix": [{"addr": socket.inet_aton("10.77.0.0"), "len": 24}]}])
    g.nl.call("epoch-new", ifindex=g.ifindex, epoch=[epoch.attributes(sid, 1)])
    try:
        g.client.send(epoch.seal(inner.udp("10.77.0.99", INNER, b"wide")))
        same(g.heard(), b"wide", "payload")
        same(g.send(g.client, epoch.seal(inner.udp(PEER, INNER)))[2], {"RX_SOURCE": 1}, "the longer one is another's")
        g.taken(inner.udp(PEER, INNER, b"long"))
        same(g.heard(), b"long", "payload")
    finally:
        g.nl.call("session-del", ifindex=g.ifindex, session=[{"sid": sid}])


@test("a malformed inner packet is dropped")
def _(g):
    good = inner.udp(PEER, INNER)
    for plain in (b"\x45", b"\x45" + bytes(18), b"\x60" + bytes(38), b"\x75" + good[1:], b"\xf0" * 40,
                  inner.ip4(PEER, INNER, bytes(8), ihl=4), inner.ip4(PEER, INNER, bytes(8), ihl=15),
                  inner.ip4(PEER, INNER, bytes(8), length=29), inner.ip4(PEER, INNER, bytes(8), length=19),
                  inner.ip6(PEER6, INNER6, bytes(8), length=9)):
        g.spent(plain, "RX_INNER")


@test("what is behind the inner packet's own length is cut off")
def _(g):
    same(g.taken(inner.udp(PEER, INNER, b"padded") + bytes(100)), 34, "bytes")
    same(g.heard(), b"padded", "payload")
    same(g.taken(inner.udp(PEER6, INNER6, b"padded") + bytes(100)), 54, "bytes")
    same(g.heard(g.inside6), b"padded", "payload")


@test("a packet whose checksum was left open is completed, on arrival and when it is sent on")
def _(g):
    for source, to, sock in (PEER, INNER, g.inside), (PEER6, INNER6, g.inside6):
        g.taken(inner.udp(source, to, b"open sum", partial=True), CSUM_PARTIAL)
        same(g.heard(sock), b"open sum", "payload")
    # Sent on, it has to be a real sum: let it be forwarded to the peer's namespace and verified there.
    with space(g.kernel):
        Path("/proc/sys/net/ipv4/conf/all/forwarding").write_text("1")
    with space(g.peer):
        ip("addr", "add", "10.9.0.1/32", "dev", "lo")
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        g.undo.callback(receiver.close)
        receiver.settimeout(10)
        receiver.bind(("10.9.0.1", 4001))
        ip("route", "add", "10.77.0.0/24", "via", HERE)
    ip("-n", g.kernel, "route", "add", "10.9.0.1/32", "via", "10.0.0.2")
    g.taken(inner.udp(PEER, "10.9.0.1", b"sent on", partial=True), CSUM_PARTIAL)
    same(g.heard(receiver), b"sent on", "payload")


def no_checksum(packet):
    return packet[:26] + b"\0\0" + packet[28:]


def tcp_offset(packet, words):
    """The length of the TCP header says something else than the packet; the sum left open does not cover it."""
    return packet[:32] + bytes([words << 4]) + packet[33:]


@test("an open checksum is refused where none can be")
def _(g):
    for plain in (inner.packet(PEER, INNER, bytes(8), inner.ICMP), inner.packet(PEER6, INNER6, bytes(8), inner.ICMP6),
                  inner.udp(PEER, INNER, bytes(64), partial=True, fragment=0x2000),
                  inner.udp(PEER, INNER, bytes(64), partial=True, fragment=1),
                  inner.ip4(PEER, INNER, bytes(7), inner.UDP), inner.ip4(PEER, INNER, bytes(19), inner.TCP),
                  inner.ip6(PEER6, INNER6, bytes(19), inner.TCP), inner.ip6(PEER6, INNER6, bytes(24), 0),
                  b"", probe(), inner.udp(PEER, INNER, b"its real sum"), inner.udp(PEER6, INNER6, b"its real sum"),
                  no_checksum(inner.udp(PEER, INNER, bytes(8), partial=True)),
                  tcp_offset(inner.tcp(PEER, INNER, (1, 2), 3, partial=True), 4),
                  tcp_offset(inner.tcp(PEER, INNER, (1, 2), 3, partial=True), 6)):
        g.spent(plain, "RX_CSUM", CSUM_PARTIAL)


@test("congestion that was marked outside arrives inside, or the packet is dropped (RFC 6040)")
def _(g):
    # Columns: outer field, inner field, inner field afterwards. Without "not ECT" inside under CE, which is a drop.
    table = [(inner.NOT_ECT, i, i) for i in range(4)]
    table += [(inner.ECT0, i, i) for i in range(4)]
    table += [(inner.ECT1, inner.NOT_ECT, inner.NOT_ECT), (inner.ECT1, inner.ECT0, inner.ECT1),
              (inner.ECT1, inner.ECT1, inner.ECT1), (inner.ECT1, inner.CE, inner.CE),
              (inner.CE, inner.ECT0, inner.CE), (inner.CE, inner.ECT1, inner.CE), (inner.CE, inner.CE, inner.CE)]
    try:
        for outside, before, after in table:
            g.client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, outside)
            g.taken(inner.udp(PEER, INNER, b"ecn", tos=before | 0xb8))
            payload, notes, _, _ = g.inside.recvmsg(64, 64)
            same((payload, notes[0][2][0] & 3), (b"ecn", after), f"outer {outside}, inner {before}")
            g.taken(inner.udp(PEER6, INNER6, b"ecn", tos=before | 0xb8))
            payload, notes, _, _ = g.inside6.recvmsg(64, 64)
            same((payload, notes[0][2][0] & 3), (b"ecn", after), f"IPv6, outer {outside}, inner {before}")
        g.client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, inner.CE)
        g.spent(inner.udp(PEER, INNER), "RX_INNER")
        g.spent(inner.udp(PEER6, INNER6), "RX_INNER")
    finally:
        g.client.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)


@test("datagrams that come in one piece are taken one by one")
def _(g):
    pieces = [g.seal(inner.udp(PEER, INNER, b"%04d" % i)) for i in range(20)]
    bad = bytearray(pieces[7])
    bad[20] ^= 1
    before = g.counters()
    # UDP_SEGMENT: one buffer, cut into datagrams on the way
    g.client.sendmsg([b"".join(pieces[:7]) + bytes(bad) + b"".join(pieces[8:])],
                     [(socket.IPPROTO_UDP, 103, struct.pack("<H", len(pieces[0])))])
    same([int(g.heard()) for _ in range(19)], [i for i in range(20) if i != 7], "payloads")
    same(g.counted(before), {"RX_AUTH": 1}, "drops")


@test("a packet of the largest size is taken")
def _(g):
    for size in 1000, 1400, 8000, 60000:
        payload = os.urandom(size)
        g.taken(inner.udp(PEER, INNER, payload))
        same(g.heard(), payload, "payload")


@test("before it is attached a session carries no packet, and nothing after it ended")
def _(g):
    sid, epoch = os.urandom(16), Epoch()
    g.nl.call("session-new", ifindex=g.ifindex, session=[
        {"sid": sid, "state": BIRTH, "prefix": [{"addr": socket.inet_aton("10.77.0.9"), "len": 32}]}])
    g.nl.call("epoch-new", ifindex=g.ifindex, epoch=[epoch.attributes(sid, 1)])
    plain = inner.udp("10.77.0.9", INNER, b"early")
    try:
        same(g.send(g.client, epoch.seal(plain)), (None, None, {"RX_STATE": 1}), "in BIRTH")
        g.nl.call("session-set", ifindex=g.ifindex, session=[{"sid": sid, "state": ATTACHED, "state_version": 1}])
        g.client.send(epoch.seal(plain))
        same(g.heard(), b"early", "in ATTACHED")
        g.nl.call("session-set", ifindex=g.ifindex, session=[{"sid": sid, "state": TERMINATED, "state_version": 2}])
        same(g.send(g.client, epoch.seal(plain)), (None, None, {"RX_UNKNOWN_CID": 1}), "in TERMINATED")
    finally:
        g.nl.call("session-del", ifindex=g.ifindex, session=[{"sid": sid}])


@test("a device that is down takes no packet, but its sessions live")
def _(g):
    ip("-n", g.kernel, "link", "set", "jvpn0", "down")
    try:
        g.spent(inner.udp(PEER, INNER), "RX_DEVICE_DOWN")
    finally:
        ip("-n", g.kernel, "link", "set", "jvpn0", "up")
        ip("-n", g.kernel, "addr", "replace", f"{INNER6}/64", "dev", "jvpn0", "nodad")
    g.taken(inner.udp(PEER, INNER, b"up"))
    same(g.heard(), b"up", "payload")


@test("keys that were taken away open nothing")
def _(g):
    epoch = Epoch(bver=2)
    g.nl.call("epoch-new", ifindex=g.ifindex, epoch=[epoch.attributes(g.sid, 0)])
    g.client.send(epoch.seal(inner.udp(PEER, INNER, b"second")))
    same(g.heard(), b"second", "payload")
    g.nl.call("epoch-del", ifindex=g.ifindex, epoch=[{"rx_cid": epoch.kernel_cid}])
    same(g.send(g.client, epoch.seal(inner.udp(PEER, INNER)))[2], {"RX_UNKNOWN_CID": 1}, "afterwards")


@test("the known datagram of the protocol's text opens, under its cipher alone")
def _(g):
    vector = dict(line.split(" = ") for line in VECTORS.read_text().splitlines() if " = " in line)
    for aead, name in (CHACHA20_POLY1305, "data_chacha"), (AES_256_GCM, "data_aesgcm"):
        known = bytes.fromhex(vector[name])
        sid, epoch = os.urandom(16), Epoch(aead=aead)
        epoch.kernel_cid, epoch.to_kernel = known[8:16], bytes.fromhex(vector["c2g"])
        g.nl.call("session-new", ifindex=g.ifindex, session=[{"sid": sid, "state": ATTACHED}])
        g.nl.call("epoch-new", ifindex=g.ifindex, epoch=[epoch.attributes(sid, 1)])
        try:
            for other in "data_chacha", "data_aesgcm":
                if other != name:
                    same(g.send(g.client, bytes.fromhex(vector[other]))[2], {"RX_AUTH": 1}, other)
            # What is inside begins like an IPv4 packet and is none: it opens, and is refused then.
            same(g.send(g.client, known)[2], {"RX_INNER": 1}, name)
            shown = g.session(sid)["epoch"][0]
            same([shown[n] for n in ("aead", "rx-packets", "rx-highest", "confirmed")], [aead, 1, 5, 1], name)
        finally:
            g.nl.call("session-del", ifindex=g.ifindex, session=[{"sid": sid}])


@test("noise changes nothing but counters")
def _(g):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    rng = random.Random(seed)
    before, mine, others = g.counters(), g.state(), g.state(g.other)
    good = g.seal(inner.udp(PEER, INNER, b"noise"))
    for _ in range(2000):
        datagram = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            datagram[rng.randrange(1, len(datagram))] ^= rng.randint(1, 255)
        if bytes(datagram) == good:
            datagram[-1] ^= 1
        if rng.random() < 0.3:
            datagram = datagram[:rng.randrange(1, len(datagram))]
        g.client.send(datagram)
    grown = g.counted(before, 2000)
    say(grown)
    same(sum(grown.values()), 2000, "datagrams counted")
    same((g.state(), g.state(g.other)), (mine, others), "sessions")
    g.client.send(good)
    same(g.heard(), b"noise", "the good one")


@test("all of it left the other session as it was")
def _(g):
    session = g.session(g.other)
    same((session["rx-packets"], session["tx-packets"], session["state-version"], session.get("drop")),
         (0, 0, 1, None), "packets, state version, drops")
    same(session["binding"]["remote"], endpoint(*g.client.getsockname()), "remote")
    same(g.udp.getsockname()[1], PORT, "port of the gateway")


run(Gateway)
