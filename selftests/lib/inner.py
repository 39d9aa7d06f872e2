# SPDX-License-Identifier: GPL-2.0
"""Inner packets, byte by byte: IPv4 and IPv6 with UDP, TCP or whatever is inside."""

import socket
import struct

UDP, TCP, ICMP, ICMP6 = 17, 6, 1, 58
NOT_ECT, ECT1, ECT0, CE = range(4)


def fold(data):
    """One's complement sum of 16 bit words."""
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ip4(source, to, payload=b"", protocol=UDP, *, tos=0, fragment=0, ihl=5, length=None):
    head = struct.pack(">BBHHHBBH4s4s", 0x40 | ihl, tos, 20 + len(payload) if length is None else length, 0, fragment,
                       64, protocol, 0, socket.inet_aton(source), socket.inet_aton(to))
    return head[:10] + struct.pack(">H", ~fold(head) & 0xFFFF) + head[12:] + payload


def ip6(source, to, payload=b"", protocol=UDP, *, tos=0, length=None):
    return struct.pack(">IHBB", 6 << 28 | tos << 20, len(payload) if length is None else length, protocol, 64) + \
        socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) + payload


def pseudo(source, to, protocol, length):
    """Sum of the pseudo header."""
    if ":" in source:
        return fold(socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, to) +
                    struct.pack(">II", length, protocol))
    return fold(socket.inet_aton(source) + socket.inet_aton(to) + struct.pack(">HH", protocol, length))


def packet(source, to, payload, protocol, **fields):
    return (ip6 if ":" in source else ip4)(source, to, payload, protocol, **fields)


def udp(source, to, payload=b"", ports=(4000, 4001), *, partial=False, **fields):
    """With its checksum, or with the pseudo header's sum alone (partial)."""
    length = 8 + len(payload)
    body = struct.pack(">HHHH", *ports, length, 0) + payload
    check = pseudo(source, to, UDP, length)
    if not partial:
        check = ~fold(struct.pack(">H", check) + body) & 0xFFFF or 0xFFFF
    return packet(source, to, body[:6] + struct.pack(">H", check) + body[8:], UDP, **fields)


def tcp(source, to, ports, sequence, *, flags=2, partial=False, **fields):
    """A segment without data: SYN, if nothing else is said."""
    body = struct.pack(">HHIIBBHHH", *ports, sequence, 0, 5 << 4, flags, 65535, 0, 0)
    check = pseudo(source, to, TCP, len(body))
    if not partial:
        check = ~fold(struct.pack(">H", check) + body) & 0xFFFF
    return packet(source, to, body[:16] + struct.pack(">H", check) + body[18:], TCP, **fields)
