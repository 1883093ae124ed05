/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Start-up: which messages do the segments hold? The records are gone through in the order in which
 * they were written; of those with the same id the later one wins. */
#include "relayd/spool/recovery.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "relayd/spool/number.h"

static void
drop(struct recovery *recovery, struct envelope *env)
{
	if (env == NULL)
		return;
	chain_detach(&recovery->spool->chain, env);
	envelope_free(env);
}

static int
found_message(struct recovery *recovery, const struct record *record, uint64_t offset,
	      const char *meta, struct error *why)
{
	const char *progress = NULL;
	size_t fixed_len = record->meta_len, progress_len = 0;
	struct envelope *env;

	if (record->type == RECORD_MOVED) {
		if (record->meta_len < 4 || number_get32(meta) > record->meta_len - 4)
			return error_set(why, ERROR_STORAGE, "the envelope is cut short");
		fixed_len = number_get32(meta);
		meta += 4;
		progress = meta + fixed_len;
		progress_len = record->meta_len - 4 - fixed_len;
	}
	env = envelope_decode_fixed(meta, fixed_len, why);
	if (env == NULL)
		return -1;
	if (progress_len > 0 && envelope_decode_progress(env, progress, progress_len, why) < 0)
		goto fail;
	if (env->id != record->id || env->size != record->body_len) {
		error_set(why, ERROR_STORAGE, "the envelope contradicts the record's head");
		goto fail;
	}
	drop(recovery, idmap_take(&recovery->alive, env->id));
	chain_attach(&recovery->spool->chain, recovery->segment, env, offset,
		     record_length(record));
	env->place.large = (record->flags & RECORD_LARGE) != 0;
	idmap_put(&recovery->alive, env);
	return 0;
fail:
	envelope_free(env);
	return -1;
}

static int
found_progress(struct recovery *recovery, const struct record *record, uint64_t offset,
	       const char *meta, struct error *why)
{
	struct envelope *env = idmap_get(&recovery->alive, record->id);

	if (env == NULL) /* finished, and its segment removed */
		return 0;
	if (envelope_decode_progress(env, meta, record->meta_len, why) < 0)
		return -1;
	env->place.progress_in = recovery->segment;
	env->place.progress_at = (uint32_t)offset;
	return 0;
}

static int
found_record(void *ctx, const struct record *record, uint64_t offset, const char *meta,
	     struct error *why)
{
	struct recovery *recovery = ctx;
	uint64_t free_id = record->type == RECORD_SEAL ? record->id : record->id + 1;

	if (recovery->next_id < free_id)
		recovery->next_id = free_id;
	switch (record->type) {
	case RECORD_MESSAGE:
	case RECORD_MOVED:
		return found_message(recovery, record, offset, meta, why);
	case RECORD_PROGRESS:
		return found_progress(recovery, record, offset, meta, why);
	case RECORD_FINISH:
		drop(recovery, idmap_take(&recovery->alive, record->id));
		return 0;
	case RECORD_SEAL:
		return 0;
	}
	return 0;
}

int
recovery_read_segment(struct recovery *recovery, size_t i, struct error *why)
{
	struct found_segment *found = &recovery->segments[i];
	struct chain *chain = &recovery->spool->chain;
	char *path = recovery_path(recovery, found->number);
	struct scan scan = {
	    .path = path,
	    .head = found->head,
	    .size = found->size,
	    .last = i + 1 == recovery->count,
	    .found = found_record,
	    .ctx = recovery,
	};
	int rc = -1;

	if (recovery_open_segment(recovery, found, why) < 0)
		goto out;
	scan.fd = found->fd;
	if (!scan.last)
		scan.limit = found[1].head.before;
	/* A hint; nothing depends on it. */
	(void)posix_fadvise(found->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	recovery->segment = chain_add(chain, found->number, found->head.mark);
	if (recovery->next_id < found->head.next_id)
		recovery->next_id = found->head.next_id;
	if (scan_segment(&scan, &recovery->end, why) < 0)
		goto out;
	chain_grew(chain, recovery->segment, recovery->end.valid);
	recovery->segment->durable = recovery->end.valid;
	rc = scan.last ? 0 : recovery_close_segment(recovery, found, why);
out:
	free(path);
	return rc;
}

int
recovery_check_large(struct recovery *recovery, struct error *why)
{
	struct spool *spool = recovery->spool;

	for (size_t i = 0; i < recovery->alive.room; i++) {
		const struct envelope *env = recovery->alive.table[i];
		char name[LARGE_NAME];
		struct stat status;

		if (env == NULL || !env->place.large)
			continue;
		large_name(name, env->id);
		if (fstatat(spool->large_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			return error_sys(why, ERROR_STORAGE, "%s/large/%s: the body is missing",
					 spool->dir, name);
		if ((uint64_t)status.st_size != env->size)
			return error_set(why, ERROR_STORAGE,
					 "%s/large/%s: damaged at offset %" PRIu64
					 ": the body has %" PRIu64 " octets and not %" PRIu64,
					 spool->dir, name,
					 (uint64_t)status.st_size < env->size
					     ? (uint64_t)status.st_size
					     : env->size,
					 (uint64_t)status.st_size, env->size);
		spool->large_bytes += env->size;
	}
	return 0;
}
