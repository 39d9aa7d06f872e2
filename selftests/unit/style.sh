#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What tools say about the sources: the kernel's own checks on the module, shellcheck on the scripts.
here=$(dirname "$(realpath "$0")")
top=$here/../..
. "$here/../lib/ktap.sh"
cd "$top" || exit 1
cache=${JVPN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jvpn}

silent() { # COMMAND…: succeeds and has nothing to say
	local said status
	said=$("$@" 2>&1)
	status=$?
	printf '%s' "$said"
	[ "$status" = 0 ] && [ -z "$said" ]
}

# What checkpatch cannot know: the tables are lists of X(...), a version is no constant to it, lines may
# have 100 columns, and there is no MAINTAINERS file. Generated files are as the generator makes them.
checkpatch() {
	grep -L 'Do not edit directly, auto-generated' kernel/*.[ch] |
		xargs "$cache/source/6.12/scripts/checkpatch.pl" --no-tree --strict --terse --no-summary --quiet \
			--max-line-length=100 --ignore COMPLEX_MACRO,MACRO_ARG_UNUSED,CONSTANT_COMPARISON,LINUX_VERSION_CODE -f
}

# What is found is an error here, or it would be found only once. It goes to stderr, what is done to stdout.
lint() { { make -s lint KDIR="$cache/kernels/$1/kdir" >/dev/null; } 2>&1; }

scripts() {
	find .ci selftests -type f -print0 | xargs -0 grep -lIE '^#!(/bin/bash|/bin/busybox sh)$|shellcheck shell=' |
		grep -v '\.py$' | xargs shellcheck -x -P SCRIPTDIR
}

plan 4
check "checkpatch --strict has nothing to say" silent checkpatch
for kernel in 6.1 6.12; do
	check "sparse and W=1 have nothing to say on $kernel" silent lint "$kernel"
done
check "shellcheck has nothing to say" silent scripts
