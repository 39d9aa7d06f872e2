/* SPDX-License-Identifier: GPL-2.0 */
/* Transports: the kernel's paths, and the names the daemon gives them. */
#ifndef JVPN_IP_TRANSPORT_H
#define JVPN_IP_TRANSPORT_H

#include "object.h"

/* The paths of all devices, so that a number can be shown with what it stands for. */
struct paths {
	struct path *at;
	size_t count, room;
	uint64_t loaded_ms;
};

/* Load them, dropping what was loaded before. Returns the exit code. */
int paths_load(struct paths *paths, struct genl *genl);
void paths_free(struct paths *paths);

const struct path *paths_find(const struct paths *paths, uint32_t ifindex, uint64_t id);

/* The interface that a path leaves by, or "-" where routing chooses. Returns @buf. */
const char *paths_device(const struct paths *paths, uint32_t ifindex, uint64_t id,
			 char buf[IF_NAMESIZE]);

/* The name of an interface, or its number if it is gone. Returns @buf. */
const char *device_name(uint32_t ifindex, char buf[IF_NAMESIZE]);

/*
 * The interface that "dev" names, or 0 for no name, meaning all. Returns the
 * exit code, having told that there is none.
 */
int device_index(const char *name, uint32_t *ifindex);

#endif /* JVPN_IP_TRANSPORT_H */
