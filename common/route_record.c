/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A route as it lies in routes.gdbm and in the journal:
 *
 *	destination=example.com
 *	remote_host=mail.example.com
 *	remote_port=2525
 *
 * One line "NAME=VALUE\n" for each field that differs from its default, in the order of enum
 * route_field; the value as route_set() takes it, UTF-8, to the end of the line. No value holds a
 * newline, none is empty, no name comes twice. The id is the record's key and not in it. A name
 *that is not known is refused rather than passed over: to drop half of a route written by a later
 *version would send mail elsewhere.
 */
#include "common/route.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

enum { RECORD_ON_STACK = 1024 };

void
route_encode(const struct route *route, struct strbuf *out)
{
	const char *value;
	char scratch[24];

	for (int i = 0; i < ROUTE_FIELDS; i++) {
		value = route_get(route, (enum route_field)i, scratch);
		if (value == NULL)
			continue;
		strbuf_puts(out, route_field_name((enum route_field)i));
		strbuf_putc(out, '=');
		strbuf_puts(out, value);
		strbuf_putc(out, '\n');
	}
}

/* The field of that name, looked for from `first` on and round; ROUTE_FIELDS where there is none.
 */
static enum route_field
next_field(const char *name, unsigned first)
{
	enum route_field field;

	for (unsigned i = 0; i < ROUTE_FIELDS; i++) {
		field = (enum route_field)((first + i) % ROUTE_FIELDS);
		if (strcmp(name, route_field_name(field)) == 0)
			return field;
	}
	return ROUTE_FIELDS;
}

/* One line, which ends in a NUL in place of its newline. `seen` has a bit for each field read. */
static int
decode_line(struct route *route, char *line, unsigned *seen, unsigned *next, struct error *why)
{
	char *value = strchr(line, '=');
	enum route_field field;

	if (value == NULL)
		return error_set(why, ERROR_STORAGE, "a line without '='");
	*value++ = '\0';
	/* Records are written in this order: nearly always the next field is one of the next few.
	 */
	field = next_field(line, *next);
	if (field == ROUTE_FIELDS)
		return error_set(why, ERROR_STORAGE, "unknown field '%s'", line);
	if ((*seen & 1u << field) != 0)
		return error_set(why, ERROR_STORAGE, "%s comes twice", line);
	if (*value == '\0')
		return error_set(why, ERROR_STORAGE, "%s has no value", line);
	*seen |= 1u << field;
	*next = field + 1;
	if (route_set(route, field, value, why) == -1) {
		if (why != NULL)
			why->code = ERROR_STORAGE;
		return error_prefix(why, "%s", line);
	}
	return 0;
}

struct route *
route_decode(uint64_t id, const char *record, size_t len, struct error *why)
{
	char stack[RECORD_ON_STACK], *copy = len <= sizeof(stack) ? stack : xmalloc(len);
	struct route *route = route_new(), *packed = NULL;
	unsigned seen = 0, next = 0;
	char *end;

	route->id = id;
	memcpy(copy, record, len);
	if (len == 0 || copy[len - 1] != '\n' || memchr(copy, '\0', len) != NULL) {
		error_set(why, ERROR_STORAGE, "the record is not lines of text");
		goto refused;
	}
	for (char *line = copy; line < copy + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(copy + len - line));
		*end = '\0';
		if (decode_line(route, line, &seen, &next, why) == -1)
			goto refused;
	}
	if (route_validate(route, why) == -1) {
		if (why != NULL)
			why->code = ERROR_STORAGE;
		goto refused;
	}
	packed = route_copy(route);
	goto out;

refused:
	error_prefix(why, "route %" PRIu64, id);
out:
	route_unref(route);
	/* The copy held the password. */
	explicit_bzero(copy, len);
	if (copy != stack)
		free(copy);
	return packed;
}
