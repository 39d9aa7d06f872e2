# SPDX-License-Identifier: GPL-2.0
"""A gateway under test, and clients of it that are this program: they share no code with it (jvpn_wire.py), and
can say what a real one never would."""

import base64
import os
import select
import socket
import time

import jvpn_wire as wire
import rig
from ends import Ends, wait_until
from jvpn_netlink import SLOW, space
from ktap import same

GATEWAY, PORT = "203.0.113.2", 51820
OK, VERSION_MISMATCH, RATE_LIMITED, STALE_OWNER, POLICY = 0, 1, 2, 4, 5
BIND, REKEY = 0, 1
ADMIN, LINK_DOWN = 5, 2
# Long enough to be sure that an answer does not come: what is waited for takes a millisecond or two.
SILENCE = 0.3


class Socket:
    """Where a client sends from."""

    def __init__(self, world, port=0):
        with space(world.outside.space):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("0.0.0.0", port))
        self.socket.connect((GATEWAY, PORT))

    def send(self, data):
        self.socket.send(data)

    def receive(self, kind=None, seconds=5.0):
        """The next datagram of that type. None when none comes."""
        deadline = time.monotonic() + seconds * SLOW
        while select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = self.socket.recv(2048)
            if kind is None or data[0] == kind:
                return data
        return None

    def ask(self, data, kind, seconds=5.0):
        self.send(data)
        return self.receive(kind, seconds)


class Keys:
    """What a REATTACH was granted."""

    def __init__(self, keys, answer, cid):
        self.keys, self.tx_cid, self.locator, self.cid = keys, answer.cid, answer.locator, cid
        self.term, self.bver = answer.term, answer.bver


class Client:
    """A client's side of one session."""

    def __init__(self, world, sock, key=None, psk=bytes(32), public=None):
        self.world, self.sock, self.psk = world, sock, psk
        self.key = key or world.key
        self.gateway = public or world.gateway_public
        self.cid = os.urandom(8)
        self.rseq, self.counter = 0, 0

    def init(self, cookie=bytes(16), **fields):
        fields = {"cid": self.cid, "aead_mask": 1, "path_id": 0, "mtu": 1500, **fields}
        return wire.InitClient(self.key, self.gateway, self.psk, 0, os.urandom(8), cookie,
                               wire.Key(os.urandom(32)), **fields)

    def begin(self, **fields):
        """INIT and its answer: (payload, options)."""
        message = self.init(**fields)
        answer = self.sock.ask(message.datagram, 2)
        if answer is None:
            raise AssertionError("no INIT_RESP")
        self.terms, self.options = message.open(answer)
        if self.terms.status == OK:
            self.sid, self.keys = message.noise.sid, message.noise.keys()
            self.rs, self.tx_cid, self.locator = self.keys["rs"], self.terms.cid, self.terms.locator
            self.term, self.bver = self.terms.term, self.terms.bver
        return self.terms, self.options

    def data(self, plain):
        self.counter += 1
        return wire.data_seal(self.keys["c2g"], self.tx_cid, self.counter - 1, plain)

    def probe(self, **fields):
        return self.data(rig.probe(**{"term": self.term, "bver": self.bver, **fields}))

    def confirm(self):
        """CONFIRM until the gateway shows itself."""
        for _ in range(20 * SLOW):
            answer = self.sock.ask(self.probe(flags=rig.CONFIRM), 0x81, 0.5)
            if answer:
                wire.data_open(self.keys["g2c"], answer)
                return
        raise AssertionError("the gateway does not confirm")

    def attach(self):
        self.begin()
        self.confirm()
        return self

    def cookie(self, sock=None):
        """A cookie for a source, out of the RETRY that a SWITCH without one gets."""
        sock = sock or self.sock
        body = bytes([0x83, 1, 0]) + bytes(5) + self.tx_cid + os.urandom(8) + bytes(24) + os.urandom(72)
        retry = sock.ask(wire.tagged(self.gateway, body), 3)
        if retry is None:
            raise AssertionError("no RETRY")
        return retry[16:32]

    def switch(self, sock=None, cookie=None, rseq=None, reason=LINK_DOWN, term=None, bver=None):
        sock = sock or self.sock
        cookie = cookie or self.cookie(sock)
        if rseq is None:
            self.rseq += 1
            rseq = self.rseq
        return wire.switch_seal(self.gateway, self.keys["sw_c"], 0, self.tx_cid, os.urandom(8), cookie, rseq,
                                term=self.term if term is None else term,
                                bver=self.bver if bver is None else bver,
                                reason=reason, path_id=1, rx_highest=0)

    def answered(self, datagram, sock=None):
        """The status and version that the gateway answers a SWITCH with, or None."""
        answer = (sock or self.sock).ask(datagram, 6, 5)
        if answer is None:
            return None
        _, found = wire.switch_resp_open(self.keys["sw_g"], answer)
        return found.status, found.bver

    # new keys

    def reattach(self, op=BIND, cookie=None, rseq=None, sock=None, **fields):
        """A REATTACH, to be sent from there."""
        if rseq is None:
            self.rseq += 1
            rseq = self.rseq
        fields = {"term": self.term, "bver": self.bver, "cid": os.urandom(8), "reason": LINK_DOWN, "path_id": 1,
                  "aead_mask": 1, "rx_highest": 0, **fields}
        message = wire.ReattachClient(self.gateway, 0, self.sid, self.rs, self.locator, os.urandom(8),
                                      cookie or self.cookie(sock), wire.Key(os.urandom(32)), rseq=rseq, op=op, **fields)
        message.cid = fields["cid"]
        return message

    def granted(self, message, sock=None):
        """The status and bver that the gateway answers a REATTACH with, or None. The keys are kept if it is OK."""
        answer = (sock or self.sock).ask(message.datagram, 4)
        if answer is None:
            return None
        found = message.open(answer)
        if found.status == OK:
            self.fresh = Keys(message.noise.keys(), found, message.cid)
        return found.status, found.bver

    def renew(self):
        """Speak under the keys that were granted last."""
        self.keys, self.tx_cid, self.locator = self.fresh.keys, self.fresh.tx_cid, self.fresh.locator
        self.cid, self.bver, self.term, self.counter = self.fresh.cid, self.fresh.bver, self.fresh.term, 0

    def close(self):
        self.sock.send(self.data(bytes([3, 43]) + bytes(30)))


class World(Ends):
    names = ("outside", "gateway")

    def build(self):
        self.cable(self.outside, "wan", "203.0.113.1/24", self.gateway, "wan", f"{GATEWAY}/24")
        self.key, self.other = wire.Key(os.urandom(32)), wire.Key(os.urandom(32))
        self.gateway.start()
        self.gateway.make_key()
        self.gateway_public = base64.b64decode(self.gateway.public)
        self.gateway.cli("policy", "set", "quick", "switch-cooldown", "400ms")
        self.gateway.cli("link", "add", "jvpn0", "private-key", str(self.gateway.private),
                         "listen", f"{GATEWAY}:{PORT}", "address", "10.77.0.1/24", "up")
        self.add("phone", self.key, "10.77.0.2/32")
        self.add("tablet", self.other, "10.77.0.3/32")

    def add(self, name, key, inner):
        self.gateway.cli("peer", "add", base64.b64encode(key.public).decode(), "name", name, "allowed-ips", inner,
                         "policy", "quick")

    def fresh(self, **how):
        """A client with an attached session, the only one of the gateway."""
        self.gateway.clear()
        return Client(self, Socket(self), **how).attach()

    def ended(self, client):
        client.close()
        wait_until("the gateway ends the session", 10, lambda: not self.gateway.sessions())

    def silent(self, sock, datagram, counted):
        """It is not answered, and counted so."""
        before = self.gateway.refused()
        same(sock.ask(datagram, None, SILENCE), None, "answer")
        wait_until(f"{counted} is counted", 5, lambda: self.gateway.refusals_since(before) == {counted: 1})
