/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Many routes: how long it takes to import them, to write a checkpoint, to load it, to add one
 * route more, and to look one up; and what the table weighs.
 *
 *	routes_lookup [ROUTES [LOOKUPS]]
 *
 * Imports ROUTES routes (1,000,000) as one change, in a process of its own, into a directory under
 * $TMPDIR; opens them again as relayd does, and asks LOOKUPS (2,000,000) random questions of each
 * kind. Most routes have a destination of their own; a tenth are suffixes, a tenth name a user,
 * half of these a sender.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/route.h"
#include "common/xalloc.h"
#include "relayd/net/loop.h"
#include "relayd/net/offload.h"
#include "relayd/routes/changes.h"
#include "relayd/routes/table.h"

enum { ASKED = 1 << 16, TEXT = 64 };

struct question {
	char login[TEXT];
	char sender[TEXT];
	char domain[TEXT];
};

static double
seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
resident_mib(void)
{
	FILE *statm = fopen("/proc/self/statm", "r");
	long total = 0, resident = 0;

	if (statm == NULL || fscanf(statm, "%ld %ld", &total, &resident) != 2)
		resident = 0;
	if (statm != NULL && fclose(statm) != 0)
		resident = 0;
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static uint64_t
draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

static void
stop(const char *reason)
{
	fprintf(stderr, "routes_lookup: %s\n", reason);
	exit(1);
}

static struct route *
make_route(uint64_t id)
{
	char record[512];
	struct error why;
	struct route *route;
	int len = snprintf(record, sizeof(record),
			   "destination=%scustomer%" PRIu64 ".example%" PRIu64 ".com\n"
			   "remote_host=mx%" PRIu64 ".example.net\n%s%s",
			   id % 10 == 3 ? "." : "", id, id % 1000, id % 5000,
			   id % 10 == 5 ? "user=tmail.io\n" : "",
			   id % 20 == 5 ? "mail_from=news@tmail.io\n" : "");

	route = route_decode(0, record, (size_t)len, &why);
	if (route == NULL)
		stop(why.text);
	return route;
}

struct kept {
	struct loop *loop;
	struct offload *offload;
	struct changes *changes;
	int waiting;
};

static void
kept_open(struct kept *kept, const char *dir)
{
	struct error why;

	kept->waiting = 0;
	kept->loop = loop_new(&why);
	kept->offload = kept->loop != NULL ? offload_new(kept->loop, 2, &why) : NULL;
	if (kept->offload == NULL)
		stop(why.text);
	kept->changes = changes_open(&(struct changes_options){.state_dir = dir,
							       .loop = kept->loop,
							       .offload = kept->offload,
							       .checkpoint_after_ms = 3600000},
				     &why);
	if (kept->changes == NULL)
		stop(why.text);
}

static void
kept_close(struct kept *kept)
{
	changes_close(kept->changes);
	offload_free(kept->offload);
	loop_free(kept->loop);
}

static void
applied(void *ctx, const struct change_result *result, const struct error *why)
{
	struct kept *kept = ctx;

	(void)result;
	if (why != NULL)
		stop(why->text);
	kept->waiting--;
}

static void
apply(struct kept *kept, const struct change_step *steps, size_t count)
{
	changes_apply(
	    kept->changes,
	    &(struct change){
		.steps = steps, .step_count = count, .user = "bench", .expected_revision = -1},
	    applied, kept);
	kept->waiting++;
	while (kept->waiting > 0)
		loop_once(kept->loop, 100);
}

/* In a process of its own, so that the memory of the rest is measured clean. */
static void
import_all(const char *dir, uint64_t routes)
{
	struct change_step *steps = xcalloc(routes, sizeof(*steps));
	struct kept kept;
	double start;

	kept_open(&kept, dir);
	for (uint64_t i = 0; i < routes; i++)
		steps[i] = (struct change_step){.what = CHANGE_ADD, .route = make_route(i + 1)};
	start = seconds();
	apply(&kept, steps, routes);
	printf("%-52s %6.2f s\n", "imported as one change, until it is reported",
	       seconds() - start);
	start = seconds();
	kept_close(&kept);
	printf("%-52s %6.2f s\n", "first checkpoint", seconds() - start);
	fflush(stdout);
	_exit(0);
}

static void
add_some(struct kept *kept, uint64_t routes)
{
	enum { SOME = 200 };
	double start = seconds();

	for (uint64_t i = 1; i <= SOME; i++) {
		struct route *route = make_route(routes + i);

		apply(kept, &(struct change_step){.what = CHANGE_ADD, .route = route}, 1);
		route_unref(route);
	}
	printf("%-52s %6.3f ms\n", "one route added, synced, reported",
	       (seconds() - start) / SOME * 1e3);
}

/* `hit`: the recipient's domain has a route of its own. */
static void
prepare(struct question *questions, uint64_t routes, int hit)
{
	uint64_t seed = 1;

	for (size_t i = 0; i < ASKED; i++) {
		uint64_t id = draw(&seed) % routes + 1;

		id -= id % 10; /* one with a plain destination */
		if (id == 0)
			id = 10;
		snprintf(questions[i].login, TEXT, "user%" PRIu64 "@tmail.io", id);
		snprintf(questions[i].sender, TEXT, "user%" PRIu64 "@tmail.io", id);
		snprintf(questions[i].domain, TEXT, "%scustomer%" PRIu64 ".example%" PRIu64 ".com",
			 hit ? "" : "nowhere.", id, id % 1000);
	}
}

static int
by_value(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* A mail's addresses have just been read from its dialogue when it is looked up: so what is asked
 * is brought into the cache before the clock starts, a few questions at a time. The median of
 * these: what else the machine does in between is not ours. */
static void
measure(const struct table *table, const struct question *questions, size_t lookups, int login,
	const char *what)
{
	enum { AT_ONCE = 64 };
	struct question asked[AT_ONCE];
	unsigned long lines[10] = {0};
	size_t blocks = (lookups + AT_ONCE - 1) / AT_ONCE;
	double *took = xcalloc(blocks, sizeof(*took));

	for (size_t done = 0; done < lookups; done += AT_ONCE) {
		double start;

		memcpy(asked, questions + done % ASKED, sizeof(asked));
		start = seconds();
		for (size_t i = 0; i < AT_ONCE; i++) {
			struct mail_key mail = {.login = login ? asked[i].login : NULL,
						.sender = asked[i].sender,
						.domain = asked[i].domain};
			struct table_match match;

			table_find(table, &mail, &match);
			lines[match.line]++;
		}
		took[done / AT_ONCE] = seconds() - start;
	}
	qsort(took, blocks, sizeof(*took), by_value);
	printf("%-52s %6.3f us   lines", what, took[blocks / 2] / AT_ONCE * 1e6);
	for (int i = 1; i <= 9; i++) {
		if (lines[i] > 0)
			printf(" %d:%lu", i, lines[i]);
	}
	printf("\n");
	free(took);
}

static void
list(const struct table *table)
{
	double start = seconds();
	uint64_t after = 0;
	size_t count = 0;

	for (const struct route *route; (route = table_next(table, after)) != NULL; count++)
		after = route->id;
	printf("%-52s %6.3f us   %zu routes\n", "next route in id order",
	       (seconds() - start) / (double)count * 1e6, count);
}

static void
remove_all(const char *dir)
{
	static const char *const names[] = {"routes.gdbm", "routes.journal", "routes.history.0"};
	char path[256];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		if (unlink(path) < 0)
			perror(path);
	}
	if (rmdir(dir) < 0)
		perror(dir);
}

int
main(int argc, char **argv)
{
	uint64_t routes = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	size_t lookups = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
	struct question *questions = xcalloc(ASKED, sizeof(*questions));
	const char *tmp = getenv("TMPDIR");
	const struct table *table;
	struct kept kept;
	char dir[200];
	double start;
	int status;
	pid_t pid;

	if (routes < 10 || lookups == 0) {
		fprintf(stderr, "usage: routes_lookup [ROUTES [LOOKUPS]]\n");
		return 2;
	}
	snprintf(dir, sizeof(dir), "%s/routes_lookup.XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL)
		stop("no directory for the files");
	printf("%" PRIu64 " routes\n", routes);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		import_all(dir, routes);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		stop("the import failed");

	start = seconds();
	kept_open(&kept, dir);
	printf("%-52s %6.2f s\n", "loaded at start-up", seconds() - start);
	printf("%-52s %6.0f MiB\n", "resident then", resident_mib());
	table = changes_table(kept.changes);
	prepare(questions, routes, 1);
	measure(table, questions, lookups, 0, "the destination hits, no login");
	measure(table, questions, lookups, 1, "the destination hits, login and sender");
	prepare(questions, routes, 0);
	measure(table, questions, lookups, 0, "nothing hits, no login");
	measure(table, questions, lookups, 1, "nothing hits, login and sender, all nine lines");
	list(table);
	add_some(&kept, routes);
	start = seconds();
	kept_close(&kept);
	printf("%-52s %6.2f s\n", "next checkpoint, and the end", seconds() - start);
	printf("%-52s %6.0f MiB\n", "resident then", resident_mib());
	remove_all(dir);
	free(questions);
	return 0;
}
