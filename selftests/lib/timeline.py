#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""timeline.py DIR: what two ends of a session told, in the order it happened.

DIR has <end>.audit, the daemon's event stream, and <end>.kernel, the output of `jvpn-ip -j monitor`;
both stamp with a clock that starts at boot. Ends are called client and gateway."""
import dataclasses
import glob
import json
import os
import sys

# Events of the daemon that tell what became of the session; the rest tells how.
SHOWN = {"STATE_CHANGE", "TRANSPORT_SWITCH", "TRANSPORT_SWITCH_DENIED", "TRANSPORT_SWITCH_FAILED",
         "SECURITY_EVENT", "EVENTS_LOST"}

# Signals of the kernel that say why.
SIGNALS = {"path_suspect", "path_dead", "path_alive", "silent", "exhausted", "lost"}


@dataclasses.dataclass(order=True)
class Event:
    ns: int
    seq: int
    where: str = dataclasses.field(compare=False)
    who: str = dataclasses.field(compare=False)
    text: str = dataclasses.field(compare=False)
    transition: bool = dataclasses.field(compare=False, default=False)
    jump: bool = dataclasses.field(compare=False, default=False)

    def __str__(self):
        return f"{self.where:8}{self.who:8} {self.text}"


def why(record):
    reason, detail = record.get("reason", "NONE"), record.get("detail", "NONE")
    return reason if detail in ("NONE", reason) else f"{reason}, {detail}"


def of_audit(where, record):
    kind, ns, seq = record["event_type"], record["mono_ns"], record["seq"]
    if kind == "STATE_CHANGE":
        text = "{previous_state} -> {new_state}".format(**record)
        binding = f"({record.get('owner_epoch', 0)},{record.get('binding_version', 0)})"
        text = f"{text:24} v{record['state_version']} {binding}  {why(record)}"
        return Event(ns, seq, where, "jvpnd", text, transition=True)
    if kind == "TRANSPORT_SWITCH":
        old, new = (record.get(f"{age}_transport") or record.get(f"{age}_remote", "?") for age in ("old", "new"))
        took = record["switch_latency_us"]
        text = f"{old} => {new}" + (f" in {took / 1000:.1f} ms" if took else "")
        return Event(ns, seq, where, "jvpnd", text, jump=True)
    return Event(ns, seq, where, "jvpnd", f"{kind} {why(record)}")


def of_kernel(where, seq, record):
    """A signal of the data plane. Its notices of transitions say the same as the audit, which faults() checks."""
    text = f"{record['event']} {record.get('dev', '')}".rstrip()
    if "silent_ms" in record:
        text += f", silent for {record['silent_ms']} ms"
    return Event(record["boottime_ns"], seq, where, "jvpn.ko", text)


class Timeline:
    def __init__(self, directory):
        self.events, self.records, self.notices = [], {}, {}
        for path in sorted(glob.glob(os.path.join(directory, "*.audit"))):
            where = os.path.basename(path)[:-len(".audit")]
            self.records[where] = [json.loads(line) for line in open(path, encoding="ascii")]
            self.events += [of_audit(where, r) for r in self.records[where] if r["event_type"] in SHOWN]
        for path in sorted(glob.glob(os.path.join(directory, "*.kernel"))):
            where = os.path.basename(path)[:-len(".kernel")]
            self.notices[where] = []
            for seq, line in enumerate(open(path, encoding="utf-8")):
                record = json.loads(line)
                if record["event"] == "session" and "from" in record["last_transition"]:
                    self.notices[where].append((record["version"], record["state"].upper()))
                if record["event"] in SIGNALS:
                    self.events.append(of_kernel(where, seq, record))
        self.events.sort()

    def between(self, start, end, transitions=False):
        return [e for e in self.events if start <= e.ns < end and (e.transition or not transitions)]

    def faults(self):
        """Sentences about what is missing in the story of each end."""
        for where, records in self.records.items():
            versions = [r["state_version"] for r in records if r["event_type"] == "STATE_CHANGE"]
            if versions != list(range(1, len(versions) + 1)):
                yield f"{where}: state versions are not gapless: {versions}"
            if len({r["session_id"] for r in records if "session_id" in r}) != 1:
                yield f"{where}: the events are not of one session"
            if any(r["event_type"] == "EVENTS_LOST" for r in records):
                yield f"{where}: events were lost"
            told = {(r["state_version"], r["new_state"]) for r in records if r["event_type"] == "STATE_CHANGE"}
            if not set(self.notices.get(where, ())) <= told:
                yield f"{where}: the kernel tells {self.notices[where]}, the audit {sorted(told)}"
        bindings = {where: [(r["owner_epoch"], r["binding_version"]) for r in records
                            if r["event_type"] == "STATE_CHANGE" and r["new_state"] == "ATTACHED"]
                    for where, records in self.records.items()}
        if len({tuple(b) for b in bindings.values()}) != 1:
            yield f"the ends do not agree on the binding versions: {bindings}"


if __name__ == "__main__":
    for event in Timeline(sys.argv[1]).events:
        print(f"{event.ns / 1e9:14.6f} s  {event}")
