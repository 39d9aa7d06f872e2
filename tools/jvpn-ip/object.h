/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects of the kernel as the tool sees them, and one decoder each, for
 * show, get and monitor alike.
 *
 * Numbers of any width are kept as uint64_t. @has says which attributes came:
 * bit n for attribute n.
 */
#ifndef JVPN_IP_OBJECT_H
#define JVPN_IP_OBJECT_H

#include "../../uapi/states.h"
#include "genl.h"
#include "value.h"

#define HAS(object, attribute) (!!((object)->has & 1ULL << (attribute)))

enum { CID_LEN = 8 };

struct device {
	uint64_t has;
	uint32_t ifindex;
	char ifname[IF_NAMESIZE];
	char build[64];
	uint64_t role, term, daemon_port, daemon_gone_ms, sessions, epochs;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, retries, upcalls;
	uint64_t drop[JVPN_DROP_MAX];
};

struct path {
	uint64_t has;
	uint32_t ifindex;
	uint64_t id, oif, mark, rx_packets, tx_packets;
	struct endpoint local;
};

struct binding {
	uint64_t has;
	uint64_t term, bver, path, confirmed, age_ms;
	struct endpoint remote;
};

struct epoch {
	uint64_t has;
	unsigned char rx_cid[CID_LEN], tx_cid[CID_LEN];
	uint64_t aead, term, bver, transmit, confirmed;
	uint64_t tx_counter, rx_highest, rx_packets, age_ms;
};

struct candidate {
	uint64_t has;
	uint64_t path, state, srtt_us, rttvar_us, loss_permille;
	uint64_t probes, acks, last_rx_ms, cookie_ms;
	struct endpoint remote;
};

struct session {
	uint64_t has;
	uint32_t ifindex;
	unsigned char sid[SID_LEN];
	char label[JVPN_LABEL_LEN + 1];
	uint64_t role, state, state_version, previous, reason, detail;
	uint64_t term, bver, bver_seen;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
	uint64_t age_ms, last_rx_ms, last_tx_ms, changed_ms;
	struct binding binding;
	struct prefix prefix[JVPN_MAX_PREFIXES];
	struct epoch epoch[JVPN_MAX_EPOCHS];
	struct candidate candidate[JVPN_MAX_CANDIDATES];
	size_t prefixes, epochs, candidates;
	uint64_t drop[JVPN_DROP_MAX];
	uint32_t switched_ms[JVPN_RING_LEN];	/* CLOCK_BOOTTIME */
	size_t switches;
};

struct signal {
	uint64_t has;
	uint32_t ifindex;
	unsigned char sid[SID_LEN];
	unsigned char cid[CID_LEN];
	uint64_t kind, path, term, bver, srtt_us, silent_ms, time_ns, reason;
	struct endpoint remote;
};

/* The command of a message of the family. */
uint8_t message_command(const struct nlmsghdr *message);

/* Each fills the whole object; false if the message carries none. */
bool device_decode(const struct nlmsghdr *message, struct device *device);
bool path_decode(const struct nlmsghdr *message, struct path *path);
bool session_decode(const struct nlmsghdr *message, struct session *session);
bool signal_decode(const struct nlmsghdr *message, struct signal *signal);

/* Names of the numbers; "?" for one that is not known. */
const char *role_name(uint64_t role);
const char *path_state_name(uint64_t state);
const char *signal_name(uint64_t kind);

#endif /* JVPN_IP_OBJECT_H */
