/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The other end of a TLS connection for tests: certificates made on the spot, and a server in the
 * same thread that goes on a bit whenever it is pumped. Every failure of its own setup ends the
 * test.
 */
#ifndef TESTS_UNIT_TLS_PEER_H
#define TESTS_UNIT_TLS_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "common/netaddr.h"
#include "common/strbuf.h"

struct tls_identity {
	EVP_PKEY *key;
	X509 *certificate;
};

struct tls_request {
	const char *names; /* "DNS:mail.test,IP:127.0.0.1"; NULL: an authority */
	const char *common_name;
	const char *usage; /* "serverAuth"; NULL: any */
	unsigned rsa_bits; /* 0: elliptic curves */
	long from_s;       /* validity, from now; both 0: an hour around now */
	long until_s;
};

/* `issuer` NULL: self-signed. */
void tls_identity_make(struct tls_identity *identity, const struct tls_identity *issuer,
		       const struct tls_request *request);
void tls_identity_clear(struct tls_identity *identity);
void tls_identity_write(const struct tls_identity *identity, const char *file); /* appends */

struct tls_peer {
	int listener;
	struct netaddr address;
	SSL_CTX *context;
	int fd;   /* of the one connection; -1: none */
	SSL *ssl; /* NULL: in the clear */
	bool stands;
	bool failed;  /* the handshake or the stream: OpenSSL will not go on */
	bool ended;   /* close_notify came */
	bool cut;     /* the descriptor ended without it */
	bool deaf;    /* does not read */
	size_t chunk; /* the most that one pump reads; 0: all */
	struct strbuf got;
	struct strbuf to_send;
	char server_name[256]; /* SNI; "": none */
};

void tls_peer_init(struct tls_peer *peer, const struct tls_identity *identity);
void tls_peer_clear(struct tls_peer *peer);

/* Take the connection that waits; blocks until it is there. */
void tls_peer_accept(struct tls_peer *peer);
void tls_peer_start(struct tls_peer *peer); /* TLS, as the server */

/* Handshake, read, write: as far as it goes without waiting. */
void tls_peer_pump(struct tls_peer *peer);
void tls_peer_send(struct tls_peer *peer, const void *bytes, size_t len); /* once it stands */
void tls_peer_send_raw(struct tls_peer *peer, const void *bytes, size_t len);

/* close_notify alone; FIN alone or, with `hard`, a reset. */
void tls_peer_notify(struct tls_peer *peer);
void tls_peer_hang_up(struct tls_peer *peer, bool hard);

#endif
