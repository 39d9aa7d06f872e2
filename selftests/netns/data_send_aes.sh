#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What of data_send.py seals packets, once more with keys of AES-256-GCM.
JVPN_AEAD=1 exec "$(dirname "$0")/data_send.py"
