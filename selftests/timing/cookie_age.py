#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How long a cookie lives, and the keys it is made with. Minutes of the guest's time, seconds of ours."""
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import jvpn_wire as wire  # noqa: E402
from ktap import run, same, say, test, within  # noqa: E402
from rig import Rig  # noqa: E402

SLOT, RENEW, KEEP = 30, 600, 60
KID = 3


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def sleep_until(when):
    while (left := when - now()) > 0:
        time.sleep(left)


class Gateway(Rig):
    def __init__(self):
        super().__init__("gateway")

    def prepare(self):
        self.client = self.source()

    def ask(self, cookie=bytes(16)):
        """A REATTACH: returns None if it was delivered, else the cookie of the RETRY."""
        data = bytes([0x82, 1, KID, 1]) + bytes(4) + os.urandom(60) + bytes(4) + os.urandom(8) + cookie + os.urandom(104)
        answer, _, grown = self.send(self.client, wire.tagged(self.key.public, data))
        same(sum(grown.values()), 1, "datagrams counted")
        return None if grown == {"UPCALLS": 1} else answer[16:]


@test("a cookie lives one slot after its own, whenever in it it was made")
def _(g):
    for into in 1, 28:
        slot = now() // SLOT + 1
        sleep_until(slot * SLOT + into)
        made, cookie = now(), g.ask()
        same(now() // SLOT, slot, "slot")
        while g.ask(cookie) is None:
            within(now() - made, 0, 2 * SLOT + 1, "seconds of life")
            time.sleep(1)
        lived = now() - made
        say(f"made {into} s into a slot it lived {lived:.0f} s")
        within(lived, 2 * SLOT - into - 0.5, 2 * SLOT - into + 2, "seconds of life")


@test("keys are replaced after ten minutes, and what they made is good for its time")
def _(g):
    sleep_until((now() // SLOT + 1) * SLOT + SLOT // 2)
    g.nl.close()
    g.register()  # a daemon that registers begins with new keys
    start = now()
    sleep_until(start + RENEW - 10)
    before = g.ask()
    while (after := g.ask()) == before:
        within(now() - start, 0, RENEW + SLOT / 2 - 1, "seconds until the keys are replaced")
        time.sleep(0.5)
    took = now() - start
    say(f"replaced after {took:.1f} s")
    within(took, RENEW - 0.5, RENEW + 2, "seconds")
    same((g.ask(before), g.ask(after)), (None, None), "old and new cookie")
    # its own time is over before the keys are forgotten
    sleep_until((now() // SLOT + 2) * SLOT + 1)
    same(g.ask(before) is None, False, "old cookie")
    same(g.ask(after) is None, False, "new cookie")


run(Gateway)
