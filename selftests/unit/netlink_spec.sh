#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What is generated from uapi/jvpn.yaml is committed; this keeps the two equal.
generator=$(dirname "$(realpath "$0")")/../lib/ynl-gen
echo "TAP version 13"
echo "1..1"
if difference=$("$generator" --check 2>&1); then
	echo "ok 1 generated files equal uapi/jvpn.yaml"
	exit 0
fi
printf '%s\n' "$difference" | sed 's/^/# /'
echo "not ok 1 generated files equal uapi/jvpn.yaml: run selftests/lib/ynl-gen"
exit 1
