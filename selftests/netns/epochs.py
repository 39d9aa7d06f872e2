#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The life of keys, which the kernel ends by itself: who is sent with, when old ones go, what a commit takes along."""
import errno
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from jvpn_netlink import SLOW, Error  # noqa: E402
from ktap import run, same, test  # noqa: E402
from rig import AES_256_GCM, TERM, Epoch, Rig, ip, where  # noqa: E402

ATTACHED, RECOVERING = 2, 4
SOFT, HARD = 1 << 40, 1 << 46


class Keys(Rig):
    """Sessions of a gateway, or of a client with `role`, each bound to a socket of its own."""

    def __init__(self):
        super().__init__("gateway")

    def begin(self, *epochs, role="gateway", term=TERM):
        """A session with these keys, the first of which is sent with. Returns its id and the peer's socket."""
        sid, sock = os.urandom(16), self.source()
        self.nl.call("session-new", ifindex=self.ifindex, session=[
            {"sid": sid, "role": role, "state": ATTACHED, "state_version": 1, "keepalive_ms": 0}])
        self.install(sid, *epochs[:1], transmit=1)
        self.install(sid, *epochs[1:])
        self.commit(sid, sock, 0, 1, term=term, expect_term=term)
        return sid, sock

    def install(self, sid, *epochs, transmit=0, **more):
        if epochs:
            self.nl.call("epoch-new", ifindex=self.ifindex, epoch=[{**e.attributes(sid, transmit), **more} for e in epochs])

    def commit(self, sid, sock, expect, bver, **more):
        self.nl.call("binding-set", ifindex=self.ifindex, binding=[
            {"sid": sid, "op": "set", "expect_term": TERM, "expect_bver": expect, "term": TERM, "bver": bver,
             "path": 0, "remote": where(sock), **more}])

    def sent_with(self, sid, sock):
        """Receiver id of what the kernel sends to the peer, or the errno of its refusal."""
        while self.receive(sock) is not None:
            pass
        try:
            self.nl.call("frame-send", ifindex=self.ifindex, frame=[{"sid": sid}])
        except Error as error:
            return error.errno
        return self.receive(sock, 5)[8:16]

    def prove(self, epoch, sock):
        """The peer sends under these keys, and the kernel tells that it is the first time."""
        sock.send(epoch.seal(b""))
        if not self.watch.signal("confirmed", 5, cid=epoch.kernel_cid):
            raise AssertionError("not confirmed")

    def live(self, sid):
        return {e["rx-cid"] for e in self.watch.call("session-get", ifindex=self.ifindex,
                                                    session=[{"sid": sid}])[0]["session"][0].get("epoch", [])}

    def retired(self, epoch, earliest, latest, since):
        """These keys are wiped by the kernel between so many seconds after `since`."""
        if not self.watch.signal("retired", latest + 2, cid=epoch.kernel_cid):
            raise AssertionError("never retired")
        after = time.monotonic() - since
        if not earliest <= after <= latest * SLOW:
            raise AssertionError(f"retired after {after:.2f} s, not {earliest} to {latest}")

    def refused(self, number, words, command, thing):
        try:
            self.nl.call(command, ifindex=self.ifindex, **{command.rsplit("-", 1)[0]: [thing]})
        except Error as error:
            same((errno.errorcode[error.errno], error.message), (errno.errorcode[number], words), command)
            return
        raise AssertionError(f"{command} was not refused")


@test("a gateway sends with the old keys until the first packet under the new ones; the old go 3 s later")
def _(k):
    old, new = Epoch(), Epoch()
    sid, sock = k.begin(old)
    k.prove(old, sock)
    k.install(sid, new)
    same(k.sent_with(sid, sock), old.peer_cid, "sent with")
    sock.send(old.seal(b""))
    same(k.sent_with(sid, sock), old.peer_cid, "sent with after more of the old")
    k.prove(new, sock)
    since = time.monotonic()
    same(k.sent_with(sid, sock), new.peer_cid, "sent with after the first packet of the new")
    sock.send(old.seal(b""))
    same(k.sent_with(sid, sock), new.peer_cid, "sent with after a late one of the old")
    same(k.live(sid), {old.kernel_cid, new.kernel_cid}, "both are received")
    k.retired(old, 2.9, 5.5, since)
    same(k.live(sid), {new.kernel_cid}, "keys")
    same(k.send(sock, old.seal(b""))[2], {"RX_UNKNOWN_CID": 1}, "a packet under the old keys")


@test("new keys that the peer does not prove to hold go after 5 s, and the old ones stay")
def _(k):
    old, new = Epoch(), Epoch()
    sid, sock = k.begin(old)
    k.install(sid, new)
    k.retired(new, 4.9, 7.5, time.monotonic())
    same((k.live(sid), k.sent_with(sid, sock)), ({old.kernel_cid}, old.peer_cid), "what is left")


@test("a client sends with new keys at once; they stay, the old go when the new are 10 s old, with no daemon as well")
def _(k):
    old, new, alone = Epoch(), Epoch(), Epoch()
    sid, sock = k.begin(old, role="client")
    k.prove(old, sock)
    other, _ = k.begin(alone)
    k.install(sid, new, transmit=1)
    since = time.monotonic()
    same(k.sent_with(sid, sock), new.peer_cid, "sent with")
    k.nl.close()
    try:
        k.retired(old, 9.9, 12.5, since)
        same(k.live(sid), {new.kernel_cid}, "keys")
        same(k.live(other), {alone.kernel_cid}, "the only keys of a session, never confirmed")
    finally:
        k.register()
    same(k.sent_with(sid, sock), new.peer_cid, "sent with at last")


@test("a client's keys are confirmed by the first packet under them as well")
def _(k):
    old, new = Epoch(), Epoch()
    sid, sock = k.begin(old, role="client")
    k.prove(old, sock)
    k.install(sid, new, transmit=1)
    k.prove(new, sock)
    k.retired(old, 2.9, 5.5, time.monotonic())
    same(k.live(sid), {new.kernel_cid}, "keys")


@test("sending never returns to older keys, even if the newer ones are taken away")
def _(k):
    first, second, third = Epoch(), Epoch(), Epoch()
    sid, sock = k.begin(first)
    k.install(sid, second)
    k.install(sid, third, transmit=1)
    k.nl.call("epoch-del", ifindex=k.ifindex, epoch=[{"rx_cid": third.kernel_cid}])
    same(k.sent_with(sid, sock), errno.ENOKEY, "with the newest gone")
    k.prove(second, sock)
    k.prove(first, sock)
    same(k.sent_with(sid, sock), errno.ENOKEY, "with older ones confirmed")


@test("keys that are too old send no more, and that is told; what comes in is still taken")
def _(k):
    epoch = Epoch()
    sid, sock = k.begin()
    k.install(sid, epoch, transmit=1, lifetime_ms=1500)
    same([e["lifetime-ms"] for e in k.session(sid)["epoch"]], [1500], "lifetime")
    same(k.sent_with(sid, sock), epoch.peer_cid, "sent with")
    if not k.watch.signal("exhausted", 6, cid=epoch.kernel_cid):
        raise AssertionError("not told")
    before = k.counters()
    same(k.sent_with(sid, sock), errno.EKEYEXPIRED, "with keys too old")
    same(k.counted(before), {"TX_EXHAUSTED": 1}, "drops")
    k.prove(epoch, sock)
    same(k.watch.signal("exhausted", 0, cid=epoch.kernel_cid), None, "told again")


@test("a counter past the soft limit is told once, in either direction; past the hard one nothing is sent")
def _(k):
    up, down, end = Epoch(), Epoch(), Epoch()
    sid, sock = k.begin()
    k.install(sid, up, transmit=1, tx_counter=SOFT - 1)
    same(k.sent_with(sid, sock), up.peer_cid, "the last below the soft limit")
    same(k.watch.signal("rekey-due", 0, cid=up.kernel_cid), None, "told too early")
    for _ in range(3):
        same(k.sent_with(sid, sock), up.peer_cid, "past the soft limit")
    if not k.watch.signal("rekey-due", 5, cid=up.kernel_cid, sid=sid):
        raise AssertionError("not told")
    up.counter = SOFT + 7
    k.prove(up, sock)
    same(k.watch.signal("rekey-due", 0, cid=up.kernel_cid), None, "told again")

    sid, sock = k.begin(down)
    down.counter = SOFT - 1
    k.prove(down, sock)
    same(k.watch.signal("rekey-due", 0, cid=down.kernel_cid), None, "told too early")
    sock.send(down.seal(b""))
    sock.send(down.seal(b""))
    if not k.watch.signal("rekey-due", 5, cid=down.kernel_cid):
        raise AssertionError("not told")
    same(k.sent_with(sid, sock), down.peer_cid, "sent with")
    same(k.watch.signal("rekey-due", 0, cid=down.kernel_cid), None, "told again")

    sid, sock = k.begin()
    k.refused(errno.ERANGE, f"tx-counter {HARD + 1} is above {HARD}", "epoch-new",
              {**end.attributes(sid, 1), "tx_counter": HARD + 1})
    k.install(sid, end, transmit=1, tx_counter=HARD - 1)
    same(k.sent_with(sid, sock), end.peer_cid, "the last there is")
    for _ in range(2):
        same(k.sent_with(sid, sock), errno.EKEYEXPIRED, "past the hard limit")
    if not k.watch.signal("exhausted", 5, cid=end.kernel_cid):
        raise AssertionError("not told")
    same(k.watch.signal("exhausted", 0, cid=end.kernel_cid), None, "told again")


@test("AES-256-GCM has limits of its own, lower with a large MTU")
def _(k):
    for mtu, soft, hard in (2016, 1 << 25, 1 << 27), (2017, 1 << 23, 1 << 25):
        ip("-n", k.kernel, "link", "set", "jvpn0", "mtu", str(mtu))
        try:
            epoch = Epoch(aead=AES_256_GCM)
            sid, sock = k.begin()
            k.refused(errno.ERANGE, f"tx-counter {hard + 1} is above {hard}", "epoch-new",
                      {**epoch.attributes(sid, 1), "tx_counter": hard + 1})
            k.install(sid, epoch, transmit=1, tx_counter=soft - 1)
            same(k.sent_with(sid, sock), epoch.peer_cid, "the last below the soft limit")
            same(k.watch.signal("rekey-due", 0, cid=epoch.kernel_cid), None, "told too early")
            same(k.sent_with(sid, sock), epoch.peer_cid, "past it")
            same(bool(k.watch.signal("rekey-due", 5, cid=epoch.kernel_cid)), True, "told")
        finally:
            ip("-n", k.kernel, "link", "set", "jvpn0", "mtu", "1420")


@test("a commit with new keys takes older ones along that were never confirmed, and no others")
def _(k):
    proved, lost, new = Epoch(), Epoch(), Epoch(bver=2)
    sid, sock = k.begin(proved)
    k.prove(proved, sock)
    k.install(sid, lost, new)
    k.commit(sid, sock, 1, 2, cid=new.kernel_cid)
    same((k.live(sid), k.sent_with(sid, sock)), ({proved.kernel_cid, new.kernel_cid}, proved.peer_cid), "keys")
    if not k.watch.signal("retired", 5, cid=lost.kernel_cid):
        raise AssertionError("not told")
    k.prove(new, sock)
    same(k.sent_with(sid, sock), new.peer_cid, "sent with when they are confirmed")


@test("a commit without keys touches none")
def _(k):
    first, second, third = Epoch(), Epoch(), Epoch()
    sid, sock = k.begin(first, second, third)
    k.commit(sid, sock, 1, 2)
    same((k.live(sid), k.sent_with(sid, sock)),
         ({e.kernel_cid for e in (first, second, third)}, first.peer_cid), "keys")


@test("a commit of a higher term wipes all keys of lower ones at once, and sends with the new ones")
def _(k):
    for role in "client", "gateway":
        proved, lost, new = Epoch(), Epoch(), Epoch(term=TERM + 1)
        sid, sock = k.begin(proved, lost, role=role)
        k.prove(proved, sock)
        k.install(sid, new)
        same(k.sent_with(sid, sock), proved.peer_cid, "sent with before the commit")
        if role == "gateway":
            k.set_device(term=TERM + 1)
        k.commit(sid, sock, 1, 1, term=TERM + 1, cid=new.kernel_cid, state=RECOVERING, state_version=2, reason=26)
        same((k.live(sid), k.sent_with(sid, sock)), ({new.kernel_cid}, new.peer_cid), "keys")
        for old in proved, lost:
            same(k.send(sock, old.seal(b""))[2], {"RX_UNKNOWN_CID": 1}, "a packet under the old keys")


@test("a commit with keys that are not the session's, of another term, or that loses, leaves everything as it was")
def _(k):
    term = k.watch.call("dev-get", ifindex=k.ifindex)[0]["device"]["term"]
    proved, lost, new = (Epoch(term=term) for _ in range(3))
    wrong, foreign = Epoch(term=term - 1), Epoch(term=term)
    sid, sock = k.begin(proved, lost, new, term=term)
    mixed, _ = k.begin(wrong, term=term)
    k.begin(foreign, term=term)
    k.prove(proved, sock)

    def state():
        session = k.session(sid)
        return (session["bver"], session["state-version"], session["binding"]["bver"], k.live(sid), k.sent_with(sid, sock))

    before = state()
    good = {"sid": sid, "op": "set", "expect_term": term, "expect_bver": 1, "term": term, "bver": 2, "path": 0,
            "remote": where(sock)}
    for cid in os.urandom(8), foreign.kernel_cid:
        k.refused(errno.ENOENT, f"session {sid.hex()} has no receiver id {cid.hex()}", "binding-set", {**good, "cid": cid})
    k.refused(errno.EINVAL, f"receiver id {wrong.kernel_cid.hex()} is of term {term - 1}, the commit of {term}",
              "binding-set", {**good, "sid": mixed, "cid": wrong.kernel_cid})
    k.refused(errno.ESTALE, f"expected version {term}.7, the current one is {term}.1", "binding-set",
              {**good, "expect_bver": 7, "cid": new.kernel_cid})
    k.refused(errno.ESTALE, "state version 9 does not follow the current 1", "binding-set",
              {**good, "cid": new.kernel_cid, "state": RECOVERING, "state_version": 9})
    same(state(), before, "session")
    same(k.watch.signal("retired", 0, cid=lost.kernel_cid), None, "told")


run(Keys)
