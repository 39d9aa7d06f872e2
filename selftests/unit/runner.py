#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What decides about all other tests: reading of reports, recognising a kernel's complaints, wrong usage."""
import contextlib
import importlib.machinery
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

SELFTESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SELFTESTS / "lib"))
from ktap import run, same, test  # noqa: E402

loader = importlib.machinery.SourceFileLoader("runner", str(SELFTESTS / "run"))
runner = importlib.util.module_from_spec(importlib.util.spec_from_loader("runner", loader))
loader.exec_module(runner)


def read(report, status=0):
    ktap = runner.Ktap()
    for line in report.splitlines():
        ktap.feed(line)
    return [verdict for verdict, _, _ in ktap.results], ktap.finish(status)


def report_on(line):
    """The exit status of splats for a kernel log with this line in it."""
    with tempfile.NamedTemporaryFile("w") as log:
        log.write(f"[    0.000000] Linux version\n{line}\n[    9.000000] reboot: Power down\n")
        log.flush()
        done = subprocess.run([SELFTESTS / "vm" / "splats", log.name], stdout=subprocess.PIPE, text=True)
    same(bool(done.stdout), done.returncode == 1, "a report is printed")
    return done.returncode


def usage(*arguments):
    done = subprocess.run([SELFTESTS / "vm" / "run", *arguments], stderr=subprocess.PIPE, text=True)
    same(len(done.stderr.splitlines()), 1, f"lines about {arguments}")
    return done.returncode


@test("a good report is good")
def _(_world):
    same(read("KTAP version 1\n1..3\n# note\nok 1 a\nok 2 - b # SKIP no\nok 3 c # XFAIL known\n"),
         (["pass", "skip", "pass"], []))
    same(read("1..1\nnot ok 1 a\n", 1), (["fail"], []))
    same(read("1..0 # SKIP nothing here\n", 4), ([], []))


@test("a report that lacks something is not")
def _(_world):
    for report, status in (("", 0), ("ok 1 a\n", 0), ("1..2\nok 1 a\n", 0), ("1..1\nok 1 a\nok 2 b\n", 0),
                           ("1..2\nok 1 a\nok 3 b\n", 0), ("1..1\n1..1\nok 1 a\n", 0), ("1..1\nok 1 a\n", 3),
                           ("1..1\nok 1 a\n", 124), ("1..1\nnot ok 1 a\n", 0), ("1..1\nok 1 a\nBail out! b\n", 1),
                           ("  1..1\n  ok 1 a\n", 0)):
        _, problems = read(report, status)
        same(bool(problems), True, f"problems with {report!r}, exit status {status}")


@test("a kernel's complaints are recognised")
def _(_world):
    for line in ("[   12.000001] WARNING: CPU: 1 PID: 7 at kernel/main.c:7 x+0x1/0x2 [jvpn]",
                 "[   12.000001][  T77] WARNING: possible circular locking dependency detected",
                 "[   12.000001] WARNING: suspicious RCU usage",
                 "[   12.000001] BUG: KASAN: slab-out-of-bounds in jvpn_xmit+0x1/0x2 [jvpn]",
                 "[   12.000001] BUG: unable to handle page fault for address: 0000000000001000",
                 "[   12.000001] BUG kmalloc-64 (Tainted: G): Right Redzone overwritten",
                 "[   12.000001] BUG: sleeping function called from invalid context at mm/slab.h:1",
                 "[   12.000001] UBSAN: array-index-out-of-bounds in kernel/recv.c:9:1",
                 "[   12.000001] Oops: 0000 [#1] PREEMPT SMP",
                 "[   12.000001] refcount_t: underflow; use-after-free.",
                 "[   12.000001] ODEBUG: free active (active state 0) object: 1 object type: timer_list",
                 "[   12.000001] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                 "[   12.000001] watchdog: BUG: soft lockup - CPU#0 stuck for 23s!",
                 "[   12.000001] INFO: task jvpnd:9 blocked for more than 300 seconds.",
                 "[   12.000001] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
                 "[   12.000001] unregister_netdevice: waiting for jv0 to become free. Usage count = 2",
                 "[   12.000001] list_del corruption. prev->next should be 1, but was 2",
                 "[   12.000001] Kernel panic - not syncing: sysrq triggered crash"):
        same(report_on(line), 1, line)


@test("what a healthy kernel says is not taken for one")
def _(_world):
    for line in ("[    0.000000] Command line: console=ttyS0 panic=-1 panic_on_warn=1 oops=panic",
                 "[    0.000000] kasan: KernelAddressSanitizer initialized (generic)",
                 "[    0.000000] rcu: \tRCU lockdep checking is enabled.",
                 "[    0.000000] \tRCU CPU stall warnings timeout set to 120 (rcu_cpu_stall_timeout).",
                 "[    0.100000] RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks!",
                 "[    1.000000] mtrr: your CPUs had inconsistent MTRRdefType settings",
                 "[    1.000000] kmemleak: Kernel memory leak detector initialized (mem pool available: 39000)",
                 "[    9.000000] jvpn: loading out-of-tree module taints kernel.",
                 "[    9.000000] FAULT_INJECTION: forcing a failure."):
        same(report_on(line), 0, line)


@test("wrong usage of the virtual machine is one line and status 64")
def _(_world):
    for arguments in ((), ("--kernel", "5.10", "true"), ("--smp", "0", "true"), ("--smp", "9", "true"),
                      ("--mem", "1T", "true"), ("--timeout", "soon", "true"), ("--icount", "--smp", "2", "true"),
                      ("--out", "/nonexistent", "true"), ("--frobnicate", "true"), ("--kernel",)):
        same(usage(*arguments), 64, f"status of {arguments}")


run(contextlib.nullcontext)
