#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""jvpnd itself: how it begins and ends, what it may do, who may talk to it, and that nobody can hold it up."""
import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from jvpn_netlink import SLOW  # noqa: E402
from ktap import run, same, test, within  # noqa: E402
from rig import ip  # noqa: E402

JVPND = Path(__file__).resolve().parents[2] / "build/jvpnd"
CAP_NET_ADMIN = 12
NOBODY = 65534
KEY, PSK = (base64.b64encode(bytes([n]) * 32).decode() for n in (0x41, 0x42))
PUBLIC = base64.b64encode(bytes(range(1, 33))).decode()
PRINT = "SHA256:" + hashlib.sha256(bytes(range(1, 33))).hexdigest()[:16]


class Gone(Exception):
    """The daemon has closed the connection."""


class Client:
    """A connection to a control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))  # waits while the queue of connections is full
        self.socket.settimeout(10 * SLOW)
        self.left = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        try:
            self.socket.sendall(text)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Gone from error

    def receive(self):
        while b"\0" not in self.left:
            try:
                got = self.socket.recv(65536)
            except ConnectionResetError as error:
                raise Gone from error
            if not got:
                raise Gone
            self.left += got
        message, self.left = self.left.split(b"\0", 1)
        return json.loads(message)

    def request(self, method, more=None, **parameters):
        method = method if "." in method else f"io.jvpn.Control.{method}"
        self.send(json.dumps({"method": method, "parameters": parameters, **(more or {})}).encode() + b"\0")

    def call(self, method, **parameters):
        """(error or None, parameters)"""
        self.request(method, **parameters)
        reply = self.receive()
        error = reply.get("error")
        return error and error.removeprefix("io.jvpn.Control."), reply.get("parameters")


class Daemon:
    def __init__(self, space, directory, *options):
        self.directory = Path(directory)
        self.socket = self.directory / "control.sock"
        self.audit = self.directory / "audit.jsonl"
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", space, str(JVPND), "--control-socket", self.socket, "--state-dir",
             self.directory / "state", "--audit", self.audit, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    @property
    def pid(self):
        return self.process.pid

    def ready(self):
        """Wait until it serves; returns itself."""
        deadline = time.monotonic() + 20 * SLOW
        while True:
            with contextlib.suppress(OSError, Gone), Client(self.socket) as client:
                same(client.call("Status")[0], None, "Status")
                return self
            if self.process.poll() is not None:
                raise AssertionError(f"it ended: {self.process.stderr.read()}")
            if time.monotonic() > deadline:
                raise AssertionError("it does not answer")
            time.sleep(0.01)

    def client(self):
        return Client(self.socket)

    def call(self, method, **parameters):
        with self.client() as client:
            return client.call(method, **parameters)

    def end(self, how=signal.SIGTERM):
        """(exit status, what it said)"""
        if how:
            self.process.send_signal(how)
        said = self.process.communicate(timeout=20 * SLOW)[1]
        return self.process.returncode, said

    def facts(self, name):
        """Of the process, and of each of its threads."""
        found = [Path(f"/proc/{self.pid}/status"), *Path(f"/proc/{self.pid}/task").glob("*/status")]
        return {re.search(rf"^{name}:\s*(\S+)", file.read_text(), re.M)[1] for file in found}

    def fact(self, name):
        values = self.facts(name)
        same(len(values), 1, f"values of {name} among the threads")
        return values.pop()

    def ask_in_time(self, what=""):
        """The daemon answers somebody else although a client misbehaves."""
        start = time.monotonic()
        same(self.call("Status")[0], None, f"Status {what}")
        within(time.monotonic() - start, 0, 1 * SLOW, f"seconds until Status is answered {what}")


class World:
    def __init__(self):
        self.undo = contextlib.ExitStack()
        self.space = f"jv{os.getpid()}-daemon"

    def __enter__(self):
        ip("netns", "add", self.space)
        self.undo.callback(ip, "netns", "del", self.space)
        self.directory = Path(tempfile.mkdtemp(prefix="jvpn-daemon-"))
        self.undo.callback(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        self.number = 0
        self.shared = None
        return self

    def __exit__(self, *_):
        self.undo.close()

    def fresh(self):
        self.number += 1
        directory = self.directory / str(self.number)
        directory.mkdir()
        return directory

    def daemon(self, *options, directory=None):
        return Daemon(self.space, directory or self.fresh(), *options)

    def serving(self):
        """One daemon for the tests that leave it as they find it."""
        if not self.shared:
            self.shared = self.undo.enter_context(self.daemon()).ready()
        same(self.shared.process.poll(), None, "the daemon's exit status")
        return self.shared

    def link(self, *words):
        return subprocess.run(["ip", "-n", self.space, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False).stdout

    @contextlib.contextmanager
    def device(self, name="jvpn0"):
        ip("-n", self.space, "link", "add", name, "type", "jvpn")
        try:
            yield
        finally:
            subprocess.run(["ip", "-n", self.space, "link", "del", name], stderr=subprocess.DEVNULL, check=False)


# --- who it is ---

@test("it keeps CAP_NET_ADMIN, no other capability, and can gain none")
def _(world):
    daemon = world.serving()
    same(len(list(Path(f"/proc/{daemon.pid}/task").iterdir())) > 1, True, "there is a second thread")
    for name in "CapEff", "CapPrm", "CapBnd":
        same(int(daemon.fact(name), 16), 1 << CAP_NET_ADMIN, name)
    for name in "CapInh", "CapAmb":
        same(int(daemon.fact(name), 16), 0, name)
    same(daemon.fact("NoNewPrivs"), "1", "NoNewPrivs")


@test("its memory is locked and not dumped")
def _(world):
    daemon = world.serving()
    within(int(daemon.fact("VmLck")), 1, 1 << 30, "VmLck")
    limits = Path(f"/proc/{daemon.pid}/limits").read_text()
    same(re.search(r"^Max core file size\s+(\S+)\s+(\S+)", limits, re.M).groups(), ("0", "0"), "core limit")


@test("without CAP_NET_ADMIN it says so and ends")
def _(world):
    done = subprocess.run(["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", str(JVPND), "--state-dir",
                           world.fresh() / "state"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=20 * SLOW, check=False)
    same((done.returncode, done.stderr), (1, "jvpnd: CAP_NET_ADMIN is missing: run it as root\n"))


@test("a second one is refused and told the pid of the first")
def _(world):
    daemon = world.serving()
    with world.daemon(directory=daemon.directory) as second:
        code, said = second.end(None)
    state = daemon.directory / "state"
    same((code, said), (1, f"jvpnd: another jvpnd, pid {daemon.pid}, uses {state}: stop it, or give this one its own "
                           "--state-dir\n"))
    daemon.ask_in_time()


@test("a second one with the same control socket is refused")
def _(world):
    daemon = world.serving()
    with world.daemon("--control-socket", str(daemon.socket)) as second:
        code, said = second.end(None)
    same((code, said), (1, f"jvpnd: another jvpnd answers at {daemon.socket}: stop it, or give this one its own "
                           "--control-socket\n"))
    daemon.ask_in_time()


@test("the term rises with every start, a killed one included")
def _(world):
    directory = world.fresh()
    for term, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGTERM), 1):
        with world.daemon(directory=directory) as daemon:
            daemon.ready()
            same(daemon.call("Status")[1]["term"], term, "term")
            same(daemon.end(how)[0], 0 if how != signal.SIGKILL else -how, f"exit status after {how}")


# --- configuration ---

@test("a device of the configuration is made, set up, and gone at the end")
def _(world):
    directory = world.fresh()
    (directory / "key").write_text(KEY)
    (directory / "key").chmod(0o600)
    (directory / "conf").write_text(f"""
        interface jvc0 {{ private-key = "file:{directory}/key" listen = "127.0.0.1:443" mtu = 1380
            addresses = {{ 10.77.0.1/24 }} }}
        peer phone {{ public-key = "{PUBLIC}" allowed-ips = 10.77.0.2/32 }}
        log {{ session-id = clear }}
        """)
    ip("-n", world.space, "link", "set", "lo", "up")
    with world.daemon("--config", directory / "conf", directory=directory) as daemon:
        daemon.ready()
        shown = json.loads(world.link("-j", "addr", "show", "dev", "jvc0"))[0]
        same((shown["mtu"], "UP" in shown["flags"]), (1380, True), "MTU and state")
        same([f"{a['local']}/{a['prefixlen']}" for a in shown["addr_info"] if a["family"] == "inet"],
             ["10.77.0.1/24"], "addresses")
        link, peers = daemon.call("LinkShow")[1]["links"], daemon.call("PeerShow")[1]["peers"]
        same([(x["ifname"], x["role"], x["listen"]) for x in link], [("jvc0", "gateway", "127.0.0.1:443")])
        same([(x["name"], x["allowed_ips"]) for x in peers], [("phone", ["10.77.0.2/32"])])
        same(daemon.end(), (0, "jvpnd: ready, term 1\n"))
    same("jvc0" in world.link("link", "show"), False, "the device is there after the end")


@test("a bad configuration is refused at start and leaves nothing")
def _(world):
    directory = world.fresh()
    (directory / "conf").write_text("interface jvc0 { }\ntransport a { }\ntransport b { preference = x }\n")
    before = world.link("link", "show")
    with world.daemon("--config", directory / "conf", directory=directory) as daemon:
        code, said = daemon.end(None)
    same((code, said), (1, f"{directory}/conf:3: preference: \"x\" is not allowed, it takes a number from 0 to 1000\n"))
    same(world.link("link", "show"), before, "links")
    same((directory / "state").exists(), False, "a state directory was made")


CLIENT = """
    interface jvc0 {{ private-key = "file:{0}/key" }}
    transport wifi {{ match = "nosuch*" }}
    peer home {{ public-key = "{1}" endpoint = "192.0.2.1:1" allowed-ips = 10.77.0.0/24 }}
    """


def configured(directory, more=""):
    (directory / "key").write_text(KEY)
    (directory / "key").chmod(0o600)
    (directory / "conf").write_text(CLIENT.format(directory, PUBLIC) + more)
    return "--config", directory / "conf"


def names(daemon):
    return [x["name"] for x in daemon.call("TransportShow")[1]["transports"]]


@test("the configuration is read anew on request: what changed changes, what is wrong changes nothing")
def _(world):
    directory = world.fresh()
    with world.daemon(*configured(directory), directory=directory) as daemon:
        daemon.ready()
        same(daemon.call("ConfApply"), (None, {}), "nothing changed")
        configured(directory, "transport lte { metered = true }")
        same(daemon.call("ConfApply"), (None, {}), "a transport more")
        same(names(daemon), ["wifi", "lte"])
        configured(directory, "transport usb { metred = true }")
        same(daemon.call("ConfApply"), ("ConfigRejected", {"message": f'{directory}/conf:5: option "metred" is not '
             "allowed in section transport, these are: interface, match, preference, metered"}))
        same(names(daemon), ["wifi", "lte"])
        (directory / "conf").write_text(CLIENT.format(directory, PUBLIC).replace(" }", " fwmark = 9 }", 1))
        error, said = daemon.call("ConfApply")
        same((error, "fwmark cannot change while it runs" in said["message"]), ("ConfigRejected", True), said)
        same(names(daemon), ["wifi", "lte"])
        (directory / "conf.d").mkdir()
        configured(directory)
        (directory / "conf.d/10-lte.conf").write_text("transport lte { }")
        daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10 * SLOW
        while daemon.call("TransportShow", name="lte")[1]["transports"][0]["metered"]:
            within(time.monotonic(), 0, deadline, "time")
            time.sleep(0.01)
        same(daemon.end(), (0, "jvpnd: ready, term 1\njvpnd: configuration applied\n"))


@test("what runs is shown as a configuration that is a good one")
def _(world):
    directory = world.fresh()
    with world.daemon(*configured(directory, "policy p { max-switches = 3 }"), directory=directory) as daemon:
        daemon.ready()
        text = daemon.call("ConfShow")[1]["text"]
        same(KEY in text, False, "a private key is shown")
        (directory / "shown").write_text(text)
        done = subprocess.run([JVPND, "--check-config", directory / "shown"], capture_output=True, text=True, check=False)
        same((done.returncode, done.stderr), (0, ""), text)
        daemon.end()


@test("what is told is there after the next start; what a file says is the file's")
def _(world):
    directory = world.fresh()
    told = directory / "state/jvpn-ip.conf"
    with world.daemon(*configured(directory), directory=directory) as daemon:
        daemon.ready()
        same(daemon.call("TransportAdd", ifname="jvc0", name="lte", preference=0), (None, {}))
        error, said = daemon.call("TransportDel", name="wifi")
        same((error, f"transport wifi stands in {directory}/conf:3" in said["note"]), (None, True), said)
        same(daemon.call("LinkSet", ifname="jvc1", private_key=KEY)[0], "NotFound", "no such device")
        same((names(daemon), "lte" in told.read_text(), oct(told.stat().st_mode)), (["lte"], True, "0o100600"))
        daemon.end()
    with world.daemon(*configured(directory), directory=directory) as daemon:
        daemon.ready()
        same(names(daemon), ["wifi", "lte"], "after a start")
        told.write_text(told.read_text() + "# mine\n")
        error, said = daemon.call("TransportDel", name="lte")
        same((error, "was edited meanwhile" in said["note"]), (None, True), said)
        same("was edited meanwhile" in daemon.call("Status")[1]["trouble"], True, "status")
        same(daemon.call("ConfApply"), (None, {}))
        same(names(daemon), ["wifi", "lte"], "the edited file is what counts")
        same(daemon.call("Status")[1].get("trouble"), None)
        daemon.end()


# --- methods ---

@test("nothing is known at the start")
def _(world):
    daemon = world.serving()
    same(daemon.call("LinkShow"), (None, {"links": []}))
    same(daemon.call("PeerShow"), (None, {"peers": []}))
    same(daemon.call("TransportShow"), (None, {"transports": []}))
    same(daemon.call("SessionShow"), (None, {"sessions": []}))
    names = [policy["name"] for policy in daemon.call("PolicyShow")[1]["policies"]]
    same(names[:4], ["carrier", "mobile", "fintech", "iot"])


@test("what is unknown to varlink is answered with its own errors")
def _(world):
    daemon = world.serving()
    service = "org.varlink.service."
    for method, parameters, error, what in (
            ("Nothing", {}, "MethodNotFound", {"method": "io.jvpn.Control.Nothing"}),
            ("io.other.Status", {}, "InterfaceNotFound", {"interface": "io.other"}),
            ("Status", {"x": 1}, "InvalidParameter", {"parameter": "x"}),
            ("LinkShow", {"ifname": 1}, "InvalidParameter", {"parameter": "ifname"}),
            ("PeerAdd", {"ifname": "j", "public_key": PUBLIC, "allowed_ips": [1]}, "InvalidParameter",
             {"parameter": "allowed_ips"}),
            ("PeerAdd", {"ifname": "j", "public_key": PUBLIC}, "InvalidParameter", {"parameter": "allowed_ips"}),
            ("LinkSet", {}, "InvalidParameter", {"parameter": "ifname"}),
            ("LinkSet", {"ifname": "j", "mtu": "1"}, "InvalidParameter", {"parameter": "mtu"}),
            ("TransportAdd", {"ifname": "j", "name": "n", "metered": 1}, "InvalidParameter", {"parameter": "metered"})):
        same(daemon.call(method, **parameters), (service + error, what), method)


@test("a bad argument is named, and nothing is half applied")
def _(world):
    daemon = world.serving()
    with world.device():
        same(daemon.call("LinkSet", ifname="jvpn0", private_key=KEY, listen="127.0.0.1:40001")[0], None)
        add = {"ifname": "jvpn0", "public_key": PUBLIC, "allowed_ips": ["10.0.0.0/8"]}
        table = (
            ("LinkSet", {"ifname": "none"}, "NotFound", "link", 'there is no interface "none": jvpn-ip link add none'),
            ("LinkSet", {"ifname": "lo"}, "InvalidParameter", "ifname", 'interface "lo" is not of kind jvpn'),
            ("LinkSet", {"ifname": "a/b"}, "InvalidParameter", "ifname", '"a/b" cannot be the name of an interface: '
             "1 to 15 characters without slash, colon and space are allowed"),
            ("LinkSet", {"ifname": "jvpn0", "mtu": 1}, "InvalidParameter", "mtu",
             "mtu 1 is not allowed: 576 to 65475 are"),
            ("LinkSet", {"ifname": "jvpn0", "mtu": 1400, "fwmark": -1}, "InvalidParameter", "fwmark",
             "-1 is not allowed, it takes a number from 0 to 4294967295"),
            ("LinkSet", {"ifname": "jvpn0", "mtu": 1400, "private_key": "x"}, "InvalidParameter", "private_key",
             "this is not a key: 44 characters of base64 are needed"),
            ("LinkSet", {"ifname": "jvpn0", "mtu": 1400, "listen": "1.2.3.4"}, "InvalidParameter", "listen",
             '"1.2.3.4" is not allowed, it takes an IPv4 ADDRESS:PORT'),
            ("PeerAdd", {**add, "ifname": "jvpn1"}, "NotFound", "peer",
             'interface "jvpn1" is not known here: jvpn-ip link set jvpn1 private-key FILE'),
            ("PeerAdd", {**add, "allowed_ips": []}, "InvalidParameter", "allowed_ips",
             "0 allowed-ips given: 1 to 32 are allowed"),
            ("PeerAdd", {**add, "allowed_ips": ["10.0.0.1/8"]}, "InvalidParameter", "allowed_ips",
             '"10.0.0.1/8" is not allowed, it takes ADDRESS/LENGTH without bits behind the length'),
            ("PeerAdd", {**add, "name": "a b"}, "InvalidParameter", "name",
             'name "a b" is not allowed: 1 to 63 letters, digits, dots, dashes and underscores are'),
            ("PeerAdd", {**add, "policy": "none"}, "NotFound", "peer", 'there is no policy "none"'),
            ("PeerAdd", {**add, "endpoint": "192.0.2.1:1"}, "InvalidParameter", "endpoint",
             "jvpn0 listens, it is a gateway: to be a client of others takes an interface of its own"),
            ("PeerDel", {"peer": "x"}, "NotFound", "peer", 'there is no peer "x"'),
            ("TransportDel", {"name": "x"}, "NotFound", "transport", 'there is no transport "x"'),
            ("PolicySet", {"name": "carrier", "knob": "x", "value": "1"}, "InvalidParameter", "knob",
             '"x" is not a policy knob'),
            ("PolicySet", {"name": "carrier", "knob": "recovery-window", "value": "1h"}, "InvalidParameter", "value",
             'recovery-window: "1h" is not allowed, it takes a duration from 100ms to 10m'),
            ("PolicySet", {"name": "carrier", "knob": "recovery-window", "value": "3m"}, "InvalidParameter", "value",
             "policy carrier: recovery-window: 3m is not allowed, it must be less than transport-lost-ttl (2m)"),
        )
        before = [daemon.call(method) for method in ("LinkShow", "PeerShow", "TransportShow", "PolicyShow")]
        for method, parameters, error, named, message in table:
            key = "what" if error == "NotFound" else "parameter"
            same(daemon.call(method, **parameters), (error, {key: named, "message": message}), f"{method} {parameters}")
        for session in "SessionSwitch", "SessionTerminate":
            more = {"transport": "wifi"} if session == "SessionSwitch" else {}
            same(daemon.call(session, id="00" * 8, **more)[0], "NotFound", session)
        after = [daemon.call(method) for method in ("LinkShow", "PeerShow", "TransportShow", "PolicyShow")]
        same(after, before, "what is configured")
        same(daemon.call("LinkForget", ifname="jvpn0"), (None, {}))


@test("what was set is shown, without its secrets, and can be taken away")
def _(world):
    daemon = world.serving()
    with world.device():
        same(daemon.call("LinkSet", ifname="jvpn0", private_key=KEY, fwmark=7, table=99, mtu=1300)[0], None)
        same(json.loads(world.link("-j", "link", "show", "jvpn0"))[0]["mtu"], 1300, "MTU")
        same(daemon.call("PeerAdd", ifname="jvpn0", public_key=PUBLIC, name="gw", endpoint="192.0.2.1:1",
                         allowed_ips=["0.0.0.0/0", "::/0"], preshared_key=PSK, policy="mobile")[0], None)
        same(daemon.call("TransportAdd", ifname="jvpn0", name="lte", match="wwan*", metered=True), (None, {}))
        shown = json.dumps([daemon.call(method) for method in ("LinkShow", "PeerShow", "TransportShow")])
        same([secret for secret in (KEY, PSK) if secret in shown], [], "secrets shown")
        link = daemon.call("LinkShow", ifname="jvpn0")[1]["links"][0]
        same([link[name] for name in ("role", "fwmark", "table", "mtu")], ["client", 7, 99, 1300])
        same(daemon.call("PeerShow", peer=PUBLIC)[1]["peers"],
             [{"name": "gw", "ifname": "jvpn0", "public_key": PUBLIC, "fingerprint": PRINT,
               "endpoint": "192.0.2.1:1", "allowed_ips": ["0.0.0.0/0", "::/0"], "preshared": True, "policy": "mobile"}])
        same(daemon.call("TransportShow")[1]["transports"],
             [{"name": "lte", "ifname": "jvpn0", "match": "wwan*", "preference": 100, "metered": True, "up": False}])
        same(daemon.call("PeerDel", peer="gw"), (None, {}))
        same(daemon.call("TransportDel", name="lte"), (None, {}))
        same(daemon.call("LinkForget", ifname="jvpn0"), (None, {}))
        same(json.loads(world.link("-j", "link", "show", "jvpn0"))[0]["mtu"], 1420, "MTU afterwards")
    same(daemon.call("LinkShow"), (None, {"links": []}))


@test("a device that goes and comes back is taken up again")
def _(world):
    daemon = world.serving()
    with world.device():
        same(daemon.call("LinkSet", ifname="jvpn0", private_key=KEY, mtu=1300)[0], None)
    with world.device():
        deadline = time.monotonic() + 10 * SLOW
        while json.loads(world.link("-j", "link", "show", "jvpn0"))[0]["mtu"] != 1300:
            within(time.monotonic(), 0, deadline, "time")
            time.sleep(0.01)
        same(daemon.call("LinkForget", ifname="jvpn0"), (None, {}))


@test("a change of the configuration is in the audit stream, a key is not")
def _(world):
    daemon = world.serving()
    same(daemon.call("PolicySet", name="mine", knob="recovery-window", value="7s"), (None, {}))
    same(daemon.call("PolicySet", name="mine", knob="recovery-window", value="1x")[0], "InvalidParameter")
    same(daemon.call("PolicySet", name="mine", knob="recovery-window", value="8s", if_version=9),
         ("VersionConflict", {"version": 1, "message": "policy mine is at version 1, you gave 9"}))
    deadline = time.monotonic() + 10 * SLOW
    while "POLICY_REJECTED" not in (text := daemon.audit.read_text()):
        within(time.monotonic(), 0, deadline, "time")
        time.sleep(0.01)
    events = [json.loads(line) for line in text.splitlines()]
    loaded = [event for event in events if event["event_type"] == "POLICY_LOADED"]
    same([event["text"] for event in loaded], ["mine: recovery-window = 7s"])
    changed = {event["text"] for event in events if event["event_type"] == "CONFIG_CHANGED"}
    within(len({"LinkSet", "LinkForget", "PeerAdd", "PeerDel", "TransportAdd"} & changed), 5, 5, "kinds of changes")
    same([event["seq"] for event in events], list(range(1, len(events) + 1)), "sequence")
    same([secret for secret in (KEY, PSK, KEY[:20]) if secret in text], [], "secrets")


# --- clients that misbehave ---

@test("many calls in one go are answered in order")
def _(world):
    with world.serving().client() as client:
        client.send(b"".join(json.dumps({"method": f"io.jvpn.Control.M{n}"}).encode() + b"\0" for n in range(500)))
        same([client.receive()["parameters"]["method"] for _ in range(500)],
             [f"io.jvpn.Control.M{n}" for n in range(500)])


@test("a call may come byte by byte, and without a reply")
def _(world):
    with world.serving().client() as client:
        client.request("Status", more={"oneway": True})
        for byte in json.dumps({"method": "io.jvpn.Control.LinkShow"}).encode() + b"\0":
            client.send(bytes([byte]))
        same(client.receive(), {"parameters": {"links": []}})


@test("who shuts down after the call still gets the reply")
def _(world):
    with world.serving().client() as client:
        client.request("LinkShow")
        client.socket.shutdown(socket.SHUT_WR)
        same(client.receive(), {"parameters": {"links": []}})


@test("what is not a call ends the connection")
def _(world):
    daemon = world.serving()
    deep = b'{"method":' + b"[" * 30000 + b"]" * 30000 + b"}"
    for text in (b"hello", b"[]", b"{", b"1", b'"x"', b"{}{}", b'{"a":1,"a":2}', deep, b"\xff\xfe", b""):
        with daemon.client() as client:
            client.send(text + b"\0")
            try:
                got = client.receive()
            except Gone:
                continue
            raise AssertionError(f"{text[:20]} was answered: {got}")
    daemon.ask_in_time()


@test("a call without a method, or with odd parameters, is an error and no more")
def _(world):
    for text in ({}, {"method": 1}, {"method": "x"}, {"method": "io.jvpn.Control.Status", "parameters": 1}):
        with world.serving().client() as client:
            client.send(json.dumps(text).encode() + b"\0")
            same(client.receive()["error"], "org.varlink.service.InvalidParameter", text)


@test("a message without end is cut off at 64 KiB")
def _(world):
    daemon = world.serving()
    with daemon.client() as client:
        try:
            for _ in range(64):
                client.send(b"x" * 4096)
            client.receive()
        except Gone:
            pass
        else:
            raise AssertionError("it was answered")
    daemon.ask_in_time()


@test("who stops in the middle of a message is cut off after 5 s, who just waits is not")
def _(world):
    daemon = world.serving()
    with daemon.client() as stuck, daemon.client() as idle:
        start = time.monotonic()
        stuck.send(b'{"method":')
        daemon.ask_in_time("beside it")
        try:
            stuck.receive()
        except Gone:
            pass
        within(time.monotonic() - start, 4.9, 5 + 3 * SLOW, "seconds until it was cut off")
        same(idle.call("LinkShow"), (None, {"links": []}))


@test("who never reads holds up nobody and is cut off")
def _(world):
    daemon = world.serving()
    with daemon.client() as client:
        client.socket.setblocking(False)
        request = json.dumps({"method": "io.jvpn.Control.PolicyShow"}).encode() + b"\0"
        start = time.monotonic()
        alive = True
        while alive and time.monotonic() < start + 20 * SLOW:
            try:
                client.socket.send(request * 10)
            except BlockingIOError:
                daemon.ask_in_time("beside it")
                time.sleep(0.1)
            except OSError:
                alive = False
        same(alive, False, "it is still connected")
        within(int(daemon.fact("VmRSS")), 0, 100 * 1024, "memory in KiB")
    daemon.ask_in_time()


@test("a flood of calls does not keep others from being heard")
def _(world):
    daemon = world.serving()
    flood = subprocess.Popen([sys.executable, "-c", """
import socket, sys, threading
def flood():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        def read():
            while s.recv(1 << 20): pass
        threading.Thread(target=read, daemon=True).start()
        while True: s.sendall(b'{"method":"io.jvpn.Control.Status"}\\0' * 500)
for _ in range(3): threading.Thread(target=flood, daemon=True).start()
flood()
""", str(daemon.socket)])
    try:
        for _ in range(20):
            daemon.ask_in_time("during the flood")
    finally:
        flood.kill()
        flood.wait()
    daemon.ask_in_time()


@test("of too many idle connections the oldest gives way")
def _(world):
    daemon = world.serving()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.client()) for _ in range(60)]
        same(clients[-1].call("LinkShow"), (None, {"links": []}))
        try:
            clients[0].call("LinkShow")
        except Gone:
            pass
        else:
            raise AssertionError("the oldest is still served")
        daemon.ask_in_time("with 60 connections")


@test("only root may talk to it, whatever the socket's mode")
def _(world):
    daemon = world.serving()
    same(oct(daemon.socket.stat().st_mode & 0o7777), "0o660", "mode")
    os.chmod(daemon.socket, 0o666)
    try:
        done = subprocess.run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable,
                               "-c", """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b'{"method":"io.jvpn.Control.Status"}\\0')
except BrokenPipeError:
    pass
print(s.recv(4096).decode())
""", str(daemon.socket)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    finally:
        os.chmod(daemon.socket, 0o660)
    same(json.loads(done.stdout.strip().strip("\0")),
         {"error": "org.varlink.service.PermissionDenied", "parameters": {}})


@test("the control group may talk to it, others may not, in a directory that it makes")
def _(world):
    directory = world.fresh()
    run_directory = directory / "run"
    (directory / "conf").write_text("daemon { control-group = nogroup }\n")
    ask = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"method":"io.jvpn.Control.LinkShow"}\\0')
print(s.recv(4096).decode().strip(chr(0)))
"""
    with world.daemon("--config", directory / "conf", "--control-socket", run_directory / "control.sock",
                      directory=directory) as daemon:
        daemon.socket = run_directory / "control.sock"
        daemon.ready()
        same(run_directory.stat().st_mode & 0o777, 0o755, "mode of the directory")
        for groups, wanted in ((["--regid=65534", "--clear-groups"], '{"parameters":{"links":[]}}'),
                               (["--regid=100", "--groups=100,65534"], '{"parameters":{"links":[]}}'),
                               (["--regid=100", "--clear-groups"], "PermissionError")):
            done = subprocess.run(["setpriv", "--reuid=1000", *groups, sys.executable, "-c", ask, str(daemon.socket)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            same(done.stdout.strip().splitlines()[-1].startswith(wanted), True, f"{groups}: {done.stdout}")
        same((daemon.end()[0], daemon.socket.exists()), (0, False), "exit status, socket")


@test("a stalled audit file changes nothing")
def _(world):
    directory = world.fresh()
    os.mkfifo(directory / "audit.jsonl")
    with world.daemon(directory=directory) as daemon:
        daemon.ready()
        with daemon.client() as client:
            for n in range(3000):
                client.request("PolicySet", name=f"p{n % 10}", knob="recovery-window", value="7s")
                same(client.receive(), {"parameters": {}}, "PolicySet")
        daemon.ask_in_time("with an audit stream that nobody reads")
        start = time.monotonic()
        same(daemon.end()[0], 0, "exit status")
        within(time.monotonic() - start, 0, 3 + 3 * SLOW, "seconds until the end")


@test("at the end the socket is gone")
def _(world):
    daemon = world.serving()
    code, said = daemon.end()
    same((code, daemon.socket.exists()), (0, False), "exit status, socket")
    same([line for line in said.splitlines() if "control socket sent more" not in line],
         ["jvpnd: ready, term 1"], "what it said")
    world.shared = None


run(World)
