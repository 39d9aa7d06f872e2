# SPDX-License-Identifier: GPL-2.0
"""The netlink family of jvpn.ko for tests: whatever uapi/jvpn.yaml says, as dictionaries.

    with space("gw"):
        nl = Netlink()
    nl.call("session-new", ifindex=3, session=[{"sid": bytes(16), ...}])
    nl.signal("path-dead", 1.0)
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import time
from pathlib import Path

import yaml

SLOW = int(os.environ.get("JVPN_SLOW", 1))

NETLINK_GENERIC, SOL_NETLINK = 16, 270
NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 1, 10, 11
NLMSG_ERROR, NLMSG_DONE = 2, 3
SO_RCVBUFFORCE = 33
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CAPPED, NLM_F_ACK_TLVS = 1, 4, 0x300, 0x100, 0x200
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CLONE_NEWNET = 0x40000000

_spec = yaml.load((Path(__file__).resolve().parents[2] / "uapi/jvpn.yaml").read_text(),
                  getattr(yaml, "CSafeLoader", yaml.SafeLoader))
_numbers = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "s32": "<i"}


def _enum(name):
    for definition in _spec["definitions"]:
        if definition["name"] == name:
            return [e if isinstance(e, str) else e["name"] for e in definition["entries"]]
    raise KeyError(name)


class _Attributes:
    def __init__(self, spec):
        self.by_name, self.by_number = {}, {}
        for number, attribute in enumerate(spec["attributes"], 1):
            self.by_name[attribute["name"]] = (number, attribute)
            self.by_number[number] = attribute


_sets = {s["name"]: _Attributes(s) for s in _spec["attribute-sets"]}
_commands = {}
for _number, _operation in enumerate(_spec["operations"]["list"], 1):
    _commands[_operation["name"]] = _number
_command_names = {number: name for name, number in _commands.items()}


class Error(OSError):
    """errno, the kernel's sentence, and the results that came before it."""

    def __init__(self, number, message, replies):
        super().__init__(number, f"{os.strerror(number)}: {message}")
        self.message, self.replies = message, replies


@contextlib.contextmanager
def space(name):
    """Inside the network namespace of that name; sockets made there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(fd):
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")

    with open("/proc/thread-self/ns/net", "rb") as back, open(f"/run/netns/{name}", "rb") as there:
        enter(there.fileno())
        try:
            yield
        finally:
            enter(back.fileno())


def _attr(number, payload):
    return struct.pack("<HH", len(payload) + 4, number) + payload + bytes(-len(payload) % 4)


def _encode(kind, values):
    out = b""
    for name, value in values.items():
        number, attribute = _sets[kind].by_name[name.replace("_", "-")]
        for one in value if attribute.get("multi-attr") else [value]:
            out += _encode_one(number, attribute, one)
    return out


def _encode_one(number, attribute, value):
    kind = attribute["type"]
    if kind == "nest":
        return _attr(number | NLA_F_NESTED, _encode(attribute["nested-attributes"], value))
    if kind == "flag":
        return _attr(number, b"") if value else b""
    if kind == "string":
        return _attr(number, value.encode() + b"\0")
    if kind == "binary":
        return _attr(number, bytes(value))
    if isinstance(value, str):
        value = _enum(attribute["enum"]).index(value)
    return _attr(number, struct.pack(_numbers[kind], value))


def _walk(data):
    while len(data) >= 4:
        length, number = struct.unpack_from("<HH", data)
        if length < 4:
            raise ValueError(f"attribute of {length} bytes")
        yield number & NLA_TYPE_MASK, data[4:length]
        data = data[length + 3 & ~3:]


def _decode(kind, data):
    out = {}
    for number, payload in _walk(data):
        attribute = _sets[kind].by_number.get(number)
        if not attribute:
            continue
        value = _decode_one(attribute, payload)
        if attribute.get("multi-attr"):
            out.setdefault(attribute["name"], []).append(value)
        else:
            out[attribute["name"]] = value
    return out


def _decode_one(attribute, payload):
    kind = attribute["type"]
    if kind == "nest":
        return _decode(attribute["nested-attributes"], payload)
    if kind == "flag":
        return True
    if kind == "string":
        return payload.rstrip(b"\0").decode()
    if kind == "binary":
        return payload
    value, = struct.unpack(_numbers[kind], payload)
    return _enum(attribute["enum"])[value] if "enum" in attribute else value


class Netlink:
    """One socket of the family. Signals that come between answers are kept for signal()."""

    def __init__(self, *groups):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        for option in NETLINK_CAP_ACK, NETLINK_EXT_ACK:
            self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.port = self.socket.getsockname()[0]
        self.sequence = 0
        self.events = []
        self._resolve()
        for group in groups:
            self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.groups[group])

    def close(self):
        self.socket.close()

    def _resolve(self):
        payload = struct.pack("<BBH", CTRL_CMD_GETFAMILY, 1, 0) + _attr(2, b"jvpn\0")
        self._send(GENL_ID_CTRL, NLM_F_ACK, payload)
        answer, = self._collect()
        attributes = dict(_walk(answer[4:]))
        self.family, = struct.unpack("<H", attributes[1])
        self.groups = {}
        for _, group in _walk(attributes[7]):
            fields = dict(_walk(group))
            self.groups[fields[1].rstrip(b"\0").decode()], = struct.unpack("<I", fields[2])

    def _send(self, kind, flags, payload):
        self.sequence += 1
        self.socket.send(struct.pack("<IHHII", 16 + len(payload), kind, NLM_F_REQUEST | flags, self.sequence, 0)
                         + payload)

    def _messages(self):
        data = self.socket.recv(1 << 20)
        while len(data) >= 16:
            length, kind, flags, sequence, _ = struct.unpack_from("<IHHII", data)
            yield kind, flags, sequence, data[16:length]
            data = data[length + 3 & ~3:]

    def _event(self, body):
        event = {"command": _command_names.get(body[0], body[0]), **_decode("top", body[4:])}
        self.events.append(event)

    def _collect(self):
        replies = []
        while True:
            for kind, flags, sequence, body in self._messages():
                if sequence != self.sequence:
                    self._event(body)
                elif kind in (NLMSG_ERROR, NLMSG_DONE):
                    return self._end(kind, flags, body, replies)
                else:
                    replies.append(body)

    @staticmethod
    def _end(kind, flags, body, replies):
        number, = struct.unpack_from("<i", body)
        if number:
            message = ""
            if kind == NLMSG_ERROR and flags & NLM_F_ACK_TLVS:
                message = dict(_walk(body[20:])).get(1, b"").rstrip(b"\0").decode()
            raise Error(-number, message, [_decode("top", reply[4:]) for reply in replies])
        return replies

    def call(self, command, **values):
        """Returns the replies, decoded. Raises Error."""
        self._send(self.family, NLM_F_ACK,
                   struct.pack("<BBH", _commands[command], 1, 0) + _encode("top", values))
        return [_decode("top", reply[4:]) for reply in self._collect()]

    def message(self, sequence, command, **values):
        """A request as bytes, for a test that sends it itself."""
        payload = struct.pack("<BBH", _commands[command], 1, 0) + _encode("top", values)
        return struct.pack("<IHHII", 16 + len(payload), self.family, NLM_F_REQUEST | NLM_F_ACK, sequence, 0) + payload

    def acks(self, sequences):
        """The errnos that answer these requests, in any order; their replies are thrown away."""
        wanted, found = set(sequences), []
        while wanted:
            for kind, _, sequence, body in self._messages():
                if kind == NLMSG_ERROR and sequence in wanted:
                    wanted.remove(sequence)
                    found.append(-struct.unpack_from("<i", body)[0])
        return found

    def dump(self, command, **values):
        self._send(self.family, NLM_F_DUMP,
                   struct.pack("<BBH", _commands[command], 1, 0) + _encode("top", values))
        return [_decode("top", reply[4:]) for reply in self._collect()]

    def poll(self, seconds=0.0):
        """Take in what has come, waiting at most so long for the first of it."""
        while select.select([self.socket], [], [], seconds)[0]:
            for _, _, _, body in self._messages():
                self._event(body)
            seconds = 0

    def event(self, wanted, seconds):
        """The first event for which wanted(event), taken out of the queue. None when the time is over."""
        deadline = time.monotonic() + seconds * SLOW
        self.poll()
        while True:
            for index, event in enumerate(self.events):
                if wanted(event):
                    return self.events.pop(index)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.poll(left)

    def signal(self, kind, seconds, **fields):
        """The first signal of that kind with those fields."""
        def wanted(event):
            signal = event.get("signal", {})
            return signal.get("kind") == kind and all(signal.get(k) == v for k, v in fields.items())
        found = self.event(wanted, seconds)
        return found and found["signal"]


def endpoint(address, port):
    """struct sockaddr_in."""
    return struct.pack("<H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(8)


def drops():
    """Numbers of the drop reasons, by name, out of states.h."""
    text = (Path(__file__).resolve().parents[2] / "uapi/states.h").read_text()
    table = text[text.index("define JVPN_DROPS"):]
    found = {}
    for line in table.splitlines()[1:]:
        if not line.strip().startswith("X("):
            break
        number, name = line.strip()[2:].split(",")[:2]
        found[name.strip()] = int(number)
    return found
