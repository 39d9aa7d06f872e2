#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""KTAP: jvpnd --check-config takes good files and refuses bad ones with the line, the value and what is allowed."""
import base64
import hashlib
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
JVPND = os.path.join(TOP, "build", "jvpnd")
MANUAL = os.path.join(TOP, "tools", "man", "jvpnd.conf.5")

A, B = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PRINT = "SHA256:" + hashlib.sha256(bytes([1]) * 32).hexdigest()[:16]
PEER = f'public-key = "{A}"'

GOOD = {
    "an empty file": "",
    "only a comment, without a newline": "# nothing",
    "the parts of a gateway": f"""
daemon {{ node-id = "gw1.fra" control-socket = "/run/c.sock" control-group = root state-dir = /var/lib/x }}
interface "jvpn0" {{	# "not a string
	private-key = "file:KEYS/good"	// nor ' this
	listen = "0.0.0.0:51820"  /* nor
	" this */ mtu = 1400
	fwmark = 0x4a56
	table = 51821
	addresses = {{ "10.77.0.1/24", "fd00::1/64" }}
}}
policy "fast" {{ recovery-window = 10s switch-cooldown = 500ms liveness = aggressive loss-threshold = 15% }}
peer "phone" {{ {PEER} allowed-ips = {{ "10.77.0.2/32", "fd00::2" }} preshared = "file:KEYS/good" policy = fast }}
log {{ audit = "/var/log/a.jsonl" level = debug session-id = clear }}
""",
    "the parts of a client": f"""
interface jvpn0 {{ private-key = "file:KEYS/newline" }}
transport wifi {{ match = "wl*" preference = 100 metered = false }}
transport lte {{ preference = 50 metered = true }}
peer home {{ {PEER} endpoint = {{ "203.0.113.2:51820", "203.0.113.3:443" }} allowed-ips = {{ 0.0.0.0/0, ::/0 }} }}
""",
    "an empty private-key beside two interfaces": f"""
interface a {{ }} interface b {{ listen = "192.0.2.1:1" }}
peer x {{ interface = a {PEER} endpoint = "192.0.2.1:1" allowed-ips = "10.0.0.0/8" }}
""",
}

KNOBS = ("session-max-lifetime, transport-lost-ttl, recovery-window, max-recovery-attempts, on-recovery-exhausted, "
         "degraded-max, liveness, loss-window, loss-threshold, max-consecutive-drops, latency-threshold, "
         "jitter-threshold, volatility-timeout, stability-window, volatile-to-degraded, max-switches, switch-window, "
         "switch-cooldown, switch-improvement, max-candidates, candidate-ttl, reattach-rate, reattach-burst, "
         "tombstone-ttl, rekey-after, cipher, nat-rebind, strict-source")
LINK = "private-key, listen, mtu, fwmark, table, addresses"
NUMBER = "a number from "
FILE = '"file:PATH": keys stand in files of their own'
ADDR = "an IPv4 ADDRESS:PORT"
KEY = "a key: 44 characters of base64"
PREFIX = "ADDRESS/LENGTH without bits behind the length"
SAME = f'interface j {{}}\npeer a {{ {PEER} allowed-ips = 10.0.0.0/8 }}\n'

# (text, line, sentence); line 0: none
BAD = [
    # words
    ("\n\nbla { }", 3, 'section "bla" is not allowed, these are: daemon, log, interface, peer, transport, policy'),
    ("# one\n/* two\n*/ interface j {\n\tlisten-port = 1\n}", 4,
     f'option "listen-port" is not allowed in section interface, these are: {LINK}'),
    ("policy x {\n switch-cooldwn = 1s }", 2, f'option "switch-cooldwn" is not allowed in section policy, these are: {KNOBS}'),
    ("interface j { mtu 5 }", 1, "missing equal sign after option 'mtu'"),
    ("interface { }", 1, "missing title for section 'interface'"),
    # brackets, which libconfuse would take as they are
    ("interface j {\n mtu = 1400\n", 1, "this section is not closed"),
    ("\n}", 2, "this closing brace closes nothing"),
    ("interface j { }\n/* x\n", 2, "this comment is not closed"),
    ('interface "j {\n}\n', 1, "this string is not closed"),
    # twice
    ("interface j {}\ninterface j {}", 2,
     'a second section of this kind with the name "j" is not allowed, names are unique'),
    ("daemon { }\ndaemon { }", 2, 'a second section "daemon" is not allowed'),
    ("interface j {\n mtu = 1400\n mtu = 1500 }", 3, "mtu is given twice in this section"),
    ("interface j {\n addresses = { 10.0.0.1/8 }\n addresses = { 10.0.0.2/8 } }", 3,
     "addresses is given twice in this section"),
    ("policy p {\n loss-window = 1s\n loss-window = 1s }", 3, "loss-window is given twice in this section"),
    # values
    ("interface j { mtu = x5 }", 1, f'mtu: "x5" is not allowed, it takes {NUMBER}576 to 65475'),
    ("interface j { mtu = -5 }", 1, f'mtu: "-5" is not allowed, it takes {NUMBER}576 to 65475'),
    ("interface j { fwmark = 0x1ffffffff }", 1,
     f'fwmark: "0x1ffffffff" is not allowed, it takes {NUMBER}1 to 4294967295, also as 0x...'),
    ("interface j {\n\n mtu = 575 }", 1, "mtu 575 is not allowed: 576 to 65475 are"),
    ("interface j { table = 254 }", 1,
     "table 254 is not allowed: 1 to 4294967295 but the system's 253, 254 and 255 are"),
    ('interface j { listen = "1.2.3.4" }', 1, f'listen: "1.2.3.4" is not allowed, it takes {ADDR}'),
    ('interface j { listen = "1.2.3.4:0" }', 1, f'listen: "1.2.3.4:0" is not allowed, it takes {ADDR}'),
    ('interface j { listen = "1.2.3.4:65536" }', 1, f'listen: "1.2.3.4:65536" is not allowed, it takes {ADDR}'),
    ('interface j { listen = "[2001:db8::1]:5" }', 1,
     '"[2001:db8::1]:5" is not allowed: outside the tunnel an IPv4 ADDRESS:PORT is needed'),
    ('interface j { addresses = { 10.0.0.1/8,\n 10.0.0.1/33 } }', 2,
     'addresses: "10.0.0.1/33" is not allowed, it takes ADDRESS/LENGTH'),
    ("interface j { addresses = { " + ", ".join(f"10.0.0.{n}/8" for n in range(9)) + " } }", 1,
     'addresses: "10.0.0.8/8" is one too many, 8 are allowed'),
    ("interface abcdefghijklmnop { }", 1, '"abcdefghijklmnop" cannot be the name of an interface: '
     "1 to 15 characters without slash, colon and space are allowed"),
    ("log { level = loud }", 1, 'level: "loud" is not allowed, it takes one of: err, warn, info, debug'),
    ("log { audit = a.log }", 1, 'audit: "a.log" is not allowed, it takes a path that starts with a slash'),
    ("log { session-id = no }", 1, 'session-id: "no" is not allowed, it takes one of: pseudonym, clear'),
    # knobs
    ("policy x { recovery-window = 120 }", 1,
     'recovery-window: "120" is not allowed, it takes a duration from 100ms to 10m'),
    ("policy x { max-switches = 33 }", 1, 'max-switches: "33" is not allowed, it takes a number from 1 to 32'),
    ("policy x { liveness = fast }", 1,
     'liveness: "fast" is not allowed, it takes one of: standard, aggressive, frugal'),
    ("\npolicy x {\n recovery-window = 5m }", 2,
     "policy x: recovery-window: 5m is not allowed, it must be less than transport-lost-ttl (2m)"),
    ("policy carrier { switch-cooldown = 30s }", 1,
     "policy carrier: switch-cooldown: 30s is not allowed, it must be less than recovery-window (5s)"),
    # keys
    (f'interface j {{ private-key = "{A}" }}', 1, f'private-key: "{A}" is not allowed, it takes {FILE}'),
    ('interface j {\n private-key = "file:KEYS/world" }', 2,
     'private-key: everybody may read "KEYS/world" (mode 0644): chmod 600 it'),
    ('interface j { private-key = "file:KEYS/short" }', 1,
     'private-key: "KEYS/short" does not hold a key: 44 characters of base64, as jvpn-ip key gen writes'),
    ('interface j { private-key = "file:KEYS/long" }', 1,
     'private-key: "KEYS/long" does not hold a key: 44 characters of base64, as jvpn-ip key gen writes'),
    ('interface j { private-key = "file:KEYS/none" }', 1,
     'private-key: cannot read "KEYS/none": No such file or directory'),
    ("interface j {} peer a { public-key = AAAA }", 1, f'public-key: "AAAA" is not allowed, it takes {KEY}'),
    ("interface j {}\npeer a {\n}", 2, f"public-key is missing, it takes {KEY}"),
    # sections and what they lean on
    (f"peer a {{ {PEER} }}", 1, "interface is missing: with 0 interfaces the file must say which"),
    ("interface j {} interface k {}\ntransport t {}", 2,
     "interface is missing: with 2 interfaces the file must say which"),
    (f"interface j {{}}\npeer a {{ {PEER} }}", 2, "0 allowed-ips given: 1 to 32 are allowed"),
    (f"interface j {{}}\npeer a {{\n{PEER}\nallowed-ips = 10.0.0.1/8 }}", 4,
     f'allowed-ips: "10.0.0.1/8" is not allowed, it takes {PREFIX}'),
    (f"interface j {{}}\npeer a {{ interface = k {PEER} allowed-ips = 10.0.0.0/8 }}", 2,
     'interface "k" is not known here: jvpn-ip link set k private-key FILE'),
    (f"interface j {{}}\npeer a {{ {PEER} allowed-ips = 10.0.0.0/8 policy = none }}", 2,
     'there is no policy "none"'),
    (SAME + f'peer b {{ {PEER} allowed-ips = 11.0.0.0/8 }}', 3, f"the key {PRINT} is that of peer a already"),
    (SAME + f'peer b {{ public-key = "{B}"\n allowed-ips = 10.0.0.0/8 }}', 3, "10.0.0.0/8 belongs to peer a already"),
    (f'interface j {{ listen = "192.0.2.1:1" }}\npeer a {{ {PEER} allowed-ips = 10.0.0.0/8 endpoint = "192.0.2.2:2" }}',
     2, "j listens, it is a gateway: to be a client of others takes an interface of its own"),
    ("interface j {}\ntransport t { preference = 2000 }", 2, "preference 2000 is not allowed: 0 to 1000 are"),
    ('interface j {}\ntransport "a b" {}', 2, 'name "a b" is not allowed: 1 to 63 letters, digits, dots, dashes and '
     "underscores are"),
    ('interface j {}\ntransport t { metered = yes }', 2, 'metered: "yes" is not allowed, it takes one of: true, false'),
]


def make_keys(directory):
    for name, text, mode in (("good", A, 0o600), ("newline", A + "\n", 0o400), ("world", A + "\n", 0o644),
                             ("short", A[:40] + "\n", 0o600), ("long", A + "\n\n\n", 0o600)):
        path = os.path.join(directory, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)


def check(path):
    done = subprocess.run([JVPND, "--check-config", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def options(directory):
    """{section: options} as the daemon lists them when it meets one that it does not know."""
    path, listed = os.path.join(directory, "all.conf"), {}
    with open(path, "w") as f:
        f.write("none { }")
    for section in re.search("these are: (.*)", check(path)[2])[1].split(", "):
        with open(path, "w") as f:
            f.write(f"{section} {'' if section in ('daemon', 'log') else 'x'} {{ none = 1 }}")
        listed[section] = re.search("these are: (.*)", check(path)[2])[1].split(", ")
    return listed


def manual():
    """({section: options}, examples) of the manual."""
    with open(MANUAL) as f:
        text = f.read()
    documented = {}
    for section in re.split(r"^\.Ss ", text.split(".Sh EXAMPLES")[0], flags=re.M)[1:]:
        items = re.findall(r"^\.It Cm (.*)$", section, re.M)
        documented[section.split()[0]] = [word for item in items for word in item.split(" , ")]
    return documented, re.findall(r"^\.Bd -literal\n(.*?)^\.Ed", text.split(".Sh EXAMPLES")[1], re.M | re.S)


# {file: text}, (file, line, sentence) or None; x.conf is the one that is named.
DROP_INS = {
    "drop-ins by name": ({"x.conf": "interface j { }", "conf.d/20-b.conf": f"peer b {{ {PEER} allowed-ips = 10.0.0.0/8 policy = p }}",
                          "conf.d/10-a.conf": "policy p { max-switches = 3 }", "conf.d/30.off": "none { }"}, None),
    "drop-ins without what they are beside": ({"x.conf": "", "conf.d/a.conf": "interface j { } transport t { }"}, None),
    "a section twice": ({"x.conf": "transport t { }\ninterface j { }", "conf.d/a.conf": "\ntransport t { }"},
                        ("conf.d/a.conf", 2, 'a second section of this kind with the name "t" is not allowed, names are unique')),
    "a lone section twice": ({"x.conf": "daemon { }", "conf.d/a.conf": "\n\ndaemon { }"},
                             ("conf.d/a.conf", 3, 'a second section "daemon" is not allowed')),
    "a word": ({"x.conf": "", "conf.d/a.conf": "interface j { }", "conf.d/b.conf": "#\n# {\ninterface k {\n mtu = x }"},
               ("conf.d/b.conf", 4, f'mtu: "x" is not allowed, it takes {NUMBER}576 to 65475')),
    "a rule between two files": ({"x.conf": SAME, "conf.d/b.conf": f'\npeer b {{\n{PEER} allowed-ips = 11.0.0.0/8\n}}'},
                                 ("conf.d/b.conf", 2, f"the key {PRINT} is that of peer a already")),
    "a missing interface of one file of several": ({"x.conf": "interface j { }\ninterface k { }", "conf.d/b.conf": "\ntransport t { }"},
                                                   ("conf.d/b.conf", 2, "interface is missing: with 2 interfaces the "
                                                    "file must say which")),
}


def check_drop_ins(report):
    for name, (files, wrong) in DROP_INS.items():
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(os.path.join(directory, "conf.d"))
            for file, text in files.items():
                with open(os.path.join(directory, file), "w") as f:
                    f.write(text)
            said = f"{directory}/{wrong[0]}:{wrong[1]}: {wrong[2]}\n" if wrong else ""
            report.ok(f"{'refuses' if wrong else 'takes'} {name}", (1 if wrong else 0, "", said),
                      check(os.path.join(directory, "x.conf")))


class Report:
    def __init__(self, planned):
        self.count = self.failed = 0
        print(f"1..{planned}")

    def ok(self, name, expected, got):
        self.count += 1
        if got != expected:
            self.failed += 1
            print(f"# expected {expected!r}\n# got      {got!r}")
        print(f"{'ok' if got == expected else 'not ok'} {self.count} {name}", flush=True)


def main():
    documented, examples = manual()
    report = Report(len(GOOD) + len(BAD) + len(examples) + len(DROP_INS) + 3)
    with tempfile.TemporaryDirectory() as directory:
        make_keys(directory)
        path = os.path.join(directory, "x.conf")
        for name, text in GOOD.items():
            with open(path, "w") as f:
                f.write(text.replace("KEYS", directory))
            report.ok(f"takes {name}", (0, "", ""), check(path))
        for text, line, sentence in BAD:
            with open(path, "w") as f:
                f.write(text.replace("KEYS", directory))
            where = f"{path}:{line}: " if line else f"{path}: "
            sentence = sentence.replace("KEYS", directory)
            report.ok("refuses " + sentence.replace(directory, "").replace("#", "")[:60], (1, "", f"{where}{sentence}\n"),
                      check(path))
        none = os.path.join(directory, "none")
        report.ok("refuses a file that is not there", (1, "", f"{none}: cannot be read: No such file or directory\n"),
                  check(none))
        report.ok("refuses a directory", (1, "", f"{directory}: is not a file of at most 4194304 bytes\n"),
                  check(directory))
        report.ok("the manual has every section and option, and no other",
                  {name: sorted(words) for name, words in documented.items()},
                  {name: sorted(words) for name, words in options(directory).items()})
        for number, text in enumerate(examples, 1):
            with open(path, "w") as f:
                f.write(re.sub(r"file:\S+\.key", f"file:{directory}/good", text))
            report.ok(f"takes example {number} of the manual", check(path), (0, "", ""))
    check_drop_ins(report)
    sys.exit(1 if report.failed else 0)


main()
