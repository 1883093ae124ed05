/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Whom we trust, and how OpenSSL is set up for it. */
#include "relayd/net/tls.h"

#include <stdlib.h>

#include <openssl/err.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "relayd/net/tls_private.h"

enum { CACHE_ENTRIES = 1024 };

static int
trust_load(SSL_CTX *context, const char *ca_file, struct error *why)
{
	char text[TLS_WORDS_MAX];

	ERR_clear_error();
	if (ca_file == NULL) {
		if (SSL_CTX_set_default_verify_paths(context) == 1)
			return 0;
		return error_set(why, ERROR_REFUSED, "the system's certificate store: %s",
				 tls_words(text, sizeof(text)));
	}
	if (SSL_CTX_load_verify_file(context, ca_file) == 1)
		return 0;
	return error_set(why, ERROR_REFUSED, "%s: no certificates could be read: %s", ca_file,
			 tls_words(text, sizeof(text)));
}

static SSL_CTX *
context_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
		fatal("OpenSSL can't start");
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	/* conn's output moves while it grows; an idle session needs no buffers. */
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	/* One recv(2) for a record's head and body, and for several records. */
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, tls_resumption_keep);
	return context;
}

struct tls_trust *
tls_trust_new(const char *ca_file, struct error *why)
{
	struct tls_trust *trust;
	SSL_CTX *context = context_new();

	if (trust_load(context, ca_file, why) < 0) {
		SSL_CTX_free(context);
		return NULL;
	}
	trust = xcalloc(1, sizeof(*trust));
	trust->references = 1;
	trust->context = context;
	trust->transport = tls_transport_new();
	trust->cache = tls_cache_new(CACHE_ENTRIES);
	return trust;
}

struct tls_trust *
tls_trust_keep(struct tls_trust *trust)
{
	trust->references++;
	return trust;
}

void
tls_trust_free(struct tls_trust *trust)
{
	if (trust == NULL || --trust->references > 0)
		return;
	SSL_CTX_free(trust->context);
	BIO_meth_free(trust->transport);
	tls_cache_free(trust->cache);
	free(trust);
}
