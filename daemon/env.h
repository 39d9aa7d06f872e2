/* SPDX-License-Identifier: GPL-2.0 */
/* The neighbours that a shard works with. main.c owns them; they outlive every shard. */
#ifndef JV_ENV_H
#define JV_ENV_H

#include <stdint.h>

struct jv_loop;
struct jv_kernel;
struct jv_rtnl;
struct jv_node;
struct jv_audit;
struct jv_limiter;
struct jv_refusals;
struct jv_settings;
struct jv_store;

struct jv_env {
	struct jv_loop *loop;
	struct jv_kernel *kernel;
	struct jv_rtnl *rtnl;
	struct jv_node *node;
	struct jv_audit *audit;
	struct jv_limiter *limiter;
	struct jv_settings *settings;
	struct jv_store *store;
	uint64_t term;			/* of this incarnation, committed */
	uint8_t no_aead;		/* JVPN_AEAD_BIT()s that the kernel turned out not to have */
	uint64_t refusals[256];		/* exact, by enum jv_reason; shown by Status */
	struct jv_refusals *refused;	/* the last ones, by peer and sender */
};

#endif /* JV_ENV_H */
