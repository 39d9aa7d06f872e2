// SPDX-License-Identifier: GPL-2.0
/*
 * Paths: the daemon's UDP sockets, taken over for as long as they are wanted.
 */

#include <linux/file.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/inet_sock.h>
#include <net/sock.h>
#include <net/udp.h>
#include <net/udp_tunnel.h>

#include "path.h"
#include "recv.h"

/* Any value that is not 0 makes UDP ask encap_rcv; this one is nobody else's. */
#define JVPN_ENCAP_TYPE 0x6a

static int jvpn_path_check_socket(const struct socket *sock,
				  const struct jvpn_path_config *c,
				  struct jvpn_verdict *v)
{
	const struct sock *sk = sock->sk;

	if (sk->sk_type != SOCK_DGRAM || sk->sk_protocol != IPPROTO_UDP)
		return jvpn_refuse(v, -EINVAL, "path %u: fd %d is not a UDP socket",
				   c->id, c->fd);
	if (sk->sk_family != AF_INET)
		return jvpn_refuse(v, -EAFNOSUPPORT,
				   "path %u: fd %d is not an IPv4 socket", c->id, c->fd);
	if (!inet_sk(sk)->inet_num)
		return jvpn_refuse(v, -EINVAL, "path %u: fd %d is not bound to a port",
				   c->id, c->fd);
	return 0;
}

static int jvpn_path_check_oif(const struct socket *sock,
			       const struct jvpn_path_config *c,
			       struct jvpn_verdict *v)
{
	bool there;

	if (!c->oif)
		return 0;
	rcu_read_lock();
	there = dev_get_by_index_rcu(sock_net(sock->sk), c->oif);
	rcu_read_unlock();
	if (!there)
		return jvpn_refuse(v, -ENODEV, "path %u: no interface with index %d",
				   c->id, c->oif);
	return 0;
}

/* Two requests may offer the same socket: the lock of the socket decides. */
static int jvpn_path_attach(struct jvpn_path *path)
{
	struct udp_tunnel_sock_cfg cfg = {
		.sk_user_data = path,
		.encap_type = JVPN_ENCAP_TYPE,
		.encap_rcv = jvpn_recv,
	};
	struct sock *sk = path->sock->sk;
	int err = -EBUSY;

	lock_sock(sk);
	/* Flags in its low bits do not matter: it is only compared with none. */
	if (!rcu_access_pointer(__sk_user_data(sk))) {
		setup_udp_tunnel_sock(sock_net(sk), path->sock, &cfg);
		err = 0;
	}
	release_sock(sk);
	return err;
}

/* After this and a grace period no datagram reaches the path. */
static void jvpn_path_detach(struct jvpn_path *path)
{
	struct udp_tunnel_sock_cfg cfg = { };
	struct sock *sk = path->sock->sk;

	lock_sock(sk);
	setup_udp_tunnel_sock(sock_net(sk), path->sock, &cfg);
	/* Attaching and detaching have both asked for it. */
	inet_dec_convert_csum(sk);
	inet_dec_convert_csum(sk);
	release_sock(sk);
}

static void jvpn_path_unpublish(struct jvpn_device *device, u8 id,
				struct list_head *doomed)
{
	struct jvpn_path *path;

	path = rcu_replace_pointer(device->paths[id], NULL,
				   lockdep_is_held(&device->lock));
	if (!path)
		return;
	jvpn_path_detach(path);
	list_add_tail(&path->doomed, doomed);
}

static struct jvpn_path *jvpn_path_create(struct jvpn_device *device,
					  const struct jvpn_path_config *c,
					  struct jvpn_verdict *v)
{
	struct jvpn_path *path;
	struct socket *sock;
	int err;

	sock = sockfd_lookup(c->fd, &err);
	if (!sock) {
		jvpn_refuse(v, err, "path %u: fd %d is not a socket", c->id, c->fd);
		return NULL;
	}
	if (jvpn_path_check_socket(sock, c, v) || jvpn_path_check_oif(sock, c, v))
		goto err_put;
	path = kzalloc(sizeof(*path), GFP_KERNEL);
	if (!path) {
		jvpn_refuse(v, -ENOMEM, "path %u: out of memory", c->id);
		goto err_put;
	}
	path->device = device;
	path->sock = sock;
	path->id = c->id;
	path->oif = c->oif;
	path->mark = c->mark;
	return path;

err_put:
	sockfd_put(sock);
	return NULL;
}

static void jvpn_path_destroy(struct jvpn_path *path)
{
	sockfd_put(path->sock);
	kfree(path);
}

/**
 * jvpn_path_set() - take a socket over, or replace the one a path has
 * @device: whose path
 * @c: what the daemon said; the fd is one of the calling task
 * @doomed: receives the path that was replaced, for jvpn_path_release_all()
 * @v: the sentence, if it is refused
 *
 * Naming the socket that a path has already is fine: the path object is new, the
 * socket stays.
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0 or a negative errno.
 */
int jvpn_path_set(struct jvpn_device *device, const struct jvpn_path_config *c,
		  struct list_head *doomed, struct jvpn_verdict *v)
{
	struct jvpn_path *path, *old;

	path = jvpn_path_create(device, c, v);
	if (!path)
		return v->error;
	path->generation = ++device->path_generation;

	old = rcu_dereference_protected(device->paths[c->id],
					lockdep_is_held(&device->lock));
	if (old && old->sock == path->sock)
		jvpn_path_unpublish(device, c->id, doomed);
	if (jvpn_path_attach(path)) {
		jvpn_path_destroy(path);
		return jvpn_refuse(v, -EBUSY,
				   "path %u: the socket of fd %d is in use by a tunnel",
				   c->id, c->fd);
	}
	jvpn_path_unpublish(device, c->id, doomed);
	rcu_assign_pointer(device->paths[c->id], path);
	return 0;
}

/**
 * jvpn_path_del() - give a path's socket back
 * @device: whose path
 * @id: path id
 * @doomed: receives the path
 * @v: the sentence, if it is refused
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0 or -ENOENT.
 */
int jvpn_path_del(struct jvpn_device *device, u8 id, struct list_head *doomed,
		  struct jvpn_verdict *v)
{
	if (id >= JVPN_PATH_MAX || !rcu_access_pointer(device->paths[id]))
		return jvpn_refuse(v, -ENOENT, "no path %u", id);
	jvpn_path_unpublish(device, id, doomed);
	return 0;
}

/**
 * jvpn_path_del_all() - give all sockets back
 * @device: whose paths
 * @doomed: receives the paths
 *
 * Context: process, jvpn_device.lock held.
 */
void jvpn_path_del_all(struct jvpn_device *device, struct list_head *doomed)
{
	unsigned int id;

	for (id = 0; id < JVPN_PATH_MAX; id++)
		jvpn_path_unpublish(device, id, doomed);
}

/**
 * jvpn_path_release_all() - free paths that were taken out
 * @doomed: the paths
 *
 * Each was unpublished and its socket detached, so no packet can newly find it; one
 * grace period later none has it any more.
 *
 * Context: process, may sleep; jvpn_device.lock not held.
 */
void jvpn_path_release_all(struct list_head *doomed)
{
	struct jvpn_path *path, *next;

	if (list_empty(doomed))
		return;
	synchronize_net();
	list_for_each_entry_safe(path, next, doomed, doomed)
		jvpn_path_destroy(path);
	INIT_LIST_HEAD(doomed);
}

/**
 * jvpn_path_local() - address a path's socket is bound to
 * @path: the path
 * @local: filled in
 */
void jvpn_path_local(const struct jvpn_path *path, struct jvpn_endpoint *local)
{
	const struct inet_sock *inet = inet_sk(path->sock->sk);

	memset(local, 0, sizeof(*local));
	local->in.sin_family = AF_INET;
	local->in.sin_addr.s_addr = inet->inet_saddr;
	local->in.sin_port = inet->inet_sport;
}
