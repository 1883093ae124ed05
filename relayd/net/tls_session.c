/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A session from its opening to close_notify. OpenSSL's queue of errors is empty before and after
 * each call of it.
 */
#include "relayd/net/tls_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/log.h"
#include "common/netaddr.h"
#include "common/xalloc.h"
#include "relayd/net/tls_private.h"

enum {
	READ_BUDGET = 128 * 1024, /* from the descriptor in one call */
	/* Where nobody checks the certificate, a short key is still better than clear text. */
	UNVERIFIED_LEVEL = 1
};

/* ---- what is asked for ---- */

/* What the certificate must hold for; SNI, which takes no addresses (RFC 6066 §3). */
static int
expect_name(struct tls_session *session, struct error *why)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(session->ssl);
	struct netaddr address;
	bool known;

	if (netaddr_parse(session->name, &address) == 0) {
		known = X509_VERIFY_PARAM_set1_ip(param, address.bytes,
						  address.family == AF_INET ? 4 : 16) == 1;
	} else {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		known = X509_VERIFY_PARAM_set1_host(param, session->name, 0) == 1 &&
			SSL_set_tlsext_host_name(session->ssl, session->name) == 1;
	}
	ERR_clear_error();
	return known ? 0
		     : error_set(why, ERROR_REFUSED, "TLS: \"%s\" can't be the name of a server",
				 session->name);
}

static char *
name_without_dot(const char *name)
{
	size_t len = name != NULL ? strlen(name) : 0;

	if (len == 0)
		return NULL;
	return xstrndup(name, name[len - 1] == '.' ? len - 1 : len);
}

static void
session_open(struct tls_session *session)
{
	BIO *bio = BIO_new(session->trust->transport);

	session->ssl = SSL_new(session->trust->context);
	if (session->ssl == NULL || bio == NULL || SSL_set_app_data(session->ssl, session) != 1)
		fatal("OpenSSL has no memory for a session");
	BIO_set_data(bio, session);
	BIO_set_init(bio, 1);
	SSL_set_bio(session->ssl, bio, bio);
	SSL_set_connect_state(session->ssl);
	/* Not verified does not mean not looked at: the facts say what a check would have found. */
	SSL_set_verify(session->ssl, session->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (session->verify)
		return;
	SSL_set_security_level(session->ssl, UNVERIFIED_LEVEL);
	/* Servers without RFC 5746: there is no second handshake here that could be abused. */
	SSL_set_options(session->ssl, SSL_OP_LEGACY_SERVER_CONNECT);
}

struct tls_session *
tls_session_connect(struct tls_trust *trust, int fd, const char *name, bool verify,
		    const char *session_key, struct error *why)
{
	struct tls_session *session;
	char *plain = name_without_dot(name);

	if (verify && plain == NULL) {
		error_set(why, ERROR_REFUSED, "TLS: there is no name to verify");
		return NULL;
	}
	session = xcalloc(1, sizeof(*session));
	session->trust = tls_trust_keep(trust);
	session->fd = fd;
	session->name = plain;
	session->verify = verify;
	session->cache_key = tls_resumption_key(plain, verify, session_key);
	session_open(session);
	if (plain != NULL && expect_name(session, why) < 0) {
		tls_session_free(session);
		return NULL;
	}
	tls_resumption_offer(session);
	return session;
}

void
tls_session_free(struct tls_session *session)
{
	if (session == NULL)
		return;
	SSL_free(session->ssl);
	tls_trust_free(session->trust);
	free(session->name);
	free(session->cache_key);
	free(session->complaint);
	free(session);
}

/* ---- failures ---- */

/* The first sentence counts. */
static void
session_complain(struct tls_session *session, const char *sentence)
{
	session->over = true;
	if (session->complaint == NULL)
		session->complaint = xstrdup(sentence);
}

/* OpenSSL has failed with what is not "later". Leaves the sentence, or errno. */
static void
session_break(struct tls_session *session)
{
	char text[TLS_WORDS_MAX];

	/* First: the alert that OpenSSL sends then fails too. */
	if (session->ended)
		session_complain(session, "closed without the end of the TLS session (truncated)");
	else if (session->sys == 0)
		session_complain(session, tls_words(text, sizeof(text)));
	ERR_clear_error();
	session->over = true;
	errno = session->sys != 0 ? session->sys : EPROTO;
}

/* Before each call of OpenSSL that may touch the descriptor. */
static void
session_begin(struct tls_session *session, size_t budget)
{
	session->budget = budget;
	session->wants_write = false;
	session->sys = 0;
	ERR_clear_error();
}

/* ---- the handshake ---- */

static void
session_learn(struct tls_session *session)
{
	long result = SSL_get_verify_result(session->ssl);

	session->facts.version = SSL_get_version(session->ssl);
	session->facts.cipher = SSL_get_cipher_name(session->ssl);
	session->facts.resumed = SSL_session_reused(session->ssl) == 1;
	if (SSL_get0_peer_certificate(session->ssl) == NULL)
		session->facts.verify_error = "certificate: there is none";
	else if (session->name == NULL)
		session->facts.verify_error = "certificate: there is no name to check it against";
	else if (result != X509_V_OK)
		session->facts.verify_error = tls_certificate_words(
		    result, session->name, session->verify_error, sizeof(session->verify_error));
	session->facts.verified = session->facts.verify_error == NULL;
}

static void
handshake_complain(struct tls_session *session)
{
	long result = SSL_get_verify_result(session->ssl);
	char text[TLS_WORDS_MAX];

	tls_resumption_forget(session); /* should it be the session that the peer took badly */
	if (session->verify && result != X509_V_OK)
		session_complain(session,
				 tls_certificate_words(result, session->name, text, sizeof(text)));
	else if (session->ended)
		session_complain(session, "closed in the middle of the handshake");
	session_break(session);
}

enum tls_session_step
tls_session_shake_hands(struct tls_session *session)
{
	int rc, error;

	session_begin(session, READ_BUDGET);
	rc = SSL_do_handshake(session->ssl);
	error = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(session->ssl, rc);
	switch (error) {
	case SSL_ERROR_NONE:
		break;
	case SSL_ERROR_WANT_WRITE:
		session->wants_write = true;
		return TLS_SESSION_WAITS;
	case SSL_ERROR_WANT_READ:
		return TLS_SESSION_WAITS;
	default:
		handshake_complain(session);
		return TLS_SESSION_FAILED;
	}
	session_learn(session);
	if (session->verify && !session->facts.verified) {
		session_complain(session, session->facts.verify_error);
		handshake_complain(session);
		return TLS_SESSION_FAILED;
	}
	session->more = SSL_has_pending(session->ssl) == 1;
	return TLS_SESSION_STANDS;
}

/* ---- the bytes ---- */

/* What a read that came to nothing means: 0, or -1 and errno. */
static ssize_t
read_stopped(struct tls_session *session, int error)
{
	switch (error) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		session->wants_write = true;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_READ:
		errno = EAGAIN;
		return -1;
	default:
		session_break(session);
		return -1;
	}
}

ssize_t
tls_session_read(struct tls_session *session, char *bytes, size_t len)
{
	size_t total = 0, n;
	ssize_t stopped;

	session_begin(session, session->more ? 0 : READ_BUDGET);
	session->more = false;
	if (session->over) {
		errno = EPROTO;
		return -1;
	}
	while (total < len) {
		if (SSL_read_ex(session->ssl, bytes + total, len - total, &n) != 1) {
			stopped = read_stopped(session, SSL_get_error(session->ssl, 0));
			if (total == 0)
				return stopped;
			/* The end and failures are told by the next call. */
			session->more = stopped == 0 || session->over;
			return (ssize_t)total;
		}
		total += n;
	}
	session->more = SSL_has_pending(session->ssl) == 1;
	return (ssize_t)total;
}

bool
tls_session_has_more(const struct tls_session *session)
{
	return session->more;
}

ssize_t
tls_session_write(struct tls_session *session, const char *bytes, size_t len)
{
	size_t total = 0, n;
	int error;

	session_begin(session, 0);
	if (session->over) {
		errno = EPROTO;
		return -1;
	}
	while (total < len) {
		if (SSL_write_ex(session->ssl, bytes + total, len - total, &n) == 1) {
			total += n;
			continue;
		}
		error = SSL_get_error(session->ssl, 0);
		if (error != SSL_ERROR_WANT_WRITE) {
			/* Nothing but a second handshake reads while it writes. */
			if (error == SSL_ERROR_WANT_READ)
				session_complain(session, "the peer asks for another handshake");
			session_break(session);
			return -1;
		}
		if (total == 0) {
			errno = EAGAIN;
			return -1;
		}
		break;
	}
	return (ssize_t)total;
}

int
tls_session_close(struct tls_session *session)
{
	bool later = false;
	int rc;

	session_begin(session, 0);
	if (session->over)
		return 0;
	rc = SSL_shutdown(session->ssl);
	if (rc < 0)
		later = SSL_get_error(session->ssl, rc) == SSL_ERROR_WANT_WRITE;
	ERR_clear_error();
	return later ? -1 : 0;
}

/* ---- what there is to know ---- */

bool
tls_session_wants_write(const struct tls_session *session)
{
	return session->wants_write;
}

const char *
tls_session_complaint(const struct tls_session *session)
{
	return session->complaint;
}

const struct tls_facts *
tls_session_facts(const struct tls_session *session)
{
	return &session->facts;
}
