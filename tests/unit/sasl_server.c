/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/sasl_server.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <gsasl.h>

#include "common/xalloc.h"

struct sasl_server {
	const char *login, *password;
	Gsasl *library;
	Gsasl_session *session;
	bool content; /* its last word is still to be acknowledged */
	char *reply;
};

static int
server_asks(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
	const struct sasl_server *server = gsasl_session_hook_get(session);
	const char *login = gsasl_property_fast(session, GSASL_AUTHID);

	(void)library;
	if (login == NULL || strcmp(login, server->login) != 0)
		return GSASL_AUTHENTICATION_ERROR;
	if (property == GSASL_PASSWORD)
		return gsasl_property_set(session, GSASL_PASSWORD, server->password);
	if (property == GSASL_VALIDATE_SIMPLE)
		return strcmp(gsasl_property_fast(session, GSASL_PASSWORD), server->password) == 0
			   ? GSASL_OK
			   : GSASL_AUTHENTICATION_ERROR;
	return GSASL_NO_CALLBACK;
}

struct sasl_server *
sasl_server_new(const char *mechanism, const char *login, const char *password)
{
	struct sasl_server *server = xcalloc(1, sizeof *server);

	server->login = login;
	server->password = password;
	if (gsasl_init(&server->library) != GSASL_OK)
		abort();
	gsasl_callback_set(server->library, server_asks);
	if (gsasl_server_start(server->library, mechanism, &server->session) != GSASL_OK) {
		gsasl_done(server->library);
		free(server);
		return NULL;
	}
	gsasl_session_hook_set(server->session, server);
	return server;
}

void
sasl_server_free(struct sasl_server *server)
{
	if (server == NULL)
		return;
	gsasl_finish(server->session);
	gsasl_done(server->library);
	free(server->reply);
	free(server);
}

const char *
sasl_server_reply(struct sasl_server *server, const char *line)
{
	char *challenge = NULL;
	int rc;

	free(server->reply);
	if (server->content) {
		server->reply = xstrdup(line[0] == '\0' ? "235 2.7.0 welcome" : "501 5.5.2 why?");
		return server->reply;
	}
	rc = gsasl_step64(server->session, line, &challenge);
	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		server->reply = xstrdup("535 5.7.8 no");
		return server->reply;
	}
	server->content = rc == GSASL_OK;
	server->reply = server->content && challenge[0] == '\0' ? xstrdup("235 2.7.0 welcome")
								: xasprintf("334 %s", challenge);
	gsasl_free(challenge);
	return server->reply;
}
