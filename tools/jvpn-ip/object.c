// SPDX-License-Identifier: GPL-2.0
#include <linux/genetlink.h>
#include <netinet/in.h>
#include <string.h>

#include "object.h"

enum field_kind {
	NUMBER,			/* uint64_t from an integer of any width */
	BYTES,			/* exactly @size of them */
	TEXT,			/* a string in an array of @size */
	ENDPOINT,		/* struct endpoint from a socket address */
};

/* Where the value of an attribute goes. */
struct field {
	uint16_t attr;
	uint8_t kind;
	uint16_t at;
	uint16_t size;
};

#define FIELD(type, attribute, member, kind) \
	{ attribute, kind, offsetof(struct type, member), sizeof(((struct type *)0)->member) }

static const struct field device_fields[] = {
	FIELD(device, JVPN_DEV_A_IFNAME, ifname, TEXT),
	FIELD(device, JVPN_DEV_A_ROLE, role, NUMBER),
	FIELD(device, JVPN_DEV_A_TERM, term, NUMBER),
	FIELD(device, JVPN_DEV_A_DAEMON_PORT, daemon_port, NUMBER),
	FIELD(device, JVPN_DEV_A_DAEMON_GONE_MS, daemon_gone_ms, NUMBER),
	FIELD(device, JVPN_DEV_A_SESSIONS, sessions, NUMBER),
	FIELD(device, JVPN_DEV_A_EPOCHS, epochs, NUMBER),
	FIELD(device, JVPN_DEV_A_RX_PACKETS, rx_packets, NUMBER),
	FIELD(device, JVPN_DEV_A_RX_BYTES, rx_bytes, NUMBER),
	FIELD(device, JVPN_DEV_A_TX_PACKETS, tx_packets, NUMBER),
	FIELD(device, JVPN_DEV_A_TX_BYTES, tx_bytes, NUMBER),
	FIELD(device, JVPN_DEV_A_RETRIES, retries, NUMBER),
	FIELD(device, JVPN_DEV_A_UPCALLS, upcalls, NUMBER),
	FIELD(device, JVPN_DEV_A_BUILD, build, TEXT),
};

static const struct field path_fields[] = {
	FIELD(path, JVPN_PATH_A_ID, id, NUMBER),
	FIELD(path, JVPN_PATH_A_OIF, oif, NUMBER),
	FIELD(path, JVPN_PATH_A_MARK, mark, NUMBER),
	FIELD(path, JVPN_PATH_A_LOCAL, local, ENDPOINT),
	FIELD(path, JVPN_PATH_A_RX_PACKETS, rx_packets, NUMBER),
	FIELD(path, JVPN_PATH_A_TX_PACKETS, tx_packets, NUMBER),
};

static const struct field binding_fields[] = {
	FIELD(binding, JVPN_BINDING_A_TERM, term, NUMBER),
	FIELD(binding, JVPN_BINDING_A_BVER, bver, NUMBER),
	FIELD(binding, JVPN_BINDING_A_PATH, path, NUMBER),
	FIELD(binding, JVPN_BINDING_A_REMOTE, remote, ENDPOINT),
	FIELD(binding, JVPN_BINDING_A_CONFIRMED, confirmed, NUMBER),
	FIELD(binding, JVPN_BINDING_A_AGE_MS, age_ms, NUMBER),
};

static const struct field epoch_fields[] = {
	FIELD(epoch, JVPN_EPOCH_A_RX_CID, rx_cid, BYTES),
	FIELD(epoch, JVPN_EPOCH_A_TX_CID, tx_cid, BYTES),
	FIELD(epoch, JVPN_EPOCH_A_AEAD, aead, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_TERM, term, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_BVER, bver, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_TRANSMIT, transmit, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_CONFIRMED, confirmed, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_TX_COUNTER, tx_counter, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_RX_HIGHEST, rx_highest, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_RX_PACKETS, rx_packets, NUMBER),
	FIELD(epoch, JVPN_EPOCH_A_AGE_MS, age_ms, NUMBER),
};

static const struct field candidate_fields[] = {
	FIELD(candidate, JVPN_CANDIDATE_A_PATH, path, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_REMOTE, remote, ENDPOINT),
	FIELD(candidate, JVPN_CANDIDATE_A_STATE, state, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_SRTT_US, srtt_us, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_RTTVAR_US, rttvar_us, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_LOSS_PERMILLE, loss_permille, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_PROBES, probes, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_ACKS, acks, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_LAST_RX_MS, last_rx_ms, NUMBER),
	FIELD(candidate, JVPN_CANDIDATE_A_COOKIE_MS, cookie_ms, NUMBER),
};

static const struct field session_fields[] = {
	FIELD(session, JVPN_SESSION_A_SID, sid, BYTES),
	FIELD(session, JVPN_SESSION_A_ROLE, role, NUMBER),
	FIELD(session, JVPN_SESSION_A_LABEL, label, TEXT),
	FIELD(session, JVPN_SESSION_A_STATE, state, NUMBER),
	FIELD(session, JVPN_SESSION_A_STATE_VERSION, state_version, NUMBER),
	FIELD(session, JVPN_SESSION_A_PREVIOUS, previous, NUMBER),
	FIELD(session, JVPN_SESSION_A_REASON, reason, NUMBER),
	FIELD(session, JVPN_SESSION_A_DETAIL, detail, NUMBER),
	FIELD(session, JVPN_SESSION_A_TERM, term, NUMBER),
	FIELD(session, JVPN_SESSION_A_BVER, bver, NUMBER),
	FIELD(session, JVPN_SESSION_A_BVER_SEEN, bver_seen, NUMBER),
	FIELD(session, JVPN_SESSION_A_RX_PACKETS, rx_packets, NUMBER),
	FIELD(session, JVPN_SESSION_A_RX_BYTES, rx_bytes, NUMBER),
	FIELD(session, JVPN_SESSION_A_TX_PACKETS, tx_packets, NUMBER),
	FIELD(session, JVPN_SESSION_A_TX_BYTES, tx_bytes, NUMBER),
	FIELD(session, JVPN_SESSION_A_AGE_MS, age_ms, NUMBER),
	FIELD(session, JVPN_SESSION_A_LAST_RX_MS, last_rx_ms, NUMBER),
	FIELD(session, JVPN_SESSION_A_LAST_TX_MS, last_tx_ms, NUMBER),
	FIELD(session, JVPN_SESSION_A_CHANGED_MS, changed_ms, NUMBER),
};

static const struct field signal_fields[] = {
	FIELD(signal, JVPN_SIGNAL_A_KIND, kind, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_SID, sid, BYTES),
	FIELD(signal, JVPN_SIGNAL_A_PATH, path, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_REMOTE, remote, ENDPOINT),
	FIELD(signal, JVPN_SIGNAL_A_CID, cid, BYTES),
	FIELD(signal, JVPN_SIGNAL_A_TERM, term, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_BVER, bver, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_SRTT_US, srtt_us, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_SILENT_MS, silent_ms, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_TIME_NS, time_ns, NUMBER),
	FIELD(signal, JVPN_SIGNAL_A_REASON, reason, NUMBER),
};

static bool read_number(const struct nlattr *attr, uint64_t *to)
{
	const void *data = mnl_attr_get_payload(attr);

	switch (mnl_attr_get_payload_len(attr)) {
	case 1:
		*to = mnl_attr_get_u8(attr);
		return true;
	case 2:
		*to = mnl_attr_get_u16(attr);
		return true;
	case 4:
		*to = mnl_attr_get_u32(attr);
		return true;
	case 8:
		memcpy(to, data, sizeof(*to));
		return true;
	}
	return false;
}

static bool read_endpoint(const struct nlattr *attr, struct endpoint *to)
{
	const void *data = mnl_attr_get_payload(attr);
	size_t size = mnl_attr_get_payload_len(attr);
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	memset(to, 0, sizeof(*to));
	if (size < sizeof(in))
		return false;
	memcpy(&in, data, sizeof(in));
	if (in.sin_family == AF_INET) {
		to->address.family = AF_INET;
		memcpy(to->address.bytes, &in.sin_addr, sizeof(in.sin_addr));
		to->port = ntohs(in.sin_port);
		return true;
	}
	if (in.sin_family != AF_INET6 || size < sizeof(in6))
		return false;
	memcpy(&in6, data, sizeof(in6));
	to->address.family = AF_INET6;
	memcpy(to->address.bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
	to->port = ntohs(in6.sin6_port);
	return true;
}

static bool read_field(const struct nlattr *attr, const struct field *field, char *to)
{
	const char *data = mnl_attr_get_payload(attr);
	size_t size = mnl_attr_get_payload_len(attr);

	switch (field->kind) {
	case NUMBER:
		return read_number(attr, (uint64_t *)to);
	case BYTES:
		if (size != field->size)
			return false;
		memcpy(to, data, size);
		return true;
	case TEXT:
		size = strnlen(data, size);
		if (size >= field->size)
			return false;
		memcpy(to, data, size);
		to[size] = '\0';
		return true;
	case ENDPOINT:
		return read_endpoint(attr, (struct endpoint *)to);
	}
	return false;
}

/* Read @attr into the object that begins with its set of attributes. False if no field takes it. */
static bool take(const struct nlattr *attr, const struct field *fields, size_t count, void *object)
{
	uint16_t type = mnl_attr_get_type(attr);

	for (size_t i = 0; i < count; i++) {
		if (fields[i].attr != type)
			continue;
		if (read_field(attr, &fields[i], (char *)object + fields[i].at))
			*(uint64_t *)object |= 1ULL << type;
		return true;
	}
	return false;
}

static void take_all(const struct nlattr *nest, const struct field *fields, size_t count,
		     void *object)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		take(attr, fields, count, object);
}

#define TAKE(attr, fields, object)	take(attr, fields, COUNT(fields), object)
#define TAKE_ALL(nest, fields, object)	take_all(nest, fields, COUNT(fields), object)

static void read_drop(const struct nlattr *nest, uint64_t drop[JVPN_DROP_MAX])
{
	const struct nlattr *attr;
	uint64_t reason = JVPN_DROP_MAX, count = 0;

	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == JVPN_DROP_A_REASON)
			read_number(attr, &reason);
		if (mnl_attr_get_type(attr) == JVPN_DROP_A_COUNT)
			read_number(attr, &count);
	}
	if (reason < JVPN_DROP_MAX)
		drop[reason] = count;
}

static bool read_prefix(const struct nlattr *nest, struct prefix *prefix)
{
	const struct nlattr *attr;
	uint64_t length = 0;
	size_t size = 0;

	memset(prefix, 0, sizeof(*prefix));
	mnl_attr_for_each_nested(attr, nest) {
		if (mnl_attr_get_type(attr) == JVPN_PREFIX_A_LEN)
			read_number(attr, &length);
		if (mnl_attr_get_type(attr) != JVPN_PREFIX_A_ADDR)
			continue;
		size = mnl_attr_get_payload_len(attr);
		if (size != 4 && size != 16)
			return false;
		memcpy(prefix->address.bytes, mnl_attr_get_payload(attr), size);
	}
	prefix->address.family = size == 4 ? AF_INET : AF_INET6;
	prefix->length = length;
	return size;
}

static void read_switches(const struct nlattr *attr, struct session *session)
{
	session->switches = mnl_attr_get_payload_len(attr) / sizeof(session->switched_ms[0]);
	if (session->switches > COUNT(session->switched_ms))
		session->switches = COUNT(session->switched_ms);
	memcpy(session->switched_ms, mnl_attr_get_payload(attr),
	       session->switches * sizeof(session->switched_ms[0]));
}

/* The parts of a session that are objects themselves. */
static void read_part(const struct nlattr *attr, struct session *session)
{
	switch (mnl_attr_get_type(attr)) {
	case JVPN_SESSION_A_PREFIX:
		if (session->prefixes < COUNT(session->prefix) &&
		    read_prefix(attr, &session->prefix[session->prefixes]))
			session->prefixes++;
		break;
	case JVPN_SESSION_A_BINDING:
		TAKE_ALL(attr, binding_fields, &session->binding);
		break;
	case JVPN_SESSION_A_EPOCH:
		if (session->epochs < COUNT(session->epoch))
			TAKE_ALL(attr, epoch_fields, &session->epoch[session->epochs++]);
		break;
	case JVPN_SESSION_A_CANDIDATE:
		if (session->candidates < COUNT(session->candidate))
			TAKE_ALL(attr, candidate_fields,
				 &session->candidate[session->candidates++]);
		break;
	case JVPN_SESSION_A_DROP:
		read_drop(attr, session->drop);
		break;
	case JVPN_SESSION_A_SWITCHES:
		read_switches(attr, session);
		break;
	}
}

uint8_t message_command(const struct nlmsghdr *message)
{
	const struct genlmsghdr *header = mnl_nlmsg_get_payload(message);

	return mnl_nlmsg_get_payload_len(message) < sizeof(*header) ? 0 : header->cmd;
}

/* The object of a message, and the device it belongs to. */
static const struct nlattr *object_of(const struct nlmsghdr *message, uint16_t type,
				      uint32_t *ifindex)
{
	const struct nlattr *attr, *object = NULL;
	uint64_t number = 0;

	mnl_attr_for_each(attr, message, GENL_HDRLEN) {
		if (mnl_attr_get_type(attr) == JVPN_A_IFINDEX)
			read_number(attr, &number);
		if (mnl_attr_get_type(attr) == type)
			object = attr;
	}
	*ifindex = number;
	return object;
}

bool device_decode(const struct nlmsghdr *message, struct device *device)
{
	const struct nlattr *attr, *object;

	memset(device, 0, sizeof(*device));
	object = object_of(message, JVPN_A_DEVICE, &device->ifindex);
	if (!object)
		return false;
	mnl_attr_for_each_nested(attr, object)
		if (!TAKE(attr, device_fields, device) && mnl_attr_get_type(attr) == JVPN_DEV_A_DROP)
			read_drop(attr, device->drop);
	return true;
}

bool path_decode(const struct nlmsghdr *message, struct path *path)
{
	const struct nlattr *object;

	memset(path, 0, sizeof(*path));
	object = object_of(message, JVPN_A_PATH, &path->ifindex);
	if (!object)
		return false;
	TAKE_ALL(object, path_fields, path);
	return true;
}

bool session_decode(const struct nlmsghdr *message, struct session *session)
{
	const struct nlattr *attr, *object;

	memset(session, 0, sizeof(*session));
	object = object_of(message, JVPN_A_SESSION, &session->ifindex);
	if (!object)
		return false;
	mnl_attr_for_each_nested(attr, object)
		if (!TAKE(attr, session_fields, session))
			read_part(attr, session);
	return true;
}

bool signal_decode(const struct nlmsghdr *message, struct signal *signal)
{
	const struct nlattr *object;

	memset(signal, 0, sizeof(*signal));
	object = object_of(message, JVPN_A_SIGNAL, &signal->ifindex);
	if (!object)
		return false;
	TAKE_ALL(object, signal_fields, signal);
	return true;
}

const char *role_name(uint64_t role)
{
	static const char *const names[] = {
		[JVPN_ROLE_NONE] = "none", [JVPN_ROLE_CLIENT] = "client",
		[JVPN_ROLE_GATEWAY] = "gateway",
	};

	return role < COUNT(names) ? names[role] : "?";
}

const char *path_state_name(uint64_t state)
{
	static const char *const names[] = {
		[JVPN_PATH_STATE_UNKNOWN] = "unknown", [JVPN_PATH_STATE_ALIVE] = "alive",
		[JVPN_PATH_STATE_SUSPECT] = "suspect", [JVPN_PATH_STATE_DEAD] = "dead",
	};

	return state < COUNT(names) ? names[state] : "?";
}

const char *signal_name(uint64_t kind)
{
	static const char *const names[] = {
		[JVPN_SIGNAL_KIND_PATH_DEAD] = "path_dead",
		[JVPN_SIGNAL_KIND_PATH_SUSPECT] = "path_suspect",
		[JVPN_SIGNAL_KIND_PATH_ALIVE] = "path_alive",
		[JVPN_SIGNAL_KIND_COOKIE] = "cookie",
		[JVPN_SIGNAL_KIND_CONFIRMED] = "confirmed",
		[JVPN_SIGNAL_KIND_SOURCE_CHANGED] = "source_changed",
		[JVPN_SIGNAL_KIND_SILENT] = "silent",
		[JVPN_SIGNAL_KIND_VERSION] = "version",
		[JVPN_SIGNAL_KIND_EXHAUSTED] = "exhausted",
		[JVPN_SIGNAL_KIND_DAEMON_GONE] = "daemon_gone",
		[JVPN_SIGNAL_KIND_CLOSED] = "closed",
	};

	return kind < COUNT(names) ? names[kind] : "?";
}
