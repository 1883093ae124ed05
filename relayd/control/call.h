/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One request on its way through a verb: what was asked, by whom, and the one answer, which may be
 * given at once or later. The handler of a verb answers exactly once, by call_answer, call_refuse
 * or call_misused; the call is gone with that. If the console has gone away meanwhile, the answer
 * is dropped.
 */
#ifndef RELAYD_CONTROL_CALL_H
#define RELAYD_CONTROL_CALL_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"
#include "common/strbuf.h"
#include "relayd/control/control.h"

struct call;
struct upload;

/* `request` becomes the call's. `user` (copied) is who asks, "lea" or "uid 1000". `answered` gets
 * the line to send, empty for a notification, which is answered by nothing. */
struct call *call_new(const struct control_services *services, struct protocol_request *request,
		      const char *user, struct upload **upload, void (*answered)(void *ctx, const struct strbuf *line),
		      void *ctx);

/* Nobody waits for the answer any more: `answered` is not called. */
void call_detach(struct call *call);

const struct control_services *call_services(const struct call *call);
const char *call_user(const struct call *call);

/* Where the console keeps the rows that it sends. */
struct upload **call_upload(const struct call *call);
const char *call_method(const struct call *call);

/* The members of "params"; handlers may take secrets out of them. */
json_t *call_params(const struct call *call);

/* An integer among them, from `least` to `most`; `value` keeps its default where it is absent. -1
 * and `why` if it is something else. */
int call_integer(const struct call *call, const char *name, json_int_t least, json_int_t most,
		 json_int_t *value, struct error *why);

/* A further member of the answer, whichever it will be: of the result, or of the error's data. */
void call_put(struct call *call, const char *name, json_t *value_stolen);

/* A text among them; NULL where it is absent or null. -1 and `why` if it is something else. */
int call_string(const struct call *call, const char *name, const char **value, struct error *why);

void call_answer(struct call *call, json_t *result_stolen);
void call_refuse(struct call *call, const struct error *why,
		 const char *hint);                        /* hint: NULL for none */
void call_misused(struct call *call, const char *message); /* invalid params */
void call_unknown(struct call *call);                      /* no such method */

/* A point of time in answers: RFC 3339 in UTC, to the second; new reference. */
json_t *call_time(int64_t wall_ms);

/* Words of a stranger in answers: what is not UTF-8 is shown as \xNN, as are controls. NULL: null. New
 * reference. */
json_t *call_text(const char *text);

#endif
