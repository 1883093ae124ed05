/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * OpenSSL reads and writes the descriptor through a BIO of our own: so that no SIGPIPE comes, so
 * that an errno is still known when OpenSSL has returned, and so that one call takes no more than
 * its share from a peer that sends without end.
 */
#include <errno.h>

#include "common/log.h"
#include "relayd/net/socket.h"
#include "relayd/net/tls_private.h"

static int
transport_read(BIO *bio, char *bytes, size_t len, size_t *done)
{
	struct tls_session *session = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (session->budget == 0) {
		BIO_set_retry_read(bio);
		return 0;
	}
	n = socket_receive(session->fd, bytes, len);
	if (n > 0) {
		*done = (size_t)n;
		session->budget -= *done < session->budget ? *done : session->budget;
		return 1;
	}
	if (n == 0)
		session->ended = true;
	else if (socket_is_again(errno))
		BIO_set_retry_read(bio);
	else
		session->sys = errno;
	return 0;
}

static int
transport_write(BIO *bio, const char *bytes, size_t len, size_t *done)
{
	struct tls_session *session = BIO_get_data(bio);
	ssize_t n = socket_send(session->fd, bytes, len);

	BIO_clear_retry_flags(bio);
	if (n >= 0) {
		*done = (size_t)n;
		return 1;
	}
	if (socket_is_again(errno))
		BIO_set_retry_write(bio);
	else
		session->sys = errno;
	return 0;
}

static long
transport_control(BIO *bio, int command, long number, void *pointer)
{
	const struct tls_session *session = BIO_get_data(bio);

	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return session->ended;
	default:
		return 0;
	}
}

BIO_METHOD *
tls_transport_new(void)
{
	int type = BIO_get_new_index();
	BIO_METHOD *method = BIO_meth_new(type | BIO_TYPE_SOURCE_SINK, "relayd");

	if (type < 0 || method == NULL || BIO_meth_set_read_ex(method, transport_read) != 1 ||
	    BIO_meth_set_write_ex(method, transport_write) != 1 ||
	    BIO_meth_set_ctrl(method, transport_control) != 1)
		fatal("OpenSSL takes no transport");
	return method;
}
