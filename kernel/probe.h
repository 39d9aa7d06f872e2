/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Control frames inside DATA, and the liveness of a client's paths.
 */
#ifndef JVPN_PROBE_H
#define JVPN_PROBE_H

#include <linux/types.h>

#include "../uapi/wire.h"

struct jvpn_endpoint;
struct jvpn_epoch;
struct jvpn_path;
struct jvpn_session;
struct jvpn_verdict;
struct sk_buff;

int jvpn_probe_session_init(struct jvpn_session *session);
void jvpn_probe_session_exit(struct jvpn_session *session);
void jvpn_probe_rcv(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *source,
		    const u8 *frame, size_t len);
void jvpn_probe_tx(struct jvpn_session *session, u64 now);
void jvpn_probe_rx(struct jvpn_session *session, struct jvpn_path *path, u64 now);
void jvpn_probe_inner(struct jvpn_session *session, u64 now);
void jvpn_probe_changed(struct jvpn_session *session);
int jvpn_probe_send(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *remote,
		    u8 flags, const u8 nonce[JVPN_NONCE_LEN], bool tell);
int jvpn_probe_close(struct jvpn_session *session, struct jvpn_epoch *epoch,
		     struct jvpn_path *path, const struct jvpn_endpoint *remote,
		     u8 reason);
int jvpn_probe_notice(struct jvpn_session *session, struct jvpn_epoch *epoch,
		      struct jvpn_path *path, const struct jvpn_endpoint *remote,
		      u8 kind, const u8 *tlv, size_t len);
int jvpn_probe_candidate_set(struct jvpn_session *session, u8 path,
			     const struct jvpn_endpoint *remote,
			     struct jvpn_verdict *v);
int jvpn_probe_candidate_remove(struct jvpn_session *session, u8 path,
				struct jvpn_verdict *v);
int jvpn_probe_fill(struct jvpn_session *session, struct sk_buff *skb);

#endif /* JVPN_PROBE_H */
