#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What `make install` puts in place for systemd: a unit that systemd finds nothing wrong with, whose programs
# are there, and that leaves the daemon little to do harm with.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
here=$(dirname "$(realpath "$0")")
. "$here/../lib/ktap.sh"
top=$(realpath "$here/../..")
command -v systemd-analyze >/dev/null || skip_all "systemd-analyze is not installed"
for program in jvpnd jvpn-ip; do
	[ -x "$top/build/$program" ] || skip_all "build/$program is not built"
done

work=$(mktemp -d)
at_exit rm -rf "$work"
# The programs where the unit looks for them: systemd wants them to exist.
mkdir "$work/sbin" && cp "$top/build/jvpnd" "$top/build/jvpn-ip" "$work/sbin" || exit
unit=$work/jvpnd.service
sed "s|@SBINDIR@|$work/sbin|" "$top/tools/systemd/jvpnd.service.in" >"$unit"

silent() {
	local said status
	said=$("$@" 2>&1)
	status=$?
	printf '%s' "$said"
	[ "$status" = 0 ] && [ -z "$said" ]
}

installed() {
	make -n -C "$top" KDIR= PREFIX=/usr DESTDIR="$work/root" install 2>/dev/null >"$work/steps"
	grep -q "lib/systemd/system/jvpnd.service" "$work/steps" && grep -q "lib/modules-load.d/jvpn.conf" "$work/steps"
}

# Manuals are not where this systemd looks for them.
verify() { systemd-analyze --man=no verify "$unit"; }

plan 4
check "systemd-analyze verify has nothing to say" silent verify
fail_if "no placeholder is left" grep -q '@[A-Z]*@' "$unit"
check "exposure is at most 3.0" systemd-analyze security --offline=true --threshold=30 "$unit"
check "make install takes it along" installed
