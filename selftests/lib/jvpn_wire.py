# SPDX-License-Identifier: GPL-2.0
"""JVPN/1 on the wire, written from uapi/PROTOCOL.md alone.

A second encoder and decoder, so that a mistake of the first cannot agree with
itself. It shares no code with the daemon, not even libsodium: SipHash and
HChaCha20 are spelled out below, X25519 and ChaCha20-Poly1305 are OpenSSL's.
For tests: nothing here is constant time or wiped.
"""

import hashlib
import hmac
import struct
from collections import namedtuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


class Refused(Exception):
    """What came in is not what it claims to be."""


# --- primitives ---------------------------------------------------------------------------------

M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def sha256(data):
    return hashlib.sha256(data).digest()


def hmac256(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def siphash(key, data):
    """SipHash-2-4 with 64 bit output."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotl(x, n):
        return (x << n | x >> (64 - n)) & M64

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & M64
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & M64
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & M64
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & M64
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (m,) in struct.iter_unpack("<Q", padded):
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 0xFF
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def hchacha20(key, nonce):
    x = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key)
             + struct.unpack("<4I", nonce))

    def quarter(a, b, c, d):
        for to, by, turned, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[to] = (x[to] + x[by]) & M32
            y = x[turned] ^ x[to]
            x[turned] = (y << n | y >> (32 - n)) & M32

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *(x[:4] + x[12:]))


class GcmKey(bytes):
    """A key of AES-256-GCM; all others are of ChaCha20-Poly1305."""


def cipher(key):
    return AESGCM(key) if isinstance(key, GcmKey) else ChaCha20Poly1305(key)


def seal(key, nonce, ad, plain):
    return cipher(key).encrypt(nonce, plain, ad)


def open_(key, nonce, ad, sealed):
    try:
        return cipher(key).decrypt(nonce, sealed, ad)
    except InvalidTag:
        raise Refused("does not authenticate") from None


def counter_nonce(n):
    return bytes(4) + struct.pack("<Q", n)


class Key:
    """An X25519 key pair."""

    def __init__(self, secret):
        self.secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.public = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def dh(self, public):
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise Refused("all-zero Diffie-Hellman") from None


# --- Noise --------------------------------------------------------------------------------------

PATTERNS = {
    "IKpsk2": (("e", "es", "s", "ss"), ("e", "ee", "se", "psk")),
    "NNpsk0": (("psk", "e"), ("e", "ee")),
}


class Noise:
    """Both patterns, both roles, by interpreting the tokens."""

    def __init__(self, pattern, initiator, prologue, s=None, rs=None, psk=bytes(32)):
        name = f"Noise_{pattern}_25519_ChaChaPoly_SHA256".encode()
        self.h = sha256(name) if len(name) > 32 else name.ljust(32, b"\0")
        self.ck, self.k, self.n = self.h, None, 0
        self.messages = list(PATTERNS[pattern])
        self.initiator, self.s, self.rs, self.psk = initiator, s, rs, psk
        self.e = self.re = self.sid = None
        self.mix_hash(prologue)
        if pattern.startswith("IK"):
            self.mix_hash(rs if initiator else s.public)

    def mix_hash(self, data):
        self.h = sha256(self.h + data)

    def _hkdf(self, ikm, count):
        prk, out = hmac256(self.ck, ikm), []
        for i in range(count):
            out.append(hmac256(prk, (out[-1] if out else b"") + bytes([i + 1])))
        self.n = 0
        return out

    def mix_key(self, ikm):
        self.ck, self.k = self._hkdf(ikm, 2)

    def mix_key_and_hash(self, ikm):
        self.ck, extra, self.k = self._hkdf(ikm, 3)
        self.mix_hash(extra)

    def _aead(self, function, data):
        out = function(self.k, counter_nonce(self.n), self.h, data)
        self.n += 1
        self.mix_hash(out if function is seal else data)
        return out

    def _mix_dh(self, token):
        """"es": the initiator's e with the responder's s, and so on."""
        mine, theirs = token if self.initiator else token[::-1]
        own = self.e if mine == "e" else self.s
        self.mix_key(own.dh(self.re if theirs == "e" else self.rs))

    def _shared(self, token):
        if token == "psk":
            self.mix_key_and_hash(self.psk)
        else:
            self._mix_dh(token)

    def _after_tokens(self):
        self.messages.pop(0)
        if not self.messages:
            self.sid = hmac256(self.ck, b"jvpn1 sid" + self.h)[:16]

    def write(self, e, payload):
        """@payload may be a function of the session id."""
        out = b""
        for token in self.messages[0]:
            if token == "e":
                self.e = e
                out += e.public
                self.mix_hash(e.public)
                self.mix_key(e.public)
            elif token == "s":
                out += self._aead(seal, self.s.public)
            else:
                self._shared(token)
        self._after_tokens()
        return out + self._aead(seal, payload(self.sid) if callable(payload) else payload)

    def read(self, data):
        for token in self.messages[0]:
            if token == "e":
                self.re, data = data[:32], data[32:]
                self.mix_hash(self.re)
                self.mix_key(self.re)
            elif token == "s":
                self.rs, data = self._aead(open_, data[:48]), data[48:]
            else:
                self._shared(token)
        self._after_tokens()
        return self._aead(open_, data)

    def keys(self):
        prk = hmac256(self.ck, b"jvpn1 prk" + self.h)
        return {name: hmac256(prk, b"jvpn1 " + label + b"\x01") for name, label in
                (("c2g", b"c2g"), ("g2c", b"g2c"), ("sw_c", b"swc"), ("sw_g", b"swg"), ("rs", b"rs"))}


# --- layouts ------------------------------------------------------------------------------------


class Layout:
    """A packed record. "8s name" is bytes, "4x" must be zero, other formats are integers."""

    def __init__(self, name, text):
        self.items = [item.split() for item in text.split(",")]
        self.struct = struct.Struct("<" + "".join(
            item[0].replace("x", "s") for item in self.items))
        self.names = [item[1] for item in self.items if len(item) == 2]
        self.type = namedtuple(name, self.names)
        self.size = self.struct.size

    def pack(self, **values):
        missing = set(self.names) ^ set(values)
        assert not missing, missing
        return self.struct.pack(*(values[item[1]] if len(item) == 2 else b"" for item in self.items))

    def unpack(self, data):
        if len(data) != self.size:
            raise Refused(f"{len(data)} bytes instead of {self.size}")
        values = []
        for item, value in zip(self.items, self.struct.unpack(data)):
            if len(item) == 2:
                values.append(value)
            elif any(value):
                raise Refused("reserved byte set")
        return self.type(*values)


INIT_HEAD = Layout("InitHead", "B type,B version,B kid,B suite,4x,8s req_id,16s cookie")
INIT_PAYLOAD = Layout("Init", "8s cid,B aead_mask,1x,B path_id,1x,H mtu,H tlv_len")
INIT_RESP_HEAD = Layout("InitRespHead", "B type,B version,1x,B suite,4x,8s req_id")
INIT_RESP_PAYLOAD = Layout("InitResp", "B status,B aead,2x,I retry_after_ms,8s cid,Q term,Q bver,"
                           "60s locator,I rekey_after_s,I session_max_s,I loss_ttl_ms,"
                           "H keepalive_s,H probe_ms,H mtu,H tlv_len")
RETRY = Layout("Retry", "B type,B version,6x,8s req_id,16s cookie")
REATTACH_HEAD = Layout("ReattachHead", "B type,B version,B kid,B suite,4x,60s locator,4x,8s req_id,"
                       "16s cookie")
REATTACH_PAYLOAD = Layout("Reattach", "Q rseq,Q term,Q bver,8s cid,B op,B reason,B path_id,B aead_mask,"
                          "4x,Q rx_highest,8x")
REATTACH_RESP_HEAD = Layout("ReattachRespHead", "B type,B version,1x,B suite,4x,8s req_id")
REATTACH_RESP_PAYLOAD = Layout("ReattachResp", "B status,B aead,2x,I retry_after_ms,8s cid,Q term,Q bver,"
                               "60s locator,4x")
DENY_HEAD = Layout("Deny", "B type,B version,B reason,5x,8s req_id")
SWITCH_HEAD = Layout("SwitchHead", "B type,B version,B kid,5x,8s cid,8s req_id,16s cookie,Q rseq")
SWITCH_PAYLOAD = Layout("Switch", "Q term,Q bver,B reason,B path_id,2x,4x,Q rx_highest,24x")
SWITCH_RESP_HEAD = Layout("SwitchRespHead", "B type,B version,6x,8s req_id,Q rseq")
SWITCH_RESP_PAYLOAD = Layout("SwitchResp", "B status,1x,2x,I retry_after_ms,Q term,Q bver,32x")

T_INIT, T_INIT_RESP, T_RETRY, T_REATTACH_RESP, T_DENY, T_SWITCH_RESP = range(1, 7)
T_DATA, T_REATTACH, T_SWITCH = 0x81, 0x82, 0x83
TLV_INNER4, TLV_INNER6 = 1, 2


def check(head, kind, suite=True):
    if head.type != kind or head.version != 1 or (suite and head.suite != 1):
        raise Refused("not this message")
    return head


# --- common parts -------------------------------------------------------------------------------


def tag1(gateway_public, data):
    return siphash(sha256(b"jvpn1 tag1" + gateway_public)[:16], data)


def tagged(gateway_public, data):
    return data + tag1(gateway_public, data)


def untagged(gateway_public, data):
    if tag1(gateway_public, data[:-8]) != data[-8:]:
        raise Refused("tag1")
    return data[:-8]


def locator_parts(gateway_secret, kid, head, nonce):
    """Key, nonce and associated data of the inner ChaCha20-Poly1305 of XChaCha20."""
    key = hmac256(gateway_secret, b"jvpn1 loc" + bytes([kid]))
    return hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], b"jvpn1 loc" + bytes([1, kid]) + head


def locator_seal(gateway_secret, kid, shard, nonce, sid):
    head = struct.pack("<HH", shard, 0)
    key, inner, ad = locator_parts(gateway_secret, kid, head, nonce)
    return head + nonce + seal(key, inner, ad, sid)


def locator_open(gateway_secret, kid, locator):
    if len(locator) != 60 or locator[2:4] != bytes(2):
        raise Refused("locator")
    key, inner, ad = locator_parts(gateway_secret, kid, locator[:4], locator[4:28])
    return struct.unpack("<H", locator[:2])[0], open_(key, inner, ad, locator[28:])


def tlv_put(inner4=b"", inner6=b""):
    return b"".join(bytes([kind, len(value)]) + value
                    for kind, value in ((TLV_INNER4, inner4), (TLV_INNER6, inner6)) if value)


def tlv_get(data):
    found = {}
    while data:
        if len(data) < 2 or len(data) < 2 + data[1]:
            raise Refused("option cut off")
        kind, length = data[0] & 0x7F, data[1]
        if kind in found:
            raise Refused("option given twice")
        found[kind] = data[2:2 + length]
        data = data[2 + length:]
    return found


# --- INIT, INIT_RESP ----------------------------------------------------------------------------


class InitClient:
    def __init__(self, client, gateway_public, psk, kid, req_id, cookie, e, inner4=b"", inner6=b"",
                 **fields):
        head = INIT_HEAD.pack(type=T_INIT, version=1, kid=kid, suite=1, req_id=req_id, cookie=cookie)
        tlv = tlv_put(inner4, inner6)
        payload = (INIT_PAYLOAD.pack(tlv_len=len(tlv), **fields) + tlv).ljust(376, b"\0")
        self.noise = Noise("IKpsk2", True, b"jvpn1 init" + head, client, gateway_public, psk)
        self.req_id = req_id
        self.datagram = tagged(gateway_public, head + self.noise.write(e, payload))
        assert len(self.datagram) == 512

    def open(self, datagram):
        head = check(INIT_RESP_HEAD.unpack(datagram[:16]), T_INIT_RESP)
        if head.req_id != self.req_id:
            raise Refused("req_id")
        plain = self.noise.read(datagram[16:])
        answer = INIT_RESP_PAYLOAD.unpack(plain[:112])
        if answer.tlv_len != len(plain) - 112:
            raise Refused("length of options")
        return answer, tlv_get(plain[112:])


class InitGateway:
    def __init__(self, gateway, datagram):
        data = untagged(gateway.public, datagram)
        self.head = check(INIT_HEAD.unpack(data[:32]), T_INIT)
        self.noise = Noise("IKpsk2", False, b"jvpn1 init" + data[:32], gateway)
        plain = self.noise.read(data[32:])
        self.client_public = self.noise.rs
        self.request = INIT_PAYLOAD.unpack(plain[:16])
        self.options = tlv_get(plain[16:16 + self.request.tlv_len])
        if any(plain[16 + self.request.tlv_len:]):
            raise Refused("padding")
        self.gateway = gateway

    def answer(self, psk, e, shard, nonce, inner4=b"", inner6=b"", **fields):
        tlv = tlv_put(inner4, inner6)
        head = INIT_RESP_HEAD.pack(type=T_INIT_RESP, version=1, suite=1, req_id=self.head.req_id)

        def payload(sid):
            self.locator = locator_seal(self.gateway.secret, self.head.kid, shard, nonce, sid)
            return INIT_RESP_PAYLOAD.pack(locator=self.locator, tlv_len=len(tlv), **fields) + tlv

        self.noise.psk = psk
        return head + self.noise.write(e, payload)


# --- REATTACH, its answer, DENY -----------------------------------------------------------------


class ReattachClient:
    def __init__(self, gateway_public, kid, sid, rs, locator, req_id, cookie, e, **fields):
        head = REATTACH_HEAD.pack(type=T_REATTACH, version=1, kid=kid, suite=1, locator=locator,
                                  req_id=req_id, cookie=cookie)
        self.noise = Noise("NNpsk0", True, b"jvpn1 reattach" + sid + head, psk=rs)
        self.gateway_public, self.req_id, self.e = gateway_public, req_id, e
        self.datagram = tagged(gateway_public,
                               head + self.noise.write(e, REATTACH_PAYLOAD.pack(**fields)))
        assert len(self.datagram) == 208

    def open(self, datagram):
        head = check(REATTACH_RESP_HEAD.unpack(datagram[:16]), T_REATTACH_RESP)
        if head.req_id != self.req_id:
            raise Refused("req_id")
        return REATTACH_RESP_PAYLOAD.unpack(self.noise.read(datagram[16:]))

    def denied(self, datagram):
        head = check(DENY_HEAD.unpack(datagram[:16]), T_DENY, suite=False)
        want = deny_tag(self.e.dh(self.gateway_public), datagram[:16], self.datagram)
        if head.req_id != self.req_id or datagram[16:] != want:
            raise Refused("deny")
        return head.reason


class ReattachGateway:
    def __init__(self, gateway_public, sid, rs, datagram):
        data = untagged(gateway_public, datagram)
        self.head = check(REATTACH_HEAD.unpack(data[:96]), T_REATTACH)
        self.noise = Noise("NNpsk0", False, b"jvpn1 reattach" + sid + data[:96], psk=rs)
        self.request = REATTACH_PAYLOAD.unpack(self.noise.read(data[96:]))

    def answer(self, e, **fields):
        head = REATTACH_RESP_HEAD.pack(type=T_REATTACH_RESP, version=1, suite=1,
                                       req_id=self.head.req_id)
        return head + self.noise.write(e, REATTACH_RESP_PAYLOAD.pack(**fields))


def deny_tag(dh, head, reattach):
    return hmac256(hmac256(dh, b"jvpn1 deny"), head + sha256(reattach))[:16]


def deny(gateway, reattach, reason):
    head = DENY_HEAD.pack(type=T_DENY, version=1, reason=reason, req_id=reattach[72:80])
    return head + deny_tag(gateway.dh(reattach[96:128]), head, reattach)


# --- SWITCH -------------------------------------------------------------------------------------


def switch_seal(gateway_public, sw_c, kid, cid, req_id, cookie, rseq, **fields):
    head = SWITCH_HEAD.pack(type=T_SWITCH, version=1, kid=kid, cid=cid, req_id=req_id,
                            cookie=cookie, rseq=rseq)
    sealed = seal(sw_c, counter_nonce(rseq), head, SWITCH_PAYLOAD.pack(**fields))
    return tagged(gateway_public, head + sealed)


def switch_open(gateway_public, sw_c, datagram):
    data = untagged(gateway_public, datagram)
    head = check(SWITCH_HEAD.unpack(data[:48]), T_SWITCH, suite=False)
    return head, SWITCH_PAYLOAD.unpack(open_(sw_c, counter_nonce(head.rseq), data[:48], data[48:]))


def switch_resp_seal(sw_g, req_id, rseq, **fields):
    head = SWITCH_RESP_HEAD.pack(type=T_SWITCH_RESP, version=1, req_id=req_id, rseq=rseq)
    return head + seal(sw_g, counter_nonce(rseq), head, SWITCH_RESP_PAYLOAD.pack(**fields))


def switch_resp_open(sw_g, datagram):
    head = check(SWITCH_RESP_HEAD.unpack(datagram[:24]), T_SWITCH_RESP, suite=False)
    return head, SWITCH_RESP_PAYLOAD.unpack(
        open_(sw_g, counter_nonce(head.rseq), datagram[:24], datagram[24:]))


# --- DATA ---------------------------------------------------------------------------------------


def data_seal(key, cid, counter, plain, flags=0):
    head = struct.pack("<Q", T_DATA | flags << 8 | counter << 16) + cid
    return head + seal(key, counter_nonce(counter), head, plain)


def data_open(key, datagram):
    word, = struct.unpack("<Q", datagram[:8])
    if word & 0xFF != T_DATA:
        raise Refused("not DATA")
    return word >> 16, open_(key, counter_nonce(word >> 16), datagram[:16], datagram[16:])
