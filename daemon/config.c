// SPDX-License-Identifier: GPL-2.0
/*
 * Three passes. Every text is scanned for what libconfuse 3.3 gets wrong: it counts
 * the lines of comments twice and takes the end of the file for any brace that is
 * missing. libconfuse then parses it into what it has of the texts before; every
 * value is tried where it stands. Last, the sections are read out and put together
 * in a node that nothing hangs on: the rules between them are the node's own.
 */
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "grammar.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

struct text {
	struct text *next;
	char *file;
	bool told;
	char *data;			/* comments blanked */
	size_t len;
	int *opened;			/* by line on which a section ends: where it starts */
	int lines;
};

/* One reading. libconfuse hands no argument to those it calls: there is one at a time. */
struct reading {
	FILE *complaints;
	struct text *texts, **last;
	cfg_t *cfg;
	struct jv_config *config;
};

static struct reading *reading;

__attribute__((format(printf, 3, 4)))
static int complain(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(reading->complaints, line ? "%s:%d: " : "%s: ", file, line);
	va_start(ap, fmt);
	vfprintf(reading->complaints, fmt, ap);
	va_end(ap);
	fputc('\n', reading->complaints);
	return -1;
}

/* --- first pass --- */

struct scan {
	char *p;
	int line, depth, opened;
};

static char *skip_line(char *p)
{
	while (*p && *p != '\n')
		*p++ = ' ';
	return p;
}

static int skip_comment(const struct text *text, struct scan *s)
{
	int start = s->line;

	while (strncmp(s->p, "*/", 2)) {
		if (!*s->p)
			return complain(text->file, start, "this comment is not closed");
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
		s->p++;
	}
	memset(s->p, ' ', 2);
	s->p += 2;
	return 0;
}

static int skip_string(const struct text *text, struct scan *s)
{
	int start = s->line;
	char quote = *s->p++;

	for (; *s->p != quote; s->p++) {
		if (*s->p == '\\' && s->p[1])
			s->p++;
		if (!*s->p)
			return complain(text->file, start, "this string is not closed");
		s->line += *s->p == '\n';
	}
	s->p++;
	return 0;
}

static int brace(const struct text *text, struct scan *s)
{
	if (*s->p++ == '{') {
		if (!s->depth++)
			s->opened = s->line;
		return 0;
	}
	if (!s->depth--)
		return complain(text->file, s->line, "this closing brace closes nothing");
	if (!s->depth)
		text->opened[s->line] = s->opened;
	return 0;
}

static int scan(const struct text *text)
{
	struct scan s = { text->data, 1, 0, 0 };
	int ret = 0;

	while (*s.p && !ret) {
		if (*s.p == '"' || *s.p == '\'')
			ret = skip_string(text, &s);
		else if (*s.p == '#' || !strncmp(s.p, "//", 2))
			s.p = skip_line(s.p);
		else if (!strncmp(s.p, "/*", 2))
			ret = skip_comment(text, &s);
		else if (*s.p == '{' || *s.p == '}')
			ret = brace(text, &s);
		else
			s.line += *s.p++ == '\n';
	}
	if (!ret && s.depth)
		ret = complain(text->file, s.opened, "this section is not closed");
	return ret;
}

static int slurp(struct text *text)
{
	int fd = open(text->file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 || fstat(fd, &st)) {
		complain(text->file, 0, "cannot be read: %s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		complain(text->file, 0, "is not a file of at most %d bytes", FILE_MAX);
		goto out;
	}
	text->data = calloc(1, st.st_size + 2);
	n = text->data ? read(fd, text->data, st.st_size) : -1;
	if (n < 0) {
		complain(text->file, 0, "cannot be read: %s", strerror(errno));
		goto out;
	}
	/* Never empty: fmemopen(3) may refuse that. */
	if (text->told)
		crypto_generichash(reading->config->told_hash, 32, (uint8_t *)text->data, n, NULL, 0);
	text->data[n] = '\n';
	text->len = n + 1;
	if (memchr(text->data, '\0', n)) {
		n = complain(text->file, 0, "holds a zero byte: a text is needed");
		goto out;
	}
	text->lines = 1;
	for (size_t i = 0; i < text->len; i++)
		text->lines += text->data[i] == '\n';
	text->opened = calloc(text->lines + 1, sizeof(*text->opened));
	if (!text->opened)
		n = complain(text->file, 0, "out of memory");
out:
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* --- second pass: libconfuse calls back --- */

union any {
	struct jv_config_daemon daemon;
	struct jv_config_log log;
	struct jv_config_link link;
	struct jv_config_peer peer;
	struct jv_config_transport transport;
};

/* libconfuse lets a later assignment replace an earlier one: a flag that it does not use tells. */
static int try_once(cfg_t *cfg, cfg_opt_t *opt)
{
	const cfg_flag_t taken = 1 << 24;

	if (opt->flags & taken && opt->nvalues == 1) {
		cfg_error(cfg, "%s is given twice in this section", opt->name);
		return -1;
	}
	opt->flags |= taken;
	return 0;
}

static int try_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct jv_setting *setting = jv_setting_find(cfg->name, opt->name);
	char why[JV_WHY] = "";
	union any scratch;
	int ret;

	if (try_once(cfg, opt))
		return -1;
	ret = jv_setting_read(setting, text, &scratch, why);
	sodium_memzero(&scratch, sizeof(scratch));
	if (!ret && opt->nvalues > setting->max) {
		snprintf(why, sizeof(why), "%s: \"%s\" is one too many, %u are allowed", opt->name,
			 text, setting->max);
		ret = -1;
	}
	if (ret) {
		cfg_error(cfg, "%s", why);
		return -1;
	}
	*(const char **)result = text;
	return 0;
}

static int try_knob(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct jv_policy policy;
	char why[JV_WHY];

	if (try_once(cfg, opt))
		return -1;
	jv_policy_init(&policy);
	if (jv_policy_set(&policy, opt->name, text, why, sizeof(why))) {
		cfg_error(cfg, "%s", why);
		return -1;
	}
	*(const char **)result = text;
	return 0;
}

static void list_options(const cfg_t *cfg)
{
	for (const cfg_opt_t *opt = cfg->opts; opt->name; opt++)
		if (strcmp(opt->name, "__unknown"))
			fprintf(reading->complaints, "%s%s", opt == cfg->opts ? "" : ", ",
				opt->name);
}

/* Where libconfuse says only what is wrong, say what is allowed. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	bool root = !strcmp(cfg->name, "root");
	FILE *out = reading->complaints;

	fprintf(out, "%s:%d: ", cfg->filename, cfg->line);
	if (!strcmp(fmt, "no such option '%s'")) {
		fprintf(out, "%s \"%s\" is not allowed%s%s, these are: ",
			root ? "section" : "option", va_arg(ap, const char *),
			root ? "" : " in section ", root ? "" : cfg->name);
		list_options(cfg);
	} else if (!strcmp(fmt, "found duplicate title '%s'")) {
		fprintf(out, "a second section of this kind with the name \"%s\" is not "
			"allowed, names are unique", va_arg(ap, const char *));
	} else {
		vfprintf(out, fmt, ap);
	}
	fputc('\n', out);
}

static void section_options(const struct jv_section *section, cfg_opt_t *opts)
{
	size_t n = 0;

	for (size_t i = 0; i < section->n; i++) {
		const struct jv_setting *setting = &section->settings[i];

		if (setting->max == 1)
			opts[n++] = (cfg_opt_t)CFG_STR_CB(setting->name, NULL, CFGF_NODEFAULT,
							  try_value);
		else
			opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(setting->name, NULL,
							       CFGF_NODEFAULT, try_value);
	}
	for (size_t i = 0; !section->settings && i < jv_knobs_count; i++)
		opts[n++] = (cfg_opt_t)CFG_STR_CB(jv_knobs[i].name, NULL, CFGF_NODEFAULT,
						  try_knob);
	opts[n] = (cfg_opt_t)CFG_END();
}

static int begin_parse(void)
{
	/* libconfuse copies the options. */
	cfg_opt_t opts[JV_SECTIONS][40], root[JV_SECTIONS + 1];

	for (size_t i = 0; i < JV_SECTIONS; i++) {
		cfg_flag_t flags = CFGF_MULTI;

		if (jv_sections[i].titled)
			flags |= CFGF_TITLE | CFGF_NO_TITLE_DUPES;
		section_options(&jv_sections[i], opts[i]);
		root[i] = (cfg_opt_t)CFG_SEC(jv_sections[i].name, opts[i], flags);
	}
	root[JV_SECTIONS] = (cfg_opt_t)CFG_END();
	reading->cfg = cfg_init(root, CFGF_NONE);
	if (!reading->cfg)
		return -1;
	cfg_set_error_function(reading->cfg, on_error);
	return 0;
}

static int parse(const struct text *text)
{
	FILE *in = fmemopen(text->data, text->len, "r");
	int ret;

	if (!in)
		return complain(text->file, 0, "out of memory");
	free(reading->cfg->filename);
	reading->cfg->filename = strdup(text->file);
	ret = cfg_parse_fp(reading->cfg, in);
	fclose(in);
	return ret == CFG_SUCCESS ? 0 : -1;
}

/* --- third pass --- */

static const struct text *text_of(const cfg_t *from)
{
	const struct text *text = reading->texts;

	while (strcmp(text->file, from->filename))
		text = text->next;
	return text;
}

/* Where a section starts: libconfuse knows where it ends. */
static int line_of(const cfg_t *from)
{
	return text_of(from)->opened[from->line];
}

#define complain_at(from, ...) complain((from)->filename, line_of(from), __VA_ARGS__)

static int no_memory(void)
{
	return complain("configuration", 0, "out of memory");
}

/* All values of a section into its entry. A key file that changed meanwhile is an error, too. */
static int read_section(const struct jv_section *section, cfg_t *from, void *entry)
{
	char why[JV_WHY];

	for (size_t i = 0; i < section->n; i++) {
		const struct jv_setting *setting = &section->settings[i];
		unsigned int *count = setting->count ? (void *)((char *)entry + setting->count)
						     : NULL;

		for (unsigned int j = 0; j < cfg_size(from, setting->name); j++) {
			const char *value = cfg_getnstr(from, setting->name, j);
			char *out = (char *)entry + setting->offset + j * setting->size;

			if (!value)
				continue;
			if (jv_setting_read(setting, value, out, why))
				return complain_at(from, "%s", why);
			if (count)
				*count = j + 1;
		}
	}
	return 0;
}

static int read_knobs(cfg_t *from, struct jv_policy *policy)
{
	char why[JV_WHY];

	jv_policy_init(policy);
	for (size_t i = 0; i < jv_knobs_count; i++) {
		const char *value = cfg_getstr(from, jv_knobs[i].name);

		if (value && jv_policy_set(policy, jv_knobs[i].name, value, why, sizeof(why)))
			return complain_at(from, "%s", why);
	}
	return 0;
}

/* The one section of its kind. */
static int read_single(const char *name, void *entry)
{
	cfg_t *cfg = reading->cfg;

	if (cfg_size(cfg, name) > 1)
		return complain_at(cfg_getnsec(cfg, name, 1),
				   "a second section \"%s\" is not allowed", name);
	return cfg_size(cfg, name) ? read_section(jv_section_find(name),
						  cfg_getnsec(cfg, name, 0), entry) : 0;
}

static int read_title(cfg_t *from, struct jv_config_title *title)
{
	if (strlen(cfg_title(from)) > JV_NAME_MAX)
		return complain_at(from, "name \"%s\" is too long: %d characters are allowed",
				   cfg_title(from), JV_NAME_MAX);
	strcpy(title->name, cfg_title(from));
	title->told = text_of(from)->told;
	if (asprintf(&title->place, "%s:%d", from->filename, line_of(from)) >= 0)
		return 0;
	title->place = NULL;
	return no_memory();
}

/* All sections of one kind. */
static int read_titled(const char *name, size_t size, void **entries, size_t *n)
{
	const struct jv_section *section = jv_section_find(name);

	*n = cfg_size(reading->cfg, name);
	*entries = calloc(*n ? *n : 1, size);
	if (!*entries)
		return no_memory();
	for (size_t i = 0; i < *n; i++) {
		cfg_t *from = cfg_getnsec(reading->cfg, name, i);
		void *entry = (char *)*entries + i * size;

		if (read_title(from, entry) || read_section(section, from, entry))
			return -1;
	}
	return 0;
}

/* With one interface there is no need to name it. */
static int default_link(cfg_t *from, char link[IFNAMSIZ])
{
	const struct jv_config *config = reading->config;

	if (*link)
		return 0;
	if (config->links != 1)
		return complain_at(from, "interface is missing: with %zu interfaces the file must "
				   "say which", config->links);
	if (strlen(config->link[0].name) < IFNAMSIZ)
		strcpy(link, config->link[0].name);
	return 0;
}

static int read_policies(struct jv_config *config)
{
	for (size_t i = 0; i < config->policies; i++)
		if (read_knobs(cfg_getnsec(reading->cfg, "policy", i), &config->policy[i].policy))
			return -1;
	return 0;
}

static int read_transports(struct jv_config *config)
{
	for (size_t i = 0; i < config->transports; i++) {
		struct jv_config_transport *t = &config->transport[i];

		if (default_link(cfg_getnsec(reading->cfg, "transport", i), t->link))
			return -1;
		if (!t->preferred)
			t->preference = JV_DEFAULT_PREFERENCE;
	}
	return 0;
}

static int read_peers(struct jv_config *config)
{
	for (size_t i = 0; i < config->peers; i++) {
		cfg_t *from = cfg_getnsec(reading->cfg, "peer", i);

		if (default_link(from, config->peer[i].link))
			return -1;
		if (!config->peer[i].keyed)
			return complain_at(from, "public-key is missing, it takes a key: 44 "
					   "characters of base64");
	}
	return 0;
}

static int read_sections(struct jv_config *config)
{
	if (read_single("log", &config->log) ||
	    read_titled("interface", sizeof(*config->link),
			(void **)&config->link, &config->links) ||
	    read_titled("peer", sizeof(*config->peer),
			(void **)&config->peer, &config->peers) ||
	    read_titled("transport", sizeof(*config->transport),
			(void **)&config->transport, &config->transports) ||
	    read_titled("policy", sizeof(*config->policy),
			(void **)&config->policy, &config->policies))
		return -1;
	if (read_policies(config) || read_transports(config))
		return -1;
	return read_peers(config);
}

/* One entry of @whole as a configuration of its own. */
static struct jv_config part(const struct jv_config *whole, const char *kind, size_t i)
{
	struct jv_config one = { 0 };

	if (!strcmp(kind, "policy"))
		one = (struct jv_config){ .policies = 1, .policy = &whole->policy[i] };
	else if (!strcmp(kind, "interface"))
		one = (struct jv_config){ .links = 1, .link = &whole->link[i] };
	else if (!strcmp(kind, "transport"))
		one = (struct jv_config){ .transports = 1, .transport = &whole->transport[i] };
	else
		one = (struct jv_config){ .peers = 1, .peer = &whole->peer[i] };
	return one;
}

/* Put it together where nothing hangs on it, section by section to know which one is wrong. */
static int rehearse(const struct jv_config *config)
{
	static const char *const order[] = { "policy", "interface", "transport", "peer" };
	struct jv_node *node = jv_node_new(NULL, NULL, NULL);
	struct jv_error err;
	int ret = node ? 0 : no_memory();

	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]) && !ret; k++) {
		for (size_t i = 0; i < cfg_size(reading->cfg, order[k]) && !ret; i++) {
			struct jv_config one = part(config, order[k], i);

			if (jv_apply(node, &one, &err))
				ret = complain_at(cfg_getnsec(reading->cfg, order[k], i), "%s",
						  err.text);
		}
	}
	jv_node_free(node);
	return ret;
}

/* --- which texts --- */

static int read_text(const char *file, bool told)
{
	struct text *text = calloc(1, sizeof(*text));

	if (!text)
		return no_memory();
	*reading->last = text;
	reading->last = &text->next;
	text->told = told;
	text->file = strdup(file);
	if (!text->file)
		return no_memory();
	return slurp(text) || scan(text) || parse(text) ? -1 : 0;
}

/* FILE's directory, conf.d, *.conf; glob(3) sorts them. */
static int read_drop_ins(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *pattern;
	glob_t found;
	int ret;

	if (asprintf(&pattern, "%.*sconf.d/*.conf", slash ? (int)(slash - file + 1) : 0, file) < 0)
		return no_memory();
	ret = glob(pattern, 0, NULL, &found);
	free(pattern);
	if (ret)
		return ret == GLOB_NOMATCH ? 0 : no_memory();
	for (size_t i = 0; i < found.gl_pathc && !ret; i++)
		ret = read_text(found.gl_pathv[i], false);
	globfree(&found);
	return ret;
}

/* The state directory may be the file's to name, so this comes last. */
static int read_told(const struct jv_config_source *source)
{
	const char *dir = reading->config->daemon.state_dir;
	char *file;
	int ret;

	if (source->state_dir)
		dir = source->state_dir;
	else if (!*dir)
		dir = JV_DEFAULT_STATE;
	if (asprintf(&file, "%s/" JV_TOLD, dir) < 0)
		return no_memory();
	ret = access(file, F_OK) ? 0 : read_text(file, true);
	free(file);
	return ret;
}

static int read_all(const struct jv_config_source *source)
{
	int ret = begin_parse() ? no_memory() : 0;

	if (!ret && source->file && !(source->optional && access(source->file, F_OK)))
		ret = read_text(source->file, false);
	if (!ret && source->file)
		ret = read_drop_ins(source->file);
	if (!ret)
		ret = read_single("daemon", &reading->config->daemon);
	if (!ret && source->told)
		ret = read_told(source);
	if (!ret)
		ret = read_sections(reading->config);
	return ret ? ret : rehearse(reading->config);
}

static void end_reading(void)
{
	struct text *text;

	if (reading->cfg)
		cfg_free(reading->cfg);
	while ((text = reading->texts)) {
		reading->texts = text->next;
		free(text->file);
		free(text->data);
		free(text->opened);
		free(text);
	}
	reading = NULL;
}

struct jv_config *jv_config_load(const struct jv_config_source *source, FILE *complaints)
{
	struct reading r = { .complaints = complaints, .last = &r.texts };
	int ret;

	reading = &r;
	r.config = calloc(1, sizeof(*r.config));
	ret = r.config ? read_all(source) : no_memory();
	end_reading();
	if (!ret)
		return r.config;
	jv_config_free(r.config);
	return NULL;
}

static void free_titled(void *entries, size_t n, size_t size)
{
	for (size_t i = 0; entries && i < n; i++)
		free(((struct jv_config_title *)((char *)entries + i * size))->place);
	if (entries)
		sodium_memzero(entries, n * size);
	free(entries);
}

void jv_config_free(struct jv_config *config)
{
	if (!config)
		return;
	free_titled(config->link, config->links, sizeof(*config->link));
	free_titled(config->peer, config->peers, sizeof(*config->peer));
	free_titled(config->transport, config->transports, sizeof(*config->transport));
	free_titled(config->policy, config->policies, sizeof(*config->policy));
	free(config);
}
