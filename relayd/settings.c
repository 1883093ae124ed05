/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The one file that sees libconfuse. Every key is a string to it; what the words mean is
 * settings_keys' business. A word is checked by a callback as soon as it is read, because that is
 * when libconfuse knows its line; only a file that passed whole is turned into settings.
 */
#include "relayd/settings.h"

#include <confuse.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/domain.h"
#include "common/hostport.h"
#include "common/strbuf.h"
#include "common/xalloc.h"
#include "relayd/settings_keys.h"
#include "relayd/settings_text.h"

enum { FILE_MAX_BYTES = 1024 * 1024, SECTION_KEYS_MAX = 8, ROOT_OPTIONS_MAX = 24 };

/* ---- errors ---- */

/* Our own messages name their key in full; libconfuse's get the section they are about. */
static const char own_format[] = "%s%s%s: %s";

static bool
is_root(const cfg_t *cfg)
{
	return strcmp(cfg->name, "root") == 0;
}

/*
 * libconfuse gives this function nothing of the caller's, and there are no globals: the message is
 * left in the section's `comment`, an annotation that is ours to use and that cfg_free gives back.
 */
static void on_confuse_error(cfg_t *cfg, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void
on_confuse_error(cfg_t *cfg, const char *format, va_list args)
{
	struct strbuf text = STRBUF_INIT;

	if (cfg->comment != NULL)
		return; /* the first is the one that counts */
	/* Without the file: sections that stand from the beginning do not know its name. */
	strbuf_printf(&text, "%d: ", cfg->line);
	if (format != own_format && !is_root(cfg))
		strbuf_printf(&text, "%s: ", cfg->name);
	if (strcmp(format, "no such option '%s'") == 0)
		strbuf_printf(&text, "unknown key \"%s\"", va_arg(args, const char *));
	else if (strcmp(format, "found duplicate title '%s'") == 0)
		strbuf_printf(&text, "listen \"%s\": a second listener on one address",
			      va_arg(args, const char *));
	else
		strbuf_vprintf(&text, format, args);
	cfg->comment = strbuf_take(&text);
}

static const char *
confuse_message(cfg_t *cfg)
{
	const char *message = cfg->comment;

	for (cfg_opt_t *opt = cfg->opts; message == NULL && opt->name != NULL; opt++) {
		for (unsigned i = 0; opt->type == CFGT_SEC && i < cfg_opt_size(opt); i++) {
			message = confuse_message(cfg_opt_getnsec(opt, i));
			if (message != NULL)
				break;
		}
	}
	return message;
}

/* ---- what libconfuse is told ---- */

/* Called for each word, with the line it stands on; for a list once more behind its last. */
static int
check_word(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *section = is_root(cfg) ? NULL : cfg->name;
	const struct settings_key *key = settings_key_find(section, opt->name);
	struct settings *scratch = xcalloc(1, sizeof(*scratch));
	struct error why;
	int rc;

	rc = key->read(key, scratch, cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1), &why);
	settings_free(scratch);
	if (rc < 0)
		cfg_error(cfg, own_format, section != NULL ? section : "",
			  section != NULL ? "." : "", opt->name, why.text);
	return rc;
}

static cfg_opt_t
option_of(const struct settings_key *key)
{
	cfg_opt_t option = {.name = key->name, .type = CFGT_STR, .validcb = check_word};

	if (key->list) {
		option.flags = CFGF_LIST;
		/* libconfuse copies it; an empty list where there is no default */
		option.def.parsed = (char *)(key->fallback != NULL ? key->fallback : "{}");
	} else if (key->fallback != NULL) {
		option.def.string = key->fallback;
	} else {
		option.flags = CFGF_NODEFAULT;
	}
	return option;
}

/* The keys of one section, with the terminator that `options` was zeroed to. */
static size_t
options_of(const char *section, cfg_opt_t *options)
{
	size_t count = 0;

	for (size_t i = 0; i < settings_key_count; i++) {
		const char *of = settings_keys[i].section;

		if (section == NULL ? of == NULL : of != NULL && strcmp(of, section) == 0)
			options[count++] = option_of(&settings_keys[i]);
	}
	return count;
}

static cfg_t *
confuse_new(const char *file)
{
	static const struct {
		const char *name;
		cfg_flag_t flags;
	} sections[] = {{"listen", CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES},
			{"tls", CFGF_NONE},
			{"limits", CFGF_NONE},
			{"timeouts", CFGF_NONE}};
	enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };
	cfg_opt_t root[ROOT_OPTIONS_MAX] = {{0}};
	cfg_opt_t inner[SECTIONS][SECTION_KEYS_MAX] = {{{0}}};
	size_t count = options_of(NULL, root);
	cfg_t *cfg;

	for (size_t i = 0; i < SECTIONS; i++) {
		options_of(sections[i].name, inner[i]);
		root[count++] = (cfg_opt_t){.name = sections[i].name,
					    .type = CFGT_SEC,
					    .flags = sections[i].flags,
					    .subopts = inner[i]};
	}
	cfg = cfg_init(root, CFGF_NONE);
	if (cfg == NULL)
		fatal("libconfuse can't start");
	cfg->filename = xstrdup(file);
	cfg_set_error_function(cfg, on_confuse_error);
	return cfg;
}

/* ---- the file ---- */

static int
file_read(const char *file, struct strbuf *text, struct error *why)
{
	FILE *in = fopen(file, "re");
	struct stat st;
	size_t n;
	int rc = -1;

	if (in == NULL)
		return error_sys(why, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_STORAGE, "%s",
				 file);
	if (fstat(fileno(in), &st) == 0 && S_ISDIR(st.st_mode)) {
		error_set(why, ERROR_USAGE, "%s: is a directory", file);
		goto out;
	}
	do {
		n = fread(strbuf_reserve(text, BUFSIZ), 1, BUFSIZ, in);
		strbuf_grew(text, n);
	} while (n > 0 && text->len <= FILE_MAX_BYTES);
	if (ferror(in))
		error_sys(why, ERROR_STORAGE, "%s", file);
	else if (text->len > FILE_MAX_BYTES)
		error_set(why, ERROR_USAGE, "%s: more than 1 MiB", file);
	else if (strlen(text->data) != text->len)
		error_set(why, ERROR_USAGE, "%s: a NUL byte: this is not a text file", file);
	else
		rc = 0;
out:
	if (fclose(in) != 0 && rc == 0)
		rc = error_sys(why, ERROR_STORAGE, "%s", file);
	return rc;
}

static int
confuse_parse(cfg_t *cfg, struct strbuf *text, struct error *why)
{
	const char *message;
	unsigned line;
	FILE *in;
	int rc;

	strbuf_putc(text, '\n'); /* fmemopen wants one byte at least */
	line = settings_text_blank(text->data, text->len);
	if (line > 0)
		return error_set(why, ERROR_USAGE, "%s:%u: a comment that does not end",
				 cfg->filename, line);
	in = fmemopen(text->data, text->len, "r");
	if (in == NULL)
		return error_sys(why, ERROR_BUG, "%s", cfg->filename);
	rc = cfg_parse_fp(cfg, in);
	if (fclose(in) != 0 && rc == CFG_SUCCESS)
		return error_sys(why, ERROR_BUG, "%s", cfg->filename);
	message = confuse_message(cfg);
	if (message != NULL)
		return error_set(why, ERROR_USAGE, "%s:%s", cfg->filename, message);
	if (rc != CFG_SUCCESS)
		return error_set(why, ERROR_USAGE, "%s:%d: not understood", cfg->filename,
				 cfg->line);
	line = settings_text_unclosed(text->data);
	if (line > 0)
		return error_set(why, ERROR_USAGE, "%s:%u: a brace that is not closed",
				 cfg->filename, line);
	return 0;
}

/* ---- filling in ---- */

static int
take_key(cfg_t *cfg, const struct settings_key *key, struct settings *settings, struct error *why)
{
	cfg_t *section = key->section != NULL ? cfg_getsec(cfg, key->section) : cfg;
	cfg_opt_t *option = cfg_getopt(section, key->name);

	for (unsigned i = 0; i < cfg_opt_size(option); i++) {
		const char *word = cfg_opt_getnstr(option, i);

		/* a default that does not suit, or a user who has gone since it was checked */
		if (word != NULL && key->read(key, settings, word, why) < 0)
			return error_prefix(why, "%s: %s%s%s", cfg->filename,
					    key->section != NULL ? key->section : "",
					    key->section != NULL ? "." : "", key->name);
	}
	return 0;
}

static bool
is_any(const struct netaddr *address)
{
	static const unsigned char zeroes[sizeof(address->bytes)];

	return memcmp(address->bytes, zeroes, address->family == AF_INET ? 4 : 16) == 0;
}

/* The same, or one of them all addresses of that family: the kernel would refuse the second. */
static bool
listeners_clash(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->port == b->port &&
	       (is_any(a) || is_any(b) || netaddr_same_host(a, b));
}

static int
listener_read(const char *title, struct netaddr *address, struct error *why)
{
	struct hostport hp;
	int rc = -1;

	if (hostport_parse(title, ':', &hp, NULL) < 0)
		return error_set(why, ERROR_USAGE, "not ADDRESS:PORT or [IPv6]:PORT");
	if (netaddr_parse(hp.host, address) < 0)
		error_set(why, ERROR_USAGE, "\"%s\" is not an IP address", hp.host);
	else if (hp.port == 0)
		error_set(why, ERROR_USAGE, "the port is missing");
	else
		rc = 0;
	address->port = hp.port;
	hostport_clear(&hp);
	return rc;
}

static int
take_listener(struct settings *settings, const char *title, struct settings_listener *listener,
	      struct error *why)
{
	if (listener_read(title, &listener->address, why) < 0)
		return -1;
	for (size_t i = 0; i < settings->listener_count; i++) {
		char text[NETADDR_TEXT_MAX];
		const struct settings_listener *other = &settings->listeners[i];

		if (listeners_clash(&listener->address, &other->address))
			return error_set(why, ERROR_USAGE,
					 "a second listener on one address (%s, line %u)",
					 netaddr_text_port(&other->address, text), other->line);
	}
	settings->listeners = xreallocarray(settings->listeners, settings->listener_count + 1,
					    sizeof(*settings->listeners));
	settings->listeners[settings->listener_count++] = *listener;
	return 0;
}

static int
take_listeners(cfg_t *cfg, const char *text, struct settings *settings, struct error *why)
{
	for (unsigned i = 0; i < cfg_size(cfg, "listen"); i++) {
		const char *title = cfg_title(cfg_getnsec(cfg, "listen", i));
		struct settings_listener listener = {.line = settings_text_line(text, "listen", i)};

		if (take_listener(settings, title, &listener, why) < 0)
			return error_prefix(why, "%s:%u: listen \"%s\"", cfg->filename,
					    listener.line, title);
	}
	if (settings->listener_count == 0)
		return error_set(why, ERROR_USAGE,
				 "%s: no listen section: there is nothing to listen on",
				 cfg->filename);
	return 0;
}

/* The name that others know this host by, if the resolver can tell; else its own. */
static int
find_hostname(struct settings *settings, struct error *why)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
	struct addrinfo *info = NULL;
	const char *name;
	char own[256];

	if (gethostname(own, sizeof(own)) < 0)
		return error_sys(why, ERROR_BUG, "the name of this host");
	own[sizeof(own) - 1] = '\0';
	name = own;
	if (strchr(own, '.') == NULL && getaddrinfo(own, NULL, &hints, &info) == 0 &&
	    info->ai_canonname != NULL && strchr(info->ai_canonname, '.') != NULL)
		name = info->ai_canonname;
	settings->hostname = domain_normalise(name, why);
	if (settings->hostname == NULL)
		error_prefix(why, "hostname is not set, and this host's own name \"%s\" won't do",
			     name);
	if (info != NULL)
		freeaddrinfo(info);
	return settings->hostname != NULL ? 0 : -1;
}

static int
settings_fill(cfg_t *cfg, const char *text, struct settings *settings, struct error *why)
{
	for (size_t i = 0; i < settings_key_count; i++) {
		const struct settings_key *key = &settings_keys[i];

		/* Those of sections that may be absent hold nothing that is kept. */
		if (key->section != NULL && cfg_size(cfg, key->section) == 0)
			continue;
		if (take_key(cfg, key, settings, why) < 0)
			return -1;
	}
	if (settings->retry_count == 0)
		return error_set(why, ERROR_USAGE, "%s:%u: retry: the list is empty", cfg->filename,
				 settings_text_line(text, "retry", 0));
	if (take_listeners(cfg, text, settings, why) < 0)
		return -1;
	if (settings->hostname == NULL && find_hostname(settings, why) < 0)
		return error_prefix(why, "%s", cfg->filename);
	return 0;
}

struct settings *
settings_read(const char *file, struct error *why)
{
	struct settings *settings = xcalloc(1, sizeof(*settings));
	struct strbuf text = STRBUF_INIT;
	cfg_t *cfg = NULL;
	int rc;

	rc = file_read(file, &text, why);
	if (rc == 0) {
		cfg = confuse_new(file);
		rc = confuse_parse(cfg, &text, why);
	}
	if (rc == 0)
		rc = settings_fill(cfg, text.data, settings, why);
	if (cfg != NULL)
		cfg_free(cfg);
	strbuf_clear(&text);
	if (rc == 0)
		return settings;
	settings_free(settings);
	return NULL;
}

static void
texts_free(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
	free(texts);
}

void
settings_free(struct settings *settings)
{
	if (settings == NULL)
		return;
	free(settings->hostname);
	free(settings->state_dir);
	free(settings->control_socket);
	free(settings->user);
	free(settings->relay_from);
	texts_free(settings->relay_domains, settings->relay_domains_count);
	free(settings->local_ips);
	free(settings->retry_ms);
	texts_free(settings->dns_servers, settings->dns_servers_count);
	free(settings->listeners);
	free(settings->tls.ca);
	free(settings);
}
