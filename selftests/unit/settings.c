// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration as a whole: what is written parses again and says the same, what
 * runs becomes what the files say or stays as it is, and what jvpn-ip was told is
 * kept, but never a key, never over somebody's edit, and not on a full disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sodium.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "unit.h"

#include "apply.h"
#include "rtnl.h"
#include "settings.h"
#include "udp.h"

enum { DEVICE = 7 };

/* --- the system, as far as a link asks for it --- */

static char asked[4096];		/* of the system and the sessions' side, in order */
static const char *refuse;		/* what it says no to */

static int ask(const char *what, const char *name, struct jv_error *err)
{
	size_t used = strlen(asked);

	snprintf(asked + used, sizeof(asked) - used, "%s %s;", what, name);
	if (!refuse || strcmp(refuse, what))
		return 0;
	return jv_error_set(err, EIO, "%s refused", what);
}

static struct jv_iface device = { .ifindex = DEVICE, .kind = "jvpn" };

const struct jv_iface *jv_rtnl_by_name(const struct jv_rtnl *rtnl, const char *name)
{
	snprintf(device.name, sizeof(device.name), "%s", name);
	return &device;
}

const struct jv_iface *jv_rtnl_refresh(struct jv_rtnl *rtnl, const char *name)
{
	return NULL;
}

int jv_rtnl_create(struct jv_rtnl *rtnl, const char *name, int *ifindex, struct jv_error *err)
{
	return -ENOSYS;
}

int jv_rtnl_up(struct jv_rtnl *rtnl, int ifindex, struct jv_error *err)
{
	return 0;
}

int jv_rtnl_mtu(struct jv_rtnl *rtnl, int ifindex, uint32_t mtu, struct jv_error *err)
{
	return ask("mtu", "", err);
}

int jv_rtnl_addr_add(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	char text[JV_PREFIX_TEXT];

	return ask("addr+", jv_prefix_format(addr, text), err);
}

int jv_rtnl_addr_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	char text[JV_PREFIX_TEXT];

	return ask("addr-", jv_prefix_format(addr, text), err);
}

void jv_rtnl_undo(struct jv_rtnl *rtnl, int ifindex, bool all)
{
}

int jv_udp_check(const struct jv_udp_options *options, struct jv_error *err)
{
	return 0;
}

/* --- the sessions' side --- */

static int link_up(void *arg, struct jv_link *link, struct jv_error *err)
{
	return ask("link+", link->name, err);
}

static void link_down(void *arg, struct jv_link *link, bool gone)
{
	ask("link-", link->name, NULL);
}

static int peer_up(void *arg, struct jv_peer *peer, struct jv_error *err)
{
	return ask("peer+", peer->name, err);
}

static void peer_down(void *arg, struct jv_peer *peer)
{
	ask("peer-", peer->name, NULL);
}

static int transport_up(void *arg, struct jv_transport *t, struct jv_error *err)
{
	return ask("transport+", t->name, err);
}

static void transport_down(void *arg, struct jv_transport *t)
{
	ask("transport-", t->name, NULL);
}

static void policy_changed(void *arg, const struct jv_named_policy *policy)
{
	ask("policy", policy->name, NULL);
}

static const struct jv_node_ops ops = {
	.link_up = link_up, .link_down = link_down,
	.peer_up = peer_up, .peer_down = peer_down,
	.transport_up = transport_up, .transport_down = transport_down,
	.policy_changed = policy_changed,
};

/* --- a daemon's worth of it --- */

#define KEY_A "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY_B "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="

#define PRIVATE "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU="

#define FILE_TEXT \
	"daemon { node-id = n1 }\n" \
	"policy fast { switch-cooldown = 500ms recovery-window = 4s }\n" \
	"interface jvpn0 { private-key = \"file:%s/key\" listen = \"192.0.2.1:51820\"\n" \
	"	addresses = { \"10.0.0.1/24\" } }\n" \
	"peer phone { public-key = \"" KEY_A "\" allowed-ips = 10.0.0.2/32 policy = fast }\n" \
	"peer pad { public-key = \"" KEY_B "\" allowed-ips = 10.0.0.3/32 }\n" \
	"transport wifi { match = \"wl*\" }\n"

FIXTURE(settings)
{
	char dir[64], file[96], told[96], said[4096];
	struct jv_loop *loop;
	struct jv_node *node;
	struct jv_config *config;
	struct jv_settings *settings;
	struct jv_config_source source;
	struct jv_error err;
};

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static char *read_file(const char *path, char buf[4096])
{
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? 0 : read(fd, buf, 4095);

	buf[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return buf;
}

#define configure(self, extra) configure_text(self, FILE_TEXT extra)
static void configure_text(FIXTURE_DATA(settings) *self, const char *format)
{
	char text[4096];

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof(text), format, self->dir);
	write_file(self->file, text, 0644);
}

static struct jv_config *load(FIXTURE_DATA(settings) *self)
{
	FILE *out = fmemopen(self->said, sizeof(self->said), "w");
	struct jv_config *config;

	self->said[0] = '\0';
	config = jv_config_load(&self->source, out);
	fclose(out);
	return config;
}

/* The end of the line that the file's own name begins is of interest. */
static int reload(FIXTURE_DATA(settings) *self)
{
	FILE *out = fmemopen(self->said, sizeof(self->said), "w");
	int ret;

	self->said[0] = asked[0] = '\0';
	ret = jv_settings_reload(self->settings, out);
	fclose(out);
	return ret;
}

static void write_files(FIXTURE_DATA(settings) *self)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/key", self->dir);
	write_file(path, PRIVATE "\n", 0600);
	configure(self, "");
}

static void start(FIXTURE_DATA(settings) *self)
{
	struct jv_config effective = *self->config;

	strcpy(effective.daemon.state_dir, self->dir);
	self->settings = jv_settings_new(self->loop, self->node, &self->source, self->config,
					 &effective, &self->err);
	if (self->settings && jv_settings_start(self->settings, &self->err))
		abort();
}

FIXTURE_SETUP(settings)
{
	ASSERT_LE(0, sodium_init());
	refuse = NULL;
	strcpy(self->dir, "/tmp/jvpn-settings-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->file, sizeof(self->file), "%s/jvpnd.conf", self->dir);
	snprintf(self->told, sizeof(self->told), "%s/" JV_TOLD, self->dir);
	write_files(self);
	self->source = (struct jv_config_source){
		.file = self->file, .told = true, .state_dir = self->dir,
	};
	self->loop = jv_loop_new();
	self->node = jv_node_new(&ops, NULL, (struct jv_rtnl *)self);
	self->config = load(self);
	ASSERT_NE(NULL, self->config) TH_LOG("%s", self->said);
	ASSERT_EQ(0, jv_apply(self->node, self->config, &self->err)) TH_LOG("%s", self->err.text);
	start(self);
	ASSERT_NE(NULL, self->settings) TH_LOG("%s", self->err.text);
}

FIXTURE_TEARDOWN(settings)
{
	char command[128];

	jv_settings_free(self->settings, 1000);
	jv_node_free(self->node);
	jv_config_free(self->config);
	jv_loop_free(self->loop);
	snprintf(command, sizeof(command), "rm -rf %s", self->dir);
	if (system(command))
		abort();
}

static char kept_why[512];
static int kept_calls;

static void on_kept(void *arg, const char *why)
{
	kept_calls++;
	snprintf(kept_why, sizeof(kept_why), "%s", why ? why : "");
}

/* One turn: the loop's first member is sd-event's. */
static void turn(const struct jv_loop *loop)
{
	if (sd_event_run(*(sd_event *const *)loop, 10000000) <= 0)
		abort();
}

/* As the loop would: until what was told is kept, or why not. */
static const char *save(FIXTURE_DATA(settings) *self)
{
	kept_calls = 0;
	jv_settings_save(self->settings, on_kept, NULL);
	while (!kept_calls)
		turn(self->loop);
	return kept_why;
}

static void add_peer(FIXTURE_DATA(settings) *self, const char *name, uint8_t key_byte,
		     const uint8_t *psk, const char *psk_file)
{
	uint8_t key[32];
	struct jv_prefix prefix = { .family = AF_INET, .len = 32, .addr = { 10, 1, 0, key_byte } };
	struct jv_peer_spec spec = {
		.name = name, .public_key = key, .prefixes = 1, .prefix = &prefix,
		.psk = psk, .psk_file = psk_file,
	};

	memset(key, key_byte, sizeof(key));
	if (jv_node_peer_add(self->node, "jvpn0", &spec, &self->err))
		fprintf(stderr, "# %s\n", self->err.text);
}

/* --- text --- */

TEST_F(settings, what_is_written_parses_again)
{
	struct jv_transport_spec odd = { .name = "odd", .match = "w\"\\${HOME}'#*", .preference = 0 };
	char *text, again[4096], path[96];
	struct jv_config *config;
	FILE *out;

	ASSERT_EQ(0, jv_node_transport_add(self->node, "jvpn0", &odd, &self->err));
	text = jv_settings_text(self->settings);
	ASSERT_NE(NULL, text);
	EXPECT_EQ(NULL, strstr(text, PRIVATE));
	snprintf(path, sizeof(path), "%s/shown", self->dir);
	write_file(path, text, 0600);
	self->source = (struct jv_config_source){ .file = path };
	config = load(self);
	ASSERT_NE(NULL, config) TH_LOG("%s\n%s", self->said, text);
	for (size_t i = 0; i < config->transports; i++)
		if (!strcmp(config->transport[i].name, "odd"))
			EXPECT_STREQ(odd.match, config->transport[i].match);
	ASSERT_EQ(2, config->transports);
	EXPECT_EQ(0, config->transport[1].preference);
	EXPECT_EQ(0, memcmp(self->config->link[0].private_key.key,
			    config->link[0].private_key.key, 32));
	EXPECT_EQ(0, memcmp(&self->config->policy[0].policy, &config->policy[0].policy,
			    sizeof(config->policy[0].policy)));
	/* Places are other ones; without them it is the same text. */
	out = fmemopen(again, sizeof(again), "w");
	for (size_t i = 0; i < config->links; i++)
		config->link[i].told = true;
	jv_config_write(config, out);
	fclose(out);
	EXPECT_NE(NULL, strstr(again, "addresses = { \"10.0.0.1/24\" }"));
	jv_config_free(config);
	free(text);
}

/* --- the whole --- */

TEST_F(settings, the_same_again_touches_nothing)
{
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("addr+ 10.0.0.1/24;", asked);
}

TEST_F(settings, only_what_changed_is_touched)
{
	configure(self, "transport lte { metered = true }\n"
		  "peer watch { public-key = \"AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\" "
		  "allowed-ips = 10.0.0.4/32 }\n");
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("addr+ 10.0.0.1/24;transport+ lte;peer+ watch;", asked);
	configure(self, "");
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("addr+ 10.0.0.1/24;peer- watch;transport- lte;", asked);
	EXPECT_EQ(NULL, jv_node_peer(self->node, "watch"));
}

TEST_F(settings, addresses_and_policies_change_live)
{
	configure_text(self,
		"daemon { node-id = n1 }\npolicy fast { switch-cooldown = 700ms recovery-window = 4s }\n"
		"interface jvpn0 { private-key = \"file:%s/key\" listen = \"192.0.2.1:51820\"\n"
		"	addresses = { \"10.0.0.9/24\" } mtu = 1300 }\n"
		"peer phone { public-key = \"" KEY_A "\" allowed-ips = 10.0.0.2/32 policy = fast }\n"
		"peer pad { public-key = \"" KEY_B "\" allowed-ips = 10.0.0.3/32 }\n"
		"transport wifi { match = \"wl*\" }\n");
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("policy fast;mtu ;addr+ 10.0.0.9/24;addr- 10.0.0.1/24;", asked);
	EXPECT_EQ(700, jv_node_policy(self->node, "fast")->policy.switch_cooldown);
	EXPECT_EQ(1300, jv_node_link(self->node, "jvpn0")->mtu);
}

TEST_F(settings, what_cannot_change_live)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{ "daemon { node-id = n2 }\ninterface jvpn0 { private-key = \"file:%s/key\" "
		  "listen = \"192.0.2.1:51820\" }\n",
		  "node-id cannot change while jvpnd runs: restart it\n" },
		{ "daemon { node-id = n1 }\n\ninterface jvpn0 { private-key = \"file:%s/key\" "
		  "listen = \"192.0.2.1:1\" }\n",
		  ":3: interface jvpn0: listen cannot change while it runs, its sessions would end: "
		  "restart jvpnd\n" },
		{ "daemon { node-id = n1 }\ninterface jvpn0 { private-key = \"file:%s/key\" fwmark = 9 "
		  "listen = \"192.0.2.1:51820\" }\n",
		  ":2: interface jvpn0: fwmark cannot change while it runs, its sessions would end: "
		  "restart jvpnd\n" },
		{ "daemon { node-id = n1 }\ninterface jvpn0 { # %s\n listen = \"192.0.2.1:51820\" }\n",
		  ":2: interface jvpn0: private-key cannot change while it runs, its sessions would end: "
		  "restart jvpnd\n" },
	};
	char *before = jv_settings_text(self->settings), *after;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		configure_text(self, cases[i].text);
		EXPECT_EQ(-1, reload(self));
		EXPECT_NE(NULL, strstr(self->said, cases[i].sentence)) TH_LOG("%s", self->said);
		EXPECT_STREQ("", asked);
	}
	after = jv_settings_text(self->settings);
	EXPECT_STREQ(before, after);
	free(before);
	free(after);
}

TEST_F(settings, a_wrong_file_changes_nothing)
{
	configure(self, "transport lte { metred = true }\n");
	EXPECT_EQ(-1, reload(self));
	EXPECT_NE(NULL, strstr(self->said, "/jvpnd.conf:8: option \"metred\" is not allowed"))
		TH_LOG("%s", self->said);
	EXPECT_STREQ("", asked);
}

/* Whatever the system refuses: all is as it was. */
TEST_F(settings, a_refusal_on_the_way_is_taken_back)
{
	static const char *const refusals[] = { "addr+", "mtu", "transport+", "peer+" };
	char *before = jv_settings_text(self->settings), *after;

	configure_text(self,
		"daemon { node-id = n1 }\npolicy fast { switch-cooldown = 700ms recovery-window = 4s }\n"
		"interface jvpn0 { private-key = \"file:%s/key\" listen = \"192.0.2.1:51820\"\n"
		"	addresses = { \"10.0.0.9/24\" } mtu = 1300 }\n"
		"peer phone { public-key = \"" KEY_B "\" allowed-ips = 10.0.0.2/32 policy = fast }\n"
		"transport lte { }\n");
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct jv_link *link = jv_node_link(self->node, "jvpn0");

		refuse = refusals[i];
		EXPECT_EQ(-1, reload(self));
		EXPECT_NE(NULL, strstr(self->said, "refused")) TH_LOG("%s", self->said);
		refuse = NULL;
		/* What was refused on the way back as well is missing, and comes with the next try. */
		if (!jv_node_peer(self->node, "pad"))
			jv_apply_whole(self->node, self->config, &self->err);
		after = jv_settings_text(self->settings);
		EXPECT_EQ(0, link->mtu);
		EXPECT_EQ(1, link->addresses);
		EXPECT_EQ(500, jv_node_policy(self->node, "fast")->policy.switch_cooldown);
		if (strcmp(refusals[i], "peer+") && strcmp(refusals[i], "transport+"))
			EXPECT_STREQ(before, after) TH_LOG("after %s", refusals[i]);
		free(after);
	}
	free(before);
}

TEST_F(settings, a_blocked_transport)
{
	struct jv_transport *t = jv_node_transport(self->node, "wifi");

	asked[0] = '\0';
	ASSERT_EQ(0, jv_node_transport_block(self->node, self->loop, "wifi", JV_NEVER, &self->err));
	EXPECT_STREQ("transport- wifi;", asked);
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("addr+ 10.0.0.1/24;", asked);
	ASSERT_EQ(0, jv_node_transport_block(self->node, self->loop, "wifi", 0, &self->err));
	EXPECT_STREQ("addr+ 10.0.0.1/24;transport+ wifi;", asked);
	/* For a time: it comes back by itself. */
	asked[0] = '\0';
	ASSERT_EQ(0, jv_node_transport_block(self->node, self->loop, "wifi", jv_now_ms() + 20,
					     &self->err));
	while (t->blocked_until_ms)
		turn(self->loop);
	EXPECT_STREQ("transport- wifi;transport+ wifi;", asked);
	EXPECT_EQ(-ENOENT, jv_node_transport_block(self->node, self->loop, "x", 1, &self->err));
}

/* --- what was told --- */

TEST_F(settings, what_was_told_is_there_again)
{
	struct jv_config *config;
	char text[4096];

	add_peer(self, "new", 9, NULL, NULL);
	ASSERT_EQ(0, jv_node_policy_set(self->node, "mobile", "max-switches", "3", &self->err));
	EXPECT_STREQ("", save(self));
	read_file(self->told, text);
	EXPECT_NE(NULL, strstr(text, "peer \"new\"")) TH_LOG("%s", text);
	EXPECT_EQ(NULL, strstr(text, "phone"));
	config = load(self);
	ASSERT_NE(NULL, config) TH_LOG("%s", self->said);
	ASSERT_EQ(3, config->peers);
	EXPECT_STREQ("new", config->peer[2].name);
	EXPECT_TRUE(config->peer[2].told);
	jv_config_free(config);
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_STREQ("addr+ 10.0.0.1/24;", asked);
	EXPECT_EQ(3, jv_node_policy(self->node, "mobile")->policy.max_switches);
	/* Taken back, it is not there any more, and the profile is its own again. */
	ASSERT_EQ(0, jv_node_peer_del(self->node, "new", &self->err));
	EXPECT_STREQ("", save(self));
	EXPECT_EQ(NULL, strstr(read_file(self->told, text), "new\""));
	write_file(self->told, "", 0600);
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_NE(3, jv_node_policy(self->node, "mobile")->policy.max_switches);
}

TEST_F(settings, keys_are_never_copied)
{
	uint8_t psk[32];
	char text[4096], base64[JV_KEY_TEXT], path[96];
	struct stat st;

	memset(psk, 0x5a, sizeof(psk));
	snprintf(path, sizeof(path), "%s/psk", self->dir);
	write_file(path, jv_key_format(psk, base64), 0600);
	add_peer(self, "from-stdin", 8, psk, NULL);
	add_peer(self, "from-file", 9, psk, path);
	EXPECT_STREQ("", save(self));
	read_file(self->told, text);
	EXPECT_EQ(NULL, strstr(text, base64));
	EXPECT_EQ(NULL, strstr(text, "from-stdin"));
	EXPECT_NE(NULL, strstr(text, path));
	ASSERT_EQ(0, stat(self->told, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
}

TEST_F(settings, an_edit_is_not_written_over)
{
	const char *edit = "transport usb { }\n";
	char text[4096];

	add_peer(self, "one", 8, NULL, NULL);
	EXPECT_STREQ("", save(self));
	write_file(self->told, edit, 0600);
	add_peer(self, "two", 9, NULL, NULL);
	EXPECT_NE(NULL, strstr(save(self), "was edited meanwhile"));
	EXPECT_NE(NULL, jv_settings_trouble(self->settings));
	EXPECT_STREQ(edit, read_file(self->told, text));
	EXPECT_EQ(0, reload(self)) TH_LOG("%s", self->said);
	EXPECT_NE(NULL, jv_node_transport(self->node, "usb"));
	EXPECT_EQ(NULL, jv_node_peer(self->node, "two"));
	EXPECT_EQ(NULL, jv_settings_trouble(self->settings));
	EXPECT_STREQ("", save(self));
}

/* A file and jvpn-ip must not both have it: the sentence names the second. */
TEST_F(settings, names_are_unique_across_files)
{
	add_peer(self, "both", 8, NULL, NULL);
	EXPECT_STREQ("", save(self));
	configure(self, "peer both { public-key = \"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=\" "
		  "allowed-ips = 10.0.0.5/32 }\n");
	EXPECT_EQ(-1, reload(self));
	EXPECT_NE(NULL, strstr(self->said, "/" JV_TOLD ":3: a second section of this kind with the name "
			       "\"both\" is not allowed")) TH_LOG("%s", self->said);
}

TEST_F(settings, a_burst_is_answered_to_everybody)
{
	kept_calls = 0;
	for (int i = 0; i < 50; i++)
		jv_settings_save(self->settings, on_kept, NULL);
	while (kept_calls < 50)
		turn(self->loop);
	EXPECT_EQ(50, kept_calls);
	EXPECT_STREQ("", kept_why);
}

/* Where it says that the disk is full, and nothing is lost by reading anew. */
TEST_F(settings, a_full_disk)
{
	char fill[96], block[4096] = "";
	int fd;

	/* The writer has the namespace of who started it. */
	jv_settings_free(self->settings, 1000);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", self->dir, "tmpfs", 0, "size=64k")) {
		self->settings = NULL;
		SKIP(return, "needs a mount namespace");
	}
	write_files(self);
	start(self);
	add_peer(self, "one", 8, NULL, NULL);
	EXPECT_STREQ("", save(self));
	snprintf(fill, sizeof(fill), "%s/fill", self->dir);
	fd = open(fill, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
	add_peer(self, "two", 9, NULL, NULL);
	EXPECT_NE(NULL, strstr(save(self), "cannot be written: No space left on device"))
		TH_LOG("%s", kept_why);
	EXPECT_EQ(-1, reload(self));
	EXPECT_NE(NULL, strstr(self->said, "No space left on device")) TH_LOG("%s", self->said);
	EXPECT_NE(NULL, jv_node_peer(self->node, "two"));
	unlink(fill);
	EXPECT_STREQ("", save(self));
	EXPECT_EQ(NULL, jv_settings_trouble(self->settings));
	umount2(self->dir, MNT_DETACH);
}

TEST_HARNESS_MAIN
