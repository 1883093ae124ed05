/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The segments that exist, oldest first, and which message lies in which. */
#include "relayd/spool/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"

struct spool_segment *
chain_add(struct chain *chain, uint64_t number, uint64_t mark)
{
	struct spool_segment *segment = xcalloc(1, sizeof(*segment));

	segment->number = number;
	segment->mark = mark;
	if (chain->newest == NULL)
		chain->oldest = segment;
	else
		chain->newest->next = segment;
	chain->newest = segment;
	chain->count++;
	return segment;
}

void
chain_grew(struct chain *chain, struct spool_segment *segment, uint64_t size)
{
	chain->bytes = chain->bytes - segment->size + size;
	segment->size = size;
}

static void
segment_free(struct spool_segment *segment)
{
	if (segment->file != NULL)
		segment->file->segment = NULL;
	free(segment->live);
	free(segment);
}

void
chain_remove_oldest(struct chain *chain)
{
	struct spool_segment *oldest = chain->oldest;

	chain->oldest = oldest->next;
	if (chain->oldest == NULL)
		chain->newest = NULL;
	chain->count--;
	chain->bytes -= oldest->size;
	segment_free(oldest);
}

void
chain_clear(struct chain *chain)
{
	while (chain->oldest != NULL)
		chain_remove_oldest(chain);
}

void
chain_attach(struct chain *chain, struct spool_segment *segment, struct envelope *env,
	     uint64_t offset, uint64_t length)
{
	if (segment->slots == segment->room) {
		segment->room = segment->room == 0 ? 16 : segment->room + segment->room / 2;
		segment->live =
		    xreallocarray(segment->live, segment->room, sizeof(struct envelope *));
	}
	env->place.segment = segment;
	env->place.offset = (uint32_t)offset;
	env->place.length = (uint32_t)length;
	env->place.slot = segment->slots;
	segment->live[segment->slots++] = env;
	segment->alive++;
	segment->alive_bytes += length;
	chain->alive_bytes += length;
}

void
chain_detach(struct chain *chain, struct envelope *env)
{
	struct spool_segment *segment = env->place.segment;

	segment->live[env->place.slot] = NULL;
	segment->alive--;
	segment->alive_bytes -= env->place.length;
	chain->alive_bytes -= env->place.length;
	env->place.segment = NULL;
}

struct segment_file *
segment_file_new(struct spool_segment *segment, int fd)
{
	struct segment_file *file = xcalloc(1, sizeof(*file));

	file->fd = fd;
	file->refs = 1;
	file->segment = segment;
	segment->file = file;
	return file;
}

struct segment_file *
segment_file_ref(struct segment_file *file)
{
	file->refs++;
	return file;
}

void
segment_file_unref(struct spool *spool, struct segment_file *file)
{
	uint64_t number;

	if (file == NULL || --file->refs > 0)
		return;
	number = file->segment == NULL ? 0 : file->segment->number;
	if (file->segment != NULL)
		file->segment->file = NULL;
	if (close(file->fd) < 0)
		log_event(spool->log, LOG_LEVEL_ERROR, 0, "spool-close-failed",
			  LOG_U("segment", number), LOG_D("errno", errno));
	free(file);
}

struct segment_file *
segment_file_open(struct spool *spool, struct spool_segment *segment, struct error *why)
{
	char name[SEGMENT_NAME];
	int fd;

	if (segment->file != NULL)
		return segment_file_ref(segment->file);
	segment_name(name, segment->number);
	fd = openat(spool->dir_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_sys(why, ERROR_STORAGE, "%s/%s: can't open", spool->dir, name);
		return NULL;
	}
	return segment_file_new(segment, fd);
}
