/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The data plane over generic netlink (family "jvpn", uapi/jvpn.yaml). One socket:
 * its port is the daemon's identity, so signals come to it too. A request is
 * synchronous: sent, then read until our acknowledgement; signals that arrive in
 * between wait and are dispatched from the loop, never from inside a request.
 * Loop thread. Every function returns 0 or -errno with the kernel's sentence in
 * @err (may be NULL). -ENOENT is a race, not a disaster; -ESTALE lost a
 * compare-and-swap; -ENODEV: the device is gone.
 */
#ifndef JV_KERNEL_H
#define JV_KERNEL_H

#include <linux/jvpn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "error.h"
#include "loop.h"
#include "names.h"
#include "wire.h"

struct jv_kernel;

enum { JV_NOTICE_MAX = 240 };		/* bytes of options in a NOTICE */

/* What the data plane noticed. Fields that a kind does not carry are zero. */
struct jv_signal {
	enum jvpn_signal_kind kind;
	int ifindex;
	bool has_sid, has_path;
	uint8_t sid[JVPN_SID_LEN];
	uint8_t path;
	union jv_addr remote;		/* sa_family 0: absent */
	uint8_t cookie[JVPN_COOKIE_LEN];
	uint8_t cid[JVPN_CID_LEN];
	struct jv_version version;
	uint32_t srtt_us;
	uint32_t silent_ms;
	uint8_t reason;			/* CLOSED: enum jv_detail, as the peer gave it */
	uint8_t nonce[8];		/* PROBE_ACKED */
	uint8_t notice;			/* enum jvpn_notice_kind */
	size_t data_len;
	uint8_t data[JV_NOTICE_MAX];	/* its options */
	uint64_t time_ns;		/* CLOCK_BOOTTIME */
};

struct jv_kernel_ops {
	void (*signal)(void *arg, const struct jv_signal *signal);
	/* A session was deleted by somebody else (operator with -K). */
	void (*session_gone)(void *arg, int ifindex, const uint8_t sid[JVPN_SID_LEN]);
	/* Signals were lost: look at every session again (jv_kernel_session_dump). */
	void (*resync)(void *arg);
};

/* Fails with -ENOENT and a sentence if the module is not loaded. */
int jv_kernel_open(struct jv_kernel **out, struct jv_loop *loop,
		   const struct jv_kernel_ops *ops, void *arg, struct jv_error *err);
void jv_kernel_close(struct jv_kernel *kernel);

/* --- device --- */

struct jv_kernel_device {
	enum jvpn_role role;
	uint64_t term;			/* gateway; 0: leave it */
	size_t keys;			/* at most 4 */
	struct {
		uint8_t kid;
		uint8_t tag_key[16];	/* jv_tag1_key() */
	} key[4];
	enum jvpn_init_retry init_retry;
	uint32_t daemon_grace_ms;	/* 0: the kernel's default */
};

/* Register us as the daemon of the device. -EBUSY: another one lives. */
int jv_kernel_dev_set(struct jv_kernel *kernel, int ifindex,
		      const struct jv_kernel_device *device, struct jv_error *err);

struct jv_kernel_device_state {
	int ifindex;
	char ifname[16];
	enum jvpn_role role;
	uint32_t daemon_port;		/* 0: none */
	uint32_t sessions;
	char build[64];
};

int jv_kernel_dev_get(struct jv_kernel *kernel, int ifindex,
		      struct jv_kernel_device_state *state, struct jv_error *err);

/* --- paths --- */

/* Hand over a bound UDP socket; the module takes its own reference. @oif, @mark: 0 is none. */
int jv_kernel_path_set(struct jv_kernel *kernel, int ifindex, uint8_t path, int fd,
		       int oif, uint32_t mark, struct jv_error *err);
int jv_kernel_path_del(struct jv_kernel *kernel, int ifindex, uint8_t path,
		       struct jv_error *err);

/* --- sessions --- */

/* A transition as the kernel is told of it. state 0: none. */
struct jv_kernel_transition {
	uint8_t state;			/* enum jv_state */
	uint8_t reason;			/* enum jv_reason */
	uint8_t detail;			/* enum jv_detail */
	uint64_t state_version;		/* afterwards; the kernel checks current + 1 */
};

struct jv_kernel_figures {		/* milliseconds; 0 leaves a figure as it is */
	uint32_t probe_interval, probe_rto_min, standby_interval, keepalive;
	uint32_t dead_idle, dead_busy;
	uint8_t probe_misses;
};

struct jv_kernel_session {
	uint8_t sid[JVPN_SID_LEN];
	enum jvpn_role role;
	const char *label;		/* the peer's name */
	uint8_t state;			/* enum jv_state, usually BIRTH */
	uint64_t state_version;
	size_t prefixes;		/* inner addresses of the peer, <= JVPN_MAX_PREFIXES */
	const struct jv_prefix *prefix;
	struct jv_kernel_figures figures;
};

int jv_kernel_session_new(struct jv_kernel *kernel, int ifindex,
			  const struct jv_kernel_session *session, struct jv_error *err);
/* A transition that leaves the binding alone (TERMINATED clears and wipes), and/or figures. */
int jv_kernel_session_set(struct jv_kernel *kernel, int ifindex,
			  const uint8_t sid[JVPN_SID_LEN],
			  const struct jv_kernel_transition *transition,
			  const struct jv_kernel_figures *figures, struct jv_error *err);
/*
 * Give a session without prefixes its inner addresses, all or none. -EEXIST: one of
 * them is another session's.
 */
int jv_kernel_session_prefixes(struct jv_kernel *kernel, int ifindex,
			       const uint8_t sid[JVPN_SID_LEN],
			       const struct jv_prefix *prefix, size_t n, struct jv_error *err);
/* What the kernel enforces by itself, a second later than a daemon that lives. */
struct jv_kernel_limits {
	uint64_t deadline_ms;		/* the session ends so long from now */
	uint32_t lost_ttl_ms;		/* or without transport for so long */
	bool strict_source;		/* DATA from the binding alone */
};

int jv_kernel_session_limits(struct jv_kernel *kernel, int ifindex,
			     const uint8_t sid[JVPN_SID_LEN],
			     const struct jv_kernel_limits *limits, struct jv_error *err);
int jv_kernel_session_del(struct jv_kernel *kernel, int ifindex,
			  const uint8_t sid[JVPN_SID_LEN], struct jv_error *err);

struct jv_kernel_session_state {
	int ifindex;
	uint8_t sid[JVPN_SID_LEN];
	enum jvpn_role role;
	char label[JVPN_LABEL_LEN + 1];
	uint8_t state;
	uint64_t state_version;
	struct jv_version version;
	uint64_t bver_seen;
	bool bound, confirmed;		/* a transmit pointer exists; it is a binding */
	uint8_t path;
	union jv_addr remote;
	uint64_t age_ms;
	uint64_t last_rx_ms;		/* UINT64_MAX: nothing ever came */
};

/* Every session of the device (0: of every device); @fn must not make requests. */
int jv_kernel_session_dump(struct jv_kernel *kernel, int ifindex,
			   void (*fn)(void *arg, const struct jv_kernel_session_state *state),
			   void *arg, struct jv_error *err);
int jv_kernel_session_get(struct jv_kernel *kernel, int ifindex,
			  const uint8_t sid[JVPN_SID_LEN],
			  struct jv_kernel_session_state *state, struct jv_error *err);

/* --- epochs --- */

struct jv_kernel_epoch {
	uint8_t sid[JVPN_SID_LEN];
	uint8_t rx_cid[JVPN_CID_LEN];	/* ours */
	uint8_t tx_cid[JVPN_CID_LEN];	/* the peer's */
	uint8_t aead;			/* enum jvpn_aead */
	const uint8_t *rx_key, *tx_key;	/* 32 bytes; the request buffer is wiped after use */
	struct jv_version version;	/* what its first packet proves */
	bool transmit;			/* send with it at once (client) */
	uint64_t lifetime_ms;		/* nothing is sent with older keys; 0: for ever */
};

int jv_kernel_epoch_new(struct jv_kernel *kernel, int ifindex,
			const struct jv_kernel_epoch *epoch, struct jv_error *err);
int jv_kernel_epoch_del(struct jv_kernel *kernel, int ifindex,
			const uint8_t rx_cid[JVPN_CID_LEN], struct jv_error *err);

/* --- binding --- */

struct jv_kernel_binding {
	uint8_t sid[JVPN_SID_LEN];
	enum jvpn_binding_op op;
	struct jv_version expect;	/* SET: current; (term, 0) if none was of that term */
	bool has_exp_bver;
	uint64_t exp_bver;		/* SET: what the request named; raises bver_c */
	struct jv_version version;	/* SET: new */
	uint8_t path;			/* SET, MOVE */
	union jv_addr remote;		/* SET, MOVE */
	bool switched;			/* SET: the transport moved, remember it */
	bool has_cid;			/* SET: the request has made this epoch (ours) */
	uint8_t cid[JVPN_CID_LEN];
	struct jv_kernel_transition transition;	/* in the same critical section; state 0: none */
	struct jv_kernel_transition via;	/* SET: passed through just before; state_version is
						 * that of transition minus one, and is not sent */
};

struct jv_kernel_result {
	int error;			/* 0 or -errno */
	struct jv_version version;	/* current afterwards */
	uint64_t state_version;
	char message[160];
};

/*
 * @n changes (<= JVPN_MAX_BATCH) in order in one request, each whole or not at
 * all. @results (may be NULL) has room for @n; those never reached hold -ECANCELED.
 * Returns the first failure.
 */
int jv_kernel_binding_set(struct jv_kernel *kernel, int ifindex,
			  const struct jv_kernel_binding *binding, size_t n,
			  struct jv_kernel_result *results, struct jv_error *err);

/* --- client paths kept warm; frames --- */

int jv_kernel_candidate_set(struct jv_kernel *kernel, int ifindex,
			    const uint8_t sid[JVPN_SID_LEN], uint8_t path,
			    const union jv_addr *remote, struct jv_error *err);
int jv_kernel_candidate_del(struct jv_kernel *kernel, int ifindex,
			    const uint8_t sid[JVPN_SID_LEN], uint8_t path,
			    struct jv_error *err);

enum { JV_FRAME_KEEPALIVE = 0 };	/* else enum jvpn_frame_type */

struct jv_kernel_frame {
	uint8_t sid[JVPN_SID_LEN];
	uint8_t type;
	uint8_t flags;			/* PROBE */
	uint8_t reason;			/* CLOSE */
	bool has_path;			/* else to the binding */
	uint8_t path;
	union jv_addr remote;
	bool has_nonce;
	uint8_t nonce[8];
	bool has_cid;			/* that epoch's keys, else the sending one's */
	uint8_t cid[JVPN_CID_LEN];
	uint8_t notice;			/* NOTICE */
	const uint8_t *data;
	size_t data_len;
};

int jv_kernel_frame_send(struct jv_kernel *kernel, int ifindex,
			 const struct jv_kernel_frame *frame, struct jv_error *err);

#endif /* JV_KERNEL_H */
