// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "objects.h"
#include "out.h"

static void print_key(const char *what, unsigned char bytes[KEY_LEN])
{
	char text[KEY_TEXT];

	sodium_bin2base64(text, sizeof(text), bytes, KEY_LEN, sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(bytes, KEY_LEN);
	if (opt.json)
		out_object(json_pack("{s:s}", what, text));
	else
		puts(text);
	sodium_memzero(text, sizeof(text));
}

/* Clamped as X25519 does with any key, so that two forms of one key never meet. */
static int run_gen(struct words *words)
{
	unsigned char key[KEY_LEN];

	words_end(words);
	randombytes_buf(key, sizeof(key));
	key[0] &= 248;
	key[31] = (key[31] & 127) | 64;
	print_key("private_key", key);
	return EXIT_OK;
}

static int run_psk(struct words *words)
{
	unsigned char key[KEY_LEN];

	words_end(words);
	randombytes_buf(key, sizeof(key));
	print_key("preshared_key", key);
	return EXIT_OK;
}

static int run_pub(struct words *words)
{
	unsigned char key[KEY_LEN], public_key[KEY_LEN];
	int ret;

	words_end(words);
	if (!key_read(stdin, key))
		wrong(words->last, "standard input holds no private key",
		      "32 bytes as 44 characters of base64");
	ret = crypto_scalarmult_base(public_key, key);
	sodium_memzero(key, sizeof(key));
	if (ret)
		return fail(EXIT_ERROR, "this private key has no public key.");
	print_key("public_key", public_key);
	return EXIT_OK;
}

/* As the daemon has it in its log. */
static int run_fingerprint(struct words *words)
{
	unsigned char key[KEY_LEN], hash[crypto_hash_sha256_BYTES];
	char hex[17], text[32];

	words_end(words);
	if (!key_read(stdin, key))
		wrong(words->last, "standard input holds no public key",
		      "32 bytes as 44 characters of base64");
	crypto_hash_sha256(hash, key, sizeof(key));
	snprintf(text, sizeof(text), "SHA256:%s", out_hex(hash, 8, hex));
	if (opt.json)
		out_object(json_pack("{s:s}", "fingerprint", text));
	else
		puts(text);
	return EXIT_OK;
}

static const struct command commands[] = {
	{ { "gen", NULL }, run_gen, "" },
	{ { "pub", NULL }, run_pub, "< PRIVATE-KEY-FILE" },
	{ { "psk", NULL }, run_psk, "" },
	{ { "fingerprint", NULL }, run_fingerprint, "< PUBLIC-KEY-FILE" },
};

const struct object key_object = {
	{ "key", "k" }, "make keys",
	commands, COUNT(commands), NULL,
};
