/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/mail_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"

/* Two addresses for one name; names that are not here are asked for at a port where nobody is. */
static const char hosts[] = "127.0.0.1 one.test\n127.0.0.2 two.test\n127.0.0.3 both.test\n"
			    "127.0.0.1 both.test\n::1 six.test\n";

struct mail *
mail_new(void)
{
	struct mail *mail = xcalloc(1, sizeof *mail);
	const char *tmp = getenv("TMPDIR");
	char *path;
	FILE *file;

	(void)snprintf(mail->dir, sizeof mail->dir, "%s/test_mail.XXXXXX",
		       tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(mail->dir));
	path = xasprintf("%s/hosts", mail->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(hosts, file) >= 0);
	assert_int_equal(fclose(file), 0);
	free(path);
	mail->log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_true(mail->log_fd >= 0);
	mail->log = log_new(mail->log_fd, LOG_LEVEL_DEBUG, LOG_FORMAT_TEXT);
	mail->loop = loop_new(NULL);
	assert_non_null(mail->loop);
	mail->offload = offload_new(mail->loop, 2, NULL);
	assert_non_null(mail->offload);
	mail->hops_options = (struct hops_options){
	    .client = {.loop = mail->loop,
		       .log = mail->log,
		       .hostname = "relay.test",
		       .connect_ms = MAIL_REPLY_MS,
		       .remote_command_ms = MAIL_REPLY_MS,
		       .idle_ms = MAIL_IDLE_MS},
	    .total = 100,
	    .per_host = 10,
	};
	return mail;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	(void)status;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
mail_free(struct mail *mail)
{
	offload_finish(mail->offload);
	offload_free(mail->offload);
	loop_free(mail->loop);
	log_free(mail->log);
	assert_int_equal(close(mail->log_fd), 0);
	assert_int_equal(nftw(mail->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(mail);
}

static void
found(void *ctx, struct envelope *env)
{
	struct mail *mail = ctx;

	mail->found = xreallocarray(mail->found, mail->found_count + 1, sizeof(struct envelope *));
	mail->found[mail->found_count++] = env;
}

static uint32_t
below(void *ctx, uint32_t bound)
{
	(void)ctx;
	return arc4random_uniform(bound);
}

void
mail_open(struct mail *mail)
{
	static const char *const nobody[] = {"127.0.0.1@1"};
	char *spool_dir = xasprintf("%s/spool", mail->dir);
	char *hosts_file = xasprintf("%s/hosts", mail->dir);
	const struct spool_options spool = {.dir = spool_dir,
					    .inline_bytes = 64 * 1024,
					    .loop = mail->loop,
					    .offload = mail->offload,
					    .log = mail->log};
	const struct changes_options changes = {
	    .state_dir = mail->dir, .loop = mail->loop, .offload = mail->offload, .log = mail->log};
	const struct resolver_options resolver = {
	    .servers = nobody, .server_count = 1, .hosts_file = hosts_file};
	struct error why;

	mail->spool = spool_open(&spool, found, mail, &why);
	if (mail->spool == NULL)
		fail_msg("%s", why.text);
	mail->changes = changes_open(&changes, &why);
	if (mail->changes == NULL)
		fail_msg("%s", why.text);
	mail->resolver = resolver_new(mail->loop, &resolver, &why);
	if (mail->resolver == NULL)
		fail_msg("%s", why.text);
	mail->hops_options.client.spool = mail->spool;
	mail->health = health_new(&(struct plan_random){.below = below});
	mail->hops_options.health = mail->health;
	mail->hops = hops_new(&mail->hops_options);
	mail->delivery = delivery_new(&(struct delivery_options){.loop = mail->loop,
								 .log = mail->log,
								 .spool = mail->spool,
								 .changes = mail->changes,
								 .resolver = mail->resolver,
								 .hops = mail->hops,
								 .health = mail->health,
								 .hostname = "relay.test"});
	free(spool_dir);
	free(hosts_file);
}

void
mail_close(struct mail *mail)
{
	hops_free(mail->hops);
	delivery_free(mail->delivery);
	health_free(mail->health);
	resolver_free(mail->resolver);
	spool_close(mail->spool);
	changes_close(mail->changes);
	free(mail->found);
	mail->found = NULL;
	mail->found_count = 0;
}

/* ---- waiting ---- */

int64_t
mail_now_ms(void)
{
	struct timespec now;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
mail_until(struct mail *mail, bool (*holds)(void *ctx), void *ctx)
{
	int64_t end = mail_now_ms() + MAIL_PATIENCE_MS;

	while (!holds(ctx)) {
		if (mail_now_ms() > end)
			fail_msg("waited in vain");
		assert_int_equal(loop_once(mail->loop, 10), 0);
	}
}

void
mail_run(struct mail *mail, int64_t for_ms)
{
	int64_t end = mail_now_ms() + for_ms;

	while (mail_now_ms() < end)
		assert_int_equal(loop_once(mail->loop, 10), 0);
}

size_t
mail_logged(const struct mail *mail, const char *first, const char *second)
{
	off_t size = lseek(mail->log_fd, 0, SEEK_END);
	char *text = xmalloc((size_t)size + 1), *line, *rest;
	size_t count = 0;

	assert_int_equal(pread(mail->log_fd, text, (size_t)size, 0), size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
		count +=
		    strstr(line, first) != NULL && (second == NULL || strstr(line, second) != NULL);
	free(text);
	return count;
}

/* ---- messages and routes ---- */

struct told {
	bool yes;
	uint64_t id;
	struct error why;
};

static bool
is_told(void *ctx)
{
	const struct told *told = ctx;

	return told->yes;
}

static void
committed(void *ctx, const struct error *why)
{
	struct told *told = ctx;

	told->yes = true;
	if (why != NULL)
		told->why = *why;
}

struct envelope *
mail_commit(struct mail *mail, const char *sender, const char *body, const char *const *to)
{
	struct spool_draft *draft = spool_begin(mail->spool);
	struct envelope *env = envelope_new();
	struct told told = {0};

	env->arrived_ms = loop_wall_ms(mail->loop);
	env->sender = xstrdup(sender);
	for (; *to != NULL; to++)
		envelope_add_recipient(env, *to);
	assert_int_equal(spool_write(draft, body, strlen(body), NULL), 0);
	spool_commit(draft, env, committed, &told);
	mail_until(mail, is_told, &told);
	if (told.why.code != ERROR_NONE)
		fail_msg("%s", told.why.text);
	return env;
}

static void
changed(void *ctx, const struct change_result *result, const struct error *why)
{
	struct told *told = ctx;

	told->yes = true;
	if (why != NULL)
		told->why = *why;
	else
		told->id = result->routes[0]->id;
}

uint64_t
mail_route(struct mail *mail, const char *record)
{
	struct error why;
	struct route *route = route_decode(0, record, strlen(record), &why);
	const struct change_step step = {.what = CHANGE_ADD, .route = route};
	const struct change change = {
	    .steps = &step, .step_count = 1, .user = "test", .expected_revision = -1};
	struct told told = {0};

	if (route == NULL)
		fail_msg("%s", why.text);
	changes_apply(mail->changes, &change, changed, &told);
	route_unref(route);
	mail_until(mail, is_told, &told);
	if (told.why.code != ERROR_NONE)
		fail_msg("%s", told.why.text);
	return told.id;
}
