#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Loading and installing, as the README tells it: in a guest, whose files are gone afterwards.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
top=$(realpath "$lib/../..")
[ "${JVPN_KERNEL:-}" ] || skip_all "it would install on this machine"

dependencies=(udp_tunnel ip6_udp_tunnel libchacha20poly1305 gcm)
made() { make -s -C "$top" KDIR="${JVPN_CACHE:-$HOME/.cache/jvpn}/kernels/$JVPN_KERNEL/kdir" PREFIX=/usr "$@"; }
loaded() { [ -d /sys/module/jvpn ]; }
bare() { insmod "$JVPN_KO"; }

plan 9
! loaded || rmmod jvpn
# shellcheck disable=SC2046 # a list; one that is built in cannot be taken away
modprobe -r "${dependencies[@]}" 2>/dev/null
if bare 2>/dev/null; then
	skip "without what it depends on it does not load" "this kernel has all of it"
	rmmod jvpn
else
	is "without what it depends on it does not load" "$(bare 2>&1 | grep -o 'Unknown symbol in module')" \
		"Unknown symbol in module"
fi
check "make load" made load
check "it is loaded" loaded
check "make unload" made unload
fail_if "it is not loaded" loaded
check "make install" made install
check "modprobe finds it and what it depends on" modprobe jvpn
check "the programs are there" jvpn-ip version
rmmod jvpn
check "make uninstall" made uninstall
at_exit modprobe -a "${dependencies[@]}"
