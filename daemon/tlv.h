/* SPDX-License-Identifier: GPL-2.0 */
/* The options of INIT and INIT_RESP (PROTOCOL.md 3.9). */
#ifndef JV_TLV_H
#define JV_TLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

enum { JV_GATEWAYS_MAX = 4 };

struct jv_gateway_addr {
	uint8_t addr[16];		/* network order, IPv4 mapped */
	uint16_t port;			/* host order */
};

struct jv_options {
	bool has4, has6, has_psk_id;
	bool unknown_critical;		/* decoder: refuse with status POLICY */
	uint8_t plen4, plen6;
	uint8_t inner4[4];
	uint8_t inner6[16];
	uint8_t psk_id[16];
	unsigned int gateways;
	struct jv_gateway_addr gateway[JV_GATEWAYS_MAX];
};

/* Encode into at most @size bytes. Returns the length, or -1 if it does not fit. */
int jv_tlv_put(const struct jv_options *opt, uint8_t *out, size_t size);

/*
 * Decode all @len bytes. Returns JV_REASON_NONE or MALFORMED (cut off, wrong
 * length, given twice, prefix length out of range). Unknown ones are skipped,
 * unknown critical ones set opt->unknown_critical; gateways beyond
 * JV_GATEWAYS_MAX are ignored.
 */
enum jv_reason jv_tlv_get(struct jv_options *opt, const uint8_t *in, size_t len);

#endif /* JV_TLV_H */
