// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "kernel.h"
#include "log.h"
#include "path.h"

enum { REAP_MS = 2000 };

static void close_path(struct jv_path *path, bool gone)
{
	path->usable = false;
	path->open = false;
	path->transport = NULL;
	if (!gone)
		jv_kernel_path_del(path->paths->env->kernel, path->paths->link->ifindex,
				   path->id, NULL);
	jv_udp_close(&path->udp);
}

static void reap(void *arg)
{
	struct jv_paths *paths = arg;

	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (paths->path[i].open && !paths->path[i].usable)
			close_path(&paths->path[i], false);
}

int jv_paths_init(struct jv_paths *paths, struct jv_env *env, struct jv_link *link,
		  const struct jv_paths_ops *ops, void *arg)
{
	*paths = (struct jv_paths){ .env = env, .link = link, .ops = ops, .arg = arg };
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		paths->path[i].paths = paths;
		paths->path[i].id = i;
		paths->path[i].udp.fd = -1;
	}
	return jv_timer_add(env->loop, &paths->reap, JV_PRIO_IDLE, reap, paths);
}

void jv_paths_stop(struct jv_paths *paths, bool gone)
{
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (paths->path[i].open)
			close_path(&paths->path[i], gone);
	jv_timer_del(&paths->reap);
}

static void drop(struct jv_path *path)
{
	struct jv_paths *paths = path->paths;

	path->usable = false;
	paths->ops->down(paths->arg, path);
	jv_info("%s: transport %s left %s", paths->link->name, path->transport->name, path->dev);
	path->transport = NULL;
	jv_timer_set(&paths->reap, jv_now_ms() + REAP_MS);
}

struct jv_path *jv_paths_of(struct jv_paths *paths, const struct jv_transport *transport)
{
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (paths->path[i].usable && paths->path[i].transport == transport)
			return &paths->path[i];
	return NULL;
}

unsigned int jv_paths_count(const struct jv_paths *paths)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		n += paths->path[i].usable;
	return n;
}

static struct jv_path *free_path(struct jv_paths *paths)
{
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (!paths->path[i].open)
			return &paths->path[i];
	return NULL;
}

static void datagram(void *arg, const struct jv_datagram *dgram)
{
	struct jv_path *path = arg;

	path->paths->ops->datagram(path->paths->arg, path, dgram);
}

static void open_path(struct jv_paths *paths, const struct jv_transport *transport,
		      const struct jv_iface *iface, const struct jv_prefix *addr)
{
	struct jv_path *path = free_path(paths);
	struct jv_udp_options options = {
		.local.in.sin_family = AF_INET,
		.ifindex = iface->ifindex,
		.mark = paths->link->mark,
		.device = iface->name,
	};
	struct jv_error err;

	if (!path) {
		jv_warn("%s: transport %s: all %d paths are in use", paths->link->name,
			transport->name, JVPN_PATH_MAX);
		return;
	}
	memcpy(&options.local.in.sin_addr, addr->addr, sizeof(options.local.in.sin_addr));
	if (jv_udp_open(&path->udp, paths->env->loop, &options, datagram, path, &err)) {
		jv_warn("%s: transport %s: %s", paths->link->name, transport->name, err.text);
		return;
	}
	if (jv_kernel_path_set(paths->env->kernel, paths->link->ifindex, path->id, path->udp.fd,
			       iface->ifindex, paths->link->mark, &err)) {
		jv_warn("%s: transport %s: %s", paths->link->name, transport->name, err.text);
		jv_udp_close(&path->udp);
		return;
	}
	path->transport = transport;
	path->generation = ++paths->generation;
	path->ifindex = iface->ifindex;
	memcpy(path->dev, iface->name, sizeof(path->dev));
	path->mtu = iface->mtu;
	path->local = jv_udp_local(&path->udp);
	path->open = true;
	path->usable = true;
	jv_info("%s: transport %s stands on %s", paths->link->name, transport->name, path->dev);
	paths->ops->up(paths->arg, path);
}

/* An interface this transport may stand on, and the address there. */
static const struct jv_prefix *suits(const struct jv_paths *paths,
				     const struct jv_transport *transport,
				     const struct jv_iface *iface)
{
	if (!iface->up || iface->ifindex == paths->link->ifindex || !strcmp(iface->kind, "jvpn"))
		return NULL;
	if (jv_node_transport_match(paths->link, iface->name) != transport)
		return NULL;
	return jv_iface_addr(iface, AF_INET);
}

static void settle_one(struct jv_paths *paths, const struct jv_transport *transport)
{
	const struct jv_iface *iface;

	for (iface = jv_rtnl_ifaces(paths->env->rtnl); iface; iface = iface->next) {
		const struct jv_prefix *addr = suits(paths, transport, iface);

		if (!addr)
			continue;
		open_path(paths, transport, iface, addr);
		return;
	}
}

void jv_paths_settle(struct jv_paths *paths)
{
	const struct jv_transport *t;

	for (t = paths->link->transports; t; t = t->next)
		if (t->up && !jv_paths_of(paths, t))
			settle_one(paths, t);
}

static bool has_address(const struct jv_iface *iface, const union jv_addr *local)
{
	for (unsigned int i = 0; i < iface->addrs; i++)
		if (iface->addr[i].family == AF_INET &&
		    !memcmp(iface->addr[i].addr, &local->in.sin_addr, sizeof(local->in.sin_addr)))
			return true;
	return false;
}

static bool stands(const struct jv_path *path, const struct jv_iface *iface)
{
	return iface->up && has_address(iface, &path->local) &&
	       jv_node_transport_match(path->paths->link, iface->name) == path->transport;
}

void jv_paths_iface(struct jv_paths *paths, const struct jv_iface *iface, bool gone)
{
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		struct jv_path *path = &paths->path[i];

		if (path->usable && path->ifindex == iface->ifindex &&
		    (gone || !stands(path, iface)))
			drop(path);
	}
	if (!gone && iface->up)
		jv_paths_settle(paths);
}

void jv_paths_withdraw(struct jv_paths *paths, const struct jv_transport *transport)
{
	struct jv_path *path = jv_paths_of(paths, transport);

	if (path)
		drop(path);
}
