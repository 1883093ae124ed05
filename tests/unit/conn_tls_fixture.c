/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/conn_tls_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/xalloc.h"

enum { PATIENCE_MS = 20000 };

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- our callbacks ---- */

static void
maybe_free(struct conn_tls *f, enum on_callback here)
{
	if (f->free_on != here)
		return;
	conn_free(f->conn);
	f->conn = NULL;
}

static void
on_connected(void *ctx)
{
	struct conn_tls *f = ctx;

	f->connected++;
	if (f->start_in_connected)
		assert_int_equal(conn_start_tls(f->conn, &f->start, NULL), 0);
	maybe_free(f, ON_CONNECTED);
}

static void
on_secured(void *ctx)
{
	struct conn_tls *f = ctx;

	f->secured++;
	assert_non_null(conn_tls(f->conn));
	maybe_free(f, ON_SECURED);
}

static size_t
on_data(void *ctx, const char *data, size_t len)
{
	struct conn_tls *f = ctx;
	size_t taken = f->take_nothing ? 0 : f->keep == 0 ? len : len - len % f->keep;

	if (f->data == 0 && f->take_first > 0)
		taken = f->take_first;
	f->data++;
	f->offered = len > f->offered ? len : f->offered;
	strbuf_append(&f->got, data, taken);
	if (f->echo)
		conn_write(f->conn, data, taken);
	if (f->pause_on_data)
		conn_pause(f->conn);
	if (f->start_in_data) {
		f->start_in_data = false;
		assert_int_equal(conn_start_tls(f->conn, &f->start, NULL), 0);
		assert_null(conn_tls(f->conn));
	}
	maybe_free(f, ON_DATA);
	return taken;
}

static void
on_drained(void *ctx)
{
	struct conn_tls *f = ctx;

	f->drained++;
	maybe_free(f, ON_DRAINED);
}

static void
on_closed(void *ctx, const struct error *why)
{
	struct conn_tls *f = ctx;

	f->closed++;
	f->orderly = why == NULL;
	f->sys = why != NULL ? why->sys : 0;
	f->tls_failed = conn_tls_failed(f->conn);
	(void)snprintf(f->why, sizeof(f->why), "%s", why != NULL ? why->text : "");
	maybe_free(f, ON_CLOSED);
}

static void
on_timed_out(void *ctx)
{
	struct conn_tls *f = ctx;

	f->timed_out++;
	maybe_free(f, ON_TIMED_OUT);
}

static const struct conn_events events = {.connected = on_connected,
					  .secured = on_secured,
					  .data = on_data,
					  .drained = on_drained,
					  .closed = on_closed,
					  .timed_out = on_timed_out};

/* ---- before and after ---- */

int
conn_tls_world_setup(void **state)
{
	struct conn_tls_world *world = xcalloc(1, sizeof(*world));
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(world->directory, sizeof(world->directory), "%s/relayd-tls.XXXXXX",
		       tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	assert_non_null(mkdtemp(world->directory));
	world->ca_file = xasprintf("%s/ca.pem", world->directory);
	tls_identity_make(&world->authority, NULL, &(struct tls_request){.common_name = "root"});
	tls_identity_make(
	    &world->server, &world->authority,
	    &(struct tls_request){.common_name = "mail.test",
				  .names = "DNS:mail.test,DNS:*.wild.test,IP:127.0.0.1,IP:::1"});
	tls_identity_write(&world->authority, world->ca_file);
	*state = world;
	return 0;
}

int
conn_tls_world_teardown(void **state)
{
	struct conn_tls_world *world = *state;

	assert_int_equal(unlink(world->ca_file), 0);
	assert_int_equal(rmdir(world->directory), 0);
	tls_identity_clear(&world->authority);
	tls_identity_clear(&world->server);
	free(world->ca_file);
	free(world);
	return 0;
}

/* cmocka hands the group's state to each setup, and again to the next one. */
int
conn_tls_setup(void **state)
{
	struct conn_tls *f = xcalloc(1, sizeof(*f));

	f->world = *state;
	f->loop = loop_new(NULL);
	f->trust = tls_trust_new(f->world->ca_file, NULL);
	assert_non_null(f->trust);
	tls_peer_init(&f->peer, &f->world->server);
	*state = f;
	return 0;
}

int
conn_tls_teardown(void **state)
{
	struct conn_tls *f = *state;

	conn_free(f->conn);
	loop_free(f->loop);
	tls_trust_free(f->trust);
	tls_peer_clear(&f->peer);
	strbuf_clear(&f->got);
	*state = f->world;
	free(f);
	return 0;
}

/* ---- steps ---- */

void
conn_tls_connect(struct conn_tls *f, const struct conn_options *options)
{
	int before = f->connected;
	struct error why;

	f->conn = conn_connect(f->loop, &f->peer.address, NULL, options, &events, f, &why);
	assert_non_null(f->conn);
	conn_tls_until(f, &f->connected, before + 1);
	tls_peer_accept(&f->peer);
}

void
conn_tls_begin(struct conn_tls *f, const char *name, bool verify)
{
	struct conn_tls_start start = f->start;
	struct error why = {0};

	conn_tls_connect(f, NULL);
	start.trust = start.trust != NULL ? start.trust : f->trust;
	start.name = name != NULL ? name : "mail.test";
	start.verify = verify;
	if (conn_start_tls(f->conn, &start, &why) < 0)
		fail_msg("%s", why.text);
	tls_peer_start(&f->peer);
}

void
conn_tls_establish(struct conn_tls *f, const struct conn_options *options)
{
	int before = f->secured;

	conn_tls_connect(f, options);
	assert_int_equal(conn_start_tls(f->conn,
					&(struct conn_tls_start){
					    .trust = f->trust, .name = "mail.test", .verify = true},
					NULL),
			 0);
	tls_peer_start(&f->peer);
	conn_tls_until(f, &f->secured, before + 1);
	conn_tls_until_flag(f, &f->peer.stands);
}

void
conn_tls_settle(struct conn_tls *f)
{
	int64_t end = now_ms() + PATIENCE_MS;
	int before = f->secured + f->closed;

	while (f->secured + f->closed == before && now_ms() < end) {
		tls_peer_pump(&f->peer);
		assert_int_equal(loop_once(f->loop, 1), 0);
	}
	assert_int_equal(f->secured + f->closed, before + 1);
}

void
conn_tls_drop(struct conn_tls *f)
{
	conn_free(f->conn);
	f->conn = NULL;
	tls_peer_hang_up(&f->peer, false);
	assert_int_equal(loop_once(f->loop, 0), 0);
}

void
conn_tls_until(struct conn_tls *f, const int *count, int wanted)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (*count < wanted && now_ms() < end) {
		tls_peer_pump(&f->peer);
		assert_int_equal(loop_once(f->loop, 1), 0);
	}
	assert_int_equal(*count, wanted);
}

void
conn_tls_until_flag(struct conn_tls *f, const bool *flag)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (!*flag && now_ms() < end) {
		tls_peer_pump(&f->peer);
		assert_int_equal(loop_once(f->loop, 1), 0);
	}
	assert_true(*flag);
}

void
conn_tls_until_len(struct conn_tls *f, const struct strbuf *buffer, size_t len)
{
	int64_t end = now_ms() + PATIENCE_MS;

	while (buffer->len < len && now_ms() < end) {
		tls_peer_pump(&f->peer);
		assert_int_equal(loop_once(f->loop, buffer->len + 4096 < len ? 0 : 1), 0);
	}
	assert_int_equal(buffer->len, len);
}

/* A few rounds in which nothing is expected to happen. */
void
conn_tls_idle(struct conn_tls *f)
{
	for (int i = 0; i < 5; i++) {
		tls_peer_pump(&f->peer);
		assert_int_equal(loop_once(f->loop, 5), 0);
	}
}
