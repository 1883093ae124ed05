/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "common/route.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"

enum { PORT_DEFAULT = 25, PORT_SUBMISSIONS = 465 };

static const char *const field_names[ROUTE_FIELDS] = {
    [ROUTE_DESTINATION] = "destination",
    [ROUTE_REMOTE_HOST] = "remote_host",
    [ROUTE_REMOTE_PORT] = "remote_port",
    [ROUTE_PRIORITY] = "priority",
    [ROUTE_WEIGHT] = "weight",
    [ROUTE_LOCAL_IPS] = "local_ips",
    [ROUTE_USER] = "user",
    [ROUTE_MAIL_FROM] = "mail_from",
    [ROUTE_REMOTE_LOGIN] = "remote_login",
    [ROUTE_REMOTE_PASSWORD] = "remote_password",
    [ROUTE_TLS] = "tls",
    [ROUTE_ENABLED] = "enabled",
    [ROUTE_COMMENT] = "comment",
};

static const char *const tls_names[] = {
    [ROUTE_TLS_DEFAULT] = "default", [ROUTE_TLS_NONE] = "none",
    [ROUTE_TLS_MAY] = "may",         [ROUTE_TLS_REQUIRE] = "require",
    [ROUTE_TLS_VERIFY] = "verify",   [ROUTE_TLS_IMPLICIT] = "implicit",
};

struct route *
route_new(void)
{
	struct route *route = xcalloc(1, sizeof(*route));

	route->destination = xstrdup("*");
	route->remote_port = PORT_DEFAULT;
	route->priority = 1;
	route->weight = 1;
	route->tls = ROUTE_TLS_DEFAULT;
	route->enabled = true;
	route->references = 1;
	return route;
}

/* The places of the texts. */
enum { TEXTS = 8 };

static void
text_places(struct route *route, char **places[TEXTS])
{
	places[0] = &route->destination;
	places[1] = &route->remote_host;
	places[2] = &route->local_ips;
	places[3] = &route->user;
	places[4] = &route->mail_from;
	places[5] = &route->remote_login;
	places[6] = &route->remote_password;
	places[7] = &route->comment;
}

struct route *
route_copy(const struct route *route)
{
	struct route model = *route, *copy;
	char **places[TEXTS], *end;
	size_t sizes[TEXTS], bytes = sizeof(*copy);

	text_places(&model, places);
	for (size_t i = 0; i < TEXTS; i++) {
		sizes[i] = *places[i] != NULL ? strlen(*places[i]) + 1 : 0;
		bytes += sizes[i];
	}
	if (bytes > UINT_MAX)
		fatal("a route of %zu bytes", bytes);
	copy = xmalloc(bytes);
	end = (char *)(copy + 1);
	for (size_t i = 0; i < TEXTS; i++) {
		if (sizes[i] > 0)
			*places[i] = memcpy(end, *places[i], sizes[i]);
		end += sizes[i];
	}
	model.references = 1;
	model.block_bytes = (unsigned)bytes;
	*copy = model;
	return copy;
}

/* A text that lies in the route's own block goes with that. */
static bool
is_in_block(const struct route *route, const char *text)
{
	uintptr_t start = (uintptr_t)route, at = (uintptr_t)text;

	return at >= start && at - start < route->block_bytes;
}

void
route_drop_text(const struct route *route, char *text)
{
	if (!is_in_block(route, text))
		free_secret(text);
	else
		explicit_bzero(text, strlen(text));
}

/* The count is no part of what a route says: whoever may read a route may keep it. */
struct route *
route_ref(const struct route *route)
{
	struct route *kept = (struct route *)(uintptr_t)route;

	kept->references++;
	return kept;
}

void
route_set_revision(const struct route *route, uint64_t revision)
{
	((struct route *)(uintptr_t)route)->revision = revision;
}

void
route_unref(struct route *route)
{
	char **places[TEXTS];

	if (route == NULL)
		return;
	if (route->references == 0)
		fatal("route %" PRIu64 " was given back too often", route->id);
	if (--route->references > 0)
		return;
	text_places(route, places);
	for (size_t i = 0; i < TEXTS; i++) {
		if (places[i] == &route->remote_password)
			route_drop_text(route, route->remote_password);
		else if (!is_in_block(route, *places[i]))
			free(*places[i]);
	}
	free(route);
}

int
route_validate(const struct route *route, struct error *why)
{
	if (route->remote_host == NULL)
		return error_set(why, ERROR_REFUSED, "a route needs a remote host");
	if (route->remote_login != NULL && route->remote_password == NULL)
		return error_set(why, ERROR_REFUSED, "a remote login needs a remote password");
	if (route->remote_login == NULL && route->remote_password != NULL)
		return error_set(why, ERROR_REFUSED, "a remote password needs a remote login");
	return 0;
}

const char *
route_field_name(enum route_field field)
{
	return field_names[field];
}

int
route_field_of(const char *name, enum route_field *field)
{
	for (size_t i = 0; i < ROUTE_FIELDS; i++) {
		if (strcmp(field_names[i], name) == 0) {
			*field = (enum route_field)i;
			return 0;
		}
	}
	return -1;
}

static const char *
number_text(unsigned value, unsigned standard, char scratch[24])
{
	if (value == standard)
		return NULL;
	snprintf(scratch, 24, "%u", value);
	return scratch;
}

const char *
route_get(const struct route *route, enum route_field field, char scratch[24])
{
	switch (field) {
	case ROUTE_DESTINATION:
		return strcmp(route->destination, "*") != 0 ? route->destination : NULL;
	case ROUTE_REMOTE_HOST:
		return route->remote_host;
	case ROUTE_REMOTE_PORT:
		return number_text(route->remote_port, PORT_DEFAULT, scratch);
	case ROUTE_PRIORITY:
		return number_text(route->priority, 1, scratch);
	case ROUTE_WEIGHT:
		return number_text(route->weight, 1, scratch);
	case ROUTE_LOCAL_IPS:
		return route->local_ips;
	case ROUTE_USER:
		return route->user;
	case ROUTE_MAIL_FROM:
		return route->mail_from;
	case ROUTE_REMOTE_LOGIN:
		return route->remote_login;
	case ROUTE_REMOTE_PASSWORD:
		return route->remote_password;
	case ROUTE_TLS:
		return route->tls != ROUTE_TLS_DEFAULT ? route_tls_name(route->tls) : NULL;
	case ROUTE_ENABLED:
		return route->enabled ? NULL : "no";
	case ROUTE_COMMENT:
		return route->comment;
	case ROUTE_FIELDS:
		break;
	}
	fatal("route_get: field %d", (int)field);
}

enum route_tls
route_effective_tls(const struct route *route)
{
	if (route->tls != ROUTE_TLS_DEFAULT)
		return route->tls;
	if (route->remote_login != NULL)
		return ROUTE_TLS_VERIFY;
	return route->remote_port == PORT_SUBMISSIONS ? ROUTE_TLS_IMPLICIT : ROUTE_TLS_MAY;
}

const char *
route_tls_name(enum route_tls tls)
{
	return tls_names[tls];
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool
route_same_hop(const struct route *a, const struct route *b)
{
	return a->remote_port == b->remote_port && same_text(a->remote_host, b->remote_host) &&
	       same_text(a->remote_login, b->remote_login) &&
	       same_text(a->remote_password, b->remote_password) &&
	       same_text(a->local_ips, b->local_ips) &&
	       route_effective_tls(a) == route_effective_tls(b);
}
