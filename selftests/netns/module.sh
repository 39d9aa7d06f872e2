#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The module by itself: devices come and go with the command, with their namespace and with the module.
. "$(dirname "$(realpath "$0")")/../lib/ktap.sh"

left='' right=''
netns_add left right
devices() { ip -n "$1" -o link show type jvpn | wc -l; }
remake() { ip -n "$1" link add jv2 type jvpn && ip netns del "$1" && ip netns add "$1"; }
unload() { ip -n "$right" link set jv1 up && rmmod jvpn && [ ! -e /sys/module/jvpn ]; }

plan 8
check "a device can be made" ip -n "$left" link add jv0 type jvpn
fail_if "a second one of its name cannot" ip -n "$left" link add jv0 type jvpn
check "another one can" ip -n "$left" link add jv1 type jvpn
check "a device moves to another namespace" ip -n "$left" link set jv1 netns "$right"
is "and is there" "$(devices "$left") $(devices "$right")" "1 1"
check "a device can be removed" ip -n "$left" link del jv0
check "a namespace takes its devices along" remake "$left"
check "the module unloads with a device up, and takes it along" unload
