/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sessions that are resumed: TLS 1.2 by id or ticket, TLS 1.3 by ticket, as the peer wants it.
 * OpenSSL's own cache is not used: it knows no next hops.
 */
#include <stdint.h>
#include <time.h>

#include <openssl/err.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "relayd/net/tls_private.h"

enum {
	RESUMABLE_MAX = 16 * 1024, /* a session larger than this is not worth its memory */
	RESUMABLE_S = 3600         /* after so long the certificate is looked at again */
};

static int64_t
clock_s(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		fatal("there is no monotonic clock");
	return now.tv_sec;
}

/* Name and verify are part of it: a session whose certificate nobody looked at must never stand in
 * for one that was to be verified. */
char *
tls_resumption_key(const char *name, bool verify, const char *session_key)
{
	if (session_key == NULL)
		return NULL;
	return xasprintf("%s %s %s", verify ? "verify" : "any", name != NULL ? name : "",
			 session_key);
}

/* As DER, not as OpenSSL's object, which it marks as not resumable when a peer closes without
 * close_notify: many do, and RFC 5246 §7.2.1 lets the session live on. */
int
tls_resumption_keep(SSL *ssl, SSL_SESSION *resumable)
{
	struct tls_session *session = SSL_get_app_data(ssl);
	int64_t lifetime_s = (int64_t)SSL_SESSION_get_timeout(resumable);
	unsigned char *bytes = NULL;
	int len;

	if (session->cache_key == NULL || !SSL_SESSION_is_resumable(resumable))
		return 0;
	len = i2d_SSL_SESSION(resumable, &bytes);
	if (len > 0 && len <= RESUMABLE_MAX)
		tls_cache_put(session->trust->cache, session->cache_key, bytes, (size_t)len,
			      clock_s() + (lifetime_s < RESUMABLE_S ? lifetime_s : RESUMABLE_S));
	OPENSSL_clear_free(bytes, len > 0 ? (size_t)len : 0);
	return 0; /* we keep no reference */
}

void
tls_resumption_offer(struct tls_session *session)
{
	const unsigned char *bytes = NULL;
	SSL_SESSION *resumable;
	size_t len = 0;

	if (session->cache_key != NULL)
		bytes = tls_cache_get(session->trust->cache, session->cache_key, clock_s(), &len);
	if (bytes == NULL)
		return;
	resumable = d2i_SSL_SESSION(NULL, &bytes, (long)len);
	if (resumable != NULL)
		(void)SSL_set_session(session->ssl, resumable); /* not taken: a full handshake */
	SSL_SESSION_free(resumable);
	ERR_clear_error();
}

void
tls_resumption_forget(struct tls_session *session)
{
	if (session->cache_key != NULL)
		tls_cache_drop(session->trust->cache, session->cache_key);
}
