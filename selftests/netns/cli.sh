#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# jvpn-ip with module and daemons: what it shows, changes that are refused and with which exit code, that
# a refused change leaves nothing behind, and reads while the daemon hangs or is dead.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
# shellcheck source=../lib/topology.sh
. "$lib/topology.sh"
# shellcheck source=../lib/tunnel.sh
. "$lib/tunnel.sh"

work=$(mktemp -d)
at_exit rm -rf "$work"
at_exit topo_down
at_exit tunnel_down

json() { # EXPRESSION COMMAND…: Python, about `a`, the array the command prints
	local expression=$1
	shift
	"$@" >"$work/json" || return
	python3 - "$work/json" "$expression" <<-'X'
		import json, sys
		a = json.load(open(sys.argv[1], encoding="utf-8"))
		assert isinstance(a, list) and all(isinstance(o, dict) for o in a), a
		assert eval("(" + sys.argv[2] + ")"), json.dumps(a, indent=1)
	X
}

says() { # NAME STATUS TEXT COMMAND…: nothing on standard output, this on the other, a glob
	local name=$1 wanted=$2 text=$3 printed said status
	shift 3
	printed=$("$@" 2>"$work/stderr")
	status=$?
	said=$(<"$work/stderr")
	# shellcheck disable=SC2053 # $text is a pattern
	if [ "$status" = "$wanted" ] && [ -z "$printed" ] && [[ $said == $text ]] && [[ $said != *$'\n'* ]]; then
		pass "$name"
	else
		fail "$name" "status $status, wanted $wanted"$'\n'"printed: $printed"$'\n'"said:   $said"$'\n'"wanted: $text"
	fi
}

version() { on_client session show | sed -n '1s/.* version \([0-9]*\) .*/\1/p'; }

# Exactly the time between two commits that the policy wants.
cooled() { on_client -w 20 session show | grep -q ' cooldown 0ms'; }

listening() { # PID: a socket of it has joined a group of generic netlink
	local inode
	for inode in $(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null | tr -dc '0-9\n'); do
		awk -v inode="$inode" '$2 == 16 && $4 != "00000000" && $NF == inode { found = 1 } END { exit !found }' \
			"/proc/$1/net/netlink" && return
	done
	return 1
}


jump() { # the transitions of a switch by hand, as the monitor tells them; nothing else is printed
	local before
	before=$(version)
	[ -z "$(on_client session switch peer home transport lte if-version "$before" reason 'a test')" ] || return
	wait_for 5 grep -q 'RECOVERING -> ATTACHED' "$work/monitor"
	printf '%s\n' "v$before->v$((before + 1)) ATTACHED -> RECOVERING reason TRANSPORT_DEAD" \
		"v$((before + 1))->v$((before + 2)) RECOVERING -> ATTACHED reason REATTACH_SUCCESS" >"$work/wanted"
	grep -oE 'v[0-9]+->v.* reason [A-Z_]+' "$work/monitor" | diff "$work/wanted" - || return
	[ "$(version) $(tunnel_transport)" = "$((before + 2)) lte" ]
}

unchanged() { # COMMAND…: leaves both ends as they are, to the letter of what does not count or tick
	local before after
	before=$(shape)
	"$@" >/dev/null 2>&1
	after=$(shape)
	[ "$before" = "$after" ] || { diff <(echo "$before") <(echo "$after"); return 1; }
}
shape() {
	on_gateway -w 20 link show
	on_gateway -w 20 -br peer show
	on_client -w 20 link show
	on_client -w 20 -br transport show | awk '{ print $1, $2, $3, $4, $5, $6, $7 }'
	on_client -w 20 -br session | awk '{ print $1, $2, $3, $4, $5, $6, $7 }'
	on_client policy show carrier
	in_gateway ip -br addr show jvpn0
}

no_secrets() { # nothing prints a private key
	local side
	for side in client gateway; do
		{
			"on_$side" -j link
			"on_$side" link
			"on_$side" -j peer
			"on_$side" -j -s -d session
			"on_$side" -s -d session
			"on_$side" -j daemon
			"on_$side" -j policy
			cat "$tunnel_dir/$side.log" "$tunnel_dir/$side.audit"
		} >"$work/all" 2>&1
		! grep -qF -f "$tunnel_dir/$side.key" "$work/all" || return
	done
}

# A dead or hanging daemon costs a read little; 200 ms are what it waits.
quickly() { timeout $((2 * ${JVPN_SLOW:-1})) ip netns exec "$topo_client" "$tunnel_dir/jvpn-ip" -S "$tunnel_dir/client.sock" "$@"; }
reads() {
	local words
	for words in "link show" "session show" "peer show" "transport show" "stats" "stats drops" "version"; do
		# shellcheck disable=SC2086 # words
		json 'a or True' quickly -j $words || return
	done
	json 'a[0]["peer"] == "home" and a[0]["transport"]["dev"] == "lte"' on_client -j session
}

key=$(head -c 32 /dev/urandom | base64)
plan 40
topo_up 2ms && tunnel_prepare "$work" && tunnel_up || exit

check "link show: the daemon's part" json 'a[0]["public_key"] == open("'"$work"'/gateway.pub").read().strip() and
	a[0]["role"] == "gateway" and a[0]["listen"] == "203.0.113.2:51820" and a[0]["daemon"]' on_gateway -w 20 -j link show jvpn0
check "session show: the daemon's part" json 'a[0]["policy"] == "carrier" and a[0]["transport"]["name"] == "wifi" and
	a[0]["switches"]["max"] == 8' on_client -w 20 -j session show peer home
check "transport show" json '{t["name"]: (t["dev"], t["preference"], t["metered"], t["up"]) for t in a} ==
	{"wifi": ("wifi", 100, False, True), "lte": ("lte", 50, True, True)}' on_client -w 20 -j transport show
check "peer show" json 'a[0]["name"] == "phone" and len(a[0]["sessions"]) == 1 and
	a[0]["allowed_ips"] == ["10.77.0.2/32"]' on_gateway -w 20 -j peer show
check "policy show: numbers with their unit" json '(a[0]["knobs"]["recovery_window_ms"],
	a[0]["knobs"]["on_recovery_exhausted"]) == (5000, "degrade")' on_client -j policy show carrier
check "daemon status" json 'a[0]["sessions"] == {"attached": 1} and a[0]["peers"] == 1' on_gateway -j daemon status
check "version: all three" json 'set(a[0]) == {"version", "json_schema", "module", "daemon"}' on_client -w 20 -j version
check "no secret is printed" no_secrets

says "switch: a wrong if-version" 4 "Error: jvpn: *version* 99*." \
	on_client session switch peer home transport lte if-version 99
says "terminate: a wrong if-version" 4 "Error: jvpn: *version* 99*." on_client session terminate peer home if-version 99
check "and nothing has changed" unchanged on_client session terminate peer home if-version 99
says "switch: no such transport" 5 "Error: jvpn: *\"usb\"*." on_client session switch peer home transport usb
says "switch: no such session" 5 "Error: jvpn: *session*." on_client session switch id 0000000000000000 transport lte
ip netns exec "$topo_client" "$tunnel_dir/jvpn-ip" monitor session peer home >"$work/monitor" 2>&1 &
tunnel_pids+=($!)
check "monitor: listens" wait_for 10 listening $!
# A cooldown that does not end before the next command comes, even on a slow machine.
check "policy: knobs are set" eval 'on_client policy set carrier recovery-window 30s &&
	on_client policy set carrier switch-cooldown 10s'
check "switch: two transitions, one command" jump
says "switch: refused within the cooldown" 6 "Error: jvpn: *." on_client session switch peer home transport wifi
on_client policy set carrier switch-cooldown 100ms
check "the cooldown ends" wait_for 30 cooled
check "switch, in JSON: the new versions" json 'a[0]["version"] == 5 and a[0]["bver"] == 3' \
	on_client -j session switch peer home transport wifi
says "switch on a gateway: refused" 1 "Error: *." on_gateway session switch peer phone transport wifi

says "policy: a knob against another" 1 'Error: argument "10m" is wrong: *transport-lost-ttl*' \
	on_client policy set carrier recovery-window 10m
check "and the policy is as it was" unchanged on_client policy set carrier recovery-window 10m
check "policy: a knob is set" on_client policy set carrier recovery-window 4s
check "and shown" json 'a[0]["knobs"]["recovery_window_ms"] == 4000' on_client -j policy show carrier
says "policy: no such policy" 5 'Error: jvpn: there is no policy "nosuch".' on_client policy show nosuch

says "peer: twice" 1 "Error: argument * is wrong: *already." on_gateway peer add "$(<"$work/client.pub")" name phone allowed-ips 10.77.0.9/32
says "peer: an unknown policy" 5 "Error: jvpn: *\"nosuch\"*." on_gateway peer add "$key" allowed-ips 10.77.0.9/32 policy nosuch
says "peer: no such one" 5 'Error: jvpn: there is no peer "nobody".' on_gateway peer del nobody
check "none of it has changed anything" unchanged on_gateway peer add "$(<"$work/client.pub")" name phone allowed-ips 10.77.0.9/32
says "transport: twice" 1 "Error: argument \"wifi\" is wrong: *already." on_client transport add wifi
says "transport: no such one" 5 'Error: jvpn: there is no transport "usb".' on_client transport del usb

says "link set: an address that is not ours" 2 "Error: jvpn: *192.0.2.77:1*." \
	on_gateway link set jvpn0 mtu 1300 listen 192.0.2.77:1
check "and the link is as it was, MTU included" unchanged on_gateway link set jvpn0 mtu 1300 listen 192.0.2.77:1 address 10.9.9.9/24
check "the session goes on" wait_for 10 in_client ping -c 1 -W 1 "$tunnel_gateway"

wait_for 20 cooled && on_client session switch peer home transport lte
daemon=$(on_client -j daemon status | sed 's/.*"pid":\([0-9]*\).*/\1/')
check "the client's daemon is stopped" kill -STOP "$daemon"
check "reads with a daemon that hangs" reads
says "a change with a daemon that hangs" 3 "Error: jvpnd has not answered within 1 s at $work/client.sock: *" \
	on_client -w 1 session terminate peer home
kill -KILL "$daemon"
wait_for 10 eval "! kill -0 $daemon 2>/dev/null"
check "reads with a daemon that is dead" reads
says "a change with a daemon that is dead" 3 "Error: jvpnd is not running (nothing answers at $work/client.sock): *" \
	on_client session terminate peer home
check "terminate: the session ends" eval 'on_gateway session terminate peer phone &&
	wait_for 10 json "all(s[\"state\"] == \"terminated\" for s in a)" on_gateway -j session show peer phone'
