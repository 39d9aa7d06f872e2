# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154 # needs topology.sh
# The same tunnel by WireGuard, as its documentation sets one up: the client knows the gateway's
# address and keeps alive every 25 s, the gateway learns the client's. What moves it to the other
# uplink is the client's routing table: two default routes, wifi preferred.

wireguard_client=10.78.0.2
wireguard_gateway=10.78.0.1

wireguard_up() { # DIRECTORY for the keys
	local side key_client key_gateway
	for side in client gateway; do
		(umask 077 && wg genkey >"$1/$side.key") || return
	done
	key_client=$(wg pubkey <"$1/client.key") key_gateway=$(wg pubkey <"$1/gateway.key") || return
	ip -n "$topo_gateway" link add wg0 type wireguard &&
		in_gateway wg set wg0 listen-port 51821 private-key "$1/gateway.key" \
			peer "$key_client" allowed-ips "$wireguard_client/32" &&
		ip -n "$topo_gateway" addr add "$wireguard_gateway/24" dev wg0 &&
		ip -n "$topo_gateway" link set wg0 up || return
	ip -n "$topo_client" link add wg0 type wireguard &&
		in_client wg set wg0 private-key "$1/client.key" \
			peer "$key_gateway" allowed-ips 10.78.0.0/24 \
			endpoint "$topo_gateway_addr:51821" persistent-keepalive 25 &&
		ip -n "$topo_client" addr add "$wireguard_client/24" dev wg0 &&
		ip -n "$topo_client" link set wg0 up || return
	wait_for 10 in_client ping -qc 1 -W 1 "$wireguard_gateway" >/dev/null
}
