#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""How a client watches its paths: who is probed and when, what is told, what idleness costs."""
import errno
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from client_rig import ATTACHED, Client  # noqa: E402
from jvpn_netlink import SLOW, Error  # noqa: E402
from ktap import run, same, say, test, within  # noqa: E402
from rig import CANDIDATE, CONFIRM, NAT_CHECK, PROBE, PROBE_ACK, TERM, probe, probe_fields, where  # noqa: E402

BIRTH, VOLATILE = 1, 3


def refused(number, function, *words):
    try:
        function()
    except Error as error:
        same(error.errno, number, "errno")
        for word in words:
            if word not in error.message:
                raise AssertionError(f"'{error.message}' does not say '{word}'") from error
        return
    raise AssertionError("it was not refused")


def where_text(sock):
    return "%s:%d" % sock.getsockname()


@test("a candidate is probed at once; its answer makes it alive and brings a cookie")
def _(c):
    c.renew()
    c.answers, c.cookies = {c.far}, {c.far: os.urandom(16)}
    c.candidate(1, c.far)
    alive, cookie = c.wait_told("path-alive", 1), c.wait_told("cookie", 1)
    same((alive["sid"], alive["remote"]), (c.sid, where(c.far)), "path-alive")
    same((cookie["cookie"], cookie["remote"]), (c.cookies[c.far], where(c.far)), "cookie")
    asked, = c.probes(c.far)
    same((asked.probe.flags, asked.probe.path_id, asked.probe.size), (CANDIDATE, 1, 64), "PROBE")
    same((asked.probe.term, asked.probe.bver, asked.probe.cookie), (TERM, c.bver, bytes(16)), "PROBE")
    shown = c.candidates()[1]
    same((shown["state"], shown["probes"], shown["acks"], shown["remote"]), ("alive", 1, 1, where(c.far)), "shown")
    if not shown["srtt-us"] or "cookie-ms" not in shown or "last-rx-ms" not in shown:
        raise AssertionError(shown)
    # cookies are for the daemon alone
    c.watch.poll()
    kinds = [e["signal"]["kind"] for e in c.watch.events if "signal" in e]
    same("cookie" in kinds, False, "cookie in the group")
    same("path-alive" in kinds, True, "path-alive in the group")


@test("a candidate is probed once per interval; a cookie is told when it is new")
def _(c):
    c.renew(standby_interval_ms=300)
    first, second = os.urandom(16), os.urandom(16)
    c.answers, c.cookies = {c.far}, {c.far: first}
    c.candidate(1, c.far)
    c.serve(10, lambda: len(c.probes(c.far)) >= 5)
    times = [h.time for h in c.probes(c.far)]
    gaps = [(b - a) / 1e6 for a, b in zip(times, times[1:])]
    say(f"gaps in ms: {gaps}")
    within(min(gaps), 200 / SLOW, 400, "shortest gap")
    same([s["cookie"] for s in c.told("cookie", 1)], [first], "cookies")
    c.cookies[c.far] = second
    c.serve(10, lambda: len(c.told("cookie", 1)) > 1)
    same([s["cookie"] for s in c.told("cookie", 1)], [first, second], "cookies")
    c.cookies[c.far] = bytes(16)
    before = len(c.probes(c.far))
    c.serve(10, lambda: len(c.probes(c.far)) >= before + 2)
    same(len(c.told("cookie", 1)), 2, "the zero cookie is none")


@test("an idle client sends keepalives, and nothing else")
def _(c):
    c.renew(keepalive_ms=400)
    c.serve(3)
    say([h.kind for h in c.heard])
    same({h.kind for h in c.heard}, {"keepalive"}, "what was sent")
    within(len(c.heard), 3, 3 * SLOW / 0.4 + 1, "keepalives")
    gaps = [(b.time - a.time) / 1e6 for a, b in zip(c.heard, c.heard[1:])]
    within(min(gaps), 300 / SLOW, 10000, "shortest gap")
    same(c.nl.events, [], "signals")
    # what is sent anyway takes their place
    c.forget()
    c.echoes, c.answers = {c.near}, {c.near}
    c.serve(2, traffic=0.1)
    same([h.kind for h in c.heard if h.kind == "keepalive"], [], "keepalives beside data")


@test("no keepalive without transport")
def _(c):
    c.renew(bind=False, keepalive_ms=100)
    c.serve(1)
    same([h.kind for h in c.heard], [], "what was sent")


@test("before the session is attached nothing is probed")
def _(c):
    c.renew(state=BIRTH, bind=False)
    c.answers = {c.far}
    c.candidate(1, c.far)
    c.serve(1)
    same([h.kind for h in c.heard], [], "what was sent")
    c.nl.call("session-set", ifindex=c.ifindex, session=[
        {"sid": c.sid, "state": ATTACHED, "state_version": 2, "reason": 1}])
    c.wait_told("path-alive", 1)


@test("data that is answered needs one probe, for the round trip")
def _(c):
    c.renew(probe_interval_ms=1500 * SLOW)
    c.echoes = c.answers = {c.near}
    c.serve(4, traffic=0.05)
    same([h.probe.flags for h in c.probes(c.near)], [0], "PROBEs")
    same((c.told("path-suspect"), c.told("path-dead")), ([], []), "signals")
    shown = c.candidates()[0]
    same((shown["state"], shown["acks"]), ("alive", 1), "shown")


@test("data that nothing answers is probed for, answers keep the path alive")
def _(c):
    c.renew()
    c.answers = {c.near}
    c.serve(10, lambda: len(c.probes(c.near)) >= 10, traffic=0.02)
    same((c.told("path-suspect"), c.told("path-dead")), ([], []), "signals")
    times = [h.time for h in c.probes(c.near)]
    gaps = [(b - a) / 1e6 for a, b in zip(times, times[1:])]
    say(f"gaps in ms: {gaps}")
    within(min(gaps), 20, 400 * SLOW, "shortest gap")
    # a second after the last packet it is over
    c.serve(2)
    c.forget()
    c.serve(2)
    same([h.kind for h in c.heard], [], "what was sent when idle")


@test("a path that dies is suspected, then all candidates are probed, then it is dead, once")
def _(c):
    c.renew()
    c.answers = {c.near, c.far}
    c.candidate(1, c.far)
    c.wait_told("path-alive", 1)
    c.serve(10, lambda: len(c.probes(c.near)) >= 5, traffic=0.02)
    standby = len(c.probes(c.far))
    same(standby, 1, "standby probes so far")
    c.answers.remove(c.near)
    died = c.answered[c.near]
    suspect, dead = c.wait_told("path-suspect", 0, traffic=0.02), c.wait_told("path-dead", 0, traffic=0.02)
    if suspect["time-ns"] >= dead["time-ns"]:
        raise AssertionError("dead before suspect")
    say(f"suspected after {(suspect['time-ns'] - died) / 1e6} ms, dead after {(dead['time-ns'] - died) / 1e6} ms")
    same((dead["sid"], dead["remote"]), (c.sid, where(c.near)), "path-dead")
    within(dead["silent-ms"], 200, (dead["time-ns"] - died) / 1e6 + 1, "silent ms")
    # N * I + RTO; what this machine adds is its own
    within((dead["time-ns"] - died) / 1e6, 80 * SLOW + 200 * SLOW, 2000 * SLOW, "ms until dead")
    c.serve(10, lambda: len(c.probes(c.far)) >= standby + 5, traffic=0.02)
    same({h.probe.flags for h in c.probes(c.far)}, {CANDIDATE}, "flags of the standby's probes")
    c.serve(1, traffic=0.02)
    same((len(c.told("path-suspect", 0)), len(c.told("path-dead", 0))), (1, 1), "signals")
    same((c.told("path-suspect", 1), c.candidates()[0]["state"]), ([], "dead"), "standby, path")


@test("a dead path that answers again is alive")
def _(c):
    c.answers.add(c.near)
    before = len(c.told("path-alive", 0))
    c.serve(10, lambda: len(c.told("path-alive", 0)) > before, traffic=0.02)
    same(len(c.told("path-alive", 0)), before + 1, "signals")
    same(c.candidates()[0]["state"], "alive", "state")
    # and the hunt is over
    c.forget()
    c.serve(2, traffic=0.02)
    same(c.probes(c.far), [], "PROBEs by the standby path")


@test("a miss is followed up though the data has ceased")
def _(c):
    c.renew()
    c.answers = {c.near}
    c.serve(10, lambda: len(c.probes(c.near)) >= 3, traffic=0.02)
    c.answers = set()
    before = len(c.probes(c.near))
    c.serve(5, lambda: len(c.probes(c.near)) > before, traffic=0.02)
    c.wait_told("path-dead", 0)
    c.serve(2)
    c.forget()
    c.serve(2)
    same([h.kind for h in c.heard], [], "what was sent afterwards")


@test("a standby path that misses a probe is found dead without waiting for the next interval")
def _(c):
    c.renew()
    c.answers = {c.far}
    c.candidate(1, c.far)
    c.wait_told("path-alive", 1)
    c.answers = set()
    c.candidate(1, c.far, remove=True)
    c.candidate(1, c.far)
    c.wait_told("path-suspect", 1)
    c.wait_told("path-dead", 1)
    same(c.told("path-dead", 0), [], "the other path")


@test("while the session is volatile all candidates are probed")
def _(c):
    c.renew()
    c.answers = {c.near, c.far}
    c.candidate(1, c.far)
    c.wait_told("path-alive", 1)
    c.nl.call("session-set", ifindex=c.ifindex, session=[
        {"sid": c.sid, "state": VOLATILE, "state_version": 2, "reason": 3}])
    c.serve(10, lambda: len(c.probes(c.far)) >= 6)
    within(len(c.probes(c.far)), 6, 1000, "PROBEs by the standby path")
    same(c.probes(c.near), [], "PROBEs by the idle active path")


@test("the transmit pointer takes the watch along")
def _(c):
    c.renew()
    c.answers = {c.near, c.far}
    c.bind(1, c.far, op="move")
    c.serve(10, lambda: len(c.probes(c.far)) >= 4, traffic=0.02)
    same(c.probes(c.near), [], "PROBEs by the path left")
    same({h.probe.flags for h in c.probes(c.far)}, {0}, "flags")
    same(sorted(c.candidates()), [1], "paths watched")
    same([h.sock for h in c.heard if h.kind == "data" and h.sock is c.near], [], "data by the path left")


@test("data that came in unanswered is acknowledged by a keepalive")
def _(c):
    c.renew()
    c.down()
    start = time.monotonic()
    c.serve(10, lambda: c.heard)
    took = time.monotonic() - start
    same([h.kind for h in c.heard], ["keepalive"], "what was sent")
    within(took, 0.8, 3 * SLOW, "seconds")
    c.serve(3)
    same(len(c.heard), 1, "frames")
    # a stream one way is one keepalive a second, not one a packet
    c.forget()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        c.down()
        c.serve(0.02 / SLOW)
    say([h.kind for h in c.heard])
    same({h.kind for h in c.heard}, {"keepalive"}, "what was sent")
    within(len(c.heard), 1, 5, "keepalives")
    # probes and their answers ask for none
    c.forget()
    c.serve(3)
    c.say(probe())
    c.serve(3)
    same([h.kind for h in c.heard if h.kind != "keepalive"], ["PROBE_ACK"], "what was sent")
    within(len(c.heard), 1, 2, "frames")


@test("the gateway's PROBE is answered; NAT_CHECK by the bound path alone")
def _(c):
    c.renew()
    for sock, flags, wanted in ((c.near, 0, 1), (c.far, 0, 1), (c.near, NAT_CHECK, 1), (c.far, NAT_CHECK, 0)):
        c.forget()
        nonce = os.urandom(8)
        c.say(probe(size=120, flags=flags, nonce=nonce, time=77), sock)
        c.say(probe(nonce=bytes(8)), c.near)
        c.serve(10, lambda: any(h.probe and h.probe.nonce == bytes(8) for h in c.heard))
        acks = [h for h in c.heard if h.probe and h.probe.nonce == nonce]
        c.serve(0.2)
        acks = [h for h in c.heard if h.probe and h.probe.nonce == nonce]
        same(len(acks), wanted, f"answers to flags {flags}")
        if wanted:
            ack = acks[0].probe
            same((ack.type, ack.size, ack.time, ack.cookie, ack.bver), (PROBE_ACK, 120, 77, bytes(16), c.bver), "ACK")
            same(acks[0].sock is sock, True, "answered where it came from")
    # sent ahead on another path: the gateway may not bind it by itself
    c.bind(1, c.far, op="move")
    c.forget()
    nonce = os.urandom(8)
    c.say(probe(flags=NAT_CHECK, nonce=nonce), c.far)
    c.serve(1)
    same([h for h in c.heard if h.probe and h.probe.nonce == nonce], [], "answers while unconfirmed")


@test("an answer that nobody asked for is no sample, but a sign of life")
def _(c):
    c.renew()
    c.candidate(1, c.far)
    c.serve(10, lambda: c.probes(c.far))
    asked = c.probes(c.far)[0]
    c.ack(asked, nonce=os.urandom(8))
    c.wait_told("path-alive", 1)
    c.ack(asked, time=(asked.probe.time - 5000) & 0xFFFFFFFF)
    c.serve(0.5)
    shown = c.candidates()[1]
    same((shown["acks"], shown["srtt-us"]), (0, 0), "samples")
    c.ack(asked)
    c.serve(10, lambda: c.candidates()[1]["acks"])
    if not c.candidates()[1]["srtt-us"]:
        raise AssertionError("no sample")


@test("a version ahead of ours is told")
def _(c):
    c.renew()
    c.say(probe(bver=c.bver))
    c.say(probe(bver=c.bver - 1))
    c.say(probe(bver=c.bver + 9, term=TERM + 1))
    c.say(probe(bver=c.bver + 3))
    signal = c.wait_told("version")
    same((signal["sid"], signal["term"], signal["bver"]), (c.sid, TERM, c.bver + 3), "signal")
    c.serve(0.5)
    same(len(c.told("version")), 1, "signals")


@test("a gateway that has unbound us is told of, an answer from before our binding is not")
def _(c):
    c.renew(bind=False)
    c.candidate(0, c.near)
    c.serve(10, lambda: c.probes(c.near))
    c.bind(0, c.near)
    c.ack(c.probes(c.near)[0], bver=0)
    c.wait_told("path-alive", 0)
    same(c.told("version"), [], "signal for a question from before")
    c.serve(10, lambda: len(c.probes(c.near)) > 1, traffic=0.02)
    c.ack(c.probes(c.near)[1], bver=0)
    signal = c.wait_told("version")
    same((signal["sid"], signal["term"], signal["bver"]), (c.sid, TERM, 0), "signal")


@test("a path that is bound though it was dead is judged anew")
def _(c):
    c.renew()
    c.wait_told("path-dead", 0, traffic=0.02)
    c.bind(0, c.near, expect=c.bver, bver=c.bver + 1)
    c.forget()
    c.wait_told("path-dead", 0, traffic=0.02)


@test("the daemon's CONFIRM is sent as it says")
def _(c):
    c.renew()
    nonce = os.urandom(8)
    c.nl.call("frame-send", ifindex=c.ifindex, frame=[
        {"sid": c.sid, "type": PROBE, "flags": CONFIRM, "nonce": nonce}])
    c.serve(10, lambda: c.heard)
    sent = probe_fields(c.heard[0].plain)
    same((sent.flags, sent.nonce, sent.bver, sent.path_id), (CONFIRM, nonce, c.bver, 0), "PROBE")
    # its answer brings a cookie for the path it went by
    c.cookies[c.near] = os.urandom(16)
    c.ack(c.heard[0])
    same(c.wait_told("cookie", 0)["cookie"], c.cookies[c.near], "cookie")


@test("candidates: one per path, eight at most beside the bound one, and what is wrong is said")
def _(c):
    c.renew()
    c.candidate(1, c.far)
    c.candidate(1, c.far)
    same(sorted(c.candidates()), [0, 1], "paths watched")
    # a path without socket can be one, it just never answers
    for path in range(2, 9):
        c.candidate(path, c.far)
    refused(errno.ENOSPC, lambda: c.candidate(9, c.far), "9", "8 candidates")
    refused(errno.EBUSY, lambda: c.candidate(0, c.far), "path 0", where_text(c.near), where_text(c.far))
    c.wait_told("path-dead", 8)
    for path in range(2, 9):
        c.candidate(path, c.far, remove=True)
    refused(errno.ENOENT, lambda: c.candidate(3, c.far, remove=True), "3")
    c.candidate(1, c.far, remove=True)
    same(sorted(c.candidates()), [0], "paths watched")
    refused(errno.ENOENT, lambda: c.candidate(1, c.far, remove=True), "1")


@test("sessions end while their paths are watched")
def _(c):
    for _ in range(20):
        c.renew(probe_interval_ms=5, standby_interval_ms=100)
        c.candidate(1, c.far)
        c.serve(0.05, traffic=0.005)
    c.nl.call("session-del", ifindex=c.ifindex, session=[{"sid": c.sid}])
    c.sid = None


run(Client)
