# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Reports for test scripts, as KTAP. Sourced first:
#
#	. "$(dirname "$(realpath "$0")")/../lib/ktap.sh"
#	plan 2
#	netns_add left right          # $left and $right: removed at the end, with what runs in them
#	check "a link can be made" ip -n "$left" link add jv0 type jvpn
#	fail_if "a second one of its name cannot" ip -n "$left" link add jv0 type jvpn
#
# The script ends by itself: the exit status says whether all results of the plan were good.
# at_exit COMMAND… registers what is to be undone, last first.

ktap_planned=0
ktap_number=0
ktap_failed=0
ktap_undo=()

plan() { # NUMBER of results
	ktap_planned=$1
	echo "KTAP version 1"
	echo "1..$1"
}

skip_all() { # REASON: nothing of this script can be tested here
	echo "KTAP version 1"
	echo "1..0 # SKIP $*"
	exit 4
}

pass() { echo "ok $((++ktap_number)) $1"; }
skip() { echo "ok $((++ktap_number)) $1 # SKIP $2"; } # NAME REASON
fail() { # NAME [WHY]
	[ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/# /'
	echo "not ok $((++ktap_number)) $1"
	ktap_failed=1
}

check() { # NAME COMMAND…: must succeed; what it printed is shown when it does not
	local name=$1 said status
	shift
	said=$("$@" 2>&1)
	status=$?
	if [ "$status" = 0 ]; then pass "$name"; else fail "$name" "$* -> $status"$'\n'"$said"; fi
}

fail_if() { # NAME COMMAND…: must fail
	local name=$1 said
	shift
	if said=$("$@" 2>&1); then fail "$name" "$* succeeded"$'\n'"$said"; else pass "$name"; fi
}

is() { # NAME GOT WANTED
	if [ "$2" = "$3" ]; then pass "$1"; else fail "$1" "got '$2', wanted '$3'"; fi
}

at_exit() { ktap_undo=("$(printf '%q ' "$@")" "${ktap_undo[@]}"); }

netns_del() { # NAME: with every process in it
	local pids
	pids=$(ip netns pids "$1" 2>/dev/null)
	# shellcheck disable=SC2086 # a list
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
	ip netns del "$1"
}

# netns_add VARIABLE…: make a network namespace for each, put its name there, remove it at the end.
netns_add() {
	local variable
	for variable; do
		printf -v "$variable" '%s' "jv$$-$variable"
		ip netns add "${!variable}" || return
		at_exit netns_del "${!variable}"
		ip -n "${!variable}" link set lo up || return
	done
}

ktap_end() {
	local undo
	trap '' INT TERM
	for undo in "${ktap_undo[@]}"; do eval "$undo"; done
	# skip_all planned nothing, and its status says so
	[ "$ktap_planned" != 0 ] || return
	[ "$ktap_planned" = "$ktap_number" ] || exit 1
	exit "$ktap_failed"
}
trap ktap_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
