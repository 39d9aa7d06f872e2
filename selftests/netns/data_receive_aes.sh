#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# All of data_receive.py once more, with keys of AES-256-GCM.
JVPN_AEAD=1 exec "$(dirname "$0")/data_receive.py"
