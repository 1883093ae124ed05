/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "relayd/settings_keys.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/domain.h"
#include "common/hostport.h"
#include "common/route.h"
#include "common/xalloc.h"

#ifndef LOCALSTATEDIR
#define LOCALSTATEDIR "/var"
#endif
#ifndef RUNSTATEDIR
#define RUNSTATEDIR "/run"
#endif

enum { DNS_PORT = 53 };

static const int64_t SECOND = 1000;
static const int64_t MINUTE = 60 * 1000;
static const int64_t HOUR = 60 * 60 * 1000;
static const int64_t DAY = 24 * 60 * 60 * 1000;
static const int64_t WEEK = 7 * 24 * 60 * 60 * 1000;

/* ---- numbers with units ---- */

/* Digits, then a unit of the table ("" among them): value * factor, or -1. */
struct unit {
	const char *name;
	int64_t factor;
};

static int64_t
read_with_unit(const char *text, const struct unit *units, size_t count)
{
	int64_t value = 0;

	if (*text < '0' || *text > '9')
		return -1;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (value > (INT64_MAX - 9) / 10)
			return -1;
		value = value * 10 + (*text - '0');
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, units[i].name) == 0)
			return value <= INT64_MAX / units[i].factor ? value * units[i].factor : -1;
	}
	return -1;
}

int
settings_duration(const char *text, int64_t *ms)
{
	const struct unit units[] = {{"", SECOND}, {"ms", 1},  {"s", SECOND}, {"m", MINUTE},
				     {"h", HOUR},  {"d", DAY}, {"w", WEEK}};
	int64_t value = read_with_unit(text, units, sizeof(units) / sizeof(units[0]));

	if (value < 0)
		return -1;
	*ms = value;
	return 0;
}

int
settings_size(const char *text, uint64_t *octets)
{
	static const struct unit units[] = {{"", 1},          {"K", 1LL << 10}, {"k", 1LL << 10},
					    {"M", 1LL << 20}, {"m", 1LL << 20}, {"G", 1LL << 30},
					    {"g", 1LL << 30}, {"T", 1LL << 40}, {"t", 1LL << 40}};
	int64_t value = read_with_unit(text, units, sizeof(units) / sizeof(units[0]));

	if (value < 0)
		return -1;
	*octets = (uint64_t)value;
	return 0;
}

/* ---- kinds that several keys share ---- */

static void *
field_of(const struct settings_key *key, struct settings *settings)
{
	return (char *)settings + key->offset;
}

static void
replace_text(char **field, char *text)
{
	free(*field);
	*field = text;
}

static int
read_number(const struct settings_key *key, struct settings *settings, const char *word,
	    struct error *why)
{
	static const struct unit units[] = {{"", 1}};
	int64_t value = read_with_unit(word, units, 1);

	if (value < key->least || value > key->most)
		return error_set(why, ERROR_USAGE, "\"%s\" is not a number from %lld to %lld", word,
				 (long long)key->least, (long long)key->most);
	*(unsigned *)field_of(key, settings) = (unsigned)value;
	return 0;
}

/* As a person would write it. */
static char *
duration_text(int64_t ms)
{
	if (ms % SECOND != 0)
		return xasprintf("%lldms", (long long)ms);
	if (ms > 0 && ms % DAY == 0)
		return xasprintf("%lldd", (long long)(ms / DAY));
	if (ms > 0 && ms % HOUR == 0)
		return xasprintf("%lldh", (long long)(ms / HOUR));
	return xasprintf("%llds", (long long)(ms / SECOND));
}

static int
read_duration(const struct settings_key *key, const char *word, int64_t *ms, struct error *why)
{
	char *least, *most;

	if (settings_duration(word, ms) == 0 && *ms >= key->least && *ms <= key->most)
		return 0;
	least = duration_text(key->least);
	most = duration_text(key->most);
	error_set(why, ERROR_USAGE,
		  "\"%s\" is not a time from %s to %s (90 or 90s, 5m, 1h, 5d; 500ms)", word, least,
		  most);
	free(least);
	free(most);
	return -1;
}

static int
read_time(const struct settings_key *key, struct settings *settings, const char *word,
	  struct error *why)
{
	return read_duration(key, word, field_of(key, settings), why);
}

static int
read_path(const struct settings_key *key, struct settings *settings, const char *word,
	  struct error *why)
{
	if (word[0] != '/')
		return error_set(why, ERROR_USAGE, "\"%s\" is not an absolute path", word);
	replace_text(field_of(key, settings), xstrdup(word));
	return 0;
}

/* ---- one key each ---- */

static int
read_socket(const struct settings_key *key, struct settings *settings, const char *word,
	    struct error *why)
{
	size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (strlen(word) > most)
		return error_set(why, ERROR_USAGE, "\"%s\" is longer than %zu bytes", word, most);
	return read_path(key, settings, word, why);
}

static int
read_domain(const char *word, char **domain, struct error *why)
{
	*domain = domain_normalise(word, why);
	if (*domain != NULL)
		return 0;
	why->code = ERROR_USAGE;
	return error_prefix(why, "\"%s\"", word);
}

static int
read_hostname(const struct settings_key *key, struct settings *settings, const char *word,
	      struct error *why)
{
	char *domain;

	(void)key;
	if (read_domain(word, &domain, why) < 0)
		return -1;
	replace_text(&settings->hostname, domain);
	return 0;
}

static int
read_user(const struct settings_key *key, struct settings *settings, const char *word,
	  struct error *why)
{
	(void)key;
	errno = 0;
	if (getpwnam(word) == NULL)
		return error_set(why, ERROR_USAGE, "\"%s\" is no user of this system%s%s", word,
				 errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	replace_text(&settings->user, xstrdup(word));
	return 0;
}

static int
read_relay_from(const struct settings_key *key, struct settings *settings, const char *word,
		struct error *why)
{
	struct netprefix prefix;

	(void)key;
	if (netprefix_parse(word, &prefix, why) < 0) {
		why->code = ERROR_USAGE;
		return error_prefix(why, "\"%s\"", word);
	}
	settings->relay_from = xreallocarray(settings->relay_from, settings->relay_from_count + 1,
					     sizeof(*settings->relay_from));
	settings->relay_from[settings->relay_from_count++] = prefix;
	return 0;
}

static void
add_text(char ***list, size_t *count, char *text)
{
	*list = xreallocarray(*list, *count + 1, sizeof(**list));
	(*list)[(*count)++] = text;
}

/* ".example.com" and "*.example.com" are one thing; kept with the dot alone. */
static int
read_relay_domain(const struct settings_key *key, struct settings *settings, const char *word,
		  struct error *why)
{
	size_t skip = word[0] == '.' ? 1 : strncmp(word, "*.", 2) == 0 ? 2 : 0;
	char *domain, *text;

	(void)key;
	if (read_domain(word + skip, &domain, why) < 0)
		return -1;
	text = xasprintf("%s%s", skip > 0 ? "." : "", domain);
	free(domain);
	add_text(&settings->relay_domains, &settings->relay_domains_count, text);
	return 0;
}

static int
read_local_ips(const struct settings_key *key, struct settings *settings, const char *word,
	       struct error *why)
{
	struct route_local_ips ips;

	(void)key;
	if (route_local_ips_parse(word, &ips, why) < 0) {
		why->code = ERROR_USAGE;
		return error_prefix(why, "\"%s\"", word);
	}
	replace_text(&settings->local_ips, xstrdup(word));
	return 0;
}

static int
read_message_size(const struct settings_key *key, struct settings *settings, const char *word,
		  struct error *why)
{
	uint64_t octets;

	if (settings_size(word, &octets) < 0 || octets < (uint64_t)key->least ||
	    octets > (uint64_t)key->most)
		return error_set(why, ERROR_USAGE,
				 "\"%s\" is not a size from 1K to 1T (as in 64K, 50M, 1G)", word);
	settings->message_size = octets;
	return 0;
}

static int
read_retry(const struct settings_key *key, struct settings *settings, const char *word,
	   struct error *why)
{
	int64_t ms;

	if (read_duration(key, word, &ms, why) < 0)
		return -1;
	settings->retry_ms = xreallocarray(settings->retry_ms, settings->retry_count + 1,
					   sizeof(*settings->retry_ms));
	settings->retry_ms[settings->retry_count++] = ms;
	return 0;
}

static int
read_dns_server(const struct settings_key *key, struct settings *settings, const char *word,
		struct error *why)
{
	struct hostport server;
	struct netaddr address;
	char text[NETADDR_TEXT_MAX];

	(void)key;
	if (hostport_parse(word, '@', &server, why) < 0)
		goto refused;
	if (netaddr_parse(server.host, &address) < 0) {
		hostport_clear(&server);
		goto refused;
	}
	add_text(&settings->dns_servers, &settings->dns_servers_count,
		 xasprintf("%s@%u", netaddr_text(&address, text),
			   server.port != 0 ? server.port : (unsigned)DNS_PORT));
	hostport_clear(&server);
	return 0;
refused:
	return error_set(why, ERROR_USAGE, "\"%s\" is not ADDRESS or ADDRESS@PORT", word);
}

static int
read_log_level(const struct settings_key *key, struct settings *settings, const char *word,
	       struct error *why)
{
	(void)key;
	if (log_level_of(word, &settings->log_level) < 0)
		return error_set(why, ERROR_USAGE,
				 "\"%s\" is not one of debug, info, notice, warning, error", word);
	return 0;
}

static int
read_log_format(const struct settings_key *key, struct settings *settings, const char *word,
		struct error *why)
{
	(void)key;
	if (strcmp(word, "text") == 0)
		settings->log_format = LOG_FORMAT_TEXT;
	else if (strcmp(word, "json") == 0)
		settings->log_format = LOG_FORMAT_JSON;
	else
		return error_set(why, ERROR_USAGE, "\"%s\" is not one of text, json", word);
	return 0;
}

/*
 * What has to do with TLS and AUTH is accepted where it asks for nothing that this version lacks,
 * and refused where it does: a listener that silently did without would be an open door.
 */
static int
refuse_unsupported(const char *word, struct error *why)
{
	return error_set(why, ERROR_USAGE, "\"%s\" is not supported by this version", word);
}

static int
read_listen_auth(const struct settings_key *key, struct settings *settings, const char *word,
		 struct error *why)
{
	(void)key;
	(void)settings;
	/* "tls": offered after TLS, which is never */
	if (strcmp(word, "never") == 0 || strcmp(word, "tls") == 0)
		return 0;
	if (strcmp(word, "always") == 0)
		return refuse_unsupported(word, why);
	return error_set(why, ERROR_USAGE, "\"%s\" is not one of tls, always, never", word);
}

static int
read_listen_submission(const struct settings_key *key, struct settings *settings, const char *word,
		       struct error *why)
{
	(void)key;
	(void)settings;
	if (strcmp(word, "false") == 0 || strcmp(word, "no") == 0 || strcmp(word, "off") == 0)
		return 0;
	if (strcmp(word, "true") == 0 || strcmp(word, "yes") == 0 || strcmp(word, "on") == 0)
		return refuse_unsupported(word, why);
	return error_set(why, ERROR_USAGE, "\"%s\" is not true or false", word);
}

static int
read_listen_tls(const struct settings_key *key, struct settings *settings, const char *word,
		struct error *why)
{
	(void)key;
	(void)settings;
	if (strcmp(word, "none") == 0)
		return 0;
	if (strcmp(word, "starttls") == 0 || strcmp(word, "implicit") == 0)
		return refuse_unsupported(word, why);
	return error_set(why, ERROR_USAGE, "\"%s\" is not one of none, starttls, implicit", word);
}

static int
read_unsupported(const struct settings_key *key, struct settings *settings, const char *word,
		 struct error *why)
{
	(void)key;
	(void)settings;
	return refuse_unsupported(word, why);
}

/* ---- the table ---- */

#define TEXT(key, fallback_, read_)                                                                \
	{                                                                                          \
		.name = #key, .fallback = (fallback_), .read = (read_)                             \
	}
#define LIST(key, fallback_, read_)                                                                \
	{                                                                                          \
		.name = #key, .list = true, .fallback = (fallback_), .read = (read_)               \
	}
#define FIELD(key, fallback_, read_, field, least_, most_)                                         \
	{                                                                                          \
		.name = #key, .fallback = (fallback_), .read = (read_),                            \
		.offset = offsetof(struct settings, field), .least = (least_), .most = (most_)     \
	}
#define LIMIT(key, fallback_)                                                                      \
	{                                                                                          \
		.section = "limits", .name = #key, .fallback = (fallback_), .read = read_number,   \
		.offset = offsetof(struct settings, limits.key), .least = 1, .most = 1000000       \
	}
#define TIMEOUT(key, fallback_)                                                                    \
	{                                                                                          \
		.section = "timeouts", .name = #key, .fallback = (fallback_), .read = read_time,   \
		.offset = offsetof(struct settings, timeouts.key##_ms), .least = 100,              \
		.most = 86400000                                                                   \
	}
#define OTHER(section_, key, read_)                                                                \
	{                                                                                          \
		.section = (section_), .name = #key, .read = (read_)                               \
	}

const struct settings_key settings_keys[] = {
    TEXT(hostname, NULL, read_hostname),
    FIELD(state_dir, LOCALSTATEDIR "/lib/relayd", read_path, state_dir, 0, 0),
    FIELD(control_socket, RUNSTATEDIR "/relayd/control.sock", read_socket, control_socket, 0, 0),
    TEXT(user, NULL, read_user),
    LIST(relay_from, "{\"127.0.0.0/8\", \"::1\"}", read_relay_from),
    LIST(relay_domains, NULL, read_relay_domain),
    TEXT(local_ips, NULL, read_local_ips),
    FIELD(message_size, "50M", read_message_size, message_size, 1LL << 10, 1LL << 40),
    FIELD(queue_lifetime, "5d", read_time, queue_lifetime_ms, 0, 365 * 86400000LL),
    {.name = "retry",
     .list = true,
     .fallback = "{\"1m\", \"5m\", \"15m\", \"1h\"}",
     .read = read_retry,
     .least = 100,
     .most = 30 * 86400000LL},
    LIST(dns_servers, NULL, read_dns_server),
    FIELD(shutdown_grace, "30s", read_time, shutdown_grace_ms, 0, 3600000),
    TEXT(log_level, "info", read_log_level),
    TEXT(log_format, "text", read_log_format),
    OTHER("listen", auth, read_listen_auth),
    OTHER("listen", submission, read_listen_submission),
    OTHER("listen", tls, read_listen_tls),
    OTHER("tls", certificate, read_unsupported),
    OTHER("tls", key, read_unsupported),
    {.section = "tls",
     .name = "ca",
     .read = read_path,
     .offset = offsetof(struct settings, tls.ca)},
    LIMIT(connections, "2000"),
    LIMIT(connections_per_client, "50"),
    LIMIT(recipients, "1000"),
    LIMIT(errors, "20"),
    LIMIT(outbound, "1000"),
    LIMIT(outbound_per_host, "50"),
    TIMEOUT(command, "5m"),
    TIMEOUT(data, "10m"),
    TIMEOUT(connect, "30s"),
    TIMEOUT(remote_command, "5m"),
};

const size_t settings_key_count = sizeof(settings_keys) / sizeof(settings_keys[0]);

const struct settings_key *
settings_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < settings_key_count; i++) {
		const struct settings_key *key = &settings_keys[i];

		if (strcmp(key->name, name) == 0 &&
		    (section == NULL ? key->section == NULL
				     : key->section != NULL && strcmp(key->section, section) == 0))
			return key;
	}
	return NULL;
}
