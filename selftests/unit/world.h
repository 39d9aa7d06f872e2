/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A client, a gateway and the network between them in one process, on a clock of
 * their own: the daemon's session code runs unchanged over a data plane, links and
 * sockets that are modelled here. What the kernel would refuse is refused.
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "env.h"
#include "names.h"
#include "shard.h"

enum { WORLD_UPLINKS = 3 };

/* What the network does to datagrams, in percent; both ways. */
struct world_weather {
	unsigned int lose, twice, late;
	unsigned int late_ms;		/* at most so much later than the others */
};

struct world_uplink {
	bool up;
	bool dark;			/* up, and nothing gets through */
	uint8_t host;			/* last byte of its address; changes with it */
	uint8_t nat;			/* what a NAT makes of its ports */
	bool nat_open;			/* and the mapping before lets in what comes */
	bool thief;			/* somebody copies what goes up, and is faster */
};

struct world_side {
	struct jv_env env;
	struct jv_shard *shard;
	struct jv_link link;
	struct jv_peer peer;
	struct jv_keypair key;
	uint8_t psk[32];
	struct jv_named_policy policy;
	uint64_t transitions, refused;
	uint8_t last_sid[JVPN_SID_LEN];
	uint64_t last_version;		/* of that session */
	struct jv_version last_binding;
	unsigned int deaths;		/* TERMINATED */
	unsigned int rotations;		/* KEY_ROTATED */
	enum jv_reason last_reason;
};

struct world {
	uint64_t now_us;
	uint64_t dice;
	struct world_weather weather;
	struct world_uplink uplink[WORLD_UPLINKS];
	struct world_side client, gateway;
	unsigned int faults;		/* a rule was broken: said on stderr */
	unsigned int sent[256];		/* control datagrams by type */
	bool no_aes;			/* neither kernel has it */
	unsigned int keyless;		/* frames that arrived under no key */
	/* NULL, or whether a control datagram gets through; @up: to the gateway */
	bool (*filter)(uint8_t type, bool up, unsigned int uplink);
};

extern struct world world;

/* Everything up and calm, both daemons started; the client begins. */
void world_begin(uint64_t seed);
/* Both daemons stopped; nothing is left. */
void world_end(void);

void world_run(uint64_t ms);
/* Run until @done, at most so long. Whether it came. */
bool world_until(bool (*done)(void), uint64_t ms);

/* Uniform in 0..n-1. */
unsigned int world_random(unsigned int n);

void world_uplink_set(unsigned int i, bool up);
void world_uplink_readdress(unsigned int i);

/* What both sides, the daemons and the data planes, hold. */
bool world_attached(void);
bool world_agreed(void);
int world_client_uplink(void);		/* bound to, or -1 */
int world_gateway_uplink(void);		/* sends to, or -1 */
enum jv_state world_state(const struct world_side *side);
uint64_t world_bver(void);
void world_sid(uint8_t sid[JVPN_SID_LEN]);

/* An operator's command to the client; 0 or the error it ends with. */
int world_switch(unsigned int uplink);
int world_rekey(void);
int world_reattach(void);
unsigned int world_epochs(const struct world_side *side);
int world_aead(const struct world_side *side);	/* sent with, or -1 */

#endif /* WORLD_H */
