#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""jvpn-ip without a daemon: devices, and what the kernel tells of sessions, paths, counters and events."""
import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from rig import HERE, PORT, SLOW, TERM, THERE, Epoch, Rig  # noqa: E402
from jvpn_netlink import endpoint  # noqa: E402
from ktap import run, same, test  # noqa: E402

TOOL = Path(__file__).resolve().parents[2] / "build/jvpn-ip"
NO_DAEMON = "/run/no-such-jvpnd.sock"

STATES = {"birth": 1, "attached": 2, "volatile": 3, "recovering": 4, "terminated": 6}
HANDSHAKE_OK, TRANSPORT_DEAD = 1, 4  # reasons
LINK_DOWN = 2  # detail

SESSION_KEYS = {"id", "ifname", "ifindex", "peer", "role", "state", "version", "term", "bver", "bver_seen", "inner",
                "transport", "last_transition", "candidates", "keys", "rx", "tx", "drops", "switched_at_ms", "age_ms"}


class Done:
    def __init__(self, process):
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr


class World(Rig):
    def __init__(self):
        super().__init__("client")

    def __enter__(self):
        super().__enter__()
        self.sid, self.other = os.urandom(16), os.urandom(16)
        self.epoch = Epoch()
        return self

    def tool(self, *words, user=None):
        before = ["setpriv", f"--reuid={user}", "--clear-groups"] if user else []
        return Done(subprocess.run(["ip", "netns", "exec", self.kernel, *before, str(TOOL), "-S", NO_DAEMON, *words],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, check=False))

    def read(self, *words):
        """The answer in JSON."""
        done = self.tool("-j", *words)
        same((done.code, done.err), (0, ""), " ".join(words))
        answer = json.loads(done.out)
        same(type(answer), list, " ".join(words))
        return answer

    def text(self, *words):
        done = self.tool(*words)
        same((done.code, done.err), (0, ""), " ".join(words))
        return done.out

    def refused(self, code, sentence, *words, user=None):
        done = self.tool(*words, user=user)
        same((done.code, done.out, done.err), (code, "", f"Error: {sentence}\n"), " ".join(words))

    def make_sessions(self):
        prefix = [{"addr": bytes([10, 77, 0, 1]), "len": 32}, {"addr": bytes([0x20, 1]) + bytes(14), "len": 64}]
        for sid, label, prefixes in (self.sid, "home", prefix), (self.other, "office", []):
            self.nl.call("session-new", ifindex=self.ifindex, session=[{
                "sid": sid, "role": "client", "label": label, "state": STATES["birth"], "state_version": 0,
                "term": TERM, "prefix": prefixes}])
        self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[self.epoch.attributes(self.sid, 1)])

    def attach(self):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[{
            "sid": self.sid, "op": "set", "expect_term": TERM, "expect_bver": 0, "term": TERM, "bver": 1, "path": 0,
            "remote": endpoint(THERE, PORT), "state": STATES["attached"], "state_version": 1,
            "reason": HANDSHAKE_OK}])

    def move(self, state, version, reason, detail):
        self.nl.call("session-set", ifindex=self.ifindex, session=[{
            "sid": self.sid, "state": STATES[state], "state_version": version, "reason": reason, "detail": detail}])


class Monitor:
    """jvpn-ip monitor in the kernel's namespace. It listens when this is made."""

    def __init__(self, world, *words):
        self.process = subprocess.Popen(["ip", "netns", "exec", world.kernel, str(TOOL), *words],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = b""
        deadline = time.monotonic() + 10 * SLOW
        while not any(groups for groups, _ in self.sockets()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.__exit__()
                raise AssertionError("the monitor does not listen")
            time.sleep(0.01)

    def sockets(self):
        """(groups joined, messages dropped) of each socket it has in generic netlink, protocol 16."""
        inodes = set()
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                inodes.add(os.readlink(fd))
        for line in Path(f"/proc/{self.process.pid}/net/netlink").read_text().splitlines()[1:]:
            fields = line.split()
            if f"socket:[{fields[-1]}]" in inodes and fields[1] == "16":
                yield int(fields[3], 16), int(fields[8])

    def line(self):
        while b"\n" not in self.said:
            if not select.select([self.process.stdout], [], [], 10 * SLOW)[0]:
                raise AssertionError("the monitor has nothing to say")
            self.said += os.read(self.process.stdout.fileno(), 1 << 16) or b"(ended)\n"
        line, _, self.said = self.said.partition(b"\n")
        return line.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


@test("link add, show, set, del")
def _(w):
    w.text("link", "add", "jv1", "type", "jvpn", "mtu", "1300", "address", "10.9.9.1/24", "up")
    link, = w.read("link", "show", "jv1")
    same({key: link[key] for key in ("ifname", "up", "mtu", "role", "sessions", "daemon")},
         {"ifname": "jv1", "up": True, "mtu": 1300, "role": "none", "sessions": 0, "daemon": False})
    same({link["ifname"] for link in w.read("link")}, {"jvpn0", "jv1"})
    w.text("link", "set", "jv1", "mtu", "1400", "down")
    link, = w.read("link", "show", "jv1")
    same((link["mtu"], link["up"]), (1400, False))
    w.refused(2, 'jvpn: a device "jv1" exists already.', "link", "add", "jv1")
    w.text("link", "del", "jv1")
    w.refused(5, 'jvpn: there is no device "jv1" of kind jvpn.', "link", "show", "jv1")


@test("a device that is not ours is not touched")
def _(w):
    for words in ("del",), ("set", "mtu", "1400"):
        w.refused(5, 'jvpn: there is no device "wire" of kind jvpn.', "link", words[0], "wire", *words[1:])


@test("nothing is half done: no daemon, no device")
def _(w):
    w.refused(3, f"jvpnd is not running (nothing answers at {NO_DAEMON}): start it, or say where it is with -S.",
              "link", "add", "jv1", "mtu", "1400", "listen", "10.0.0.1:1")
    w.refused(5, 'jvpn: there is no device "jv1" of kind jvpn.', "link", "show", "jv1")


@test("nothing is half done: an address that cannot be added takes the device back")
def _(w):
    same(w.tool("link", "add", "jv1", "address", "10.9.9.1/24", "address", "10.9.9.1/24").code, 2)
    w.refused(5, 'jvpn: there is no device "jv1" of kind jvpn.', "link", "show", "jv1")


@test("without the capability: what to do")
def _(w):
    sentence = "this needs the capability CAP_NET_ADMIN: run it as root."
    for words in ("session",), ("stats",), ("link", "add", "jv1"), ("transport",):
        w.refused(2, sentence, *words, user=65534)


@test("link show: role, term, daemon")
def _(w):
    link, = w.read("link", "show", "jvpn0")
    same((link["role"], link["term"], link["daemon"]), ("client", TERM, True))
    same(w.text("-br", "link", "show", "jvpn0").split(), ["jvpn0", "UP", "client", "-", "0"])


@test("no sessions: an empty array, and an error for one that is named")
def _(w):
    same(w.read("session", "show"), [])
    w.refused(5, "jvpn: there is no such session.", "session", "show", "id", "00" * 8)
    w.refused(5, "jvpn: there is no such session.", "session", "get", "peer", "home")


@test("monitor: creation, transitions, binding")
def _(w):
    with Monitor(w, "monitor", "session") as m:
        sid = w.sid[:8].hex()
        w.make_sessions()
        same(m.line(), f"{sid} v0 BIRTH binding {TERM}:0")
        same(m.line(), f"{w.other[:8].hex()} v0 BIRTH binding {TERM}:0")
        w.attach()
        on = f"path 0 dev - remote {THERE}:{PORT}"
        same(m.line(), f"{sid} v0->v1 BIRTH -> ATTACHED reason HANDSHAKE_OK detail NONE binding {TERM}:1 {on}")
        w.nl.call("session-set", ifindex=w.ifindex, session=[{"sid": w.sid, "keepalive_ms": 25000}])
        same(m.line(), f"{sid} v1 ATTACHED binding {TERM}:1 {on}")


@test("session show: everything, under stable keys")
def _(w):
    session, = w.read("session", "show", "peer", "home")
    same(set(session), SESSION_KEYS)
    wanted = {"id": w.sid.hex(), "ifname": "jvpn0", "ifindex": w.ifindex, "peer": "home", "role": "client",
              "state": "attached", "version": 1, "term": TERM, "bver": 1, "inner": ["10.77.0.1/32", "2001::/64"],
              "candidates": [{"path": 0, "remote": THERE, "remote_port": PORT, "state": "unknown", "loss_permille": 0,
                              "probes": 0, "acks": 0}], "drops": {}, "switched_at_ms": []}
    same({key: session[key] for key in wanted}, wanted)
    same({k: v for k, v in session["transport"].items() if k != "age_ms"},
         {"path": 0, "remote": THERE, "remote_port": PORT, "confirmed": True})
    same({k: v for k, v in session["last_transition"].items() if k != "age_ms"},
         {"from": "birth", "to": "attached", "reason": "handshake_ok", "detail": "none"})
    key, = session["keys"]
    same((key["rx_cid"], key["tx_cid"], key["transmit"]), (w.epoch.kernel_cid.hex(), w.epoch.peer_cid.hex(), True))


@test("no key is ever shown")
def _(w):
    out = w.text("-j", "-s", "-d", "session") + w.text("-s", "-d", "session") + w.text("-j", "link")
    for key in w.epoch.to_kernel, w.epoch.to_peer:
        same(key.hex() in out, False)


@test("session show: text")
def _(w):
    lines = w.text("-s", "-d", "session", "show", "id", w.sid.hex()).splitlines()
    same(re.sub(r"up \S+", "up", lines[0]), f"{w.sid[:8].hex()}: <ATTACHED> dev jvpn0 peer home role client version 1 "
         f"binding {TERM}:1 up")
    same(lines[1], "    inner 10.77.0.1/32 2001::/64")
    same(re.sub(r"since \S+", "since", lines[2]), f"    transport - path 0 dev - remote {THERE}:{PORT} since")
    same(len(w.text("-o", "session").splitlines()), 2)
    rows = {row.split()[0]: row.split() for row in w.text("-br", "session").splitlines()}
    same(rows[w.sid[:8].hex()][1:7], ["ATTACHED", "home", "10.77.0.1/32", f"{THERE}:{PORT}", "-", "v1"])
    same(rows[w.other[:8].hex()][1:6], ["BIRTH", "office", "-", "-", "-"])


@test("session show: every selector")
def _(w):
    def ids(*words):
        return {session["id"] for session in w.read("session", "show", *words)}
    home, office = w.sid.hex(), w.other.hex()
    for words, wanted in (
            ("", {home, office}), (f"id {home}", {home}), (f"id {home[:16]}", {home}), ("peer office", {office}),
            ("dev jvpn0", {home, office}), ("inner 10.77.0.1", {home}), ("inner 10.77.0.2", set()),
            ("inner 2001::5", {home}), ("inner 2001:0:0:1::", set()), (f"outer {THERE}", {home}),
            (f"outer {THERE}:{PORT}", {home}), (f"outer {THERE}:1", set()), ("state attached", {home}),
            ("state BIRTH", {office}), ("older 1h", set()), ("older 0ms state birth", {office}), ("via lte", set()),
            (f"peer home state birth", set())):
        same(ids(*words.split()), wanted, words)


@test("a change wants exactly one session")
def _(w):
    w.refused(1, 'jvpn: 2 sessions fit: name one with "id HEX".', "session", "terminate", "dev", "jvpn0")
    w.refused(5, "jvpn: there is no such session.", "session", "terminate", "peer", "nobody")
    w.refused(3, f"jvpnd is not running (nothing answers at {NO_DAEMON}): start it, or say where it is with -S.",
              "session", "terminate", "peer", "home")


@test("transport show: the paths of the kernel")
def _(w):
    path, = w.read("transport", "show")
    same({key: path[key] for key in ("ifname", "path", "local", "local_port")},
         {"ifname": "jvpn0", "path": 0, "local": HERE, "local_port": PORT})
    same(w.read("transport", "show", "dev", "wire"), [])


@test("peer show: whom the kernel has sessions with")
def _(w):
    peers = {peer["name"]: peer for peer in w.read("peer", "show")}
    same((peers["home"]["sessions"], peers["home"]["allowed_ips"]), ([w.sid.hex()], ["10.77.0.1/32", "2001::/64"]))
    same(set(peers), {"home", "office"})


@test("stats: what was dropped, and why")
def _(w):
    before, = w.read("stats", "drops", "dev", "jvpn0")
    stats, = w.read("stats")
    sock = w.source()
    grown = w.send(sock, bytes([4]) + bytes(15) + bytes(32))[2]
    reason, = grown
    after, = w.read("stats", "drops", "dev", "jvpn0")
    same({k: v - before["drops"][k] for k, v in after["drops"].items() if v != before["drops"][k]},
         {reason.lower(): 1})
    same(w.read("stats")[0]["drops"] - stats["drops"], 1)
    line, = [row for row in w.text("-br", "stats", "drops").splitlines() if row.split()[1] == reason.lower()]
    same(line.split()[:3], ["jvpn0", reason.lower(), str(after["drops"][reason.lower()])])
    same(len(w.text("-br", "-d", "stats", "drops").splitlines()), len(after["drops"]))


@test("monitor: JSON, a selector, signals, timestamps")
def _(w):
    with Monitor(w, "-j", "monitor", "all", "id", w.sid.hex()) as m, Monitor(w, "-t", "monitor", "session") as t:
        w.nl.call("binding-set", ifindex=w.ifindex, binding=[{
            "sid": w.sid, "op": "clear", "state": STATES["recovering"], "state_version": 2, "reason": TRANSPORT_DEAD,
            "detail": LINK_DOWN}])
        event = json.loads(m.line())
        same((event["event"], event["transition"], event["state"], event["version"], "transport" in event),
             ("session", True, "recovering", 2, False))
        same({k: v for k, v in event["last_transition"].items() if k != "age_ms"},
             {"from": "attached", "to": "recovering", "reason": "transport_dead", "detail": "link_down"})
        same(re.fullmatch(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d\] " + w.sid[:8].hex() +
                          rf" v1->v2 ATTACHED -> RECOVERING reason TRANSPORT_DEAD detail LINK_DOWN binding {TERM}:1",
                          t.line()) is not None, True, "line with a timestamp")
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        same(0 <= now - event["boottime_ns"] < 60e9, True, "boottime_ns")


@test("monitor: lost events are told")
def _(w):
    with Monitor(w, "monitor", "session") as m:
        os.kill(m.process.pid, signal.SIGSTOP)
        for keepalive in range(10000):
            w.nl.call("session-set", ifindex=w.ifindex, session=[{"sid": w.sid, "keepalive_ms": keepalive}] * 64)
            if any(dropped for _, dropped in m.sockets()):
                break
        os.kill(m.process.pid, signal.SIGCONT)
        while m.line() != "-- lost events":
            pass


@test("-n: another namespace")
def _(w):
    def netns(name, *words):
        return subprocess.run([TOOL, "-S", NO_DAEMON, "-n", name, "-j", *words], stdout=subprocess.PIPE, check=True).stdout
    same({link["ifname"] for link in json.loads(netns(w.kernel, "link"))}, {"jvpn0"})
    same(json.loads(netns(w.peer, "link")), [])
    same({s["peer"] for s in json.loads(netns(f"/run/netns/{w.kernel}", "session"))}, {"home", "office"})


@test("a device without its daemon: who is gone, and since when")
def _(w):
    w.nl.close()
    deadline = time.monotonic() + 10 * SLOW
    while True:
        link, = w.read("link", "show", "jvpn0")
        if not link["daemon"] or time.monotonic() > deadline:
            break
    same(link["daemon"], False)
    same("daemon_gone_ms" in link, True)
    same(" no daemon since " in w.text("link", "show", "jvpn0"), True)
    same({s["peer"] for s in w.read("session")}, {"home", "office"})


@test("-K session del: past the daemon")
def _(w):
    with Monitor(w, "-j", "monitor", "session") as m:
        same(w.tool("-K", "session", "del", "peer", "home").code, 0)
        event = json.loads(m.line())
        same((event["event"], event["id"]), ("session_removed", w.sid.hex()))
    same({s["peer"] for s in w.read("session")}, {"office"})
    w.refused(5, "jvpn: there is no such session.", "-K", "session", "del", "id", w.sid.hex())


@test("version: the module's")
def _(w):
    same(set(w.read("version")[0]), {"version", "json_schema", "module"})


run(World)
