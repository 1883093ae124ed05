/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of changes share: routes in a directory on a loop, what a change reported, and
 * changes that follow from their number. */
#ifndef TESTS_UNIT_CHANGES_FIXTURE_H
#define TESTS_UNIT_CHANGES_FIXTURE_H

#include "tests/unit/routes_fixture.h"

#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/history.h"
#include "relayd/routes/journal.h"
#include "relayd/routes/store.h"
#include "relayd/routes/table_past.h"

/* ---- routes in a directory, on a loop ---- */

struct fixture {
	struct loop *loop;
	struct offload *offload;
	struct changes *changes;
};

static inline struct fixture
fixture_open(const char *dir, int64_t checkpoint_after_ms)
{
	struct fixture fixture;
	struct error why;

	fixture.loop = loop_new(&why);
	assert_non_null(fixture.loop);
	fixture.offload = offload_new(fixture.loop, 2, &why);
	assert_non_null(fixture.offload);
	fixture.changes =
	    changes_open(&(struct changes_options){.state_dir = dir,
						   .loop = fixture.loop,
						   .offload = fixture.offload,
						   .checkpoint_after_ms = checkpoint_after_ms},
			 &why);
	if (fixture.changes == NULL)
		fail_msg("%s", why.text);
	return fixture;
}

static inline void
fixture_close(struct fixture *fixture)
{
	changes_close(fixture->changes);
	offload_finish(fixture->offload);
	offload_free(fixture->offload);
	loop_free(fixture->loop);
}

static inline void
assert_refused_to_open(const char *dir, const char *file)
{
	struct error why = {0};
	struct loop *loop = loop_new(&why);
	struct offload *offload = offload_new(loop, 1, &why);

	assert_null(changes_open(
	    &(struct changes_options){.state_dir = dir, .loop = loop, .offload = offload}, &why));
	assert_int_equal(why.code, ERROR_STORAGE);
	assert_non_null(strstr(why.text, file));
	offload_free(offload);
	loop_free(loop);
}

/* What a change reported. */
struct outcome {
	bool told;
	unsigned place; /* the how-manieth it was */
	unsigned *places;
	enum error_code code;
	char text[512];
	uint64_t revision;
	size_t count;
	uint64_t ids[8]; /* 0 where the result has NULL */
};

static inline void
tell(void *ctx, const struct change_result *result, const struct error *why)
{
	struct outcome *outcome = ctx;

	assert_false(outcome->told);
	outcome->told = true;
	if (outcome->places != NULL)
		outcome->place = ++*outcome->places;
	if (why != NULL) {
		assert_null(result);
		outcome->code = why->code;
		snprintf(outcome->text, sizeof(outcome->text), "%s", why->text);
		return;
	}
	outcome->revision = result->revision;
	outcome->count = result->count;
	for (size_t i = 0; i < result->count && i < 8; i++)
		outcome->ids[i] = result->routes[i] != NULL ? result->routes[i]->id : 0;
}

static inline void
wait_told(struct fixture *fixture, const struct outcome *outcome)
{
	for (int i = 0; i < 1000 && !outcome->told; i++)
		loop_once(fixture->loop, 100);
	assert_true(outcome->told);
}

static inline struct outcome
apply_expecting(struct fixture *fixture, const struct change_step *steps, size_t count,
		int64_t expected)
{
	struct change change = {
	    .steps = steps, .step_count = count, .user = "lea", .expected_revision = expected};
	struct outcome outcome = {.told = false};

	changes_apply(fixture->changes, &change, tell, &outcome);
	/* Never before it returns. */
	assert_false(outcome.told);
	wait_told(fixture, &outcome);
	return outcome;
}

static inline struct outcome
apply(struct fixture *fixture, const struct change_step *steps, size_t count)
{
	return apply_expecting(fixture, steps, count, -1);
}

static inline struct outcome
add(struct fixture *fixture, unsigned version)
{
	struct route *route = route_for(0, version);
	struct outcome outcome =
	    apply(fixture, &(struct change_step){.what = CHANGE_ADD, .route = route}, 1);

	route_unref(route);
	return outcome;
}

static inline struct outcome
del(struct fixture *fixture, uint64_t id)
{
	return apply(fixture, &(struct change_step){.what = CHANGE_DELETE, .id = id}, 1);
}

static inline size_t
count_of(const struct fixture *fixture)
{
	return table_count(changes_table(fixture->changes));
}

/* Until the checkpoint holds everything and the journal nothing. */
static inline void
wait_checkpoint(struct fixture *fixture, const char *dir)
{
	struct strbuf journal = STRBUF_INIT;
	char expected[80];

	snprintf(expected, sizeof(expected), "relayd-routes-journal 2 follows=%" PRIu64 "\n",
		 changes_revision(fixture->changes));
	for (int i = 0; i < 1000; i++) {
		journal = file_read(dir, JOURNAL_NAME);
		if (journal.len == strlen(expected) &&
		    memcmp(journal.data, expected, journal.len) == 0)
			break;
		strbuf_clear(&journal);
		loop_once(fixture->loop, 20);
	}
	assert_int_equal(journal.len, strlen(expected));
	strbuf_clear(&journal);
	assert_true(file_exists(dir, STORE_NAME));
	assert_false(file_exists(dir, STORE_NAME ".new"));
}
/* ---- crashes: change N follows from N and the changes before it ---- */

enum { MODEL_MOST = 64, MODEL_STEPS = 3 };

struct model {
	uint64_t revision;
	uint64_t next_id;
	size_t count;
	uint64_t ids[MODEL_MOST];
	unsigned versions[MODEL_MOST];
};

static inline uint64_t
model_random(uint64_t revision)
{
	revision = (revision + 1) * 0x9e3779b97f4a7c15u;
	revision = (revision ^ (revision >> 30)) * 0xbf58476d1ce4e5b9u;
	return revision ^ (revision >> 31);
}

/* Take the model on by one, and give the steps of that change; their routes are the caller's. */
static inline size_t
model_next(struct model *model, struct change_step steps[MODEL_STEPS])
{
	uint64_t random = model_random(++model->revision);
	size_t count = 0, at = model->count > 0 ? random / 8 % model->count : 0;
	unsigned version = 1 + (unsigned)(random >> 40) % 3;

	if (random % 4 == 3 && model->count > 0) {
		model->versions[at] = version;
		steps[count++] = (struct change_step){.what = CHANGE_SET,
						      .route = route_for(model->ids[at], version)};
	} else if (random % 4 == 2 && model->count > 0) {
		steps[count++] = (struct change_step){.what = CHANGE_DELETE, .id = model->ids[at]};
		model->count--;
		model->ids[at] = model->ids[model->count];
		model->versions[at] = model->versions[model->count];
	}
	while (count < 1 + random / 4 % 2 && model->count < MODEL_MOST) {
		steps[count++] =
		    (struct change_step){.what = CHANGE_ADD, .route = route_for(0, version)};
		model->ids[model->count] = model->next_id++;
		model->versions[model->count++] = version;
	}
	if (count == 0) {
		/* Full, and nothing else came: the first one goes. */
		steps[count++] = (struct change_step){.what = CHANGE_DELETE, .id = model->ids[0]};
		model->ids[0] = model->ids[--model->count];
		model->versions[0] = model->versions[model->count];
	}
	return count;
}

static inline void
steps_free(struct change_step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (steps[i].what != CHANGE_DELETE)
			route_unref(steps[i].route);
	}
}

static inline struct model
model_at(uint64_t revision)
{
	struct model model = {.next_id = 1};
	struct change_step steps[MODEL_STEPS];

	while (model.revision < revision)
		steps_free(steps, model_next(&model, steps));
	return model;
}

static inline bool
model_is(const struct model *model, const struct changes *changes)
{
	const struct table *table = changes_table(changes);
	char host[32];

	if (changes_revision(changes) != model->revision || table_count(table) != model->count)
		return false;
	for (size_t i = 0; i < model->count; i++) {
		const struct route *route = table_get(table, model->ids[i]);

		snprintf(host, sizeof(host), "v%u.example.net", model->versions[i]);
		if (route == NULL || strcmp(route->remote_host, host) != 0)
			return false;
	}
	return true;
}

/* ---- what was ---- */

struct reading {
	int (*read)(void *ctx, const struct past *past, struct error *why);
	void *ctx;
	bool done;
	struct error why; /* code 0: it was read */
};

static inline int
reading_read(void *ctx, const struct past *past, struct error *why)
{
	const struct reading *reading = ctx;

	return reading->read(reading->ctx, past, why);
}

static inline void
reading_done(void *ctx, const struct error *why)
{
	struct reading *reading = ctx;

	reading->why = why != NULL ? *why : (struct error){.code = ERROR_NONE};
	reading->done = true;
}

/* Read what was, and wait for it. */
static inline struct error
read_past(struct fixture *fixture,
	  int (*read)(void *ctx, const struct past *past, struct error *why), void *ctx)
{
	struct reading reading = {.read = read, .ctx = ctx};

	changes_read(fixture->changes, reading_read, reading_done, &reading);
	for (int i = 0; i < 1000 && !reading.done; i++)
		loop_once(fixture->loop, 100);
	assert_true(reading.done);
	return reading.why;
}

static inline int
read_table_past(void *ctx, const struct past *past, struct error *why)
{
	return table_past_read(ctx, past, why);
}

/* The table as it was at that revision is that of the model. */
static inline void
assert_table_was(struct fixture *fixture, uint64_t revision)
{
	const struct table *table = changes_table(fixture->changes);
	struct table_past *past = table_past_new(revision);
	struct model model = model_at(revision);
	struct error why = read_past(fixture, read_table_past, past);
	struct route *route;
	uint64_t after = 0;
	size_t count = 0;
	char host[32];

	if (why.code != ERROR_NONE)
		fail_msg("revision %" PRIu64 ": %s", revision, why.text);
	while (table_past_next(past, table, after, &route, &why) > 0) {
		size_t at = 0;

		while (at < model.count && model.ids[at] != route->id)
			at++;
		assert_true(at < model.count);
		snprintf(host, sizeof(host), "v%u.example.net", model.versions[at]);
		assert_string_equal(route->remote_host, host);
		assert_true(route->id > after);
		after = route->id;
		route_unref(route);
		count++;
	}
	assert_int_equal(count, model.count);
	assert_int_equal(table_past_count(past, table), count);
	table_past_free(past);
}

#endif
