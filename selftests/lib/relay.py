# SPDX-License-Identifier: GPL-2.0
"""A hostile network: every datagram between a client and a gateway passes through rules of the test.

The client takes the relay for its gateway. For each address the client sends from, the relay has a socket
of its own towards the gateway, as a NAT has.
"""

import collections
import selectors
import socket
import threading
import time

from jvpn_netlink import space

UP, DOWN = "up", "down"
INIT, INIT_RESP, RETRY, REATTACH_RESP, DENY, SWITCH_RESP = range(1, 7)
DATA, REATTACH, SWITCH = 0x81, 0x82, 0x83

Passed = collections.namedtuple("Passed", "time way uplink kind data source")


class Relay:
    """rule(passed) says what is forwarded: a list of datagrams; None is what came, as it came."""

    def __init__(self, where, here, gateway, uplinks):
        self.uplinks = uplinks  # {address of the client: name}
        self.gateway, self.rule, self.seen = gateway, None, []
        self.lock = threading.RLock()
        self.where, self.towards, self.back = where, {}, {}
        self.selector = selectors.DefaultSelector()
        self.near = self._socket(here)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _socket(self, here, peer=None):
        with space(self.where):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        made.bind(here)
        if peer:
            made.connect(peer)
        made.setblocking(False)
        self.selector.register(made, selectors.EVENT_READ)
        return made

    def close(self):
        self.stopping.set()
        self.thread.join()
        for made in [self.near, *self.towards.values()]:
            made.close()

    def _run(self):
        while not self.stopping.is_set():
            for key, _ in self.selector.select(0.05):
                try:
                    data, source = key.fileobj.recvfrom(2048)
                except OSError:
                    continue
                with self.lock:
                    self._pass(key.fileobj, data, source)

    def _pass(self, sock, data, source):
        if sock is self.near:
            way, client = UP, source
        else:
            way, client = DOWN, self.back[sock]
        passed = Passed(time.monotonic(), way, self.uplinks.get(client[0], "?"), data[0] if data else 0, data, client)
        self.seen.append(passed)
        said = self.rule(passed) if self.rule else None
        for datagram in [data] if said is None else said:
            self._forward(way, client, datagram)

    def _forward(self, way, client, data):
        try:
            if way == DOWN:
                self.near.sendto(data, client)
                return
            if client not in self.towards:
                made = self._socket((self.near.getsockname()[0], 0), self.gateway)
                self.towards[client], self.back[made] = made, client
            self.towards[client].send(data)
        except OSError:
            pass  # nobody there: as on the wire

    def again(self, passed):
        """Send once more what has passed, from where it came."""
        with self.lock:
            self._forward(passed.way, passed.source, passed.data)

    def elsewhere(self, data):
        """Send it from an address that was never used, and return what comes back, or None."""
        with space(self.where):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect(self.gateway)
        made.settimeout(0.5)
        made.send(data)
        try:
            return made.recv(2048)
        except OSError:
            return None
        finally:
            made.close()

    def obey(self, rule):
        with self.lock:
            self.rule = rule

    def mark(self):
        with self.lock:
            return len(self.seen)

    def since(self, mark, *kinds):
        with self.lock:
            return [p for p in self.seen[mark:] if not kinds or p.kind in kinds]

    def control(self, mark):
        """Types of the control datagrams since then, in order."""
        return [p.kind for p in self.since(mark) if p.kind != DATA]
