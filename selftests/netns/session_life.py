#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Two clients with two uplinks each and their gateway: what happens to their links and daemons, and what
becomes of the sessions."""
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from ends import Ends, wait_until  # noqa: E402
from ktap import run, same, say, test  # noqa: E402

GATEWAY, PORT = "203.0.113.2", 51820
DEAD = ("T4", "RECOVERING", "TRANSPORT_DEAD")
BACK = ("T9", "ATTACHED", "REATTACH_SUCCESS")


class World(Ends):
    names = ("phone", "tablet", "router", "gateway")

    def build(self):
        self.router.inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.cable(self.router, "gw", "203.0.113.1/24", self.gateway, "wan", f"{GATEWAY}/24")
        self.gateway.ip("route", "add", "default", "via", "203.0.113.1")
        for number, client in enumerate((self.phone, self.tablet), 1):
            client.number = number
            for uplink in "wifi", "lte":
                self.plug(client, uplink)
        self.router.inside("nft", "-f", "-", text="""table inet dark {
            chain wifi1 { }
            chain forward { type filter hook forward priority 0; jump wifi1; }
        }""")
        for end in self.phone, self.tablet, self.gateway:
            end.start()
            end.make_key()
            self.make_quick(end)
        self.serve()
        for client in self.phone, self.tablet:
            self.begin(client)

    def told_closed(self, client):
        wait_until(f"{client.name} is told", 10, lambda: ("T19", "TERMINATED", "PEER_TERMINATED", "PEER_CLOSED")
                   in client.story(client.seq))

    @staticmethod
    def make_quick(end):
        """A session without transport lives 3 s, and there may be many switches."""
        for knob, value in (("switch-cooldown", "100ms"), ("recovery-window", "1s"), ("transport-lost-ttl", "3s"),
                            ("max-switches", "32"), ("switch-window", "10s"), ("reattach-rate", "50"),
                            ("reattach-burst", "50")):
            end.cli("policy", "set", "quick", knob, value)

    def net(self, client, uplink):
        return f"10.{client.number}.{('wifi', 'lte').index(uplink)}"

    def plug(self, client, uplink):
        net = self.net(client, uplink)
        self.cable(self.router, f"{uplink}{client.number}", f"{net}.1/24", client, uplink, f"{net}.2/24")
        self.route(client, uplink)

    def route(self, client, uplink):
        client.ip("route", "replace", "default", "via", f"{self.net(client, uplink)}.1", "dev", uplink,
                  "metric", str(100 + ("wifi", "lte").index(uplink)))

    def serve(self):
        self.gateway.cli("link", "add", "jvpn0", "private-key", str(self.gateway.private),
                         "listen", f"{GATEWAY}:{PORT}", "address", "10.77.0.1/24", "up")
        self.register()

    def register(self):
        for client in self.phone, self.tablet:
            self.gateway.cli("peer", "add", client.public, "name", client.name, "allowed-ips",
                             f"{self.inner(client)}/32", "policy", "quick")

    @staticmethod
    def inner(client):
        return f"10.77.0.{client.number + 1}"

    def begin(self, client):
        client.cli("link", "add", "jvpn0", "private-key", str(client.private))
        client.cli("transport", "add", "wifi", "preference", "100")
        client.cli("transport", "add", "lte", "preference", "50")
        self.dial(client)

    def dial(self, client):
        client.cli("peer", "add", self.gateway.public, "name", "home", "endpoint", f"{GATEWAY}:{PORT}",
                   "allowed-ips", "10.77.0.0/24", "policy", "quick")

    # questions

    def mine(self, client):
        """The gateway's session of that client."""
        found = [s for s in self.gateway.sessions() if s.get("label") == client.name and s["state"] != 1]
        return found[0] if len(found) == 1 else None

    def agree(self, client):
        here, there = client.session(), self.mine(client)
        return here and there and here["sid"] == there["sid"] and here["state"] == there["state"] and \
            (here["term"], here["bver"]) == (there["term"], there["bver"])

    def carries(self, client):
        client.inside("ping", "-q", "-c", "2", "-i", "0.2", "-W", "3", "10.77.0.1")

    def attached(self, client, uplink=None):
        wait_until(f"{client.name} is attached", 30, lambda: self.agree(client) and client.is_at("ATTACHED"))
        if uplink:
            wait_until(f"{client.name} is on {uplink}", 20, lambda: self.uplink(client) == uplink)
        self.carries(client)

    def uplink(self, client):
        """The interface the tunnel's packets leave by."""
        there = self.mine(client)
        if not there or "binding" not in there:
            return None
        octets = there["binding"]["remote"][4:7]
        for uplink in "wifi", "lte":
            if bytes(map(int, self.net(client, uplink).split("."))) == octets:
                return uplink
        return None

    def warm(self, client):
        session = client.session()
        return session and [c for c in session.get("candidate", [])
                            if c["path"] != session.get("binding", {}).get("path") and c["state"] == "alive"]

    def rest(self, client=None):
        """Attached by wifi with lte warm. Where the events are now."""
        client = client or self.phone
        self.attached(client)
        if self.uplink(client) != "wifi":
            wait_until("wifi is warm", 40, self.warm, client)
            wait_until("the switch is allowed", 10, lambda: client.cli(
                "session", "switch", "peer", "home", "transport", "wifi", ok=False).returncode == 0)
        self.attached(client, "wifi")
        wait_until("lte is warm", 40, self.warm, client)
        client.seq, self.gateway.seq = client.last_seq(), self.gateway.last_seq()
        return client

    def told(self, end, *wanted):
        """The transitions since rest(): (edge, state, reason[, detail])."""
        def seen():
            story = once(end.story(end.seq))
            return len(story) == len(wanted) and all(t[:len(w)] == w for t, w in zip(story, wanted))
        try:
            wait_until(f"{end.name} tells {wanted}", 10, seen)
        except AssertionError as late:
            raise AssertionError(f"{late}; it tells {end.story(end.seq)}") from late


def once(story):
    """An answer that comes later than the retransmission is another commit, of the same two steps."""
    out = []
    for step in story:
        out.append(step)
        if out[-4:-2] == out[-2:]:
            del out[-2:]
    return out


def flood(client, seconds):
    """Traffic in the background, so that silence is noticed."""
    import subprocess
    return subprocess.Popen(["ip", "netns", "exec", client.space, "ping", "-q", "-i", "0.02", "-w", str(seconds),
                             "10.77.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@test("two clients are attached, each with an address and keys of its own")
def _(w):
    for client in w.phone, w.tablet:
        w.attached(client)
        addresses = client.ip("-4", "-o", "addr", "show", "dev", "jvpn0").stdout
        same(f"{w.inner(client)}/32" in addresses, True, addresses)
    one, two = w.mine(w.phone), w.mine(w.tablet)
    same(one["sid"] != two["sid"], True, "two sessions")
    same(one["prefix"] != two["prefix"], True, "two addresses")


@test("an uplink that goes down moves the session, which stays the same; the other client notices nothing")
def _(w):
    client = w.rest()
    sid, other = client.session()["sid"], w.tablet.session()["state-version"]
    client.ip("link", "set", "wifi", "down")
    w.attached(client, "lte")
    client.ip("link", "set", "wifi", "up")
    w.route(client, "wifi")
    same(client.session()["sid"], sid, "session")
    w.told(client, (*DEAD, "LINK_DOWN"), (*BACK, "LINK_DOWN"))
    w.told(w.gateway, (*DEAD, "LINK_DOWN"), (*BACK, "LINK_DOWN"))
    same(w.tablet.session()["state-version"], other, "the other client")


@test("an uplink that comes back is kept warm, and the session stays where it is")
def _(w):
    client = w.phone
    w.attached(client, "lte")
    wait_until("wifi is warm", 40, w.warm, client)
    version = client.session()["state-version"]
    w.carries(client)
    same((w.uplink(client), client.session()["state-version"]), ("lte", version), "uplink and version")


@test("an uplink that loses its address moves the session")
def _(w):
    client = w.rest()
    client.ip("addr", "del", f"{w.net(client, 'wifi')}.2/24", "dev", "wifi")
    w.attached(client, "lte")
    client.ip("addr", "add", f"{w.net(client, 'wifi')}.2/24", "dev", "wifi")
    w.route(client, "wifi")
    w.told(client, (*DEAD, "LINK_DOWN"), (*BACK, "LINK_DOWN"))


@test("an uplink that loses its carrier moves the session")
def _(w):
    client = w.rest()
    w.router.ip("link", "set", "wifi1", "down")
    w.attached(client, "lte")
    w.router.ip("link", "set", "wifi1", "up")
    wait_until("the carrier is back", 10, lambda: "LOWER_UP" in client.ip("link", "show", "wifi").stdout)
    w.route(client, "wifi")
    w.told(client, (*DEAD, "LINK_DOWN"), (*BACK, "LINK_DOWN"))


@test("an uplink that falls silent moves the session; when it is heard again nothing happens")
def _(w):
    client = w.rest()
    traffic = flood(client, 60)
    w.router.inside("nft", "add rule inet dark wifi1 iifname wifi1 drop; add rule inet dark wifi1 oifname wifi1 drop")
    wait_until("the session is on lte", 20, lambda: w.uplink(client) == "lte")
    w.router.inside("nft", "flush", "chain", "inet", "dark", "wifi1")
    w.told(client, (*DEAD, "TRANSPORT_DEAD"), (*BACK, "TRANSPORT_DEAD"))
    wait_until("wifi is warm", 60, w.warm, client)
    traffic.kill()
    traffic.wait()
    same(w.uplink(client), "lte", "uplink")
    w.told(client, (*DEAD, "TRANSPORT_DEAD"), (*BACK, "TRANSPORT_DEAD"))


@test("an operator's switch inside the cooldown is refused with exit status 6 and changes nothing")
def _(w):
    client = w.rest()
    client.cli("policy", "set", "quick", "switch-cooldown", "900ms")
    for _ in range(10):
        began = time.monotonic()
        client.cli("session", "switch", "peer", "home", "transport", "lte")
        version = client.session()["state-version"]
        refused = client.cli("session", "switch", "peer", "home", "transport", "wifi", ok=False)
        if refused.returncode or time.monotonic() - began < 0.9:
            break
        say("the cooldown was over before the second switch: once more")
    same(refused.returncode, 6, f"exit status of: {refused.stderr}")
    same((w.uplink(client), client.session()["state-version"]), ("lte", version), "uplink and version")
    wait_until("it is told", 5, lambda: client.events("TRANSPORT_SWITCH_DENIED", after=client.seq))
    client.cli("policy", "set", "quick", "switch-cooldown", "100ms")


@test("a switch to what is not there, or from another version, is refused")
def _(w):
    client = w.rest()
    same(client.cli("session", "switch", "peer", "home", "transport", "fibre", ok=False).returncode, 5, "unknown")
    same(client.cli("session", "switch", "peer", "home", "transport", "lte", "if-version", "1", ok=False).returncode,
         4, "version")
    same(w.uplink(client), "wifi", "uplink")


@test("without any transport the session recovers, is degraded, and ends when its time is over")
def _(w):
    client = w.rest()
    for uplink in "wifi", "lte":
        client.ip("link", "set", uplink, "down")
    wait_until("the session has ended", 20, lambda: not client.sessions())
    story = client.story(client.seq)
    same(story[0], (*DEAD, "LINK_DOWN"), "first")
    same(story[-1], ("T17", "TERMINATED", "TTL_TRANSPORT_LOSS_EXPIRED", "NONE"), "last")
    same(("T11", "DEGRADED", "RECOVERY_BOUNDS_EXCEEDED") in [t[:3] for t in story], True, f"degraded: {story}")
    ended, = client.events("TERMINATION_EVENT", after=client.seq)
    same(3000 <= ended["transportless_ms"] < 6000, True, f"without transport for {ended['transportless_ms']} ms")


@test("when a transport comes again there is a new session, as soon as the gateway has given up the old one")
def _(w):
    client = w.phone
    old = w.mine(client)
    for uplink in "wifi", "lte":
        client.ip("link", "set", uplink, "up")
        w.route(client, uplink)
    w.gateway.cli("session", "terminate", "peer", client.name, ok=False)
    w.attached(client)
    same(w.mine(client)["sid"] != (old or {}).get("sid"), True, "a new session")


@test("a transport that is away for less is the same session")
def _(w):
    client = w.rest()
    sid = client.session()["sid"]
    for uplink in "wifi", "lte":
        client.ip("link", "set", uplink, "down")
    wait_until("it recovers", 10, client.is_at, "RECOVERING")
    client.ip("link", "set", "wifi", "up")
    w.route(client, "wifi")
    w.attached(client, "wifi")
    same(client.session()["sid"], sid, "session")
    client.ip("link", "set", "lte", "up")
    w.route(client, "lte")


@test("daemons that are killed leave the traffic running")
def _(w):
    client = w.rest()
    watch = w.gateway.netlink, client.netlink
    w.gateway.daemon.kill()
    w.gateway.daemon.wait()
    w.carries(client)
    client.daemon.kill()
    client.daemon.wait()
    w.carries(client)
    w.gateway.inside("ping", "-q", "-c", "1", "-W", "3", w.inner(client))
    same(len(watch[0].dump("session-get")) > 0 and len(watch[1].dump("session-get")) > 0, True, "sessions")


@test("daemons that start again end what was left, tell the peer, and by what they were told once there are new sessions")
def _(w):
    client, tablet = w.phone, w.tablet
    old = w.mine(client)["sid"], w.mine(tablet)["sid"]
    tablet.seq = tablet.last_seq()
    w.gateway.netlink.close()
    w.gateway.start()
    w.told_closed(tablet)
    w.attached(tablet)
    client.netlink.close()
    client.start()
    w.attached(client)
    same(w.mine(client)["sid"] not in old and w.mine(tablet)["sid"] not in old, True, "new sessions")
    same(w.mine(client)["term"], 2, "term")


@test("SIGTERM ends the sessions, tells the peer and takes the routes and addresses back")
def _(w):
    client = w.phone
    w.attached(client)
    w.gateway.seq = w.gateway.last_seq()
    same(client.stop(signal.SIGTERM), 0, "exit status")
    wait_until("the gateway knows", 5, lambda: not w.mine(client))
    w.told(w.gateway, ("T19", "TERMINATED", "PEER_TERMINATED", "PEER_CLOSED"))
    same("10.77.0" in client.ip("-4", "addr").stdout, False, "addresses")
    same([r for r in client.ip("rule").stdout.splitlines() if "51820" in r], [], "rules")
    same("10.77.0" in client.ip("route", "show", "table", "all").stdout, False, "routes")


run(World)
