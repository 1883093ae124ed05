/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files that see OpenSSL share: tls.c (whom we trust), tls_session.c (one session),
 * tls_transport.c (its way to the descriptor), tls_resumption.c (what is kept of it for the next
 * one) and tls_words.c (what OpenSSL means).
 */
#ifndef RELAYD_NET_TLS_PRIVATE_H
#define RELAYD_NET_TLS_PRIVATE_H

#include <stddef.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "relayd/net/tls_cache.h"
#include "relayd/net/tls_session.h"

enum { TLS_WORDS_MAX = 384 };

struct tls_trust {
	unsigned references;
	SSL_CTX *context;
	BIO_METHOD *transport; /* BIOs whose data is a struct tls_session */
	struct tls_cache *cache;
};

struct tls_session {
	struct tls_trust *trust;
	SSL *ssl;
	int fd;
	int sys;         /* what the descriptor said last; 0: nothing wrong */
	bool ended;      /* the descriptor is at its end */
	size_t budget;   /* what may still be read from the descriptor in this call */
	bool more;       /* the last read ended because its place was full */
	bool wants_write;
	bool verify;
	bool over;       /* the protocol is broken: not another byte */
	char *name;
	char *cache_key; /* NULL: never resumed */
	char *complaint;
	struct tls_facts facts;
	char verify_error[TLS_WORDS_MAX];
};

/* ---- tls_transport.c ---- */

/* How a session reads and writes its descriptor. */
BIO_METHOD *tls_transport_new(void);

/* ---- tls_resumption.c ---- */

/* Under which a session is kept: to be freed. NULL if it is not to be resumed. */
char *tls_resumption_key(const char *name, bool verify, const char *session_key);
void tls_resumption_offer(struct tls_session *session);
void tls_resumption_forget(struct tls_session *session); /* what may have been offered */

/* Told by OpenSSL of each session that can be resumed. */
int tls_resumption_keep(SSL *ssl, SSL_SESSION *resumable);

/* ---- tls_words.c ---- */

/* The errors of this thread's queue as a sentence; the queue is empty afterwards. */
const char *tls_words(char *text, size_t size);

/* What is wrong with a certificate, as X509_V_ERR_*; `name`: the one it should hold for. */
const char *tls_certificate_words(long result, const char *name, char *text, size_t size);

#endif
