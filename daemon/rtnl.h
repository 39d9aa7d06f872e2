/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Links, addresses and routes (libnl-route-3). Events come on one socket with the
 * loop's highest priority and reach the callback without another round trip; a
 * second socket carries requests. What is set here is remembered and taken back
 * by jv_rtnl_undo(). Loop thread. Setters return 0 or -errno and a sentence.
 */
#ifndef JV_RTNL_H
#define JV_RTNL_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "error.h"
#include "loop.h"

enum { JV_IFACE_ADDRS = 16 };		/* more are ignored */

struct jv_iface {
	struct jv_iface *next;
	int ifindex;
	char name[IFNAMSIZ];
	char kind[IFNAMSIZ];		/* "jvpn", "veth", "" */
	uint32_t flags;			/* IFF_* */
	bool up;			/* administratively up, with carrier and operational */
	uint32_t mtu;
	unsigned int addrs;
	struct jv_prefix addr[JV_IFACE_ADDRS];	/* usable: not tentative, no IPv6 link-local */
	bool stale;			/* rtnl.c's own */
};

struct jv_rtnl_ops {
	/*
	 * @iface came, changed (up, name, mtu, addresses) or, with @gone, has just
	 * been removed from the table and is freed on return. After lost events it is
	 * called for every one, changed or not.
	 */
	void (*iface)(void *arg, const struct jv_iface *iface, bool gone);
};

struct jv_rtnl;

/* Opens both sockets and reads what is there; the callback is not called for that. */
int jv_rtnl_open(struct jv_rtnl **out, struct jv_loop *loop, const struct jv_rtnl_ops *ops,
		 void *arg, struct jv_error *err);
/* Takes back everything that was set. */
void jv_rtnl_close(struct jv_rtnl *rtnl);

/* The table. Entries live until their "gone". */
const struct jv_iface *jv_rtnl_ifaces(const struct jv_rtnl *rtnl);
const struct jv_iface *jv_rtnl_by_index(const struct jv_rtnl *rtnl, int ifindex);
const struct jv_iface *jv_rtnl_by_name(const struct jv_rtnl *rtnl, const char *name);
/* First address of the family, or NULL. */
const struct jv_prefix *jv_iface_addr(const struct jv_iface *iface, int family);

/* Create a device of kind jvpn. *@ifindex is set; removed by undo. -EEXIST: it is there. */
int jv_rtnl_create(struct jv_rtnl *rtnl, const char *name, int *ifindex, struct jv_error *err);

/* An interface as seen when it is asked for, and entered into the table: for one just created. */
const struct jv_iface *jv_rtnl_refresh(struct jv_rtnl *rtnl, const char *name);

int jv_rtnl_up(struct jv_rtnl *rtnl, int ifindex, struct jv_error *err);
int jv_rtnl_mtu(struct jv_rtnl *rtnl, int ifindex, uint32_t mtu, struct jv_error *err);

/* Add an address; one that is there already is left alone, also by undo. */
int jv_rtnl_addr_add(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err);
int jv_rtnl_addr_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err);

/*
 * Route @n prefixes into the device by way of @table. Two rules per family make it
 * loop-free: main goes first without its default routes, then what does not carry
 * @mark looks into @table. Outer packets carry @mark.
 */
int jv_rtnl_routes_add(struct jv_rtnl *rtnl, int ifindex, uint32_t table, uint32_t mark,
		       const struct jv_prefix *prefix, size_t n, struct jv_error *err);

/* Take those routes back; the rules stay until undo, they do no harm. */
void jv_rtnl_routes_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *prefix,
			size_t n);

/*
 * Take back what was set for the device, newest first: routes and rules, addresses,
 * MTU, up; with @device also a device that jv_rtnl_create() made.
 */
void jv_rtnl_undo(struct jv_rtnl *rtnl, int ifindex, bool device);

#endif /* JV_RTNL_H */
