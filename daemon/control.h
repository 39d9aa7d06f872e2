/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket: varlink (JSON ended by NUL) of uapi/io.jvpn.Control.varlink.
 * Root and the control group only (SO_PEERCRED). Buffers and clients are bounded
 * and nothing blocks: who floods or stalls is cut off, alone. Loop thread.
 */
#ifndef JV_CONTROL_H
#define JV_CONTROL_H

#include "env.h"
#include "error.h"

enum {
	JV_CONTROL_CLIENTS = 32,
	JV_CONTROL_REQUEST_MAX = 64 * 1024,	/* bytes of one message in */
	JV_CONTROL_REPLY_MAX = 4 * 1024 * 1024,	/* bytes waiting to go out, per client */
	JV_CONTROL_IDLE_MS = 5000,		/* in the middle of a message, or not reading */
};

struct jv_control;
struct jv_shard;

/*
 * Listen on @path (0660, @group if not NULL); its directory is made (0755). A
 * socket that a dead daemon left behind is replaced.
 */
struct jv_control *jv_control_open(const char *path, const char *group, struct jv_env *env,
				   struct jv_shard *shard, struct jv_error *err);
/* Closes every client and removes the socket. */
void jv_control_close(struct jv_control *control);

#endif /* JV_CONTROL_H */
