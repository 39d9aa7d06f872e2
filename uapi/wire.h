/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * Byte layouts of the Jumping VPN protocol, JVPN/1, shared by the kernel module
 * and the daemon. PROTOCOL.md is the text. Integers are little-endian, addresses
 * in network order; every structure is packed and its size is asserted.
 */
#ifndef JVPN_WIRE_H
#define JVPN_WIRE_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#endif

#define JVPN_WIRE_VERSION 1

enum {
	JVPN_KEY_LEN	 = 32,
	JVPN_TAG_LEN	 = 16,
	JVPN_SID_LEN	 = 16,
	JVPN_CID_LEN	 = 8,
	JVPN_COOKIE_LEN	 = 16,
	JVPN_LOCATOR_LEN = 60,
	JVPN_NONCE_LEN	 = 8,	/* of a PROBE */
	JVPN_PATH_MAX	 = 16,	/* path ids are 0..15 */
};

/* Datagram types: byte 0. With bit 7 set, bytes 8..9 are the shard. */
enum jvpn_type {
	JVPN_T_INIT	     = 0x01,
	JVPN_T_INIT_RESP     = 0x02,
	JVPN_T_RETRY	     = 0x03,
	JVPN_T_REATTACH_RESP = 0x04,
	JVPN_T_DENY	     = 0x05,
	JVPN_T_SWITCH_RESP   = 0x06,
	JVPN_T_DATA	     = 0x81,
	JVPN_T_REATTACH	     = 0x82,
	JVPN_T_SWITCH	     = 0x83,
};

enum { JVPN_SUITE_X25519 = 1 };

enum jvpn_aead {
	JVPN_AEAD_CHACHA20_POLY1305 = 0,
	JVPN_AEAD_AES_256_GCM	    = 1,
};

#define JVPN_AEAD_BIT(a) (1u << (a))	/* in an aead_mask */

struct jvpn_init {
	__u8	type, version, kid, suite;
	__u8	zero[4];
	__u8	req_id[8];
	__u8	cookie[16];
	__u8	e[32];
	__u8	s[32 + 16];
	__u8	payload[376 + 16];
	__u8	tag1[8];
} __attribute__((packed));

struct jvpn_init_payload {
	__u8	cid[8];
	__u8	aead_mask, flags, path_id, zero;
	__le16	mtu;
	__le16	tlv_len;
	__u8	tlv[360];
} __attribute__((packed));

struct jvpn_init_resp {
	__u8	type, version, zero1, suite;
	__u8	zero4[4];
	__u8	req_id[8];
	__u8	e[32];
	__u8	payload[];	/* struct jvpn_init_resp_payload + tlv_len + tag */
} __attribute__((packed));

struct jvpn_init_resp_payload {
	__u8	status, aead;
	__le16	flags;
	__le32	retry_after_ms;
	__u8	cid[8];
	__le64	term;
	__le64	bver;
	__u8	locator[60];
	__le32	rekey_after_s;
	__le32	session_max_s;
	__le32	loss_ttl_ms;
	__le16	keepalive_s;
	__le16	probe_ms;
	__le16	mtu;
	__le16	tlv_len;
	__u8	tlv[];
} __attribute__((packed));

struct jvpn_retry {
	__u8	type, version;
	__u8	zero[6];
	__u8	req_id[8];
	__u8	cookie[16];
} __attribute__((packed));

struct jvpn_reattach {
	__u8	type, version, kid, suite;
	__u8	zero4[4];
	__u8	locator[60];
	__u8	zero[4];
	__u8	req_id[8];
	__u8	cookie[16];
	__u8	e[32];
	__u8	payload[56 + 16];
	__u8	tag1[8];
} __attribute__((packed));

struct jvpn_reattach_resp {
	__u8	type, version, zero1, suite;
	__u8	zero4[4];
	__u8	req_id[8];
	__u8	e[32];
	__u8	payload[96 + 16];
} __attribute__((packed));

struct jvpn_deny {
	__u8	type, version, reason;
	__u8	zero[5];
	__u8	req_id[8];
	__u8	tag[16];
} __attribute__((packed));

struct jvpn_switch {
	__u8	type, version, kid;
	__u8	zero[5];
	__u8	cid[8];
	__u8	req_id[8];
	__u8	cookie[16];
	__le64	rseq;
	__u8	payload[56 + 16];
	__u8	tag1[8];
} __attribute__((packed));

struct jvpn_switch_payload {
	__le64	exp_term;
	__le64	exp_bver;
	__u8	reason, path_id;
	__le16	flags;
	__u8	zero4[4];
	__le64	rx_highest;
	__u8	zero[24];
} __attribute__((packed));

struct jvpn_switch_resp {
	__u8	type, version;
	__u8	zero[6];
	__u8	req_id[8];
	__le64	rseq;
	__u8	payload[56 + 16];
} __attribute__((packed));

struct jvpn_switch_resp_payload {
	__u8	status, zero1;
	__le16	flags;
	__le32	retry_after_ms;
	__le64	term;
	__le64	bver;
	__u8	zero[32];
} __attribute__((packed));

/*
 * DATA: 16 byte header, also the AEAD's associated data, then ciphertext and
 * tag. The first word is JVPN_T_DATA | flags << 8 | counter << 16.
 */
struct jvpn_data {
	__le64	word;
	__u8	cid[8];
	__u8	payload[];
} __attribute__((packed));

enum {
	JVPN_DATA_CSUM_PARTIAL = 0x01,	/* flags */
};

#define JVPN_COUNTER_BITS 48
/* No key sends more packets than this, ChaCha20-Poly1305 exactly so many. */
#define JVPN_COUNTER_LIMIT (1ULL << 46)
/* What DATA adds to an inner packet, behind IPv4 and UDP. */
#define JVPN_OVERHEAD (16 + 16 + 8 + 20)

/* Control frames inside DATA: the high nibble of the first byte is 0. */
enum jvpn_frame_type {
	JVPN_F_PROBE	 = 0x01,
	JVPN_F_PROBE_ACK = 0x02,
	JVPN_F_CLOSE	 = 0x03,
	JVPN_F_NOTICE	 = 0x04,
};

enum {
	JVPN_PROBE_CANDIDATE = 0x01,	/* a path that is not bound is tried */
	JVPN_PROBE_NAT_CHECK = 0x02,
	JVPN_PROBE_CONFIRM   = 0x04,	/* proves that its version was seen */
};

enum jvpn_notice_kind {
	JVPN_NOTICE_DRAIN     = 1,	/* reattach, to the addresses listed */
	JVPN_NOTICE_REKEY_NOW = 2,
	JVPN_NOTICE_ADDRESSES = 3,	/* others of the gateway */
};

struct jvpn_probe {
	__u8	type, flags, path_id, zero;
	__le32	time_us;
	__u8	nonce[8];
	__le64	term;
	__le64	bver;
	__le64	rx_highest;
	__le64	rx_packets;
	__u8	cookie[16];
} __attribute__((packed));

struct jvpn_close {
	__u8	type, reason;
	__u8	zero6[6];
	__le64	term;
	__le64	bver;
	__u8	zero[8];
} __attribute__((packed));

struct jvpn_notice {
	__u8	type, kind;
	__u8	zero[2];
	__u8	tlv[];
} __attribute__((packed));

#define JVPN_NOTICE_MAX 240	/* bytes of its options */

/* TLVs of INIT and INIT_RESP. Bit 7 of the type: critical. */
enum {
	JVPN_TLV_INNER4	 = 1,	/* address 4, prefix length 1 */
	JVPN_TLV_INNER6	 = 2,	/* address 16, prefix length 1 */
	JVPN_TLV_GW_ADDR = 3,	/* address 16 (v4 mapped), port 2 */
	JVPN_TLV_PSK_ID	 = 4,	/* 16 */
	JVPN_TLV_CRITICAL = 0x80,
};

/* Domain separation labels: the complete list. */
#define JVPN_LABEL_INIT	    "jvpn1 init"
#define JVPN_LABEL_REATTACH "jvpn1 reattach"
#define JVPN_LABEL_TAG1	    "jvpn1 tag1"
#define JVPN_LABEL_LOC	    "jvpn1 loc"
#define JVPN_LABEL_DENY	    "jvpn1 deny"
#define JVPN_LABEL_SID	    "jvpn1 sid"
#define JVPN_LABEL_PRK	    "jvpn1 prk"
#define JVPN_LABEL_C2G	    "jvpn1 c2g"
#define JVPN_LABEL_G2C	    "jvpn1 g2c"
#define JVPN_LABEL_SWC	    "jvpn1 swc"
#define JVPN_LABEL_SWG	    "jvpn1 swg"
#define JVPN_LABEL_RS	    "jvpn1 rs"
#define JVPN_LABEL_STORE    "jvpn1 store"
#define JVPN_LABEL_PEER	    "jvpn1 peer"

#define JVPN_NOISE_IK "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
#define JVPN_NOISE_NN "Noise_NNpsk0_25519_ChaChaPoly_SHA256"

static_assert(sizeof(struct jvpn_init) == 512, "INIT");
static_assert(sizeof(struct jvpn_init_payload) == 376, "INIT payload");
static_assert(sizeof(struct jvpn_init_resp) == 48, "INIT_RESP header");
static_assert(sizeof(struct jvpn_init_resp_payload) == 112, "INIT_RESP payload");
static_assert(sizeof(struct jvpn_retry) == 32, "RETRY");
static_assert(sizeof(struct jvpn_reattach) == 208, "REATTACH");
static_assert(sizeof(struct jvpn_reattach_resp) == 160, "REATTACH_RESP");
static_assert(sizeof(struct jvpn_deny) == 32, "DENY");
static_assert(sizeof(struct jvpn_switch) == 128, "SWITCH");
static_assert(sizeof(struct jvpn_switch_payload) == 56, "SWITCH payload");
static_assert(sizeof(struct jvpn_switch_resp) == 96, "SWITCH_RESP");
static_assert(sizeof(struct jvpn_switch_resp_payload) == 56, "SWITCH_RESP payload");
static_assert(sizeof(struct jvpn_data) == 16, "DATA");
static_assert(sizeof(struct jvpn_probe) == 64, "PROBE");
static_assert(sizeof(struct jvpn_close) == 32, "CLOSE");
static_assert(sizeof(struct jvpn_notice) == 4, "NOTICE header");

#endif /* JVPN_WIRE_H */
