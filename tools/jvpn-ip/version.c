// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>

#include "control.h"
#include "objects.h"
#include "out.h"

enum { JSON_SCHEMA = 1 };

/* The version of the module that is loaded. False if none is. */
static bool module_version(char *buf, size_t size)
{
	FILE *file = fopen("/sys/module/jvpn/version", "re");
	bool read = file && fgets(buf, size, file);

	if (file)
		fclose(file);
	if (read)
		buf[strcspn(buf, "\n")] = '\0';
	return read;
}

static int run_show(struct words *words)
{
	json_t *object, *status;
	char module[64];
	const char *daemon;

	words_end(words);
	status = control_facts("Status", NULL);
	daemon = json_text(status, "version", NULL);
	object = json_pack("{s:s, s:i}", "version", JVPN_VERSION, "json_schema", JSON_SCHEMA);
	if (module_version(module, sizeof(module)))
		json_put_text(object, "module", module);
	if (daemon)
		json_put_text(object, "daemon", daemon);
	if (!opt.json) {
		printf("jvpn-ip %s module %s daemon %s\n", json_text(object, "version", "-"),
		       json_text(object, "module", "-"), json_text(object, "daemon", "-"));
		json_decref(object);
	} else {
		out_object(object);
	}
	json_decref(status);
	return EXIT_OK;
}

static const struct command commands[] = {
	{ { "show", NULL }, run_show, "" },
};

const struct object version_object = {
	{ "version", "v" }, "versions of tool, module and daemon",
	commands, COUNT(commands), &commands[0],
};
