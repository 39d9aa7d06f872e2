/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What time ends: silent clients on a gateway, and a device without its daemon.
 */
#ifndef JVPN_DEADLINE_H
#define JVPN_DEADLINE_H

#include <linux/types.h>

struct jvpn_device;
struct jvpn_session;

int jvpn_deadline_init(struct jvpn_device *device);
void jvpn_deadline_exit(struct jvpn_device *device);
void jvpn_deadline_session_add(struct jvpn_session *session);
void jvpn_deadline_session_del(struct jvpn_session *session);
void jvpn_deadline_tx(struct jvpn_session *session, u64 now);
void jvpn_deadline_daemon_gone(struct jvpn_device *device);
void jvpn_deadline_daemon_here(struct jvpn_device *device);

#endif /* JVPN_DEADLINE_H */
