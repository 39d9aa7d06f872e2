# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # needs topology.sh
# A tunnel over the two uplinks of topology.sh, set up with jvpn-ip alone. What it writes is in
# $tunnel_dir: <end>.audit, <end>.kernel (events of jvpn-ip monitor), <end>.log of jvpnd.

tunnel_client=10.77.0.2
tunnel_gateway=10.77.0.1
tunnel_port=51820
tunnel_dir=
tunnel_pids=()

on_client() { in_client "$tunnel_dir/jvpn-ip" -S "$tunnel_dir/client.sock" "$@"; }
on_gateway() { in_gateway "$tunnel_dir/jvpn-ip" -S "$tunnel_dir/gateway.sock" "$@"; }

# tunnel_prepare DIRECTORY: load the module; programs and all that is written go into DIRECTORY.
tunnel_prepare() {
	local top
	top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
	tunnel_dir=$1
	cp "$top/build/jvpnd" "$top/build/jvpn-ip" "$top/build/selftests/udpstream" "$1" &&
		warm "$1/jvpnd" "$1/jvpn-ip" "$1/udpstream" sed awk grep cat || return
	[ -d /sys/module/jvpn ] && return
	modprobe -a udp_tunnel ip6_udp_tunnel libchacha20poly1305 gcm && insmod "$JVPN_KO"
}

tunnel_daemon() { # client|gateway
	mkdir -p "$tunnel_dir/$1.state"
	"in_$1" "$tunnel_dir/jvpnd" --control-socket "$tunnel_dir/$1.sock" --state-dir "$tunnel_dir/$1.state" \
		--audit "$tunnel_dir/$1.audit" >"$tunnel_dir/$1.log" 2>&1 &
	tunnel_pids+=($!)
	wait_for 60 "on_$1" daemon status >/dev/null 2>&1
}

tunnel_monitor() { # client|gateway
	"on_$1" -j monitor all >"$tunnel_dir/$1.kernel" 2>>"$tunnel_dir/$1.log" &
	tunnel_pids+=($!)
}

# tunnel_up: both ends; done when the client is attached by wifi and lte is warm. Says why it is not.
tunnel_up() {
	local side
	tunnel_start && wait_for 60 tunnel_is_on wifi && wait_for 60 tunnel_is_warm lte && return
	for side in client gateway; do
		echo "# $side:"
		{ cat "$tunnel_dir/$side.log"; "on_$side" -d session show; "on_$side" stats drops; } 2>&1 | sed 's/^/#     /'
	done
	return 1
}

tunnel_start() {
	local side
	for side in client gateway; do
		tunnel_daemon $side || return
		(umask 077 && on_client key gen >"$tunnel_dir/$side.key") || return
		on_client key pub <"$tunnel_dir/$side.key" >"$tunnel_dir/$side.pub" || return
	done
	on_gateway link add jvpn0 private-key "$tunnel_dir/gateway.key" \
		listen "$topo_gateway_addr:$tunnel_port" address "$tunnel_gateway/24" up &&
		on_gateway peer add "$(<"$tunnel_dir/client.pub")" name phone allowed-ips "$tunnel_client/32" || return
	on_client link add jvpn0 private-key "$tunnel_dir/client.key" &&
		on_client transport add wifi preference 100 &&
		on_client transport add lte preference 50 metered || return
	tunnel_monitor gateway
	tunnel_monitor client
	on_client peer add "$(<"$tunnel_dir/gateway.pub")" name home endpoint "$topo_gateway_addr:$tunnel_port" \
		allowed-ips "$tunnel_gateway/32"
}

# Each prints one word, or nothing. What people read is asked for; JSON would cost a start of Python.
tunnel_session() { "on_$1" -j session show | sed -n 's/.*"id": *"\([0-9a-f]*\)".*/\1/p'; } # client|gateway
tunnel_state() { "on_$1" session show | sed -n '1s/.*<\([A-Z]*\)>.*/\1/p'; } # client|gateway
tunnel_transport() { on_client session show | sed -n 's/^ *transport .* dev \([a-z]*\) .*/\1/p'; }
tunnel_rtt_us() {
	on_client -d session show | awk -v dev="$(tunnel_transport)" '/^ *candidate / && $5 == dev {
		for (i = 6; i < NF; i++) if ($i == "rtt") { printf "%d\n", $(i + 1) * 1000; exit } }'
}

tunnel_is_on() { [ "$(tunnel_state client) $(tunnel_transport)" = "ATTACHED $1" ]; } # UPLINK
tunnel_is_warm() { on_client -d session show | grep -q "^ *candidate .* dev $1 .* alive .* cookie"; } # UPLINK

tunnel_down() {
	local side
	[ -n "$tunnel_dir" ] || return 0
	kill -TERM "${tunnel_pids[@]}" 2>/dev/null
	wait "${tunnel_pids[@]}" 2>/dev/null
	tunnel_pids=()
	for side in client gateway; do
		! "on_$side" link show jvpn0 >/dev/null 2>&1 || "on_$side" -K link del jvpn0
	done
}

# tunnel_stream FILE [OPTION…]: a stream both ways inside, listening to its signals; its process in $tunnel_stream.
tunnel_stream() {
	local report=$1
	shift
	rm -f "$report"
	"$tunnel_dir/udpstream" "$@" -o "$report" "$topo_client" "$tunnel_client" "$topo_gateway" "$tunnel_gateway" 7001 &
	# shellcheck disable=SC2034 # for the caller to mark and end it
	tunnel_stream=$!
	wait_for 60 [ -e "$report" ]
}
