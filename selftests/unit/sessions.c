// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon's session code, both roles, over a modelled data plane and network
 * (world.h). The last test throws everything at it that a network and its links can
 * do; SEED=N repeats a run, TRACE=1 tells it.
 */
#include "unit.h"

#include <errno.h>
#include <sodium.h>

#include "world.h"

FIXTURE(pair) { int unused; };

FIXTURE_SETUP(pair)
{
	ASSERT_GE(sodium_init(), 0);
	world_begin(1);
	ASSERT_TRUE(world_until(world_agreed, 5000));
	world_run(1000);
}

FIXTURE_TEARDOWN(pair)
{
	world_end();
	EXPECT_EQ(0, world.faults);
}

static bool client_recovering(void)
{
	return world_state(&world.client) == JV_STATE_RECOVERING;
}

static bool client_degraded(void)
{
	return world_state(&world.client) == JV_STATE_DEGRADED;
}

static bool client_ended(void)
{
	return world.client.deaths;
}

TEST_F(pair, begins_with_one_exchange)
{
	EXPECT_EQ(1, world.sent[JVPN_T_INIT]);
	EXPECT_EQ(1, world.sent[JVPN_T_INIT_RESP]);
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(0, world_client_uplink());
}

TEST_F(pair, leaves_a_link_that_goes_down_by_one_warm_request)
{
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 25));
	EXPECT_EQ(1, world_client_uplink());
	EXPECT_EQ(2, world_bver());
	EXPECT_EQ(1, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(0, world.sent[JVPN_T_RETRY]);
}

TEST_F(pair, leaves_an_address_that_is_gone)
{
	world_uplink_readdress(0);
	EXPECT_TRUE(world_until(world_agreed, 25));
	EXPECT_EQ(1, world_client_uplink());
}

TEST_F(pair, leaves_a_path_that_falls_silent)
{
	world.uplink[0].dark = true;
	ASSERT_TRUE(world_until(client_recovering, 300));
	EXPECT_TRUE(world_until(world_agreed, 25));
	EXPECT_EQ(1, world_client_uplink());
}

TEST_F(pair, stays_when_a_better_path_comes_back)
{
	world_uplink_set(0, false);
	ASSERT_TRUE(world_until(world_agreed, 1000));
	world_uplink_set(0, true);
	world_run(60000);
	EXPECT_EQ(1, world_client_uplink());
	EXPECT_EQ(2, world_bver());
}

TEST_F(pair, skips_a_standby_that_is_dead)
{
	world.uplink[1].dark = true;
	world_run(45000);
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 25));
	EXPECT_EQ(2, world_client_uplink());
}

TEST_F(pair, tries_another_path_when_the_first_one_does_not_answer)
{
	world.uplink[0].dark = world.uplink[1].dark = true;
	ASSERT_TRUE(world_until(client_recovering, 300));
	EXPECT_TRUE(world_until(world_agreed, 500));
	EXPECT_EQ(2, world_client_uplink());
}

static bool lose_requests_of_1(uint8_t type, bool up, unsigned int uplink)
{
	return type != JVPN_T_SWITCH || uplink != 1;
}

TEST_F(pair, sends_the_next_request_on_another_path)
{
	world.filter = lose_requests_of_1;
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 90));
	EXPECT_EQ(2, world_client_uplink());
	EXPECT_EQ(1, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(1, world.sent[JVPN_T_REATTACH]);
}

TEST_F(pair, gets_a_cookie_for_a_path_that_is_cold)
{
	world_uplink_set(1, false);
	world_uplink_set(2, false);
	world_run(5000);
	world_uplink_set(0, false);
	world_uplink_set(1, true);
	EXPECT_TRUE(world_until(world_agreed, 50));
	EXPECT_EQ(2, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(1, world.sent[JVPN_T_RETRY]);
}

TEST_F(pair, comes_back_on_the_only_link)
{
	uint8_t before[16], after[16];

	world_sid(before);
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++)
		world_uplink_set(i, false);
	ASSERT_TRUE(world_until(client_degraded, 6000));
	world_run(30000);
	world_uplink_set(0, true);
	EXPECT_TRUE(world_until(world_agreed, 2000));
	world_sid(after);
	EXPECT_EQ(0, memcmp(before, after, sizeof(before)));
}

TEST_F(pair, ends_without_transport_and_begins_anew)
{
	uint8_t before[16], after[16];

	world_sid(before);
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++)
		world_uplink_set(i, false);
	ASSERT_TRUE(world_until(client_ended, 125000));
	EXPECT_EQ(JV_REASON_TTL_TRANSPORT_LOSS_EXPIRED, world.client.last_reason);
	world_uplink_set(2, true);
	ASSERT_TRUE(world_until(world_agreed, 200000));
	world_sid(after);
	EXPECT_NE(0, memcmp(before, after, sizeof(before)));
}

TEST_F(pair, does_what_an_operator_says_once_per_cooldown)
{
	EXPECT_EQ(0, world_switch(1));
	EXPECT_EQ(1, world_client_uplink());
	EXPECT_EQ(-EPERM, world_switch(2));
	EXPECT_EQ(1, world_client_uplink());
	EXPECT_EQ(-EINVAL, world_switch(1));
	world_run(2000);
	EXPECT_EQ(0, world_switch(2));
	EXPECT_TRUE(world_agreed());
}

static bool lose_requests(uint8_t type, bool up, unsigned int uplink)
{
	return (type != JVPN_T_SWITCH && type != JVPN_T_REATTACH) || !up;
}

static bool lose_answers(uint8_t type, bool up, unsigned int uplink)
{
	return (type != JVPN_T_SWITCH_RESP && type != JVPN_T_REATTACH_RESP) || up;
}

TEST_F(pair, stays_where_it_is_if_a_wanted_switch_is_not_answered)
{
	world.filter = lose_requests;
	EXPECT_EQ(-ETIMEDOUT, world_switch(1));
	world.filter = NULL;
	world_run(5000);
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(0, world_client_uplink());
}

TEST_F(pair, gives_the_last_word_where_it_stays_if_answers_are_lost)
{
	world.filter = lose_answers;
	EXPECT_EQ(-ETIMEDOUT, world_switch(1));
	EXPECT_EQ(1, world_gateway_uplink());
	world.filter = NULL;
	world_run(5000);
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(0, world_client_uplink());
}

TEST_F(pair, gives_the_last_word_as_soon_as_the_switch_limit_lets_it)
{
	for (unsigned int i = 1; i <= 7; i++) {
		EXPECT_EQ(0, world_switch(i % 2));
		world_run(2000);
	}
	world.filter = lose_answers;
	EXPECT_EQ(-ETIMEDOUT, world_switch(0));
	world.filter = NULL;
	world_run(5000);
	EXPECT_EQ(0, world_gateway_uplink());
	EXPECT_TRUE(world_until(world_agreed, 60000));
	EXPECT_EQ(1, world_client_uplink());
}

TEST_F(pair, is_not_ended_by_a_flapping_link_but_damped)
{
	for (int i = 0; i < 40; i++) {
		unsigned int now = world_client_uplink() < 0 ? 0 : world_client_uplink();

		world_uplink_set(now, false);
		world_run(200);
		world_uplink_set(now, true);
		world_run(200);
	}
	EXPECT_LE(world_bver(), 1 + 8 + 1);
	EXPECT_EQ(0, world.client.deaths);
	ASSERT_TRUE(world_until(world_agreed, 70000));
}

TEST_F(pair, ends_when_the_gateway_ends_it_and_comes_back)
{
	uint8_t sid[16];
	char hex[33];
	struct jv_command_result result;
	struct jv_error err;

	world_sid(sid);
	for (int i = 0; i < 16; i++)
		sprintf(hex + 2 * i, "%02x", sid[i]);
	EXPECT_EQ(0, jv_shard_session_terminate(world.gateway.shard, hex, NULL, NULL, &result, &err));
	ASSERT_TRUE(world_until(client_ended, 100));
	EXPECT_EQ(JV_REASON_PEER_TERMINATED, world.client.last_reason);
	EXPECT_TRUE(world_until(world_agreed, 5000));
}

static bool lose_switches(uint8_t type, bool up, unsigned int uplink)
{
	return type != JVPN_T_SWITCH;
}

TEST_F(pair, asks_for_new_keys_if_a_switch_is_not_answered)
{
	world.filter = lose_switches;
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 150));
	EXPECT_EQ(2, world_bver());
	EXPECT_EQ(1, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(1, world.sent[JVPN_T_REATTACH]);
	EXPECT_EQ(2, world_epochs(&world.client));
	world_run(5000);
	EXPECT_EQ(1, world_epochs(&world.client));
	EXPECT_EQ(1, world_epochs(&world.gateway));
	world.filter = NULL;
	world_run(2000);
	EXPECT_EQ(0, world_switch(1));
	EXPECT_EQ(2, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(0, world.keyless);
}

TEST_F(pair, replaces_its_keys_in_time_and_loses_nothing)
{
	world_run(660000);
	EXPECT_EQ(1, world.client.rotations);
	EXPECT_EQ(1, world.gateway.rotations);
	EXPECT_EQ(1, world.sent[JVPN_T_REATTACH]);
	EXPECT_EQ(1, world_bver());
	world_run(3000000);
	EXPECT_GE(world.client.rotations, 5);
	EXPECT_LE(world.client.rotations, 6);
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(1, world_epochs(&world.client));
	EXPECT_EQ(0, world.keyless);
	EXPECT_EQ(0, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(2, world.client.transitions + world.gateway.transitions);
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 25));
}

static unsigned int answers_lost;

static bool lose_some_answers(uint8_t type, bool up, unsigned int uplink)
{
	return type != JVPN_T_REATTACH_RESP || !answers_lost || !answers_lost--;
}

TEST_F(pair, repeats_a_rekey_whose_answer_is_lost)
{
	world.filter = lose_some_answers;
	answers_lost = 3;
	EXPECT_EQ(0, world_rekey());
	EXPECT_EQ(4, world.sent[JVPN_T_REATTACH]);
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(-EPERM, world_rekey());
	world_run(20000);
	EXPECT_EQ(1, world_epochs(&world.gateway));
	EXPECT_EQ(1, world_epochs(&world.client));
	EXPECT_EQ(0, world_rekey());
	EXPECT_EQ(0, world.keyless);
}

static bool lose_reattaches(uint8_t type, bool up, unsigned int uplink)
{
	return type != JVPN_T_REATTACH;
}

TEST_F(pair, says_so_if_a_rekey_is_not_answered)
{
	world.filter = lose_reattaches;
	EXPECT_EQ(-ETIMEDOUT, world_rekey());
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(0, world.sent[JVPN_T_SWITCH]);
}

TEST_F(pair, stops_at_the_end_of_its_keys_and_gets_new_ones)
{
	world.filter = lose_reattaches;
	ASSERT_TRUE(world_until(client_recovering, 910000));
	world.filter = NULL;
	EXPECT_TRUE(world_until(world_agreed, 3000));
	EXPECT_EQ(0, world.client.deaths);
}

TEST_F(pair, binds_once_more_with_new_keys_on_command)
{
	EXPECT_EQ(0, world_reattach());
	EXPECT_EQ(2, world_bver());
	EXPECT_EQ(0, world_client_uplink());
	EXPECT_EQ(1, world.sent[JVPN_T_REATTACH]);
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(0, world_switch(1));
}

TEST_F(pair, takes_the_cipher_that_the_gateway_prefers)
{
	EXPECT_EQ(JVPN_AEAD_CHACHA20_POLY1305, world_aead(&world.client));
	world.gateway.policy.policy.cipher = JV_CIPHER_AES_256_GCM;
	EXPECT_EQ(0, world_rekey());
	world_run(100);
	EXPECT_EQ(JVPN_AEAD_AES_256_GCM, world_aead(&world.client));
	EXPECT_EQ(JVPN_AEAD_AES_256_GCM, world_aead(&world.gateway));
}

TEST_F(pair, does_without_a_cipher_that_the_kernel_does_not_have)
{
	world.gateway.policy.policy.cipher = JV_CIPHER_AES_256_GCM;
	world.no_aes = true;
	EXPECT_EQ(0, world_rekey());
	EXPECT_EQ(JVPN_AEAD_CHACHA20_POLY1305, world_aead(&world.client));
	EXPECT_TRUE(world_agreed());
}

static bool moved_on(void)
{
	return world_bver() == 2 && world_agreed();
}

TEST_F(pair, is_followed_by_the_gateway_when_a_nat_changes_its_address)
{
	world.uplink[0].nat++;
	EXPECT_TRUE(world_until(moved_on, 140));
	EXPECT_EQ(0, world.sent[JVPN_T_SWITCH]);
	world_run(5000);
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(2, world_bver());
}

TEST_F(pair, stays_where_the_old_mapping_still_delivers)
{
	world.uplink[0].nat_open = true;
	world.uplink[0].nat++;
	world_run(10000);
	EXPECT_EQ(1, world_bver());
	EXPECT_TRUE(world_agreed());
}

TEST_F(pair, does_not_follow_whoever_relays_faster)
{
	uint64_t transitions = world.gateway.transitions;

	world.uplink[0].thief = true;
	world_run(30000);
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(transitions, world.gateway.transitions);
}

TEST_F(pair, is_not_followed_if_the_policy_says_so)
{
	world.gateway.policy.policy.nat_rebind = JV_NAT_OFF;
	world.uplink[0].nat++;
	world_run(30000);
	EXPECT_EQ(1, world_bver());
}

/* Another incarnation of the gateway that holds the sessions of the last one. */
TEST_F(pair, comes_over_into_a_higher_term_by_a_rekey)
{
	world.gateway.env.term++;
	EXPECT_EQ(0, world_rekey());
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(2, world.sent[JVPN_T_REATTACH]);
	EXPECT_TRUE(world_agreed());
	EXPECT_EQ(1, world_epochs(&world.gateway));
	EXPECT_EQ(1, world_epochs(&world.client));
	EXPECT_EQ(0, world_switch(1));
}

TEST_F(pair, comes_over_into_a_higher_term_after_a_death)
{
	world.gateway.env.term++;
	world_uplink_set(0, false);
	EXPECT_TRUE(world_until(world_agreed, 150));
	EXPECT_EQ(1, world_bver());
	EXPECT_EQ(1, world.sent[JVPN_T_SWITCH]);
	EXPECT_EQ(0, world.client.deaths);
}

static void end_unheard(void)
{
	struct jv_command_result result;
	struct jv_error err;
	uint8_t sid[16];
	char hex[33];

	for (unsigned int i = 0; i < WORLD_UPLINKS; i++)
		world.uplink[i].dark = true;
	world_sid(sid);
	jv_shard_session_terminate(world.gateway.shard, jv_hex(sid, 16, hex), NULL, NULL, &result,
				   &err);
}

static void light(void)
{
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++)
		world.uplink[i].dark = false;
}

TEST_F(pair, is_told_that_its_session_has_ended)
{
	end_unheard();
	world_run(20000);
	light();
	ASSERT_TRUE(world_until(client_ended, 11000));
	EXPECT_EQ(JV_REASON_PEER_TERMINATED, world.client.last_reason);
	EXPECT_EQ(1, world.sent[JVPN_T_DENY]);
}

TEST_F(pair, is_told_that_its_session_is_unknown)
{
	end_unheard();
	world_run(70000);
	light();
	ASSERT_TRUE(world_until(client_ended, 11000));
	EXPECT_EQ(JV_REASON_PEER_TERMINATED, world.client.last_reason);
	EXPECT_EQ(1, world.sent[JVPN_T_DENY]);
	EXPECT_TRUE(world_until(world_agreed, 10000));
}

TEST_F(pair, is_told_when_the_gateway_holds_its_time_for_over)
{
	world.gateway.policy.policy.session_max_lifetime = 60000;
	jv_shard_node_ops.policy_changed(world.gateway.shard, &world.gateway.policy);
	ASSERT_TRUE(world_until(client_ended, 61000));
	EXPECT_EQ(JV_REASON_PEER_TERMINATED, world.client.last_reason);
	EXPECT_TRUE(world_until(world_agreed, 5000));
}

/* One thing that links and networks do. */
static void disturb(void)
{
	unsigned int i = world_random(WORLD_UPLINKS);

	switch (world_random(14)) {
	case 0:
	case 1:
		world_uplink_set(i, !world.uplink[i].up);
		break;
	case 2:
	case 3:
		world.uplink[i].dark = !world.uplink[i].dark;
		break;
	case 4:
		world_uplink_readdress(i);
		break;
	case 5:
		world.weather = (struct world_weather){
			.lose = world_random(60), .twice = world_random(40),
			.late = world_random(60), .late_ms = world_random(3000),
		};
		break;
	case 6:
		world.weather = (struct world_weather){ 0 };
		break;
	case 7:
		world_switch(i);
		break;
	case 8:
		world_run(world_random(20000));
		break;
	case 9:
		world_rekey();
		break;
	case 10:
		world_reattach();
		break;
	case 11:
		world.filter = (bool (*[])(uint8_t, bool, unsigned int)){
			NULL, lose_switches, lose_reattaches, lose_answers
		}[world_random(4)];
		break;
	case 12:
		world.gateway.env.term += !world_random(4);
		break;
	case 13:
		world.uplink[i].nat++;
		world.uplink[i].nat_open = world_random(2);
		break;
	}
}

/* Nothing more happens: what is still under way may cost another commit, not more. */
static void stays_agreed(void)
{
	uint64_t bver;

	world_run(10000);
	bver = world_bver();
	world_run(60000);
	if (world_agreed() && world_bver() == bver)
		return;
	fprintf(stderr, "# client %u on %d, gateway %u on %d, version %llu, then %llu\n",
		world_state(&world.client), world_client_uplink(), world_state(&world.gateway),
		world_gateway_uplink(), (unsigned long long)bver,
		(unsigned long long)world_bver());
	world.faults++;
}

static void one_life(uint64_t seed)
{
	world_begin(seed);
	if (seed % 2)
		world.client.policy.policy.rekey_after = 10000 + world_random(60000);
	for (int i = 0; i < 200; i++) {
		disturb();
		world_run(world_random(world_random(3) ? 400 : 5000));
	}
	world.weather = (struct world_weather){ 0 };
	world.filter = NULL;
	for (unsigned int i = 0; i < WORLD_UPLINKS; i++) {
		world.uplink[i].dark = false;
		world_uplink_set(i, true);
	}
	/* Until the switch limit allows again what is needed. */
	world_run(70000);
	/* The longest that an old session can be in the way of a new one. */
	if (!world_until(world_agreed, 300000)) {
		fprintf(stderr, "# client %u, gateway %u\n", world_state(&world.client),
			world_state(&world.gateway));
		world.faults++;
	}
	stays_agreed();
	world_end();
}

TEST(survives_everything_a_network_does)
{
	uint64_t seed = unit_seed("survives_everything_a_network_does");
	uint64_t lives = unit_rounds("LIVES", 30);

	ASSERT_GE(sodium_init(), 0);
	while (lives--) {
		one_life(seed);
		if (world.faults) {
			TH_LOG("SEED=%llu", (unsigned long long)seed);
			ASSERT_EQ(0, world.faults);
		}
		seed++;
	}
}

TEST_HARNESS_MAIN
