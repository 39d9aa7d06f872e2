/* SPDX-License-Identifier: GPL-2.0 */
/* Sessions as they are shown, by show, get and monitor. */
#ifndef JVPN_IP_SESSION_H
#define JVPN_IP_SESSION_H

#include <jansson.h>

#include "object.h"
#include "transport.h"

enum { SID_TEXT = 2 * SID_BRIEF + 1 };

/* The id as people see it. Returns @buf. */
const char *session_id(const struct session *session, char buf[SID_TEXT]);

/* All there is to say; @facts are the daemon's, or NULL. */
json_t *session_json(const struct session *session, const struct paths *paths,
		     const json_t *facts);

#endif /* JVPN_IP_SESSION_H */
