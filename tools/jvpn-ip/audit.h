/* SPDX-License-Identifier: GPL-2.0 */
/* The daemon's stream of events, read from its file. */
#ifndef JVPN_IP_AUDIT_H
#define JVPN_IP_AUDIT_H

#include "value.h"

/* The last @last state changes of a session, by its id. Returns the exit code. */
int audit_history(const struct sid *sid, uint64_t last);

#endif /* JVPN_IP_AUDIT_H */
