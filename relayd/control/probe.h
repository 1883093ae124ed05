/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A probe of one route: a session with each address of its remote from each of its local IPs, as
 * delivery would have it, ended by QUIT as soon as it could take mail. Health is neither asked nor
 * told: what a probe finds out changes no plan.
 */
#ifndef RELAYD_CONTROL_PROBE_H
#define RELAYD_CONTROL_PROBE_H

#include <jansson.h>
#include <stdint.h>

#include "relayd/control/control.h"
#include "relayd/control/names.h"

struct probe;

/* Of one set of probes; the results come in the order of the routes. */
struct probe_options {
	const struct control_services *services;
	int64_t timeout_ms; /* of each session, and of the whole set */
	/* All are done: an array of results, for the callee. Called once, never before probe_start
	 * returns; the probe may be freed in it. */
	void (*done)(void *ctx, json_t *results_stolen);
	void *ctx;
};

struct probe *probe_new(const struct probe_options *options);
void probe_free(struct probe *probe); /* cuts what is open; NULL is allowed */

/* Before probe_start. `names`: the addresses of its remote. */
void probe_add(struct probe *probe, const struct route *route, const struct names *names);
void probe_start(struct probe *probe);

#endif
