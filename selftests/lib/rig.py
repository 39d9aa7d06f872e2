# SPDX-License-Identifier: GPL-2.0
"""One end is the kernel, the other is this program: two namespaces, a device and its daemon's socket.

The kernel's end has the address HERE, the program's end sends from 10.0.0.0/8.
"""

import collections
import contextlib
import os
import select
import socket
import struct
import subprocess
import time

import jvpn_wire as wire
from jvpn_netlink import SLOW, Netlink, drops, endpoint, space

HERE, THERE, PORT = "10.0.0.1", "10.0.0.2", 51820
DROPS = drops()
TERM = 7


def ip(*words):
    done = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stdout}")


class Rig:
    """A device jvpn0 of the given role at HERE, and sockets of its peer."""

    def __init__(self, role):
        self.role = role
        self.key = wire.Key(os.urandom(32))  # the gateway's static key: whoever knows it can make tags
        self.kernel, self.peer = f"jv{os.getpid()}-kernel", f"jv{os.getpid()}-peer"
        self.undo = contextlib.ExitStack()
        self.sockets = {}

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            self.undo = undo
            self._wire()
            with space(self.kernel):
                ip("link", "add", "jvpn0", "type", "jvpn")
                ip("link", "set", "jvpn0", "up")
                self.ifindex = socket.if_nametoindex("jvpn0")
                self.watch = Netlink("signal", "session")
                undo.callback(self.watch.close)
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                undo.callback(self.udp.close)
                self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
                self.udp.bind((HERE, PORT))
            self.register()
            self.nl.call("path-set", ifindex=self.ifindex, path=[{"id": 0, "fd": self.udp.fileno()}])
            self.prepare()
            self.undo = undo.pop_all()
        return self

    def prepare(self):
        """What a test needs beside; it is undone even if it fails half-way."""

    def __exit__(self, *_):
        self.undo.close()

    def _wire(self):
        for name in self.kernel, self.peer:
            ip("netns", "add", name)
            self.undo.callback(ip, "netns", "del", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.kernel, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.peer)
        for name, address in (self.kernel, HERE), (self.peer, THERE):
            ip("-n", name, "addr", "add", f"{address}/8", "dev", "wire")
            ip("-n", name, "link", "set", "wire", "up")

    def register(self, **device):
        """Become the daemon, on a netlink socket of its own."""
        with space(self.kernel):
            self.nl = Netlink()
        self.undo.callback(self.nl.close)
        self.set_device(**device)

    def set_device(self, **device):
        keys = [{"kid": 3, "tag_key": wire.sha256(b"jvpn1 tag1" + self.key.public)[:16]}]
        device = {"role": self.role, "term": TERM, "key": keys, "init_retry": "auto", "daemon_grace_ms": 60000,
                  **device}
        self.nl.call("dev-set", ifindex=self.ifindex, device=device)

    # what the kernel counted

    def counters(self):
        device = self.watch.call("dev-get", ifindex=self.ifindex)[0]["device"]
        count = {drop["reason"]: drop["count"] for drop in device.get("drop", [])}
        found = {name: count.get(number, 0) for name, number in DROPS.items()}
        return {**found, "RETRIES": device["retries"], "UPCALLS": device["upcalls"]}

    def counted(self, before, many=1, seconds=10):
        """{counter: by how much it grew}, as soon as they have grown by so many together."""
        deadline = time.monotonic() + seconds * SLOW
        while True:
            now = self.counters()
            grown = {name: now[name] - before[name] for name in now if now[name] != before[name]}
            if sum(grown.values()) >= many or time.monotonic() > deadline:
                return grown
            time.sleep(0.001)

    def session(self, sid):
        return self.nl.call("session-get", ifindex=self.ifindex, session=[{"sid": sid}])[0]["session"][0]

    # the peer's side

    def source(self, address=THERE, port=0):
        """A socket of the peer, bound to that address, which is made if need be."""
        if address not in self.sockets:
            if address != THERE:
                ip("-n", self.peer, "addr", "add", f"{address}/8", "dev", "wire")
            self.sockets[address] = True
        with space(self.peer):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.undo.callback(made.close)
        made.bind((address, port))
        made.connect((HERE, PORT))
        return made

    @staticmethod
    def receive(sock, seconds=0.0):
        """A datagram, or None when there is none in that time."""
        if not select.select([sock], [], [], seconds * SLOW)[0]:
            return None
        return sock.recv(65535)

    def send(self, sock, datagram):
        """Send and see it through: returns (answer or None, what reached the daemon or None, counters grown)."""
        before = self.counters()
        sock.send(datagram)
        grown = self.counted(before)
        answer = self.receive(sock, 5 if "RETRIES" in grown else 0)
        delivered = self.receive(self.udp, 5 if "UPCALLS" in grown else 0)
        return answer, delivered, grown


def where(sock):
    return endpoint(*sock.getsockname())


CHACHA20_POLY1305, AES_256_GCM = 0, 1
# The cipher of keys for which none is named: a test may run once for each.
AEAD = int(os.environ.get("JVPN_AEAD", CHACHA20_POLY1305))


class Epoch:
    """Keys of a session, from the peer's side."""

    def __init__(self, term=TERM, bver=1, aead=AEAD):
        self.term, self.bver, self.aead = term, bver, aead
        self.kernel_cid, self.peer_cid = os.urandom(8), os.urandom(8)
        key = wire.GcmKey if aead == AES_256_GCM else bytes
        self.to_kernel, self.to_peer = key(os.urandom(32)), key(os.urandom(32))
        self.counter = 0

    def attributes(self, sid, transmit):
        return {"sid": sid, "rx_cid": self.kernel_cid, "tx_cid": self.peer_cid, "aead": self.aead,
                "rx_key": self.to_kernel, "tx_key": self.to_peer, "term": self.term, "bver": self.bver,
                "transmit": transmit}

    def seal(self, plain):
        self.counter += 1
        return wire.data_seal(self.to_kernel, self.kernel_cid, self.counter - 1, plain)

    def open(self, datagram):
        """Plaintext of a DATA datagram of the kernel's."""
        wire_cid = datagram[8:16]
        if wire_cid != self.peer_cid:
            raise AssertionError(f"receiver id {wire_cid.hex()}")
        return wire.data_open(self.to_peer, datagram)[1]


PROBE, PROBE_ACK, CLOSE, NOTICE = 1, 2, 3, 4
CANDIDATE, NAT_CHECK, CONFIRM = 1, 2, 4
_PROBE = struct.Struct("<BBBBI8sQQQQ16s")
ProbeFrame = collections.namedtuple(
    "ProbeFrame", "type flags path_id zero time nonce term bver highest packets cookie size")


def probe(kind=PROBE, size=64, **fields):
    """Bytes of a PROBE or PROBE_ACK."""
    frame = {"flags": 0, "path_id": 0, "zero": 0, "time": 0, "nonce": os.urandom(8), "term": TERM, "bver": 0,
             "highest": 0, "packets": 0, "cookie": bytes(16), **fields}
    return _PROBE.pack(kind, *frame.values()).ljust(size, b"\0")


def probe_fields(plain):
    """What a PROBE or PROBE_ACK says; its padding must be zero."""
    if any(plain[64:]):
        raise AssertionError("padding is not zero")
    return ProbeFrame(*_PROBE.unpack(plain[:64]), len(plain))


def udp4(source, to, payload=b"", ports=(4000, 4001)):
    """An inner packet: IPv4, UDP without checksum."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(to))
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:]
    return head + struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
