#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""KTAP: what jvpn-ip makes of a daemon's answers, played here: configuration, export, notes, history, batches."""
import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
TOOL, JVPND = (os.path.join(TOP, "build", name) for name in ("jvpn-ip", "jvpnd"))
KEY = base64.b64encode(bytes([7]) * 32).decode()

PEER = {"name": "phone", "ifname": "jvpn0", "public_key": KEY, "fingerprint": "SHA256:0", "allowed_ips": ["10.77.0.2/32"],
        "preshared": False, "policy": "mobile"}
LINK = {"ifname": "jvpn0", "role": "gateway", "public_key": KEY, "listen": "203.0.113.2:51820",
        "addresses": ["10.77.0.1/24", "fd00:7::1/64"]}


class Daemon:
    """Answers every call with what `answers` has for its method."""

    def __init__(self, path, answers):
        self.answers, self.calls = answers, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.socket.accept()[0]
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        left = b""
        while data := connection.recv(65536):
            left += data
            while b"\0" in left:
                text, left = left.split(b"\0", 1)
                call = json.loads(text)
                method = call["method"].rsplit(".", 1)[1]
                self.calls.append((method, call["parameters"]))
                answer = self.answers.get(method, {})
                if "error" not in answer:
                    answer = {"parameters": answer}
                connection.sendall(json.dumps(answer).encode() + b"\0")


class Report:
    def __init__(self):
        self.lines, self.failed = [], 0

    def same(self, name, got, wanted):
        good = got == wanted
        self.failed += not good
        if not good:
            self.lines.append(f"# got    {got!r}\n# wanted {wanted!r}")
        self.lines.append(f"{'ok' if good else 'not ok'} {sum(not l.startswith('#') for l in self.lines) + 1} {name}")

    def end(self):
        print(f"1..{sum(not l.startswith('#') for l in self.lines)}")
        print("\n".join(self.lines))
        sys.exit(1 if self.failed else 0)


def main():
    report = Report()
    directory = tempfile.mkdtemp()
    path = os.path.join(directory, "sock")
    audit = os.path.join(directory, "audit.jsonl")
    answers = {"PeerShow": {"peers": [PEER]}, "LinkShow": {"links": [LINK]}}
    daemon = Daemon(path, answers)

    def tool(*words, text=None):
        done = subprocess.run([TOOL, "-S", path, *words], input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=20, check=False, cwd=directory)
        return done.returncode, done.stdout, done.stderr

    def check(text):
        with open(os.path.join(directory, "key"), "w") as f:
            os.chmod(f.name, 0o600)
            f.write(KEY)
        with open(os.path.join(directory, "exported.conf"), "w") as f:
            f.write(re.sub(r'file:[^"]*', f"file:{directory}/key", text))
        done = subprocess.run([JVPND, "--check-config", f.name], stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stderr

    # configuration
    answers["ConfShow"] = {"text": "interface \"j\" {\n}\n"}
    report.same("conf show: the text, and nothing else", tool("conf", "show"), (0, "interface \"j\" {\n}\n", ""))
    answers["ConfApply"] = {}
    report.same("conf apply", tool("conf", "apply"), (0, "", ""))
    report.same("daemon reload is the same", (tool("daemon", "reload"), daemon.calls[-1]), ((0, "", ""), ("ConfApply", {})))
    answers["ConfApply"] = {"error": "io.jvpn.Control.ConfigRejected", "parameters": {"message": "x.conf:3: no such thing"}}
    report.same("conf apply: why not", tool("conf", "apply"), (2, "", "Error: jvpn: x.conf:3: no such thing.\n"))
    answers["TransportDel"] = {"note": "transport t stands in x.conf:4: change it there"}
    report.same("what is done by half is noted", tool("transport", "del", "t"),
                (0, "", "Note: transport t stands in x.conf:4: change it there.\n"))

    # prefer
    answers["TransportShow"] = {"transports": [{"name": n, "ifname": i, "preference": p} for n, i, p in (
        ("wifi", "j", 100), ("lte", "j", 50), ("other", "k", 900))]}
    answers["SessionShow"] = {"sessions": [{"id": "0a", "ifname": "j", "transport": "wifi"},
                                           {"id": "0b", "ifname": "j", "transport": "lte"},
                                           {"id": "0c", "ifname": "k", "transport": "other"}]}
    del daemon.calls[:]
    report.same("transport prefer: first in line, and sessions go there", (tool("transport", "prefer", "lte"), daemon.calls[1:]),
                ((0, "", ""), [("TransportPrefer", {"name": "lte", "preference": 101}), ("SessionShow", {}),
                               ("SessionSwitch", {"id": "0a", "transport": "lte"})]))
    del daemon.calls[:]
    report.same("what is first already stays as it is", (tool("transport", "prefer", "wifi"), daemon.calls[1:]),
                ((0, "", ""), [("SessionShow", {}), ("SessionSwitch", {"id": "0b", "transport": "wifi"})]))
    report.same("transport prefer: no such one", tool("transport", "prefer", "usb"),
                (5, "", 'Error: jvpn: there is no transport "usb".\n'))
    report.same("transport block", (tool("transport", "block", "lte", "for", "10s"), daemon.calls[-1]),
                ((0, "", ""), ("TransportBlock", {"name": "lte", "for_ms": 10000})))

    # export
    code, text, said = tool("peer", "export", "phone", "as", "gw")
    report.same("peer export", (code, said), (0, ""))
    report.same("it is a configuration", check(text), (0, ""))
    report.same("with the gateway's key, address, networks and the policy",
                [word in text for word in (f'public-key = "{KEY}"', 'endpoint = "203.0.113.2:51820"', 'policy = "mobile"',
                                           'allowed-ips = { "10.77.0.0/24", "fd00:7::/64" }', 'peer "gw"')], [True] * 5)
    code, text, said = tool("peer", "export", "phone", "allowed-ips", "0.0.0.0/0,::/0", "endpoint", "192.0.2.9:443")
    report.same("what is said wins", (code, said, 'allowed-ips = { "0.0.0.0/0", "::/0" }' in text,
                                      'endpoint = "192.0.2.9:443"' in text, check(text)), (0, "", True, True, (0, "")))
    answers["LinkShow"] = {"links": [{**LINK, "listen": "0.0.0.0:51820"}]}
    report.same("nobody can send to everywhere", tool("peer", "export", "phone"),
                (1, "", "Error: jvpn: jvpn0 listens at 0.0.0.0:51820, which is no address to send to: say endpoint "
                 "ADDRESS:PORT.\n"))
    answers["LinkShow"] = {"links": [{**LINK, "addresses": []}]}
    report.same("what is behind it must be known", tool("peer", "export", "phone"),
                (1, "", "Error: jvpn: jvpn0 has no address that says what is behind it: say allowed-ips PREFIX.\n"))
    answers["PeerShow"] = {"peers": [{**PEER, "preshared": True, "policy": "own"}]}
    answers["LinkShow"] = {"links": [LINK]}
    code, text, said = tool("peer", "export", "phone")
    report.same("a preshared key is named, a policy that is not everywhere is not",
                (code, "preshared = " in text, "policy" in text, check(text)), (0, True, False, (0, "")))

    # events
    events = [{"schema": 1, "seq": n, "ts_ms": 1000 * n, "event_type": "STATE_CHANGE" if n % 2 else "TRANSPORT_SWITCH",
               "session_id": "aa" * 16 if n < 8 else "bb" * 16, "edge": "T4", "previous_state": "ATTACHED",
               "new_state": "RECOVERING", "reason": "TRANSPORT_DEAD", "state_version": n} for n in range(1, 11)]
    with open(audit, "w") as f:
        f.write("".join(json.dumps(event) + "\n" for event in events) + '{"schema":1,"event_type":"half')
    answers["AuditWhere"] = {"path": audit}
    code, text, said = tool("-j", "audit", "tail", "last", "3")
    report.same("audit tail: the last whole ones", (code, [e["seq"] for e in json.loads(text)], said), (0, [8, 9, 10], ""))
    code, text, said = tool("audit", "tail")
    report.same("audit tail, for people", (code, len(text.splitlines()), text.splitlines()[0], said),
                (0, 10, "1970-01-01T00:00:01.000Z STATE_CHANGE aaaaaaaaaaaaaaaa edge=T4 previous_state=ATTACHED "
                 "new_state=RECOVERING reason=TRANSPORT_DEAD state_version=1", ""))
    report.same("audit tail: nothing that new", tool("-j", "audit", "tail", "since", "1h"), (0, "[]\n", ""))
    answers["AuditWhere"] = {"path": audit, "session_id": "aa" * 16}
    code, text, said = tool("-j", "session", "history", "id", "01" * 8, "last", "2")
    report.same("session history: its changes alone", (code, [e["seq"] for e in json.loads(text)], daemon.calls[-1]),
                (0, [5, 7], ("AuditWhere", {"id": "01" * 8})))
    answers["AuditWhere"] = {"path": os.path.join(directory, "none")}
    report.same("audit tail: no file", tool("audit", "tail"),
                (2, "", f"Error: the stream of events {directory}/none cannot be read: No such file or directory.\n"))

    # refusals
    answers["Refusals"] = {"refusals": [{"peer": "phone", "from": "192.0.2.1:1", "reason": "AUTH_FAIL", "count": 3,
                                         "age_ms": 1500, "text": "proof of possession failed"}]}
    code, text, said = tool("daemon", "status", "--why")
    report.same("daemon status --why", (code, text.splitlines()[1].split(), said),
                (0, "phone 192.0.2.1:1 1.5s 3 AUTH_FAIL proof of possession failed".split(), ""))
    code, text, said = tool("-j", "daemon", "status", "why")
    report.same("the same in JSON", (code, json.loads(text)[0]["reason"]), (0, "AUTH_FAIL"))

    # batches
    batch = os.path.join(directory, "batch")
    answers["TransportDel"] = answers["PolicySet"] = {}
    with open(batch, "w") as f:
        f.write("# first\n\ntransport del a\ntransport del 'b'  # and so on\nnonsense here\ntransport del c\n")
    del daemon.calls[:]
    code, text, said = tool("-b", batch)
    report.same("a batch: up to the line that is wrong", (code, text, said.split(" is wrong")[0],
                                                          [c[1]["name"] for c in daemon.calls]),
                (1, "", f'{batch}:5: Error: argument "nonsense"', ["a", "b"]))
    code, text, said = tool("-f", "-b", batch)
    report.same("with -f on to the end", (code, daemon.calls[-1]), (1, ("TransportDel", {"name": "c"})))
    report.same("from standard input", (tool("-batch", "-", text="transport del x\n"), daemon.calls[-1]),
                ((0, "", ""), ("TransportDel", {"name": "x"})))
    report.same("a quote that is not closed", tool("-b", "-", text='\ntransport del "x\n'),
                (1, "", 'standard input:2: Error: argument "x" is wrong: a quote is not closed\n'))
    answers["TransportDel"] = {"error": "io.jvpn.Control.NotFound", "parameters": {"what": "transport", "message": "no"}}
    report.same("the exit code is the line's", tool("-b", "-", text="transport del x\n"),
                (5, "", "standard input:1: Error: jvpn: no.\n"))
    report.same("no file", tool("-b", os.path.join(directory, "none")),
                (2, "", f"Error: the batch {directory}/none cannot be read: No such file or directory.\n"))
    report.end()


main()
