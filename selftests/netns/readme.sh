#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The README's gateway and client, word for word: its blocks are run on two machines made of namespaces.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
# shellcheck source=../lib/topology.sh
. "$lib/topology.sh"
top=$(realpath "$lib/../..")

work=$(mktemp -d)
at_exit rm -rf "$work"
at_exit topo_down
export PATH=$top/build:$PATH

# block TITLE: the code block of the README that starts with the comment "# TITLE".
block() {
	awk -v title="# $1" '/^```/ { inside = !inside; found = 0; next }
		inside && !found && $0 == title { found = 1; any = 1 }
		inside && found
		END { exit !any }' "$top/README.md"
}

# machine client|gateway: a shell that stays there, with a /run, /etc and /var for itself.
declare -A machine_in
machine_pids=()
machine() {
	local fifo=$work/$1.fifo fd
	mkfifo "$fifo" || return
	# shellcheck disable=SC2016 # the inner shell is to expand them
	"in_$1" unshare -m bash -uc '
		for dir in /run/jvpn /etc/jvpn /var/lib/jvpn /var/log/jvpn; do
			mkdir -p $dir && mount -t tmpfs tmpfs $dir
		done
		while IFS= read -r -d "" line; do
			eval "$line" >'"$work/$1.said"' 2>&1 </dev/null
			echo $? >'"$work/$1.status.new && mv $work/$1.status.new $work/$1.status"'
		done' <"$fifo" &
	machine_pids+=($!)
	exec {fd}>"$fifo"
	machine_in[$1]=$fd
}

# What was started on a machine ends with its namespace.
stop_machines() { { kill "${machine_pids[@]}" && wait "${machine_pids[@]}"; } 2>/dev/null; }
at_exit stop_machines

# run_on client|gateway COMMANDS: their status, that of the last one. All of them must succeed.
run_on() {
	rm -f "$work/$1.status"
	printf '(set -e; cd %q; %s\n)\0' "$work" "$2" >&"${machine_in[$1]}"
	wait_for 30 [ -e "$work/$1.status" ] || { echo "no answer"; cat "$work/$1.said"; return 1; }
	cat "$work/$1.said"
	return "$(<"$work/$1.status")"
}

follows() { run_on "$1" "$(block "$2")"; } # client|gateway TITLE
attached() { run_on client 'jvpn-ip -br session show' | grep -qi attached; }

back() { run_on client 'jvpn-ip -br session show' | grep -qi attached && in_client ping -c 1 -W 1 10.77.0.1; }
outside() { in_client ping -c 3 -i 0.2 -W 2 203.0.113.1; } # the router, under the gateway's address

plan 20
topo_up 1ms && machine gateway && machine client
check "gateway: make a key" follows gateway "gateway: a key"
check "client: make a key" follows client "client: a key"
check "gateway: set up" follows gateway "gateway: a device and a peer"
check "client: set up" follows client "client: a device, its transports and a peer"
check "the client attaches" wait_for 20 attached
check "the gateway answers inside" in_client ping -c 3 -i 0.2 -W 2 10.77.0.1
check "client: look at it" follows client "client: look at it"
check "client: jump" follows client "client: jump by hand"
check "gateway: check, apply, show" follows gateway "gateway: check, apply, show"
check "and nothing has changed" back
check "gateway: a peer, its key and its configuration" follows gateway "gateway: a peer, its key and its configuration"
check "client: paste" follows client "client: paste"
check "gateway: firewall" follows gateway "gateway: firewall"
check "the tunnel goes through it" back
check "gateway: forwarding" follows gateway "gateway: forwarding"
check "client: everything through the tunnel" follows client "client: everything through the tunnel"
check "the client comes back" wait_for 20 back
check "it reaches what is behind the gateway" outside
in_client sysctl -q -w net.ipv4.conf.all.rp_filter=1
check "client: loose rp_filter" follows client "client: loose rp_filter"
check "and it still does" outside
