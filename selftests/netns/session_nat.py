#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A client whose address changes on the way, or whose packets somebody relays: who is asked, and who is followed."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
import rig  # noqa: E402
from ends import wait_until  # noqa: E402
from ktap import run, same, test  # noqa: E402
from peer import OK, SILENCE, Socket, World  # noqa: E402

NAT_CHECK = 2
REBOUND = [("T4", "RECOVERING", "TRANSPORT_DEAD", "NAT_REBIND"), ("T9", "ATTACHED", "REATTACH_SUCCESS", "NAT_REBIND")]


def asked(client, sock, seconds=SILENCE):
    """The nonce that the gateway asks that address for, or None."""
    while data := sock.receive(0x81, seconds):
        _, plain = wire.data_open(client.keys["g2c"], data)
        if plain and plain[0] == rig.PROBE and plain[1] & NAT_CHECK:
            return rig.probe_fields(plain).nonce
    return None


def answer(client, sock, nonce):
    sock.send(client.data(rig.probe(rig.PROBE_ACK, nonce=nonce, term=client.term, bver=client.bver, flags=NAT_CHECK)))


def challenge(w):
    """A client heard from elsewhere: it, the new source, what either address is asked for."""
    client = w.fresh()
    elsewhere = Socket(w)
    elsewhere.send(client.data(b""))
    new, old = asked(client, elsewhere, 5), asked(client, client.sock, 5)
    same((new is None, old is None, new == old), (False, False, False), "both are asked, each for its own")
    return client, elsewhere, new, old


def stays(w, client):
    same(bool(w.gateway.is_at("ATTACHED", 1)), True, "state version")
    same(w.gateway.remote()[1], client.sock.socket.getsockname()[1], "bound to")
    same(client.answered(client.switch()), (OK, 2), "a SWITCH")
    w.ended(client)


@test("a client is followed to where it answers, if nothing comes from where it was")
def _(w):
    after = w.gateway.last_seq()
    client, elsewhere, new, _ = challenge(w)
    answer(client, elsewhere, new)
    wait_until("the binding has moved", 5, w.gateway.is_at, "ATTACHED", 3)
    same(w.gateway.remote()[1], elsewhere.socket.getsockname()[1], "bound to")
    same(w.gateway.session()["bver"], 2, "binding version")
    wait_until("it is told", 5, lambda: w.gateway.story(after)[-2:] == REBOUND)
    client.sock = elsewhere
    same(client.answered(client.switch()), (OK, 3), "a SWITCH of who does not know yet")
    w.ended(client)


@test("a source that does not answer is not followed")
def _(w):
    client, elsewhere, _, _ = challenge(w)
    answer(client, elsewhere, bytes(8))
    same(asked(client, elsewhere, 1.5), None, "asked again")
    stays(w, client)


@test("an answer from the bound address keeps the binding, and the other source is not asked for a while")
def _(w):
    client, elsewhere, new, old = challenge(w)
    answer(client, client.sock, old)
    answer(client, elsewhere, new)
    same(asked(client, elsewhere), None, "asked again")
    elsewhere.send(client.data(b""))
    same(asked(client, elsewhere), None, "asked again")
    stays(w, client)


@test("an answer to what the bound address was asked for keeps the binding, wherever it comes from")
def _(w):
    client, elsewhere, new, old = challenge(w)
    answer(client, elsewhere, new)
    answer(client, elsewhere, old)
    same(asked(client, elsewhere), None, "asked again")
    stays(w, client)


@test("a newer packet from the bound address keeps the binding")
def _(w):
    client, elsewhere, new, _ = challenge(w)
    client.sock.send(client.data(b""))
    answer(client, elsewhere, new)
    same(asked(client, elsewhere), None, "asked again")
    stays(w, client)


@test("a commit voids the challenge")
def _(w):
    client, elsewhere, new, _ = challenge(w)
    third = Socket(w)
    same(client.answered(client.switch(third), third), (OK, 2), "a SWITCH")
    answer(client, elsewhere, new)
    same(asked(client, elsewhere), None, "asked again")
    same((w.gateway.remote()[1], w.gateway.session()["bver"]), (third.socket.getsockname()[1], 2), "binding")
    w.ended(client)


@test("before a client has confirmed the present version, no other source is asked")
def _(w):
    client = w.fresh()
    third, elsewhere = Socket(w), Socket(w)
    same(client.answered(client.switch(third), third), (OK, 2), "a SWITCH")
    elsewhere.send(client.data(b""))
    same(asked(client, elsewhere), None, "asked")
    client.bver, client.sock = 2, third
    client.confirm()
    elsewhere.send(client.data(b""))
    same(asked(client, elsewhere, 5) is None, False, "asked")
    w.ended(client)


@test("a probe of another path starts no challenge, and none is started where the policy says so")
def _(w):
    client = w.fresh()
    elsewhere = Socket(w)
    elsewhere.send(client.probe(flags=rig.CANDIDATE))
    same(asked(client, elsewhere), None, "asked")
    w.gateway.cli("policy", "set", "quick", "nat-rebind", "off")
    elsewhere.send(client.data(b""))
    same(asked(client, elsewhere), None, "asked")
    w.gateway.cli("policy", "set", "quick", "nat-rebind", "challenge")
    stays(w, client)


run(World)
