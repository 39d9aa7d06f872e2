#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How soon a client knows that a path is dead: N * interval + RTO after what it heard last, not later."""
import os
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from client_rig import Client, boottime  # noqa: E402
from ktap import run, say, test, within  # noqa: E402

# What the guest takes to send, to wake up, and to tell; its clock counts instructions.
SLACK_MS = 6


def bound_ms(c, path, interval, misses, rto_min):
    shown = c.candidates()[path]
    return misses * interval + (shown["srtt-us"] + max(4 * shown["rttvar-us"], rto_min * 1000)) / 1000


def deaths(c, name, interval, misses, rto_min, rounds=8):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    rng = random.Random(seed)
    for _ in range(rounds):
        c.renew(probe_interval_ms=interval, probe_misses=misses, probe_rto_min_ms=rto_min)
        c.answers = c.echoes = {c.near, c.far}
        c.candidate(1, c.far)
        c.wait_told("path-alive", 1)
        c.serve(0.5 + rng.random() * 0.1, traffic=0.005)
        within(len(c.told("path-suspect")), 0, 0, "suspicions of a healthy path")
        bound = bound_ms(c, 0, interval, misses, rto_min)
        standby = len(c.probes(c.far))
        c.answers, c.echoes, died = {c.far}, {c.far}, boottime()
        last = max(c.answered[c.near], 0)
        suspect = c.wait_told("path-suspect", 0, traffic=0.005)
        dead = c.wait_told("path-dead", 0, traffic=0.005)
        took, suspected = (dead["time-ns"] - last) / 1e6, (suspect["time-ns"] - last) / 1e6
        say(f"{name}: suspected after {suspected:.1f} ms, dead after {took:.1f} ms of {bound:.1f}")
        within(took, misses * interval, bound + SLACK_MS, "ms from the last answer to path-dead")
        within((dead["time-ns"] - died) / 1e6, 0, bound + SLACK_MS, "ms from death to path-dead")
        within(suspected, interval, took - (misses - 1) * interval + SLACK_MS, "ms to path-suspect")
        # the standby was asked as soon as there was suspicion
        c.serve(1, lambda: len(c.probes(c.far)) > standby)
        asked = c.probes(c.far)[standby].time
        within((asked - suspect["time-ns"]) / 1e6, -1, SLACK_MS, "ms from path-suspect to the standby's probe")


@test("standard figures")
def _(c):
    deaths(c, "40 ms * 2", 40, 2, 20)


@test("aggressive figures")
def _(c):
    deaths(c, "10 ms * 2", 10, 2, 5)


@test("the only path there is")
def _(c):
    deaths(c, "40 ms * 10", 40, 10, 20, rounds=3)


@test("after idleness the bound holds from the first packet")
def _(c):
    c.renew(probe_interval_ms=40, probe_misses=2, probe_rto_min_ms=20)
    c.answers = c.echoes = {c.near}
    c.serve(1, traffic=0.01)
    c.serve(10)
    bound = bound_ms(c, 0, 40, 2, 20)
    c.answers = c.echoes = set()
    start = boottime()
    dead = c.wait_told("path-dead", 0, traffic=0.01)
    took = (dead["time-ns"] - start) / 1e6
    say(f"dead {took:.1f} ms after the first packet, bound {bound:.1f}")
    within(took, 40, bound + SLACK_MS, "ms")


run(Client)
