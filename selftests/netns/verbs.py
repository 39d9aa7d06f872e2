#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The netlink verbs: who may ask, what is refused and in which words, versions, races, dumps and events."""
import contextlib
import errno
import os
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from jvpn_netlink import Error, Netlink, endpoint, space  # noqa: E402
from ktap import run, same, test  # noqa: E402
from rig import HERE, PORT, TERM, Epoch, Rig, ip  # noqa: E402

BIRTH, ATTACHED, VOLATILE, RECOVERING, DEGRADED, TERMINATED = range(1, 7)
A, B = endpoint("10.0.0.2", 1000), endpoint("10.0.0.2", 2000)


def inet(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


class Device(Rig):
    def __init__(self):
        super().__init__("gateway")

    def wire(self):
        with space(self.kernel):
            return socket.if_nametoindex("wire")

    def ask(self, command, *objects, nl=None, **more):
        """The results, of a request that succeeds."""
        noun = command.rsplit("-", 1)[0]
        return (nl or self.nl).call(command, ifindex=self.ifindex, **{noun: list(objects)}, **more)[0].get("result")

    def refused(self, number, sentence, command, *objects, nl=None, **more):
        """It fails with that errno and these words, in the acknowledgement and in the result of the first failure."""
        noun = command.rsplit("-", 1)[0]
        try:
            (nl or self.nl).call(command, ifindex=self.ifindex, **({noun: list(objects)} if objects else {}), **more)
        except Error as error:
            same((errno.errorcode[error.errno], error.message), (errno.errorcode[number], sentence), command)
            results = error.replies[0].get("result", []) if error.replies else []
            failed = [r for r in results if r["error"]]
            if failed:
                same((failed[0]["error"], failed[0]["message"]), (-number, sentence), "first result that failed")
            return results
        raise AssertionError(f"{command} was not refused")

    @contextlib.contextmanager
    def with_session(self, state=ATTACHED, version=1, **more):
        sid = os.urandom(16)
        self.ask("session-new", {"sid": sid, "role": "gateway", "state": state, "state_version": version, **more})
        try:
            yield sid
        finally:
            with contextlib.suppress(Error):
                self.ask("session-del", {"sid": sid})

    def bind(self, sid, expect, bver, remote=A, term=TERM, expect_term=TERM, **more):
        return {"sid": sid, "op": "set", "expect_term": expect_term, "expect_bver": expect, "term": term, "bver": bver,
                "path": 0, "remote": remote, **more}

    def versions(self, sid):
        session = self.session(sid)
        return (session["term"], session["bver"], session["bver-seen"], session["state"], session["state-version"],
                session.get("binding", {}).get("remote"))


# --- who may ask ---


@test("reads are open to every administrator, writes to the daemon alone")
def _(d):
    with d.with_session() as sid:
        stranger = d.watch
        same(stranger.call("session-get", ifindex=d.ifindex, session=[{"sid": sid}])[0]["session"][0]["sid"], sid, "sid")
        words = f"device is managed by netlink port {d.nl.port}"
        epoch = Epoch()
        for command, thing in (("path-set", {"id": 1, "fd": 0}), ("path-del", {"id": 0}),
                               ("session-new", {"sid": os.urandom(16)}),
                               ("session-set", {"sid": sid, "keepalive_ms": 1}),
                               ("epoch-new", epoch.attributes(sid, 1)), ("epoch-del", {"rx_cid": epoch.kernel_cid}),
                               ("binding-set", d.bind(sid, 0, 1)), ("frame-send", {"sid": sid}),
                               ("candidate-set", {"sid": sid, "path": 0})):
            d.refused(errno.EPERM, words, command, thing, nl=stranger)
        same(d.versions(sid)[1:], (0, 0, ATTACHED, 1, None), "session")


@test("a second daemon is refused while the first lives; anyone may end a session")
def _(d):
    try:
        d.watch.call("dev-set", ifindex=d.ifindex, device={"role": "gateway"})
        raise AssertionError("two daemons")
    except Error as error:
        same((error.errno, error.message), (errno.EBUSY, f"device is managed by netlink port {d.nl.port}"), "refusal")
    with d.with_session() as sid:
        d.ask("session-del", {"sid": sid}, nl=d.watch)
        d.refused(errno.ENOENT, f"no session {sid.hex()}", "session-del", {"sid": sid})


@test("without a daemon a device takes no writes; the next one takes over what is there")
def _(d):
    with d.with_session(prefix=[{"addr": inet("10.88.0.1"), "len": 32}]) as sid:
        d.ask("binding-set", d.bind(sid, 0, 1))
        d.nl.close()
        if not d.watch.signal("daemon-gone", 5):
            raise AssertionError("no daemon-gone")
        device = d.watch.call("dev-get", ifindex=d.ifindex)[0]["device"]
        same(("daemon-port" in device, "daemon-gone-ms" in device), (False, True), "port and time of going")
        d.refused(errno.EPERM, "device has no daemon, register with dev-set", "path-del", {"id": 0}, nl=d.watch)
        d.register()
        same(d.versions(sid), (TERM, 1, 0, ATTACHED, 1, A), "session")
        device = d.watch.call("dev-get", ifindex=d.ifindex)[0]["device"]
        same((device["daemon-port"], "daemon-gone-ms" in device), (d.nl.port, False), "port and time of going")


@test("the owner's term does not go back while there are sessions")
def _(d):
    with d.with_session():
        try:
            d.set_device(term=TERM - 1)
            raise AssertionError("an older term was taken")
        except Error as error:
            same((error.errno, error.message), (errno.ESTALE, f"term {TERM - 1} is below the device's, {TERM}"), "words")
    d.set_device(term=TERM - 1)
    d.set_device()


@test("the daemon keeps its hands on a device that moves to another namespace")
def _(d):
    ip("-n", d.kernel, "link", "set", "jvpn0", "netns", d.peer)
    try:
        with d.with_session() as sid:
            same(d.session(sid)["sid"], sid, "session")
            with space(d.peer):
                there = Netlink()
            index = there.dump("dev-get")[0]["ifindex"]
            same([s["session"][0]["sid"] for s in there.dump("session-get", ifindex=index)], [sid], "seen from there")
            there.close()
            same(d.watch.dump("dev-get"), [], "devices where it was")
            same([s["session"][0]["sid"] for s in d.nl.dump("session-get", ifindex=d.ifindex)], [sid], "the daemon's dump")
    finally:
        ip("-n", d.peer, "link", "set", "jvpn0", "netns", d.kernel)
    with space(d.kernel):
        same(socket.if_nametoindex("jvpn0"), d.ifindex, "index")


# --- requests ---


@test("a request without device or object, or with too many, does nothing")
def _(d):
    for command, noun in (("session-new", "session"), ("epoch-new", "epoch"), ("binding-set", "binding"),
                          ("path-set", "path"), ("frame-send", "frame"), ("candidate-set", "candidate")):
        d.refused(errno.EINVAL, f"no {noun} in the request", command)
    for command in "dev-get", "path-get", "session-get":
        for index, number, words in ((None, errno.EINVAL, "ifindex is missing"),
                                     (99999, errno.ENODEV, "no jvpn device has index 99999 here")):
            try:
                d.nl.call(command, **({"ifindex": index} if index else {}))
                raise AssertionError(command)
            except Error as error:
                same((error.errno, error.message), (number, words), command)
    many = [{"sid": os.urandom(16)} for _ in range(65)]
    d.refused(errno.E2BIG, "65 sessions in the request, at most 64 are allowed", "session-new", *many)
    same(d.nl.dump("session-get", ifindex=d.ifindex), [], "sessions")


@test("64 objects are answered in order; each is applied or not by itself")
def _(d):
    sids = [os.urandom(16) for _ in range(64)]
    same([r["error"] for r in d.ask("session-new", *({"sid": s, "state": ATTACHED} for s in sids))], [0] * 64, "new")
    doubled = [sids[0], os.urandom(16), sids[1], os.urandom(16)]
    results = d.refused(errno.EEXIST, f"session {sids[0].hex()} exists", "session-new", *({"sid": s} for s in doubled))
    same([r["error"] for r in results], [-errno.EEXIST, 0, -errno.EEXIST, 0], "results")
    same(results[2]["message"], f"session {sids[1].hex()} exists", "sentence of the second failure")
    same([r["error"] for r in d.ask("session-del", *({"sid": s} for s in sids))], [0] * 64, "deleted")
    d.ask("session-del", {"sid": doubled[1]}, {"sid": doubled[3]})


@test("two objects for one session are applied one after the other")
def _(d):
    with d.with_session() as sid:
        results = d.ask("binding-set", d.bind(sid, 0, 1), {"sid": sid, "op": "clear", "state": RECOVERING, "reason": 4,
                                                           "state_version": 2}, d.bind(sid, 1, 2, B, state=ATTACHED,
                                                                                      state_version=3))
        same([(r["bver"], r["state-version"]) for r in results], [(1, 1), (1, 2), (2, 3)], "versions")
        same(d.versions(sid), (TERM, 2, 0, ATTACHED, 3, B), "session")


# --- what is refused, and how ---


@test("a session: every attribute that makes no sense is named")
def _(d):
    sid = os.urandom(16)
    own = {"sid": sid, "role": "gateway"}
    prefix = {"addr": inet("10.88.0.1"), "len": 32}
    taken = os.urandom(16)
    d.ask("session-new", {"sid": taken, "prefix": [prefix, {"addr": inet("fd88::"), "len": 64}]})
    try:
        for words, thing in (
                ("sid is missing", {"role": "gateway"}),
                ("role 0 is neither client nor gateway", {**own, "role": "none"}),
                ("no session begins in state 0 (unknown)", {**own, "state": 0}),
                ("no session begins in state 6 (TERMINATED)", {**own, "state": 6}),
                ("no session begins in state 7 (unknown)", {**own, "state": 7}),
                ("bver-seen 2 is above bver 1", {**own, "bver": 1, "bver_seen": 2}),
                ("a prefix needs addr and len", {**own, "prefix": [{"len": 3}]}),
                ("a prefix needs addr and len", {**own, "prefix": [{"addr": bytes(4)}]}),
                ("prefix address of 5 bytes, not 4 or 16", {**own, "prefix": [{"addr": bytes(5), "len": 8}]}),
                ("prefix length 33 is above 32", {**own, "prefix": [{"addr": bytes(4), "len": 33}]})):
            d.refused(errno.EINVAL, words, "session-new", thing)
        for words, thing in (
                (f"session {taken.hex()} exists", {**own, "sid": taken}),
                (f"prefix 10.88.0.1/32 of session {sid.hex()} belongs to session {taken.hex()}", {**own, "prefix": [prefix]}),
                (f"prefix fd88::/64 of session {sid.hex()} belongs to session {taken.hex()}",
                 {**own, "prefix": [{"addr": inet("fd88::5"), "len": 64}]}),
                ("prefix 10.89.0.0/16 is named twice",
                 {**own, "prefix": [{"addr": inet("10.89.1.1"), "len": 16}, {"addr": inet("10.89.2.2"), "len": 16}]})):
            d.refused(errno.EEXIST, words, "session-new", thing)
        d.refused(errno.E2BIG, "more than 32 prefixes", "session-new",
                  {**own, "prefix": [{"addr": bytes([10, 90, 0, i]), "len": 32} for i in range(33)]})
        for name, limit in (("probe_interval_ms", 60000), ("standby_interval_ms", 600000), ("keepalive_ms", 600000),
                            ("dead_idle_ms", 86400000), ("dead_busy_ms", 86400000)):
            d.refused(errno.ERANGE, f"{name.replace('_', '-')} {limit + 1} is above {limit}", "session-new",
                      {**own, name: limit + 1})
        d.refused(errno.ERANGE, f"deadline-ms {(1 << 40) + 1} is above {1 << 40}", "session-new",
                  {**own, "deadline_ms": (1 << 40) + 1})
        same(len(d.nl.dump("session-get", ifindex=d.ifindex)), 1, "sessions")
    finally:
        d.ask("session-del", {"sid": taken})


@test("a step of a session: only the next version, never out of TERMINATED or back to BIRTH")
def _(d):
    with d.with_session(version=5) as sid:
        def refuse(number, words, **step):
            d.refused(number, words, "session-set", {"sid": sid, **step})
            same(d.versions(sid)[3:5], (ATTACHED, 5), "state")

        refuse(errno.EINVAL, "neither state nor prefix nor figure to set")
        refuse(errno.EINVAL, "state-version is missing", state=VOLATILE)
        for version in 0, 4, 5, 7, (1 << 64) - 1:
            refuse(errno.ESTALE, f"state version {version} does not follow the current 5", state=VOLATILE,
                   state_version=version)
        for state, name in (0, "unknown"), (BIRTH, "BIRTH"), (7, "unknown"), (255, "unknown"):
            refuse(errno.EINVAL, f"no step leads to state {state} ({name})", state=state, state_version=6)
        d.ask("session-set", {"sid": sid, "state": VOLATILE, "state_version": 6, "reason": 3, "detail": 3})
        session = d.session(sid)
        same([session[n] for n in ("state", "state-version", "previous", "reason", "detail")],
             [VOLATILE, 6, ATTACHED, 3, 3], "session")
        d.ask("session-set", {"sid": sid, "state": TERMINATED, "state_version": 7, "reason": 19})
        words = f"session {sid.hex()} is TERMINATED"
        epoch = Epoch()
        for command, thing in (("session-set", {"sid": sid, "state": ATTACHED, "state_version": 8}),
                               ("session-set", {"sid": sid, "prefix": [{"addr": inet("10.88.0.7"), "len": 32}]}),
                               ("epoch-new", epoch.attributes(sid, 1)), ("binding-set", d.bind(sid, 0, 1)),
                               ("binding-set", {"sid": sid, "op": "clear"})):
            d.refused(errno.EINVAL, words, command, thing)
    d.refused(errno.ENOENT, f"no session {sid.hex()}", "session-set", {"sid": sid, "keepalive_ms": 1})


@test("a session of the last version takes no step")
def _(d):
    with d.with_session(version=(1 << 64) - 1) as sid:
        d.refused(errno.ESTALE, f"state version 0 does not follow the current {(1 << 64) - 1}", "session-set",
                  {"sid": sid, "state": VOLATILE, "state_version": 0})


@test("figures are set one by one, and read back")
def _(d):
    figures = {"probe_interval_ms": 10, "probe_misses": 3, "probe_rto_min_ms": 7, "standby_interval_ms": 500,
               "keepalive_ms": 0, "dead_idle_ms": 1000, "dead_busy_ms": 100, "lost_ttl_ms": 7000, "strict_source": 1}
    with d.with_session() as sid:
        for name, value in figures.items():
            d.ask("session-set", {"sid": sid, name: value})
        session = d.session(sid)
        same({n: session[n.replace("_", "-")] for n in figures}, figures, "figures")


@test("prefixes can be given once to a session that has none, all or none of them")
def _(d):
    one, two = ({"addr": inet(f"10.88.0.{i}"), "len": 32} for i in (1, 2))
    with d.with_session(prefix=[two]) as other, d.with_session() as sid:
        d.refused(errno.EEXIST, f"prefix 10.88.0.2/32 of session {sid.hex()} belongs to session {other.hex()}",
                  "session-set", {"sid": sid, "prefix": [one, two], "state": VOLATILE, "state_version": 2})
        same(("prefix" in d.session(sid), d.versions(sid)[3:5]), (False, (ATTACHED, 1)), "nothing half-applied")
        d.ask("session-set", {"sid": sid, "prefix": [one], "state": VOLATILE, "state_version": 2})
        same((d.session(sid)["prefix"], d.versions(sid)[3:5]), ([one], (VOLATILE, 2)), "both")
        d.refused(errno.EEXIST, f"session {sid.hex()} has prefixes already", "session-set", {"sid": sid, "prefix": [one]})
        # A tombstone keeps no address from the next session.
        d.ask("session-set", {"sid": other, "state": TERMINATED, "state_version": 2})
        with d.with_session(prefix=[two]):
            pass


@test("keys: each attribute is needed, ids are used once, three at a time, and none is ever shown")
def _(d):
    with d.with_session() as sid:
        epochs = [Epoch() for _ in range(4)]
        good = epochs[0].attributes(sid, 1)
        for name in "rx_cid", "tx_cid", "rx_key", "tx_key", "sid":
            d.refused(errno.EINVAL, f"{name.replace('_', '-')} is missing", "epoch-new",
                      {n: v for n, v in good.items() if n != name})
        nobody = os.urandom(16)
        d.refused(errno.ENOENT, f"no session {nobody.hex()}", "epoch-new", {**good, "sid": nobody})
        d.ask("epoch-new", good)
        d.refused(errno.EEXIST, f"receiver id {epochs[0].kernel_cid.hex()} is in use", "epoch-new", good)
        d.ask("epoch-new", *(e.attributes(sid, 0) for e in epochs[1:3]))
        d.refused(errno.ENOSPC, f"session {sid.hex()} has 3 epochs already", "epoch-new", epochs[3].attributes(sid, 0))
        shown = d.session(sid)["epoch"]
        same([e["rx-cid"] for e in shown], [e.kernel_cid for e in epochs[:3]], "receiver ids")
        same([e["transmit"] for e in shown], [1, 0, 0], "the one to send with")
        for epoch in shown:
            if {"rx-key", "tx-key"} & set(epoch):
                raise AssertionError("keys are shown")
        d.ask("epoch-del", {"rx_cid": epochs[1].kernel_cid})
        d.refused(errno.ENOENT, f"no epoch with receiver id {epochs[1].kernel_cid.hex()}", "epoch-del",
                  {"rx_cid": epochs[1].kernel_cid})
        d.refused(errno.EINVAL, "rx-cid is missing", "epoch-del", {"sid": sid})
        same(d.watch.call("dev-get", ifindex=d.ifindex)[0]["device"]["epochs"], 2, "epochs of the device")
    same(d.watch.call("dev-get", ifindex=d.ifindex)[0]["device"]["epochs"], 0, "epochs of the device")


@test("a path: what is no bound UDP socket of IPv4, or another tunnel's, is refused")
def _(d):
    with space(d.kernel), contextlib.ExitStack() as close:
        def make(*words):
            return close.enter_context(socket.socket(*words))
        stream, other, unbound = (make(socket.AF_INET, socket.SOCK_STREAM), make(socket.AF_INET6, socket.SOCK_DGRAM),
                                  make(socket.AF_INET, socket.SOCK_DGRAM))
        bound = make(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((HERE, PORT + 7))
        other.bind(("::1", PORT + 7))
        plain = close.enter_context(open("/dev/null", "rb"))
        for words, sock in (("is not a UDP socket", stream), ("is not bound to a port", unbound)):
            d.refused(errno.EINVAL, f"path 3: fd {sock.fileno()} {words}", "path-set", {"id": 3, "fd": sock.fileno()})
        d.refused(errno.EAFNOSUPPORT, f"path 3: fd {other.fileno()} is not an IPv4 socket", "path-set",
                  {"id": 3, "fd": other.fileno()})
        d.refused(errno.ENOTSOCK, f"path 3: fd {plain.fileno()} is not a socket", "path-set",
                  {"id": 3, "fd": plain.fileno()})
        d.refused(errno.EBADF, "path 3: fd 9999 is not a socket", "path-set", {"id": 3, "fd": 9999})
        d.refused(errno.ENODEV, "path 3: no interface with index 9999", "path-set",
                  {"id": 3, "fd": bound.fileno(), "oif": 9999})
        d.refused(errno.EBUSY, f"path 3: the socket of fd {d.udp.fileno()} is in use by a tunnel", "path-set",
                  {"id": 3, "fd": d.udp.fileno()})
        for missing in "id", "fd":
            d.refused(errno.EINVAL, f"{missing} is missing", "path-set",
                      {n: v for n, v in (("id", 3), ("fd", bound.fileno())) if n != missing})
        d.ask("path-set", {"id": 3, "fd": bound.fileno(), "oif": d.wire(), "mark": 17})
        path = d.nl.call("path-get", ifindex=d.ifindex, path=[{"id": 3}])[0]["path"][0]
        same((path["oif"], path["mark"], path["local"]), (d.wire(), 17, endpoint(HERE, PORT + 7)), "path")
        same([p["path"][0]["id"] for p in d.nl.dump("path-get", ifindex=d.ifindex)], [0, 3], "paths")
        d.ask("path-set", {"id": 3, "fd": bound.fileno()})
        d.ask("path-del", {"id": 3})
        d.refused(errno.ENOENT, "no path 3", "path-del", {"id": 3})
        try:
            d.nl.call("path-get", ifindex=d.ifindex, path=[{"id": 3}])
            raise AssertionError("a path that is gone")
        except Error as error:
            same((error.errno, error.message), (errno.ENOENT, "no path 3"), "refusal")


@test("a binding: every attribute that makes no sense is named")
def _(d):
    with d.with_session() as sid:
        good = d.bind(sid, 0, 1)

        def refuse(number, words, **change):
            d.refused(number, words, "binding-set", {n: v for n, v in {**good, **change}.items() if v is not None})
            same(d.versions(sid), (0, 0, 0, ATTACHED, 1, None), "session")

        for name in "op", "path", "remote", "expect_term", "expect_bver", "term", "bver":
            refuse(errno.EINVAL, f"{name.replace('_', '-')} is missing", **{name: None})
        refuse(errno.ENOENT, "no path 9", path=9)
        refuse(errno.EINVAL, "remote of 15 bytes is no address", remote=A[:15])
        refuse(errno.EAFNOSUPPORT, "remote of address family 10, only 2 (IPv4) is possible",
               remote=b"\x0a\0" + bytes(26))
        refuse(errno.EINVAL, "remote 10.0.0.2:0 has no port", remote=endpoint("10.0.0.2", 0))
        for address in "0.0.0.0", "224.0.0.1", "255.255.255.255":
            refuse(errno.EINVAL, f"remote {address}:9 is not one host", remote=endpoint(address, 9))
        refuse(errno.EINVAL, "state-version is missing", state=VOLATILE)
        refuse(errno.EINVAL, "TERMINATED has no transport", state=TERMINATED, state_version=2)
        refuse(errno.EINVAL, "via-state goes with op set and a state", via_state=RECOVERING)
        refuse(errno.EINVAL, "state 6 cannot be passed through", via_state=TERMINATED, state=ATTACHED, state_version=3)
        refuse(errno.ESTALE, "state version 1 does not follow the current 1", via_state=RECOVERING, state=ATTACHED,
               state_version=2)
        refuse(errno.ESTALE, "state version 3 does not follow the current 1", state=VOLATILE, state_version=3)
        refuse(errno.EINVAL, "only a client sends ahead of its binding (op move)", op="move")
    with d.with_session(state=BIRTH) as sid:
        d.refused(errno.EINVAL, f"session {sid.hex()} is in BIRTH, it has no transport", "binding-set", d.bind(sid, 0, 1))


@test("frames and candidates: what makes no sense is named")
def _(d):
    with d.with_session() as sid:
        for number, words, frame in (
                (errno.EINVAL, "path and remote go together", {"path": 0}),
                (errno.EINVAL, "path and remote go together", {"remote": A}),
                (errno.ENOENT, "no path 9", {"path": 9, "remote": A}),
                (errno.ENETUNREACH, f"session {sid.hex()} has no transport", {}),
                (errno.ENOKEY, f"session {sid.hex()} has no key to send with", {"path": 0, "remote": A}),
                (errno.ENOENT, f"session {sid.hex()} has no receiver id {bytes(8).hex()}",
                 {"path": 0, "remote": A, "cid": bytes(8)})):
            d.refused(number, words, "frame-send", {"sid": sid, **frame})
        d.ask("epoch-new", Epoch().attributes(sid, 1))
        for words, frame in (("frame type 2, allowed are 0 (keepalive), 1 (PROBE), 3 (CLOSE), 4 (NOTICE)", {"type": 2}),
                             ("frame type 5, allowed are 0 (keepalive), 1 (PROBE), 3 (CLOSE), 4 (NOTICE)", {"type": 5}),
                             ("notice is missing", {"type": 4}),
                             ("PROBE flags 0x08 are unknown", {"type": 1, "flags": 8})):
            d.refused(errno.EINVAL, words, "frame-send", {"sid": sid, "path": 0, "remote": A, **frame})
        d.refused(errno.E2BIG, "data of 241 bytes, at most 240 are allowed", "frame-send",
                  {"sid": sid, "path": 0, "remote": A, "type": 4, "notice": 2, "data": bytes(241)})
        d.refused(errno.EINVAL, "only a client keeps paths warm", "candidate-set", {"sid": sid, "path": 0, "remote": A})
    with d.with_session(role="client") as sid:
        d.ask("epoch-new", Epoch().attributes(sid, 1))
        d.refused(errno.EINVAL, "only a gateway sends NOTICE", "frame-send",
                  {"sid": sid, "path": 0, "remote": A, "type": 4, "notice": 2})
        d.refused(errno.EINVAL, "path is missing", "candidate-set", {"sid": sid, "remote": A})
        d.refused(errno.EINVAL, "remote is missing", "candidate-set", {"sid": sid, "path": 0})


@test("lengths and ranges that the specification forbids are refused before anything is done")
def _(d):
    for command, thing in (("session-new", {"sid": bytes(15)}), ("session-new", {"sid": bytes(16), "role": 3}),
                           ("session-new", {"sid": bytes(16), "label": "x" * 64}),
                           ("session-new", {"sid": bytes(16), "probe_interval_ms": 4}),
                           ("session-new", {"sid": bytes(16), "probe_misses": 51}),
                           ("epoch-new", {"rx_key": bytes(31)}), ("epoch-new", {"aead": 2}), ("epoch-new", {"rx_cid": bytes(9)}),
                           ("path-set", {"id": 16, "fd": 0}), ("binding-set", {"op": 3}),
                           ("frame-send", {"nonce": bytes(7)})):
        noun = command.rsplit("-", 1)[0]
        try:
            d.nl.call(command, ifindex=d.ifindex, **{noun: [thing]})
            raise AssertionError(f"{command} {thing}")
        except Error as error:
            if error.errno not in (errno.EINVAL, errno.ERANGE) or not error.message:
                raise AssertionError(f"{command} {thing}: {error}") from error


@test("keys of the device: what is incomplete or too much changes nothing")
def _(d):
    for words, keys in (("a key needs kid and tag-key", [{"kid": 1}]), ("a key needs kid and tag-key", [{"tag_key": bytes(16)}]),
                        ("more than 8 keys", [{"kid": i, "tag_key": bytes(16)} for i in range(9)])):
        try:
            d.nl.call("dev-set", ifindex=d.ifindex, device={"term": TERM + 1, "key": keys})
            raise AssertionError(words)
        except Error as error:
            same(error.message, words, "sentence")
    same(d.nl.call("dev-get", ifindex=d.ifindex)[0]["device"]["term"], TERM, "term")


# --- compare and swap ---


@test("a swap names the version that is current, or it is stale and changes nothing")
def _(d):
    with d.with_session() as sid:
        def stale(words, *args, **more):
            before = d.versions(sid)
            results = d.refused(errno.ESTALE, words, "binding-set", d.bind(sid, *args, **more))
            same(d.versions(sid), before, "session")
            same((results[0]["term"], results[0]["bver"], results[0]["state-version"]),
                 (before[0], before[1], before[4]), "the current versions are told")

        stale("term 6 is not the owner's, 7", 0, 1, term=6, expect_term=6)
        stale("term 8 is not the owner's, 7", 0, 1, term=8, expect_term=8)
        stale("expected version 7.1, the current one is 0.0", 1, 2)
        stale("version 7.0 is not above the current 0.0", 0, 0)
        d.ask("binding-set", d.bind(sid, 0, 5))
        for expect in 0, 4, 6, 1 << 63:
            stale(f"expected version 7.{expect}, the current one is 7.5", expect, 9)
        stale("expected version 6.5, the current one is 7.5", 5, 9, expect_term=6)
        for bver in 5, 4, 0:
            stale(f"version 7.{bver} is not above the current 7.5", 5, bver)
        d.ask("binding-set", d.bind(sid, 5, 6, B))
        same(d.versions(sid), (TERM, 6, 0, ATTACHED, 1, B), "session")


@test("a request may name what the peer provably saw or more, up to the current version")
def _(d):
    with d.with_session() as sid:
        d.ask("binding-set", d.bind(sid, 0, 3))
        d.ask("binding-set", d.bind(sid, 3, 4, exp_bver=2))
        same(d.versions(sid)[:3], (TERM, 4, 2), "versions")
        d.refused(errno.ESTALE, "the request names version 7.1, acceptable are 2 to 4", "binding-set",
                  d.bind(sid, 4, 5, exp_bver=1))
        d.refused(errno.ESTALE, "the request names version 7.5, acceptable are 2 to 4", "binding-set",
                  d.bind(sid, 4, 5, exp_bver=5))
        d.ask("binding-set", d.bind(sid, 4, 5, exp_bver=4))
        same(d.versions(sid)[:3], (TERM, 5, 4), "versions")


@test("a new term begins at 0 and forgets what the peer saw; the old one's writes are void")
def _(d):
    with d.with_session() as sid:
        d.ask("binding-set", d.bind(sid, 0, 9, exp_bver=0))
        d.ask("binding-set", d.bind(sid, 9, 10, exp_bver=9))
        try:
            d.set_device(term=TERM + 1)
            d.refused(errno.ESTALE, "term 7 is not the owner's, 8", "binding-set", d.bind(sid, 10, 11))
            d.refused(errno.ESTALE, "expected version 8.1, the current one is 7.10", "binding-set",
                      d.bind(sid, 1, 2, term=TERM + 1, expect_term=TERM + 1))
            d.ask("binding-set", d.bind(sid, 0, 1, B, term=TERM + 1, expect_term=TERM + 1, exp_bver=0))
            same(d.versions(sid), (TERM + 1, 1, 0, ATTACHED, 1, B), "session")
        finally:
            d.ask("session-del", {"sid": sid})
            d.set_device()


@test("a swap and the steps that go with it happen together, or not at all")
def _(d):
    with d.with_session() as sid:
        d.ask("binding-set", d.bind(sid, 0, 1))
        d.watch.poll()
        d.watch.events.clear()
        d.refused(errno.ESTALE, "state version 9 does not follow the current 1", "binding-set",
                  d.bind(sid, 1, 2, B, state=VOLATILE, state_version=9))
        d.refused(errno.ESTALE, "expected version 7.0, the current one is 7.1", "binding-set",
                  d.bind(sid, 0, 2, B, state=VOLATILE, state_version=2))
        same(d.versions(sid), (TERM, 1, 0, ATTACHED, 1, A), "session")
        d.ask("binding-set", d.bind(sid, 1, 2, B, via_state=RECOVERING, via_reason=4, via_detail=1, state=ATTACHED,
                                    state_version=3, reason=10, detail=31, switched=True))
        same(d.versions(sid), (TERM, 2, 0, ATTACHED, 3, B), "session")
        d.watch.poll()
        told = [e["session"][0] for e in d.watch.events if e["command"] == "session-ntf"]
        same([[s[n] for n in ("previous", "state", "reason", "detail", "state-version")] for s in told],
             [[ATTACHED, RECOVERING, 4, 1, 2], [RECOVERING, ATTACHED, 10, 31, 3]], "events")
        same(("binding" in told[0], told[1]["binding"]["remote"]), (False, B), "bindings told")
        d.ask("binding-set", {"sid": sid, "op": "clear", "state": TERMINATED, "state_version": 4, "reason": 19})
        same(d.versions(sid), (TERM, 2, 0, TERMINATED, 4, None), "session")


def compete(d, rounds, threads, request):
    """Send request(round, thread) from all threads at the same moment, round by round: {round: {thread: errno}}."""
    start = threading.Barrier(threads + 1)

    def one(thread):
        for number in range(rounds):
            message = d.nl.message(10000 + number * threads + thread, "binding-set", ifindex=d.ifindex,
                                   binding=[request(number, thread)])
            start.wait()
            d.nl.socket.send(message)
            start.wait()

    workers = [threading.Thread(target=one, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    outcome = {}
    for number in range(rounds):
        start.wait()
        start.wait()
        outcome[number] = d.nl.acks(range(10000 + number * threads, 10000 + (number + 1) * threads))
    for worker in workers:
        worker.join()
    return outcome


@test("of many that race for a version exactly one wins, every time")
def _(d):
    rounds, threads = 200, 4
    with d.with_session() as sid:
        outcome = compete(d, rounds, threads, lambda number, thread: d.bind(
            sid, number, number + 1, endpoint("10.0.0.2", 1000 + thread), state=ATTACHED, state_version=number + 2))
        for number, errors in outcome.items():
            same(sorted(errors), [0] + [errno.ESTALE] * (threads - 1), f"errors of round {number}")
        same(d.versions(sid)[:5], (TERM, rounds, 0, ATTACHED, rounds + 1), "versions")


# --- reads and events ---


@test("a dump of many sessions is complete, each whole, in order, and says when it was torn")
def _(d):
    sids = [os.urandom(16) for _ in range(300)]
    for i in range(0, 300, 50):
        d.ask("session-new", *({"sid": s, "label": f"peer {i}", "state": ATTACHED,
                                "prefix": [{"addr": bytes([10, 91, i // 50, j]), "len": 32} for j in range(k, k + 1)]}
                               for k, s in enumerate(sids[i:i + 50])))
    try:
        dumped = d.nl.dump("session-get", ifindex=d.ifindex)
        same([m["session"][0]["sid"] for m in dumped], sids, "order")
        same([len(m["session"]) for m in dumped], [1] * 300, "sessions in a message")
        same({m["ifindex"] for m in dumped}, {d.ifindex}, "index")
        same(len(d.watch.dump("session-get")), 300, "without an index")
        same(d.watch.dump("session-get", ifindex=99999), [], "of another device")
        same(d.watch.call("dev-get", ifindex=d.ifindex)[0]["device"]["sessions"], 300, "sessions counted")
    finally:
        for i in range(0, 300, 60):
            d.ask("session-del", *({"sid": s} for s in sids[i:i + 60]))


@test("a session is told of when it is made, changes and ends")
def _(d):
    d.watch.poll()
    d.watch.events.clear()
    with d.with_session(label="phone") as sid:
        d.ask("binding-set", d.bind(sid, 0, 1))
        d.ask("session-set", {"sid": sid, "state": VOLATILE, "state_version": 2, "reason": 3})
        d.ask("binding-set", {"sid": sid, "op": "clear", "state": RECOVERING, "state_version": 3, "reason": 4})
    d.watch.poll(1)
    events = [(e["command"], e["session"][0]) for e in d.watch.events if "session" in e]
    same([(c, s["state"], s["state-version"], s["bver"], "binding" in s) for c, s in events],
         [("session-ntf", ATTACHED, 1, 0, False), ("session-ntf", ATTACHED, 1, 1, True),
          ("session-ntf", VOLATILE, 2, 1, True), ("session-ntf", RECOVERING, 3, 1, False),
          ("session-del-ntf", RECOVERING, 3, 1, False)], "events")
    same({s["label"] for _, s in events}, {"phone"}, "label")


@test("a device without daemon loses its sessions and sockets when the grace time is over")
def _(d):
    d.set_device(daemon_grace_ms=300)
    with d.with_session() as sid:
        d.watch.poll()
        d.watch.events.clear()
        d.nl.close()
        event = d.watch.event(lambda e: e["command"] == "session-del-ntf", 10)
        same(event and event["session"][0]["sid"], sid, "session that ended")
        d.register()
        same(d.nl.dump("session-get", ifindex=d.ifindex), [], "sessions")
    d.ask("path-set", {"id": 0, "fd": d.udp.fileno()})


run(Device)
