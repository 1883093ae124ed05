/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keys without a route are told a line at a time ("3  no route for joe@x.io or x.io to d.fr, .fr"
 * would be long: what the line looks at stands there instead); a key whose routes are disabled has
 * a line of its own. -o json has every key.
 */
#include "console/explain_text.h"

#include <stdbool.h>
#include <string.h>

#include "console/output.h"
#include "console/when.h"

static const char *const line_names[] = {
    NULL,
    "user, sender, recipient",
    "user, sender domain, recipient",
    "user, recipient",
    "user, sender",
    "user, sender domain",
    "user",
    "recipient",
    "* (everything else)",
    "MX records",
};

enum { LINE_WIDTH = 32, LINES = 9 };

static const char *
text_of(const json_t *object, const char *member)
{
	return json_string_value(json_object_get(object, member));
}

static void
put_text(struct strbuf *out, const char *text)
{
	strbuf_escaped(out, text, strlen(text));
}

static void
put_member(struct strbuf *out, const json_t *object, const char *member)
{
	struct strbuf value = STRBUF_INIT;

	output_value(json_object_get(object, member), &value);
	strbuf_escaped(out, value.len > 0 ? value.data : "", value.len);
	strbuf_clear(&value);
}

/* "route 3", "routes 2, 3, 5" */
static void
put_routes(struct strbuf *out, const json_t *ids)
{
	const json_t *id;
	size_t i;

	strbuf_puts(out, json_array_size(ids) == 1 ? "route" : "routes");
	json_array_foreach(ids, i, id)
	{
		strbuf_puts(out, i > 0 ? ", " : " ");
		output_value(id, out);
	}
}

/* ---- the rules ---- */

/* "joe@x.io, from tmail.io, to .fr" */
static void
put_key(struct strbuf *out, const json_t *verdict)
{
	const char *user = text_of(verdict, "user"), *from = text_of(verdict, "mail_from");

	if (user != NULL) {
		put_text(out, user);
		strbuf_puts(out, ", ");
	}
	if (from != NULL) {
		strbuf_puts(out, "from ");
		put_text(out, from);
		strbuf_puts(out, ", ");
	}
	strbuf_puts(out, "to ");
	put_member(out, verdict, "destination");
}

static void
put_verdict(struct strbuf *out, const json_t *verdict, const char *reason)
{
	if (strcmp(reason, "hit") == 0 &&
	    json_integer_value(json_object_get(verdict, "line")) == 9) {
		strbuf_puts(out, "no rule fits: by MX");
	} else if (strcmp(reason, "hit") == 0) {
		put_key(out, verdict);
		strbuf_puts(out, ": ");
		put_routes(out, json_object_get(verdict, "routes"));
	} else if (strcmp(reason, "disabled") == 0) {
		put_key(out, verdict);
		strbuf_puts(out, ": disabled (");
		put_routes(out, json_object_get(verdict, "routes"));
		strbuf_putc(out, ')');
	} else if (strcmp(reason, "no_login") == 0) {
		strbuf_puts(out, "needs an authenticated client");
	} else if (strcmp(reason, "no_sender") == 0) {
		strbuf_puts(out, "needs a sender");
	} else {
		strbuf_puts(out, "no route");
	}
}

static void
put_line(struct strbuf *out, json_int_t line, bool wins)
{
	const char *name = line >= 1 && line <= LINES ? line_names[line] : "?";

	strbuf_printf(out, "%s %" JSON_INTEGER_FORMAT "  %-*s", wins ? "->" : "  ", line,
		      LINE_WIDTH, name);
}

/* One line of the table: what there is to say of its keys. */
static void
put_rule(struct strbuf *out, const json_t *verdicts, json_int_t line)
{
	const json_t *verdict;
	const char *reason;
	bool said = false, wins;
	size_t i;

	json_array_foreach(verdicts, i, verdict)
	{
		reason = text_of(verdict, "reason");
		if (reason == NULL ||
		    json_integer_value(json_object_get(verdict, "line")) != line ||
		    strcmp(reason, "no_route") == 0 || strcmp(reason, "no_domain") == 0)
			continue;
		wins = strcmp(reason, "hit") == 0;
		if (!said || wins)
			put_line(out, line, wins);
		else
			strbuf_printf(out, "%*s", LINE_WIDTH + 6, "");
		put_verdict(out, verdict, reason);
		strbuf_putc(out, '\n');
		said = true;
	}
	if (!said) {
		put_line(out, line, false);
		strbuf_puts(out, "no route\n");
	}
}

static void
put_rules(struct strbuf *out, const json_t *answer)
{
	json_int_t winner = json_integer_value(json_object_get(answer, "line"));

	strbuf_puts(out, "Rules, in the order in which they are looked at\n");
	for (json_int_t line = 1; line <= winner; line++)
		put_rule(out, json_object_get(answer, "verdicts"), line);
}

/* ---- MX ---- */

static void
put_mx(struct strbuf *out, const json_t *mx)
{
	const char *status = text_of(mx, "status"), *why = text_of(mx, "why");
	const json_t *host;
	size_t i;

	if (status == NULL)
		return;
	strbuf_puts(out, "\nMail exchangers\n");
	if (strcmp(status, "implicit") == 0)
		strbuf_puts(out, "   there is no MX record: the domain itself\n");
	else if (strcmp(status, "null_mx") == 0)
		strbuf_puts(out, "   null MX: the domain takes no mail\n");
	else if (strcmp(status, "no_domain") == 0)
		strbuf_puts(out, "   the domain does not exist (NXDOMAIN)\n");
	else if (strcmp(status, "loop") == 0)
		strbuf_puts(out, "   this host is the best of them: a loop\n");
	else if (strcmp(status, "literal") == 0)
		strbuf_puts(out, "   an address literal: nothing to look up\n");
	else if (strcmp(status, "unknown") == 0) {
		strbuf_puts(out, "   can't be looked up for now");
		if (why != NULL) {
			strbuf_puts(out, ": ");
			put_text(out, why);
		}
		strbuf_putc(out, '\n');
	}
	if (strcmp(status, "found") != 0)
		return;
	json_array_foreach(json_object_get(mx, "hosts"), i, host)
	{
		strbuf_printf(out, "   %5" JSON_INTEGER_FORMAT "  ",
			      json_integer_value(json_object_get(host, "preference")));
		put_member(out, host, "host");
		strbuf_putc(out, '\n');
	}
}

/* ---- the plan ---- */

void
explain_text_share(const json_t *hop, struct strbuf *out)
{
	double share = json_number_value(json_object_get(hop, "share"));

	if (share > 0.9999)
		strbuf_puts(out, "100%");
	else
		strbuf_printf(out, "%.1f%%", share * 100);
}

/* The time of the day is enough for what ends within an hour. */
static void
put_until(struct strbuf *out, const char *utc)
{
	struct strbuf local = STRBUF_INIT;

	when_local(utc, &local);
	if (local.len >= 19)
		strbuf_append(out, local.data + 11, 8);
	else
		strbuf_puts(out, utc);
	strbuf_clear(&local);
}

/* On a line of its own: what a system says of a failure is long. */
static void
put_failures(struct strbuf *out, const json_t *try)
{
	json_int_t failures = json_integer_value(json_object_get(try, "failures"));

	if (failures == 0)
		return;
	strbuf_printf(out, "           %" JSON_INTEGER_FORMAT " %s, the last one: ", failures,
		      failures == 1 ? "failure" : "failures");
	put_member(out, try, "last_error");
	strbuf_putc(out, '\n');
}

void
explain_text_state(const json_t *try, struct strbuf *out)
{
	const char *state = text_of(try, "state"), *until = text_of(try, "suspended_until");

	if (state == NULL)
		return;
	if (strncmp(state, "suspended", 9) == 0) {
		strbuf_puts(out, "left out until ");
		put_until(out, until != NULL ? until : "later");
		if (strcmp(state, "suspended_tried") == 0)
			strbuf_puts(out, ", but there is nothing else: try");
	} else if (strcmp(state, "no_family") == 0) {
		strbuf_puts(out, "left out: no local IP of its family");
	} else if (strcmp(state, "failed_before") == 0) {
		strbuf_puts(out, "left out: the same was tried above");
	} else if (strcmp(state, "no_local_ip") == 0) {
		strbuf_puts(out, "left out: this host has not that local IP");
	} else {
		strbuf_puts(out, "try");
	}
}

static void
put_hop_head(struct strbuf *out, const json_t *hop, bool by_mx)
{
	const json_t *routes = json_object_get(hop, "routes");
	const char *host = text_of(hop, "remote_host"), *login = text_of(hop, "login");

	strbuf_printf(out, "%5" JSON_INTEGER_FORMAT "  ",
		      json_integer_value(json_object_get(hop, "priority")));
	explain_text_share(hop, out);
	strbuf_puts(out, "  ");
	if (!by_mx) {
		put_routes(out, routes);
		strbuf_puts(out, "  ");
	}
	strbuf_printf(out, host != NULL && strchr(host, ':') != NULL ? "[%s]:" : "%s:",
		      host != NULL ? host : "?");
	put_member(out, hop, "remote_port");
	strbuf_puts(out, "  TLS ");
	put_member(out, hop, "tls");
	if (login != NULL) {
		strbuf_puts(out, "  login ");
		put_text(out, login);
		if (json_is_true(json_object_get(hop, "has_password")))
			strbuf_puts(out, ":********");
	}
	strbuf_putc(out, '\n');
}

static void
put_lookup(struct strbuf *out, const json_t *lookup)
{
	const char *status = text_of(lookup, "status"), *why = text_of(lookup, "why");

	if (status == NULL || strcmp(status, "ok") == 0 || strcmp(status, "not_needed") == 0)
		return;
	strbuf_puts(out, "         no address: ");
	if (strcmp(status, "no_name") == 0)
		strbuf_puts(out, "the name does not exist");
	else if (strcmp(status, "no_address") == 0)
		strbuf_puts(out, "the name has no A or AAAA record");
	else
		put_text(out, why != NULL ? why : "the lookup failed");
	strbuf_putc(out, '\n');
}

static void
put_hop(struct strbuf *out, const json_t *hop, bool by_mx)
{
	const json_t *try;
	const char *local;
	size_t i;

	put_hop_head(out, hop, by_mx);
	put_lookup(out, json_object_get(hop, "lookup"));
	json_array_foreach(json_object_get(hop, "tries"), i, try)
	{
		local = text_of(try, "local");
		strbuf_puts(out, "         ");
		put_member(out, try, "remote");
		if (local != NULL) {
			strbuf_puts(out, " from ");
			put_text(out, local);
		}
		strbuf_puts(out, "  ");
		explain_text_state(try, out);
		strbuf_putc(out, '\n');
		put_failures(out, try);
	}
}

/* ---- what follows ---- */

static void
put_span(struct strbuf *out, double seconds)
{
	static const struct {
		double seconds;
		const char *unit;
	} units[] = {{86400, "d"}, {3600, "h"}, {60, "m"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		double count = seconds / units[i].seconds;

		if (count >= 1 && count - (double)(json_int_t)count < 0.000001) {
			strbuf_printf(out, "%g%s", count, units[i].unit);
			return;
		}
	}
	strbuf_printf(out, "%gs", seconds);
}

static void
put_then(struct strbuf *out, const json_t *answer)
{
	const json_t *then = json_object_get(answer, "then"), *delay;
	const char *fate = text_of(then, "fate"), *status = text_of(then, "status");
	bool way_out = json_is_true(json_object_get(answer, "way_out"));
	size_t i;

	strbuf_puts(out, way_out ? "\nWhen all of these fail\n   " : "\nThere is no way out\n   ");
	if (!way_out) {
		put_member(out, then, "text");
		strbuf_puts(out, ": ");
	}
	strbuf_puts(out, fate != NULL ? fate : "");
	if (status != NULL) {
		strbuf_puts(out, " with ");
		put_text(out, status);
	}
	strbuf_putc(out, '\n');
	if (fate == NULL || strcmp(fate, "deferred") != 0)
		return;
	strbuf_puts(out, "   tried again after ");
	json_array_foreach(json_object_get(then, "retry_s"), i, delay)
	{
		strbuf_puts(out, i > 0 ? ", " : "");
		put_span(out, json_number_value(delay));
	}
	strbuf_puts(out, " and so on; bounced after ");
	put_span(out, json_number_value(json_object_get(then, "lifetime_s")));
	strbuf_putc(out, '\n');
}

void
explain_text(const json_t *answer, struct strbuf *out)
{
	const char *sender = text_of(answer, "sender"), *login = text_of(answer, "login");
	bool by_mx = !json_is_null(json_object_get(answer, "mx"));
	json_int_t left_out = json_integer_value(json_object_get(answer, "left_out"));
	const json_t *plan = json_object_get(answer, "plan"), *hop;
	size_t i;

	strbuf_puts(out, "Mail to ");
	put_member(out, answer, "recipient");
	strbuf_puts(out, ", from <");
	put_text(out, sender != NULL ? sender : "");
	strbuf_puts(out, login != NULL ? ">, by " : ">, by a client that did not authenticate");
	put_text(out, login != NULL ? login : "");
	strbuf_puts(out, "\n\n");
	put_rules(out, answer);
	put_mx(out, json_object_get(answer, "mx"));
	if (json_array_size(plan) > 0)
		strbuf_puts(out, by_mx ? "\nPlan: preference, share, host\n"
				       : "\nPlan: priority, share, route, host\n");
	json_array_foreach(plan, i, hop)
	{
		put_hop(out, hop, by_mx);
	}
	if (left_out > 0)
		strbuf_printf(out, "   and %" JSON_INTEGER_FORMAT " routes more\n", left_out);
	put_then(out, answer);
}
