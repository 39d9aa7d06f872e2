#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A gateway against a client that is this program: what it grants, what it refuses, and to whom it is silent.

The client shares no code with the gateway (jvpn_wire.py), and can say what a real one never would."""
import base64
import os
import select
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
import rig  # noqa: E402
from ends import Ends, wait_until  # noqa: E402
from jvpn_netlink import SLOW, space  # noqa: E402
from ktap import run, same, test  # noqa: E402

GATEWAY, PORT = "203.0.113.2", 51820
OK, VERSION_MISMATCH, RATE_LIMITED, POLICY = 0, 1, 2, 5
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
            self.term, self.bver = self.terms.term, self.terms.bver
        return self.terms, self.options

    def data(self, plain):
        self.counter += 1
        return wire.data_seal(self.keys["c2g"], self.terms.cid, self.counter - 1, plain)

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
        body = bytes([0x83, 1, 0]) + bytes(5) + self.terms.cid + os.urandom(8) + bytes(24) + os.urandom(72)
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
        return wire.switch_seal(self.gateway, self.keys["sw_c"], 0, self.terms.cid, os.urandom(8), cookie, rseq,
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


@test("a known client gets a session, keys, its address and the first binding")
def _(w):
    client = Client(w, Socket(w))
    terms, options = client.begin()
    same((terms.status, terms.aead, terms.term, terms.bver), (OK, 0, 1, 1), "terms")
    same(options, {1: bytes([10, 77, 0, 2, 32])}, "options")
    same(terms.cid[:2], bytes(2), "shard")
    same(wire.locator_open(base64.b64decode(w.gateway.private.read_text()), 0, terms.locator), (0, client.sid),
         "locator")
    same(w.gateway.session()["sid"], client.sid, "session id")
    same(bool(w.gateway.is_at("BIRTH", 0)), True, "in BIRTH until confirmed")
    client.confirm()
    session = w.gateway.is_at("ATTACHED", 1)
    same((session["term"], session["bver"]), (1, 1), "binding")
    same(w.gateway.remote(), ("203.0.113.1", client.sock.socket.getsockname()[1]), "bound to")
    w.ended(client)


@test("what begins as a handshake and goes no further is forgotten after 5 s")
def _(w):
    after = w.gateway.last_seq()
    Client(w, Socket(w)).begin()
    wait_until("it is gone", 8, lambda: not w.gateway.sessions())
    wait_until("it is told", 5, lambda: w.gateway.story(after) ==
               [("T2", "TERMINATED", "HANDSHAKE_FAIL", "HANDSHAKE_TIMEOUT")])


@test("the confirmation counts only from where the answer went; a relayed copy does not hinder it")
def _(w):
    client = Client(w, Socket(w))
    client.begin()
    thief = Socket(w)
    thief.send(client.probe(flags=rig.CONFIRM))
    same(thief.receive(None, SILENCE), None, "answer to the relayed one")
    same(bool(w.gateway.is_at("BIRTH", 0)), True, "still in BIRTH")
    client.confirm()
    same(bool(w.gateway.is_at("ATTACHED", 1)), True, "attached")
    w.ended(client)


@test("an INIT that is sent again makes no second session")
def _(w):
    w.gateway.clear()
    client = Client(w, Socket(w))
    message = client.init()
    same(client.sock.ask(message.datagram, 2) is not None, True, "answer to the first")
    w.silent(client.sock, message.datagram, "REPLAY_DETECTED")
    same(len(w.gateway.sessions()), 1, "sessions")
    wait_until("it is gone", 8, lambda: not w.gateway.sessions())


@test("of many handshakes of one client a few are kept, and the last one works")
def _(w):
    clients = [Client(w, Socket(w)) for _ in range(7)]
    for client in clients:
        client.begin()
    same(len(w.gateway.sessions()), 4, "half-open sessions")
    clients[-1].confirm()
    session, = [s for s in w.gateway.sessions() if s["state"] == 2]
    same(session["sid"], clients[-1].sid, "attached")
    clients[-2].sock.send(clients[-2].probe(flags=rig.CONFIRM))
    wait_until("only the attached one is left", 10, lambda: len(w.gateway.sessions()) == 1)
    same(w.gateway.session()["sid"], clients[-1].sid, "attached")
    w.ended(clients[-1])


@test("whoever is not known is not answered")
def _(w):
    stranger = Client(w, Socket(w), key=wire.Key(os.urandom(32)))
    w.silent(stranger.sock, stranger.init().datagram, "AUTH_FAIL")
    damaged = bytearray(Client(w, stranger.sock).init().datagram)
    damaged[130] ^= 1
    damaged = wire.tagged(w.gateway_public, bytes(damaged[:-8]))
    w.silent(stranger.sock, damaged, "AUTH_FAIL")
    same(w.gateway.sessions(), [], "sessions")


@test("whoever does not know the gateway's key gets no answer and does not reach the daemon")
def _(w):
    before = w.gateway.refused()
    lost = Client(w, Socket(w), public=wire.Key(os.urandom(32)).public)
    same(lost.sock.ask(lost.init().datagram, None, SILENCE), None, "answer")
    for datagram in b"", b"\x01", os.urandom(512), lost.init().datagram[:-1], bytes([0x83, 1]) + os.urandom(126):
        lost.sock.send(datagram)
    same(lost.sock.receive(None, SILENCE), None, "answer")
    same(w.gateway.refusals_since(before), {}, "refusals of the daemon")


@test("a client with another pre-shared key is never attached")
def _(w):
    client = Client(w, Socket(w), psk=bytes([7] * 32))
    answer = client.sock.ask(client.init().datagram, 2)
    same(answer is not None, True, "INIT_RESP")
    wait_until("nothing came of it", 8, lambda: not w.gateway.sessions())


@test("an unknown critical option and an unknown cipher are refused, authentically")
def _(w):
    client = Client(w, Socket(w))
    terms, _ = client.begin(aead_mask=2)
    same((terms.status, terms.cid, terms.term), (POLICY, bytes(8), 0), "answer")
    same(w.gateway.sessions(), [], "sessions")


@test("an attached client is not replaced by another handshake of its own")
def _(w):
    client = w.fresh()
    again = Client(w, Socket(w))
    same(again.begin()[0].status, POLICY, "status")
    same(w.gateway.session()["sid"], client.sid, "session")
    w.ended(client)


@test("a SWITCH moves the binding: one answer, version up by one, told as two transitions")
def _(w):
    client = w.fresh()
    after = w.gateway.last_seq()
    elsewhere = Socket(w)
    same(client.answered(client.switch(elsewhere), elsewhere), (OK, 2), "answer")
    same(w.gateway.remote()[1], elsewhere.socket.getsockname()[1], "bound to")
    same(bool(w.gateway.is_at("ATTACHED", 3)), True, "state version")
    wait_until("it is told", 5, lambda: w.gateway.story(after) == [
        ("T4", "RECOVERING", "TRANSPORT_DEAD", "LINK_DOWN"), ("T9", "ATTACHED", "REATTACH_SUCCESS", "LINK_DOWN")])
    same(len(w.gateway.events("TRANSPORT_SWITCH", after=after)), 1, "switches told")
    w.ended(client)


@test("a SWITCH counts once: sent again, older, or with a used number it is dropped")
def _(w):
    client = w.fresh()
    first, second = client.switch(), client.switch()
    same(client.answered(second), (OK, 2), "answer")
    w.silent(client.sock, second, "REPLAY_DETECTED")
    w.silent(client.sock, first, "NONCE_STALE")
    same(bool(w.gateway.is_at("ATTACHED", 3)), True, "state")
    w.ended(client)


@test("a forged SWITCH changes nothing, not even the number that is next")
def _(w):
    client = w.fresh()
    damaged = bytearray(client.switch(rseq=9)[:-8])
    damaged[60] ^= 1
    w.silent(client.sock, wire.tagged(w.gateway_public, bytes(damaged)), "AUTH_FAIL")
    w.silent(client.sock, client.switch(rseq=8, term=2), "AUTH_FAIL")
    same(client.answered(client.switch(rseq=1)), (OK, 2), "answer")
    w.ended(client)


@test("a captured SWITCH is worth nothing from another address")
def _(w):
    client = w.fresh()
    captured = client.switch()
    thief = Socket(w)
    before = w.gateway.refused()
    same(thief.ask(captured, None)[0], 3, "answer is a RETRY")
    same(w.gateway.refusals_since(before), {}, "the daemon did not see it")
    same(client.answered(captured), (OK, 2), "answer")
    w.ended(client)


@test("versions that were never given or are outdated are refused with the current one")
def _(w):
    client = w.fresh()
    same(client.answered(client.switch(bver=2)), (VERSION_MISMATCH, 1), "from the future")
    same(client.answered(client.switch()), (OK, 2), "the current one")
    same(client.answered(client.switch(bver=1)), (OK, 3), "one that may have been lost")
    client.bver = 3
    client.confirm()
    same(client.answered(client.switch(bver=2)), (VERSION_MISMATCH, 3), "one that is outdated")
    same(bool(w.gateway.is_at("ATTACHED", 5)), True, "state version: two commits, two transitions each")
    same(set(w.gateway.refused()) >= {"VERSION_FUTURE_REJECTED", "STALE_STATE_VERSION"}, True, "counted")
    w.ended(client)


@test("a voluntary switch inside the cooldown is refused with the time to wait, a forced one is not")
def _(w):
    client = w.fresh()
    places = [Socket(w) for _ in range(3)]
    same(client.answered(client.switch(places[0], reason=ADMIN), places[0])[0], OK, "first")
    client.bver = 2
    after = w.gateway.last_seq()
    cookie = client.cookie(places[1])
    same(client.answered(client.switch(places[1], cookie=cookie, reason=ADMIN), places[1]), (RATE_LIMITED, 2), "at once")
    same(w.gateway.remote()[1], places[0].socket.getsockname()[1], "bound to")
    same(w.gateway.refused().get("POLICY_COOLDOWN_ACTIVE", 0) > 0, True, "counted")
    wait_until("it is told", 5, w.gateway.events, "TRANSPORT_SWITCH_DENIED")
    same(w.gateway.story(after), [], "transitions")
    same(client.answered(client.switch(places[2], reason=LINK_DOWN), places[2]), (OK, 3), "a forced one")
    w.ended(client)


@test("the rate of one session is limited after the proof, and other sessions do not notice")
def _(w):
    client = w.fresh()
    other = Client(w, Socket(w), key=w.other).attach()
    cookie = client.cookie()
    statuses = []
    for _ in range(8):
        statuses.append(client.answered(client.switch(cookie=cookie, bver=client.bver))[0])
    same(set(statuses), {OK, RATE_LIMITED}, "statuses")
    same(statuses[0], OK, "the first")
    same(other.answered(other.switch()), (OK, 2), "the other session")
    w.gateway.cli("session", "terminate", "peer", "tablet")
    wait_until("one is left", 5, lambda: len(w.gateway.sessions()) == 1)
    w.ended(client)


@test("requests without proof do not use the rate of the session they name")
def _(w):
    client = w.fresh()
    cookie = client.cookie()
    for _ in range(20):
        damaged = bytearray(client.switch(cookie=cookie, rseq=50)[:-8])
        damaged[70] ^= 1
        client.sock.send(wire.tagged(w.gateway_public, bytes(damaged)))
    same(client.answered(client.switch(cookie=cookie)), (OK, 2), "answer")
    w.ended(client)


@test("CLOSE ends the session, and its keys open nothing any more")
def _(w):
    client = w.fresh()
    after = w.gateway.last_seq()
    late = client.switch()
    w.ended(client)
    same(client.sock.ask(late, None, SILENCE), None, "answer to what comes later")
    same(client.sock.ask(client.probe(), None, SILENCE), None, "answer to a PROBE")
    wait_until("it is told", 5, lambda: w.gateway.story(after) ==
               [("T19", "TERMINATED", "PEER_TERMINATED", "PEER_CLOSED")])


@test("a peer that is removed loses its session, is told, and is a stranger from then on")
def _(w):
    client = w.fresh()
    w.gateway.cli("peer", "del", "phone")
    frames = [wire.data_open(client.keys["g2c"], d)[1] for d in iter(lambda: client.sock.receive(0x81, SILENCE), None)]
    same([f[0] for f in frames if f][-1], rig.CLOSE, "last frame")
    same(w.gateway.sessions(), [], "sessions")
    stranger = Client(w, Socket(w))
    w.silent(stranger.sock, stranger.init().datagram, "AUTH_FAIL")
    w.add("phone", w.key, "10.77.0.2/32")
    w.ended(w.fresh())


run(World)
