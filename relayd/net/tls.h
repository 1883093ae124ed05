/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * TLS as other rooms see it (RFC 8446, RFC 5246; nothing older): whom we trust, and what a handshake
 * agreed on. The sessions themselves are inside conn. This room alone sees OpenSSL.
 */
#ifndef RELAYD_NET_TLS_H
#define RELAYD_NET_TLS_H

#include <stdbool.h>

#include "common/error.h"

/* For sessions that we open: the authorities that are believed, and the sessions that can be
 * resumed. Counted by references: a reload swaps it while connections still use the old one. */
struct tls_trust;

/* `ca_file`: certificates in PEM; NULL: the system's store. NULL and `why` if it can't be used. */
struct tls_trust *tls_trust_new(const char *ca_file, struct error *why);
struct tls_trust *tls_trust_keep(struct tls_trust *trust); /* one more reference */
void tls_trust_free(struct tls_trust *trust);              /* one less; NULL is allowed */

struct tls_facts {
	const char *version;      /* "TLSv1.3" */
	const char *cipher;       /* "TLS_AES_256_GCM_SHA384" */
	bool verified;            /* the certificate holds for the name, whether that was asked for or not */
	bool resumed;
	const char *verify_error; /* "certificate: self-signed"; NULL: verified */
};

#endif
