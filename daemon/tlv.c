// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "../uapi/wire.h"
#include "tlv.h"

enum { INNER4_LEN = 5, INNER6_LEN = 17, GW_ADDR_LEN = 18, PSK_ID_LEN = 16 };

struct writer {
	uint8_t *out;
	size_t at, size;
	bool full;
};

/* One option, its value in two parts. Once the buffer is full nothing more is written. */
static void put(struct writer *w, uint8_t type, const void *head, size_t head_len,
		const void *tail, size_t tail_len)
{
	size_t len = head_len + tail_len;

	w->full = w->full || w->size - w->at < 2 + len;
	if (w->full)
		return;
	w->out[w->at] = type;
	w->out[w->at + 1] = len;
	memcpy(w->out + w->at + 2, head, head_len);
	if (tail_len)
		memcpy(w->out + w->at + 2 + head_len, tail, tail_len);
	w->at += 2 + len;
}

static void put_gateway(struct writer *w, const struct jv_gateway_addr *gw)
{
	const uint8_t port[2] = { gw->port & 0xff, gw->port >> 8 };

	put(w, JVPN_TLV_GW_ADDR, gw->addr, sizeof(gw->addr), port, sizeof(port));
}

int jv_tlv_put(const struct jv_options *opt, uint8_t *out, size_t size)
{
	struct writer w = { .out = out, .size = size };

	if (opt->has4)
		put(&w, JVPN_TLV_INNER4, opt->inner4, sizeof(opt->inner4), &opt->plen4, 1);
	if (opt->has6)
		put(&w, JVPN_TLV_INNER6, opt->inner6, sizeof(opt->inner6), &opt->plen6, 1);
	for (unsigned int i = 0; i < opt->gateways; i++)
		put_gateway(&w, &opt->gateway[i]);
	if (opt->has_psk_id)
		put(&w, JVPN_TLV_PSK_ID, opt->psk_id, sizeof(opt->psk_id), NULL, 0);
	return w.full ? -1 : (int)w.at;
}

static bool get_inner4(struct jv_options *opt, const uint8_t *v, uint8_t len)
{
	if (len != INNER4_LEN || opt->has4 || v[4] > 32)
		return false;
	opt->has4 = true;
	memcpy(opt->inner4, v, 4);
	opt->plen4 = v[4];
	return true;
}

static bool get_inner6(struct jv_options *opt, const uint8_t *v, uint8_t len)
{
	if (len != INNER6_LEN || opt->has6 || v[16] > 128)
		return false;
	opt->has6 = true;
	memcpy(opt->inner6, v, 16);
	opt->plen6 = v[16];
	return true;
}

static bool get_gateway(struct jv_options *opt, const uint8_t *v, uint8_t len)
{
	struct jv_gateway_addr *gw;

	if (len != GW_ADDR_LEN)
		return false;
	if (opt->gateways == JV_GATEWAYS_MAX)
		return true;
	gw = &opt->gateway[opt->gateways++];
	memcpy(gw->addr, v, 16);
	gw->port = v[16] | v[17] << 8;
	return true;
}

static bool get_psk_id(struct jv_options *opt, const uint8_t *v, uint8_t len)
{
	if (len != PSK_ID_LEN || opt->has_psk_id)
		return false;
	opt->has_psk_id = true;
	memcpy(opt->psk_id, v, PSK_ID_LEN);
	return true;
}

static bool get_one(struct jv_options *opt, uint8_t type, const uint8_t *v, uint8_t len)
{
	switch (type & ~JVPN_TLV_CRITICAL) {
	case JVPN_TLV_INNER4:
		return get_inner4(opt, v, len);
	case JVPN_TLV_INNER6:
		return get_inner6(opt, v, len);
	case JVPN_TLV_GW_ADDR:
		return get_gateway(opt, v, len);
	case JVPN_TLV_PSK_ID:
		return get_psk_id(opt, v, len);
	}
	if (type & JVPN_TLV_CRITICAL)
		opt->unknown_critical = true;
	return true;
}

enum jv_reason jv_tlv_get(struct jv_options *opt, const uint8_t *in, size_t len)
{
	memset(opt, 0, sizeof(*opt));
	while (len) {
		if (len < 2 || len - 2 < in[1])
			return JV_REASON_MALFORMED;
		if (!get_one(opt, in[0], in + 2, in[1]))
			return JV_REASON_MALFORMED;
		len -= 2u + in[1];
		in += 2u + in[1];
	}
	return JV_REASON_NONE;
}
