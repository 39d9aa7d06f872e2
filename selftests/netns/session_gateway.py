#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A gateway against a client that is this program: what it grants, what it refuses, and to whom it is silent.

The client shares no code with the gateway (jvpn_wire.py), and can say what a real one never would."""
import base64
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
import rig  # noqa: E402
from ends import wait_until  # noqa: E402
from ktap import run, same, test  # noqa: E402
from peer import ADMIN, LINK_DOWN, OK, POLICY, RATE_LIMITED, SILENCE, VERSION_MISMATCH, Client, Socket, World  # noqa: E402

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
    terms, _ = client.begin(aead_mask=4)
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
    after = w.gateway.last_seq()
    same(client.answered(client.switch(places[0], reason=ADMIN), places[0])[0], OK, "first")
    client.bver = 2
    cookie = client.cookie(places[1])
    same(client.answered(client.switch(places[1], cookie=cookie, reason=ADMIN), places[1]), (RATE_LIMITED, 2), "at once")
    same(w.gateway.remote()[1], places[0].socket.getsockname()[1], "bound to")
    same(w.gateway.refused().get("POLICY_COOLDOWN_ACTIVE", 0) > 0, True, "counted")
    wait_until("it is told", 5, lambda: w.gateway.events("TRANSPORT_SWITCH_DENIED", after=after))
    same([t[0] for t in w.gateway.story(after) if t[0] != "T1"], ["T4", "T9"], "transitions, of the first")
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
