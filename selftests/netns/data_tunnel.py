#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Kernel to kernel: a gateway and two clients, keys given by hand. What goes in at one end comes out at the other."""
import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from jvpn_netlink import SLOW, Netlink, drops, endpoint, space  # noqa: E402
from ktap import run, same, say, test  # noqa: E402
from rig import PORT, TERM, Epoch, ip  # noqa: E402

ATTACHED = 2
GATEWAY, GATEWAY6 = "10.77.0.1", "fd77::1"


class End:
    """A namespace with a device. Clients have two paths, `wifi` and `lte`; the gateway has one for both."""

    def __init__(self, undo, name):
        self.space = f"jv{os.getpid()}-{name}"
        self.undo = undo
        self.sockets = {}
        ip("netns", "add", self.space)
        undo.callback(ip, "netns", "del", self.space)
        ip("-n", self.space, "link", "set", "lo", "up")

    def device(self, role, address, address6):
        self.address, self.address6 = address, address6
        with space(self.space):
            ip("link", "add", "jvpn0", "type", "jvpn")
            ip("addr", "add", f"{address}/24", "dev", "jvpn0")
            ip("addr", "add", f"{address6}/64", "dev", "jvpn0", "nodad")
            ip("link", "set", "jvpn0", "up")
            ip("addr", "replace", f"{address6}/64", "dev", "jvpn0", "nodad")
            self.ifindex = socket.if_nametoindex("jvpn0")
            self.nl = Netlink()
        self.undo.callback(self.nl.close)
        self.nl.call("dev-set", ifindex=self.ifindex, device={"role": role, "term": TERM})

    def path(self, number, address):
        with space(self.space):
            made = self.socket(socket.SOCK_DGRAM)
        made.bind((address, PORT))
        self.sockets[number] = endpoint(address, PORT)
        self.nl.call("path-set", ifindex=self.ifindex, path=[{"id": number, "fd": made.fileno()}])

    def socket(self, kind, family=socket.AF_INET):
        with space(self.space):
            made = socket.socket(family, kind)
        self.undo.callback(made.close)
        made.settimeout(20 * SLOW)
        return made

    def session(self, sid):
        return self.nl.call("session-get", ifindex=self.ifindex, session=[{"sid": sid}])[0]["session"][0]

    def new(self, sid, role, epoch_attributes, remote, prefixes):
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": sid, "role": role, "state": ATTACHED, "probe_interval_ms": 60000, "keepalive_ms": 0,
             "prefix": [{"addr": socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a), "len": n}
                        for a, n in prefixes]}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[epoch_attributes])
        self.bind(sid, 0, 1, 0, remote)

    def bind(self, sid, expect, bver, path, remote):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": expect, "term": TERM, "bver": bver,
             "path": path, "remote": remote, "switched": True}])


class Tunnels:
    """One gateway, clients `a` and `b`; each client has a wire of its own to it, and a second one."""

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            self.gateway = End(undo, "gateway")
            self.clients = [End(undo, name) for name in "ab"]
            self.sids = [os.urandom(16) for _ in self.clients]
            self.forged = [0, 0]  # packets of 32 bytes that a client sent and the gateway refused
            ip("-n", self.gateway.space, "addr", "add", "192.0.2.1/32", "dev", "lo")
            self.gateway.device("gateway", GATEWAY, GATEWAY6)
            self.gateway.path(0, "192.0.2.1")
            for number, client in enumerate(self.clients):
                self.wires(number, client)
                client.device("client", f"10.77.0.{number + 2}", f"fd77::{number + 2}")
                for path in 0, 1:
                    client.path(path, self.outer(number, path))
                self.join(number, client)
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self.undo.close()

    @staticmethod
    def outer(number, path):
        return f"10.{number}.{path}.2"

    def wires(self, number, client):
        for path in 0, 1:
            there = f"w{number}{path}"
            ip("-n", client.space, "link", "add", f"w{path}", "type", "veth", "peer", "name", there, "netns",
               self.gateway.space)
            ip("-n", client.space, "addr", "add", f"{self.outer(number, path)}/24", "dev", f"w{path}")
            ip("-n", self.gateway.space, "addr", "add", f"10.{number}.{path}.1/24", "dev", there)
            ip("-n", client.space, "link", "set", f"w{path}", "up")
            ip("-n", self.gateway.space, "link", "set", there, "up")
            ip("-n", client.space, "route", "add", "192.0.2.1", "via", f"10.{number}.{path}.1", "metric", str(10 + path))

    def join(self, number, client):
        sid, keys = self.sids[number], Epoch()
        mirror = keys.attributes(sid, 1)
        mirror = {**mirror, "rx_cid": mirror["tx_cid"], "tx_cid": mirror["rx_cid"], "rx_key": mirror["tx_key"],
                  "tx_key": mirror["rx_key"]}
        self.gateway.new(sid, "gateway", keys.attributes(sid, 1), client.sockets[0],
                         [(client.address, 32), (client.address6, 128)])
        client.new(sid, "client", mirror, self.gateway.sockets[0], [("0.0.0.0", 0), ("::", 0)])

    def both(self, number):
        """(packets sent, bytes, packets received, bytes) as the client counts, and as the gateway does, mirrored."""
        client, gateway = self.clients[number].session(self.sids[number]), self.gateway.session(self.sids[number])
        names = ("tx-packets", "tx-bytes", "rx-packets", "rx-bytes")
        packets, octets, *back = (client[n] for n in names)
        return (packets - self.forged[number], octets - 32 * self.forged[number], *back), \
            tuple(gateway[n] for n in names[2:] + names[:2])

    def settled(self, number):
        """As both(), when the ends agree."""
        deadline = time.monotonic() + 10 * SLOW
        while (seen := self.both(number))[0] != seen[1] and time.monotonic() < deadline:
            time.sleep(0.01)
        same(seen[0], seen[1], "what one end sent and the other received")
        return seen[0]

    def drops(self):
        names = {number: name for name, number in drops().items()}
        return {(end.space, names[d["reason"]]): d["count"] for end in [self.gateway, *self.clients]
                for d in end.nl.call("dev-get", ifindex=end.ifindex)[0]["device"].get("drop", [])}


def ping(end, to, count, size=56):
    done = subprocess.run(["ip", "netns", "exec", end.space, "ping", "-q", "-n", "-c", str(count), "-i", "0.02", "-W", "10",
                           "-s", str(size), to], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if f"{count} received" not in done.stdout:
        raise AssertionError(done.stdout)


@test("ping of both families, from both ends and in several sizes; every packet is counted once at either end")
def _(t):
    client = t.clients[0]
    before, gone = t.settled(0), t.drops()
    for here, there, there6 in (client, GATEWAY, GATEWAY6), (t.gateway, client.address, client.address6):
        for to, header in (there, 28), (there6, 48):
            ping(here, to, 5)
            ping(here, to, 5, 1420 - header)
    after = t.settled(0)
    size = (56 + 28 + 56 + 48 + 1420 + 1420) * 5 * 2
    same([a - b for a, b in zip(after, before)], [40, size, 40, size], "packets and bytes sent and received")
    same(t.drops(), gone, "drops")


@test("a packet larger than the MTU goes in fragments")
def _(t):
    before = t.settled(0)
    ping(t.clients[0], GATEWAY, 2, 4000)
    same(t.settled(0)[0] - before[0], 6, "packets")


def transfer(source, sink, to, size):
    """Send so many random bytes over TCP: returns (digest sent, digest received)."""
    listener = sink.socket(socket.SOCK_STREAM, socket.AF_INET6 if ":" in to else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((to, 5001))
    listener.listen(1)
    out = source.socket(socket.SOCK_STREAM, listener.family)
    out.connect((to, 5001))
    into, _ = listener.accept()
    into.settimeout(30 * SLOW)
    data, digest = os.urandom(size), hashlib.sha256()

    def send():
        out.sendall(data)
        out.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    while chunk := into.recv(1 << 16):
        digest.update(chunk)
    sender.join()
    for one in listener, out, into:
        one.close()
    return hashlib.sha256(data).hexdigest(), digest.hexdigest()


@test("a TCP transfer arrives whole, each way and over both families")
def _(t):
    client = t.clients[0]
    for source, sink, to in ((client, t.gateway, GATEWAY), (t.gateway, client, client.address),
                             (client, t.gateway, GATEWAY6), (t.gateway, client, client.address6)):
        sent, received = transfer(source, sink, to, 1 << 20)
        same(received, sent, f"digest at {to}")
    t.settled(0)


@test("two sessions never see each other's traffic")
def _(t):
    a, b = t.clients
    others = t.settled(1)
    taps = []
    for end, link in (a, "w0"), (b, "w0"):
        with space(end.space):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        t.undo.callback(tap.close)
        tap.bind((link, 0x0800))
        tap.setblocking(False)
        taps.append(tap)
    inside = a.socket(socket.SOCK_DGRAM)
    inside.bind((a.address, 6001))
    far = t.gateway.socket(socket.SOCK_DGRAM)
    far.bind((GATEWAY, 6001))
    mark = os.urandom(16)
    for i in range(50):
        far.sendto(mark + b"%d" % i, (a.address, 6001))
        same(inside.recv(64), mark + b"%d" % i, "at the one it is for")
    same(t.settled(1), others, "packets of the other session")
    seen = []
    for tap in taps:
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(tap.recv(2000))
        seen.append(frames)
    same(len([f for f in seen[0] if f[42] == 0x81]), 50, "datagrams on the wire of the first")
    same(seen[1], [], "frames on the wire of the other")
    if any(mark in frame for frame in seen[0]):
        raise AssertionError("plaintext on the wire")
    # A client that forges the other's inner address is refused, and the other hears nothing of it.
    with space(a.space):
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    t.undo.callback(raw.close)
    header = bytearray.fromhex("45000020000000004011000000000000") + socket.inet_aton(GATEWAY)
    header[12:16] = socket.inet_aton(b.address)
    before = t.gateway.session(t.sids[0]).get("drop", [])
    t.forged[0] += 1
    raw.sendto(bytes(header) + bytes.fromhex("17711771000c0000") + b"evil", (GATEWAY, 0))
    deadline = time.monotonic() + 10
    while (now := t.gateway.session(t.sids[0]).get("drop", [])) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    same([d["count"] for d in now if d["reason"] == drops()["RX_SOURCE"]], [1], "foreign source")
    same(t.settled(1), others, "packets of the other session")


@test("through the gateway one client reaches the other, each under its own keys")
def _(t):
    with space(t.gateway.space):
        Path("/proc/sys/net/ipv4/conf/all/forwarding").write_text("1")
    before = t.settled(0), t.settled(1)
    ping(t.clients[0], t.clients[1].address, 10)
    after = t.settled(0), t.settled(1)
    same([a[0] - b[0] for a, b in zip(after, before)], [10, 10], "packets sent by each")


@test("both ends jump between two paths under a stream, a hundred times, and nothing is lost or doubled")
def _(t):
    client, sid = t.clients[0], t.sids[0]
    with space(client.space):
        # Each path has its own way to the gateway.
        for path in 0, 1:
            ip("rule", "add", "from", t.outer(0, path), "lookup", str(100 + path))
            ip("route", "add", "192.0.2.1", "via", f"10.0.{path}.1", "table", str(100 + path))
    for name in "all", *(f"w0{p}" for p in (0, 1)):
        with space(t.gateway.space):
            Path(f"/proc/sys/net/ipv4/conf/{name}/rp_filter").write_text("0")
    ends = {}
    for name, end, address in ("up", t.gateway, GATEWAY), ("down", client, client.address):
        ends[name] = end.socket(socket.SOCK_DGRAM)
        ends[name].setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
        ends[name].bind((address, 7001))
    sources = {"up": (client.socket(socket.SOCK_DGRAM), GATEWAY), "down": (t.gateway.socket(socket.SOCK_DGRAM), client.address)}
    stop, sent = threading.Event(), {}

    def stream(name):
        sock, to = sources[name]
        count = 0
        while not stop.is_set():
            sock.sendto(count.to_bytes(4, "big"), (to, 7001))
            count += 1
            time.sleep(0.0005)
        sent[name] = count

    threads = [threading.Thread(target=stream, args=(name,)) for name in sources]
    for thread in threads:
        thread.start()
    bver = client.session(sid)["bver"]
    for jump in range(100):
        path = (jump + 1) % 2
        t.gateway.bind(sid, bver + jump, bver + jump + 1, 0, client.sockets[path])
        client.bind(sid, bver + jump, bver + jump + 1, path, t.gateway.sockets[0])
        time.sleep(0.005)
    stop.set()
    for thread in threads:
        thread.join()
    say(sent)
    for name, sock in ends.items():
        got = sorted(int.from_bytes(sock.recv(16), "big") for _ in range(sent[name]))
        same(got, list(range(sent[name])), name)
    t.settled(0)
    same((client.session(sid)["bver"], t.gateway.session(sid)["bver"]), (bver + 100, bver + 100), "versions")


@test("nothing was dropped but what was meant to be")
def _(t):
    same({key: n for key, n in t.drops().items()}, {(t.gateway.space, "RX_SOURCE"): 1}, "drops")


run(Tunnels)
