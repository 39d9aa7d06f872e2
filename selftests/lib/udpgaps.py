#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""udpgaps.py FILE MARK: what udpstream saw of the event with that mark, as shell assignments. An outage is
the longest one in microseconds; "never" if nothing came back."""
import json
import sys


def of_mark(stream, mark):
    """{"up": (lost, outage_us or None if it never ended), "down": …}"""
    found = {}
    for direction in stream["directions"]:
        gaps = [g for g in direction["gaps"] if g["mark"] == mark]
        outages = [g["outage_us"] for g in gaps]
        found[direction["name"]] = (sum(g["lost"] for g in gaps), None if None in outages else max(outages, default=0))
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="ascii") as report:
        for name, (lost, outage) in of_mark(json.load(report), int(sys.argv[2])).items():
            print(f"{name}_lost={lost} {name}_outage_us={'never' if outage is None else outage}")
