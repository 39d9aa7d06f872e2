// SPDX-License-Identifier: GPL-2.0
/*
 * The generic netlink family: who may ask, requests of many objects, dumps, events.
 * What the verbs do to an object is in netlink_verbs.c.
 *
 * The family has no lock of its own (parallel_ops): a request takes the lock of its
 * device, once, for all its objects.
 */

#include <linux/netlink.h>
#include <linux/slab.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "control.h"
#include "deadline.h"
#include "device.h"
#include "netlink.h"
#include "netlink_fill.h"
#include "netlink_gen.h"
#include "netlink_verbs.h"
#include "path.h"
#include "session.h"

static struct genl_family jvpn_nl_family;

/* Counts every change of a set that is dumped, so that a dump can tell it is torn. */
static atomic_t jvpn_nl_generation = ATOMIC_INIT(0);

/**
 * jvpn_refuse() - say why not
 * @v: receives error and sentence
 * @error: negative errno
 * @fmt: the sentence, without full stop
 *
 * Return: @error.
 */
int jvpn_refuse(struct jvpn_verdict *v, int error, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(v->message, sizeof(v->message), fmt, args);
	va_end(args);
	v->error = error;
	return error;
}

/*
 * An ack whose sentence was made for it. The core's extack keeps a pointer
 * until after we have returned, and 6.1 has no room for a text in it; so we answer
 * ourselves, and -EINTR is how a handler says that it did.
 */
static int jvpn_nl_ack(struct sk_buff *skb, const struct jvpn_verdict *v)
{
	struct netlink_ext_ack extack = { };

	if (!v->error)
		return 0;
	extack._msg = v->message;
	netlink_ack(skb, nlmsg_hdr(skb), v->error, &extack);
	return -EINTR;
}

static bool jvpn_owner_is(const struct jvpn_owner *owner, const struct net *net, u32 port)
{
	return owner && owner->port == port && net_eq(owner->net, net);
}

/*
 * A device is named by its index where the request comes from. The daemon may go on
 * using the index it registered with when the device has moved.
 */
static bool jvpn_device_named(struct jvpn_device *device, const struct net *net, u32 port,
			      int ifindex)
{
	const struct jvpn_owner *owner;
	bool named;

	if (net_eq(dev_net(device->dev), net) && device->dev->ifindex == ifindex)
		return true;
	rcu_read_lock();
	owner = rcu_dereference(device->owner);
	named = jvpn_owner_is(owner, net, port) && owner->ifindex == ifindex;
	rcu_read_unlock();
	return named;
}

/* Returns with the device's lock held and a reference on its netdev, or NULL. */
static struct jvpn_device *jvpn_device_get(const struct net *net, u32 port, int ifindex)
{
	struct jvpn_device *device, *found = NULL;

	mutex_lock(&jvpn_devices_lock);
	list_for_each_entry(device, &jvpn_devices, list) {
		if (jvpn_device_named(device, net, port, ifindex)) {
			found = device;
			dev_hold(found->dev);
			break;
		}
	}
	mutex_unlock(&jvpn_devices_lock);
	if (!found)
		return NULL;
	mutex_lock(&found->lock);
	if (!found->gone)
		return found;
	mutex_unlock(&found->lock);
	dev_put(found->dev);
	return NULL;
}

static void jvpn_device_put(struct jvpn_device *device)
{
	mutex_unlock(&device->lock);
	dev_put(device->dev);
}

static struct jvpn_device *jvpn_nl_device(struct genl_info *info, struct jvpn_verdict *v)
{
	struct jvpn_device *device;
	int ifindex;

	if (!info->attrs[JVPN_A_IFINDEX]) {
		jvpn_refuse(v, -EINVAL, "ifindex is missing");
		return NULL;
	}
	ifindex = nla_get_u32(info->attrs[JVPN_A_IFINDEX]);
	device = jvpn_device_get(genl_info_net(info), info->snd_portid, ifindex);
	if (!device)
		jvpn_refuse(v, -ENODEV, "no jvpn device has index %d here", ifindex);
	return device;
}

/* A reply that has its header and the device's index in it. */
static struct sk_buff *jvpn_nl_reply_new(struct genl_info *info, size_t size, u8 cmd,
					 void **header)
{
	struct sk_buff *reply = genlmsg_new(size, GFP_KERNEL);

	if (!reply)
		return NULL;
	*header = genlmsg_put_reply(reply, info, &jvpn_nl_family, 0, cmd);
	if (!*header || nla_put_u32(reply, JVPN_A_IFINDEX,
				    nla_get_u32(info->attrs[JVPN_A_IFINDEX]))) {
		nlmsg_free(reply);
		return NULL;
	}
	return reply;
}

static int jvpn_nl_reply_send(struct genl_info *info, struct sk_buff *reply, void *header)
{
	genlmsg_end(reply, header);
	return genlmsg_reply(reply, info);
}

/* --- requests of many objects --- */

static unsigned int jvpn_nl_objects(struct genl_info *info, int type)
{
	struct nlattr *attr;
	unsigned int n = 0;
	int rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest)
		n += nla_type(attr) == type;
	return n;
}

static int jvpn_nl_check_batch(unsigned int n, const struct jvpn_nl_verb *verb,
			       struct jvpn_verdict *v)
{
	if (!n)
		return jvpn_refuse(v, -EINVAL, "no %s in the request", verb->noun);
	if (n > JVPN_MAX_BATCH)
		return jvpn_refuse(v, -E2BIG, "%u %ss in the request, at most %u are allowed",
				   n, verb->noun, JVPN_MAX_BATCH);
	return 0;
}

static int jvpn_nl_check_owner(struct genl_info *info, struct jvpn_device *device,
			       const struct jvpn_nl_verb *verb, struct jvpn_verdict *v)
{
	const struct jvpn_owner *owner;

	owner = rcu_dereference_protected(device->owner, lockdep_is_held(&device->lock));
	if (verb->anyone || jvpn_owner_is(owner, genl_info_net(info), info->snd_portid))
		return 0;
	if (!owner)
		return jvpn_refuse(v, -EPERM, "device has no daemon, register with dev-set");
	return jvpn_refuse(v, -EPERM, "device is managed by netlink port %u", owner->port);
}

/* One object, whole or not at all. */
static void jvpn_nl_apply(struct jvpn_nl_batch *batch, const struct jvpn_nl_verb *verb,
			  const struct nlattr *object, struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_NL_MAX_ATTR + 1];
	int err;

	BUILD_BUG_ON(JVPN_NL_MAX_ATTR < JVPN_SESSION_A_MAX ||
		     JVPN_NL_MAX_ATTR < JVPN_EPOCH_A_MAX ||
		     JVPN_NL_MAX_ATTR < JVPN_BINDING_A_MAX ||
		     JVPN_NL_MAX_ATTR < JVPN_CANDIDATE_A_MAX ||
		     JVPN_NL_MAX_ATTR < JVPN_FRAME_A_MAX);
	/* The core has validated every object of the request against this policy. */
	err = nla_parse_nested(tb, verb->maxattr, object, verb->policy, NULL);
	if (err)
		jvpn_refuse(v, err, "malformed %s", verb->noun);
	else
		verb->apply(batch, object, tb, v);
}

static void jvpn_nl_apply_all(struct jvpn_nl_batch *batch, const struct jvpn_nl_verb *verb,
			      struct genl_info *info, struct sk_buff *reply,
			      struct jvpn_verdict *first)
{
	struct jvpn_verdict v;
	struct nlattr *attr;
	int rest;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attr) != verb->type)
			continue;
		memset(&v, 0, sizeof(v));
		jvpn_nl_apply(batch, verb, attr, &v);
		if (v.error && !first->error)
			*first = v;
		/* The reply was made large enough for all of them. */
		WARN_ON_ONCE(jvpn_fill_result(reply, &v));
	}
	atomic_inc(&jvpn_nl_generation);
}

static size_t jvpn_nl_results_size(unsigned int n)
{
	return nla_total_size(sizeof(u32)) +
	       n * nla_total_size(nla_total_size(sizeof(s32)) +
				  3 * nla_total_size(sizeof(u64)) +
				  nla_total_size(sizeof_field(struct jvpn_verdict, message)));
}

static void jvpn_nl_apply_batch(struct genl_info *info, const struct jvpn_nl_verb *verb,
				struct jvpn_verdict *first)
{
	unsigned int n = jvpn_nl_objects(info, verb->type);
	struct jvpn_nl_batch batch;
	struct sk_buff *reply;
	void *header;

	if (jvpn_nl_check_batch(n, verb, first))
		return;
	batch.device = jvpn_nl_device(info, first);
	if (!batch.device)
		return;
	if (jvpn_nl_check_owner(info, batch.device, verb, first))
		goto put;
	reply = jvpn_nl_reply_new(info, jvpn_nl_results_size(n), info->genlhdr->cmd,
				  &header);
	if (!reply) {
		jvpn_refuse(first, -ENOMEM, "out of memory for the answer");
		goto put;
	}

	INIT_LIST_HEAD(&batch.sessions);
	INIT_LIST_HEAD(&batch.paths);
	jvpn_nl_apply_all(&batch, verb, info, reply, first);
	mutex_unlock(&batch.device->lock);
	/* What went out of the tables is waited for without the lock, once for all. */
	jvpn_session_release_all(&batch.sessions);
	jvpn_path_release_all(&batch.paths);
	dev_put(batch.device->dev);
	jvpn_nl_reply_send(info, reply, header);
	return;

put:
	jvpn_device_put(batch.device);
}

static int jvpn_nl_write(struct sk_buff *skb, struct genl_info *info,
			 const struct jvpn_nl_verb *verb)
{
	struct jvpn_verdict first = { };

	jvpn_nl_apply_batch(info, verb, &first);
	if (verb->wipe)
		verb->wipe(info);
	return jvpn_nl_ack(skb, &first);
}

int jvpn_nl_path_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_path_set);
}

int jvpn_nl_path_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_path_del);
}

int jvpn_nl_session_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_session_new);
}

int jvpn_nl_session_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_session_set);
}

int jvpn_nl_session_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_session_del);
}

int jvpn_nl_epoch_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_epoch_new);
}

int jvpn_nl_epoch_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_epoch_del);
}

int jvpn_nl_binding_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_binding_set);
}

int jvpn_nl_candidate_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_candidate_set);
}

int jvpn_nl_frame_send_doit(struct sk_buff *skb, struct genl_info *info)
{
	return jvpn_nl_write(skb, info, &jvpn_nl_frame_send);
}

/* --- the device --- */

static int jvpn_nl_reply_device(struct genl_info *info, struct jvpn_device *device,
				struct jvpn_verdict *v)
{
	struct sk_buff *reply;
	void *header;

	reply = jvpn_nl_reply_new(info, NLMSG_GOODSIZE, info->genlhdr->cmd, &header);
	if (!reply || jvpn_fill_device(reply, device)) {
		nlmsg_free(reply);
		return jvpn_refuse(v, -ENOMEM, "out of memory for the answer");
	}
	return jvpn_nl_reply_send(info, reply, header);
}

int jvpn_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct jvpn_verdict v = { };
	struct jvpn_device *device;

	device = jvpn_nl_device(info, &v);
	if (device) {
		jvpn_nl_reply_device(info, device, &v);
		jvpn_device_put(device);
	}
	return jvpn_nl_ack(skb, &v);
}

static int jvpn_nl_register(struct genl_info *info, struct jvpn_device *device,
			    struct jvpn_owner **new, struct jvpn_verdict *v)
{
	const struct jvpn_owner *owner;

	owner = rcu_dereference_protected(device->owner, lockdep_is_held(&device->lock));
	if (jvpn_owner_is(owner, genl_info_net(info), info->snd_portid))
		return 0;
	if (owner)
		return jvpn_refuse(v, -EBUSY, "device is managed by netlink port %u",
				   owner->port);
	*new = kzalloc(sizeof(**new), GFP_KERNEL);
	if (!*new)
		return jvpn_refuse(v, -ENOMEM, "out of memory for the registration");
	(*new)->net = genl_info_net(info);
	(*new)->port = info->snd_portid;
	(*new)->ifindex = nla_get_u32(info->attrs[JVPN_A_IFINDEX]);
	return 0;
}

/* All of dev-set is checked before any of it is done. */
static int jvpn_nl_set_device(struct genl_info *info, struct jvpn_device *device,
			      struct jvpn_verdict *v)
{
	struct jvpn_device_config c;
	struct jvpn_owner *new = NULL;

	if (jvpn_nl_parse_device(info->attrs[JVPN_A_DEVICE], device, &c, v) ||
	    jvpn_nl_register(info, device, &new, v))
		goto out;
	/* Requests of a time that was another owner's, or nobody's, are worth nothing. */
	c.control.fresh = new || c.term != device->term || !jvpn_device_holds(device);
	if (jvpn_control_configure(device, &c.control, v)) {
		kfree(new);
		goto out;
	}
	WRITE_ONCE(device->role, c.role);
	WRITE_ONCE(device->term, c.term);
	WRITE_ONCE(device->init_retry, c.init_retry);
	WRITE_ONCE(device->daemon_grace_ms, c.daemon_grace_ms);
	WRITE_ONCE(device->lease_ns, c.lease_ns);
	device->daemon_gone_ns = 0;
	if (new)
		rcu_assign_pointer(device->owner, new);
	jvpn_deadline_daemon_here(device);
out:
	memzero_explicit(&c, sizeof(c));
	return v->error;
}

int jvpn_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct jvpn_verdict v = { };
	struct jvpn_device *device;

	if (!info->attrs[JVPN_A_DEVICE]) {
		jvpn_refuse(&v, -EINVAL, "no device in the request");
		return jvpn_nl_ack(skb, &v);
	}
	device = jvpn_nl_device(info, &v);
	if (device) {
		if (!jvpn_nl_set_device(info, device, &v))
			jvpn_nl_reply_device(info, device, &v);
		jvpn_device_put(device);
	}
	return jvpn_nl_ack(skb, &v);
}

/* --- single reads --- */

int jvpn_nl_path_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct jvpn_verdict v = { };
	struct jvpn_device *device;
	struct jvpn_path *path;
	struct sk_buff *reply;
	void *header;

	device = jvpn_nl_device(info, &v);
	if (!device)
		return jvpn_nl_ack(skb, &v);
	path = jvpn_nl_find_path(device, info->attrs[JVPN_A_PATH], &v);
	if (path) {
		reply = jvpn_nl_reply_new(info, NLMSG_GOODSIZE, JVPN_CMD_PATH_GET, &header);
		if (!reply || jvpn_fill_path(reply, path)) {
			nlmsg_free(reply);
			jvpn_refuse(&v, -ENOMEM, "out of memory for the answer");
		} else {
			jvpn_nl_reply_send(info, reply, header);
		}
	}
	jvpn_device_put(device);
	return jvpn_nl_ack(skb, &v);
}

int jvpn_nl_session_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct jvpn_session *session;
	struct jvpn_verdict v = { };
	struct jvpn_device *device;
	struct sk_buff *reply;
	void *header;

	device = jvpn_nl_device(info, &v);
	if (!device)
		return jvpn_nl_ack(skb, &v);
	session = jvpn_nl_find_session(device, info->attrs[JVPN_A_SESSION], &v);
	if (session) {
		reply = jvpn_nl_reply_new(info, NLMSG_GOODSIZE, JVPN_CMD_SESSION_GET,
					  &header);
		if (!reply || jvpn_fill_session(reply, session, NULL)) {
			nlmsg_free(reply);
			jvpn_refuse(&v, -ENOMEM, "out of memory for the answer");
		} else {
			jvpn_nl_reply_send(info, reply, header);
		}
	}
	jvpn_device_put(device);
	return jvpn_nl_ack(skb, &v);
}

/* --- dumps --- */

/**
 * struct jvpn_nl_cursor - where a dump goes on, in netlink_callback.ctx
 * @device: how many devices are done
 * @next: index of the object inside the device
 */
struct jvpn_nl_cursor {
	unsigned long device;
	unsigned long next;
};

typedef int (*jvpn_nl_dump_one)(struct sk_buff *skb, struct netlink_callback *cb,
				struct jvpn_device *device);

static void *jvpn_nl_dump_put(struct sk_buff *skb, struct netlink_callback *cb,
			      struct jvpn_device *device, u8 cmd)
{
	void *header;

	header = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			     &jvpn_nl_family, NLM_F_MULTI, cmd);
	if (!header)
		return NULL;
	genl_dump_check_consistent(cb, header);
	if (!nla_put_u32(skb, JVPN_A_IFINDEX, device->dev->ifindex))
		return header;
	genlmsg_cancel(skb, header);
	return NULL;
}

/* End the message, or take it back: one object is never in two. */
static int jvpn_nl_dump_end(struct sk_buff *skb, void *header, int err)
{
	if (err)
		genlmsg_cancel(skb, header);
	else
		genlmsg_end(skb, header);
	return err;
}

static int jvpn_nl_dump_device(struct sk_buff *skb, struct netlink_callback *cb,
			       struct jvpn_device *device)
{
	void *header = jvpn_nl_dump_put(skb, cb, device, JVPN_CMD_DEV_GET);

	if (!header)
		return -EMSGSIZE;
	return jvpn_nl_dump_end(skb, header, jvpn_fill_device(skb, device));
}

static int jvpn_nl_dump_paths(struct sk_buff *skb, struct netlink_callback *cb,
			      struct jvpn_device *device)
{
	struct jvpn_nl_cursor *cursor = (void *)cb->ctx;
	struct jvpn_path *path;
	void *header;

	for (; cursor->next < JVPN_PATH_MAX; cursor->next++) {
		path = rcu_dereference_protected(device->paths[cursor->next],
						 lockdep_is_held(&device->lock));
		if (!path)
			continue;
		header = jvpn_nl_dump_put(skb, cb, device, JVPN_CMD_PATH_GET);
		if (!header ||
		    jvpn_nl_dump_end(skb, header, jvpn_fill_path(skb, path)))
			return -EMSGSIZE;
	}
	return 0;
}

static int jvpn_nl_dump_sessions(struct sk_buff *skb, struct netlink_callback *cb,
				 struct jvpn_device *device)
{
	struct jvpn_nl_cursor *cursor = (void *)cb->ctx;
	struct jvpn_session *session;
	unsigned long index;
	void *header;

	xa_for_each_start(&device->index, index, session, cursor->next) {
		cursor->next = index;
		header = jvpn_nl_dump_put(skb, cb, device, JVPN_CMD_SESSION_GET);
		if (!header ||
		    jvpn_nl_dump_end(skb, header, jvpn_fill_session(skb, session, NULL)))
			return -EMSGSIZE;
	}
	return 0;
}

static bool jvpn_nl_dump_wants(struct netlink_callback *cb, struct jvpn_device *device)
{
	const struct net *net = sock_net(cb->skb->sk);
	struct nlattr **attrs = jvpn_compat_dump_attrs(cb);

	if (attrs && attrs[JVPN_A_IFINDEX])
		return jvpn_device_named(device, net, NETLINK_CB(cb->skb).portid,
					 nla_get_u32(attrs[JVPN_A_IFINDEX]));
	return net_eq(dev_net(device->dev), net);
}

static int jvpn_nl_dump(struct sk_buff *skb, struct netlink_callback *cb,
			jvpn_nl_dump_one dump_one)
{
	struct jvpn_nl_cursor *cursor = (void *)cb->ctx;
	struct jvpn_device *device;
	unsigned long i = 0;
	int err = 0;

	BUILD_BUG_ON(sizeof(*cursor) > sizeof(cb->ctx));
	cb->seq = atomic_read(&jvpn_nl_generation);
	mutex_lock(&jvpn_devices_lock);
	list_for_each_entry(device, &jvpn_devices, list) {
		if (i++ < cursor->device || !jvpn_nl_dump_wants(cb, device))
			continue;
		mutex_lock(&device->lock);
		err = dump_one(skb, cb, device);
		mutex_unlock(&device->lock);
		if (err)
			break;
		cursor->device = i;
		cursor->next = 0;
	}
	mutex_unlock(&jvpn_devices_lock);
	/* Full: go on in the next message. An object that fits in none is an error. */
	return skb->len ? skb->len : err;
}

int jvpn_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return jvpn_nl_dump(skb, cb, jvpn_nl_dump_device);
}

int jvpn_nl_path_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return jvpn_nl_dump(skb, cb, jvpn_nl_dump_paths);
}

int jvpn_nl_session_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	return jvpn_nl_dump(skb, cb, jvpn_nl_dump_sessions);
}

/* --- events --- */

/**
 * struct jvpn_nl_event - what is told, and to whom
 * @device: where it happened
 * @cmd: command of the message
 * @group: index of the multicast group
 * @session: for session events
 * @passed: see jvpn_fill_session()
 * @signal: for signals
 */
struct jvpn_nl_event {
	struct jvpn_device *device;
	u8 cmd;
	unsigned int group;
	struct jvpn_session *session;
	const struct jvpn_step *passed;
	const struct jvpn_signal *signal;
};

static struct sk_buff *jvpn_nl_event_new(const struct jvpn_nl_event *e, int ifindex,
					 bool to_daemon, gfp_t gfp)
{
	struct sk_buff *skb = genlmsg_new(NLMSG_GOODSIZE, gfp);
	void *header;
	int err;

	if (!skb)
		return NULL;
	header = genlmsg_put(skb, 0, 0, &jvpn_nl_family, 0, e->cmd);
	if (!header || nla_put_u32(skb, JVPN_A_IFINDEX, ifindex))
		goto err_free;
	if (e->session)
		err = jvpn_fill_session(skb, e->session, e->passed);
	else
		err = jvpn_fill_signal(skb, e->signal, to_daemon);
	if (err)
		goto err_free;
	genlmsg_end(skb, header);
	return skb;

err_free:
	nlmsg_free(skb);
	return NULL;
}

static void jvpn_nl_event_tell(const struct jvpn_nl_event *e, struct net *net, int ifindex,
			       gfp_t gfp)
{
	struct sk_buff *skb;

	if (!genl_has_listeners(&jvpn_nl_family, net, e->group))
		return;
	skb = jvpn_nl_event_new(e, ifindex, false, gfp);
	if (skb)
		genlmsg_multicast_netns(&jvpn_nl_family, net, skb, 0, e->group, gfp);
}

/*
 * To the namespace the device is in, and to the daemon's if that is another one, each
 * under the index that the device has there.
 */
static void jvpn_nl_event_multicast(const struct jvpn_nl_event *e,
				    const struct jvpn_owner *owner, gfp_t gfp)
{
	struct net_device *dev = e->device->dev;

	jvpn_nl_event_tell(e, dev_net(dev), dev->ifindex, gfp);
	if (owner && !net_eq(owner->net, dev_net(dev)))
		jvpn_nl_event_tell(e, owner->net, owner->ifindex, gfp);
}

/**
 * jvpn_netlink_signal() - tell the daemon, and who listens, what was noticed
 * @s: the signal; not kept
 *
 * Is lost if memory is short or a queue is full; the receiver is told of that by
 * netlink and looks at everything again.
 *
 * Context: any but hard interrupt, under RCU or with jvpn_device.lock held.
 */
void jvpn_netlink_signal(const struct jvpn_signal *s)
{
	struct jvpn_nl_event e = {
		.device = s->device,
		.cmd = JVPN_CMD_SIGNAL,
		.group = JVPN_NLGRP_SIGNAL,
		.signal = s,
	};
	const struct jvpn_owner *owner;
	struct sk_buff *skb;

	rcu_read_lock();
	owner = rcu_dereference(s->device->owner);
	if (owner) {
		skb = jvpn_nl_event_new(&e, owner->ifindex, true, GFP_ATOMIC);
		if (skb)
			genlmsg_unicast(owner->net, skb, owner->port);
	}
	/* A cookie without its value is no news to others. */
	if (s->kind != JVPN_SIGNAL_KIND_COOKIE)
		jvpn_nl_event_multicast(&e, owner, GFP_ATOMIC);
	rcu_read_unlock();
}

static void jvpn_nl_session_event(struct jvpn_session *session, u8 cmd,
				  const struct jvpn_step *passed)
{
	struct jvpn_device *device = session->device;
	struct jvpn_nl_event e = {
		.device = device,
		.cmd = cmd,
		.group = JVPN_NLGRP_SESSION,
		.session = session,
		.passed = passed,
	};

	jvpn_nl_event_multicast(&e,
				rcu_dereference_protected(device->owner,
							  lockdep_is_held(&device->lock)),
				GFP_KERNEL);
}

/**
 * jvpn_netlink_session_changed() - tell of a session's state, binding or keys
 * @session: which
 * @passed: see jvpn_fill_session()
 *
 * Context: process, jvpn_device.lock held, so events come in the order of versions.
 */
void jvpn_netlink_session_changed(struct jvpn_session *session,
				  const struct jvpn_step *passed)
{
	jvpn_nl_session_event(session, JVPN_CMD_SESSION_NTF, passed);
}

/**
 * jvpn_netlink_session_ended() - tell of a session's end
 * @session: which, still complete
 *
 * Context: process, jvpn_device.lock held.
 */
void jvpn_netlink_session_ended(struct jvpn_session *session)
{
	jvpn_nl_session_event(session, JVPN_CMD_SESSION_DEL_NTF, NULL);
	atomic_inc(&jvpn_nl_generation);
}

/**
 * jvpn_netlink_devices_changed() - a dump of devices that is going on is torn
 *
 * Context: jvpn_devices_lock held.
 */
void jvpn_netlink_devices_changed(void)
{
	atomic_inc(&jvpn_nl_generation);
}

/* --- the daemon's end --- */

static void jvpn_nl_daemon_gone(struct jvpn_device *device)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_DAEMON_GONE,
		.device = device,
		.path = -1,
	};

	jvpn_device_disown(device);
	device->daemon_gone_ns = jvpn_now();
	jvpn_deadline_daemon_gone(device);
	jvpn_netlink_signal(&signal);
}

static int jvpn_nl_notify(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct netlink_notify *n = data;
	struct jvpn_device *device;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	mutex_lock(&jvpn_devices_lock);
	list_for_each_entry(device, &jvpn_devices, list) {
		mutex_lock(&device->lock);
		if (jvpn_owner_is(rcu_dereference_protected(device->owner,
							    lockdep_is_held(&device->lock)),
				  n->net, n->portid))
			jvpn_nl_daemon_gone(device);
		mutex_unlock(&device->lock);
	}
	mutex_unlock(&jvpn_devices_lock);
	return NOTIFY_DONE;
}

static struct notifier_block jvpn_nl_notifier = {
	.notifier_call = jvpn_nl_notify,
};

static const struct genl_multicast_group jvpn_nl_groups[] = {
	[JVPN_NLGRP_SESSION] = { JVPN_MCGRP_SESSION, .flags = GENL_UNS_ADMIN_PERM },
	[JVPN_NLGRP_SIGNAL] = { JVPN_MCGRP_SIGNAL, .flags = GENL_UNS_ADMIN_PERM },
};

static struct genl_family jvpn_nl_family __ro_after_init = {
	.name = JVPN_GENL_NAME,
	.version = JVPN_GENL_VERSION,
	.netnsok = true,
	.parallel_ops = true,
	.module = THIS_MODULE,
	.ops = jvpn_nl_ops,
	.n_ops = ARRAY_SIZE(jvpn_nl_ops),
	.mcgrps = jvpn_nl_groups,
	.n_mcgrps = ARRAY_SIZE(jvpn_nl_groups),
};

/**
 * jvpn_netlink_init() - offer the family
 *
 * Return: 0 or a negative errno.
 */
int __init jvpn_netlink_init(void)
{
	int err;

	err = netlink_register_notifier(&jvpn_nl_notifier);
	if (err)
		return err;
	err = genl_register_family(&jvpn_nl_family);
	if (err)
		netlink_unregister_notifier(&jvpn_nl_notifier);
	return err;
}

/**
 * jvpn_netlink_exit() - withdraw the family; waits for requests that are running
 */
void jvpn_netlink_exit(void)
{
	genl_unregister_family(&jvpn_nl_family);
	netlink_unregister_notifier(&jvpn_nl_notifier);
}
