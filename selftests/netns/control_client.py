#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The control filter of a client: answers reach the daemon, requests and nonsense do not."""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from rig import Rig  # noqa: E402
from ktap import run, same, test  # noqa: E402

ANSWERS = {
    "INIT_RESP": bytes([2, 1, 0, 1, 0, 0, 0, 0]) + os.urandom(168),
    "INIT_RESP, the longest": bytes([2, 1, 0, 1, 0, 0, 0, 0]) + os.urandom(504),
    "RETRY": bytes([3, 1, 0, 0, 0, 0, 0, 0]) + os.urandom(24),
    "REATTACH_RESP": bytes([4, 1, 0, 1, 0, 0, 0, 0]) + os.urandom(152),
    "DENY": bytes([5, 1, 2, 0, 0, 0, 0, 0]) + os.urandom(24),
    "SWITCH_RESP": bytes([6, 1, 0, 0, 0, 0, 0, 0]) + os.urandom(88),
}


class Client(Rig):
    def __init__(self):
        super().__init__("client")

    def prepare(self):
        self.gateway = self.source()


@test("answers of every type are delivered as they are, from wherever")
def _(c):
    for sock in c.gateway, c.source("10.9.9.9"):
        for name, datagram in ANSWERS.items():
            same(c.send(sock, datagram), (None, datagram, {"UPCALLS": 1}), name)


@test("their length, version and reserved bytes are checked")
def _(c):
    for name, datagram in ANSWERS.items():
        same(c.send(c.gateway, datagram[:31])[1:], (None, {"RX_MALFORMED": 1}), name)
        same(c.send(c.gateway, datagram + bytes(513))[1:], (None, {"RX_MALFORMED": 1}), name)
        other = bytearray(datagram)
        other[1] = 3
        same(c.send(c.gateway, other), (None, None, {"CTL_VERSION": 1}), name)
        other = bytearray(datagram)
        other[6] = 1
        same(c.send(c.gateway, other), (None, None, {"RX_MALFORMED": 1}), name)


@test("requests are for gateways")
def _(c):
    same(c.send(c.gateway, bytes([1, 1, 0, 1]) + bytes(508)), (None, None, {"CTL_ROLE": 1}), "INIT")
    same(c.send(c.gateway, bytes([0x82, 1, 0, 1]) + bytes(204)), (None, None, {"CTL_ROLE": 1}), "REATTACH")
    same(c.send(c.gateway, bytes([0x83, 1]) + bytes(126)), (None, None, {"CTL_ROLE": 1}), "SWITCH")


@test("a device without daemon takes nothing; after the grace time it lets go of the socket")
def _(c):
    c.set_device(daemon_grace_ms=500)
    c.nl.close()
    if not c.watch.signal("daemon-gone", 5):
        raise AssertionError("no daemon-gone")
    same(c.send(c.gateway, ANSWERS["RETRY"]), (None, None, {"CTL_NO_DAEMON": 1}), "RETRY")
    deadline = time.monotonic() + 10
    while c.watch.dump("path-get", ifindex=c.ifindex):
        if time.monotonic() > deadline:
            raise AssertionError("the path is still there")
        time.sleep(0.05)
    # the socket is an ordinary one again: what comes is its owner's
    c.gateway.send(b"hello")
    same(c.receive(c.udp, 5), b"hello", "datagram")


run(Client)
