// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's encoders and decoders behind a pipe: one request per line, a verb
 * and its arguments in hex (numbers in decimal), one line of answer, "name=value ..."
 * or "refused REASON". Driven by wire_cross.py against an independent implementation.
 */
#include <stdio.h>
#include <stdlib.h>

#include "handshake.h"
#include "locator.h"
#include "reattach.h"
#include "switch.h"

enum { ARGS = 32 };

static char *args[ARGS];
static unsigned int count, next;

/* What one run of each exchange has to remember. */
static struct jv_init_sent init_sent;
static struct jv_init_received init_rx;
static struct jv_keypair init_gateway;
static uint8_t init_kid;
static struct jv_reattach_sent re_sent;
static struct jv_reattach_received re_rx;

static const char *text(void)
{
	if (next >= count) {
		fprintf(stderr, "wire_peer: too few arguments for %s\n", args[0]);
		exit(2);
	}
	return args[next++];
}

static uint64_t number(void)
{
	return strtoull(text(), NULL, 10);
}

/* Hex, or "-" for nothing. Returns the length. */
static size_t bytes_upto(uint8_t *out, size_t size)
{
	const char *hex = text();
	size_t n = *hex == '-' ? 0 : strlen(hex) / 2;

	if (n > size)
		exit(2);
	for (size_t i = 0; i < n; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			exit(2);
		out[i] = byte;
	}
	return n;
}

static void bytes(uint8_t *out, size_t size)
{
	if (bytes_upto(out, size) != size) {
		fprintf(stderr, "wire_peer: %s: argument %u: %zu bytes expected\n", args[0],
			next - 1, size);
		exit(2);
	}
}

static void keypair(struct jv_keypair *kp)
{
	uint8_t secret[32];

	bytes(secret, 32);
	jv_keypair_from_secret(kp, secret);
}

static void say(const char *name, const void *data, size_t len)
{
	printf("%s=", name);
	for (size_t i = 0; i < len; i++)
		printf("%02x", ((const uint8_t *)data)[i]);
	printf(" ");
}

static void say_number(const char *name, uint64_t n)
{
	printf("%s=%llu ", name, (unsigned long long)n);
}

static bool refused(enum jv_reason reason)
{
	if (reason)
		printf("refused %s", jv_reason_name(reason));
	return reason;
}

static void say_keys(const struct jv_epoch_keys *keys)
{
	say("c2g", keys->c2g, 32);
	say("g2c", keys->g2c, 32);
	say("sw_c", keys->sw_c, 32);
	say("sw_g", keys->sw_g, 32);
}

static void say_birth(const struct jv_birth *birth)
{
	say("sid", birth->sid, 16);
	say("rs", birth->rs, 32);
	say_keys(&birth->keys);
}

static void options(struct jv_options *opt)
{
	uint8_t v[17];

	memset(opt, 0, sizeof(*opt));
	opt->has4 = bytes_upto(v, 5);
	if (opt->has4) {
		memcpy(opt->inner4, v, 4);
		opt->plen4 = v[4];
	}
	opt->has6 = bytes_upto(v, 17);
	if (opt->has6) {
		memcpy(opt->inner6, v, 16);
		opt->plen6 = v[16];
	}
}

static void say_options(const struct jv_options *opt)
{
	uint8_t v[17];

	if (opt->has4) {
		memcpy(v, opt->inner4, 4);
		v[4] = opt->plen4;
		say("inner4", v, 5);
	}
	if (opt->has6) {
		memcpy(v, opt->inner6, 16);
		v[16] = opt->plen6;
		say("inner6", v, 17);
	}
}

static void init_build(void)
{
	uint8_t gateway_public[32], psk[32], req_id[8], cookie[16], out[512], kid;
	struct jv_init_request request = { 0 };
	struct jv_keypair client, e;

	keypair(&client);
	bytes(gateway_public, 32);
	bytes(psk, 32);
	kid = number();
	bytes(req_id, 8);
	bytes(cookie, 16);
	keypair(&e);
	bytes(request.cid, 8);
	request.aead_mask = number();
	request.path_id = number();
	request.mtu = number();
	options(&request.opt);
	if (jv_init_build(&init_sent, out, &client, gateway_public, psk, kid, req_id, cookie, &e,
			  &request))
		printf("refused build");
	else
		say("datagram", out, sizeof(out));
}

static void init_resp_open(void)
{
	uint8_t dgram[JV_DATAGRAM_MAX + 1];
	size_t len = bytes_upto(dgram, sizeof(dgram));
	struct jv_init_answer a;
	struct jv_birth birth;

	if (refused(jv_init_resp_open(&init_sent, dgram, len, &a, &birth)))
		return;
	say_number("status", a.status);
	say_number("aead", a.aead);
	say_number("retry_after_ms", a.retry_after_ms);
	say("cid", a.cid, 8);
	say_number("term", a.version.term);
	say_number("bver", a.version.bver);
	say("locator", a.locator, 60);
	say_number("rekey_after_s", a.rekey_after_s);
	say_number("session_max_s", a.session_max_s);
	say_number("loss_ttl_ms", a.loss_ttl_ms);
	say_number("keepalive_s", a.keepalive_s);
	say_number("probe_ms", a.probe_ms);
	say_number("mtu", a.mtu);
	say_options(&a.opt);
	if (!a.status)
		say_birth(&birth);
}

static void init_open(void)
{
	uint8_t dgram[JV_DATAGRAM_MAX + 1];
	size_t len;

	keypair(&init_gateway);
	len = bytes_upto(dgram, sizeof(dgram));
	init_kid = len > 2 ? dgram[2] : 0;
	if (refused(jv_init_identify(&init_rx, &init_gateway, dgram, len)) ||
	    refused(jv_init_open(&init_rx, dgram, len)))
		return;
	say("client", init_rx.noise.rs, 32);
	say("cid", init_rx.request.cid, 8);
	say_number("aead_mask", init_rx.request.aead_mask);
	say_number("path_id", init_rx.request.path_id);
	say_number("mtu", init_rx.request.mtu);
	say_options(&init_rx.request.opt);
}

static void init_answer(void)
{
	uint8_t psk[32], sid[16], nonce[24], key[32], out[JV_DATAGRAM_MAX];
	struct jv_init_answer a = { 0 };
	struct jv_birth birth;
	struct jv_keypair e;
	uint16_t shard;
	int len;

	bytes(psk, 32);
	keypair(&e);
	shard = number();
	bytes(nonce, 24);
	a.status = number();
	a.aead = number();
	a.retry_after_ms = number();
	bytes(a.cid, 8);
	a.version.term = number();
	a.version.bver = number();
	a.rekey_after_s = number();
	a.session_max_s = number();
	a.loss_ttl_ms = number();
	a.keepalive_s = number();
	a.probe_ms = number();
	a.mtu = number();
	options(&a.opt);
	if (jv_init_accept(&init_rx, psk, &e, sid)) {
		printf("refused accept");
		return;
	}
	jv_locator_key(key, init_gateway.secret, init_kid);
	jv_locator_seal(a.locator, key, init_kid, shard, nonce, sid);
	len = jv_init_resp_build(&init_rx, &a, out, &birth);
	say("datagram", out, len);
	say("locator", a.locator, 60);
	if (!a.status)
		say_birth(&birth);
}

static void locator_open(void)
{
	uint8_t secret[32], key[32], locator[60], sid[16], kid;
	uint16_t shard;

	bytes(secret, 32);
	kid = number();
	bytes(locator, 60);
	jv_locator_key(key, secret, kid);
	if (jv_locator_open(locator, key, kid, &shard, sid)) {
		printf("refused locator");
		return;
	}
	say_number("shard", shard);
	say("sid", sid, 16);
}

static void reattach_build(void)
{
	uint8_t gateway_public[32], sid[16], rs[32], locator[60], req_id[8], cookie[16], kid;
	uint8_t out[sizeof(struct jvpn_reattach)];
	struct jv_reattach_request r = { 0 };
	struct jv_keypair e;

	bytes(gateway_public, 32);
	kid = number();
	bytes(sid, 16);
	bytes(rs, 32);
	bytes(locator, 60);
	bytes(req_id, 8);
	bytes(cookie, 16);
	keypair(&e);
	r.rseq = number();
	r.expect.term = number();
	r.expect.bver = number();
	bytes(r.cid, 8);
	r.op = number();
	r.reason = number();
	r.path_id = number();
	r.aead_mask = number();
	r.rx_highest = number();
	if (jv_reattach_build(&re_sent, out, gateway_public, kid, sid, rs, locator, req_id, cookie,
			      &e, &r))
		printf("refused build");
	else
		say("datagram", out, sizeof(out));
}

static void reattach_resp_open(void)
{
	uint8_t dgram[JV_DATAGRAM_MAX];
	size_t len = bytes_upto(dgram, sizeof(dgram));
	struct jv_reattach_answer a;
	struct jv_epoch_keys keys;

	if (refused(jv_reattach_resp_open(&re_sent, dgram, len, &a, &keys)))
		return;
	say_number("status", a.status);
	say_number("aead", a.aead);
	say_number("retry_after_ms", a.retry_after_ms);
	say("cid", a.cid, 8);
	say_number("term", a.version.term);
	say_number("bver", a.version.bver);
	say("locator", a.locator, 60);
	if (!a.status)
		say_keys(&keys);
}

static void reattach_open(void)
{
	uint8_t gateway_public[32], sid[16], rs[32], key[16], dgram[JV_DATAGRAM_MAX];
	const struct jv_reattach_request *r = &re_rx.request;
	size_t len;

	bytes(gateway_public, 32);
	bytes(sid, 16);
	bytes(rs, 32);
	len = bytes_upto(dgram, sizeof(dgram));
	jv_tag1_key(key, gateway_public);
	if (!jv_tag1_ok(key, dgram, len)) {
		printf("refused tag1");
		return;
	}
	if (refused(jv_reattach_open(&re_rx, sid, rs, dgram, len)))
		return;
	say_number("rseq", r->rseq);
	say_number("term", r->expect.term);
	say_number("bver", r->expect.bver);
	say("cid", r->cid, 8);
	say_number("op", r->op);
	say_number("reason", r->reason);
	say_number("path_id", r->path_id);
	say_number("aead_mask", r->aead_mask);
	say_number("rx_highest", r->rx_highest);
}

static void reattach_answer(void)
{
	uint8_t out[sizeof(struct jvpn_reattach_resp)];
	struct jv_reattach_answer a = { 0 };
	struct jv_epoch_keys keys;
	struct jv_keypair e;

	keypair(&e);
	a.status = number();
	a.aead = number();
	a.retry_after_ms = number();
	bytes(a.cid, 8);
	a.version.term = number();
	a.version.bver = number();
	bytes(a.locator, 60);
	if (jv_reattach_resp_build(&re_rx, &e, &a, out, &keys)) {
		printf("refused build");
		return;
	}
	say("datagram", out, sizeof(out));
	if (!a.status)
		say_keys(&keys);
}

static void deny_build(void)
{
	uint8_t dgram[sizeof(struct jvpn_reattach)], out[sizeof(struct jvpn_deny)];
	struct jv_keypair gateway;

	keypair(&gateway);
	bytes(dgram, sizeof(dgram));
	if (jv_deny_build(out, &gateway, dgram, number()))
		printf("refused build");
	else
		say("datagram", out, sizeof(out));
}

static void deny_open(void)
{
	uint8_t dgram[64];
	size_t len = bytes_upto(dgram, sizeof(dgram));
	enum jv_deny_reason reason;

	if (!refused(jv_deny_open(&re_sent, dgram, len, &reason)))
		say_number("reason", reason);
}

static void switch_seal(void)
{
	uint8_t gateway_public[32], sw_c[32], cid[8], req_id[8], cookie[16], key[16], kid;
	uint8_t out[sizeof(struct jvpn_switch)];
	struct jv_switch_request r = { 0 };
	uint64_t rseq;

	bytes(gateway_public, 32);
	bytes(sw_c, 32);
	kid = number();
	bytes(cid, 8);
	bytes(req_id, 8);
	bytes(cookie, 16);
	rseq = number();
	r.expect.term = number();
	r.expect.bver = number();
	r.reason = number();
	r.path_id = number();
	r.rx_highest = number();
	jv_tag1_key(key, gateway_public);
	jv_switch_seal(out, key, sw_c, kid, cid, req_id, cookie, rseq, &r);
	say("datagram", out, sizeof(out));
}

static void switch_open(void)
{
	uint8_t gateway_public[32], sw_c[32], key[16], dgram[JV_DATAGRAM_MAX];
	struct jv_switch_request r;
	size_t len;

	bytes(gateway_public, 32);
	bytes(sw_c, 32);
	len = bytes_upto(dgram, sizeof(dgram));
	jv_tag1_key(key, gateway_public);
	if (!jv_tag1_ok(key, dgram, len)) {
		printf("refused tag1");
		return;
	}
	if (refused(jv_switch_open(sw_c, dgram, len, &r)))
		return;
	say_number("rseq", jv_switch_rseq(dgram));
	say_number("term", r.expect.term);
	say_number("bver", r.expect.bver);
	say_number("reason", r.reason);
	say_number("path_id", r.path_id);
	say_number("rx_highest", r.rx_highest);
}

static void switch_resp_seal(void)
{
	uint8_t sw_g[32], req_id[8], out[sizeof(struct jvpn_switch_resp)];
	struct jv_switch_answer a = { 0 };
	uint64_t rseq;

	bytes(sw_g, 32);
	bytes(req_id, 8);
	rseq = number();
	a.status = number();
	a.retry_after_ms = number();
	a.version.term = number();
	a.version.bver = number();
	jv_switch_resp_seal(out, sw_g, req_id, rseq, &a);
	say("datagram", out, sizeof(out));
}

static void switch_resp_open(void)
{
	uint8_t sw_g[32], req_id[8], dgram[JV_DATAGRAM_MAX];
	struct jv_switch_answer a;
	uint64_t rseq;
	size_t len;

	bytes(sw_g, 32);
	bytes(req_id, 8);
	rseq = number();
	len = bytes_upto(dgram, sizeof(dgram));
	if (refused(jv_switch_resp_open(sw_g, req_id, rseq, dgram, len, &a)))
		return;
	say_number("status", a.status);
	say_number("retry_after_ms", a.retry_after_ms);
	say_number("term", a.version.term);
	say_number("bver", a.version.bver);
}

static const struct {
	const char *name;
	void (*run)(void);
} verbs[] = {
	{ "init_build", init_build }, { "init_open", init_open },
	{ "init_answer", init_answer }, { "init_resp_open", init_resp_open },
	{ "locator_open", locator_open },
	{ "reattach_build", reattach_build }, { "reattach_open", reattach_open },
	{ "reattach_answer", reattach_answer }, { "reattach_resp_open", reattach_resp_open },
	{ "deny_build", deny_build }, { "deny_open", deny_open },
	{ "switch_seal", switch_seal }, { "switch_open", switch_open },
	{ "switch_resp_seal", switch_resp_seal }, { "switch_resp_open", switch_resp_open },
};

static int run(char *line)
{
	count = 0;
	for (char *word = strtok(line, " \n"); word && count < ARGS; word = strtok(NULL, " \n"))
		args[count++] = word;
	next = 1;
	for (size_t i = 0; count && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(args[0], verbs[i].name))
			continue;
		verbs[i].run();
		printf("\n");
		return fflush(stdout);
	}
	fprintf(stderr, "wire_peer: unknown verb\n");
	return 2;
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	while (!rc && getline(&line, &size, stdin) > 0)
		rc = run(line);
	free(line);
	return rc;
}
