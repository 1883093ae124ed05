/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A connection of ours and the TLS peer that it is made to, both driven by the test: shared by
 * test_tls.c (handshakes) and test_conn_tls.c (what follows them).
 */
#ifndef TESTS_UNIT_CONN_TLS_FIXTURE_H
#define TESTS_UNIT_CONN_TLS_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "relayd/net/conn.h"
#include "tests/unit/tls_peer.h"

enum on_callback {
	ON_NONE,
	ON_CONNECTED,
	ON_SECURED,
	ON_DATA,
	ON_DRAINED,
	ON_CLOSED,
	ON_TIMED_OUT
};

/* Made once for all tests of a program. */
struct conn_tls_world {
	char directory[64];
	char *ca_file;
	struct tls_identity authority;
	struct tls_identity server; /* mail.test, *.wild.test, 127.0.0.1, ::1 */
};

struct conn_tls {
	struct conn_tls_world *world;
	struct loop *loop;
	struct conn *conn;
	struct tls_trust *trust; /* the world's authority */
	struct tls_peer peer;
	struct strbuf got;
	struct conn_tls_start start; /* for start_in_connected and start_in_data */
	bool start_in_connected;
	bool start_in_data;
	size_t take_first; /* of what `data` sees first it takes so much; 0: all */
	size_t keep;       /* `data` takes whole units of so many bytes; 0: all */
	bool take_nothing;
	bool pause_on_data;
	bool echo;
	enum on_callback free_on;
	int connected, secured, data, drained, closed, timed_out;
	size_t offered; /* the most that one `data` saw */
	bool orderly;
	bool tls_failed; /* conn_tls_failed inside `closed` */
	int sys;
	char why[512];
};

int conn_tls_world_setup(void **state);
int conn_tls_world_teardown(void **state);
int conn_tls_setup(void **state);
int conn_tls_teardown(void **state);

/* Connect, and accept at the peer. */
void conn_tls_connect(struct conn_tls *f, const struct conn_options *options);
/* The same, then start TLS on both sides; `name` NULL: "mail.test". */
void conn_tls_begin(struct conn_tls *f, const char *name, bool verify);
/* The same, until the handshake is done. */
void conn_tls_establish(struct conn_tls *f, const struct conn_options *options);
/* After conn_tls_begin: `secured`, or `closed`. */
void conn_tls_settle(struct conn_tls *f);
void conn_tls_drop(struct conn_tls *f); /* both ends, for another connection */

/* Loop and peer in turn until... */
void conn_tls_until(struct conn_tls *f, const int *count, int wanted);
void conn_tls_until_flag(struct conn_tls *f, const bool *flag);
void conn_tls_until_len(struct conn_tls *f, const struct strbuf *buffer, size_t len);
void conn_tls_idle(struct conn_tls *f);

#endif
