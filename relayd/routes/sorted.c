/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Runs of a few hundred are sorted whole, then merged two by two, back and forth between two
 * arrays; a merge can stop at any element. */
#include "relayd/routes/sorted.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/xalloc.h"

enum { COLUMNS_MAX = 16, RUN = 512, RUN_COST = RUN * 10, COLUMN_NAME_MAX = 32 };

enum column_kind {
	COLUMN_ID,
	COLUMN_DESTINATION,
	COLUMN_USER,
	COLUMN_MAIL_FROM,
	COLUMN_PRIORITY,
	COLUMN_WEIGHT,
	COLUMN_REMOTE_HOST,
	COLUMN_REMOTE_PORT,
	COLUMN_LOCAL_IPS,
	COLUMN_REMOTE_LOGIN,
	COLUMN_TLS,
	COLUMN_ENABLED,
	COLUMN_COMMENT,
	COLUMN_STATE,
	COLUMN_RATE,
	COLUMN_DEFERRED
};

static const struct {
	const char *name;
	enum column_kind kind;
} names[] = {
    {"id", COLUMN_ID},
    {"destination", COLUMN_DESTINATION},
    {"user", COLUMN_USER},
    {"mail_from", COLUMN_MAIL_FROM},
    {"priority", COLUMN_PRIORITY},
    {"weight", COLUMN_WEIGHT},
    {"remote_host", COLUMN_REMOTE_HOST},
    {"remote_port", COLUMN_REMOTE_PORT},
    {"local_ips", COLUMN_LOCAL_IPS},
    {"remote_login", COLUMN_REMOTE_LOGIN},
    {"tls", COLUMN_TLS},
    {"enabled", COLUMN_ENABLED},
    {"comment", COLUMN_COMMENT},
    {"state", COLUMN_STATE},
    {"rate_1m", COLUMN_RATE},
    {"deferred_1h", COLUMN_DEFERRED},
    /* As filters name them. */
    {"to", COLUMN_DESTINATION},
    {"from", COLUMN_MAIL_FROM},
    {"prio", COLUMN_PRIORITY},
    {"remote", COLUMN_REMOTE_HOST},
    {"via", COLUMN_REMOTE_HOST},
    {"port", COLUMN_REMOTE_PORT},
    {"local", COLUMN_LOCAL_IPS},
    {"login", COLUMN_REMOTE_LOGIN},
    {"rate", COLUMN_RATE},
    {"defer", COLUMN_DEFERRED},
};

struct column {
	enum column_kind kind;
	bool descending;
};

struct item {
	struct route *route;
	float rate;
	float deferred;
	enum stats_state state;
};

struct sorted {
	struct column columns[COLUMNS_MAX];
	size_t column_count;
	const struct filter_source *source; /* NULL: no column asks for it */
	size_t count, room;
	struct item *items;
	struct item *merged; /* the other array */
	size_t width;        /* of the runs in `items`; 0: they are still being made */
	size_t start;        /* of the two runs that are being merged */
	size_t left, right;  /* how far they are used up */
};

/* ---- comparing ---- */

static int
compare_texts(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	return strcasecmp(a, b);
}

static int
compare_numbers(double a, double b)
{
	return (a > b) - (a < b);
}

static enum stats_state
state_of(const struct item *item)
{
	return item->route->enabled ? item->state : STATS_OFF;
}

static int
compare_column(enum column_kind kind, const struct item *left, const struct item *right)
{
	const struct route *a = left->route, *b = right->route;

	switch (kind) {
	case COLUMN_ID:
		return (a->id > b->id) - (a->id < b->id);
	case COLUMN_DESTINATION:
		return compare_texts(a->destination, b->destination);
	case COLUMN_USER:
		return compare_texts(a->user, b->user);
	case COLUMN_MAIL_FROM:
		return compare_texts(a->mail_from, b->mail_from);
	case COLUMN_PRIORITY:
		return a->priority - b->priority;
	case COLUMN_WEIGHT:
		return a->weight - b->weight;
	case COLUMN_REMOTE_HOST:
		return compare_texts(a->remote_host, b->remote_host);
	case COLUMN_REMOTE_PORT:
		return a->remote_port - b->remote_port;
	case COLUMN_LOCAL_IPS:
		return compare_texts(a->local_ips, b->local_ips);
	case COLUMN_REMOTE_LOGIN:
		return compare_texts(a->remote_login, b->remote_login);
	case COLUMN_TLS:
		return (int)a->tls - (int)b->tls;
	case COLUMN_ENABLED:
		return a->enabled - b->enabled;
	case COLUMN_COMMENT:
		return compare_texts(a->comment, b->comment);
	case COLUMN_STATE:
		return (int)state_of(left) - (int)state_of(right);
	case COLUMN_RATE:
		return compare_numbers(left->rate, right->rate);
	case COLUMN_DEFERRED:
		return compare_numbers(left->deferred, right->deferred);
	}
	return 0;
}

static int
compare(const struct sorted *sorted, const struct item *a, const struct item *b)
{
	for (size_t i = 0; i < sorted->column_count; i++) {
		int order = compare_column(sorted->columns[i].kind, a, b);

		if (order != 0)
			return sorted->columns[i].descending ? -order : order;
	}
	return 0;
}

/* ---- columns ---- */

static int
column_read(struct sorted *sorted, const char *name, size_t len, struct error *why)
{
	struct column column = {.descending = len > 0 && *name == '-'};
	size_t i;

	if (column.descending) {
		name++;
		len--;
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].name) == len && strncasecmp(names[i].name, name, len) == 0)
			break;
	if (i == sizeof(names) / sizeof(names[0]))
		return error_set(why, ERROR_USAGE, "--sort: there is no column '%.*s' to sort by",
				 len < COLUMN_NAME_MAX ? (int)len : COLUMN_NAME_MAX, name);
	if (sorted->column_count == COLUMNS_MAX)
		return error_set(why, ERROR_USAGE, "--sort: more than %d columns", COLUMNS_MAX);
	column.kind = names[i].kind;
	sorted->columns[sorted->column_count++] = column;
	return 0;
}

struct sorted *
sorted_new(const char *columns, const struct filter_source *source, struct error *why)
{
	struct sorted *sorted = xcalloc(1, sizeof(*sorted));
	size_t len;

	for (;; columns += len + 1) {
		len = strcspn(columns, ",");
		if (column_read(sorted, columns, len, why) != 0) {
			free(sorted);
			return NULL;
		}
		if (sorted->columns[sorted->column_count - 1].kind >= COLUMN_STATE)
			sorted->source = source;
		if (columns[len] == '\0')
			return sorted;
	}
}

void
sorted_add(struct sorted *sorted, const struct route *route)
{
	struct filter_facts facts = {0};

	if (sorted->count == sorted->room) {
		sorted->room = sorted->room > 0 ? sorted->room * 2 : RUN;
		sorted->items = xreallocarray(sorted->items, sorted->room, sizeof(*sorted->items));
	}
	if (sorted->source != NULL)
		sorted->source->look(sorted->source->ctx, route, &facts);
	sorted->items[sorted->count++] = (struct item){.route = route_ref(route),
						       .rate = (float)facts.rate_1m,
						       .deferred = (float)facts.deferred_1h,
						       .state = facts.state};
}

/* ---- sorting ---- */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insert each into those before it, by halves; stable. */
static void
sort_run(const struct sorted *sorted, struct item *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct item moved = items[i];
		size_t low = 0, high = i;

		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (compare(sorted, &moved, &items[middle]) < 0)
				high = middle;
			else
				low = middle + 1;
		}
		memmove(items + low + 1, items + low, (i - low) * sizeof(*items));
		items[low] = moved;
	}
}

/* Take over up to `budget` items of the two runs at `start`. Returns how many. */
static size_t
merge(struct sorted *sorted, size_t budget)
{
	size_t middle = least(sorted->start + sorted->width, sorted->count);
	size_t end = least(sorted->start + 2 * sorted->width, sorted->count), taken = 0;
	size_t left = sorted->start + sorted->left, right = middle + sorted->right;

	for (; taken < budget && (left < middle || right < end); taken++) {
		struct item *place = &sorted->merged[left + right - middle];

		if (right == end || (left < middle && compare(sorted, &sorted->items[right],
							      &sorted->items[left]) >= 0))
			*place = sorted->items[left++];
		else
			*place = sorted->items[right++];
	}
	sorted->left = left - sorted->start;
	sorted->right = right - middle;
	if (left == middle && right == end) {
		sorted->start = end;
		sorted->left = sorted->right = 0;
	}
	return taken;
}

static void
next_round(struct sorted *sorted)
{
	struct item *items = sorted->items;

	sorted->items = sorted->merged;
	sorted->merged = items;
	sorted->width *= 2;
	sorted->start = 0;
}

bool
sorted_step(struct sorted *sorted, size_t budget)
{
	size_t used = 0;

	for (; sorted->width == 0 && used < budget; used += RUN_COST) {
		sort_run(sorted, sorted->items + sorted->start,
			 least(RUN, sorted->count - sorted->start));
		sorted->start += least(RUN, sorted->count - sorted->start);
		if (sorted->start < sorted->count)
			continue;
		sorted->width = RUN;
		sorted->start = 0;
		if (sorted->count > RUN)
			sorted->merged =
			    xreallocarray(NULL, sorted->count, sizeof(*sorted->merged));
	}
	while (sorted->width > 0 && sorted->width < sorted->count) {
		if (used >= budget)
			return false;
		used += merge(sorted, budget - used) + 1;
		if (sorted->start == sorted->count)
			next_round(sorted);
	}
	if (sorted->width == 0)
		return false;
	free(sorted->merged);
	sorted->merged = NULL;
	return true;
}

size_t
sorted_count(const struct sorted *sorted)
{
	return sorted->count;
}

const struct route *
sorted_at(const struct sorted *sorted, size_t i)
{
	return sorted->items[i].route;
}

/* The routes are those of `items` also in the middle of a merge: they are copied over. */
bool
sorted_free_step(struct sorted *sorted, size_t budget)
{
	for (; budget > 0 && sorted->count > 0; budget--)
		route_unref(sorted->items[--sorted->count].route);
	if (sorted->count > 0)
		return false;
	free(sorted->items);
	free(sorted->merged);
	free(sorted);
	return true;
}

void
sorted_free(struct sorted *sorted)
{
	if (sorted != NULL)
		while (!sorted_free_step(sorted, SIZE_MAX))
			;
}
