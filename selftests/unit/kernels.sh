#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kernels under test have what selftests/config asks for: a test must not be skipped for want of it.
here=$(dirname "$(realpath "$0")")
. "$here/../lib/ktap.sh"
cache=${JVPN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jvpn}

complete() { # KERNEL: prints what is missing; built in is as good as a module
	! sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1/p' "$here/../config" |
		grep -vxFf <(sed -n 's/=[ym]$//p' "$cache/kernels/$1/kdir/include/config/auto.conf")
}

plan 2
for kernel in 6.1 6.12; do
	check "$kernel is configured as selftests/config asks" complete "$kernel"
done
