// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "kernel.h"
#include "limiter.h"
#include "log.h"
#include "loop.h"
#include "rtnl.h"
#include "udp.h"
#include "wire.h"

#include "world.h"

enum {
	TIMERS = 256, SOCKETS = 64, PACKETS = 1024, SESSIONS = 32, SIGNALS = 256,
	TICK_MS = 40, STANDBY_MS = 20000, MISSES = 3, SILENT_MS = 10000, DELAY_US = 10000,
	IFINDEX = 7, PORT = 51820,
};

struct world world;

static void fault(const char *what)
{
	fprintf(stderr, "# at %llu us: %s\n", (unsigned long long)world.now_us, what);
	world.faults++;
}

unsigned int world_random(unsigned int n)
{
	uint64_t z = (world.dice += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return (z ^ (z >> 31)) % n;
}

static bool happens(unsigned int percent)
{
	return world_random(100) < percent;
}

/* --- loop.h: one clock --- */

static struct jv_timer *timers[TIMERS];

uint64_t jv_now_ms(void)
{
	return world.now_us / 1000;
}

uint64_t jv_now_ns(void)
{
	return world.now_us * 1000;
}

int jv_timer_add(struct jv_loop *loop, struct jv_timer *timer, enum jv_priority priority,
		 void (*fn)(void *arg), void *arg)
{
	for (unsigned int i = 0; i < TIMERS; i++) {
		if (timers[i])
			continue;
		timers[i] = timer;
		timer->at_ms = JV_NEVER;
		timer->fn = fn;
		timer->arg = arg;
		return 0;
	}
	fault("too many timers");
	return -ENOMEM;
}

void jv_timer_set(struct jv_timer *timer, uint64_t at_ms)
{
	timer->at_ms = at_ms;
}

void jv_timer_del(struct jv_timer *timer)
{
	for (unsigned int i = 0; i < TIMERS; i++)
		if (timers[i] == timer)
			timers[i] = NULL;
}

static struct jv_timer *next_timer(void)
{
	struct jv_timer *next = NULL;

	for (unsigned int i = 0; i < TIMERS; i++)
		if (timers[i] && timers[i]->at_ms != JV_NEVER &&
		    (!next || timers[i]->at_ms < next->at_ms))
			next = timers[i];
	return next;
}

/* --- log.h, audit.h: what is told is checked --- */

void jv_log(enum jv_log_level level, const char *fmt, ...)
{
}

static struct world_side *side_of_audit(struct jv_audit *audit)
{
	return (struct world_side *)audit;
}

static void check_story(struct world_side *side, const struct jv_audit_record *r)
{
	side->transitions++;
	if (getenv("TRACE"))
		fprintf(stderr, "# %10.3f s %s %s %s -> %s (%llu) %s/%s\n", world.now_us / 1e6,
			side == &world.client ? "client " : "gateway", jv_edge_name(r->edge),
			jv_state_name(r->from), jv_state_name(r->to),
			(unsigned long long)r->version.bver, jv_reason_name(r->reason),
			jv_detail_name(r->detail));
	if (!r->has_sid)
		return;
	if (memcmp(side->last_sid, r->sid, sizeof(r->sid)) || r->state_version == 1) {
		/* Another handshake of the same client may be under way at the gateway. */
		if (r->to == JV_STATE_TERMINATED && r->from == JV_STATE_BIRTH)
			return;
		memcpy(side->last_sid, r->sid, sizeof(r->sid));
		side->last_version = 0;
		side->last_binding = (struct jv_version){ 0 };
	}
	if (r->state_version != side->last_version + 1)
		fault("state versions are not gapless");
	side->last_version = r->state_version;
	if (r->to == JV_STATE_ATTACHED && r->from != JV_STATE_VOLATILE) {
		if (jv_version_cmp(r->version, side->last_binding) <= 0)
			fault("a binding version does not rise");
		side->last_binding = r->version;
	}
	if (r->to == JV_STATE_TERMINATED) {
		side->deaths++;
		side->last_reason = r->reason;
	}
}

void jv_audit_push(struct jv_audit *audit, const struct jv_audit_record *record)
{
	if (record->event == JV_AUDIT_STATE_CHANGE)
		check_story(side_of_audit(audit), record);
	else if (record->event == JV_AUDIT_KEY_ROTATED)
		side_of_audit(audit)->rotations++;
}

void jv_audit_push_sampled(struct jv_audit *audit, const struct jv_audit_record *record)
{
	side_of_audit(audit)->refused++;
}

/* --- node.h: one link with one peer on either side --- */

struct jv_link *jv_node_links(const struct jv_node *node)
{
	return (struct jv_link *)node;
}

struct jv_peer *jv_node_peer_by_key(const struct jv_link *link, const uint8_t public_key[32])
{
	return link->peers && !memcmp(link->peers->public_key, public_key, 32) ? link->peers : NULL;
}

struct jv_transport *jv_node_transport_match(const struct jv_link *link, const char *ifname)
{
	struct jv_transport *t = link->transports;

	while (t && strcmp(t->match, ifname))
		t = t->next;
	return t;
}

/* --- rtnl.h --- */

static struct jv_iface ifaces[WORLD_UPLINKS];

const struct jv_iface *jv_rtnl_ifaces(const struct jv_rtnl *rtnl)
{
	return ifaces;
}

const struct jv_prefix *jv_iface_addr(const struct jv_iface *iface, int family)
{
	return iface->addrs ? &iface->addr[0] : NULL;
}

int jv_rtnl_up(struct jv_rtnl *rtnl, int ifindex, struct jv_error *err)
{
	return 0;
}

int jv_rtnl_mtu(struct jv_rtnl *rtnl, int ifindex, uint32_t mtu, struct jv_error *err)
{
	return 0;
}

int jv_rtnl_addr_add(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	return 0;
}

int jv_rtnl_addr_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	return 0;
}

int jv_rtnl_routes_add(struct jv_rtnl *rtnl, int ifindex, uint32_t table, uint32_t mark,
		       const struct jv_prefix *prefix, size_t n, struct jv_error *err)
{
	return 0;
}

void jv_rtnl_routes_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *prefix, size_t n)
{
}

static void set_iface(unsigned int i)
{
	struct jv_iface *iface = &ifaces[i];
	const uint8_t addr[4] = { 10, 0, i, world.uplink[i].host };

	iface->next = i + 1 < WORLD_UPLINKS ? &ifaces[i + 1] : NULL;
	iface->ifindex = 100 + i;
	snprintf(iface->name, sizeof(iface->name), "up%u", i);
	iface->up = world.uplink[i].up;
	iface->mtu = 1500;
	iface->addrs = 1;
	iface->addr[0].family = AF_INET;
	iface->addr[0].len = 24;
	memcpy(iface->addr[0].addr, addr, sizeof(addr));
}

static void uplink_changed(unsigned int i)
{
	set_iface(i);
	if (world.client.shard)
		jv_shard_iface(world.client.shard, &ifaces[i], false);
}

void world_uplink_set(unsigned int i, bool up)
{
	world.uplink[i].up = up;
	uplink_changed(i);
}

void world_uplink_readdress(unsigned int i)
{
	world.uplink[i].host = world.uplink[i].host == 250 ? 2 : world.uplink[i].host + 1;
	uplink_changed(i);
}

/* --- udp.h and the network --- */

struct packet {
	bool used, frame;
	uint64_t at_us, order;
	union jv_addr from, to;
	uint8_t data[JV_DATAGRAM_MAX];
	size_t len;
};

/* A frame inside DATA, as if it were sealed under the receiver's key. */
struct frame {
	uint8_t cid[8];
	uint8_t type, flags, reason;
	uint8_t cookie[16];
	struct jv_version version;
	uint8_t nonce[8];
	uint64_t counter;		/* under its key */
	uint64_t asked_us;		/* ACK: echo */
};

static struct packet packets[PACKETS];
static unsigned int packets_used;	/* none beyond these */
static struct jv_udp *sockets[SOCKETS];
static uint64_t orders;
static uint16_t ports;

static union jv_addr local_of[SOCKETS];

static union jv_addr ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	const uint8_t bytes[4] = { a, b, c, d };
	union jv_addr addr = { .in = { .sin_family = AF_INET, .sin_port = htons(port) } };

	memcpy(&addr.in.sin_addr, bytes, sizeof(bytes));
	return addr;
}

int jv_udp_open(struct jv_udp *udp, struct jv_loop *loop, const struct jv_udp_options *options,
		void (*fn)(void *arg, const struct jv_datagram *dgram), void *arg,
		struct jv_error *err)
{
	for (unsigned int i = 0; i < SOCKETS; i++) {
		if (sockets[i])
			continue;
		sockets[i] = udp;
		*udp = (struct jv_udp){ .fd = i, .fn = fn, .arg = arg };
		local_of[i] = options->local;
		if (!local_of[i].in.sin_port)
			local_of[i].in.sin_port = htons(20000 + ports++);
		return 0;
	}
	fault("too many sockets");
	return -EMFILE;
}

void jv_udp_close(struct jv_udp *udp)
{
	if (udp->fd < 0)
		return;
	sockets[udp->fd] = NULL;
	udp->fd = -1;
}

union jv_addr jv_udp_local(const struct jv_udp *udp)
{
	return local_of[udp->fd];
}

static uint8_t byte_of(const union jv_addr *a, unsigned int i)
{
	return ((const uint8_t *)&a->in.sin_addr)[i];
}

static bool is_gateway(const union jv_addr *a)
{
	return byte_of(a, 0) == 203;
}

/* Over which uplink, and is it there and alive at this moment? */
static bool passes(const union jv_addr *client)
{
	unsigned int i = byte_of(client, 2);
	const struct world_uplink *uplink = &world.uplink[i];

	return uplink->up && !uplink->dark && byte_of(client, 3) == uplink->host;
}

static struct jv_udp *socket_at(const union jv_addr *local);

static void put_packet(const union jv_addr *from, const union jv_addr *to, const void *data,
		       size_t len, bool frame, uint64_t delay_us)
{
	for (unsigned int i = 0; i < PACKETS; i++) {
		struct packet *p = &packets[i];

		if (p->used)
			continue;
		if (i >= packets_used)
			packets_used = i + 1;
		*p = (struct packet){ .used = true, .frame = frame, .from = *from, .to = *to,
				      .len = len, .at_us = world.now_us + delay_us,
				      .order = orders++ };
		memcpy(p->data, data, len);
		return;
	}
	fault("too many packets");
}

/* Nonces: no request and no answer is ever sealed under a number that was used before. */
static void check_number(const void *data)
{
	static struct number {
		uint8_t type, id[8];
		uint64_t rseq;
	} used[4096];
	static unsigned int next;
	const struct jvpn_switch_resp *answer = data;
	const struct jvpn_switch *request = data;
	struct number n = { .type = request->type };

	if (n.type == JVPN_T_SWITCH) {
		memcpy(n.id, request->cid, sizeof(n.id));
		n.rseq = le64toh(request->rseq);
	} else if (n.type == JVPN_T_SWITCH_RESP) {
		memcpy(n.id, answer->req_id, sizeof(n.id));
		n.rseq = le64toh(answer->rseq);
	}
	if (!n.rseq)
		return;
	for (unsigned int i = 0; i < 4096; i++)
		if (!memcmp(&used[i], &n, sizeof(n)))
			fault("a number is used twice");
	used[next++ % 4096] = n;
}

/* With TRACE: what is sent, whether or not it arrives. */
static void tell_datagram(const void *data, unsigned int uplink)
{
	const struct jvpn_switch_resp *answer = data;
	const struct jvpn_switch *request = data;
	uint64_t rseq = 0;

	if (request->type == JVPN_T_SWITCH)
		rseq = le64toh(request->rseq);
	else if (request->type == JVPN_T_SWITCH_RESP)
		rseq = le64toh(answer->rseq);
	if (getenv("TRACE"))
		fprintf(stderr, "# %10.3f s type %02x by uplink %u, rseq %llu\n",
			world.now_us / 1e6, request->type, uplink, (unsigned long long)rseq);
}

enum { NAT_PORTS = 1000, THIEF_PORT = 9 };

/* What the gateway sees of a client, and who that is. */
static union jv_addr outside(const union jv_addr *client)
{
	union jv_addr a = *client;

	a.in.sin_port = htons(ntohs(a.in.sin_port) +
			      NAT_PORTS * world.uplink[byte_of(client, 2)].nat);
	return a;
}

static bool inside(union jv_addr *a)
{
	const struct world_uplink *uplink = &world.uplink[byte_of(a, 2)];

	for (unsigned int old = 0; old < 2; old++) {
		unsigned int nat = uplink->nat - old;
		union jv_addr try = *a;

		try.in.sin_port = htons(ntohs(a->in.sin_port) - NAT_PORTS * nat);
		if ((old && (!uplink->nat || !uplink->nat_open)) || !socket_at(&try))
			continue;
		*a = try;
		return true;
	}
	return false;
}

static void send_packet(const union jv_addr *from, const union jv_addr *to, const void *data,
			size_t len, bool frame)
{
	const struct world_weather *w = &world.weather;
	bool up = is_gateway(to);
	uint8_t type = *(const uint8_t *)data;
	union jv_addr seen, thief;

	if (!frame) {
		world.sent[type]++;
		check_number(data);
		tell_datagram(data, byte_of(up ? from : to, 2));
	}
	if (!passes(up ? from : to) || happens(w->lose) ||
	    (!frame && world.filter && !world.filter(type, up, byte_of(up ? from : to, 2))))
		return;
	seen = up ? outside(from) : *from;
	if (up && frame && world.uplink[byte_of(from, 2)].thief) {
		thief = seen;
		thief.in.sin_port = htons(THIEF_PORT);
		put_packet(&thief, to, data, len, frame, DELAY_US / 2);
	}
	for (int copies = happens(w->twice) ? 2 : 1; copies; copies--)
		put_packet(&seen, to, data, len, frame, DELAY_US +
			   (happens(w->late) ? world_random(w->late_ms * 1000 + 1) : 0));
}

int jv_udp_send(const struct jv_udp *udp, const void *data, size_t len, const union jv_addr *to,
		const struct in_addr *from)
{
	union jv_addr source = local_of[udp->fd];

	send_packet(&source, to, data, len, false);
	return 0;
}

static struct jv_udp *socket_at(const union jv_addr *local)
{
	for (unsigned int i = 0; i < SOCKETS; i++)
		if (sockets[i] && jv_addr_equal(&local_of[i], local))
			return sockets[i];
	return NULL;
}

/* --- kernel.h: the rules of kernel/session.c, binding.c and epoch.c --- */

struct track {
	bool listed, asked;
	enum jvpn_path_state state;
	unsigned int unanswered;
	uint64_t probed_ms;
};

enum { EPOCHS = 3, RETIRE_MS = 3000, RETIRE_AT_LAST_MS = 10000, UNCONFIRMED_MS = 5000, WINDOW = 64 };

struct kepoch {
	bool live, confirmed, exhausted;
	uint64_t serial, made_ms, confirmed_ms;
	uint64_t counter, highest, window[WINDOW], windows;
	struct jv_kernel_epoch keys;
};

struct ksession {
	bool used;
	uint8_t sid[JVPN_SID_LEN];
	enum jvpn_role role;
	uint8_t state;
	uint64_t state_version;
	struct jv_version version;
	uint64_t seen;
	bool bound, confirmed;
	uint8_t path;
	union jv_addr remote;
	uint64_t since_us;
	bool prefixes;
	struct kepoch epoch[EPOCHS], *transmit;
	uint64_t serials;
	struct track track[JVPN_PATH_MAX];
	uint64_t last_rx_ms, bound_rx_ms, deadline_ms;
	bool silent_told;
};

struct jv_kernel {
	struct world_side *side;
	struct ksession session[SESSIONS];
	int path_fd[JVPN_PATH_MAX];
	struct jv_signal signal[SIGNALS];
	unsigned int signals;
};

static struct jv_kernel client_kernel, gateway_kernel;

static void raise_signal(struct jv_kernel *k, struct jv_signal signal, const struct ksession *s)
{
	signal.ifindex = IFINDEX;
	signal.has_sid = true;
	memcpy(signal.sid, s->sid, sizeof(signal.sid));
	signal.time_ns = jv_now_ns();
	if (k->signals == SIGNALS)
		fault("too many signals");
	else
		k->signal[k->signals++] = signal;
}

static struct ksession *ksession(struct jv_kernel *k, const uint8_t *sid)
{
	for (unsigned int i = 0; i < SESSIONS; i++)
		if (k->session[i].used && !memcmp(k->session[i].sid, sid, JVPN_SID_LEN))
			return &k->session[i];
	return NULL;
}

static void retire(struct jv_kernel *k, struct ksession *s, struct kepoch *e)
{
	struct jv_signal signal = { .kind = JVPN_SIGNAL_KIND_RETIRED };

	memcpy(signal.cid, e->keys.rx_cid, sizeof(signal.cid));
	raise_signal(k, signal, s);
	if (s->transmit == e)
		s->transmit = NULL;
	e->live = false;
}

static struct kepoch *newest_epoch(struct ksession *s)
{
	struct kepoch *found = NULL;

	for (unsigned int i = 0; i < EPOCHS; i++)
		if (s->epoch[i].live && (!found || s->epoch[i].serial > found->serial))
			found = &s->epoch[i];
	return found;
}

/* When a newer one that is confirmed, or made long ago, takes over; when nothing came of it. */
static bool is_over(struct ksession *s, const struct kepoch *e, uint64_t now_ms)
{
	bool others = false;

	for (unsigned int i = 0; i < EPOCHS; i++) {
		const struct kepoch *o = &s->epoch[i];

		if (!o->live || o == e)
			continue;
		others = true;
		if (o->serial > e->serial && o->confirmed && now_ms - o->confirmed_ms > RETIRE_MS)
			return true;
		if (o->serial > e->serial && s->transmit == o &&
		    now_ms - o->made_ms > RETIRE_AT_LAST_MS)
			return true;
	}
	return others && !e->confirmed && now_ms - e->made_ms > UNCONFIRMED_MS;
}

static void check_deadline(const struct ksession *s, uint64_t now_ms)
{
	if (s->deadline_ms && now_ms > s->deadline_ms + 1000)
		fault("a session outlives its deadline");
}

static void age_epochs(struct jv_kernel *k, struct ksession *s, uint64_t now_ms)
{
	check_deadline(s, now_ms);
	for (unsigned int i = 0; i < EPOCHS; i++) {
		struct kepoch *e = &s->epoch[i];
		struct jv_signal signal = { .kind = JVPN_SIGNAL_KIND_EXHAUSTED };

		if (e->live && !e->exhausted && e->keys.lifetime_ms &&
		    now_ms - e->made_ms > e->keys.lifetime_ms) {
			e->exhausted = true;
			memcpy(signal.cid, e->keys.rx_cid, sizeof(signal.cid));
			raise_signal(k, signal, s);
		}
		if (e->live && is_over(s, e, now_ms))
			retire(k, s, e);
	}
}

static struct kepoch *epoch_of_cid(struct ksession *s, const uint8_t *cid)
{
	for (unsigned int i = 0; i < EPOCHS; i++)
		if (s->epoch[i].live && !memcmp(s->epoch[i].keys.rx_cid, cid, 8))
			return &s->epoch[i];
	return NULL;
}

static struct ksession *session_of_cid(struct jv_kernel *k, const uint8_t *cid)
{
	for (unsigned int i = 0; i < SESSIONS; i++)
		if (k->session[i].used && epoch_of_cid(&k->session[i], cid))
			return &k->session[i];
	return NULL;
}

static bool carries(const struct ksession *s)
{
	return s->state != JV_STATE_BIRTH && s->state != JV_STATE_TERMINATED;
}

int jv_kernel_dev_set(struct jv_kernel *k, int ifindex, const struct jv_kernel_device *device,
		      struct jv_error *err)
{
	return 0;
}

int jv_kernel_path_set(struct jv_kernel *k, int ifindex, uint8_t path, int fd, int oif,
		       uint32_t mark, struct jv_error *err)
{
	k->path_fd[path] = fd;
	return 0;
}

int jv_kernel_path_del(struct jv_kernel *k, int ifindex, uint8_t path, struct jv_error *err)
{
	k->path_fd[path] = -1;
	return 0;
}

int jv_kernel_session_new(struct jv_kernel *k, int ifindex,
			  const struct jv_kernel_session *session, struct jv_error *err)
{
	for (unsigned int i = 0; i < SESSIONS; i++) {
		struct ksession *s = &k->session[i];

		if (s->used)
			continue;
		*s = (struct ksession){ .used = true, .role = session->role, .state = session->state,
					.prefixes = session->prefixes, .last_rx_ms = jv_now_ms() };
		memcpy(s->sid, session->sid, sizeof(s->sid));
		return 0;
	}
	return jv_error_set(err, ENOMEM, "sessions");
}

static int step_is_next(struct ksession *s, const struct jv_kernel_transition *t)
{
	if (s->state == JV_STATE_TERMINATED || t->state <= JV_STATE_BIRTH)
		return -EINVAL;
	return t->state_version == s->state_version + 1 ? 0 : -ESTALE;
}

static void take_step(struct ksession *s, const struct jv_kernel_transition *t)
{
	s->state = t->state;
	s->state_version = t->state_version;
	if (s->state != JV_STATE_TERMINATED)
		return;
	s->bound = s->prefixes = false;
	s->transmit = NULL;
	memset(s->epoch, 0, sizeof(s->epoch));
}

int jv_kernel_session_set(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  const struct jv_kernel_transition *t,
			  const struct jv_kernel_figures *figures, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);
	int r = s ? 0 : -ENOENT;

	if (s && t) {
		r = step_is_next(s, t);
		if (!r)
			take_step(s, t);
	}
	if (r)
		fault("session-set is refused");
	return r;
}

/* A living daemon is first: what it says must make sense, and is never acted upon. */
int jv_kernel_session_limits(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			     const struct jv_kernel_limits *limits, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (!s || !limits->deadline_ms || !limits->lost_ttl_ms)
		fault("limits are refused");
	if (s)
		s->deadline_ms = jv_now_ms() + limits->deadline_ms;
	return s ? 0 : -ENOENT;
}

int jv_kernel_session_prefixes(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			       const struct jv_prefix *prefix, size_t n, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (!s)
		return jv_error_set(err, ENOENT, "session");
	for (unsigned int i = 0; i < SESSIONS; i++)
		if (k->session[i].used && k->session[i].prefixes)
			return jv_error_set(err, EEXIST, "prefix");
	s->prefixes = true;
	return 0;
}

int jv_kernel_session_del(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (s)
		s->used = false;
	return s ? 0 : -ENOENT;
}

int jv_kernel_session_get(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  struct jv_kernel_session_state *state, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (!s)
		return -ENOENT;
	*state = (struct jv_kernel_session_state){ .version = s->version, .bver_seen = s->seen };
	return 0;
}

int jv_kernel_session_dump(struct jv_kernel *k, int ifindex,
			   void (*fn)(void *arg, const struct jv_kernel_session_state *state),
			   void *arg, struct jv_error *err)
{
	return 0;
}

int jv_kernel_epoch_new(struct jv_kernel *k, int ifindex, const struct jv_kernel_epoch *epoch,
			struct jv_error *err)
{
	struct ksession *s = ksession(k, epoch->sid);

	if (!s)
		return -ENOENT;
	if (world.no_aes && epoch->aead == JVPN_AEAD_AES_256_GCM)
		return jv_error_set(err, EOPNOTSUPP, "aead");
	for (unsigned int i = 0; i < EPOCHS; i++) {
		struct kepoch *e = &s->epoch[i];

		if (e->live)
			continue;
		*e = (struct kepoch){ .live = true, .serial = ++s->serials,
				      .made_ms = jv_now_ms(), .keys = *epoch };
		if (epoch->transmit || !s->transmit)
			s->transmit = e;
		return 0;
	}
	fault("a fourth epoch");
	return jv_error_set(err, ENOSPC, "epochs");
}

int jv_kernel_epoch_del(struct jv_kernel *k, int ifindex, const uint8_t rx_cid[JVPN_CID_LEN],
			struct jv_error *err)
{
	struct ksession *s = session_of_cid(k, rx_cid);
	struct kepoch *e = s ? epoch_of_cid(s, rx_cid) : NULL;

	if (!e)
		return -ENOENT;
	if (s->transmit == e)
		s->transmit = NULL;
	e->live = false;
	return 0;
}

static int compare(const struct ksession *s, const struct jv_kernel_binding *b)
{
	struct jv_version now = s->version;
	uint64_t seen = s->seen;

	if (b->version.term > now.term) {
		now = (struct jv_version){ b->version.term, 0 };
		seen = 0;
	}
	if (jv_version_cmp(b->expect, now) && jv_version_cmp(b->expect, s->version))
		return -ESTALE;
	if (jv_version_cmp(b->version, now) <= 0)
		return -ESTALE;
	return b->has_exp_bver && (b->exp_bver < seen || b->exp_bver > now.bver) ? -ESTALE : 0;
}

static int check_binding(struct jv_kernel *k, struct ksession *s, const struct jv_kernel_binding *b)
{
	const struct jv_kernel_transition *first = b->via.state ? &b->via : &b->transition;
	struct jv_kernel_transition step = *first;
	uint8_t state = b->transition.state ? b->transition.state : s->state;

	if (b->op != JVPN_BINDING_OP_CLEAR && (state == JV_STATE_BIRTH || k->path_fd[b->path] < 0))
		return -EINVAL;
	if (b->op == JVPN_BINDING_OP_SET && compare(s, b))
		return -ESTALE;
	if (b->has_cid && (!epoch_of_cid(s, b->cid) ||
			   epoch_of_cid(s, b->cid)->keys.version.term != b->version.term))
		return -EINVAL;
	if (b->via.state)
		step.state_version = b->transition.state_version - 1;
	return b->transition.state ? step_is_next(s, &step) : 0;
}

/* Older epochs that were never confirmed go, and those of a lower term. */
static void commit_epoch(struct jv_kernel *k, struct ksession *s, const struct kepoch *made,
			 uint64_t term)
{
	for (unsigned int i = 0; i < EPOCHS; i++) {
		struct kepoch *e = &s->epoch[i];

		if (e->live && (e->keys.version.term < term ||
				(made && e->serial < made->serial && !e->confirmed)))
			retire(k, s, e);
	}
	if (!s->transmit)
		s->transmit = newest_epoch(s);
}

static void swap(struct jv_kernel *k, struct ksession *s, const struct jv_kernel_binding *b)
{
	if (b->op == JVPN_BINDING_OP_SET)
		commit_epoch(k, s, b->has_cid ? epoch_of_cid(s, b->cid) : NULL, b->version.term);
	s->bound = b->op != JVPN_BINDING_OP_CLEAR;
	s->confirmed = b->op == JVPN_BINDING_OP_SET;
	if (s->bound) {
		s->path = b->path;
		s->remote = b->remote;
		s->since_us = world.now_us;
		s->silent_told = false;
		if (s->track[b->path].state == JVPN_PATH_STATE_DEAD) {
			s->track[b->path].state = JVPN_PATH_STATE_UNKNOWN;
			s->track[b->path].unanswered = 0;
		}
	}
	if (b->op == JVPN_BINDING_OP_SET) {
		if (b->version.term > s->version.term)
			s->seen = 0;
		if (b->has_exp_bver)
			s->seen = b->exp_bver;
		s->version = b->version;
	}
	if (b->transition.state)
		take_step(s, &b->transition);
}

int jv_kernel_binding_set(struct jv_kernel *k, int ifindex, const struct jv_kernel_binding *b,
			  size_t n, struct jv_kernel_result *results, struct jv_error *err)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		struct ksession *s = ksession(k, b[i].sid);
		int r = s ? check_binding(k, s, &b[i]) : -ENOENT;

		if (!r)
			swap(k, s, &b[i]);
		if (results)
			results[i] = (struct jv_kernel_result){ .error = r };
		if (r && !first)
			first = r;
	}
	return first ? jv_error_set(err, -first, "binding") : 0;
}

int jv_kernel_candidate_set(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			    uint8_t path, const union jv_addr *remote, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (s && !s->track[path].listed)
		s->track[path] = (struct track){ .listed = true };
	return s ? 0 : -ENOENT;
}

int jv_kernel_candidate_del(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			    uint8_t path, struct jv_error *err)
{
	struct ksession *s = ksession(k, sid);

	if (s)
		s->track[path].listed = false;
	return s ? 0 : -ENOENT;
}

static void make_cookie(uint8_t cookie[16], const union jv_addr *to, uint64_t slot)
{
	uint8_t key[16] = { 1 };
	struct {
		struct sockaddr_in in;
		uint64_t slot;
	} m = { to->in, slot };

	crypto_shorthash(cookie, (const uint8_t *)&m, sizeof(m), key);
	key[0] = 2;
	crypto_shorthash(cookie + 8, (const uint8_t *)&m, sizeof(m), key);
}

static bool cookie_good(const uint8_t cookie[16], const union jv_addr *from)
{
	uint8_t want[16];

	for (uint64_t back = 0; back < 2; back++) {
		make_cookie(want, from, jv_now_ms() / 30000 + 1 - back);
		if (!memcmp(want, cookie, sizeof(want)))
			return true;
	}
	return false;
}

static void send_frame(struct jv_kernel *k, struct ksession *s, uint8_t path,
		       const union jv_addr *to, uint8_t type, uint8_t flags, uint8_t reason,
		       const uint8_t *nonce, uint64_t asked_us)
{
	struct frame f = { .type = type, .flags = flags, .reason = reason, .version = s->version,
			   .asked_us = asked_us };

	if (nonce)
		memcpy(f.nonce, nonce, sizeof(f.nonce));

	if (k->path_fd[path] < 0 || !sockets[k->path_fd[path]])
		return;
	if (!s->transmit || s->transmit->exhausted)
		return;
	memcpy(f.cid, s->transmit->keys.tx_cid, sizeof(f.cid));
	f.counter = ++s->transmit->counter;
	if (type == JVPN_F_PROBE_ACK && s->role == JVPN_ROLE_GATEWAY && !s->bound)
		f.version.bver = 0;
	if (type == JVPN_F_PROBE_ACK && s->role == JVPN_ROLE_GATEWAY)
		make_cookie(f.cookie, to, jv_now_ms() / 30000 + 1);
	send_packet(&local_of[k->path_fd[path]], to, &f, sizeof(f), true);
}

int jv_kernel_frame_send(struct jv_kernel *k, int ifindex, const struct jv_kernel_frame *frame,
			 struct jv_error *err)
{
	struct ksession *s = ksession(k, frame->sid);

	if (!s || !s->transmit || (!frame->has_path && !s->bound))
		return -ENOENT;
	send_frame(k, s, frame->has_path ? frame->path : s->path,
		   frame->has_path ? &frame->remote : &s->remote, frame->type, frame->flags,
		   frame->reason, frame->has_nonce ? frame->nonce : NULL, world.now_us);
	return 0;
}

static void heard_on(struct jv_kernel *k, struct ksession *s, uint8_t path)
{
	struct track *t = &s->track[path];

	t->unanswered = 0;
	if (s->role != JVPN_ROLE_CLIENT || t->state == JVPN_PATH_STATE_ALIVE)
		return;
	t->state = JVPN_PATH_STATE_ALIVE;
	raise_signal(k, (struct jv_signal){ .kind = JVPN_SIGNAL_KIND_PATH_ALIVE, .has_path = true,
					    .path = path, .srtt_us = 2 * DELAY_US }, s);
}

static void version_shown(struct jv_kernel *k, struct ksession *s, const struct frame *f)
{
	struct jv_version v = f->version;
	bool news;

	if (v.term != s->version.term)
		return;
	if (s->role == JVPN_ROLE_CLIENT) {
		news = v.bver > s->version.bver ||
		       (!v.bver && f->type == JVPN_F_PROBE_ACK && s->bound && s->confirmed &&
			f->asked_us > s->since_us);
	} else {
		news = v.bver <= s->version.bver && v.bver > s->seen;
		if (news)
			s->seen = v.bver;
	}
	if (news)
		raise_signal(k, (struct jv_signal){ .kind = JVPN_SIGNAL_KIND_VERSION,
						    .version = v }, s);
}

static void epoch_confirmed(struct ksession *s, struct kepoch *e)
{
	if (!e->confirmed)
		e->confirmed_ms = jv_now_ms();
	e->confirmed = true;
	if (!s->transmit || e->serial > s->transmit->serial)
		s->transmit = e;
	if (e->keys.version.term == s->version.term && e->keys.version.bver > s->seen &&
	    e->keys.version.bver <= s->version.bver)
		s->seen = e->keys.version.bver;
}

static bool seen_before(struct kepoch *e, uint64_t counter)
{
	for (unsigned int i = 0; i < WINDOW; i++)
		if (e->window[i] == counter)
			return true;
	e->window[e->windows++ % WINDOW] = counter;
	return false;
}

static void frame_came(struct jv_kernel *k, struct ksession *s, uint8_t path,
		       const union jv_addr *from, const struct frame *f)
{
	struct jv_signal signal = { .has_path = true, .path = path, .remote = *from,
				    .reason = f->reason };

	struct kepoch *e = epoch_of_cid(s, f->cid);

	if (seen_before(e, f->counter))
		return;
	if (f->counter > e->highest && s->bound && jv_addr_equal(from, &s->remote))
		s->bound_rx_ms = jv_now_ms();
	if (f->counter > e->highest)
		e->highest = f->counter;
	s->last_rx_ms = jv_now_ms();
	s->silent_told = false;
	if (!e->confirmed || s->state == JV_STATE_BIRTH) {
		epoch_confirmed(s, e);
		signal.kind = JVPN_SIGNAL_KIND_CONFIRMED;
		memcpy(signal.cid, e->keys.rx_cid, sizeof(signal.cid));
		signal.version = e->keys.version;
		raise_signal(k, signal, s);
	}
	heard_on(k, s, path);
	if (s->role == JVPN_ROLE_GATEWAY && s->bound && !jv_addr_equal(from, &s->remote) &&
	    !(f->flags & JVPN_PROBE_CANDIDATE)) {
		signal.kind = JVPN_SIGNAL_KIND_SOURCE_CHANGED;
		raise_signal(k, signal, s);
	}
	if (f->type == JVPN_F_CLOSE) {
		signal.kind = JVPN_SIGNAL_KIND_CLOSED;
		raise_signal(k, signal, s);
		return;
	}
	if (f->type != JVPN_F_PROBE && f->type != JVPN_F_PROBE_ACK)
		return;
	version_shown(k, s, f);
	if (f->type == JVPN_F_PROBE && carries(s))
		if (!(f->flags & JVPN_PROBE_NAT_CHECK) || (s->bound && s->confirmed && s->path == path))
			send_frame(k, s, path, from, JVPN_F_PROBE_ACK, f->flags, 0, f->nonce,
				   f->asked_us);
	if (f->type == JVPN_F_PROBE_ACK && s->role == JVPN_ROLE_GATEWAY) {
		signal.kind = JVPN_SIGNAL_KIND_PROBE_ACKED;
		signal.silent_ms = jv_now_ms() - s->bound_rx_ms;
		memcpy(signal.nonce, f->nonce, sizeof(signal.nonce));
		raise_signal(k, signal, s);
	}
	if (f->type == JVPN_F_PROBE_ACK && s->role == JVPN_ROLE_CLIENT) {
		signal.kind = JVPN_SIGNAL_KIND_COOKIE;
		signal.srtt_us = 2 * DELAY_US;
		memcpy(signal.cookie, f->cookie, sizeof(signal.cookie));
		raise_signal(k, signal, s);
	}
}

static int path_of(const struct jv_kernel *k, const union jv_addr *local)
{
	for (int i = 0; i < JVPN_PATH_MAX; i++)
		if (k->path_fd[i] >= 0 && sockets[k->path_fd[i]] &&
		    jv_addr_equal(&local_of[k->path_fd[i]], local))
			return i;
	return -1;
}

/* Where a request has its id and its cookie. */
static bool request_parts(const uint8_t *data, const uint8_t **req_id, const uint8_t **cookie)
{
	const struct jvpn_reattach *reattach = (const void *)data;
	const struct jvpn_switch *request = (const void *)data;

	*req_id = data[0] == JVPN_T_SWITCH ? request->req_id : reattach->req_id;
	*cookie = data[0] == JVPN_T_SWITCH ? request->cookie : reattach->cookie;
	return data[0] == JVPN_T_SWITCH || data[0] == JVPN_T_REATTACH;
}

/* A SWITCH names live keys of the term that the gateway is in. */
static bool names_epoch(const uint8_t *cid)
{
	struct ksession *s = session_of_cid(&gateway_kernel, cid);

	return s && epoch_of_cid(s, cid)->keys.version.term == world.gateway.env.term;
}

/* The control filter of a gateway. False: it was dealt with. */
static bool admits(const struct packet *p)
{
	const struct jvpn_switch *msg = (const void *)p->data;
	const uint8_t *req_id, *got;
	struct jvpn_retry retry;
	uint8_t cookie[16];

	if (!request_parts(p->data, &req_id, &got))
		return true;
	if (p->data[0] == JVPN_T_SWITCH && !names_epoch(msg->cid))
		return false;
	if (cookie_good(got, &p->from))
		return true;
	make_cookie(cookie, &p->from, jv_now_ms() / 30000 + 1);
	jv_retry_build(&retry, req_id, cookie);
	send_packet(&p->to, &p->from, &retry, sizeof(retry), false);
	return false;
}

static void deliver(const struct packet *p)
{
	bool up = is_gateway(&p->to);
	struct jv_kernel *k = up ? &gateway_kernel : &client_kernel;
	struct jv_datagram dgram = { .data = p->data, .len = p->len, .from = p->from };
	const struct frame *f = (const void *)p->data;
	union jv_addr to = p->to;
	struct jv_udp *udp;
	struct ksession *s;
	int path;

	/* What the thief gets it passes on. */
	if (!up && ntohs(to.in.sin_port) == THIEF_PORT)
		to = local_of[client_kernel.path_fd[byte_of(&to, 2)]];
	else if (!up && !inside(&to))
		return;
	udp = socket_at(&to);
	path = path_of(k, &to);
	if (!udp || path < 0 || !passes(up ? &p->from : &p->to))
		return;
	if (p->frame) {
		s = session_of_cid(k, f->cid);
		if (s)
			frame_came(k, s, path, &p->from, f);
		else
			world.keyless++;
	} else if (!up || admits(p)) {
		udp->fn(udp->arg, &dgram);
	}
}

/* --- liveness, every TICK_MS --- */

static void probe_path(struct ksession *s, uint8_t path, bool active, uint64_t now_ms)
{
	uint64_t every = active || s->state == JV_STATE_RECOVERING ? TICK_MS : STANDBY_MS;
	union jv_addr to = ipv4(203, 0, 113, 2, PORT);
	struct track *t = &s->track[path];

	if (t->unanswered >= MISSES && t->state != JVPN_PATH_STATE_DEAD) {
		t->state = JVPN_PATH_STATE_DEAD;
		raise_signal(&client_kernel, (struct jv_signal){
			.kind = JVPN_SIGNAL_KIND_PATH_DEAD, .has_path = true, .path = path }, s);
	}
	if (t->asked && now_ms < t->probed_ms + every)
		return;
	t->asked = true;
	t->probed_ms = now_ms;
	t->unanswered++;
	send_frame(&client_kernel, s, path, &to, JVPN_F_PROBE, active ? 0 : JVPN_PROBE_CANDIDATE, 0,
		   NULL, world.now_us);
}

/* A new transport starts afresh. */
static uint64_t alive_ms(const struct ksession *s)
{
	uint64_t since_ms = s->since_us / 1000;

	return s->last_rx_ms > since_ms ? s->last_rx_ms : since_ms;
}

static void tick(void)
{
	uint64_t now_ms = jv_now_ms();

	for (unsigned int i = 0; i < SESSIONS; i++) {
		struct ksession *s = &client_kernel.session[i];

		if (s->used)
			age_epochs(&client_kernel, s, now_ms);
		for (uint8_t path = 0; s->used && carries(s) && path < JVPN_PATH_MAX; path++)
			if (s->track[path].listed || (s->bound && s->path == path))
				probe_path(s, path, s->bound && s->path == path, now_ms);
		s = &gateway_kernel.session[i];
		if (s->used)
			age_epochs(&gateway_kernel, s, now_ms);
		if (s->used && s->bound && !s->silent_told &&
		    now_ms - alive_ms(s) > SILENT_MS) {
			s->silent_told = true;
			raise_signal(&gateway_kernel, (struct jv_signal){
				.kind = JVPN_SIGNAL_KIND_SILENT }, s);
		}
	}
}

/* --- time --- */

static void dispatch_signals(struct jv_kernel *k)
{
	struct jv_signal signal;

	while (k->signals && k->side->shard) {
		signal = k->signal[0];
		memmove(k->signal, k->signal + 1, --k->signals * sizeof(k->signal[0]));
		jv_shard_signal(k->side->shard, &signal);
	}
	k->signals = 0;
}

static struct packet *next_packet(void)
{
	struct packet *next = NULL;

	while (packets_used && !packets[packets_used - 1].used)
		packets_used--;
	for (unsigned int i = 0; i < packets_used; i++) {
		struct packet *p = &packets[i];

		if (p->used && (!next || p->at_us < next->at_us ||
				(p->at_us == next->at_us && p->order < next->order)))
			next = p;
	}
	return next;
}

static uint64_t next_tick_us;

/* The one thing that happens next, not after @until_us. */
static bool one_event(uint64_t until_us)
{
	struct jv_timer *timer = next_timer();
	struct packet *p = next_packet(), now;
	uint64_t timer_us = timer ? timer->at_ms * 1000 : UINT64_MAX;
	uint64_t packet_us = p ? p->at_us : UINT64_MAX;
	uint64_t at = next_tick_us;

	at = timer_us < at ? timer_us : at;
	at = packet_us < at ? packet_us : at;
	if (at > until_us)
		return false;
	if (at > world.now_us)
		world.now_us = at;
	if (packet_us == at) {
		now = *p;
		p->used = false;
		deliver(&now);
	} else if (timer_us == at) {
		timer->at_ms = JV_NEVER;
		timer->fn(timer->arg);
	} else {
		next_tick_us += TICK_MS * 1000;
		tick();
	}
	dispatch_signals(&client_kernel);
	dispatch_signals(&gateway_kernel);
	return true;
}

void world_run(uint64_t ms)
{
	uint64_t until_us = world.now_us + ms * 1000;

	while (one_event(until_us))
		;
	world.now_us = until_us;
}

bool world_until(bool (*done)(void), uint64_t ms)
{
	uint64_t until_us = world.now_us + ms * 1000;

	while (!done())
		if (!one_event(until_us))
			return false;
	return true;
}

/* --- what is there --- */

static struct ksession *the_session(struct jv_kernel *k)
{
	struct ksession *found = NULL;

	for (unsigned int i = 0; i < SESSIONS; i++)
		if (k->session[i].used && carries(&k->session[i]))
			found = &k->session[i];
	return found;
}

enum jv_state world_state(const struct world_side *side)
{
	struct ksession *s = the_session(side == &world.client ? &client_kernel : &gateway_kernel);

	return s ? s->state : JV_STATE_TERMINATED;
}

bool world_attached(void)
{
	return world_state(&world.client) == JV_STATE_ATTACHED &&
	       world_state(&world.gateway) == JV_STATE_ATTACHED;
}

int world_client_uplink(void)
{
	struct ksession *s = the_session(&client_kernel);

	return s && s->bound && s->confirmed ? byte_of(&local_of[client_kernel.path_fd[s->path]], 2)
					     : -1;
}

int world_gateway_uplink(void)
{
	struct ksession *s = the_session(&gateway_kernel);

	return s && s->bound ? byte_of(&s->remote, 2) : -1;
}

bool world_agreed(void)
{
	struct ksession *c = the_session(&client_kernel), *g = the_session(&gateway_kernel);

	return world_attached() && !memcmp(c->sid, g->sid, sizeof(c->sid)) &&
	       !jv_version_cmp(c->version, g->version) &&
	       world_client_uplink() == world_gateway_uplink();
}

uint64_t world_bver(void)
{
	struct ksession *s = the_session(&client_kernel);

	return s ? s->version.bver : 0;
}

void world_sid(uint8_t sid[JVPN_SID_LEN])
{
	struct ksession *s = the_session(&client_kernel);

	memset(sid, 0, JVPN_SID_LEN);
	if (s)
		memcpy(sid, s->sid, JVPN_SID_LEN);
}

static int switch_result;

static void switch_done(void *arg, int error, const struct jv_command_result *result,
			const struct jv_error *err)
{
	if (switch_result != 1)
		fault("a command was answered twice");
	switch_result = error;
}

static bool switch_over(void)
{
	return switch_result != 1;
}

static char *the_id(char hex[2 * JVPN_SID_LEN + 1])
{
	uint8_t sid[JVPN_SID_LEN];

	world_sid(sid);
	switch_result = 1;
	return jv_hex(sid, sizeof(sid), hex);
}

static int answer(void)
{
	if (!world_until(switch_over, 60000))
		fault("a command is never answered");
	return switch_result;
}

int world_switch(unsigned int uplink)
{
	char hex[2 * JVPN_SID_LEN + 1], name[16];

	snprintf(name, sizeof(name), "t%u", uplink);
	jv_shard_session_switch(world.client.shard, the_id(hex), name, NULL, NULL, switch_done,
				NULL);
	return answer();
}

static int renew(enum jv_renewal what)
{
	char hex[2 * JVPN_SID_LEN + 1];

	jv_shard_session_renew(world.client.shard, the_id(hex), what, NULL, NULL, switch_done,
			       NULL);
	return answer();
}

int world_rekey(void)
{
	return renew(JV_RENEW_KEYS);
}

int world_reattach(void)
{
	return renew(JV_RENEW_BINDING);
}

unsigned int world_epochs(const struct world_side *side)
{
	struct ksession *s = the_session(side == &world.client ? &client_kernel : &gateway_kernel);
	unsigned int n = 0;

	for (unsigned int i = 0; s && i < EPOCHS; i++)
		n += s->epoch[i].live;
	return n;
}

int world_aead(const struct world_side *side)
{
	struct ksession *s = the_session(side == &world.client ? &client_kernel : &gateway_kernel);

	return s && s->transmit ? s->transmit->keys.aead : -1;
}

/* --- beginning and end --- */

static void make_side(struct world_side *side, struct jv_kernel *k, uint8_t secret,
		      const struct world_side *other)
{
	uint8_t bytes[32];

	memset(bytes, secret, sizeof(bytes));
	jv_keypair_from_secret(&side->key, bytes);
	k->side = side;
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		k->path_fd[i] = -1;
	side->env = (struct jv_env){
		.kernel = k, .node = (struct jv_node *)&side->link,
		.audit = (struct jv_audit *)side, .limiter = jv_limiter_new(), .term = 3,
	};
	snprintf(side->policy.name, sizeof(side->policy.name), "test");
	side->policy.version = 1;
	jv_policy_init(&side->policy.policy);
	snprintf(side->link.name, sizeof(side->link.name), "jvpn0");
	side->link.ifindex = IFINDEX;
	side->link.key = &side->key;
	side->link.peers = &side->peer;
	side->peer.link = &side->link;
	side->peer.psk = side->psk;
	side->peer.policy = &side->policy;
	side->peer.prefixes = 1;
	jv_prefix_parse(&side->peer.prefix[0], "10.77.0.2/32", false);
	side->shard = jv_shard_new(&side->env);
}

static void start_side(struct world_side *side)
{
	const struct jv_node_ops *ops = &jv_shard_node_ops;
	struct jv_error err;

	if (ops->link_up(side->shard, &side->link, &err))
		fault("link_up");
	side->link.up = true;
	for (struct jv_transport *t = side->link.transports; t; t = t->next)
		ops->transport_up(side->shard, t, &err);
	if (ops->peer_up(side->shard, &side->peer, &err))
		fault("peer_up");
	side->peer.up = true;
}

static struct jv_transport transports[WORLD_UPLINKS];

static void make_transports(struct jv_link *link)
{
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++) {
		struct jv_transport *t = &transports[i];

		*t = (struct jv_transport){ .link = link, .preference = 100 - i };
		t->next = i + 1 < WORLD_UPLINKS ? t + 1 : NULL;
		snprintf(t->name, sizeof(t->name), "t%u", i);
		snprintf(t->match, sizeof(t->match), "up%u", i);
	}
	link->transports = transports;
}

/* Keys and ids come out of the dice as well, so that a seed repeats a run. */
static const char *dice_name(void)
{
	return "dice";
}

static uint32_t dice_random(void)
{
	return (uint64_t)world_random(1u << 16) << 16 | world_random(1u << 16);
}

static void dice_buf(void *buf, size_t size)
{
	for (uint8_t *p = buf; size--; p++)
		*p = world_random(256);
}

static struct randombytes_implementation dice = {
	.implementation_name = dice_name, .random = dice_random, .buf = dice_buf,
};

void world_begin(uint64_t seed)
{
	randombytes_set_implementation(&dice);
	world = (struct world){ .dice = seed, .now_us = 1000000000 };
	client_kernel = gateway_kernel = (struct jv_kernel){ 0 };
	memset(packets, 0, sizeof(packets));
	packets_used = 0;
	memset(timers, 0, sizeof(timers));
	memset(sockets, 0, sizeof(sockets));
	next_tick_us = world.now_us;
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++) {
		world.uplink[i] = (struct world_uplink){ .up = true, .host = 2 };
		set_iface(i);
	}
	make_side(&world.client, &client_kernel, 0x11, &world.gateway);
	make_side(&world.gateway, &gateway_kernel, 0x22, &world.client);
	make_transports(&world.client.link);
	memcpy(world.client.peer.public_key, world.gateway.key.public, 32);
	memcpy(world.gateway.peer.public_key, world.client.key.public, 32);
	snprintf(world.client.peer.name, sizeof(world.client.peer.name), "home");
	snprintf(world.gateway.peer.name, sizeof(world.gateway.peer.name), "phone");
	world.gateway.link.listening = true;
	world.gateway.link.listen = ipv4(203, 0, 113, 2, PORT);
	world.client.peer.endpoints = 1;
	world.client.peer.endpoint[0] = world.gateway.link.listen;
	start_side(&world.gateway);
	start_side(&world.client);
}

static void stop_side(struct world_side *side)
{
	const struct jv_node_ops *ops = &jv_shard_node_ops;

	jv_shard_stop(side->shard);
	ops->peer_down(side->shard, &side->peer);
	for (struct jv_transport *t = side->link.transports; t; t = t->next)
		ops->transport_down(side->shard, t);
	ops->link_down(side->shard, &side->link, false);
	jv_shard_free(side->shard);
	side->shard = NULL;
	jv_limiter_free(side->env.limiter);
}

void world_end(void)
{
	stop_side(&world.client);
	stop_side(&world.gateway);
	for (unsigned int i = 0; i < SESSIONS; i++)
		if (client_kernel.session[i].used || gateway_kernel.session[i].used)
			fault("a session is left in the kernel");
	for (unsigned int i = 0; i < SOCKETS; i++)
		if (sockets[i])
			fault("a socket is left");
	for (unsigned int i = 0; i < TIMERS; i++)
		if (timers[i])
			fault("a timer is left");
}
