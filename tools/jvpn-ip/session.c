// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <string.h>

#include "../../daemon/names.h"
#include "audit.h"
#include "control.h"
#include "objects.h"
#include "out.h"
#include "selector.h"
#include "session.h"

const char *session_id(const struct session *session, char buf[SID_TEXT])
{
	return out_hex(session->sid, SID_BRIEF, buf);
}

/* --- JSON --- */

static void put_device(json_t *object, const struct paths *paths, uint32_t ifindex, uint64_t path)
{
	char device[IF_NAMESIZE];

	if (strcmp(paths_device(paths, ifindex, path, device), "-"))
		json_put_text(object, "dev", device);
}

static json_t *binding_json(const struct session *session, const struct paths *paths,
			    const json_t *facts)
{
	const struct binding *binding = &session->binding;
	json_t *object = json_object();

	json_put_number(object, "path", binding->path);
	if (*json_text(facts, "transport", ""))
		json_put_text(object, "name", json_text(facts, "transport", ""));
	put_device(object, paths, session->ifindex, binding->path);
	json_put_endpoint(object, "remote", "remote_port", &binding->remote);
	json_object_set_new(object, "confirmed", json_boolean(binding->confirmed));
	if (HAS(binding, JVPN_BINDING_A_AGE_MS))
		json_put_number(object, "age_ms", binding->age_ms);
	return object;
}

static json_t *candidate_json(const struct session *session, const struct candidate *candidate,
			      const struct paths *paths)
{
	json_t *object = json_object();

	json_put_number(object, "path", candidate->path);
	put_device(object, paths, session->ifindex, candidate->path);
	json_put_endpoint(object, "remote", "remote_port", &candidate->remote);
	json_put_text(object, "state", path_state_name(candidate->state));
	if (candidate->srtt_us) {
		json_put_number(object, "rtt_us", candidate->srtt_us);
		json_put_number(object, "rttvar_us", candidate->rttvar_us);
	}
	json_put_number(object, "loss_permille", candidate->loss_permille);
	json_put_number(object, "probes", candidate->probes);
	json_put_number(object, "acks", candidate->acks);
	if (HAS(candidate, JVPN_CANDIDATE_A_LAST_RX_MS))
		json_put_number(object, "last_rx_ms", candidate->last_rx_ms);
	if (HAS(candidate, JVPN_CANDIDATE_A_COOKIE_MS))
		json_put_number(object, "cookie_age_ms", candidate->cookie_ms);
	return object;
}

static json_t *epoch_json(const struct epoch *epoch)
{
	json_t *object = json_object();

	json_put_hex(object, "rx_cid", epoch->rx_cid, sizeof(epoch->rx_cid));
	json_put_hex(object, "tx_cid", epoch->tx_cid, sizeof(epoch->tx_cid));
	json_put_number(object, "term", epoch->term);
	json_put_number(object, "bver", epoch->bver);
	json_object_set_new(object, "transmit", json_boolean(epoch->transmit));
	json_object_set_new(object, "confirmed", json_boolean(epoch->confirmed));
	json_put_number(object, "tx_counter", epoch->tx_counter);
	json_put_number(object, "rx_highest", epoch->rx_highest);
	json_put_number(object, "rx_packets", epoch->rx_packets);
	json_put_number(object, "age_ms", epoch->age_ms);
	return object;
}

static json_t *traffic_json(uint64_t packets, uint64_t bytes)
{
	json_t *object = json_object();

	json_put_number(object, "packets", packets);
	json_put_number(object, "bytes", bytes);
	return object;
}

static json_t *transition_json(const struct session *session)
{
	json_t *object = json_object();

	if (session->reason)	/* none: it is as it was created */
		json_put_word(object, "from", jv_state_name(session->previous));
	json_put_word(object, "to", jv_state_name(session->state));
	json_put_word(object, "reason", jv_reason_name(session->reason));
	json_put_word(object, "detail", jv_detail_name(session->detail));
	if (HAS(session, JVPN_SESSION_A_CHANGED_MS))
		json_put_number(object, "age_ms", session->changed_ms);
	return object;
}

static json_t *drops_json(const uint64_t drop[JVPN_DROP_MAX])
{
	json_t *object = json_object();

	for (size_t i = 0; i < JVPN_DROP_MAX; i++) {
		char name[FIGURE_TEXT];

		if (drop[i])
			json_put_number(object, out_lower(jv_drop_name(i), name), drop[i]);
	}
	return object;
}

/* What only the daemon knows. */
static void put_facts(json_t *object, const json_t *facts)
{
	static const char *const keys[] = { "policy", "recovery_left_ms", "transport_lost_ms" };
	json_t *switches;

	for (size_t i = 0; i < COUNT(keys); i++)
		json_take(object, facts, keys[i]);
	if (!json_object_get(facts, "switches_max"))
		return;
	switches = json_object();
	json_object_set(switches, "used", json_object_get(facts, "switches_used"));
	json_object_set(switches, "max", json_object_get(facts, "switches_max"));
	json_object_set(switches, "cooldown_left_ms", json_object_get(facts, "cooldown_left_ms"));
	json_object_set_new(object, "switches", switches);
}

json_t *session_json(const struct session *session, const struct paths *paths,
		     const json_t *facts)
{
	json_t *object = json_object(), *list;
	char name[IF_NAMESIZE], text[ADDRESS_TEXT];

	json_put_hex(object, "id", session->sid, sizeof(session->sid));
	json_put_text(object, "ifname", device_name(session->ifindex, name));
	json_put_number(object, "ifindex", session->ifindex);
	json_put_text(object, "peer", session->label);
	json_put_text(object, "role", role_name(session->role));
	json_put_word(object, "state", jv_state_name(session->state));
	json_put_number(object, "version", session->state_version);
	json_put_number(object, "term", session->term);
	json_put_number(object, "bver", session->bver);
	json_put_number(object, "bver_seen", session->bver_seen);
	list = json_array();
	for (size_t i = 0; i < session->prefixes; i++)
		json_array_append_new(list, json_string(prefix_format(&session->prefix[i], text)));
	json_object_set_new(object, "inner", list);
	if (HAS(&session->binding, JVPN_BINDING_A_PATH))
		json_object_set_new(object, "transport", binding_json(session, paths, facts));
	json_object_set_new(object, "last_transition", transition_json(session));
	list = json_array();
	for (size_t i = 0; i < session->candidates; i++)
		json_array_append_new(list, candidate_json(session, &session->candidate[i], paths));
	json_object_set_new(object, "candidates", list);
	list = json_array();
	for (size_t i = 0; i < session->epochs; i++)
		json_array_append_new(list, epoch_json(&session->epoch[i]));
	json_object_set_new(object, "keys", list);
	json_object_set_new(object, "rx", traffic_json(session->rx_packets, session->rx_bytes));
	json_object_set_new(object, "tx", traffic_json(session->tx_packets, session->tx_bytes));
	json_object_set_new(object, "drops", drops_json(session->drop));
	list = json_array();
	for (size_t i = 0; i < session->switches; i++)
		json_array_append_new(list, json_integer(session->switched_ms[i]));
	json_object_set_new(object, "switched_at_ms", list);
	json_put_number(object, "age_ms", session->age_ms);
	if (HAS(session, JVPN_SESSION_A_LAST_RX_MS))
		json_put_number(object, "last_rx_ms", session->last_rx_ms);
	if (HAS(session, JVPN_SESSION_A_LAST_TX_MS))
		json_put_number(object, "last_tx_ms", session->last_tx_ms);
	put_facts(object, facts);
	return object;
}

/* --- text --- */

static void print_prefixes(const struct session *session)
{
	char text[ADDRESS_TEXT];

	for (size_t i = 0; i < session->prefixes; i++)
		printf(" %s", prefix_format(&session->prefix[i], text));
	if (!session->prefixes)
		printf(" -");
}

static void print_binding(const struct session *session, const struct paths *paths,
			  const json_t *facts)
{
	const struct binding *binding = &session->binding;
	char remote[ADDRESS_TEXT], device[IF_NAMESIZE], age[FIGURE_TEXT];

	printf("%s    transport", out_break());
	if (!HAS(binding, JVPN_BINDING_A_PATH)) {
		printf(" none");
		return;
	}
	printf(" %s path %" PRIu64 " dev %s remote %s%s since %s",
	       json_text(facts, "transport", "-"), binding->path,
	       paths_device(paths, session->ifindex, binding->path, device),
	       endpoint_format(&binding->remote, remote),
	       binding->confirmed ? "" : " unconfirmed", out_time(binding->age_ms, age));
}

static void print_facts(const json_t *facts)
{
	const json_t *left = json_object_get(facts, "recovery_left_ms");
	char text[FIGURE_TEXT];

	printf(" switches %" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT " cooldown %s",
	       json_integer_value(json_object_get(facts, "switches_used")),
	       json_integer_value(json_object_get(facts, "switches_max")),
	       out_time(json_integer_value(json_object_get(facts, "cooldown_left_ms")), text));
	if (json_is_integer(left))
		printf(" recovery-left %s", out_time(json_integer_value(left), text));
}

static void print_candidate(const struct session *session, const struct candidate *candidate,
			    const struct paths *paths)
{
	char remote[ADDRESS_TEXT], device[IF_NAMESIZE], age[FIGURE_TEXT];

	printf("%s    candidate path %" PRIu64 " dev %s remote %s %s", out_break(),
	       candidate->path, paths_device(paths, session->ifindex, candidate->path, device),
	       endpoint_format(&candidate->remote, remote), path_state_name(candidate->state));
	if (candidate->srtt_us)
		printf(" rtt %" PRIu64 ".%" PRIu64 "ms", candidate->srtt_us / 1000,
		       candidate->srtt_us % 1000 / 100);
	printf(" loss %" PRIu64 ".%" PRIu64 "%% probes %" PRIu64 "/%" PRIu64,
	       candidate->loss_permille / 10, candidate->loss_permille % 10,
	       candidate->acks, candidate->probes);
	if (HAS(candidate, JVPN_CANDIDATE_A_COOKIE_MS))
		printf(" cookie %s old", out_time(candidate->cookie_ms, age));
}

static void print_epoch(const struct epoch *epoch)
{
	char rx[2 * CID_LEN + 1], tx[2 * CID_LEN + 1], age[FIGURE_TEXT];

	printf("%s    key rx %s tx %s from %" PRIu64 ":%" PRIu64 "%s%s sent %" PRIu64
	       " received %" PRIu64 " age %s", out_break(),
	       out_hex(epoch->rx_cid, CID_LEN, rx), out_hex(epoch->tx_cid, CID_LEN, tx),
	       epoch->term, epoch->bver, epoch->transmit ? " transmit" : "",
	       epoch->confirmed ? " confirmed" : "", epoch->tx_counter, epoch->rx_packets,
	       out_time(epoch->age_ms, age));
}

static void print_counters(const struct session *session)
{
	char name[FIGURE_TEXT];
	bool any = false;

	printf("%s    RX: bytes %" PRIu64 " packets %" PRIu64 "%s    TX: bytes %" PRIu64
	       " packets %" PRIu64, out_break(), session->rx_bytes, session->rx_packets,
	       out_break(), session->tx_bytes, session->tx_packets);
	printf("%s    drops:", out_break());
	for (size_t i = 0; i < JVPN_DROP_MAX; i++) {
		if (!session->drop[i])
			continue;
		printf(" %s %" PRIu64, out_lower(jv_drop_name(i), name), session->drop[i]);
		any = true;
	}
	if (!any)
		printf(" none");
}

static void print_session(const struct session *session, const struct paths *paths,
			  const json_t *facts)
{
	char id[SID_TEXT], name[IF_NAMESIZE], age[FIGURE_TEXT];

	printf("%s: <%s> dev %s peer %s role %s version %" PRIu64 " binding %" PRIu64 ":%" PRIu64
	       " up %s", session_id(session, id), jv_state_name(session->state),
	       device_name(session->ifindex, name), *session->label ? session->label : "-",
	       role_name(session->role), session->state_version, session->term, session->bver,
	       out_time(session->age_ms, age));
	printf("%s    inner", out_break());
	print_prefixes(session);
	if (*json_text(facts, "policy", ""))
		printf("   policy %s", json_text(facts, "policy", ""));
	print_binding(session, paths, facts);
	printf("%s    last reason %s detail %s %s ago", out_break(),
	       jv_reason_name(session->reason), jv_detail_name(session->detail),
	       out_time(session->changed_ms, age));
	if (facts)
		print_facts(facts);
	for (size_t i = 0; opt.details && i < session->candidates; i++)
		print_candidate(session, &session->candidate[i], paths);
	for (size_t i = 0; opt.details && i < session->epochs; i++)
		print_epoch(&session->epoch[i]);
	if (opt.stats)
		print_counters(session);
	putchar('\n');
}

static const char *const headings[] = {
	"ID", "STATE", "PEER", "INNER", "REMOTE", "ON", "VERSION", "UP",
};

static void print_brief(struct libscols_table *table, const struct session *session,
			const struct paths *paths, const json_t *facts)
{
	char id[SID_TEXT], text[ADDRESS_TEXT], device[IF_NAMESIZE], age[FIGURE_TEXT];
	bool bound = HAS(&session->binding, JVPN_BINDING_A_PATH);
	struct libscols_line *line = out_line(table);

	out_cell(line, 0, "%s", session_id(session, id));
	out_cell(line, 1, "%s", jv_state_name(session->state));
	out_cell(line, 2, "%s", *session->label ? session->label : "-");
	out_cell(line, 3, "%s", session->prefixes ? prefix_format(&session->prefix[0], text) : "-");
	out_cell(line, 4, "%s", bound ? endpoint_format(&session->binding.remote, text) : "-");
	out_cell(line, 5, "%s", !bound ? "-" : json_text(facts, "transport",
		 paths_device(paths, session->ifindex, session->binding.path, device)));
	out_cell(line, 6, "v%" PRIu64, session->state_version);
	out_cell(line, 7, "%s", out_time(session->age_ms, age));
}

/* --- reads --- */

/* A walk over the sessions of the kernel, completed by the daemon's facts. */
struct show {
	struct selector selector;
	struct genl genl;
	struct paths paths;
	json_t *facts;			/* by the id as people see it */
	struct libscols_table *table;
	struct session *only;		/* where to keep the one that fits */
	size_t fit;
};

static void show_session(const struct nlmsghdr *message, void *context)
{
	struct show *show = context;
	struct session session;
	char id[SID_TEXT];
	json_t *facts;

	if (!session_decode(message, &session))
		return;
	facts = json_object_get(show->facts, session_id(&session, id));
	if (!selector_fits(&show->selector, &session, &show->paths,
			   json_string_value(json_object_get(facts, "transport"))))
		return;
	show->fit++;
	if (show->only)
		*show->only = session;
	else if (opt.json)
		out_object(session_json(&session, &show->paths, facts));
	else if (show->table)
		print_brief(show->table, &session, &show->paths, facts);
	else
		print_session(&session, &show->paths, facts);
}

/* The daemon's sessions, by id. */
static json_t *facts_load(const struct selector *selector)
{
	char id[2 * SID_LEN + 1];
	json_t *by_id = json_object(), *call = json_object(), *reply, *session;
	size_t i;

	if (selector->given & SELECT_ID)
		json_put_text(call, "id", out_hex(selector->id.bytes, selector->id.digits / 2, id));
	reply = control_facts("SessionShow", call);
	json_array_foreach(json_object_get(reply, "sessions"), i, session) {
		snprintf(id, SID_TEXT, "%s", json_text(session, "id", ""));
		json_object_set(by_id, id, session);
	}
	json_decref(reply);
	return by_id;
}

static int show_all(struct show *show)
{
	int ret = genl_open(&show->genl);

	if (ret)
		return ret;
	ret = paths_load(&show->paths, &show->genl);
	if (!ret) {
		show->facts = facts_load(&show->selector);
		ret = genl_dump(&show->genl, JVPN_CMD_SESSION_GET, show->selector.ifindex,
				show_session, show);
		json_decref(show->facts);
	}
	paths_free(&show->paths);
	genl_close(&show->genl);
	return ret;
}

static int no_such_session(void)
{
	return fail(EXIT_NOT_FOUND, "jvpn: there is no such session.");
}

/* The one session that fits, or why not. */
static int find_one(const struct selector *selector, struct session *session)
{
	struct show show = { .selector = *selector, .only = session };
	int ret = show_all(&show);

	if (ret || show.fit == 1)
		return ret;
	if (!show.fit)
		return no_such_session();
	return fail(EXIT_SYNTAX, "jvpn: %zu sessions fit: name one with \"id HEX\".", show.fit);
}

static const struct param show_params[] = { SELECTOR_PARAMS(struct selector,) };

static int show_selected(struct words *words, bool needed)
{
	struct show show = { .only = NULL };
	uint32_t given = params_take(words, show_params, COUNT(show_params), &show.selector);
	int ret = selector_init(&show.selector, given);

	if (ret)
		return ret;
	if (opt.brief && !opt.json)
		show.table = out_table(headings, COUNT(headings));
	ret = show_all(&show);
	if (show.table)
		out_table_end(show.table);
	if (!ret && !show.fit && (needed || given & SELECT_ID))
		return no_such_session();
	return ret;
}

static int run_show(struct words *words)
{
	return show_selected(words, false);
}

static int run_get(struct words *words)
{
	if (!words_left(words))
		words_take(words, "a session", SELECTOR_USAGE);
	return show_selected(words, true);
}

/* --- writes --- */

struct write_args {
	struct selector selector;
	const char *transport, *reason;
	uint64_t if_version;
};

enum { IF_VERSION = SELECT_COUNT, REASON, TRANSPORT };

static const struct param write_params[] = {
	SELECTOR_PARAMS(struct write_args, selector.),
	[IF_VERSION] = PARAM_NUMBER("if-version", struct write_args, if_version, 0, INT64_MAX),
	[REASON] = PARAM("reason", value_text, struct write_args, reason),
	[TRANSPORT] = PARAM("transport", value_word, struct write_args, transport),
};

/*
 * The words of a write, and the parameters of the call that it becomes. A
 * session named by its id is the daemon's to find; only other words need the
 * kernel's list.
 */
static int write_begin(struct words *words, size_t count, uint32_t needed, json_t **call)
{
	struct write_args args = { 0 };
	uint32_t given = params_take(words, write_params, count, &args);
	struct session session;
	char id[2 * SID_LEN + 1];
	int ret;

	if (!(given & SELECT_ALL))
		words_take(words, "a session", SELECTOR_USAGE);
	params_need(words, write_params, count, given, needed);
	ret = selector_init(&args.selector, given);
	if (ret)
		return ret;
	if ((given & SELECT_ALL) == SELECT_ID) {
		out_hex(args.selector.id.bytes, args.selector.id.digits / 2, id);
	} else {
		ret = find_one(&args.selector, &session);
		if (ret)
			return ret;
		out_hex(session.sid, sizeof(session.sid), id);
	}
	*call = json_pack("{s:s}", "id", id);
	if (given & 1 << IF_VERSION)
		json_put_number(*call, "if_version", args.if_version);
	if (given & 1 << REASON)
		json_put_text(*call, "reason", args.reason);
	if (given & 1 << TRANSPORT)
		json_put_text(*call, "transport", args.transport);
	return EXIT_OK;
}

/* Shows the versions afterwards, to who wants JSON. */
static int run_versioned(const char *method, struct words *words, size_t count, uint32_t needed)
{
	json_t *call, *reply;
	int ret = write_begin(words, count, needed, &call);

	if (ret)
		return ret;
	ret = control_call(method, call, &reply);
	if (ret)
		return ret;
	if (opt.json)
		out_object(reply);
	else
		json_decref(reply);
	return EXIT_OK;
}

static int run_switch(struct words *words)
{
	return run_versioned("SessionSwitch", words, COUNT(write_params), 1 << TRANSPORT);
}

static int run_rekey(struct words *words)
{
	return run_versioned("SessionRekey", words, TRANSPORT, 0);
}

static int run_reattach(struct words *words)
{
	return run_versioned("SessionReattach", words, TRANSPORT, 0);
}

static int run_terminate(struct words *words)
{
	json_t *call;
	int ret = write_begin(words, TRANSPORT, 0, &call);

	return ret ? ret : control_call("SessionTerminate", call, NULL);
}

/* The emergency: keys are wiped now, the peer hears nothing, the daemon afterwards. */
static int run_del(struct words *words)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct selector selector = { 0 };
	uint32_t given = params_take(words, show_params, COUNT(show_params), &selector);
	struct netlink_error error;
	struct nlmsghdr *message;
	struct session session;
	struct nlattr *nest;
	struct genl genl;
	int ret;

	if (!given)
		words_take(words, "a session", SELECTOR_USAGE);
	if (!opt.kernel_only)
		wrong("del", "it goes past jvpnd, which needs \"jvpn-ip -K\"", "terminate");
	ret = selector_init(&selector, given);
	if (!ret)
		ret = find_one(&selector, &session);
	if (!ret)
		ret = genl_open(&genl);
	if (ret)
		return ret;
	message = genl_message(&genl, buf, JVPN_CMD_SESSION_DEL, 0, session.ifindex);
	nest = mnl_attr_nest_start(message, JVPN_A_SESSION);
	mnl_attr_put(message, JVPN_SESSION_A_SID, sizeof(session.sid), session.sid);
	mnl_attr_nest_end(message, nest);
	if (netlink_talk(&genl.netlink, message, NULL, NULL, &error))
		ret = netlink_fail(&error, "session");
	genl_close(&genl);
	return ret;
}

#define WRITE_USAGE " [ if-version N ] [ reason TEXT ]"

struct history_args {
	struct sid id;
	uint64_t last;
};

enum { HISTORY_ID, HISTORY_LAST };

static const struct param history_params[] = {
	[HISTORY_ID] = PARAM("id", value_sid, struct history_args, id),
	[HISTORY_LAST] = PARAM_NUMBER("last", struct history_args, last, 1, 1000000),
};

static int run_history(struct words *words)
{
	struct history_args args = { .last = 16 };
	uint32_t given = params_take(words, history_params, COUNT(history_params), &args);

	params_need(words, history_params, COUNT(history_params), given, 1 << HISTORY_ID);
	return audit_history(&args.id, args.last);
}

static const struct command commands[] = {
	{ { "show", "s" }, run_show, SELECTOR_USAGE },
	{ { "get", NULL }, run_get, SELECTOR_USAGE },
	{ { "switch", NULL }, run_switch, SELECTOR_USAGE " transport NAME" WRITE_USAGE },
	{ { "rekey", NULL }, run_rekey, SELECTOR_USAGE WRITE_USAGE },
	{ { "reattach", NULL }, run_reattach, SELECTOR_USAGE WRITE_USAGE },
	{ { "terminate", NULL }, run_terminate, SELECTOR_USAGE WRITE_USAGE },
	{ { "history", NULL }, run_history, "id HEX [ last N ]" },
	{ { "del", NULL }, run_del, SELECTOR_USAGE "   (only with -K)" },
};

const struct object session_object = {
	{ "session", "s" }, "sessions, and the transport each of them is on",
	commands, COUNT(commands), &commands[0],
};
