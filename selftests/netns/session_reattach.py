#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""REATTACH at a gateway, from a client that is this program: new keys, the binding with new keys, and DENY."""
import base64
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
from ends import wait_until  # noqa: E402
from jvpn_netlink import SLOW  # noqa: E402
from ktap import run, same, test  # noqa: E402
from peer import (OK, POLICY, RATE_LIMITED, REKEY, SILENCE, STALE_OWNER, VERSION_MISMATCH, Client, Socket,  # noqa: E402
                  World)

UNKNOWN_SESSION, TERMINATED = 1, 2
PAUSE = 5


def epochs(w):
    return {e["rx-cid"] for e in w.gateway.session().get("epoch", [])}


def until_one(w):
    wait_until("one epoch is left", 12, lambda: len(epochs(w)) == 1)


@test("a cold REATTACH gets a cookie, a warm one new keys and the binding; the first packet under them is the proof")
def _(w):
    client = w.fresh()
    after = w.gateway.last_seq()
    elsewhere = Socket(w)
    cold = wire.tagged(w.gateway_public, bytes([0x82, 1, 0, 1]) + bytes(4) + client.locator + bytes(4) +
                       os.urandom(8) + bytes(16) + os.urandom(104))
    retry = elsewhere.ask(cold, 3)
    message = client.reattach(cookie=retry[16:32])
    same(client.granted(message, elsewhere), (OK, 2), "answer")
    same(w.gateway.remote()[1], elsewhere.socket.getsockname()[1], "bound to")
    same(bool(w.gateway.is_at("ATTACHED", 3)), True, "state version")
    same(epochs(w), {client.tx_cid, client.fresh.tx_cid}, "receiver ids")
    w.gateway.inside("ping", "-q", "-c", "1", "-W", "1", "10.77.0.2", ok=False)
    same(elsewhere.receive(0x81)[8:16], client.cid, "sent with the old keys until the new ones are confirmed")
    client.renew()
    client.sock = elsewhere
    client.confirm()
    until_one(w)
    same(epochs(w), {client.tx_cid}, "receiver ids")
    wait_until("it is told", 5, lambda: [t[0] for t in w.gateway.story(after)] == ["T4", "T9"])
    w.ended(client)


@test("a REATTACH counts once: sent again, older, forged or from elsewhere it changes nothing")
def _(w):
    client = w.fresh()
    first, second = client.reattach(), client.reattach()
    same(client.granted(second), (OK, 2), "answer")
    w.silent(client.sock, second.datagram, "REPLAY_DETECTED")
    w.silent(client.sock, first.datagram, "NONCE_STALE")
    damaged = bytearray(client.reattach(rseq=9).datagram[:-8])
    damaged[140] ^= 1
    w.silent(client.sock, wire.tagged(w.gateway_public, bytes(damaged)), "AUTH_FAIL")
    captured = client.reattach(rseq=10)
    same(Socket(w).ask(captured.datagram, None)[0], 3, "from elsewhere: a RETRY")
    same(bool(w.gateway.is_at("ATTACHED", 3)), True, "state")
    same(client.granted(client.reattach(rseq=3)), (OK, 3), "the next number")
    w.ended(client)


@test("after a REATTACH the SWITCHes of both keys count, in one sequence")
def _(w):
    client = w.fresh()
    same(client.granted(client.reattach()), (OK, 2), "answer")
    same(client.answered(client.switch(bver=1)), (OK, 3), "under the old keys")
    client.renew()
    same(client.answered(client.switch()), (OK, 4), "under the new ones")
    client.bver = 4
    client.confirm()
    until_one(w)
    same(client.answered(client.switch()), (OK, 5), "under those that are left")
    w.ended(client)


@test("versions: stale, future, of a lower and of a higher term")
def _(w):
    client = w.fresh()
    same(client.granted(client.reattach(bver=2)), (VERSION_MISMATCH, 1), "from the future")
    time.sleep(1)  # one refusal a second
    same(client.granted(client.reattach(term=2)), (STALE_OWNER, 1), "of a higher term")
    time.sleep(1)
    same(client.granted(client.reattach(term=0)), (VERSION_MISMATCH, 1), "of a lower term")
    w.silent(client.sock, client.reattach(bver=2).datagram, "VERSION_FUTURE_REJECTED")
    same(bool(w.gateway.is_at("ATTACHED", 1)), True, "state")
    same(len(epochs(w)), 1, "epochs")
    same(client.granted(client.reattach()), (OK, 2), "the current one")
    w.ended(client)


@test("a rekey leaves the binding as it is")
def _(w):
    client = w.fresh()
    after = w.gateway.last_seq()
    same(client.granted(client.reattach(REKEY)), (OK, 1), "answer")
    same(bool(w.gateway.is_at("ATTACHED", 1)), True, "state version")
    client.renew()
    client.confirm()
    until_one(w)
    same(epochs(w), {client.tx_cid}, "receiver ids")
    wait_until("it is told", 5, lambda: len(w.gateway.events("KEY_ROTATED", after=after)) == 1)
    same(w.gateway.story(after), [], "transitions")
    w.ended(client)


@test("a rekey whose answer is lost is repeated; one that comes too soon after another is not answered")
def _(w):
    client = w.fresh()
    for _ in range(4):
        same(client.granted(client.reattach(REKEY)), (OK, 1), "answer")
    same(len(epochs(w)), 3, "epochs")
    client.renew()
    client.confirm()
    w.silent(client.sock, client.reattach(REKEY).datagram, "RATE_LIMITED")
    until_one(w)
    same(epochs(w), {client.tx_cid}, "receiver ids")
    wait_until("another is granted", 2 * PAUSE,
               lambda: (client.sock.ask(client.reattach(REKEY).datagram, 4, SILENCE) or time.sleep(1)))
    w.ended(client)


@test("a rekey from where the session is not bound is not answered")
def _(w):
    client = w.fresh()
    elsewhere = Socket(w)
    w.silent(elsewhere, client.reattach(REKEY, sock=elsewhere).datagram, "INVALID_TRANSPORT_CANDIDATE")
    same(len(epochs(w)), 1, "epochs")
    same(client.granted(client.reattach(REKEY)), (OK, 1), "from where it is")
    w.ended(client)


@test("keys that nobody confirms are gone after 5 s, and the old ones go on")
def _(w):
    client = w.fresh()
    same(client.granted(client.reattach(REKEY)), (OK, 1), "answer")
    until_one(w)
    same(epochs(w), {client.tx_cid}, "receiver ids")
    same(client.answered(client.switch()), (OK, 2), "a SWITCH under the old keys")
    w.ended(client)


@test("ciphers that the gateway does not have are refused, authentically")
def _(w):
    client = w.fresh()
    same(client.granted(client.reattach(aead_mask=4)), (POLICY, 1), "answer")
    same(len(epochs(w)), 1, "epochs")
    w.ended(client)


@test("the rate of one session holds for both forms together")
def _(w):
    client = w.fresh()
    cookie = client.cookie()
    for _ in range(5):
        same(client.answered(client.switch(cookie=cookie))[0], OK, "SWITCH")
    same(client.granted(client.reattach(cookie=cookie))[0], RATE_LIMITED, "REATTACH")
    w.ended(client)


@test("a session that has ended, or that never was, is denied to whoever holds its locator")
def _(w):
    client = w.fresh()
    cookie = client.cookie()
    w.gateway.cli("session", "terminate", "peer", "phone")
    wait_until("it has ended", 5, lambda: not w.gateway.sessions())
    while client.sock.receive(None, SILENCE):
        pass
    late = client.reattach(cookie=cookie)
    same(late.denied(client.sock.ask(late.datagram, 5)), TERMINATED, "of one that has ended")
    client.sid = os.urandom(16)
    client.locator = wire.locator_seal(base64.b64decode(w.gateway.private.read_text()), 0, 0, os.urandom(24), client.sid)
    unknown = client.reattach(cookie=cookie)
    same(unknown.denied(client.sock.ask(unknown.datagram, 5)), UNKNOWN_SESSION, "of one that never was")
    client.locator = os.urandom(2) + bytes(2) + os.urandom(56)
    w.silent(client.sock, client.reattach(cookie=cookie).datagram, "AUTH_FAIL")


@test("on command the client is asked for new keys, or for its binding")
def _(w):
    client = w.fresh()
    for word, kind in ("rekey", 2), ("reattach", 1):
        w.gateway.cli("session", word, "peer", "phone")
        _, frame = wire.data_open(client.keys["g2c"], client.sock.receive(0x81))
        same((frame[0], frame[1]), (4, kind), "NOTICE")
    w.ended(client)


assert SLOW
run(World)
