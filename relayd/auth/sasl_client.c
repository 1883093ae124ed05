/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/auth/sasl_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <gsasl.h>

#include "common/xalloc.h"

/* About half a second of one thread. A server that asks for more asks for our time, not for safety.
 */
enum { ROUNDS_MAX = 600000 };

struct mechanism {
	const char *name;
	bool begins;
};

static const struct mechanism mechanisms[SASL_MECHANISMS] = {
    [SASL_SCRAM_SHA_256] = {"SCRAM-SHA-256", true},
    [SASL_CRAM_MD5] = {"CRAM-MD5", false},
    [SASL_PLAIN] = {"PLAIN", true},
    /* It has no initial response: some servers take one, others do not. */
    [SASL_LOGIN] = {"LOGIN", false},
};

struct sasl_client {
	enum sasl_mechanism mechanism;
	Gsasl *library;
	Gsasl_session *session;
	struct offload *offload;
	char *challenge;
	char *line; /* the library's */
	int result;
	bool busy;      /* a thread is at work on it */
	bool abandoned; /* meanwhile: it frees itself then */
	bool complete;
	void (*answered)(void *ctx, const char *line, const struct error *why);
	void *ctx;
};

const char *
sasl_mechanism_name(enum sasl_mechanism mechanism)
{
	return mechanisms[mechanism].name;
}

/* ---- which mechanism ---- */

static bool
is_offered(const char *offered, const char *name)
{
	size_t len = strlen(name);

	while (*offered != '\0') {
		size_t word = strcspn(offered, " \t");

		if (word == len && strncasecmp(offered, name, len) == 0)
			return true;
		offered += word;
		offered += strspn(offered, " \t");
	}
	return false;
}

int
sasl_client_choose(const char *offered, bool server_is_known, unsigned refused)
{
	static const enum sasl_mechanism orders[2][SASL_MECHANISMS] = {
	    {SASL_SCRAM_SHA_256, SASL_CRAM_MD5, SASL_PLAIN, SASL_LOGIN},
	    {SASL_SCRAM_SHA_256, SASL_PLAIN, SASL_LOGIN, SASL_CRAM_MD5},
	};
	size_t i;

	for (i = 0; i < SASL_MECHANISMS; i++) {
		enum sasl_mechanism one = orders[server_is_known][i];

		if ((refused & 1U << one) == 0 && is_offered(offered, mechanisms[one].name))
			return (int)one;
	}
	return -1;
}

/* ---- one exchange ---- */

static void
line_drop(struct sasl_client *sasl)
{
	if (sasl->line == NULL)
		return;
	explicit_bzero(sasl->line, strlen(sasl->line));
	gsasl_free(sasl->line);
	sasl->line = NULL;
}

static void
challenge_drop(struct sasl_client *sasl)
{
	free(sasl->challenge);
	sasl->challenge = NULL;
}

struct sasl_client *
sasl_client_new(enum sasl_mechanism mechanism, const char *login, const char *password,
		struct offload *offload, struct error *why)
{
	struct sasl_client *sasl = xcalloc(1, sizeof *sasl);
	int rc;

	sasl->mechanism = mechanism;
	sasl->offload = offload;
	rc = gsasl_init(&sasl->library);
	if (rc == GSASL_OK)
		rc = gsasl_client_start(sasl->library, mechanisms[mechanism].name, &sasl->session);
	if (rc == GSASL_OK)
		rc = gsasl_property_set(sasl->session, GSASL_AUTHID, login);
	if (rc == GSASL_OK)
		rc = gsasl_property_set(sasl->session, GSASL_PASSWORD, password);
	if (rc == GSASL_OK)
		return sasl;
	error_set(why, ERROR_REFUSED, "%s can't be used: %s", mechanisms[mechanism].name,
		  gsasl_strerror(rc));
	sasl_client_free(sasl);
	return NULL;
}

bool
sasl_client_begins(const struct sasl_client *sasl)
{
	return mechanisms[sasl->mechanism].begins;
}

bool
sasl_client_is_complete(const struct sasl_client *sasl)
{
	return sasl->complete;
}

const char *
sasl_client_last_line(const struct sasl_client *sasl)
{
	return sasl->line != NULL ? sasl->line : "";
}

/* "r=...,s=...,i=4096" (RFC 5802 §7): does it ask for more rounds than we mean to spend? */
static bool
asks_too_much(const char *challenge)
{
	char *text, *rounds;
	size_t len;
	bool result = false;

	if (gsasl_base64_from(challenge, strlen(challenge), &text, &len) != GSASL_OK)
		return false; /* the library says so too */
	rounds = len > 0 ? memmem(text, len, ",i=", 3) : NULL;
	if (rounds != NULL) {
		char *number = xstrndup(rounds + 3, len - (size_t)(rounds + 3 - text));

		result = strtoull(number, NULL, 10) > ROUNDS_MAX;
		free(number);
	}
	gsasl_free(text);
	return result;
}

static void
sasl_work(void *ctx)
{
	struct sasl_client *sasl = ctx;

	sasl->result = gsasl_step64(sasl->session, sasl->challenge, &sasl->line);
}

/* The last thing that is done to it: the caller may free it. */
static void
sasl_report(struct sasl_client *sasl)
{
	struct error why;

	challenge_drop(sasl);
	if (sasl->result == GSASL_OK || sasl->result == GSASL_NEEDS_MORE) {
		sasl->complete = sasl->result == GSASL_OK;
		sasl->answered(sasl->ctx, sasl->line != NULL ? sasl->line : "", NULL);
		return;
	}
	error_set(&why, ERROR_REFUSED, "%s: %s", mechanisms[sasl->mechanism].name,
		  sasl->result == GSASL_AUTHENTICATION_ERROR
		      ? "the server has not proved that it knows the password"
		      : gsasl_strerror(sasl->result));
	sasl->answered(sasl->ctx, NULL, &why);
}

static void
sasl_worked(void *ctx)
{
	struct sasl_client *sasl = ctx;

	sasl->busy = false;
	if (sasl->abandoned)
		sasl_client_free(sasl);
	else
		sasl_report(sasl);
}

void
sasl_client_answer(struct sasl_client *sasl, const char *challenge,
		   void (*answered)(void *ctx, const char *line, const struct error *why),
		   void *ctx)
{
	struct error why;

	line_drop(sasl);
	challenge_drop(sasl);
	sasl->answered = answered;
	sasl->ctx = ctx;
	if (sasl->mechanism == SASL_SCRAM_SHA_256 && asks_too_much(challenge)) {
		error_set(&why, ERROR_REFUSED, "%s: the server asks for more than %d rounds",
			  mechanisms[sasl->mechanism].name, ROUNDS_MAX);
		answered(ctx, NULL, &why);
		return;
	}
	sasl->challenge = xstrdup(challenge);
	if (sasl->mechanism == SASL_SCRAM_SHA_256 && challenge[0] != '\0' &&
	    sasl->offload != NULL) {
		sasl->busy = true;
		offload_run(sasl->offload, sasl_work, sasl_worked, sasl);
		return;
	}
	sasl_work(sasl);
	sasl_report(sasl);
}

void
sasl_client_free(struct sasl_client *sasl)
{
	const char *password;

	if (sasl == NULL)
		return;
	if (sasl->busy) {
		sasl->abandoned = true;
		return;
	}
	line_drop(sasl);
	challenge_drop(sasl);
	if (sasl->session != NULL) {
		/* The library frees its copy without wiping it. */
		password = gsasl_property_fast(sasl->session, GSASL_PASSWORD);
		if (password != NULL)
			explicit_bzero((char *)password, strlen(password));
		gsasl_finish(sasl->session);
	}
	if (sasl->library != NULL)
		gsasl_done(sasl->library);
	free(sasl);
}
