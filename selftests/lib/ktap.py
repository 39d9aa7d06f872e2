# SPDX-License-Identifier: GPL-2.0
"""Reports for tests in Python, as KTAP.

    @test("a link can be made")
    def _(world): ...

    run(World)        # in the order written; an exception is a failure
"""

import sys
import traceback

_tests = []


class Skip(Exception):
    """Cannot be tested here; says why."""


def test(name, when=True):
    """A test of this program; not if this run of it, by another option, has no use for it."""
    def remember(function):
        if when:
            _tests.append((name, function))
        return function
    return remember


def say(text):
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def run(world):
    """Run all tests in `with world() as w`, which makes what they need and removes it. Ends the program."""
    print("KTAP version 1")
    print(f"1..{len(_tests)}", flush=True)
    failed = 0
    with world() as made:
        for number, (name, function) in enumerate(_tests, 1):
            try:
                function(made)
                verdict = "ok"
            except Skip as reason:
                verdict, name = "ok", f"{name} # SKIP {reason}"
            except Exception:  # pylint: disable=broad-except
                say(traceback.format_exc())
                verdict = "not ok"
                failed += 1
            print(f"{verdict} {number} {name}", flush=True)
    sys.exit(1 if failed else 0)


def same(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what or 'value'}: got {got!r}, wanted {wanted!r}")


def within(got, low, high, what=""):
    if not low <= got <= high:
        raise AssertionError(f"{what or 'value'}: got {got!r}, wanted {low!r} to {high!r}")
