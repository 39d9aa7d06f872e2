// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <string.h>

#include "../../daemon/names.h"
#include "object.h"
#include "objects.h"
#include "out.h"
#include "transport.h"

struct stats_args {
	const char *dev;
};

static const struct param params[] = { PARAM("dev", value_device, struct stats_args, dev) };

struct show {
	uint32_t ifindex;
	struct libscols_table *table;
	void (*show)(const struct show *show, const struct device *device);
};

static void show_device(const struct nlmsghdr *message, void *context)
{
	const struct show *show = context;
	struct device device;

	if (device_decode(message, &device) &&
	    (!show->ifindex || show->ifindex == device.ifindex))
		show->show(show, &device);
}

static int show_devices(struct words *words, struct show *show, const char *const *headings,
			size_t count)
{
	struct stats_args args = { 0 };
	struct genl genl;
	int ret;

	params_take(words, params, COUNT(params), &args);
	ret = device_index(args.dev, &show->ifindex);
	if (ret)
		return ret;
	ret = genl_open(&genl);
	if (ret)
		return ret;
	if (!opt.json)
		show->table = out_table(headings, count);
	ret = genl_dump(&genl, JVPN_CMD_DEV_GET, 0, show_device, show);
	if (show->table)
		out_table_end(show->table);
	genl_close(&genl);
	return ret;
}

static json_t *traffic_json(uint64_t packets, uint64_t bytes)
{
	return json_pack("{s:I, s:I}", "packets", (json_int_t)packets, "bytes", (json_int_t)bytes);
}

static json_t *device_json(const struct device *device)
{
	json_t *object = json_object();
	char name[IF_NAMESIZE];

	json_put_text(object, "ifname", device_name(device->ifindex, name));
	json_put_number(object, "sessions", device->sessions);
	json_put_number(object, "epochs", device->epochs);
	json_object_set_new(object, "rx", traffic_json(device->rx_packets, device->rx_bytes));
	json_object_set_new(object, "tx", traffic_json(device->tx_packets, device->tx_bytes));
	json_put_number(object, "retries", device->retries);
	json_put_number(object, "upcalls", device->upcalls);
	return object;
}

static uint64_t all_drops(const struct device *device)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < JVPN_DROP_MAX; i++)
		sum += device->drop[i];
	return sum;
}

static void show_totals(const struct show *show, const struct device *device)
{
	struct libscols_line *line;
	char name[IF_NAMESIZE];

	if (opt.json) {
		json_t *object = device_json(device);

		json_put_number(object, "drops", all_drops(device));
		out_object(object);
		return;
	}
	line = out_line(show->table);
	out_cell(line, 0, "%s", device_name(device->ifindex, name));
	out_cell(line, 1, "%" PRIu64, device->sessions);
	out_cell(line, 2, "%" PRIu64, device->rx_packets);
	out_cell(line, 3, "%" PRIu64, device->rx_bytes);
	out_cell(line, 4, "%" PRIu64, device->tx_packets);
	out_cell(line, 5, "%" PRIu64, device->tx_bytes);
	out_cell(line, 6, "%" PRIu64, all_drops(device));
	out_cell(line, 7, "%" PRIu64, device->retries);
	out_cell(line, 8, "%" PRIu64, device->upcalls);
}

static int run_show(struct words *words)
{
	static const char *const headings[] = {
		"DEVICE", "SESSIONS", "RX-PACKETS", "RX-BYTES", "TX-PACKETS", "TX-BYTES", "DROPS",
		"RETRIES", "UPCALLS",
	};
	struct show show = { .show = show_totals };

	return show_devices(words, &show, headings, COUNT(headings));
}

/* JSON has every reason, so that its keys are always the same; text those that occurred. */
static void show_drops(const struct show *show, const struct device *device)
{
#define DROP_ROW(number, reason, text) { number, #reason, text },
	static const struct {
		unsigned int number;
		const char *reason, *meaning;
	} rows[] = { JVPN_DROPS(DROP_ROW) };
	char name[IF_NAMESIZE], reason[FIGURE_TEXT];
	json_t *drops = json_object();

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t count = device->drop[rows[i].number];
		struct libscols_line *line;

		json_put_number(drops, out_lower(rows[i].reason, reason), count);
		if (opt.json || (!count && !opt.details))
			continue;
		line = out_line(show->table);
		out_cell(line, 0, "%s", device_name(device->ifindex, name));
		out_cell(line, 1, "%s", reason);
		out_cell(line, 2, "%" PRIu64, count);
		out_cell(line, 3, "%s", rows[i].meaning);
	}
	if (opt.json)
		out_object(json_pack("{s:s, s:O}", "ifname", device_name(device->ifindex, name),
				     "drops", drops));
	json_decref(drops);
}

static int run_drops(struct words *words)
{
	static const char *const headings[] = { "DEVICE", "REASON", "TOTAL", "MEANING" };
	struct show show = { .show = show_drops };

	return show_devices(words, &show, headings, COUNT(headings));
}

static const struct command commands[] = {
	{ { "show", NULL }, run_show, "[ dev DEVICE ]" },
	{ { "drops", NULL }, run_drops, "[ dev DEVICE ]" },
};

const struct object stats_object = {
	{ "stats", "st" }, "counters of the devices, and why packets were dropped",
	commands, COUNT(commands), &commands[0],
};
