/* SPDX-License-Identifier: GPL-2.0 */
/* Calls to the daemon over its control socket (uapi/io.jvpn.Control.varlink). */
#ifndef JVPN_IP_CONTROL_H
#define JVPN_IP_CONTROL_H

#include <jansson.h>

#include "grammar.h"

/* Make jansson wipe what it frees: keys pass through it. Before any other use of it. */
void control_init(void);

/*
 * Connect, so that a missing daemon is told of before anything is changed.
 * Returns the exit code, having told why. Later calls reconnect if needed.
 */
int control_open(void);

/*
 * Call @method with @parameters, which are taken over, and wait up to -w for the
 * answer, stored in @reply unless that is NULL. Returns the exit code.
 */
int control_call(const char *method, json_t *parameters, json_t **reply);

/*
 * As control_call(), for facts that only complete an answer: NULL if there is no
 * daemon, if it refuses, or is not quick. Tells nothing.
 */
json_t *control_facts(const char *method, json_t *parameters);

#endif /* JVPN_IP_CONTROL_H */
