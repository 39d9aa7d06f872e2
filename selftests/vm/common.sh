# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # used by those who source it
# Shared by the scripts of this directory: where kernels are cached, and how to fail.
#
#   $cache/kernels/<version>/            a stock kernel:  vmlinuz release kdir/ root/ initrd.gz
#   $cache/kernels/<6.1|6.12>            link to the one in use
#   $cache/kernels/debug-<key>/          the debug kernel, same contents
#   $cache/source/<version>/             linux-source-6.12.tar.xz, kselftest/ and scripts/ taken from it
#   $cache/source/6.12                   link to the one in use
#
# Everything is prepared beside its place and renamed into it, so what has its name is complete.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${JVPN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jvpn}
stock_series=(6.1 6.12)
source_series=6.12

EX_USAGE=64
EX_UNAVAILABLE=69

die() { # STATUS MESSAGE…
	local status=$1
	shift
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit "$status"
}

note() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

debug_config() { cat "$top/selftests/config" "$here/debug.config"; }

# The debug kernel is what this configuration makes of this source: both are in its name.
debug_key() {
	local version
	version=$(readlink "$cache/source/$source_series") || return 1
	{ echo "$version"; debug_config; } | sha256sum | cut -c1-16
}

kernel_dir() { # 6.1|6.12|debug: prints where that kernel is or will be
	local key
	case $1 in
	debug) key=$(debug_key) && echo "$cache/kernels/debug-$key" ;;
	*) echo "$cache/kernels/$1" ;;
	esac
}

# One writer at a time: two runs that find an empty cache must not both fill it.
lock_cache() { # NAME
	[ -z "${cache_lock:-}" ] || return 0
	mkdir -p "$cache" || exit "$EX_UNAVAILABLE"
	exec {cache_lock}>"$cache/.lock-$1"
	flock -n "$cache_lock" || { note "waiting for another run that is filling $cache"; flock "$cache_lock"; }
}
