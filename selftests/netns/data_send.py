#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Inner packets that go out: by which session, keys and way, and what becomes of those that cannot."""
import errno
import ipaddress
import os
import random
import select
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import inner  # noqa: E402
from jvpn_netlink import Error, space  # noqa: E402
from ktap import run, same, say, test  # noqa: E402
from rig import AEAD, CHACHA20_POLY1305, HERE, PORT, TERM, Epoch, Rig, ip, where  # noqa: E402

INNER, PEER, NOBODY = "10.77.0.1", "10.77.0.2", "10.77.0.200"
INNER6, PEER6, NOBODY6 = "fd77::1", "fd77::2", "fd77::200"
BIRTH, ATTACHED, RECOVERING, TERMINATED = 1, 2, 4, 6
MTU = 1420
IP_RECVERR, IP_MTU_DISCOVER, IPV6_RECVERR, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO = 11, 10, 25, 23, 2
# What does not depend on the cipher is asked with one of them.
ONCE = AEAD == CHACHA20_POLY1305


class Sender(Rig):
    """One session to the program's end. A gateway's, which sends nothing of its own accord."""

    def __init__(self):
        super().__init__("gateway")

    def prepare(self):
        with space(self.kernel):
            ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
            ip("addr", "add", f"{INNER6}/64", "dev", "jvpn0", "nodad")
            self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.inside6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
            # Each refusal is to be told, not only ten in a second.
            for limit in "ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit":
                Path(f"/proc/sys/net/{limit}").write_text("0")
        for sock, address in (self.inside, INNER), (self.inside6, INNER6):
            self.undo.callback(sock.close)
            sock.bind((address, 4000))
        self.undo.callback(self.raw.close)
        # What arrives, with the field that ECN is in.
        self.far = self.source()
        self.far.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        self.sid = None
        self.renew()

    def renew(self, state=ATTACHED, key=True, bind=True, **session):
        """Another session in place of the one before."""
        if self.sid:
            self.nl.call("session-del", ifindex=self.ifindex, session=[{"sid": self.sid}])
        self.sid, self.epoch = os.urandom(16), Epoch()
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": self.sid, "state": state, **session, "prefix": [
                {"addr": socket.inet_aton(PEER), "len": 32},
                {"addr": socket.inet_pton(socket.AF_INET6, PEER6), "len": 128}]}])
        if key:
            self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[self.epoch.attributes(self.sid, 1)])
        self.bver = 0
        if bind:
            self.bind(self.far)

    def bind(self, sock, op="set", remote=None, **more):
        self.bver += op == "set"
        versions = {"expect_term": TERM, "expect_bver": self.bver - 1, "term": TERM, "bver": self.bver}
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": self.sid, "op": op, "path": 0, "remote": remote or where(sock),
             **(versions if op == "set" else {}), **more}])

    def say(self, payload=b"x", to=PEER, sock=None):
        (sock or (self.inside6 if ":" in to else self.inside)).sendto(payload, (to, 4001))

    def get(self, sock=None, epoch=None, seconds=10):
        """The next inner packet that arrives, and the counter it came with."""
        datagram = self.receive(sock or self.far, seconds)
        if datagram is None:
            return None
        return (epoch or self.epoch).open(datagram), int.from_bytes(datagram[2:8], "little")

    def unreachable(self, reason, to=PEER, wanted=errno.EHOSTUNREACH):
        """It is dropped for that reason, once, and the sender is told."""
        before = self.counters()
        sock = self.inside6 if ":" in to else self.inside
        level, option = (socket.IPPROTO_IPV6, IPV6_RECVERR) if ":" in to else (socket.IPPROTO_IP, IP_RECVERR)
        sock.setsockopt(level, option, 1)
        try:
            sock.sendto(b"x", (to, 4001))
            same(self.counted(before), {reason: 1}, "drops")
            if not select.select([], [], [sock], 10)[2] and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise AssertionError("the sender is not told")
            payload, notes, _, _ = sock.recvmsg(64, 512, socket.MSG_ERRQUEUE)
            same((payload, struct.unpack_from("=I", notes[0][2])[0]), (b"x", wanted), "what the sender is told")
        finally:
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            sock.setsockopt(level, option, 0)
        same(self.receive(self.far), None, "datagram")

    def inject(self, plain, protocol=None):
        """Hand a packet to the device as it is."""
        protocol = protocol or (0x86DD if plain[:1] and plain[0] >> 4 == 6 else 0x0800)
        self.raw.sendto(plain, ("jvpn0", protocol))


@test("an inner packet is sent to the binding under the session's key, counters from 0 without a gap")
def _(c):
    device = c.nl.call("dev-get", ifindex=c.ifindex)[0]["device"]
    for i in range(5):
        c.say(b"%d" % i)
        plain, counter = c.get()
        same((plain[:1], plain[28:], counter), (b"\x45", b"%d" % i, i), "packet")
    session, after = c.session(c.sid), c.nl.call("dev-get", ifindex=c.ifindex)[0]["device"]
    same((session["tx-packets"], session["tx-bytes"], session["epoch"][0]["tx-counter"]), (5, 145, 5), "session")
    same((after["tx-packets"] - device["tx-packets"], after["tx-bytes"] - device["tx-bytes"]), (5, 145), "device")
    same(session.get("drop"), None, "drops")


@test("an IPv6 packet is sent like it")
def _(c):
    c.say(b"six", PEER6)
    plain, counter = c.get()
    same((plain[:1], plain[48:], counter), (b"\x60", b"six", 5), "packet")


@test("the datagram leaves from the path's socket, its header carries no type of service but congestion")
def _(c):
    # RFC 6040, and what is marked inside as congested leaves as capable.
    for tos, outer in ((0, 0), (1, 1), (2, 2), (3, 2), (0xb8, 0), (0xba, 2)):
        c.inside.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        c.inject(inner.udp(INNER, PEER, b"tos", tos=tos))
        _, notes, _, source = c.far.recvmsg(2000, 64)
        same((notes[0][2][0], source), (outer, (HERE, PORT)), f"inner {tos:#x}")
    c.inside.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0)


@test("every size up to the MTU is sent as it is")
def _(c):
    for size in [0, 1, 15, 16, 17, 63, 64, 65, *range(100, MTU - 28, 131), MTU - 28]:
        payload = os.urandom(size)
        c.say(payload)
        same(c.get()[0][28:], payload, f"{size} bytes")


@test("the MTU goes from 576 to what an outer packet can carry, and that is sent")
def _(c):
    largest = 65535 - 60
    for mtu in 575, largest + 1:
        try:
            ip("-n", c.kernel, "link", "set", "jvpn0", "mtu", str(mtu))
            raise AssertionError(f"MTU {mtu} was taken")
        except RuntimeError as error:
            if "mtu" not in str(error).lower():
                raise
    try:
        for mtu in largest, 576:
            ip("-n", c.kernel, "link", "set", "jvpn0", "mtu", str(mtu))
            payload = os.urandom(mtu - 28)
            c.say(payload)
            same(c.get()[0][28:], payload, f"{mtu} bytes")
    finally:
        ip("-n", c.kernel, "link", "set", "jvpn0", "mtu", str(MTU))
        ip("-n", c.kernel, "addr", "replace", f"{INNER6}/64", "dev", "jvpn0", "nodad")


@test("a packet that needs segments or a checksum made gets them before it is sealed")
def _(c):
    pieces = [os.urandom(500) for _ in range(5)]
    c.inside.sendmsg([b"".join(pieces)], [(socket.IPPROTO_UDP, 103, struct.pack("<H", 500))], 0, (PEER, 4001))
    for piece in pieces:
        plain, _ = c.get()
        same(plain[28:], piece, "segment")
        same(inner.fold(struct.pack(">H", inner.pseudo(INNER, PEER, inner.UDP, 508)) + plain[20:]), 0xFFFF, "checksum")


@test("a destination that no session owns is unreachable", when=ONCE)
def _(c):
    for to in NOBODY, NOBODY6:
        c.unreachable("TX_NO_SESSION", to)


@test("of many prefixes the longest that holds the destination decides, as they come and go", when=ONCE)
def _(c):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    rng = random.Random(seed)
    families = {"10.128.0.0/9": c.inside, "fd99::/16": c.inside6}
    owned, sessions = {}, {}
    for network in families:
        ip("-n", c.kernel, "route", "add", network, "dev", "jvpn0")

    def draw(network):
        """A prefix in it; they are drawn from few, so that many lie in each other."""
        base = ipaddress.ip_network(network)
        spare = base.max_prefixlen - base.prefixlen
        length = base.prefixlen + rng.randint(0, spare)
        address = int(base[0]) + (rng.getrandbits(3) << spare - 3) + (rng.getrandbits(2) << max(spare - 20, 0)) + \
            rng.getrandbits(3)
        return ipaddress.ip_network((address, length), strict=False)

    try:
        for _ in range(150):
            if sessions and (len(sessions) > 30 or rng.random() < 0.2):
                sid = rng.choice(list(sessions))
                c.nl.call("session-del", ifindex=c.ifindex, session=[{"sid": sid}])
                del sessions[sid]
                owned = {prefix: owner for prefix, owner in owned.items() if owner != sid}
            else:
                prefixes = {draw(network) for network in families for _ in range(rng.randint(0, 3))} - set(owned)
                sid, epoch = os.urandom(16), Epoch()
                c.nl.call("session-new", ifindex=c.ifindex, session=[
                    {"sid": sid, "state": ATTACHED, "prefix": [
                        {"addr": prefix.network_address.packed, "len": prefix.prefixlen} for prefix in prefixes]}])
                c.nl.call("epoch-new", ifindex=c.ifindex, epoch=[epoch.attributes(sid, 1)])
                c.nl.call("binding-set", ifindex=c.ifindex, binding=[
                    {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": 0, "term": TERM, "bver": 1,
                     "path": 0, "remote": where(c.far)}])
                sessions[sid] = epoch
                owned.update((prefix, sid) for prefix in prefixes)
            for network, sock in families.items():
                prefix = rng.choice([draw(network), *owned])
                sock = families["fd99::/16" if prefix.version == 6 else "10.128.0.0/9"]
                to = prefix[rng.randrange(min(prefix.num_addresses, 8))]
                holders = [p for p in owned if p.version == to.version and to in p]
                before = c.counters()
                sock.sendto(b"whose?", (str(to), 4001))
                if holders:
                    owner = owned[max(holders, key=lambda p: p.prefixlen)]
                    same(c.get(epoch=sessions[owner])[0][-6:], b"whose?", f"packet to {to}")
                else:
                    same(c.counted(before), {"TX_NO_SESSION": 1}, f"drops of a packet to {to}")
    finally:
        for sid in sessions:
            c.nl.call("session-del", ifindex=c.ifindex, session=[{"sid": sid}])


@test("without a transport the peer is unreachable, and reachable again with the next packet", when=ONCE)
def _(c):
    c.nl.call("binding-set", ifindex=c.ifindex, binding=[{"sid": c.sid, "op": "clear"}])
    for to in PEER, PEER6:
        c.unreachable("TX_NO_TRANSPORT", to)
    same([(d["reason"], d["count"]) for d in c.session(c.sid)["drop"]], [(1, 2)], "drops of the session")
    c.bind(c.far)
    c.say(b"again")
    same(c.get()[0][28:], b"again", "payload")


@test("before it is attached a session sends no packet", when=ONCE)
def _(c):
    c.renew(state=BIRTH, bind=False)
    c.unreachable("TX_NO_TRANSPORT")
    c.bind(c.far, state=ATTACHED, state_version=1)
    c.say(b"attached")
    same(c.get()[0][28:], b"attached", "payload")


@test("and after it has ended its addresses are nobody's", when=ONCE)
def _(c):
    c.nl.call("session-set", ifindex=c.ifindex, session=[{"sid": c.sid, "state": TERMINATED, "state_version": 2}])
    c.unreachable("TX_NO_SESSION")
    session = c.session(c.sid)
    same(("binding" in session, "epoch" in session, session["term"], session["bver"]), (False, False, TERM, 1), "rest")
    same(len(session["prefix"]), 2, "prefixes it had")


@test("without a key nothing is sent")
def _(c):
    c.renew(key=False)
    before = c.counters()
    c.say()
    same(c.counted(before), {"TX_NO_KEY": 1}, "drops")
    c.nl.call("epoch-new", ifindex=c.ifindex, epoch=[c.epoch.attributes(c.sid, 0)])
    c.say()
    same(c.counted(before, 2), {"TX_NO_KEY": 2}, "drops before the key is confirmed")
    c.far.send(c.epoch.seal(b""))
    if not c.watch.signal("confirmed", 5):
        raise AssertionError("not confirmed")
    c.say(b"confirmed")
    same(c.get()[0][28:], b"confirmed", "payload")


@test("keys change when the peer has confirmed the new ones, and never back")
def _(c):
    c.renew()
    new, newest = Epoch(), Epoch()
    c.nl.call("epoch-new", ifindex=c.ifindex, epoch=[new.attributes(c.sid, 0), newest.attributes(c.sid, 0)])
    c.say(b"old")
    same(c.get()[0][28:], b"old", "before")
    c.far.send(newest.seal(b""))
    if not c.watch.signal("confirmed", 5, cid=newest.kernel_cid):
        raise AssertionError("not confirmed")
    c.say(b"new")
    same(c.get(epoch=newest)[0][28:], b"new", "after")
    c.far.send(new.seal(b""))
    if not c.watch.signal("confirmed", 5, cid=new.kernel_cid):
        raise AssertionError("not confirmed")
    c.say(b"newest")
    same(c.get(epoch=newest)[0][28:], b"newest", "after the older one was confirmed as well")
    c.nl.call("epoch-del", ifindex=c.ifindex, epoch=[{"rx_cid": newest.kernel_cid}])
    before = c.counters()
    c.say()
    same(c.counted(before), {"TX_NO_KEY": 1}, "drops when it is gone")


@test("a jump takes effect with the next packet, and counters run on")
def _(c):
    c.renew()
    other = c.source("10.4.0.1")
    c.say(b"0")
    same(c.get()[1], 0, "counter")
    c.bind(other, switched=True)
    c.say(b"1")
    plain, counter = c.get(other)
    same((plain[28:], counter, c.receive(c.far)), (b"1", 1, None), "packet")
    session = c.session(c.sid)
    same((session["bver"], len(session["switches"])), (2, 4), "version, bytes of the ring")
    for _ in range(40):
        c.bind(other, switched=True)
    ring = struct.unpack("32I", c.session(c.sid)["switches"])
    same(list(ring), sorted(ring), "times in the ring of 32")


@test("a client sends ahead of its binding: the pointer moves, the version stays", when=ONCE)
def _(c):
    c.renew(role="client", probe_interval_ms=60000, keepalive_ms=0)
    other = c.source("10.4.0.1")
    c.bind(None, op="move", remote=where(other))
    c.say(b"ahead")
    same(next(p for p in iter(lambda: c.get(other)[0], None) if p[:1] == b"\x45")[28:], b"ahead", "payload")
    session = c.session(c.sid)
    same((session["bver"], session["binding"]["confirmed"], session["binding"]["remote"]), (1, 0, where(other)), "pointer")


@test("a path can be given another socket under traffic", when=ONCE)
def _(c):
    c.renew()
    c.say(b"first")
    c.get()
    with space(c.kernel):
        new = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    new.bind((HERE, PORT + 1))
    try:
        c.nl.call("path-set", ifindex=c.ifindex, path=[{"id": 0, "fd": new.fileno()}])
        c.far.connect((HERE, PORT + 1))
        c.say(b"second")
        same(c.get()[0][28:], b"second", "payload")
        c.nl.call("path-set", ifindex=c.ifindex, path=[{"id": 0, "fd": c.udp.fileno()}])
        c.far.connect((HERE, PORT))
        c.say(b"third")
        same(c.get()[0][28:], b"third", "payload")
    finally:
        new.close()
    c.nl.call("path-del", ifindex=c.ifindex, path=[{"id": 0}])
    try:
        c.unreachable("TX_NO_TRANSPORT")
    finally:
        c.nl.call("path-set", ifindex=c.ifindex, path=[{"id": 0, "fd": c.udp.fileno()}])


@test("a socket that is closed by its owner goes on sending", when=ONCE)
def _(c):
    c.renew()
    with space(c.kernel):
        brief = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    brief.bind((HERE, PORT + 2))
    c.nl.call("path-set", ifindex=c.ifindex, path=[{"id": 0, "fd": brief.fileno()}])
    brief.close()
    try:
        c.far.connect((HERE, PORT + 2))
        c.say(b"kept")
        same(c.get()[0][28:], b"kept", "payload")
    finally:
        c.far.connect((HERE, PORT))
        c.nl.call("path-set", ifindex=c.ifindex, path=[{"id": 0, "fd": c.udp.fileno()}])


@test("no route to the remote, and one that leads back into the tunnel, are told", when=ONCE)
def _(c):
    c.renew()
    c.bind(None, remote=struct.pack("<H", socket.AF_INET) + struct.pack(">H", 9) + socket.inet_aton("203.0.113.9") + bytes(8))
    c.unreachable("TX_ROUTE")
    ip("-n", c.kernel, "route", "add", "203.0.113.0/24", "dev", "jvpn0")
    before = c.counters()
    c.say()
    same(c.counted(before), {"TX_LOOP": 1}, "drops")


@test("a way that changes is followed", when=ONCE)
def _(c):
    c.renew()
    far = "192.0.2.77"
    ip("-n", c.peer, "addr", "add", f"{far}/32", "dev", "lo")
    ip("-n", c.kernel, "route", "add", f"{far}/32", "via", "10.0.0.2")
    with space(c.peer):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    c.undo.callback(sock.close)
    sock.bind((far, 0))
    c.bind(sock)
    c.say(b"there")
    same(c.get(sock)[0][28:], b"there", "payload")
    ip("-n", c.kernel, "route", "del", f"{far}/32")
    c.unreachable("TX_ROUTE")
    ip("-n", c.kernel, "route", "add", f"{far}/32", "via", "10.0.0.2")
    c.say(b"back")
    same(c.get(sock)[0][28:], b"back", "payload")


@test("a packet above the MTU is dropped, and its sender told the MTU", when=ONCE)
def _(c):
    c.renew()
    for sock, to, header, recverr, discover in (
            (c.inside, PEER, 28, (socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IP, IP_MTU_DISCOVER)),
            (c.inside6, PEER6, 48, (socket.IPPROTO_IPV6, IPV6_RECVERR), (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER))):
        # A route that claims more than the device can.
        ip("-n", c.kernel, "route", "replace", to, "dev", "jvpn0", "mtu", "lock", "2000")
        sock.setsockopt(*recverr, 1)
        sock.setsockopt(*discover, IP_PMTUDISC_DO)
        before = c.counters()
        sock.sendto(bytes(MTU - header), (to, 4001))
        same(len(c.get()[0]), MTU, "one that just fits")
        sock.sendto(bytes(MTU - header + 1), (to, 4001))
        same(c.counted(before), {"TX_TOO_BIG": 1}, "drops")
        select.select([], [], [sock], 10)
        _, notes, _, _ = sock.recvmsg(64, 512, socket.MSG_ERRQUEUE)
        number, _, _, _, _, mtu = struct.unpack_from("=IBBBBI", notes[0][2])
        same((number, mtu), (errno.EMSGSIZE, MTU), "what the sender is told")
        sock.setsockopt(*recverr, 0)
        ip("-n", c.kernel, "route", "del", to, "dev", "jvpn0")


@test("what is no IP packet is dropped", when=ONCE)
def _(c):
    before = c.counters()
    good = inner.udp(INNER, PEER)
    for plain, protocol in (good[:10], 0x0800), (b"\x55" + good[1:], 0x0800), (good, 0x86DD), (good, 0x0806), \
                           (inner.udp(INNER6, PEER6)[:30], 0x86DD), (b"\x00" * 40, 0x0800):
        c.inject(plain, protocol)
    same(c.counted(before, 6), {"TX_MALFORMED": 6}, "drops")


@test("frames can be sent to the binding or anywhere, under any of the keys, in any state")
def _(c):
    c.renew(state=BIRTH, bind=False)
    second, other = Epoch(), c.source("10.4.0.2")
    c.nl.call("epoch-new", ifindex=c.ifindex, epoch=[second.attributes(c.sid, 0)])
    frame = {"sid": c.sid, "path": 0, "remote": where(other)}

    def send(**more):
        c.nl.call("frame-send", ifindex=c.ifindex, frame=[{**frame, **more}])

    send(type=0)
    same(c.get(other), (b"", 0), "keepalive")
    send(type=0, cid=second.kernel_cid)
    same(c.get(other, second), (b"", 0), "keepalive under the second key")
    send(type=1, flags=4, nonce=b"12345678")
    plain, counter = c.get(other)
    same((plain[:2], plain[8:16], counter), (b"\1\4", b"12345678", 1), "PROBE")
    send(type=3, reason=43)
    plain, counter = c.get(other)
    same((plain[:2], len(plain), counter), (b"\3\x2b", 32, 2), "CLOSE")
    del frame["path"], frame["remote"]
    try:
        send(type=0)
        raise AssertionError("a keepalive without transport was sent")
    except Error as error:
        same((error.errno, error.message), (errno.ENETUNREACH, f"session {c.sid.hex()} has no transport"), "refusal")
    same(c.session(c.sid)["tx-packets"], 0, "packets of the session")


run(Sender)
