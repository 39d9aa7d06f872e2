// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "../../daemon/names.h"
#include "objects.h"
#include "out.h"
#include "selector.h"
#include "session.h"

enum {
	RELOAD_MS = 1000,
	SEEN_COUNT = 4096,
};

/* An event stream, from the kernel alone: it goes on whatever becomes of the daemon. */
struct monitor {
	struct selector selector;
	struct genl events;
	struct genl requests;		/* to look paths up while events queue */
	struct paths paths;
	uint64_t loaded_ms;
	struct seen {
		unsigned char sid[SID_LEN];
		uint64_t version;
	} seen[SEEN_COUNT];
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* "2026-11-20T16:20:01.112233+00:00". Returns @buf. */
static const char *timestamp(char buf[FIGURE_TEXT])
{
	struct timespec now;
	struct tm tm;
	char zone[16], date[24];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	snprintf(buf, FIGURE_TEXT, "%s.%06ld%.3s:%.2s", date, now.tv_nsec / 1000, zone, zone + 3);
	return buf;
}

static void begin_line(void)
{
	char stamp[FIGURE_TEXT];

	if (opt.timestamp)
		printf("[%s] ", timestamp(stamp));
}

static void end_line(void)
{
	putchar('\n');
	fflush(stdout);
}

static uint64_t boottime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Takes @object over. Its own boottime_ns, the kernel's, is better than ours. */
static void json_event(const char *event, json_t *object)
{
	char stamp[FIGURE_TEXT];
	json_t *line = json_pack("{s:s, s:s, s:I}", "event", event, "time", timestamp(stamp),
				 "boottime_ns", (json_int_t)boottime_ns());

	json_object_update(line, object);
	json_decref(object);
	out_event(line);
}

static void lost(void)
{
	if (opt.json) {
		json_event("lost", json_object());
		return;
	}
	begin_line();
	printf("-- lost events");
	end_line();
}

/*
 * Paths come and go while we listen. What is looked up is at most a second old,
 * and newer if the number is not known at all; no flood of events makes it more.
 */
static const char *path_device(struct monitor *monitor, uint32_t ifindex, uint64_t id,
			       char buf[IF_NAMESIZE])
{
	uint64_t now = now_ms();

	if (now - monitor->loaded_ms >= RELOAD_MS || !paths_find(&monitor->paths, ifindex, id)) {
		paths_load(&monitor->paths, &monitor->requests);
		monitor->loaded_ms = now;
	}
	return paths_device(&monitor->paths, ifindex, id, buf);
}

/*
 * The kernel also tells of a new binding or figure, and then repeats the last
 * transition. A session whose place another one took meanwhile has it told again;
 * session ids are random, so their first bytes spread by themselves.
 */
static bool is_transition(struct monitor *monitor, const struct session *session)
{
	size_t at = (session->sid[0] << 8 | session->sid[1]) % SEEN_COUNT;
	struct seen *seen = &monitor->seen[at];

	if (!memcmp(seen->sid, session->sid, SID_LEN) && seen->version == session->state_version)
		return false;
	memcpy(seen->sid, session->sid, SID_LEN);
	seen->version = session->state_version;
	return session->reason;
}

/* What happened before we listen is not told as if it happened now. */
static void mark_seen(const struct nlmsghdr *message, void *context)
{
	struct session session;

	if (session_decode(message, &session))
		is_transition(context, &session);
}

static void print_change(struct monitor *monitor, const struct session *session, bool gone,
			 bool transition)
{
	const struct binding *binding = &session->binding;
	char id[SID_TEXT], remote[ADDRESS_TEXT], device[IF_NAMESIZE];

	begin_line();
	printf("%s ", session_id(session, id));
	if (gone)
		printf("v%" PRIu64 " %s removed", session->state_version,
		       jv_state_name(session->state));
	else if (transition)
		printf("v%" PRIu64 "->v%" PRIu64 " %s -> %s reason %s detail %s",
		       session->state_version - 1, session->state_version,
		       jv_state_name(session->previous), jv_state_name(session->state),
		       jv_reason_name(session->reason), jv_detail_name(session->detail));
	else
		printf("v%" PRIu64 " %s", session->state_version, jv_state_name(session->state));
	printf(" binding %" PRIu64 ":%" PRIu64, session->term, session->bver);
	if (HAS(binding, JVPN_BINDING_A_PATH))
		printf(" path %" PRIu64 " dev %s remote %s%s", binding->path,
		       path_device(monitor, session->ifindex, binding->path, device),
		       endpoint_format(&binding->remote, remote),
		       binding->confirmed ? "" : " unconfirmed");
	end_line();
}

static void session_event(struct monitor *monitor, const struct nlmsghdr *message, bool gone)
{
	char device[IF_NAMESIZE];
	struct session session;
	json_t *object;
	bool transition;

	if (!session_decode(message, &session))
		return;
	transition = !gone && is_transition(monitor, &session);
	if (HAS(&session.binding, JVPN_BINDING_A_PATH))
		path_device(monitor, session.ifindex, session.binding.path, device);
	if (!selector_fits(&monitor->selector, &session, &monitor->paths, NULL))
		return;
	if (!opt.json) {
		print_change(monitor, &session, gone, transition);
		return;
	}
	object = session_json(&session, &monitor->paths, NULL);
	json_object_set_new(object, "transition", json_boolean(transition));
	json_event(gone ? "session_removed" : "session", object);
}

/* Signals know a session by its id alone; other words fit none. */
static bool signal_fits(const struct selector *selector, const struct signal *signal)
{
	const struct session session = { .ifindex = signal->ifindex };

	if (selector->given & SELECT_ID &&
	    (!HAS(signal, JVPN_SIGNAL_A_SID) ||
	     memcmp(selector->id.bytes, signal->sid, selector->id.digits / 2)))
		return false;
	if (selector->given & ~(SELECT_ID | SELECT_DEV))
		return false;
	return !(selector->given & SELECT_DEV) || selector->ifindex == session.ifindex;
}

static json_t *signal_json(struct monitor *monitor, const struct signal *signal)
{
	json_t *object = json_object();
	char name[IF_NAMESIZE];

	json_put_text(object, "ifname", device_name(signal->ifindex, name));
	if (HAS(signal, JVPN_SIGNAL_A_SID))
		json_put_hex(object, "id", signal->sid, sizeof(signal->sid));
	if (HAS(signal, JVPN_SIGNAL_A_PATH)) {
		json_put_number(object, "path", signal->path);
		if (strcmp(path_device(monitor, signal->ifindex, signal->path, name), "-"))
			json_put_text(object, "dev", name);
	}
	if (HAS(signal, JVPN_SIGNAL_A_REMOTE))
		json_put_endpoint(object, "remote", "remote_port", &signal->remote);
	if (HAS(signal, JVPN_SIGNAL_A_CID))
		json_put_hex(object, "cid", signal->cid, sizeof(signal->cid));
	if (HAS(signal, JVPN_SIGNAL_A_TERM))
		json_put_number(object, "term", signal->term);
	if (HAS(signal, JVPN_SIGNAL_A_BVER))
		json_put_number(object, "bver", signal->bver);
	if (HAS(signal, JVPN_SIGNAL_A_SRTT_US))
		json_put_number(object, "rtt_us", signal->srtt_us);
	if (HAS(signal, JVPN_SIGNAL_A_SILENT_MS))
		json_put_number(object, "silent_ms", signal->silent_ms);
	if (HAS(signal, JVPN_SIGNAL_A_REASON))
		json_put_word(object, "reason", jv_detail_name(signal->reason));
	if (HAS(signal, JVPN_SIGNAL_A_TIME_NS))
		json_put_number(object, "boottime_ns", signal->time_ns);
	return object;
}

static void print_signal(struct monitor *monitor, const struct signal *signal)
{
	char id[SID_TEXT], text[ADDRESS_TEXT], name[IF_NAMESIZE];

	begin_line();
	if (HAS(signal, JVPN_SIGNAL_A_SID))
		printf("%s ", out_hex(signal->sid, SID_BRIEF, id));
	printf("%s on %s", signal_name(signal->kind), device_name(signal->ifindex, name));
	if (HAS(signal, JVPN_SIGNAL_A_PATH))
		printf(" path %" PRIu64 " dev %s", signal->path,
		       path_device(monitor, signal->ifindex, signal->path, name));
	if (HAS(signal, JVPN_SIGNAL_A_REMOTE))
		printf(" remote %s", endpoint_format(&signal->remote, text));
	if (HAS(signal, JVPN_SIGNAL_A_BVER))
		printf(" binding %" PRIu64 ":%" PRIu64, signal->term, signal->bver);
	if (HAS(signal, JVPN_SIGNAL_A_SRTT_US))
		printf(" rtt %" PRIu64 "us", signal->srtt_us);
	if (HAS(signal, JVPN_SIGNAL_A_SILENT_MS))
		printf(" silent %" PRIu64 "ms", signal->silent_ms);
	if (HAS(signal, JVPN_SIGNAL_A_REASON))
		printf(" reason %s", jv_detail_name(signal->reason));
	end_line();
}

static void signal_event(struct monitor *monitor, const struct nlmsghdr *message)
{
	struct signal signal;

	if (!signal_decode(message, &signal) || !signal_fits(&monitor->selector, &signal))
		return;
	if (opt.json)
		json_event(signal_name(signal.kind), signal_json(monitor, &signal));
	else
		print_signal(monitor, &signal);
}

static void event(struct monitor *monitor, const struct nlmsghdr *message)
{
	if (message->nlmsg_type != monitor->events.family)
		return;
	switch (message_command(message)) {
	case JVPN_CMD_SESSION_NTF:
		session_event(monitor, message, false);
		break;
	case JVPN_CMD_SESSION_DEL_NTF:
		session_event(monitor, message, true);
		break;
	case JVPN_CMD_SIGNAL:
		signal_event(monitor, message);
		break;
	}
}

static int listen_for(struct monitor *monitor)
{
	static _Alignas(struct nlmsghdr) char buf[64 * 1024];

	for (;;) {
		ssize_t got = mnl_socket_recvfrom(monitor->events.netlink.socket, buf, sizeof(buf));
		const struct nlmsghdr *message = (const void *)buf;
		int size = got;

		if (got < 0 && errno == ENOBUFS)
			lost();
		else if (got < 0 && errno != EINTR)
			return fail(EXIT_ERROR, "jvpn: the events cannot be received: %s.",
				    strerror(errno));
		for (; got > 0 && mnl_nlmsg_ok(message, size);
		     message = mnl_nlmsg_next(message, &size))
			event(monitor, message);
		if (ferror(stdout))	/* nobody reads any more */
			return EXIT_OK;
	}
}

static const struct param params[] = { SELECTOR_PARAMS(struct selector,) };

static int run(struct words *words, bool sessions, bool signals)
{
	static struct monitor monitor;
	uint32_t given = params_take(words, params, COUNT(params), &monitor.selector);
	int ret = selector_init(&monitor.selector, given);

	if (!ret)
		ret = genl_open(&monitor.requests);
	if (!ret)
		ret = genl_open(&monitor.events);
	if (!ret && sessions)
		ret = genl_dump(&monitor.requests, JVPN_CMD_SESSION_GET, 0, mark_seen, &monitor);
	if (!ret && sessions)
		ret = genl_join(&monitor.events, monitor.events.session_group);
	if (!ret && signals)
		ret = genl_join(&monitor.events, monitor.events.signal_group);
	return ret ? ret : listen_for(&monitor);
}

static int run_session(struct words *words)
{
	return run(words, true, false);
}

static int run_path(struct words *words)
{
	return run(words, false, true);
}

static int run_all(struct words *words)
{
	return run(words, true, true);
}

static const struct command commands[] = {
	{ { "session", NULL }, run_session, SELECTOR_USAGE },
	{ { "path", NULL }, run_path, "[ dev NAME ] [ id HEX ]" },
	{ { "all", NULL }, run_all, SELECTOR_USAGE },
};

const struct object monitor_object = {
	{ "monitor", "m" }, "events as they happen",
	commands, COUNT(commands), &commands[2],
};
