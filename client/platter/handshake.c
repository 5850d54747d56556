/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/platter/handshake.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

/* What is asked for beside size and flags, which come in any case. */
static const uint16_t asked[] = { NBD_INFO_NAME, NBD_INFO_DESCRIPTION, NBD_INFO_BLOCK_SIZE };

void handshake_init(struct handshake *handshake, enum handshake_goal goal, const char *wanted, bool tls)
{
	*handshake = (struct handshake){ .goal = goal, .wanted = wanted, .tls = tls };
}

void handshake_export_free(struct handshake_export *export)
{
	free(export->name);
	free(export->description);
	*export = (struct handshake_export){ 0 };
}

void handshake_free(struct handshake *handshake)
{
	for (unsigned i = 0; i < handshake->listed_count; i++)
		handshake_export_free(&handshake->listed[i]);
	free(handshake->listed);
	handshake->listed = NULL;
	handshake->listed_count = 0;
	handshake_export_free(&handshake->export);
}

#define fail(handshake, ...) ((handshake)->state = HANDSHAKE_FAILED, (void)problem_set(&(handshake)->problem, __VA_ARGS__))

/* --- What is sent */

static uint8_t *more_out(struct handshake *handshake, size_t length)
{
	uint8_t *at = handshake->out + handshake->out_length;

	/* The longest name and what stands around it fit: see HANDSHAKE_MOST_OUT. */
	handshake->out_length += length;
	return at;
}

static uint8_t *begin_option(struct handshake *handshake, enum nbd_opt option, size_t length)
{
	uint8_t *at = more_out(handshake, NBD_OPTION_HEADER_SIZE + length);

	put_be64(at, NBD_OPTS_MAGIC);
	put_be32(at + 8, option);
	put_be32(at + 12, (uint32_t)length);
	return at + NBD_OPTION_HEADER_SIZE;
}

static void ask_for_export(struct handshake *handshake)
{
	size_t name = strlen(handshake->wanted), count = sizeof(asked) / sizeof(asked[0]);
	uint8_t *at = begin_option(handshake, handshake->goal == HANDSHAKE_GO ? NBD_OPT_GO : NBD_OPT_INFO, 4 + name + 2 + 2 * count);

	put_be32(at, (uint32_t)name);
	memcpy(at + 4, handshake->wanted, name);
	put_be16(at + 4 + name, (uint16_t)count);
	for (size_t i = 0; i < count; i++)
		put_be16(at + 4 + name + 2 + 2 * i, asked[i]);
	handshake->phase = GO;
}

/* What an old server has instead of GO: it answers without a header, or hangs up. */
static void ask_by_name(struct handshake *handshake)
{
	size_t name = strlen(handshake->wanted);

	memcpy(begin_option(handshake, NBD_OPT_EXPORT_NAME, name), handshake->wanted, name);
	handshake->phase = EXPORT_NAME;
}

static void ask(struct handshake *handshake)
{
	if (handshake->tls && !handshake->secured) {
		begin_option(handshake, NBD_OPT_STARTTLS, 0);
		handshake->phase = STARTTLS;
	} else if (handshake->goal == HANDSHAKE_LIST) {
		begin_option(handshake, NBD_OPT_LIST, 0);
		handshake->phase = LIST;
	} else {
		ask_for_export(handshake);
	}
}

void handshake_secured(struct handshake *handshake)
{
	handshake->secured = true;
	handshake->state = HANDSHAKE_MORE;
	ask(handshake);
}

static void leave(struct handshake *handshake)
{
	if (handshake->goal != HANDSHAKE_GO)
		begin_option(handshake, NBD_OPT_ABORT, 0);
	handshake->state = HANDSHAKE_DONE;
}

/* --- What comes */

static void take_greeting(struct handshake *handshake, const uint8_t *bytes)
{
	uint16_t flags = get_be16(bytes + 16);

	if (get_be64(bytes) != NBD_MAGIC) {
		fail(handshake, STATUS_REFUSED, "what answers there is no NBD server");
		return;
	}
	if (get_be64(bytes + 8) != NBD_OPTS_MAGIC || !(flags & NBD_FLAG_FIXED_NEWSTYLE)) {
		fail(handshake, STATUS_REFUSED, "the server speaks an older kind of NBD (before fixed newstyle, of 2011)");
		return;
	}
	handshake->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
	put_be32(more_out(handshake, NBD_CLIENT_FLAGS_SIZE),
		 NBD_FLAG_C_FIXED_NEWSTYLE | (handshake->no_zeroes ? NBD_FLAG_C_NO_ZEROES : 0));
	ask(handshake);
}

static const char *option_name(const struct handshake *handshake)
{
	switch (handshake->phase) {
	case STARTTLS: return "TLS";
	case LIST: return "a list of its exports";
	default: return *handshake->wanted ? handshake->wanted : "its default export";
	}
}

/* TEXT is the server's, of which nothing may be assumed. */
static void refused(struct handshake *handshake, uint32_t type, const uint8_t *text, size_t length)
{
	char said[256], name[128];
	const char *what = log_printable(name, sizeof(name), option_name(handshake), (unsigned)strlen(option_name(handshake)));

	log_printable(said, sizeof(said), (const char *)text, (unsigned)length);
	if (handshake->phase == STARTTLS) {
		fail(handshake, STATUS_TLS, "the server has no TLS to offer (error %u)%s%s; without it write nbd:// instead of nbds://",
		     type & ~NBD_REP_FLAG_ERROR, *said ? ": " : "", said);
		return;
	}
	switch (type) {
	case NBD_REP_ERR_TLS_REQD:
		fail(handshake, STATUS_TLS, "the server requires TLS for %s (NBD_REP_ERR_TLS_REQD); write nbds:// instead of nbd://", what);
		return;
	case NBD_REP_ERR_UNKNOWN:
		if (*handshake->wanted)
			fail(handshake, STATUS_REFUSED, "the server has no export \"%s\" (NBD_REP_ERR_UNKNOWN)%s%s; platter exports URI lists them",
			     what, *said ? ": " : "", said);
		else
			fail(handshake, STATUS_REFUSED, "the server has no default export (NBD_REP_ERR_UNKNOWN); platter exports URI lists what it has");
		return;
	case NBD_REP_ERR_POLICY:
		fail(handshake, STATUS_REFUSED, "the server doesn't allow %s to this client (NBD_REP_ERR_POLICY)%s%s; its log has the reason",
		     what, *said ? ": " : "", said);
		return;
	case NBD_REP_ERR_SHUTDOWN:
		fail(handshake, STATUS_UNREACHABLE, "the server is ending (NBD_REP_ERR_SHUTDOWN)");
		return;
	case NBD_REP_ERR_UNSUP:
		fail(handshake, STATUS_REFUSED, "the server can't give %s (NBD_REP_ERR_UNSUP)", what);
		return;
	default:
		fail(handshake, STATUS_REFUSED, "the server refuses %s (error %u)%s%s", what, type & ~NBD_REP_FLAG_ERROR, *said ? ": " : "",
		     said);
	}
}

static char *copy_string(struct handshake *handshake, const uint8_t *bytes, size_t length)
{
	char *text = length <= NBD_MAX_STRING ? strndup((const char *)bytes, length) : NULL;

	if (!text)
		fail(handshake, STATUS_REFUSED, "the server sent a string of %zu bytes; 4096 is the most", length);
	return text;
}

/* Nothing of Linux is larger than a signed offset reaches. */
static void take_size(struct handshake *handshake, uint64_t size, uint16_t flags)
{
	handshake->export.size = size;
	handshake->export.flags = flags;
	handshake->has_export = true;
	if (size > INT64_MAX)
		fail(handshake, STATUS_REFUSED, "the server says that the export has %llu bytes", (unsigned long long)size);
}

static void take_info(struct handshake *handshake, const uint8_t *data, size_t length)
{
	struct handshake_export *export = &handshake->export;
	uint16_t type = length >= 2 ? get_be16(data) : UINT16_MAX;
	char **text = type == NBD_INFO_NAME ? &export->name : &export->description;

	if (++handshake->informed > HANDSHAKE_MOST_INFO)
		fail(handshake, STATUS_REFUSED, "the server sent more than %d pieces of information", HANDSHAKE_MOST_INFO);
	else if (type == NBD_INFO_EXPORT && length == 12) {
		take_size(handshake, get_be64(data + 2), get_be16(data + 10));
	} else if (type == NBD_INFO_BLOCK_SIZE && length == 14) {
		export->minimum = get_be32(data + 2);
		export->preferred = get_be32(data + 6);
		export->maximum = get_be32(data + 10);
	} else if (type == NBD_INFO_NAME || type == NBD_INFO_DESCRIPTION) {
		free(*text);
		*text = copy_string(handshake, data + 2, length - 2);
	} else if (length < 2 || type == NBD_INFO_EXPORT || type == NBD_INFO_BLOCK_SIZE) {
		fail(handshake, STATUS_REFUSED, "the server sent information of a wrong length: %zu bytes", length);
	}
	/* What it tells besides isn't ours to judge. */
}

static void take_listed(struct handshake *handshake, const uint8_t *data, size_t length)
{
	size_t name = length >= 4 ? get_be32(data) : 0;
	struct handshake_export *listed;

	if (length < 4 || name > length - 4) {
		fail(handshake, STATUS_REFUSED, "the server's list has a name of %zu bytes in a reply of %zu", name, length);
		return;
	}
	if (handshake->listed_count == HANDSHAKE_MOST_LISTED) {
		fail(handshake, STATUS_REFUSED, "the server lists more than %d exports", HANDSHAKE_MOST_LISTED);
		return;
	}
	listed = reallocarray(handshake->listed, handshake->listed_count + 1, sizeof(*listed));
	if (!listed) {
		fail(handshake, STATUS_FAILED, "no memory");
		return;
	}
	handshake->listed = listed;
	listed += handshake->listed_count++;
	*listed = (struct handshake_export){ .name = copy_string(handshake, data + 4, name) };
	if (listed->name && length > 4 + name)
		listed->description = copy_string(handshake, data + 4 + name, length - 4 - name);
}

static void take_ack(struct handshake *handshake)
{
	switch (handshake->phase) {
	case STARTTLS:
		handshake->state = HANDSHAKE_TLS;
		break;
	case LIST:
		leave(handshake);
		break;
	default:
		if (handshake->has_export)
			leave(handshake);
		else
			fail(handshake, STATUS_REFUSED, "the server agreed, but told no size (NBD_INFO_EXPORT)");
	}
}

static uint32_t expected_option(const struct handshake *handshake)
{
	switch (handshake->phase) {
	case STARTTLS: return NBD_OPT_STARTTLS;
	case LIST: return NBD_OPT_LIST;
	default: return handshake->goal == HANDSHAKE_GO ? NBD_OPT_GO : NBD_OPT_INFO;
	}
}

static void take_reply(struct handshake *handshake, const uint8_t *bytes, size_t length)
{
	uint32_t option = get_be32(bytes + 8), type = get_be32(bytes + 12);
	const uint8_t *data = bytes + NBD_OPTION_REPLY_SIZE;

	if (option != expected_option(handshake)) {
		fail(handshake, STATUS_REFUSED, "the server answers option %u, but %u was sent", option, expected_option(handshake));
		return;
	}
	if (type == NBD_REP_ERR_UNSUP && handshake->phase == GO && handshake->goal == HANDSHAKE_GO)
		ask_by_name(handshake);
	else if (type & NBD_REP_FLAG_ERROR)
		refused(handshake, type, data, length);
	else if (type == NBD_REP_ACK)
		take_ack(handshake);
	else if (type == NBD_REP_INFO && handshake->phase == GO)
		take_info(handshake, data, length);
	else if (type == NBD_REP_SERVER && handshake->phase == LIST)
		take_listed(handshake, data, length);
	else
		fail(handshake, STATUS_REFUSED, "the server sent a reply of type %u, which doesn't fit option %u", type, option);
}

static void take_export(struct handshake *handshake, const uint8_t *bytes)
{
	take_size(handshake, get_be64(bytes), get_be16(bytes + 8));
	if (handshake->state == HANDSHAKE_MORE)
		leave(handshake);
}

size_t handshake_wants(const struct handshake *handshake, const uint8_t *bytes, size_t length)
{
	if (handshake->phase == GREETING)
		return NBD_GREETING_SIZE;
	if (handshake->phase == EXPORT_NAME)
		return 10 + (handshake->no_zeroes ? 0 : NBD_EXPORT_NAME_ZEROES);
	if (length < NBD_OPTION_REPLY_SIZE)
		return NBD_OPTION_REPLY_SIZE;
	return NBD_OPTION_REPLY_SIZE + (size_t)get_be32(bytes + 16);
}

static void take_one(struct handshake *handshake, const uint8_t *bytes, size_t length)
{
	if (handshake->phase == GREETING)
		take_greeting(handshake, bytes);
	else if (handshake->phase == EXPORT_NAME)
		take_export(handshake, bytes);
	else
		take_reply(handshake, bytes, length - NBD_OPTION_REPLY_SIZE);
}

/* Whether the header of a reply is one, before as much is awaited as it says. */
static bool is_sane(struct handshake *handshake, const uint8_t *bytes)
{
	if (get_be64(bytes) != NBD_REP_MAGIC) {
		fail(handshake, STATUS_REFUSED, "the server's reply begins with %016llx instead of its magic number",
		     (unsigned long long)get_be64(bytes));
		return false;
	}
	if (get_be32(bytes + 16) > HANDSHAKE_MOST_REPLY) {
		fail(handshake, STATUS_REFUSED, "the server's reply has %u bytes; %u is the most", get_be32(bytes + 16),
		     HANDSHAKE_MOST_REPLY);
		return false;
	}
	return true;
}

size_t handshake_feed(struct handshake *handshake, const uint8_t *bytes, size_t length)
{
	size_t used = 0;

	while (handshake->state == HANDSHAKE_MORE) {
		const uint8_t *at = bytes + used;
		bool has_header = handshake->phase != GREETING && handshake->phase != EXPORT_NAME;
		size_t wanted;

		if (has_header && length - used >= NBD_OPTION_REPLY_SIZE && !is_sane(handshake, at))
			break;
		wanted = handshake_wants(handshake, at, length - used);
		if (length - used < wanted)
			break;
		take_one(handshake, at, wanted);
		used += wanted;
	}
	/* It may not speak before it is asked; in plain text behind STARTTLS somebody else would. */
	if ((handshake->state == HANDSHAKE_TLS || (handshake->state == HANDSHAKE_DONE && handshake->goal == HANDSHAKE_GO)) &&
	    used < length)
		fail(handshake, STATUS_REFUSED, "the server sent %zu bytes that nobody asked for", length - used);
	return used;
}

bool handshake_identity(const char *description, char *ret)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", key[] = "uuid=";
	size_t length = description ? strlen(description) : 0, tail = sizeof(key) - 1 + HANDSHAKE_UUID;
	const char *at;

	*ret = '\0';
	if (length < tail)
		return false;
	at = description + length - tail;
	if (memcmp(at, key, sizeof(key) - 1) != 0 || (length > tail && at[-1] != ' '))
		return false;
	at += sizeof(key) - 1;
	for (size_t i = 0; i < HANDSHAKE_UUID; i++)
		if (pattern[i] == '-' ? at[i] != '-' : !isxdigit((unsigned char)at[i]))
			return false;
	memcpy(ret, at, HANDSHAKE_UUID + 1);
	return true;
}
