#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The daemon's messages against an independent implementation, both directions, random inputs.

SEED repeats a run, ROUNDS sets its length. Both also reproduce the known answers of vectors.txt:
the daemon's side in the program `messages`, the other one here."""

import os
import random
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]
import jvpn_wire as wire  # noqa: E402


def find(name):
    """Beside this script when built, else where the build puts it."""
    built = os.path.join(HERE, "..", "..", "build", "selftests", "unit")
    for directory in (HERE, os.environ.get("OUTPUT", built), built):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    sys.exit(f"{name} is not built: run make -C selftests/unit")


class Peer:
    """The daemon's code behind a pipe."""

    def __init__(self):
        self.process = subprocess.Popen([find("wire_peer")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __call__(self, verb, *args):
        words = [verb] + [(a.hex() or "-") if isinstance(a, bytes) else str(a) for a in args]
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"wire_peer died of {verb}")
        if line.startswith("refused"):
            raise wire.Refused(line.strip())
        pairs = (item.split("=") for item in line.split())
        return {name: value for name, value in pairs}


HEX = {"datagram", "client", "cid", "locator", "inner4", "inner6", "sid", "rs", "c2g", "g2c",
       "sw_c", "sw_g"}


def same(got, **want):
    """What the peer said, against what we know."""
    for name, value in want.items():
        said = got.get(name, "")
        said = bytes.fromhex(said) if name in HEX else int(said)
        assert said == value, f"{name}: {said!r} instead of {value!r}"


def refuses(function, *args):
    try:
        function(*args)
    except wire.Refused:
        return
    raise AssertionError(f"{args[0] if isinstance(args[0], str) else function} accepted a forgery")


def flip(rng, datagram):
    """One bit changed somewhere."""
    bit = rng.randrange(8 * len(datagram))
    out = bytearray(datagram)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


class World:
    """Random keys and fields of one session."""

    def __init__(self, rng):
        self.rng = rng
        self.client, self.gateway = wire.Key(rng.randbytes(32)), wire.Key(rng.randbytes(32))
        self.psk = rng.choice((bytes(32), rng.randbytes(32)))
        self.kid = rng.randrange(256)
        self.req_id, self.cookie = rng.randbytes(8), rng.choice((bytes(16), rng.randbytes(16)))
        self.inner4 = rng.choice((b"", rng.randbytes(4) + bytes([rng.randrange(33)])))
        self.inner6 = rng.choice((b"", rng.randbytes(16) + bytes([rng.randrange(129)])))

    def number(self, bits):
        return self.rng.choice((0, 1, 2 ** bits - 1, self.rng.getrandbits(bits)))

    def request(self):
        return dict(cid=self.rng.randbytes(8), aead_mask=self.rng.choice((1, 3)),
                    path_id=self.rng.randrange(16), mtu=self.number(16))

    def answer(self):
        return dict(status=0, aead=0, retry_after_ms=self.number(32), cid=self.rng.randbytes(8),
                    term=self.number(64), bver=self.number(64), rekey_after_s=self.number(32),
                    session_max_s=self.number(32), loss_ttl_ms=self.number(32),
                    keepalive_s=self.number(16), probe_ms=self.number(16), mtu=self.number(16))


def birth_from_python(peer, w):
    """Python is the client, the daemon's code the gateway."""
    request, answer = w.request(), w.answer()
    client = wire.InitClient(w.client, w.gateway.public, w.psk, w.kid, w.req_id, w.cookie,
                             wire.Key(w.rng.randbytes(32)), w.inner4, w.inner6, **request)
    refuses(peer, "init_open", w.gateway.secret, client.datagram[:504 - w.rng.randrange(1, 504)])
    same(peer("init_open", w.gateway.secret, client.datagram), client=w.client.public,
         inner4=w.inner4, inner6=w.inner6, **request)
    got = peer("init_answer", w.psk, w.rng.randbytes(32), 0x4321, w.rng.randbytes(24),
               *answer.values(), w.inner4, w.inner6)
    datagram = bytes.fromhex(got["datagram"])
    said, options = client.open(datagram)
    for name, value in answer.items():
        assert getattr(said, name) == value, name
    assert options.get(1, b"") == w.inner4 and options.get(2, b"") == w.inner6
    same(got, sid=client.noise.sid, locator=said.locator, **client.noise.keys())
    assert wire.locator_open(w.gateway.secret, w.kid, said.locator) == (0x4321, client.noise.sid)


def birth_from_daemon(peer, w):
    """The other way round."""
    request, answer = w.request(), w.answer()
    got = peer("init_build", w.client.secret, w.gateway.public, w.psk, w.kid, w.req_id, w.cookie,
               w.rng.randbytes(32), *request.values(), w.inner4, w.inner6)
    datagram = bytes.fromhex(got["datagram"])
    refuses(wire.InitGateway, w.gateway, flip(w.rng, datagram))
    gateway = wire.InitGateway(w.gateway, datagram)
    for name, value in request.items():
        assert getattr(gateway.request, name) == value, name
    assert gateway.client_public == w.client.public and gateway.head.cookie == w.cookie
    assert gateway.options.get(1, b"") == w.inner4 and gateway.options.get(2, b"") == w.inner6
    resp = gateway.answer(w.psk, wire.Key(w.rng.randbytes(32)), 7, w.rng.randbytes(24), w.inner4,
                          w.inner6, **answer)
    refuses(peer, "init_resp_open", flip(w.rng, resp))
    same(peer("init_resp_open", resp), locator=gateway.locator, sid=gateway.noise.sid,
         inner4=w.inner4, inner6=w.inner6, **answer, **gateway.noise.keys())
    same(peer("locator_open", w.gateway.secret, w.kid, gateway.locator), shard=7,
         sid=gateway.noise.sid)
    refuses(peer, "locator_open", w.gateway.secret, w.kid, flip(w.rng, gateway.locator))


def reattach_fields(w):
    return dict(rseq=w.number(64) or 1, term=w.number(64), bver=w.number(64), cid=w.rng.randbytes(8),
                op=w.rng.randrange(2), reason=w.rng.randrange(256), path_id=w.rng.randrange(16),
                aead_mask=w.rng.choice((1, 3)), rx_highest=w.number(64))


def reattach_answer(w, status):
    rejected = status != 0
    return dict(status=status, aead=0, retry_after_ms=w.number(32),
                cid=bytes(8) if rejected else w.rng.randbytes(8), term=w.number(64),
                bver=w.number(64), locator=bytes(60) if rejected else w.rng.randbytes(60))


def epoch_keys(noise):
    return {name: key for name, key in noise.keys().items() if name != "rs"}


def reattach_from_python(peer, w):
    sid, rs, locator, cookie = (w.rng.randbytes(n) for n in (16, 32, 60, 16))
    fields, answer = reattach_fields(w), reattach_answer(w, w.rng.choice((0, 0, 1, 2, 6)))
    client = wire.ReattachClient(w.gateway.public, w.kid, sid, rs, locator, w.req_id, cookie,
                                 wire.Key(w.rng.randbytes(32)), **fields)
    refuses(peer, "reattach_open", w.gateway.public, sid, rs, flip(w.rng, client.datagram))
    same(peer("reattach_open", w.gateway.public, sid, rs, client.datagram), **fields)
    reason = w.rng.choice((1, 2))
    denial = bytes.fromhex(peer("deny_build", w.gateway.secret, client.datagram, reason)["datagram"])
    assert client.denied(denial) == reason
    refuses(client.denied, flip(w.rng, denial))
    got = peer("reattach_answer", w.rng.randbytes(32), *answer.values())
    said = client.open(bytes.fromhex(got["datagram"]))
    for name, value in answer.items():
        assert getattr(said, name) == value, name
    if answer["status"] == 0:
        same(got, **epoch_keys(client.noise))


def reattach_from_daemon(peer, w):
    sid, rs, locator, cookie = (w.rng.randbytes(n) for n in (16, 32, 60, 16))
    fields, answer = reattach_fields(w), reattach_answer(w, w.rng.choice((0, 0, 1, 3, 5)))
    got = peer("reattach_build", w.gateway.public, w.kid, sid, rs, locator, w.req_id, cookie,
               w.rng.randbytes(32), *fields.values())
    datagram = bytes.fromhex(got["datagram"])
    refuses(wire.ReattachGateway, w.gateway.public, sid, rs, flip(w.rng, datagram))
    gateway = wire.ReattachGateway(w.gateway.public, sid, rs, datagram)
    for name, value in fields.items():
        assert getattr(gateway.request, name) == value, name
    assert gateway.head.locator == locator and gateway.head.kid == w.kid
    denial = wire.deny(w.gateway, datagram, 2)
    refuses(peer, "deny_open", flip(w.rng, denial))
    same(peer("deny_open", denial), reason=2)
    resp = gateway.answer(wire.Key(w.rng.randbytes(32)), **answer)
    refuses(peer, "reattach_resp_open", flip(w.rng, resp))
    got = peer("reattach_resp_open", resp)
    same(got, **answer)
    if answer["status"] == 0:
        same(got, **epoch_keys(gateway.noise))


def switch_both_ways(peer, w):
    sw_c, sw_g, cid, cookie = (w.rng.randbytes(n) for n in (32, 32, 8, 16))
    rseq = w.number(64) or 1
    fields = dict(term=w.number(64), bver=w.number(64), reason=w.rng.randrange(256),
                  path_id=w.rng.randrange(16), rx_highest=w.number(64))
    answer = dict(status=w.rng.randrange(7), retry_after_ms=w.number(32), term=w.number(64),
                  bver=w.number(64))
    request = (w.gateway.public, sw_c, w.kid, cid, w.req_id, cookie, rseq)
    ours = wire.switch_seal(*request, **fields)
    theirs = bytes.fromhex(peer("switch_seal", *request, *fields.values())["datagram"])
    assert ours == theirs, "SWITCH differs"
    same(peer("switch_open", w.gateway.public, sw_c, ours), rseq=rseq, **fields)
    refuses(peer, "switch_open", w.gateway.public, sw_c, flip(w.rng, ours))
    head, said = wire.switch_open(w.gateway.public, sw_c, theirs)
    assert head.rseq == rseq and said._asdict() == fields

    ours = wire.switch_resp_seal(sw_g, w.req_id, rseq, **answer)
    theirs = bytes.fromhex(peer("switch_resp_seal", sw_g, w.req_id, rseq,
                                *answer.values())["datagram"])
    assert ours == theirs, "SWITCH_RESP differs"
    same(peer("switch_resp_open", sw_g, w.req_id, rseq, ours), **answer)
    refuses(peer, "switch_resp_open", sw_g, w.req_id, rseq, flip(w.rng, ours))
    assert wire.switch_resp_open(sw_g, theirs)[1]._asdict() == answer


def up(first, n):
    return bytes(range(first, first + n))


def known_answers(_peer, _w):
    """vectors.txt, reproduced by the Python side."""
    want = {}
    with open(find("vectors.txt"), encoding="ascii") as lines:
        for line in lines:
            name, equals, value = line.partition(" = ")
            if equals and not line.startswith("#"):
                want[name] = bytes.fromhex(value)

    def is_(name, got):
        assert got == want[name], f"{name}: {got.hex()} instead of {want[name].hex()}"

    keys = {byte: wire.Key(bytes([byte]) * 32) for byte in (0x11, 0x22, 0x33, 0x44, 0x55, 0x66)}
    gateway = keys[0x22]
    client = wire.InitClient(keys[0x11], gateway.public, bytes(32), 0, up(0xA0, 8), bytes(16),
                             keys[0x33], cid=up(0xC0, 8), aead_mask=3, path_id=0, mtu=1500)
    is_("init_head", client.datagram[:128])
    is_("init_sha256", wire.sha256(client.datagram))
    is_("init_tag1", client.datagram[504:])
    birth = wire.InitGateway(gateway, client.datagram)
    resp = birth.answer(bytes(32), keys[0x44], 0x1234, up(0, 24), status=0, aead=1,
                        retry_after_ms=0, cid=up(0xD0, 8), term=7, bver=1, rekey_after_s=600,
                        session_max_s=86400, loss_ttl_ms=30000, keepalive_s=25, probe_ms=40, mtu=1420)
    is_("init_resp", resp)
    client.open(resp)
    session = client.noise.keys()
    is_("sid", client.noise.sid)
    is_("locator", birth.locator)
    for name in ("h", "ck"):
        is_(name, getattr(client.noise, name))
    for name in ("rs", "c2g", "g2c"):
        is_(name, session[name])
    is_("data_chacha", wire.data_seal(session["c2g"], up(0xD0, 8), 5, up(0x45, 20)))
    assert wire.data_open(session["c2g"], want["data_chacha"]) == (5, up(0x45, 20))

    again = wire.ReattachClient(gateway.public, 0, client.noise.sid, session["rs"], birth.locator,
                                up(0xB0, 8), up(0xE0, 16), keys[0x55], rseq=1, term=7, bver=1,
                                cid=up(0xC8, 8), op=0, reason=1, path_id=1, aead_mask=3, rx_highest=5)
    is_("reattach", again.datagram)
    other = wire.ReattachGateway(gateway.public, client.noise.sid, session["rs"], again.datagram)
    locator = wire.locator_seal(gateway.secret, 0, 0x1234, up(0x18, 24), client.noise.sid)
    resp = other.answer(keys[0x66], status=0, aead=1, retry_after_ms=0, cid=up(0xD8, 8), term=7,
                        bver=2, locator=locator)
    is_("reattach_resp", resp)
    again.open(resp)
    is_("reattach_h", again.noise.h)
    epoch = again.noise.keys()
    for name in ("c2g", "g2c", "sw_c", "sw_g"):
        is_("reattach_" + name, epoch[name])
    is_("deny", wire.deny(gateway, again.datagram, 1))
    is_("switch", wire.switch_seal(gateway.public, epoch["sw_c"], 0, up(0xD8, 8), up(0xA8, 8),
                                   up(0xE0, 16), 2, term=7, bver=2, reason=1, path_id=2,
                                   rx_highest=9))
    is_("switch_resp", wire.switch_resp_seal(epoch["sw_g"], up(0xA8, 8), 2, status=0,
                                             retry_after_ms=0, term=7, bver=3))


TESTS = (
    (known_answers, 1),
    (birth_from_python, 50), (birth_from_daemon, 50),
    (reattach_from_python, 100), (reattach_from_daemon, 100),
    (switch_both_ways, 200),
)


def main():
    seed = int(os.environ.get("SEED", str(time.time_ns())), 0)
    print("TAP version 13")
    print(f"1..{len(TESTS)}")
    print(f"# SEED={seed}")
    peer, failed = Peer(), 0
    for number, (test, rounds) in enumerate(TESTS, 1):
        rng = random.Random(seed)
        try:
            for _ in range(int(os.environ.get("ROUNDS", rounds)) if rounds > 1 else 1):
                test(peer, World(rng))
        except (AssertionError, wire.Refused, OSError) as error:
            failed += 1
            print(f"# {type(error).__name__}: {error}")
            print(f"not ok {number} {test.__name__}")
        else:
            print(f"ok {number} {test.__name__}")
    peer.process.stdin.close()
    if peer.process.wait():
        failed += 1
        print("# wire_peer did not end well")
    print(f"# Totals: pass:{len(TESTS) - failed} fail:{failed} xfail:0 xpass:0 skip:0 error:0")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
