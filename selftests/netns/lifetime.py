#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Ends under traffic: of sessions, keys, sockets, the device, its namespace, the daemon and the module."""
import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import inner  # noqa: E402
from jvpn_netlink import SLOW, Error, Netlink, space  # noqa: E402
from ktap import run, same, say, test  # noqa: E402
from rig import HERE, PORT, TERM, Epoch, ip  # noqa: E402

INNER, ATTACHED = "10.77.0.1", 2
SESSIONS = 4


def peer_address(number):
    return f"10.77.0.{number + 2}"


class World:
    """Makes rigs on demand, as each test ruins its own."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["modprobe", "-a", "udp_tunnel", "ip6_udp_tunnel", "libchacha20poly1305", "gcm"], check=False)
        if not Path("/sys/module/jvpn").exists():
            subprocess.run(["insmod", os.environ["JVPN_KO"]], check=True)


class Ruin:
    """A device with SESSIONS sessions that are sent to, and receive, all the time."""
    made = 0

    def __init__(self, daemon_grace_ms=60000):
        Ruin.made += 1
        self.kernel, self.peer = (f"jv{os.getpid()}-{side}{Ruin.made}" for side in ("kernel", "peer"))
        self.grace = daemon_grace_ms
        self.stop = threading.Event()
        self.undo = contextlib.ExitStack()
        self.sent = 0

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            for name in self.kernel, self.peer:
                ip("netns", "add", name)
                undo.callback(self.quietly, "netns", "del", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.kernel, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.peer)
            for name, address in (self.kernel, HERE), (self.peer, "10.0.0.2"):
                ip("-n", name, "addr", "add", f"{address}/8", "dev", "wire")
                ip("-n", name, "link", "set", "wire", "up")
            with space(self.kernel):
                ip("link", "add", "jvpn0", "type", "jvpn")
                ip("link", "set", "jvpn0", "up")
                ip("addr", "add", f"{INNER}/24", "dev", "jvpn0")
                self.ifindex = socket.if_nametoindex("jvpn0")
                self.nl = Netlink()
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for thing in self.nl, self.udp, self.inside:
                undo.callback(thing.close)
            self.udp.bind((HERE, PORT))
            with space(self.peer):
                self.far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            undo.callback(self.far.close)
            self.far.bind(("10.0.0.2", PORT))
            self.nl.call("dev-set", ifindex=self.ifindex,
                         device={"role": "gateway", "term": TERM, "daemon_grace_ms": self.grace})
            self.nl.call("path-set", ifindex=self.ifindex, path=[{"id": 0, "fd": self.udp.fileno()}])
            self.epochs = [Epoch() for _ in range(SESSIONS)]
            self.sids = [os.urandom(16) for _ in range(SESSIONS)]
            for number in range(SESSIONS):
                self.install(number)
            self.threads = [threading.Thread(target=work) for work in (self.inwards, self.outwards)]
            for thread in self.threads:
                thread.start()
            undo.callback(self.quiet)
            self.undo = undo.pop_all()
        return self

    @staticmethod
    def quietly(*words):
        with contextlib.suppress(RuntimeError):
            ip(*words)

    def __exit__(self, *_):
        self.undo.close()

    def install(self, number):
        sid, epoch = self.sids[number], self.epochs[number]
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": sid, "role": ("gateway", "client")[number % 2], "state": ATTACHED, "probe_interval_ms": 5,
             "prefix": [{"addr": socket.inet_aton(peer_address(number)), "len": 32}]}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[epoch.attributes(sid, 1)])
        remote = b"\2\0" + PORT.to_bytes(2, "big") + socket.inet_aton("10.0.0.2") + bytes(8)
        if number % 2:
            self.nl.call("candidate-set", ifindex=self.ifindex, candidate=[{"sid": sid, "path": 0, "remote": remote}])
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": 0, "term": TERM, "bver": 1, "path": 0,
             "remote": remote}])

    def inwards(self):
        """Sealed datagrams of all sessions, over and over: most are replays, some are new."""
        while not self.stop.is_set():
            ready = [e.seal(inner.udp(peer_address(i), INNER, b"in")) for i, e in enumerate(list(self.epochs))]
            for _ in range(50):
                for datagram in ready:
                    with contextlib.suppress(OSError):
                        self.far.sendto(datagram, (HERE, PORT))

    def outwards(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            with contextlib.suppress(OSError):
                self.inside.sendto(b"out", (peer_address(number % SESSIONS), 4001))
                self.sent += 1

    def quiet(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def flowing(self):
        """Return when packets have gone both ways."""
        deadline = time.monotonic() + 20 * SLOW
        while time.monotonic() < deadline:
            device = self.nl.call("dev-get", ifindex=self.ifindex)[0]["device"]
            if device["rx-packets"] > 20 and device["tx-packets"] > 20:
                return
            time.sleep(0.01)
        raise AssertionError(f"no traffic: {device}")

    def links(self, name, kind="jvpn"):
        return subprocess.run(["ip", "-n", name, "-o", "link", "show", "type", kind], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, check=False).stdout.count("\n")


def until(wanted, what):
    deadline = time.monotonic() + 20 * SLOW
    while not wanted():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in time: {what}")
        time.sleep(0.02)


@test("sessions and keys come, move and go under traffic, in any order")
def _(_world):
    seed = int.from_bytes(os.urandom(4), "little")
    say(f"SEED={seed}")
    rng = random.Random(seed)
    with Ruin() as ruin:
        ruin.flowing()
        errors, end = {}, time.monotonic() + 5
        while time.monotonic() < end:
            number = rng.randrange(SESSIONS)
            sid = {"sid": ruin.sids[number]}
            try:
                match rng.randrange(6):
                    case 0:
                        ruin.nl.call("session-del", ifindex=ruin.ifindex, session=[sid])
                        ruin.sids[number], ruin.epochs[number] = os.urandom(16), Epoch()
                        ruin.install(number)
                    case 1:
                        epoch = Epoch()
                        ruin.nl.call("epoch-new", ifindex=ruin.ifindex, epoch=[epoch.attributes(sid["sid"], 1)])
                        old, ruin.epochs[number] = ruin.epochs[number], epoch
                        ruin.nl.call("epoch-del", ifindex=ruin.ifindex, epoch=[{"rx_cid": old.kernel_cid}])
                    case 2:
                        ruin.nl.call("binding-set", ifindex=ruin.ifindex, binding=[{**sid, "op": "clear"}])
                    case 3:
                        have = ruin.nl.call("session-get", ifindex=ruin.ifindex, session=[sid])[0]["session"][0]
                        ruin.nl.call("binding-set", ifindex=ruin.ifindex, binding=[
                            {**sid, "op": "set", "expect_term": TERM, "expect_bver": have["bver"], "term": TERM,
                             "bver": have["bver"] + 1, "path": 0, "switched": True,
                             "remote": b"\2\0" + PORT.to_bytes(2, "big") + socket.inet_aton("10.0.0.2") + bytes(8)}])
                    case 4:
                        ruin.nl.call("path-set", ifindex=ruin.ifindex, path=[{"id": 0, "fd": ruin.udp.fileno()}])
                    case 5:
                        state = ruin.nl.call("session-get", ifindex=ruin.ifindex, session=[sid])[0]["session"][0]
                        ruin.nl.call("session-set", ifindex=ruin.ifindex, session=[
                            {**sid, "state": rng.choice([2, 3, 4, 5, 6]), "state_version": state["state-version"] + 1}])
            except Error as error:
                errors[error.message.split()[0]] = errors.get(error.message.split()[0], 0) + 1
        say(errors)
        device = ruin.nl.call("dev-get", ifindex=ruin.ifindex)[0]["device"]
        same(device["sessions"], SESSIONS, "sessions")
        for sid in ruin.sids:
            ruin.nl.call("session-del", ifindex=ruin.ifindex, session=[{"sid": sid}])
        device = ruin.nl.call("dev-get", ifindex=ruin.ifindex)[0]["device"]
        same((device["sessions"], device["epochs"]), (0, 0), "what is left")


@test("a device is deleted under traffic")
def _(_world):
    with Ruin() as ruin:
        ruin.flowing()
        ip("-n", ruin.kernel, "link", "del", "jvpn0")
        same(ruin.links(ruin.kernel), 0, "devices")
        # the socket is the daemon's again
        ruin.udp.settimeout(10)
        same(ruin.udp.recv(2000)[:1], b"\x81", "a datagram at the socket")


@test("a device goes up and down under traffic")
def _(_world):
    with Ruin() as ruin:
        ruin.flowing()
        for _ in range(30):
            ip("-n", ruin.kernel, "link", "set", "jvpn0", "down")
            ip("-n", ruin.kernel, "link", "set", "jvpn0", "up")
        same(ruin.links(ruin.kernel), 1, "devices")


@test("a namespace that the device was moved to is deleted under traffic")
def _(_world):
    inside = f"jv{os.getpid()}-inside"
    with Ruin() as ruin:
        ip("netns", "add", inside)
        try:
            ruin.flowing()
            ip("-n", ruin.kernel, "link", "set", "jvpn0", "netns", inside)
            ip("-n", inside, "link", "set", "jvpn0", "up")
            before = ruin.nl.call("dev-get", ifindex=ruin.ifindex)[0]["device"]["drop"]
            until(lambda: ruin.nl.call("dev-get", ifindex=ruin.ifindex)[0]["device"]["drop"] != before, "traffic there")
        finally:
            ip("netns", "del", inside)

        def gone():
            try:
                ruin.nl.call("dev-get", ifindex=ruin.ifindex)
                return False
            except Error:
                return True
        until(gone, "end of the device")


def another_namespace_ends(ruin):
    name = f"{ruin.kernel}-other"
    ip("netns", "add", name)
    ip("-n", name, "link", "add", "other", "type", "veth", "peer", "name", "other", "netns", ruin.peer)
    ip("netns", "del", name)
    until(lambda: ruin.links(ruin.peer, "veth") < 2, "end of another namespace")


@test("a namespace whose daemon has gone is not kept longer than the grace time")
def _(_world):
    with Ruin(daemon_grace_ms=500) as ruin:
        ruin.flowing()
        ruin.quiet()
        ip("netns", "del", ruin.kernel)
        ruin.inside.close()
        another_namespace_ends(ruin)  # they end in turn: ours would have
        same(ruin.links(ruin.peer, "veth"), 1, "the namespace lives while the daemon does")
        ruin.udp.close()
        ruin.nl.close()
        until(lambda: ruin.links(ruin.peer, "veth") == 0, "end of the namespace")


@test("the module is unloaded under traffic with devices up, and takes them along")
def _(_world):
    for _ in range(3):
        with Ruin() as ruin:
            ruin.flowing()
            subprocess.run(["rmmod", "jvpn"], check=True)
            same((ruin.links(ruin.kernel), Path("/sys/module/jvpn").exists()), (0, False), "devices, module")
            ruin.udp.settimeout(10)
            same(ruin.udp.recv(2000)[:1], b"\x81", "a datagram at the socket")
        subprocess.run(["insmod", os.environ["JVPN_KO"]], check=True)


run(World)
