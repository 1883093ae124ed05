/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * relayd/routes/edits: each kind of edit, names of routes that the same edits add, passwords copied
 * and dropped, what is there already, what is no change, places in a group that the edits before
 * have changed (disabled routes among them), all failures told; and random edits in one go beside
 * the same ones done one after the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/routes/edits.h"

struct world {
	struct table *table;
	uint64_t next_id;
	struct edits edits;
	struct change_steps steps;
	struct error why;
};

static struct world
world_new(void)
{
	return (struct world){.table = table_new(), .next_id = 1};
}

static void
world_free(struct world *world)
{
	edits_clear(&world->edits);
	change_steps_clear(&world->steps);
	table_free(world->table);
}

/* "destination=x remote_host=y": fields between spaces. */
static unsigned
set_fields(struct route *route, const char *text)
{
	char *copy = xstrdup(text), *rest = copy, *pair;
	unsigned fields = 0;

	while ((pair = strsep(&rest, " ")) != NULL) {
		char *value = strchr(pair, '=');
		enum route_field field;

		if (value == NULL)
			continue;
		*value++ = '\0';
		assert_int_equal(route_field_of(pair, &field), 0);
		assert_int_equal(route_set(route, field, value, NULL), 0);
		fields |= 1u << field;
	}
	free(copy);
	return fields;
}

static struct edit *
add(struct world *world, const char *fields)
{
	struct edit *edit = edits_append(&world->edits, EDIT_ADD);

	edit->route = route_new();
	edit->fields = set_fields(edit->route, fields);
	edit->at = world->edits.count - 1;
	return edit;
}

static struct edit *
named(struct world *world, enum edit_kind what, uint64_t id)
{
	struct edit *edit = edits_append(&world->edits, what);

	edit->name.id = id;
	edit->at = world->edits.count - 1;
	return edit;
}

static struct edit *
set(struct world *world, uint64_t id, const char *fields)
{
	struct edit *edit = named(world, EDIT_SET, id);

	edit->route = route_new();
	edit->fields = set_fields(edit->route, fields);
	return edit;
}

static struct edit *
move(struct world *world, uint64_t id, enum reorder_wish wish, uint64_t other)
{
	struct edit *edit = named(world, EDIT_MOVE, id);

	edit->placed = true;
	edit->wish = wish;
	edit->other.id = other;
	return edit;
}

static int
make(struct world *world)
{
	return edits_make(&world->edits, world->table, world->next_id, &world->steps, &world->why);
}

/* Make, and do what came of it as a change does. Returns how many steps there were. */
static size_t
run(struct world *world)
{
	size_t count;

	assert_int_equal(make(world), 0);
	count = world->steps.count;
	for (size_t i = 0; i < count; i++) {
		struct change_step *step = &world->steps.items[i];

		if (step->what == CHANGE_ADD)
			step->route->id = world->next_id++;
		if (step->what == CHANGE_DELETE)
			assert_int_equal(table_remove(world->table, step->id), 0);
		else
			table_put(world->table, step->route);
	}
	change_steps_clear(&world->steps);
	edits_clear(&world->edits);
	return count;
}

static void
assert_record(const struct world *world, uint64_t id, const char *expected)
{
	const struct route *route = table_get(world->table, id);
	struct strbuf record = STRBUF_INIT;

	assert_non_null(route);
	route_encode(route, &record);
	for (size_t i = 0; i < record.len; i++) {
		if (record.data[i] == '\n')
			record.data[i] = ' ';
	}
	assert_string_equal(record.data, expected);
	strbuf_clear(&record);
}

static void
each_kind(void **state)
{
	struct world world = world_new();

	(void)state;
	add(&world, "destination=a.org remote_host=x");
	add(&world, "destination=a.org remote_host=y priority=2");
	assert_int_equal(run(&world), 2);
	set(&world, 1, "remote_port=2525 comment=one");
	set(&world, 2, "enabled=no");
	assert_int_equal(run(&world), 2);
	assert_record(&world, 1, "destination=a.org remote_host=x remote_port=2525 comment=one ");
	assert_record(&world, 2, "destination=a.org remote_host=y priority=2 enabled=no ");
	/* Back to the defaults; a disabled route has its place all the same. */
	set(&world, 1, "remote_port= comment=");
	move(&world, 2, REORDER_UP, 0);
	assert_int_equal(run(&world), 2);
	assert_record(&world, 1, "destination=a.org remote_host=x priority=2 ");
	assert_record(&world, 2, "destination=a.org remote_host=y enabled=no ");
	named(&world, EDIT_DELETE, 1);
	assert_int_equal(run(&world), 1);
	assert_null(table_get(world.table, 1));
	world_free(&world);
}

static void
nothing_to_do(void **state)
{
	struct world world = world_new();

	(void)state;
	add(&world, "destination=a.org remote_host=x comment=c");
	run(&world);
	set(&world, 1, "comment=c remote_port=25");
	move(&world, 1, REORDER_FIRST, 0);
	assert_int_equal(run(&world), 0);
	world_free(&world);
}

static void
names_of_new_routes(void **state)
{
	struct world world = world_new();
	struct edit *edit;

	(void)state;
	add(&world, "destination=a.org remote_host=x remote_login=l remote_password=p");
	edit = add(&world, "destination=a.org remote_host=y remote_login=l");
	edit->copies_password = true;
	edit->password_of.added = 1;
	edit->placed = true;
	edit->wish = REORDER_BEFORE;
	edit->other.added = 1;
	edit = named(&world, EDIT_DELETE, 0);
	edit->name.added = 1;
	/* Added, renumbered, added, deleted: in the end one is new. */
	assert_int_equal(run(&world), 1);
	assert_record(&world, 1,
		      "destination=a.org remote_host=y remote_login=l remote_password=p ");

	edit = named(&world, EDIT_DELETE, 0);
	edit->name.added = 1;
	assert_int_equal(make(&world), -1);
	assert_string_equal(world.why.text, "+1: only 0 routes were added before");
	world_free(&world);
}

static void
passwords(void **state)
{
	struct world world = world_new();
	struct edit *edit;

	(void)state;
	add(&world, "remote_host=x remote_login=l remote_password=p");
	add(&world, "remote_host=y");
	run(&world);
	/* A login of its own keeps the password; without a login there is none. */
	set(&world, 1, "remote_login=m");
	run(&world);
	assert_record(&world, 1, "remote_host=x remote_login=m remote_password=p ");
	edit = set(&world, 2, "remote_login=n");
	edit->copies_password = true;
	edit->password_of.id = 1;
	set(&world, 1, "remote_login=");
	run(&world);
	assert_record(&world, 1, "remote_host=x ");
	assert_record(&world, 2, "remote_host=y remote_login=n remote_password=p ");

	set(&world, 1, "remote_login=l");
	edit = set(&world, 2, "comment=c");
	edit->copies_password = true;
	edit->password_of.id = 1;
	edit = set(&world, 2, "comment=c");
	edit->copies_password = true;
	edit->password_of.id = 9;
	assert_int_equal(make(&world), -1);
	assert_int_equal(world.edits.failure_count, 3);
	assert_int_equal(world.edits.failures[0].why.code, ERROR_REFUSED);
	assert_string_equal(world.edits.failures[1].why.text, "route 1 has no password");
	assert_string_equal(world.edits.failures[2].why.text, "no route 9 to copy a password from");
	assert_int_equal(world.edits.failures[2].why.code, ERROR_NOT_FOUND);
	world_free(&world);
}

static void
there_already(void **state)
{
	static const char *const twins[] = {"destination=a.org remote_host=x remote_port=2525",
					    "destination=A.ORG remote_host=x remote_port=2525 "
					    "comment=other enabled=no"};
	static const char *const others[] = {
	    "destination=a.org remote_host=x",
	    "destination=a.org remote_host=x remote_port=2525 user=u",
	    "destination=a.org remote_host=x remote_port=2525 priority=7",
	    "destination=a.org remote_host=x remote_port=2525 tls=none",
	    "destination=a.org remote_host=x remote_port=2525 weight=2"};
	struct world world = world_new();

	(void)state;
	add(&world, "destination=a.org remote_host=x remote_port=2525 enabled=no");
	run(&world);
	for (size_t i = 0; i < 2; i++) {
		add(&world, twins[i])->if_absent = true;
		assert_int_equal(make(&world), 0);
		assert_int_equal(world.steps.count, 0);
		assert_int_equal(world.edits.present_count, 1);
		assert_int_equal(world.edits.present[0]->id, 1);
		edits_clear(&world.edits);
	}
	for (size_t i = 0; i < 5; i++) {
		add(&world, others[i])->if_absent = true;
		assert_int_equal(make(&world), 0);
		assert_int_equal(world.steps.count, 1);
		edits_clear(&world.edits);
		change_steps_clear(&world.steps);
	}
	/* One that the same edits add is there, too; and has a name. */
	add(&world, others[1])->if_absent = true;
	add(&world, others[1])->if_absent = true;
	named(&world, EDIT_DELETE, 0)->name.added = 2;
	assert_int_equal(run(&world), 0);
	assert_int_equal(table_count(world.table), 1);
	world_free(&world);
}

static void
back_and_forth(void **state)
{
	struct world world = world_new();

	(void)state;
	add(&world, "destination=a.org remote_host=x");
	add(&world, "destination=a.org remote_host=y priority=2");
	run(&world);
	move(&world, 2, REORDER_UP, 0);
	set(&world, 1, "comment=c");
	set(&world, 2, "priority=2");
	set(&world, 1, "comment= priority=1");
	assert_int_equal(run(&world), 0);
	/* A deleted one is a step of its own, whatever was done to it before. */
	set(&world, 1, "comment=c");
	named(&world, EDIT_DELETE, 1);
	assert_int_equal(run(&world), 1);
	world_free(&world);
}

static void
all_failures(void **state)
{
	struct world world = world_new();

	(void)state;
	add(&world, "destination=a.org remote_host=x");
	add(&world, "destination=b.org remote_host=x");
	run(&world);
	set(&world, 7, "comment=c");
	move(&world, 1, REORDER_BEFORE, 2);
	named(&world, EDIT_DELETE, 1);
	named(&world, EDIT_DELETE, 1);
	add(&world, "destination=a.org");
	assert_int_equal(make(&world), -1);
	assert_string_equal(world.why.text, "no route 7");
	assert_int_equal(world.why.code, ERROR_NOT_FOUND);
	assert_int_equal(world.edits.failure_count, 4);
	assert_int_equal(world.edits.failures[1].at, 1);
	assert_int_equal(world.edits.failures[1].why.code, ERROR_REFUSED);
	assert_int_equal(world.edits.failures[2].at, 3);
	assert_string_equal(world.edits.failures[2].why.text, "no route 1");
	assert_int_equal(world.edits.failures[3].at, 4);
	world_free(&world);

	/* Of many only the first are kept, all are counted. */
	world = world_new();
	for (uint64_t id = 1; id <= 50; id++)
		named(&world, EDIT_DELETE, id);
	assert_int_equal(make(&world), -1);
	assert_int_equal(world.edits.failure_count, 50);
	assert_int_equal(world.edits.failures[EDIT_FAILURES - 1].at, EDIT_FAILURES - 1);
	world_free(&world);
}

/* ---- random ones ---- */

static void
random_edit(struct world *world, uint64_t highest)
{
	static const char *const adds[] = {
	    "destination=a.org remote_host=x", "destination=a.org remote_host=y priority=3",
	    "destination=b.org remote_host=x enabled=no", "user=u remote_host=z priority=2"};
	static const char *const sets[] = {"priority=2",  "priority=1",        "enabled=no",
					   "enabled=yes", "destination=b.org", "destination=a.org",
					   "comment=c"};
	uint64_t id = 1 + (uint64_t)random() % highest, other = 1 + (uint64_t)random() % highest;

	switch (random() % 5) {
	case 0:
		add(world, adds[random() % 4])->if_absent = random() % 2 == 0;
		break;
	case 1:
		named(world, EDIT_DELETE, id);
		break;
	case 2:
		set(world, id, sets[random() % 7]);
		break;
	default:
		move(world, id, (enum reorder_wish)(random() % 8), other);
		break;
	}
}

static void
copy_edit(struct world *to, const struct edit *edit)
{
	struct edit *copy = edits_append(&to->edits, edit->what);

	*copy = *edit;
	if (edit->route != NULL)
		copy->route = route_copy(edit->route);
}

static void
in_one_go_as_one_by_one(void **state)
{
	(void)state;
	srandom(4711);
	for (int round = 0; round < 400; round++) {
		struct world whole = world_new(), single = world_new();
		const struct route *route, *other;

		for (int i = 0; i < 30; i++) {
			random_edit(&whole, 12);
			copy_edit(&single, &whole.edits.items[whole.edits.count - 1]);
			/* What fails alone is no part of the whole either. */
			if (make(&single) != 0) {
				edits_clear(&single.edits);
				change_steps_clear(&single.steps);
				whole.edits.count--;
				route_unref(whole.edits.items[whole.edits.count].route);
				continue;
			}
			change_steps_clear(&single.steps);
			edits_clear(&single.edits);
			copy_edit(&single, &whole.edits.items[whole.edits.count - 1]);
			run(&single);
		}
		run(&whole);
		assert_int_equal(table_count(whole.table), table_count(single.table));
		/* The ids of those that were deleted again are left out in one of them. */
		other = table_next(whole.table, 0);
		for (route = table_next(single.table, 0); route != NULL;
		     route = table_next(single.table, route->id)) {
			struct strbuf record = STRBUF_INIT;

			route_encode(route, &record);
			for (size_t i = 0; i < record.len; i++) {
				if (record.data[i] == '\n')
					record.data[i] = ' ';
			}
			assert_non_null(other);
			assert_record(&whole, other->id, record.data);
			other = table_next(whole.table, other->id);
			strbuf_clear(&record);
		}
		world_free(&whole);
		world_free(&single);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_kind),           cmocka_unit_test(nothing_to_do),
	    cmocka_unit_test(names_of_new_routes), cmocka_unit_test(passwords),
	    cmocka_unit_test(there_already),       cmocka_unit_test(back_and_forth),
	    cmocka_unit_test(all_failures),        cmocka_unit_test(in_one_go_as_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
