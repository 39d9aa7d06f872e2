#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""KTAP: lib/capcheck accepts a good pair of captures and finds each single fault put into one."""
import os
import struct
import subprocess
import sys
import tempfile

CAPCHECK = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib", "capcheck")
WIFI, LTE, GATEWAY = (192, 0, 2, 2), (198, 51, 100, 2), (203, 0, 113, 2)
INNER = (10, 77, 0, 2), (10, 77, 0, 1)


def packet(src, dst, sport, dport, payload, checksum=0x1234):
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), checksum) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(src), bytes(dst))
    return bytes(12) + b"\x08\x00" + ip + udp


def up(payload, client=LTE, **more):
    return packet(client, GATEWAY, 4000, 51820, payload, **more)


def down(payload, client=LTE):
    return packet(GATEWAY, client, 51820, 4000, payload)


def data(counter, cid):
    return b"\x81\x00" + counter.to_bytes(6, "little") + cid * 8 + bytes(32)


def save(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for second, frame in enumerate(frames):
            f.write(struct.pack("<IIII", second, 0, len(frame), len(frame)) + frame)


SWITCH = b"\x83\x01" + bytes(22) + b"c" * 16 + bytes(88)
ANSWER = b"\x06\x01" + bytes(94)
BEFORE = [f for n in range(8) for f in (up(data(n, b"A"), WIFI), down(data(n, b"B"), WIFI))]
JUMP = [up(data(8, b"A")), up(SWITCH), down(ANSWER), down(data(8, b"B"))]

CASES = [
    ("a warm jump", JUMP, None),
    ("a counter of the other uplink again", JUMP + [up(data(3, b"A"))], "counter 3 was used before"),
    ("an unknown type", JUMP + [up(b"\x07" + bytes(40))], "0x07 is none of ours"),
    ("a SWITCH too long", JUMP + [up(SWITCH + b"x")], "SWITCH of 129 bytes"),
    ("DATA too short", JUMP + [up(data(9, b"A")[:31])], "DATA of 31 bytes"),
    ("another version", JUMP + [up(b"\x83\x02" + SWITCH[2:])], "protocol version 2"),
    ("the wrong direction", JUMP + [down(SWITCH)], "SWITCH going down"),
    ("a SWITCH without a cookie", JUMP + [up(SWITCH[:24] + bytes(16) + SWITCH[40:])], "without a cookie"),
    ("a RETRY in a warm jump", JUMP + [down(b"\x03\x01" + bytes(30))], "control types 03,06,83"),
    ("no answer", JUMP[:2] + JUMP[3:], "control types 83, not"),
    ("no UDP checksum", JUMP + [up(data(9, b"A"), checksum=0)], "checksum is zero"),
    ("an inner packet outside", JUMP + [packet(*INNER, 1, 2, b"hello")], "in the clear"),
]


def run(directory, frames):
    wifi, lte = os.path.join(directory, "wifi"), os.path.join(directory, "lte")
    save(wifi, BEFORE)
    save(lte, frames)
    return subprocess.run([sys.executable, CAPCHECK, "--gateway", "203.0.113.2:51820", "--inner", "10.77.0.0/24",
                           "--warm", "--control", "83,06", wifi, lte], capture_output=True, text=True, check=False)


def main():
    failed = 0
    print(f"TAP version 13\n1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as directory:
        for number, (name, frames, fault) in enumerate(CASES, 1):
            got = run(directory, frames)
            good = (got.returncode == 0) if fault is None else (got.returncode == 1 and fault in got.stdout)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} {name}")
            if not good:
                print("".join(f"# {line}\n" for line in (got.stdout + got.stderr).splitlines()), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
