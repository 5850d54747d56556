/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/disk.h"
#include "server/block/driver.h"
#include "server/block/export.h"
#include "server/block/extents.h"
#include "server/block/mark.h"
#include "server/block/request.h"
#include "server/nbd/option.h"
#include "server/nbd/reply.h"
#include "server/nbd/session.h"

struct context {
	const char *prefix; /* of the name; the mark's follows */
	struct mark *mark;  /* that it tells of, a use; NULL: the disk is asked... */
	uint32_t number;    /* ...by this number: 0, base:allocation, or one of the driver's own */
};

/* Of a session, or an export: by their bits, those of the disk first, in order. */
struct contexts {
	unsigned count;
	struct context list[CONTEXT_MOST];
};

_Static_assert(CONTEXT_MOST >= 1 + PLATTER_MOST_CONTEXTS + 2 * MARK_MOST, "each mark has two");
_Static_assert(CONTEXT_NAME_SIZE >= DRIVER_CONTEXT_SIZE, "there is room for drivers' names");

/* What EXPORT has. */
static void collect(struct contexts *all, const struct export *export)
{
	struct disk *disk = disk_whole(export->disk);
	const char *const *own = disk->driver->ops->contexts;
	struct mark *marks[MARK_MOST];
	unsigned count = marks_use(&disk->marks, marks);

	all->list[0] = (struct context){ .prefix = "base:allocation" };
	all->count = 1;
	for (; *own; own++, all->count++)
		all->list[all->count] = (struct context){ .prefix = *own, .number = all->count };
	for (unsigned i = 0; i < count; i++) {
		all->list[all->count++] = (struct context){ "x-platter:dirty:", marks[i], 0 };
		/* The same under the name by which qemu knows such things. */
		all->list[all->count++] = (struct context){ "qemu:dirty-bitmap:", mark_use(marks[i]), 0 };
	}
}

static void release(struct contexts *contexts)
{
	while (contexts->count)
		mark_unuse(contexts->list[--contexts->count].mark);
}

static void put_name(const struct context *context, char name[CONTEXT_NAME_SIZE])
{
	snprintf(name, CONTEXT_NAME_SIZE, "%s%s", context->prefix, context->mark ? mark_name(context->mark) : "");
}

/* What is left of an option's data. */
struct reader {
	const uint8_t *bytes;
	uint32_t left;
};

static bool read_number(struct reader *reader, uint32_t *number)
{
	if (reader->left < 4)
		return false;
	*number = get_be32(reader->bytes);
	reader->bytes += 4;
	reader->left -= 4;
	return true;
}

/* Its length, and so many bytes. */
static bool read_string(struct reader *reader, const char **string, uint32_t *length)
{
	if (!read_number(reader, length) || *length > reader->left || !option_is_string(reader->bytes, *length))
		return false;
	*string = (const char *)reader->bytes;
	reader->bytes += *length;
	reader->left -= *length;
	return true;
}

/* Whether QUERY finds what is called NAME; in a list one that ends in a colon finds all that begin so. */
static bool finds(const char *query, uint32_t length, bool list, const char *name)
{
	if (list && query[length - 1] == ':')
		return strncmp(name, query, length) == 0;
	return length == strlen(name) && memcmp(query, name, length) == 0;
}

static uint32_t find(const struct contexts *all, const char *query, uint32_t length, bool list)
{
	char name[CONTEXT_NAME_SIZE];
	uint32_t found = 0;

	for (unsigned i = 0; i < all->count; i++) {
		put_name(&all->list[i], name);
		if (finds(query, length, list, name))
			found |= UINT32_C(1) << i;
	}
	return found;
}

static bool read_query(struct reader *reader, const char **query, uint32_t *length)
{
	/* A namespace, at least. */
	return read_string(reader, query, length) && memchr(*query, ':', *length) && (*query)[0] != ':';
}

/* Whether what is left are COUNT queries, and nothing else. */
static bool are_queries(struct reader reader, uint32_t count)
{
	const char *query;
	uint32_t length;

	while (count && read_query(&reader, &query, &length))
		count--;
	return count == 0 && reader.left == 0;
}

/* Which of ALL are found by COUNT queries; in a list none finds all. */
static uint32_t find_all(const struct contexts *all, struct reader *reader, uint32_t count, bool list)
{
	uint32_t found = list && count == 0 ? UINT32_MAX : 0;
	const char *query;
	uint32_t length;

	while (count-- && read_query(reader, &query, &length))
		found |= find(all, query, length, list);
	return found;
}

/* Only what was FOUND is left of CONTEXTS. */
static void keep(struct contexts *contexts, uint32_t found)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < contexts->count; i++) {
		if (found & UINT32_C(1) << i)
			contexts->list[kept++] = contexts->list[i];
		else
			mark_unuse(contexts->list[i].mark);
	}
	contexts->count = kept;
}

static void reply_contexts(struct nbd_session *session, const struct contexts *contexts, bool list)
{
	char name[CONTEXT_NAME_SIZE];

	for (unsigned i = 0; i < contexts->count; i++) {
		put_name(&contexts->list[i], name);
		option_reply_header(session, NBD_REP_META_CONTEXT, 4 + strlen(name));
		output_be32(&session->out, list ? 0 : i + 1);
		output_append(&session->out, name, strlen(name));
	}
	option_reply(session, NBD_REP_ACK, NULL);
}

/* Takes both. */
static void select_contexts(struct nbd_session *session, struct export *export, struct contexts *contexts)
{
	session->contexts = malloc(sizeof(*session->contexts));
	if (!session->contexts) {
		release(contexts);
		export_unuse(export);
		option_reply(session, NBD_REP_ERR_PLATFORM, "no memory");
		return;
	}
	*session->contexts = *contexts;
	session->contexts_of = export;
	reply_contexts(session, contexts, false);
}

/* The export's name, the number of queries, the queries. */
void context_answer(struct nbd_session *session, const uint8_t *data, uint32_t length)
{
	bool list = session->option == NBD_OPT_LIST_META_CONTEXT;
	struct reader reader = { data, length };
	uint32_t name_length, count;
	struct contexts contexts;
	struct export *export;
	const char *name;

	if (!list)
		context_forget(session);
	if (session->form == REPLY_SIMPLE) {
		option_reply(session, NBD_REP_ERR_INVALID, "structured replies have to be negotiated before that");
		return;
	}
	if (!read_string(&reader, &name, &name_length) || !read_number(&reader, &count) || !are_queries(reader, count)) {
		option_reply(session, NBD_REP_ERR_INVALID, "an export's name and queries, each of the form NAMESPACE:NAME, were expected");
		return;
	}
	export = export_use(name, name_length, session->secure);
	if (!export) {
		option_refuse_unknown(session, name, name_length);
		return;
	}
	if (!option_may_use(session, export, true)) {
		option_refuse_access(session);
		export_unuse(export);
		return;
	}
	collect(&contexts, export);
	keep(&contexts, find_all(&contexts, &reader, count, list));
	if (!list) {
		select_contexts(session, export, &contexts);
		return;
	}
	reply_contexts(session, &contexts, true);
	release(&contexts);
	export_unuse(export);
}

void context_forget(struct nbd_session *session)
{
	if (session->contexts)
		release(session->contexts);
	free(session->contexts);
	session->contexts = NULL;
	export_unuse(session->contexts_of);
	session->contexts_of = NULL;
}

uint32_t context_all(const struct nbd_session *session)
{
	return session->contexts && session->contexts_of == session->export ? (UINT32_C(1) << session->contexts->count) - 1 : 0;
}

/* IDs are the numbers of the bits, from 1 on. */
uint32_t context_by_ids(const struct nbd_session *session, const uint8_t *ids, size_t length)
{
	uint32_t found = 0;

	if (length % 4)
		return 0;
	for (; length; ids += 4, length -= 4) {
		uint32_t id = get_be32(ids);
		uint32_t bit = id >= 1 && id <= CONTEXT_MOST ? UINT32_C(1) << (id - 1) : 0;

		if (!(bit & context_all(session) & ~found))
			return 0;
		found |= bit;
	}
	return found;
}

uint64_t context_memory(uint32_t contexts, bool one)
{
	return one ? 0 : (uint64_t)__builtin_popcount(contexts) * CONTEXT_MOST_EXTENTS * sizeof(struct extent);
}

static struct extents *new_extents(const struct request *request, uint32_t block)
{
	return extents_new(request->driver.length, block, request->driver.flags & PLATTER_REQ_ONE ? 1 : CONTEXT_MOST_EXTENTS);
}

/* Of the contexts that REQUEST asks for. */
static bool asks_for(const struct request *request, unsigned i)
{
	return request->contexts & UINT32_C(1) << i;
}

/* The first of those from number FIRST on that the disk is to be asked about; false: there is none. */
static bool find_next(const struct nbd_session *session, const struct request *request, uint32_t first, uint32_t *number)
{
	for (unsigned i = 0; i < session->contexts->count; i++) {
		const struct context *context = &session->contexts->list[i];

		if (!asks_for(request, i) || context->mark || context->number < first)
			continue;
		*number = context->number;
		return true;
	}
	return false;
}

int context_prepare(const struct nbd_session *session, struct request *request)
{
	uint32_t first = request->extents ? request->driver.context + 1 : 0;
	struct extents *extents;

	if (!find_next(session, request, first, &request->driver.context))
		return 0;
	extents = new_extents(request, session->export->disk->geometry.min_block);
	if (!extents)
		return -ENOMEM;
	/* The disk tells the first one. */
	extents->next = request->extents;
	request->extents = extents;
	request->driver.offset = request->position;
	return 1;
}

/* What the disk has told comes in the order in which it was asked. */
static void reverse(struct request *request)
{
	struct extents *reversed = NULL, *extents = request->extents;

	while (extents) {
		struct extents *next = extents->next;

		extents->next = reversed;
		reversed = extents;
		extents = next;
	}
	request->extents = reversed;
}

/* What MARK tells of REQUEST's range; NULL: no memory. */
static struct extents *told_by(const struct nbd_session *session, const struct request *request, struct mark *mark)
{
	const struct disk *disk = session->export->disk;
	/* A block of which a part is dirty is dirty: nothing is left of what blocks have in common. */
	struct extents *extents = new_extents(request, 1);

	if (!extents)
		return NULL;
	mark_tell(mark, request->position + (disk->whole ? disk->start : 0), extents);
	if (extents->count)
		return extents;
	extents_free(extents);
	return NULL;
}

/* In place: descriptors take no more room than what they are made of. */
static void make_descriptors(const struct extents *extents, bool extended)
{
	uint8_t *at = (uint8_t *)extents->list;

	_Static_assert(NBD_EXTENDED_DESCRIPTOR_SIZE <= sizeof(struct extent), "descriptors take the place of extents");
	for (unsigned i = 0; i < extents->count; i++) {
		struct extent extent = extents->list[i];

		if (extended) {
			put_be64(at, extent.length);
			put_be64(at + 8, extent.kind);
			at += NBD_EXTENDED_DESCRIPTOR_SIZE;
		} else {
			/* Requests have no more than 32 bits, and so has what is told of them. */
			put_be32(at, (uint32_t)extent.length);
			put_be32(at + 4, (uint32_t)extent.kind);
			at += NBD_DESCRIPTOR_SIZE;
		}
	}
}

int context_put_status(const struct nbd_session *session, struct request *request)
{
	unsigned left = (unsigned)__builtin_popcount(request->contexts);
	struct extents **extents = &request->extents;
	int result = reply_begin_status(request, left);

	reverse(request);
	for (unsigned i = 0; result == 0 && left; i++) {
		if (!asks_for(request, i))
			continue;
		/* The disk's are there, and are the first. */
		if (session->contexts->list[i].mark)
			*extents = told_by(session, request, session->contexts->list[i].mark);
		if (!*extents)
			return -ENOMEM;
		make_descriptors(*extents, request->form == REPLY_EXTENDED);
		result = reply_put_status(request, i + 1, (*extents)->list, (*extents)->count, --left == 0);
		extents = &(*extents)->next;
	}
	return result;
}
