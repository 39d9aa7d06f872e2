// SPDX-License-Identifier: GPL-2.0
/* Order of beginning and end, and nothing else. */
#include <cap-ng.h>
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "apply.h"
#include "audit.h"
#include "config.h"
#include "control.h"
#include "env.h"
#include "kernel.h"
#include "limiter.h"
#include "log.h"
#include "loop.h"
#include "node.h"
#include "refusals.h"
#include "rtnl.h"
#include "settings.h"
#include "shard.h"
#include "store.h"

#define DEFAULT_CONFIG	"/etc/jvpn/jvpnd.conf"
#define DEFAULT_CONTROL "/run/jvpn/control.sock"
#define DEFAULT_AUDIT	"/var/log/jvpn/audit.jsonl"

enum { DRAIN_MS = 2000 };

struct options {
	const char *config, *check, *control, *state_dir, *audit;
	bool check_all;
	int level;			/* -1: as the configuration says */
};

struct daemon {
	struct options options;
	struct jv_config_source source;
	struct jv_config *config, effective;
	struct jv_env env;
	struct jv_store *store;
	struct jv_shard *shard;
	struct jv_control *control;
	char host[JV_NAME_MAX + 1];
};

static const char usage[] =
	"usage: jvpnd [ OPTION ... ]\n"
	"  --config FILE          configuration (" DEFAULT_CONFIG ", if it is there),\n"
	"                         and conf.d/*.conf beside it\n"
	"  --check                check what it would start with and exit: 0 good, 1 not\n"
	"  --check-config FILE    the same for this file and the drop-ins beside it\n"
	"  --control-socket PATH  where jvpn-ip finds us (" DEFAULT_CONTROL ")\n"
	"  --state-dir DIR        what lasts (" JV_DEFAULT_STATE ")\n"
	"  --audit FILE           stream of events (" DEFAULT_AUDIT ")\n"
	"  --log-level LEVEL      err, warn, info (the default) or debug\n"
	"  --foreground           as always\n"
	"  --version, --help\n";

/* --- what main's callees call back --- */

static void on_iface(void *arg, const struct jv_iface *iface, bool gone)
{
	struct daemon *d = arg;

	jv_node_iface(d->env.node, iface, gone);
	jv_shard_iface(d->shard, iface, gone);
}

static void on_kernel_signal(void *arg, const struct jv_signal *signal)
{
	jv_shard_signal(((struct daemon *)arg)->shard, signal);
}

static void on_session_gone(void *arg, int ifindex, const uint8_t sid[JVPN_SID_LEN])
{
	jv_shard_session_gone(((struct daemon *)arg)->shard, ifindex, sid);
}

static void on_resync(void *arg)
{
	jv_shard_resync(((struct daemon *)arg)->shard);
}

static const struct jv_rtnl_ops rtnl_ops = { .iface = on_iface };

static const struct jv_kernel_ops kernel_ops = {
	.signal = on_kernel_signal, .session_gone = on_session_gone, .resync = on_resync,
};

/* --- options --- */

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "check-config", required_argument, NULL, 'C' },
		{ "control-socket", required_argument, NULL, 's' },
		{ "state-dir", required_argument, NULL, 'd' },
		{ "audit", required_argument, NULL, 'a' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		switch (option) {
		case 'c':
			o->config = optarg;
			break;
		case 'k':
			o->check_all = true;
			break;
		case 'C':
			o->check = optarg;
			break;
		case 's':
			o->control = optarg;
			break;
		case 'd':
			o->state_dir = optarg;
			break;
		case 'a':
			o->audit = optarg;
			break;
		case 'l':
			o->level = jv_log_level_parse(optarg);
			if (o->level >= 0)
				break;
			fprintf(stderr, "jvpnd: --log-level: \"%s\" is not allowed, it takes one "
				"of: err, warn, info, debug\n", optarg);
			return -1;
		case 'f':
			break;
		case 'V':
			puts("jvpnd " JVPN_VERSION);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:		/* getopt has said what */
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	fprintf(stderr, "jvpnd: \"%s\" is not allowed: options only, see jvpnd --help\n",
		argv[optind]);
	return -1;
}

static const char *first(const char *a, const char *b, const char *c)
{
	if (a)
		return a;
	return b && *b ? b : c;
}

/* --- what the process may and may not --- */

/* Keys live in this memory: no swap, no core, no debugger but root's. */
static void harden(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY }, none = { 0, 0 };
	int flags = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT;

	/* With a limit left, some later allocation would fail instead. */
	if (setrlimit(RLIMIT_MEMLOCK, &all))
		flags = MCL_CURRENT;
	if (mlockall(flags))
		jv_warn("cannot lock the memory: %s", strerror(errno));
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

static int check_capability(struct jv_error *err)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN) ? 0 :
	       jv_error_set(err, EPERM, "CAP_NET_ADMIN is missing: run it as root");
}

/* Sockets to ports below 1024 that the configuration wants are open by now. */
static int drop_capabilities(struct jv_error *err)
{
	capng_select_t what = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) ?
			      CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS;

	capng_clear(CAPNG_SELECT_BOTH);
	capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
		     CAP_NET_ADMIN);
	if (capng_apply(what) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return jv_error_set(err, EPERM, "cannot give up the capabilities");
	return 0;
}

/* --- beginning --- */

static void choose_source(struct daemon *d)
{
	const struct options *o = &d->options;

	d->source = (struct jv_config_source){
		.file = o->config ? o->config : DEFAULT_CONFIG,
		.optional = !o->config,
		.told = true, .state_dir = o->state_dir,
	};
}

static void copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* What options and defaults make of it. */
static void choose_effective(struct daemon *d)
{
	const struct options *o = &d->options;
	struct jv_config_daemon *e = &d->effective.daemon;
	struct jv_config_log *log = &d->effective.log;

	*e = d->config->daemon;
	*log = d->config->log;
	copy(e->node_id, sizeof(e->node_id), first(NULL, d->config->daemon.node_id, d->host));
	copy(e->control_socket, sizeof(e->control_socket),
	     first(o->control, d->config->daemon.control_socket, DEFAULT_CONTROL));
	copy(e->state_dir, sizeof(e->state_dir),
	     first(o->state_dir, d->config->daemon.state_dir, JV_DEFAULT_STATE));
	copy(log->audit, sizeof(log->audit), first(o->audit, d->config->log.audit, DEFAULT_AUDIT));
	if (o->level >= 0)
		log->level = o->level;
	if (!log->level)
		log->level = JV_LOG_INFO;
	jv_log_set_level(log->level);
}

static int load_config(struct daemon *d)
{
	choose_source(d);
	d->config = jv_config_load(&d->source, stderr);
	if (!d->config)
		return -1;
	choose_effective(d);
	return 0;
}

static int check_config(const struct daemon *d)
{
	struct jv_config_source source = d->source;
	struct jv_config *config;

	if (d->options.check)
		source = (struct jv_config_source){ .file = d->options.check };
	config = jv_config_load(&source, stderr);
	jv_config_free(config);
	return config ? 0 : 1;
}

static int open_audit(struct daemon *d, struct jv_error *err)
{
	struct jv_audit_options options = {
		.path = d->effective.log.audit,
		.node_id = d->effective.daemon.node_id,
		.pseudonym_key = d->effective.log.clear_ids ? NULL :
				 jv_store_pseudonym_key(d->store),
	};

	d->env.audit = jv_audit_open(&options, err);
	return d->env.audit ? 0 : -err->code;
}

static int open_neighbours(struct daemon *d, struct jv_error *err)
{
	int ret;

	d->env.loop = jv_loop_new();
	if (!d->env.loop)
		return jv_error_set(err, errno, "cannot make an event loop: %s",
				    strerror(errno));
	ret = jv_kernel_open(&d->env.kernel, d->env.loop, &kernel_ops, d, err);
	if (!ret)
		ret = jv_rtnl_open(&d->env.rtnl, d->env.loop, &rtnl_ops, d, err);
	return ret;
}

static int open_store(struct daemon *d, struct jv_error *err)
{
	d->store = jv_store_open(d->effective.daemon.state_dir, err);
	if (!d->store)
		return -err->code;
	d->env.store = d->store;
	d->env.term = jv_store_term(d->store);
	if (jv_store_trouble(d->store))
		jv_warn("%s", jv_store_trouble(d->store));
	return open_audit(d, err);
}

static int open_parts(struct daemon *d, struct jv_error *err)
{
	d->env.limiter = jv_limiter_new();
	d->env.refused = jv_refusals_new();
	d->shard = d->env.limiter && d->env.refused ? jv_shard_new(&d->env) : NULL;
	d->env.node = d->shard ? jv_node_new(&jv_shard_node_ops, d->shard, d->env.rtnl) : NULL;
	if (!d->env.node)
		return jv_error_set(err, ENOMEM, "out of memory");
	d->env.settings = jv_settings_new(d->env.loop, d->env.node, &d->source, d->config,
					  &d->effective, err);
	if (!d->env.settings)
		return -err->code;
	d->control = jv_control_open(d->effective.daemon.control_socket,
				     first(NULL, d->effective.daemon.control_group, NULL),
				     &d->env, d->shard, err);
	return d->control ? 0 : -err->code;
}

static void on_hangup(void *arg)
{
	struct daemon *d = arg;
	char *said = NULL;
	size_t size;
	FILE *out = open_memstream(&said, &size);

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)jv_now_ns() / 1000);
	if (out && !jv_settings_reload(d->env.settings, out))
		jv_info("configuration applied");
	if (out)
		fclose(out);
	for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n"))
		jv_err("configuration not applied: %s", line);
	free(said);
	sd_notify(0, "READY=1");
}

static int begin(struct daemon *d, struct jv_error *err)
{
	int ret = check_capability(err);

	if (!ret)
		ret = open_neighbours(d, err);
	if (!ret)
		ret = open_store(d, err);
	if (!ret)
		ret = open_parts(d, err);
	if (!ret)
		ret = jv_apply(d->env.node, d->config, err);
	jv_config_free(d->config);
	d->config = NULL;
	if (!ret)
		ret = drop_capabilities(err);
	/* A thread has the capabilities that its maker had. */
	if (!ret)
		ret = jv_audit_start(d->env.audit, err);
	if (!ret)
		ret = jv_settings_start(d->env.settings, err);
	if (!ret)
		ret = jv_store_start(d->store, d->env.loop, err);
	return ret;
}

static void end(struct daemon *d)
{
	jv_control_close(d->control);
	jv_settings_free(d->env.settings, DRAIN_MS);
	if (d->shard)
		jv_shard_stop(d->shard);
	jv_node_free(d->env.node);
	if (d->shard)
		jv_shard_free(d->shard);
	jv_limiter_free(d->env.limiter);
	jv_refusals_free(d->env.refused);
	jv_rtnl_close(d->env.rtnl);
	jv_kernel_close(d->env.kernel);
	jv_audit_close(d->env.audit, DRAIN_MS);
	jv_store_close(d->store, DRAIN_MS);
	jv_loop_free(d->env.loop);
	jv_config_free(d->config);
}

static int serve(struct daemon *d)
{
	struct jv_error err;
	int code = 1;

	if (begin(d, &err)) {
		jv_err("%s", err.text);
	} else {
		jv_loop_on_hangup(d->env.loop, on_hangup, d);
		jv_info("ready, term %llu", (unsigned long long)d->env.term);
		sd_notify(0, "READY=1");
		code = jv_loop_run(d->env.loop);
		sd_notify(0, "STOPPING=1");
	}
	end(d);
	return code;
}

int main(int argc, char **argv)
{
	static struct daemon d = { .options = { .level = -1 } };

	if (sodium_init() < 0) {
		fprintf(stderr, "jvpnd: libsodium does not work on this machine\n");
		return 1;
	}
	if (parse_options(argc, argv, &d.options))
		return 1;
	if (d.options.check || d.options.check_all) {
		choose_source(&d);
		return check_config(&d);
	}
	gethostname(d.host, sizeof(d.host) - 1);
	harden();
	return load_config(&d) ? 1 : serve(&d);
}
