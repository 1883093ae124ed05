/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * auth/sasl_client against a server, each mechanism with the right password
 * and with a wrong one; a SCRAM server that does not know the password, or asks for endless
 * hashing; challenges that are none; which mechanism is chosen; the thread that computes, and being
 * freed while it does; and common/vault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gsasl.h>

#include "common/vault.h"
#include "common/xalloc.h"
#include "relayd/auth/sasl_client.h"
#include "relayd/net/loop.h"
#include "tests/unit/sasl_server.h"

static const char login[] = "relay@example.org", password[] = "correct, horse=battery";

/* What the client said last. */
struct said {
	unsigned times;
	char *line;
	struct error why;
};

static void
answered(void *ctx, const char *line, const struct error *why)
{
	struct said *said = ctx;

	said->times++;
	free(said->line);
	said->line = xstrdup(line);
	if (line == NULL)
		said->why = *why;
}

static struct sasl_client *
client_of(enum sasl_mechanism mechanism, const char *secret, struct offload *offload)
{
	struct error why;
	struct sasl_client *sasl = sasl_client_new(mechanism, login, secret, offload, &why);

	if (sasl == NULL)
		fail_msg("%s", why.text);
	return sasl;
}

/* ---- whole exchanges ---- */

/* Run one as SMTP does. Returns whether both sides were content. */
static bool
exchange(enum sasl_mechanism mechanism, const char *secret)
{
	struct sasl_client *sasl = client_of(mechanism, secret, NULL);
	struct sasl_server *server =
	    sasl_server_new(sasl_mechanism_name(mechanism), login, password);
	struct said said = {0};
	const char *reply;
	bool content;

	assert_non_null(server);
	if (sasl_client_begins(sasl)) {
		sasl_client_answer(sasl, "", answered, &said);
		assert_non_null(said.line);
	}
	for (;;) {
		reply = sasl_server_reply(server, said.line != NULL ? said.line : "");
		if (strncmp(reply, "334 ", 4) != 0)
			break;
		assert_false(sasl_client_is_complete(sasl));
		sasl_client_answer(sasl, reply + 4, answered, &said);
		assert_non_null(said.line);
		assert_string_equal(sasl_client_last_line(sasl), said.line);
	}
	content = strncmp(reply, "235", 3) == 0;
	if (content)
		assert_true(sasl_client_is_complete(sasl));
	sasl_client_free(sasl);
	sasl_server_free(server);
	free(said.line);
	return content;
}

static void
test_exchanges(void **state)
{
	int mechanism;

	(void)state;
	for (mechanism = 0; mechanism < SASL_MECHANISMS; mechanism++) {
		assert_true(exchange((enum sasl_mechanism)mechanism, password));
		assert_false(exchange((enum sasl_mechanism)mechanism, "wrong"));
	}
}

/* ---- a server that is not the right one ---- */

static char *
base64(const char *text)
{
	char *out, *copy;
	size_t len;

	assert_int_equal(gsasl_base64_to(text, strlen(text), &out, &len), GSASL_OK);
	copy = xstrdup(out);
	gsasl_free(out);
	return copy;
}

/* The server's first message of SCRAM, for the client's nonce. */
static char *
scram_first(const char *line, const char *rounds)
{
	char *text, *nonce, *message, *challenge;
	size_t len;

	assert_int_equal(gsasl_base64_from(line, strlen(line), &text, &len), GSASL_OK);
	message = xstrndup(text, len);
	gsasl_free(text);
	nonce = strstr(message, ",r=");
	assert_non_null(nonce);
	text = xasprintf("%sserver,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=%s", nonce + 1, rounds);
	challenge = base64(text);
	free(text);
	free(message);
	return challenge;
}

static void
test_false_server(void **state)
{
	struct sasl_client *sasl = client_of(SASL_SCRAM_SHA_256, password, NULL);
	struct said said = {0};
	char *challenge;

	(void)state;
	sasl_client_answer(sasl, "", answered, &said);
	challenge = scram_first(said.line, "4096");
	sasl_client_answer(sasl, challenge, answered, &said);
	assert_non_null(said.line);
	assert_false(sasl_client_is_complete(sasl));
	free(challenge);
	challenge = base64("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
	sasl_client_answer(sasl, challenge, answered, &said);
	assert_null(said.line);
	assert_false(sasl_client_is_complete(sasl));
	assert_null(strstr(said.why.text, password));
	free(challenge);
	sasl_client_free(sasl);
}

static void
test_bad_challenges(void **state)
{
	static const char *const bad[] = {"", "!",
					  "bm9uc2Vuc2U=", "cj1hLHM9YixpPTA=", "PDE+\nPDI+"};
	struct said said = {0};
	char *challenge;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct sasl_client *sasl = client_of(SASL_SCRAM_SHA_256, password, NULL);

		sasl_client_answer(sasl, "", answered, &said);
		assert_non_null(said.line);
		sasl_client_answer(sasl, bad[i], answered, &said);
		assert_null(said.line);
		assert_true(said.why.text[0] != '\0');
		assert_false(sasl_client_is_complete(sasl));
		sasl_client_free(sasl);
	}
	/* It is not to keep a thread busy for minutes. */
	for (i = 0; i < 2; i++) {
		struct sasl_client *sasl = client_of(SASL_SCRAM_SHA_256, password, NULL);

		sasl_client_answer(sasl, "", answered, &said);
		challenge = scram_first(said.line, i == 0 ? "2000000000" : "99999999999999999999");
		sasl_client_answer(sasl, challenge, answered, &said);
		assert_null(said.line);
		assert_non_null(strstr(said.why.text, "rounds"));
		free(challenge);
		sasl_client_free(sasl);
	}
	/* A mechanism that has said all it has to say. */
	{
		struct sasl_client *sasl = client_of(SASL_PLAIN, password, NULL);

		sasl_client_answer(sasl, "", answered, &said);
		assert_true(sasl_client_is_complete(sasl));
		free(said.line);
		sasl_client_free(sasl);
	}
}

/* ---- the choice ---- */

static int
choose(const char *offered, bool server_is_known)
{
	return sasl_client_choose(offered, server_is_known, 0);
}

static void
test_choice(void **state)
{
	static const char all[] = "LOGIN PLAIN CRAM-MD5 DIGEST-MD5 scram-sha-256 XOAUTH2";
	bool known;

	(void)state;
	for (known = false;; known = true) {
		assert_int_equal(choose(all, known), SASL_SCRAM_SHA_256);
		assert_int_equal(choose("LOGIN plain", known), SASL_PLAIN);
		assert_int_equal(choose(" LOGIN ", known), SASL_LOGIN);
		assert_int_equal(choose("CRAM-MD5", known), SASL_CRAM_MD5);
		assert_int_equal(choose("GSSAPI NTLM SCRAM-SHA-1 XPLAIN PLAINX", known), -1);
		assert_int_equal(choose("", known), -1);
		if (known)
			break;
	}
	/* To a server that is not known to be the right one the password is not handed over while
	 * there is another way; one that is may keep it hashed. */
	assert_int_equal(choose("LOGIN PLAIN CRAM-MD5", false), SASL_CRAM_MD5);
	assert_int_equal(choose("CRAM-MD5 PLAIN LOGIN", true), SASL_PLAIN);
	assert_int_equal(choose("CRAM-MD5 LOGIN", true), SASL_LOGIN);
	assert_int_equal(sasl_client_choose(all, false, 1U << SASL_SCRAM_SHA_256), SASL_CRAM_MD5);
	assert_int_equal(sasl_client_choose(all, true, 1U << SASL_SCRAM_SHA_256 | 1U << SASL_PLAIN),
			 SASL_LOGIN);
	assert_int_equal(sasl_client_choose(all, true, (1U << SASL_MECHANISMS) - 1), -1);
}

/* ---- on a thread ---- */

static void
test_thread(void **state)
{
	struct error why;
	struct loop *loop = loop_new(&why);
	struct offload *offload = offload_new(loop, 1, &why);
	struct sasl_client *sasl = client_of(SASL_SCRAM_SHA_256, password, offload);
	struct said said = {0};
	char *challenge;

	(void)state;
	sasl_client_answer(sasl, "", answered, &said);
	assert_int_equal(said.times, 1); /* nothing to compute yet */
	challenge = scram_first(said.line, "4096");
	sasl_client_answer(sasl, challenge, answered, &said);
	assert_int_equal(said.times, 1);
	offload_finish(offload);
	assert_int_equal(said.times, 2);
	assert_non_null(said.line);
	sasl_client_free(sasl);

	/* Freed while the thread is at it: no callback, nothing lost. */
	sasl = client_of(SASL_SCRAM_SHA_256, password, offload);
	sasl_client_answer(sasl, "", answered, &said);
	free(challenge);
	challenge = scram_first(said.line, "40960");
	sasl_client_answer(sasl, challenge, answered, &said);
	sasl_client_free(sasl);
	offload_finish(offload);
	assert_int_equal(said.times, 3);
	free(challenge);
	free(said.line);
	offload_free(offload);
	loop_free(loop);
}

/* ---- common/vault ---- */

/* What the kernel says of the mapping that holds `at`, "VmFlags: rd wr ... dd". */
static bool
is_dumped(const void *at)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	unsigned long from, to, where = (unsigned long)at;
	bool here = false, dumped = true;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= where && where < to;
		else if (here && strncmp(line, "VmFlags:", 8) == 0)
			dumped = strstr(line, " dd") == NULL;
	}
	assert_int_equal(fclose(maps), 0);
	return dumped;
}

static void
test_vault(void **state)
{
	char *large = xmalloc(10000), *kept;

	(void)state;
	assert_null(vault_keep(NULL));
	vault_drop(NULL);
	kept = vault_keep(password);
	assert_string_equal(kept, password);
	assert_false(is_dumped(kept));
	assert_true(is_dumped(large));
	vault_drop(kept);
	memset(large, 'x', 9999);
	large[9999] = '\0';
	kept = vault_keep(large);
	assert_string_equal(kept, large);
	vault_drop(kept);
	kept = vault_keep("");
	assert_string_equal(kept, "");
	vault_drop(kept);
	free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_exchanges),      cmocka_unit_test(test_false_server),
	    cmocka_unit_test(test_bad_challenges), cmocka_unit_test(test_choice),
	    cmocka_unit_test(test_thread),         cmocka_unit_test(test_vault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
