# SPDX-License-Identifier: GPL-2.0
"""Ends of real tunnels: namespaces, and a jvpnd with its jvpn-ip in each."""

import collections
import contextlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from jvpn_netlink import SLOW, Netlink, space

BUILD = Path(__file__).resolve().parents[2] / "build"
STATES = {1: "BIRTH", 2: "ATTACHED", 3: "VOLATILE", 4: "RECOVERING", 5: "DEGRADED", 6: "TERMINATED"}


def run(*words, text="", ok=True):
    done = subprocess.run(words, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if ok and done.returncode:
        raise AssertionError(f"{' '.join(map(str, words))} -> {done.returncode}: {done.stdout}{done.stderr}")
    return done


def wait_until(what, seconds, question, *arguments):
    """The first answer that is not empty, or an AssertionError that says what did not come."""
    deadline = time.monotonic() + seconds * SLOW
    while not (answer := question(*arguments)):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)
    return answer


def sockaddr(data):
    """(address, port) of a struct sockaddr_in."""
    return str(ipaddress.ip_address(data[4:8])), int.from_bytes(data[2:4], "big")


class End:
    """A namespace with a daemon in it."""

    def __init__(self, name, work):
        self.name, self.space = name, f"jv{os.getpid()}-{name}"
        self.work = Path(work) / name
        self.work.mkdir()
        self.daemon = self.netlink = None
        self.private = self.work / "key"

    def ip(self, *words):
        return run("ip", "-n", self.space, *words)

    def inside(self, *words, **how):
        return run("ip", "netns", "exec", self.space, *words, **how)

    def open(self):
        run("ip", "netns", "add", self.space)
        self.ip("link", "set", "lo", "up")

    def close(self):
        self.stop()
        pids = run("ip", "netns", "pids", self.space).stdout.split()
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "del", self.space)

    # the daemon

    def start(self):
        log = open(self.work / "log", "ab")  # pylint: disable=consider-using-with
        self.daemon = subprocess.Popen(
            ["ip", "netns", "exec", self.space, str(BUILD / "jvpnd"), "--control-socket", str(self.work / "sock"),
             "--state-dir", str(self.work / "state"), "--audit", str(self.work / "audit")],
            stdout=log, stderr=log)
        log.close()
        self.cli("-w", "20", "daemon", "status")
        with space(self.space):
            self.netlink = Netlink("session")
        self.ifindex = None

    def stop(self, number=signal.SIGTERM):
        """End the daemon, by that signal. Its exit status."""
        if not self.daemon:
            return None
        self.netlink.close()
        self.daemon.send_signal(number)
        status = self.daemon.wait(20 * SLOW)
        self.daemon = self.netlink = None
        return status

    def cli(self, *words, text="", ok=True):
        return self.inside(str(BUILD / "jvpn-ip"), "-S", str(self.work / "sock"), *words, text=text, ok=ok)

    def make_key(self):
        self.private.write_text(self.cli("key", "gen").stdout)
        self.private.chmod(0o600)
        self.public = self.cli("key", "pub", text=self.private.read_text()).stdout.strip()

    def secret(self, data):
        """Use this static key, of 32 bytes."""
        self.private.write_text(data + "\n")
        self.private.chmod(0o600)
        self.public = self.cli("key", "pub", text=data).stdout.strip()

    # what can be seen

    def sessions(self):
        """The kernel's sessions."""
        return [s for reply in self.netlink.dump("session-get") for s in reply.get("session", [])]

    def session(self):
        """The only one, or None."""
        found = self.sessions()
        return found[0] if len(found) == 1 else None

    def is_at(self, state, version=None, path=None):
        s = self.session()
        return s if s and (STATES[s["state"]] == state and version in (None, s["state-version"]) and
                           path in (None, s.get("binding", {}).get("path"))) else None

    def remote(self):
        return sockaddr(self.session()["binding"]["remote"])

    def clear(self):
        """End what sessions there are."""
        for s in self.sessions():
            self.cli("session", "terminate", "id", s["sid"].hex(), ok=False)
        wait_until(f"{self.name} has no session", 10, lambda: not self.sessions())

    def events(self, *kinds, after=0):
        """Records of the event stream, of these kinds, beyond a sequence number."""
        try:
            lines = (self.work / "audit").read_text().splitlines()
        except FileNotFoundError:
            return []
        records = [json.loads(line) for line in lines if line.endswith("}")]
        return [r for r in records if (not kinds or r["event_type"] in kinds) and r["seq"] > after]

    def story(self, after=0):
        return [(r["edge"], r["new_state"], r["reason"], r.get("detail", "NONE"))
                for r in self.events("STATE_CHANGE", after=after)]

    def told(self):
        """Does the audit stream know each live session in the state version that the kernel has?"""
        last = {r["session_id"]: r for r in self.events("STATE_CHANGE") if "session_id" in r}
        told = [r["state_version"] for r in last.values() if r["new_state"] != "TERMINATED"]
        held = [s["state-version"] for s in self.sessions()
                if s["state-version"] and STATES[s["state"]] != "TERMINATED"]
        return not collections.Counter(held) - collections.Counter(told)

    def last_seq(self):
        """Of the last event, once everything that has happened is told: another thread writes it."""
        wait_until("what has happened is told", 10, self.told)
        return max([r["seq"] for r in self.events()], default=0)

    def refused(self):
        status, = json.loads(self.cli("-j", "daemon", "status").stdout)
        return {name.upper(): count for name, count in status["refusals"].items()}

    def refusals_since(self, before):
        now = self.refused()
        return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}

    def log(self):
        path = self.work / "log"
        return path.read_text() if path.exists() else ""


class Ends(contextlib.AbstractContextManager):
    """Ends by name as attributes; subclasses wire them in build()."""

    names = ()

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            self.work = tempfile.mkdtemp()
            undo.callback(shutil.rmtree, self.work)
            self.ends = []
            undo.callback(self.say_more)
            for name in self.names:
                end = End(name, self.work)
                end.open()
                undo.callback(end.close)
                setattr(self, name, end)
                self.ends.append(end)
            self.undo = undo
            self.build()
            self.undo = undo.pop_all()
        return self

    def build(self):
        pass

    def say_more(self):
        """What the daemons said, for whoever reads about a failure."""
        for end in self.ends:
            for line in end.log().splitlines():
                print(f"# {end.name}: {line}")

    def __exit__(self, *_):
        self.undo.close()

    @staticmethod
    def cable(left, name, address, right, far_name, far_address):
        """A veth pair between two ends, with addresses, up."""
        left.ip("link", "add", name, "type", "veth", "peer", "name", far_name, "netns", right.space)
        left.ip("addr", "add", address, "dev", name)
        right.ip("addr", "add", far_address, "dev", far_name)
        left.ip("link", "set", name, "up")
        right.ip("link", "set", far_name, "up")
