/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/fuzz/oracle.h"

#include <string.h>
#include <unistr.h>

#include "common/wire.h"
#include "tests/fuzz/fuzz.h"

#define CONTEXT_NAME "base:allocation"

const struct oracle_export oracle_exports[] = {
	{ "disk", "memory", NULL, false, false, false, false },
	{ "r\xc3\xa9sum\xc3\xa9", "can only be read", "01234567-89ab-cdef-0123-456789abcdef", true, false, false, false },
	{ "secret", "wants TLS", NULL, false, true, false, false },
	{ "members", "has rules", NULL, false, false, true, false },
	{ "broken", "can't be opened", NULL, false, false, false, true },
	{ "vault", "has both", NULL, false, true, true, false },
};
const unsigned oracle_export_count = sizeof(oracle_exports) / sizeof(oracle_exports[0]);

/* A conversation, as far as it was read. */
struct talk {
	const struct oracle_setup *setup;
	struct oracle_state *state;
	enum nbd_tls tls;       /* as this client can have it */
	bool no_zeroes;
	int context_of;         /* the export for which base:allocation was selected; -1: none */
	unsigned options;
	uint32_t option;        /* this one, its data */
	const uint8_t *data;
	uint32_t length;
	const uint8_t *answers; /* what is left of them */
	size_t left;
};

/* ---- The server's side ---- */

struct reply {
	uint32_t type, length;
	const uint8_t *data;
};

static struct reply next_reply(struct talk *talk)
{
	struct reply reply;

	fuzz_check(talk->left >= NBD_OPTION_REPLY_SIZE, "option %u has no answer", talk->option);
	fuzz_check(get_be64(talk->answers) == NBD_REP_MAGIC, "an option's reply without its magic");
	fuzz_check(get_be32(talk->answers + 8) == talk->option, "option %u is answered with %u's reply", talk->option,
		   get_be32(talk->answers + 8));
	reply.type = get_be32(talk->answers + 12);
	reply.length = get_be32(talk->answers + 16);
	reply.data = talk->answers + NBD_OPTION_REPLY_SIZE;
	/* Two strings at most. */
	fuzz_check(reply.length <= 2 * NBD_MAX_STRING + 4 && reply.length <= talk->left - NBD_OPTION_REPLY_SIZE,
		   "a reply of %u bytes, of which there are %zu", reply.length, talk->left - NBD_OPTION_REPLY_SIZE);
	talk->answers += NBD_OPTION_REPLY_SIZE + reply.length;
	talk->left -= NBD_OPTION_REPLY_SIZE + reply.length;
	return reply;
}

static bool is_string(const uint8_t *bytes, uint32_t length)
{
	return length <= NBD_MAX_STRING && !memchr(bytes, 0, length) && !u8_check(bytes, length);
}

/* The last reply to the option, which is of TYPE. */
static void expect(struct talk *talk, uint32_t type)
{
	struct reply reply = next_reply(talk);

	fuzz_check(reply.type == type, "option %u is answered with %#x instead of %#x", talk->option, reply.type, type);
	fuzz_check(type != NBD_REP_ACK || reply.length == 0, "an ACK with %u bytes", reply.length);
	fuzz_check(is_string(reply.data, reply.length), "an error's text is not UTF-8");
}

static void expect_bytes(struct talk *talk, const void *bytes, size_t length)
{
	fuzz_check(talk->left >= length && memcmp(talk->answers, bytes, length) == 0, "option %u: %zu other bytes were expected",
		   talk->option, length);
	talk->answers += length;
	talk->left -= length;
}

/* A reply of TYPE with a number of SIZE bytes, and a text. */
static void expect_text(struct talk *talk, uint32_t type, unsigned size, uint32_t number, const char *text)
{
	struct reply reply = next_reply(talk);

	fuzz_check(reply.type == type && reply.length == size + strlen(text) &&
			   number == (size == 2 ? get_be16(reply.data) : get_be32(reply.data)) &&
			   memcmp(reply.data + size, text, strlen(text)) == 0,
		   "option %u: \"%s\", %u, was expected", talk->option, text, number);
}

static void end(struct talk *talk, enum oracle_end how)
{
	talk->state->end = how;
}

/* ---- Exports ---- */

static bool is_visible(const struct talk *talk, const struct oracle_export *export)
{
	return talk->state->secure || !export->tls;
}

static bool is_allowed(const struct talk *talk, const struct oracle_export *export)
{
	return talk->setup->member || !export->restricted;
}

/* -1: none that this client may know of. */
static int find(const struct talk *talk, const uint8_t *name, uint32_t length)
{
	for (unsigned i = 0; i < oracle_export_count; i++) {
		const char *other = oracle_exports[i].name;

		if (is_visible(talk, &oracle_exports[i]) &&
		    (length == 0 || (strlen(other) == length && memcmp(name, other, length) == 0)))
			return (int)i;
	}
	return -1;
}

/* NBD_INFO_EXPORT behind its type. */
static void put_export(const struct talk *talk, int export, uint8_t bytes[10])
{
	uint16_t flags = talk->setup->flags;

	if (oracle_exports[export].read_only)
		flags = (uint16_t)((flags & ~talk->setup->writing) | NBD_FLAG_READ_ONLY);
	if (talk->state->form != REPLY_SIMPLE)
		flags |= NBD_FLAG_SEND_DF;
	if (talk->state->form == REPLY_EXTENDED && talk->context_of == export)
		flags |= NBD_FLAG_BLOCK_STATUS_PAYLOAD;
	put_be64(bytes, talk->setup->bytes);
	put_be16(bytes + 8, flags);
}

static void transmit(struct talk *talk, int export)
{
	talk->state->export = export;
	talk->state->context = talk->context_of == export;
	end(talk, ORACLE_TRANSMITS);
}

/* ---- Options ---- */

static void export_name(struct talk *talk)
{
	static const uint8_t zeroes[NBD_EXPORT_NAME_ZEROES];
	int export = is_string(talk->data, talk->length) ? find(talk, talk->data, talk->length) : -1;
	uint8_t bytes[10];

	if (talk->state->form == REPLY_EXTENDED || export < 0 || !is_allowed(talk, &oracle_exports[export]) ||
	    oracle_exports[export].broken) {
		end(talk, ORACLE_DROPPED);
		return;
	}
	put_export(talk, export, bytes);
	expect_bytes(talk, bytes, sizeof(bytes));
	if (!talk->no_zeroes)
		expect_bytes(talk, zeroes, sizeof(zeroes));
	transmit(talk, export);
}

static void list(struct talk *talk)
{
	for (unsigned i = 0; i < oracle_export_count; i++) {
		const struct oracle_export *export = &oracle_exports[i];
		char text[64];

		if (!is_visible(talk, export) || !is_allowed(talk, export))
			continue;
		strcpy(text, export->name);
		strcat(text, export->description);
		expect_text(talk, NBD_REP_SERVER, 4, (uint32_t)strlen(export->name), text);
	}
	expect(talk, NBD_REP_ACK);
}

static void expect_description(struct talk *talk, const struct oracle_export *export)
{
	char text[128];

	strcpy(text, export->description);
	if (export->uuid)
		strcat(strcat(text, " uuid="), export->uuid);
	expect_text(talk, NBD_REP_INFO, 2, NBD_INFO_DESCRIPTION, text);
}

static void expect_infos(struct talk *talk, int export, unsigned infos, bool by_default)
{
	const struct oracle_setup *setup = talk->setup;
	uint8_t info_export[12] = { 0 }, sizes[14] = { 0, NBD_INFO_BLOCK_SIZE };
	struct reply reply = next_reply(talk);

	put_export(talk, export, info_export + 2);
	fuzz_check(reply.type == NBD_REP_INFO && reply.length == sizeof(info_export) &&
			   memcmp(reply.data, info_export, sizeof(info_export)) == 0, "NBD_INFO_EXPORT is missing or another");
	if (by_default || (infos & 1u << NBD_INFO_NAME))
		expect_text(talk, NBD_REP_INFO, 2, NBD_INFO_NAME, oracle_exports[export].name);
	if (infos & 1u << NBD_INFO_DESCRIPTION)
		expect_description(talk, &oracle_exports[export]);
	if (!(infos & 1u << NBD_INFO_BLOCK_SIZE))
		return;
	put_be32(sizes + 2, setup->min_block);
	put_be32(sizes + 6, setup->preferred_block);
	put_be32(sizes + 10, NBD_ADVERTISED_MOST);
	reply = next_reply(talk);
	fuzz_check(reply.type == NBD_REP_INFO && reply.length == sizeof(sizes) && memcmp(reply.data, sizes, sizeof(sizes)) == 0,
		   "NBD_INFO_BLOCK_SIZE is missing or another");
}

static void info(struct talk *talk)
{
	uint32_t name = talk->length >= 6 ? get_be32(talk->data) : UINT32_MAX;
	unsigned infos = 0;
	uint16_t count;
	int export;

	if (talk->length < 6 || name > talk->length - 6) {
		expect(talk, NBD_REP_ERR_INVALID);
		return;
	}
	count = get_be16(talk->data + 4 + name);
	if (talk->length != 6 + (uint64_t)name + 2 * count || !is_string(talk->data + 4, name)) {
		expect(talk, NBD_REP_ERR_INVALID);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		uint16_t type = get_be16(talk->data + 6 + name + 2 * i);

		infos |= type <= NBD_INFO_BLOCK_SIZE ? 1u << type : 0;
	}
	export = find(talk, talk->data + 4, name);
	if (export < 0) {
		/* Without TLS nobody learns whether there is one that needs it. */
		expect(talk, talk->tls != NBD_TLS_OFF && !talk->state->secure ? NBD_REP_ERR_TLS_REQD : NBD_REP_ERR_UNKNOWN);
	} else if (!is_allowed(talk, &oracle_exports[export])) {
		expect(talk, NBD_REP_ERR_POLICY);
	} else if (oracle_exports[export].broken) {
		expect(talk, NBD_REP_ERR_UNKNOWN);
	} else {
		expect_infos(talk, export, infos, name == 0);
		expect(talk, NBD_REP_ACK);
		if (talk->option == NBD_OPT_GO)
			transmit(talk, export);
	}
}

/* The queries of a context option, from AT on: whether they are ones, and whether one of them finds base:allocation. */
static bool read_queries(const struct talk *talk, uint32_t at, bool *found)
{
	bool lists = talk->option == NBD_OPT_LIST_META_CONTEXT;
	uint32_t count, length;

	if (talk->length - at < 4)
		return false;
	count = get_be32(talk->data + at);
	at += 4;
	*found = lists && count == 0;
	for (; count; count--, at += length) {
		const uint8_t *query;

		if (talk->length - at < 4)
			return false;
		length = get_be32(talk->data + at);
		at += 4;
		query = talk->data + at;
		if (length > talk->length - at || !is_string(query, length) || !memchr(query, ':', length) || query[0] == ':')
			return false;
		*found |= length == strlen(CONTEXT_NAME) && memcmp(query, CONTEXT_NAME, length) == 0;
		*found |= lists && length == strlen("base:") && memcmp(query, "base:", length) == 0;
	}
	return at == talk->length;
}

static void contexts(struct talk *talk)
{
	bool selects = talk->option == NBD_OPT_SET_META_CONTEXT, found;
	uint32_t name = talk->length >= 4 ? get_be32(talk->data) : UINT32_MAX;
	int export;

	if (selects)
		talk->context_of = -1;
	if (talk->state->form == REPLY_SIMPLE || talk->length < 4 || name > talk->length - 4 || !is_string(talk->data + 4, name) ||
	    !read_queries(talk, 4 + name, &found)) {
		expect(talk, NBD_REP_ERR_INVALID);
		return;
	}
	export = find(talk, talk->data + 4, name);
	if (export < 0 || !is_allowed(talk, &oracle_exports[export])) {
		expect(talk, export < 0 ? NBD_REP_ERR_UNKNOWN : NBD_REP_ERR_POLICY);
		return;
	}
	if (found)
		expect_text(talk, NBD_REP_META_CONTEXT, 4, selects ? 1 : 0, CONTEXT_NAME);
	if (found && selects)
		talk->context_of = export;
	expect(talk, NBD_REP_ACK);
}

static void starttls(struct talk *talk)
{
	if (talk->length || talk->state->secure) {
		expect(talk, NBD_REP_ERR_INVALID);
	} else if (talk->tls == NBD_TLS_OFF) {
		expect(talk, NBD_REP_ERR_POLICY);
	} else {
		expect(talk, NBD_REP_ACK);
		/* Nothing that was said in plain text counts. */
		talk->state->secure = true;
		talk->state->form = REPLY_SIMPLE;
		talk->context_of = -1;
	}
}

/* Extended headers have structured replies, and can't be taken back. */
static void replies(struct talk *talk)
{
	enum reply_form form = talk->option == NBD_OPT_EXTENDED_HEADERS ? REPLY_EXTENDED : REPLY_STRUCTURED;

	if (talk->length) {
		expect(talk, NBD_REP_ERR_INVALID);
	} else if (form < talk->state->form) {
		expect(talk, NBD_REP_ERR_EXT_HEADER_REQD);
	} else {
		talk->state->form = form;
		expect(talk, NBD_REP_ACK);
	}
}

/* More data than the option can have, which the server doesn't look at. */
static bool is_too_long(const struct talk *talk)
{
	switch (talk->option) {
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		return talk->length > NBD_MOST_OPTION_DATA;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		return talk->length > NBD_MOST_CONTEXT_DATA;
	default:
		return false;
	}
}

static void answer(struct talk *talk)
{
	switch (talk->option) {
	case NBD_OPT_EXPORT_NAME:
		export_name(talk);
		break;
	case NBD_OPT_ABORT:
		expect(talk, NBD_REP_ACK);
		end(talk, ORACLE_ABORTED);
		break;
	case NBD_OPT_LIST:
		if (talk->length)
			expect(talk, NBD_REP_ERR_INVALID);
		else
			list(talk);
		break;
	case NBD_OPT_STARTTLS:
		starttls(talk);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		info(talk);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
	case NBD_OPT_EXTENDED_HEADERS:
		replies(talk);
		break;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		contexts(talk);
		break;
	default:
		expect(talk, NBD_REP_ERR_UNSUP);
	}
}

/* What every option but NBD_OPT_ABORT is answered with for now; 0: nothing. */
static uint32_t refusal(const struct talk *talk)
{
	if (talk->option == NBD_OPT_ABORT)
		return 0;
	if (talk->tls == NBD_TLS_REQUIRED && !talk->state->secure && talk->option != NBD_OPT_STARTTLS)
		return NBD_REP_ERR_TLS_REQD;
	return talk->setup->shutting_down ? NBD_REP_ERR_SHUTDOWN : 0;
}

/* An option whose data is all there. */
static void option(struct talk *talk)
{
	uint32_t refused = refusal(talk);

	if (refused && talk->option == NBD_OPT_EXPORT_NAME) {
		end(talk, ORACLE_DROPPED);
	} else if (refused) {
		expect(talk, refused);
	} else if (is_too_long(talk)) {
		if (talk->option == NBD_OPT_SET_META_CONTEXT)
			talk->context_of = -1;
		expect(talk, NBD_REP_ERR_TOO_BIG);
	} else {
		answer(talk);
	}
}

/* What ends the session before the option's data is there. */
static bool is_refused(const struct talk *talk, const uint8_t *header)
{
	return get_be64(header) != NBD_OPTS_MAGIC || talk->length > NBD_MOST_OPTION_SKIP ||
	       (talk->option == NBD_OPT_EXPORT_NAME && talk->length > NBD_MAX_STRING);
}

static void greeting(struct talk *talk)
{
	uint8_t bytes[NBD_GREETING_SIZE];

	put_be64(bytes, NBD_MAGIC);
	put_be64(bytes + 8, NBD_OPTS_MAGIC);
	put_be16(bytes + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	expect_bytes(talk, bytes, sizeof(bytes));
}

/* Whether the session goes on after the client's flags. */
static bool client_flags(struct talk *talk, uint32_t flags)
{
	talk->no_zeroes = flags & NBD_FLAG_C_NO_ZEROES;
	if (flags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES))
		return false;
	/* Without fixed newstyle there is no TLS. */
	if (flags & NBD_FLAG_C_FIXED_NEWSTYLE)
		return true;
	if (talk->tls == NBD_TLS_REQUIRED)
		return false;
	talk->tls = NBD_TLS_OFF;
	return true;
}

void oracle_check(const struct oracle_setup *setup, const uint8_t *data, size_t size, const uint8_t *answers, size_t answered,
		  struct oracle_state *state)
{
	struct talk talk = { .setup = setup, .state = state, .tls = setup->tls, .context_of = -1, .answers = answers, .left = answered };

	*state = (struct oracle_state){ .end = ORACLE_WAITS };
	greeting(&talk);
	if (size >= NBD_CLIENT_FLAGS_SIZE) {
		if (!client_flags(&talk, get_be32(data)))
			end(&talk, ORACLE_DROPPED);
		data += NBD_CLIENT_FLAGS_SIZE;
		size -= NBD_CLIENT_FLAGS_SIZE;
	} else {
		size = 0;
	}
	while (state->end == ORACLE_WAITS && size >= NBD_OPTION_HEADER_SIZE) {
		talk.option = get_be32(data + 8);
		talk.length = get_be32(data + 12);
		talk.data = data + NBD_OPTION_HEADER_SIZE;
		if (is_refused(&talk, data) || talk.options == NBD_MOST_OPTIONS)
			end(&talk, ORACLE_DROPPED);
		else if (size - NBD_OPTION_HEADER_SIZE < talk.length)
			break;
		else
			option(&talk);
		talk.options++;
		data += NBD_OPTION_HEADER_SIZE + talk.length;
		size -= NBD_OPTION_HEADER_SIZE + talk.length;
	}
	fuzz_check(talk.left == 0, "%zu bytes that nobody asked for, behind option %u", talk.left, talk.option);
}
