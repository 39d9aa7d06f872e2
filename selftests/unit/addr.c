// SPDX-License-Identifier: GPL-2.0
/* Addresses, prefixes, keys and numbers: what is taken, what it prints as, and what is refused. */
#include "unit.h"

#include "addr.h"

TEST(addresses)
{
	static const char *const good[] = {
		"192.0.2.1:51820", "0.0.0.0:1", "255.255.255.255:65535", "[2001:db8::1]:443",
		"[::]:51820", "[::ffff:192.0.2.1]:5",
	};
	static const char *const bad[] = {
		"", ":", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:-1",
		"192.0.2.1:+1", "192.0.2.1: 1", "192.0.2.1:1 ", "192.0.2.1:01", "192.0.2.1:123456",
		"192.0.2:1", "192.0.2.256:1", "host:1", "2001:db8::1:443", "[2001:db8::1]",
		"[2001:db8::1:443", "2001:db8::1]:443", "[192.0.2.1]:1", "[]:1", "[::1%lo]:1",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:1",
	};
	char text[JV_ADDR_TEXT];
	size_t i;
	union jv_addr a, b;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		ASSERT_EQ(0, jv_addr_parse(&a, good[i])) TH_LOG("good[%zu]", i);
		EXPECT_STREQ(good[i], jv_addr_format(&a, text));
		ASSERT_EQ(0, jv_addr_parse(&b, text));
		EXPECT_TRUE(jv_addr_equal(&a, &b));
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT_EQ(-1, jv_addr_parse(&b, bad[i])) TH_LOG("bad[%zu]", i);
	EXPECT_TRUE(jv_addr_equal(&a, &b));	/* a refusal writes nothing */
	jv_addr_parse(&a, "192.0.2.1:1");
	jv_addr_parse(&b, "192.0.2.1:2");
	EXPECT_FALSE(jv_addr_equal(&a, &b));
	EXPECT_EQ(sizeof(struct sockaddr_in), jv_addr_len(&a));
	a = (union jv_addr){ 0 };
	EXPECT_EQ(0, jv_addr_len(&a));
	EXPECT_STREQ("-", jv_addr_format(&a, text));
}

TEST(prefixes)
{
	static const struct {
		const char *text, *printed;
		int host_bits;		/* 1: only an interface's own address */
	} good[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", 0 }, { "0.0.0.0/0", "0.0.0.0/0", 0 },
		{ "10.1.2.3", "10.1.2.3/32", 0 }, { "10.1.2.3/32", "10.1.2.3/32", 0 },
		{ "10.77.0.1/24", "10.77.0.1/24", 1 }, { "::/0", "::/0", 0 },
		{ "2001:db8::/32", "2001:db8::/32", 0 }, { "fd00::1", "fd00::1/128", 0 },
		{ "fd00::1/64", "fd00::1/64", 1 }, { "128.0.0.0/1", "128.0.0.0/1", 0 },
		{ "128.0.0.0/0", "128.0.0.0/0", 1 }, { "10.0.0.128/25", "10.0.0.128/25", 0 },
		{ "10.0.0.128/24", "10.0.0.128/24", 1 },
	};
	static const char *const bad[] = {
		"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0/8",
		"::/129", "x/8", "10.0.0.0/8/8", "10.0.0.0/ 8",
	};
	char text[JV_PREFIX_TEXT];
	size_t i;
	struct jv_prefix p, q;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		ASSERT_EQ(0, jv_prefix_parse(&p, good[i].text, true)) TH_LOG("good[%zu]", i);
		EXPECT_STREQ(good[i].printed, jv_prefix_format(&p, text));
		EXPECT_EQ(-good[i].host_bits, jv_prefix_parse(&q, good[i].text, false));
		EXPECT_EQ(!good[i].host_bits, !good[i].host_bits && jv_prefix_equal(&p, &q));
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT_EQ(-1, jv_prefix_parse(&p, bad[i], true)) TH_LOG("bad[%zu]", i);
}

TEST(keys)
{
	uint64_t seed = unit_seed("addr");
	uint8_t key[32], back[32];
	char text[JV_KEY_TEXT + 4];

	for (int i = 0; i < 1000; i++) {
		unit_random_bytes(&seed, key, sizeof(key));
		jv_key_format(key, text);
		ASSERT_EQ(44, strlen(text));
		ASSERT_EQ(0, jv_key_parse(back, text));
		ASSERT_EQ(0, memcmp(key, back, sizeof(key)));
		strcpy(text + 44, "=");
		ASSERT_EQ(-1, jv_key_parse(back, text));
		text[43] = '\0';
		ASSERT_EQ(-1, jv_key_parse(back, text));
		strcpy(text + 43, "=");
		text[unit_random(&seed) % 43] = '!';
		ASSERT_EQ(-1, jv_key_parse(back, text));
		ASSERT_EQ(0, memcmp(key, back, sizeof(key)));
	}
	EXPECT_EQ(-1, jv_key_parse(back, ""));
}

TEST(numbers)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x", "x", "1x", "0xg", "4294967296", "0x100000000",
		"99999999999",
	};
	uint32_t n = 7;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++)
		EXPECT_EQ(-1, jv_u32_parse(bad[i], &n)) TH_LOG("bad[%zu]", i);
	EXPECT_EQ(7, n);
	EXPECT_EQ(0, jv_u32_parse("0", &n));
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, jv_u32_parse("4294967295", &n));
	EXPECT_EQ(UINT32_MAX, n);
	EXPECT_EQ(0, jv_u32_parse("0x4a56", &n));
	EXPECT_EQ(0x4a56, n);
}

TEST_HARNESS_MAIN
