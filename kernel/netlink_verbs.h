/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the verbs of the netlink family do to one object.
 */
#ifndef JVPN_NETLINK_VERBS_H
#define JVPN_NETLINK_VERBS_H

#include <linux/list.h>
#include <net/netlink.h>

#include "control.h"
#include "verdict.h"

struct jvpn_device;
struct jvpn_path;
struct jvpn_session;

/* At least the highest attribute of any object. */
#define JVPN_NL_MAX_ATTR 48

/**
 * struct jvpn_nl_batch - a request on its way
 * @device: its device, locked
 * @sessions: sessions taken out by it, for jvpn_session_release_all()
 * @paths: paths taken out by it, for jvpn_path_release_all()
 */
struct jvpn_nl_batch {
	struct jvpn_device *device;
	struct list_head sessions;
	struct list_head paths;
};

/**
 * struct jvpn_nl_verb - what to do with each object of a request
 * @noun: what an object is called
 * @type: top level attribute of an object
 * @maxattr: highest attribute inside
 * @policy: for these
 * @anyone: not only the daemon may ask
 * @wipe: makes away with what is secret in the request; may be NULL
 * @apply: does it, or refuses it in @v; @object is what @tb was parsed from
 */
struct jvpn_nl_verb {
	const char *noun;
	int type;
	int maxattr;
	const struct nla_policy *policy;
	bool anyone;
	void (*wipe)(struct genl_info *info);
	int (*apply)(struct jvpn_nl_batch *batch, const struct nlattr *object,
		     struct nlattr **tb, struct jvpn_verdict *v);
};

extern const struct jvpn_nl_verb jvpn_nl_path_set;
extern const struct jvpn_nl_verb jvpn_nl_path_del;
extern const struct jvpn_nl_verb jvpn_nl_session_new;
extern const struct jvpn_nl_verb jvpn_nl_session_set;
extern const struct jvpn_nl_verb jvpn_nl_session_del;
extern const struct jvpn_nl_verb jvpn_nl_epoch_new;
extern const struct jvpn_nl_verb jvpn_nl_epoch_del;
extern const struct jvpn_nl_verb jvpn_nl_binding_set;
extern const struct jvpn_nl_verb jvpn_nl_candidate_set;
extern const struct jvpn_nl_verb jvpn_nl_frame_send;

/**
 * struct jvpn_device_config - all of dev-set; what was left out is as it was
 * @role: enum jvpn_role
 * @term: fencing token of the owner
 * @init_retry: enum jvpn_init_retry
 * @daemon_grace_ms: see struct jvpn_device
 * @lease_ns: likewise
 * @control: for control.c
 */
struct jvpn_device_config {
	u8 role;
	u64 term;
	u8 init_retry;
	u32 daemon_grace_ms;
	u64 lease_ns;
	struct jvpn_control_config control;
};

int jvpn_nl_parse_device(const struct nlattr *attr, const struct jvpn_device *device,
			 struct jvpn_device_config *c, struct jvpn_verdict *v);
struct jvpn_path *jvpn_nl_find_path(struct jvpn_device *device, const struct nlattr *attr,
				    struct jvpn_verdict *v);
struct jvpn_session *jvpn_nl_find_session(struct jvpn_device *device,
					  const struct nlattr *attr,
					  struct jvpn_verdict *v);

#endif /* JVPN_NETLINK_VERBS_H */
