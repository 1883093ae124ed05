/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "console/route_flags.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/route.h"
#include "common/xalloc.h"
#include "console/secret.h"

static const char passwd_warning[] =
    "warning: a password on the command line is visible to ps and in your shell history; "
    "use -rpwd - or -rpwd @FILE";

/* The flags of add and set. */
#define FIELD_FLAGS(host_required)                                                                 \
	[FLAG_DESTINATION] = {.names = "-d,--destination",                                         \
			      .value = "DEST",                                                     \
			      .help = "domain of the recipient (rcpt user@domain); .DOMAIN: its "  \
				      "subdomains; * (default): any"},                             \
	[FLAG_REMOTE_HOST] = {.names = "-rh,--remote-host,--remoteHost,--remote host",             \
			      .value = "REMOTE",                                                   \
			      .required = host_required,                                           \
			      .help = "where the mail is to be delivered: a host name, an IPv4 "   \
				      "address or [IPv6]"},                                        \
	[FLAG_REMOTE_PORT] = {.names = "-rp,--remote-port,--remotePort",                           \
			      .value = "PORT",                                                     \
			      .type = FLAG_NUMBER,                                                 \
			      .help = "port of the remote host (25)"},                             \
	[FLAG_PRIORITY] = {.names = "-p,--priority",                                               \
			   .value = "PRIORITY",                                                    \
			   .type = FLAG_NUMBER,                                                    \
			   .help = "the lowest is tried first (1); equal ones share at random"},   \
	[FLAG_WEIGHT] = {.names = "-w,--weight",                                                   \
			 .value = "WEIGHT",                                                        \
			 .type = FLAG_NUMBER,                                                      \
			 .help = "counts as that many identical routes (1)"},                      \
	[FLAG_LOCAL_IP] = {.names = "-l,--local-ip,--localIp",                                     \
			   .value = "LOCAL_IP",                                                    \
			   .help = "addresses to send from, joined by | (round robin) or & "       \
				   "(failover), never both"},                                      \
	[FLAG_USER] = {.names = "-u,--smtp-user,--smtpUser",                                       \
		       .value = "USER",                                                            \
		       .help =                                                                     \
			   "only for this authenticated user, or for every user of this domain"},  \
	[FLAG_MAIL_FROM] = {.names = "-f,--mail-from,--mailFrom",                                  \
			    .value = "MAIL_FROM",                                                  \
			    .help = "only for this sender, or senders of this domain; the user "   \
				    "must be authenticated"},                                      \
	[FLAG_REMOTE_LOGIN] = {.names = "-rl,--remote-login,--remoteLogin",                        \
			       .value = "LOGIN",                                                   \
			       .help = "login at the remote host (SMTP AUTH)"},                    \
	[FLAG_REMOTE_PASSWORD] = {.names = "-rpwd,--remote-passwd,--remotePasswd",                 \
				  .value = "PASSWD",                                               \
				  .type = FLAG_SECRET,                                             \
				  .help = "its password; - asks or reads standard input, @FILE, "  \
					  "@fd:N, @route:ID"},                                     \
	[FLAG_TLS] = {.names = "--tls",                                                            \
		      .value = "POLICY",                                                           \
		      .type = FLAG_WORD,                                                           \
		      .choices = "none|may|require|verify|implicit",                               \
		      .help = "none, may, require, verify, implicit; default: verify with a "      \
			      "login, implicit for port 465, else may"},                           \
	[FLAG_COMMENT] = {.names = "--comment",                                                    \
			  .value = "TEXT",                                                         \
			  .help = "a line of text for people"},                                    \
	[FLAG_REMOTE_PASSWORD_FILE] = {.names = "--remote-passwd-file",                            \
				       .value = "FILE",                                            \
				       .help = "the password is the first line of FILE, which "    \
					       "others must not be able to read"}

const struct command_flag route_add_flags[ROUTE_ADD_FLAGS] = {
    FIELD_FLAGS(true),
    [FLAG_DISABLED] = {.names = "--disabled",
		       .help = "in the table, but it matches nothing until it is enabled"},
    [FLAG_IF_ABSENT] = {.names = "--if-absent",
			.help = "only if there is no such route yet; else that one is shown"},
    [FLAG_FIRST] = {.names = "--first",
		    .help = "before the others of its destination, user and sender"},
    [FLAG_LAST] = {.names = "--last", .help = "behind them"},
    [FLAG_BEFORE] = {.names = "--before", .value = "ID", .help = "before this one of them"},
    [FLAG_AFTER] = {.names = "--after", .value = "ID", .help = "behind this one"},
    [FLAG_SHARE] = {.names = "--share", .value = "ID", .help = "with the priority of this one"},
};

const struct command_flag route_set_flags[ROUTE_SET_FLAGS] = {
    FIELD_FLAGS(false),
    [FLAG_CLEAR] = {.names = "--clear",
		    .value = "FIELD[,FIELD]",
		    .help = "back to the default: user, mail-from, local-ip, remote-login ..."},
};

/* The field that a flag sets; ROUTE_FIELDS for those that say where the password is. */
static const enum route_field fields[ROUTE_FLAGS] = {
    [FLAG_DESTINATION] = ROUTE_DESTINATION,
    [FLAG_REMOTE_HOST] = ROUTE_REMOTE_HOST,
    [FLAG_REMOTE_PORT] = ROUTE_REMOTE_PORT,
    [FLAG_PRIORITY] = ROUTE_PRIORITY,
    [FLAG_WEIGHT] = ROUTE_WEIGHT,
    [FLAG_LOCAL_IP] = ROUTE_LOCAL_IPS,
    [FLAG_USER] = ROUTE_USER,
    [FLAG_MAIL_FROM] = ROUTE_MAIL_FROM,
    [FLAG_REMOTE_LOGIN] = ROUTE_REMOTE_LOGIN,
    [FLAG_REMOTE_PASSWORD] = ROUTE_FIELDS,
    [FLAG_REMOTE_PASSWORD_FILE] = ROUTE_FIELDS,
    [FLAG_TLS] = ROUTE_TLS,
    [FLAG_COMMENT] = ROUTE_COMMENT,
};

/* Is `name` one of the flag's names? Dashes do not count. */
static bool
is_flag(const struct command_flag *flag, const char *name, size_t len)
{
	const char *word = flag->names;
	size_t size;

	for (;; word += size + 1) {
		word += strspn(word, "-");
		size = strcspn(word, ",");
		if (size == len && memcmp(word, name, len) == 0)
			return true;
		if (word[size] == '\0')
			return false;
	}
}

int
route_flags_field(const char *name, size_t len, enum route_field *field)
{
	char *word;
	int rc;

	for (size_t i = 0; i < ROUTE_FLAGS; i++) {
		if (fields[i] != ROUTE_FIELDS && is_flag(&route_set_flags[i], name, len)) {
			*field = fields[i];
			return 0;
		}
	}
	if (is_flag(&route_set_flags[FLAG_REMOTE_PASSWORD], name, len)) {
		*field = ROUTE_REMOTE_PASSWORD;
		return 0;
	}
	word = xstrndup(name, len);
	rc = route_field_of(word, field);
	free(word);
	return rc;
}

static int
set_fields(const struct command_call *call, bool set, struct route *route, json_t *object,
	   struct error *why)
{
	char scratch[24];
	const char *text;

	for (size_t i = 0; i < ROUTE_FLAGS; i++) {
		if (call->values[i] == NULL || fields[i] == ROUTE_FIELDS)
			continue;
		if (route_set(route, fields[i], call->values[i], why) != 0)
			return error_prefix(why, "%s %s", call->spelled[i], call->values[i]);
		text = route_get(route, fields[i], scratch);
		if (text != NULL)
			json_object_set_new(object, route_field_name(fields[i]), json_string(text));
		else if (set)
			json_object_set_new(object, route_field_name(fields[i]), json_null());
	}
	return 0;
}

/* Is there a password for the login, and a login for the password? What a route has already may be
 * one of them when it is changed. */
static int
check_credentials(const struct command_call *call, bool set, const struct route *route,
		  struct error *why)
{
	const char *password = call->spelled[FLAG_REMOTE_PASSWORD];
	const char *file = call->spelled[FLAG_REMOTE_PASSWORD_FILE];

	if (password != NULL && file != NULL)
		return error_set(why, ERROR_USAGE, "%s and %s: only one password is needed",
				 password, file);
	if (set)
		return 0;
	if (route->remote_login != NULL && password == NULL && file == NULL)
		return error_set(why, ERROR_USAGE, "%s %s: a login needs a password; add -rpwd",
				 call->spelled[FLAG_REMOTE_LOGIN], route->remote_login);
	if (route->remote_login == NULL && (password != NULL || file != NULL))
		return error_set(why, ERROR_USAGE, "%s: a password needs a login; add -rl",
				 password != NULL ? password : file);
	return 0;
}

/* For the prompt. */
static char *
whose_password(const struct command_call *call, const struct route *route)
{
	if (route->remote_login != NULL && route->remote_host != NULL)
		return xasprintf("%s@%s", route->remote_login, route->remote_host);
	return xasprintf("route %s", call->operand_count > 0 ? call->operands[0] : "");
}

/* The password's own flag, or the one that names a file. */
static int
find_password(const struct session *session, const struct command_call *call, bool batch,
	      const struct route *route, struct secret *secret, struct error *why)
{
	const char *value = call->values[FLAG_REMOTE_PASSWORD];
	const char *file = call->values[FLAG_REMOTE_PASSWORD_FILE];
	const char *spelled = call->spelled[FLAG_REMOTE_PASSWORD];
	const char *off = getenv("TMAIL_NO_ARGV_WARNING");
	char *whose;
	int result;

	if (file != NULL)
		return secret_read_file(call->spelled[FLAG_REMOTE_PASSWORD_FILE], file, secret,
					why);
	if (batch && strcmp(value, "-") == 0)
		return error_set(why, ERROR_USAGE,
				 "%s -: a line of a batch can't read standard input; use %s @FILE, "
				 "%s @fd:N or %s @route:ID",
				 spelled, spelled, spelled, spelled);
	if (!batch && strcmp(value, "-") != 0 && value[0] != '@' &&
	    (off == NULL || strcmp(off, "1") != 0))
		session_warn(session, passwd_warning);
	whose = whose_password(call, route);
	result = secret_read(session, spelled, value, whose, secret, why);
	free(whose);
	return result;
}

/* `route` holds all other fields by now. */
static int
set_password(const struct session *session, const struct command_call *call, bool batch,
	     struct route *route, json_t *object, struct error *why)
{
	const char *spelled = call->spelled[FLAG_REMOTE_PASSWORD];
	const char *value = call->values[FLAG_REMOTE_PASSWORD];
	struct secret secret;
	int result = 0;

	if (batch && value != NULL && strncmp(value, "@route:+", 8) == 0) {
		json_object_set_new(object, "remote_password_from", json_string(value + 7));
		return 0;
	}
	if (find_password(session, call, batch, route, &secret, why) != 0)
		return -1;
	if (secret.text == NULL) {
		json_object_set_new(object, "remote_password_from",
				    json_integer((json_int_t)secret.route_id));
	} else if (route_set(route, ROUTE_REMOTE_PASSWORD, secret.text, why) != 0) {
		result = error_prefix(why, "%s",
				      spelled != NULL ? spelled
						      : call->spelled[FLAG_REMOTE_PASSWORD_FILE]);
	} else {
		json_object_set_new(object, route_field_name(ROUTE_REMOTE_PASSWORD),
				    json_string(secret.text));
	}
	secret_clear(&secret);
	return result;
}

json_t *
route_flags_object(struct session *session, const struct command_call *call, bool set, bool batch,
		   struct error *why)
{
	struct route *route = route_new();
	json_t *object = json_object();
	bool password = call->values[FLAG_REMOTE_PASSWORD] != NULL ||
			call->values[FLAG_REMOTE_PASSWORD_FILE] != NULL;

	if (set_fields(call, set, route, object, why) != 0 ||
	    check_credentials(call, set, route, why) != 0 ||
	    (password && set_password(session, call, batch, route, object, why) != 0)) {
		route_flags_wipe(object);
		object = NULL;
	}
	route_unref(route);
	return object;
}

void
route_flags_wipe(json_t *object)
{
	const json_t *password = json_object_get(object, route_field_name(ROUTE_REMOTE_PASSWORD));

	/* jansson would give the memory back as it is. */
	if (password != NULL)
		explicit_bzero((char *)(uintptr_t)json_string_value(password),
			       json_string_length(password));
	json_decref(object);
}
