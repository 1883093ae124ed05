/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/tls_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

/* ---- certificates ---- */

static void
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

void
tls_identity_make(struct tls_identity *identity, const struct tls_identity *issuer,
		  const struct tls_request *request)
{
	X509 *certificate = X509_new();
	X509 *signer = issuer != NULL ? issuer->certificate : certificate;
	bool dated = request->from_s != 0 || request->until_s != 0;
	X509_NAME *name;
	uint64_t serial;

	identity->key =
	    request->rsa_bits > 0 ? EVP_RSA_gen(request->rsa_bits) : EVP_EC_gen("P-256");
	assert_non_null(identity->key);
	identity->certificate = certificate;
	assert_int_equal(X509_set_version(certificate, X509_VERSION_3), 1);
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof(serial)), 1);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), dated ? request->from_s : -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), dated ? request->until_s : 3600);
	name = X509_get_subject_name(certificate);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
						    (const unsigned char *)request->common_name, -1,
						    -1, 0),
			 1);
	assert_int_equal(X509_set_issuer_name(certificate, X509_get_subject_name(signer)), 1);
	assert_int_equal(X509_set_pubkey(certificate, identity->key), 1);
	if (request->names != NULL)
		add_extension(certificate, signer, NID_subject_alt_name, request->names);
	else
		add_extension(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
	if (request->usage != NULL)
		add_extension(certificate, signer, NID_ext_key_usage, request->usage);
	assert_true(
	    X509_sign(certificate, issuer != NULL ? issuer->key : identity->key, EVP_sha256()) > 0);
}

void
tls_identity_clear(struct tls_identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->certificate);
}

void
tls_identity_write(const struct tls_identity *identity, const char *file)
{
	FILE *out = fopen(file, "ae");

	assert_non_null(out);
	assert_int_equal(PEM_write_X509(out, identity->certificate), 1);
	assert_int_equal(fclose(out), 0);
}

/* ---- the server ---- */

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_peer *peer = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	(void)snprintf(peer->server_name, sizeof(peer->server_name), "%s",
		       name != NULL ? name : "");
	return SSL_TLSEXT_ERR_OK;
}

void
tls_peer_init(struct tls_peer *peer, const struct tls_identity *identity)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);

	memset(peer, 0, sizeof(*peer));
	peer->fd = -1;
	peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(peer->listener >= 0);
	assert_int_equal(bind(peer->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(peer->listener, 16), 0);
	assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&sin, &len), 0);
	netaddr_from_sockaddr(&peer->address, (struct sockaddr *)&sin);
	peer->context = SSL_CTX_new(TLS_server_method());
	assert_non_null(peer->context);
	SSL_CTX_set_mode(peer->context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_tlsext_servername_callback(peer->context, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(peer->context, peer);
	if (identity == NULL)
		return;
	SSL_CTX_set_security_level(peer->context, 0); /* what is shown is the test's affair */
	assert_int_equal(SSL_CTX_use_certificate(peer->context, identity->certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(peer->context, identity->key), 1);
}

static void
forget_connection(struct tls_peer *peer)
{
	SSL_free(peer->ssl);
	peer->ssl = NULL;
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

void
tls_peer_clear(struct tls_peer *peer)
{
	forget_connection(peer);
	SSL_CTX_free(peer->context);
	close(peer->listener);
	strbuf_clear(&peer->got);
	strbuf_clear(&peer->to_send);
}

void
tls_peer_accept(struct tls_peer *peer)
{
	int on = 1;

	forget_connection(peer);
	peer->stands = peer->failed = peer->ended = peer->cut = false;
	strbuf_clear(&peer->got);
	strbuf_clear(&peer->to_send);
	peer->fd = accept4(peer->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(peer->fd >= 0);
	assert_int_equal(setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
}

void
tls_peer_start(struct tls_peer *peer)
{
	peer->ssl = SSL_new(peer->context);
	assert_non_null(peer->ssl);
	assert_int_equal(SSL_set_fd(peer->ssl, peer->fd), 1);
	SSL_set_accept_state(peer->ssl);
}

/* What ended it, if anything did. */
static void
peer_note(struct tls_peer *peer, int rc)
{
	int error = SSL_get_error(peer->ssl, rc);

	if (error == SSL_ERROR_ZERO_RETURN) {
		peer->ended = true;
	} else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
		peer->cut = error == SSL_ERROR_SYSCALL ||
			    ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
		peer->failed = true;
	}
	ERR_clear_error();
}

static void
peer_read(struct tls_peer *peer)
{
	size_t most = peer->chunk > 0 ? peer->chunk : 65536, total = 0;

	while (!peer->ended && !peer->failed && !peer->deaf && total < most) {
		size_t n;
		int rc = SSL_read_ex(peer->ssl, strbuf_reserve(&peer->got, most - total),
				     most - total, &n);

		if (rc != 1) {
			peer_note(peer, rc);
			return;
		}
		strbuf_grew(&peer->got, n);
		total += n;
	}
}

static void
peer_write(struct tls_peer *peer)
{
	while (!peer->failed && peer->to_send.len > 0) {
		size_t n;
		int rc = SSL_write_ex(peer->ssl, peer->to_send.data, peer->to_send.len, &n);

		if (rc != 1) {
			peer_note(peer, rc);
			return;
		}
		strbuf_consume(&peer->to_send, n);
	}
}

static void
read_in_the_clear(struct tls_peer *peer)
{
	ssize_t n = recv(peer->fd, strbuf_reserve(&peer->got, 65536), 65536, 0);

	if (n > 0)
		strbuf_grew(&peer->got, (size_t)n);
	else if (n == 0)
		peer->cut = true;
}

void
tls_peer_pump(struct tls_peer *peer)
{
	int rc;

	if (peer->fd < 0 || peer->failed || peer->cut)
		return;
	if (peer->ssl == NULL) {
		read_in_the_clear(peer);
		return;
	}
	ERR_clear_error();
	if (!peer->stands) {
		rc = SSL_do_handshake(peer->ssl);
		peer->stands = rc == 1;
		if (rc != 1)
			peer_note(peer, rc);
	}
	if (peer->stands) {
		peer_write(peer);
		peer_read(peer);
	}
}

void
tls_peer_send(struct tls_peer *peer, const void *bytes, size_t len)
{
	strbuf_append(&peer->to_send, bytes, len);
	tls_peer_pump(peer);
}

void
tls_peer_send_raw(struct tls_peer *peer, const void *bytes, size_t len)
{
	assert_int_equal(send(peer->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

void
tls_peer_notify(struct tls_peer *peer)
{
	ERR_clear_error();
	assert_int_equal(SSL_shutdown(peer->ssl) >= 0, 1);
}

void
tls_peer_hang_up(struct tls_peer *peer, bool hard)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (hard)
		assert_int_equal(
		    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	forget_connection(peer);
}
