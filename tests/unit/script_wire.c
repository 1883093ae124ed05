/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/script_wire.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/xalloc.h"
#include "tests/unit/tls_peer.h"

struct script_wire {
	int fd;
	SSL_CTX *context;
	SSL *ssl; /* NULL: in the clear */
};

struct script_wire *
script_wire_new(int fd)
{
	struct script_wire *wire = xcalloc(1, sizeof *wire);

	wire->fd = fd;
	return wire;
}

void
script_wire_free(struct script_wire *wire)
{
	SSL_free(wire->ssl);
	SSL_CTX_free(wire->context);
	free(wire);
}

int
script_wire_secure(struct script_wire *wire, const struct tls_identity *identity)
{
	sigset_t broken_pipe;
	SSL *ssl;
	int rc;

	/* OpenSSL writes without MSG_NOSIGNAL. Of this thread alone: what is tested must not need it. */
	sigemptyset(&broken_pipe);
	sigaddset(&broken_pipe, SIGPIPE);
	if (pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL) != 0)
		abort();
	wire->context = SSL_CTX_new(TLS_server_method());
	if (wire->context == NULL ||
	    SSL_CTX_use_certificate(wire->context, identity->certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(wire->context, identity->key) != 1 ||
	    (ssl = SSL_new(wire->context)) == NULL || SSL_set_fd(ssl, wire->fd) != 1)
		abort();
	rc = SSL_accept(ssl);
	ERR_clear_error();
	if (rc != 1) {
		SSL_free(ssl);
		return -1;
	}
	wire->ssl = ssl;
	return 0;
}

bool
script_wire_is_secure(const struct script_wire *wire)
{
	return wire->ssl != NULL;
}

long
script_wire_read(struct script_wire *wire, char *bytes, size_t room)
{
	size_t got;
	ssize_t n;

	if (wire->ssl != NULL) {
		if (SSL_read_ex(wire->ssl, bytes, room, &got) == 1)
			return (long)got;
		ERR_clear_error();
		return -1;
	}
	do
		n = recv(wire->fd, bytes, room, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

int
script_wire_write(struct script_wire *wire, const char *bytes, size_t len)
{
	size_t put;

	if (wire->ssl != NULL) {
		if (len == 0 || SSL_write_ex(wire->ssl, bytes, len, &put) == 1)
			return 0;
		ERR_clear_error();
		return -1;
	}
	while (len > 0) {
		ssize_t n = send(wire->fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

bool
script_wire_has_more(const struct script_wire *wire)
{
	struct pollfd readable = {.fd = wire->fd, .events = POLLIN};

	if (wire->ssl != NULL)
		return SSL_pending(wire->ssl) > 0; /* what is in the socket may be no data */
	return poll(&readable, 1, 0) > 0 && (readable.revents & POLLIN) != 0 &&
	       recv(wire->fd, &(char){0}, 1, MSG_PEEK) > 0;
}

void
script_wire_farewell(struct script_wire *wire)
{
	if (wire->ssl != NULL && SSL_shutdown(wire->ssl) < 0)
		ERR_clear_error();
}
