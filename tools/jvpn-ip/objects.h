/* SPDX-License-Identifier: GPL-2.0 */
/* The objects of the command line; each is defined in the file of its name. */
#ifndef JVPN_IP_OBJECTS_H
#define JVPN_IP_OBJECTS_H

#include "grammar.h"

extern const struct object link_object;
extern const struct object session_object;
extern const struct object peer_object;
extern const struct object transport_object;
extern const struct object route_object;
extern const struct object policy_object;
extern const struct object stats_object;
extern const struct object audit_object;
extern const struct object key_object;
extern const struct object conf_object;
extern const struct object daemon_object;
extern const struct object monitor_object;
extern const struct object version_object;

#endif /* JVPN_IP_OBJECTS_H */
