/* SPDX-License-Identifier: BSD-2-Clause */
#include "server/nbd/context.h"

#include <errno.h>
#include <string.h>

#include "common/wire.h"
#include "server/block/disk.h"
#include "server/block/export.h"
#include "server/block/extents.h"
#include "server/block/request.h"
#include "server/nbd/option.h"
#include "server/nbd/reply.h"
#include "server/nbd/session.h"

/* By their bits. */
static const char *const names[] = { "base:allocation" };

#define NAMES (sizeof(names) / sizeof(names[0]))

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

static bool is_name(const char *query, uint32_t length, const char *name)
{
	return length == strlen(name) && memcmp(query, name, length) == 0;
}

/* What QUERY finds; with nothing behind the colon, in a list, all of the namespace. */
static unsigned find(const char *query, uint32_t length, bool list)
{
	unsigned found = 0;

	for (unsigned i = 0; i < NAMES; i++) {
		bool wildcard = list && query[length - 1] == ':' && strncmp(names[i], query, length) == 0;

		if (wildcard || is_name(query, length, names[i]))
			found |= 1u << i;
	}
	return found;
}

/* Of COUNT queries; false: one of them isn't one, or they don't fill the rest of the data. */
static bool find_all(struct reader *reader, uint32_t count, bool list, unsigned *found)
{
	const char *query;
	uint32_t length;

	*found = list && count == 0 ? (1u << NAMES) - 1 : 0;
	for (uint32_t i = 0; i < count; i++) {
		/* A namespace, at least. */
		if (!read_string(reader, &query, &length) || !memchr(query, ':', length) || query[0] == ':')
			return false;
		*found |= find(query, length, list);
	}
	return reader->left == 0;
}

static void reply_contexts(struct nbd_session *session, unsigned contexts, bool list)
{
	for (unsigned i = 0; i < NAMES; i++) {
		if (!(contexts & 1u << i))
			continue;
		option_reply_header(session, NBD_REP_META_CONTEXT, 4 + strlen(names[i]));
		output_be32(&session->out, list ? 0 : i + 1);
		output_append(&session->out, names[i], strlen(names[i]));
	}
	option_reply(session, NBD_REP_ACK, NULL);
}

/* The export's name, the number of queries, the queries. */
void context_answer(struct nbd_session *session, const uint8_t *data, uint32_t length)
{
	bool list = session->option == NBD_OPT_LIST_META_CONTEXT;
	struct reader reader = { data, length };
	uint32_t name_length, count;
	struct export *export;
	const char *name;
	unsigned found;

	if (!list)
		context_forget(session);
	if (session->form == REPLY_SIMPLE) {
		option_reply(session, NBD_REP_ERR_INVALID, "structured replies have to be negotiated before that");
		return;
	}
	if (!read_string(&reader, &name, &name_length) || !read_number(&reader, &count) ||
	    !find_all(&reader, count, list, &found)) {
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
	if (list) {
		export_unuse(export);
	} else {
		session->contexts = found;
		session->contexts_of = export;
	}
	reply_contexts(session, found, list);
}

void context_forget(struct nbd_session *session)
{
	export_unuse(session->contexts_of);
	session->contexts_of = NULL;
	session->contexts = 0;
}

/* Those that count: of the export that is used, and no other. */
uint32_t context_all(const struct nbd_session *session)
{
	return session->contexts_of == session->export ? session->contexts : 0;
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

int context_prepare(const struct nbd_session *session, struct request *request)
{
	unsigned most = request->driver.flags & PLATTER_REQ_ONE ? 1 : CONTEXT_MOST_EXTENTS;

	request->extents = extents_new(request->driver.length, session->export->disk->geometry.min_block, most);
	return request->extents ? 0 : -ENOMEM;
}

void context_put_status(struct request *request)
{
	struct extents *extents = request->extents;
	bool extended = request->form == REPLY_EXTENDED;
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
	reply_put_status(request, 1, extents->list, extents->count);
}
