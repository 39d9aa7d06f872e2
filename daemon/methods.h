/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The methods of uapi/io.jvpn.Control.varlink: parameters checked against a table,
 * then the node's or the shard's functions, then a reply. Loop thread.
 */
#ifndef JV_METHODS_H
#define JV_METHODS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "env.h"

struct jv_shard;

/* One call in progress. Lives as long as the client it belongs to. */
struct jv_call {
	struct jv_env *env;
	struct jv_shard *shard;
	uint64_t started_ms;		/* of the daemon */
	bool pending;			/* finish() is still to come */
	json_t *reply;			/* it, while the change is being kept; NULL: not there yet */
	/* Takes @reply over; called once per call, perhaps from within jv_method_call(). */
	void (*finish)(struct jv_call *call, json_t *reply);
};

/* Carry out @request, a parsed varlink call; the reply goes to call->finish(). */
void jv_method_call(struct jv_call *call, const json_t *request);

/* Nobody waits for the reply any more. */
void jv_method_forget(struct jv_call *call);

/* A reply that is varlink's own error about @name ("method", "parameter", …), or without it. */
json_t *jv_method_error(const char *error, const char *key, const char *name);

/* Make jansson wipe what it frees: keys pass through it. Once, before any other use. */
void jv_methods_setup(void);

#endif /* JV_METHODS_H */
