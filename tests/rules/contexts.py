# SPDX-License-Identifier: BSD-2-Clause
"""The rules of metadata contexts and block status."""

from rules.chunks import demand
from rules.play import ALLOCATION
from rules.server import MIB
from rules.vocabulary import (BLOCK, MUST, SHOULD, Rule, answered, be32, contexts, contexts_with, error, failed, fails,
                              haggling, informed, or_closed, replies, reply, request, status, structured, success, with_status)
from wire_client import (CMD_BLOCK_STATUS, CMD_READ, CMD_WRITE, EINVAL, ERR_INVALID, FLAG_FUA, FLAG_REQ_ONE, OPT_GO, OPT_INFO,
                         OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK, REP_META_CONTEXT,
                         SEND_FUA, context_data, go_data, option)

LIST, SET = OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT
STATE_HOLE, STATE_ZERO = 1, 2
DATA = b"d" * BLOCK
# Data and what was never written, by turns.
COMB = range(0, 16 * 128 * 1024, 128 * 1024)


def ids_are_zero(came):
    demand(all(data[:4] == bytes(4) for kind, data in came if kind == REP_META_CONTEXT), "an ID that isn't zero came")


def ids_differ(came):
    ids = [data[:4] for kind, data in came if kind == REP_META_CONTEXT]
    demand(len(ids) == len(set(ids)), "an ID came twice")


def not_zeroes(extents):
    demand(not extents[0][1] & STATE_ZERO, "what was just written is said to read as zeroes")


def flags_are_defined(extents):
    flags = {flags for _, flags in extents}
    demand(all(value <= STATE_HOLE | STATE_ZERO for value in flags), f"the states {sorted(map(hex, flags))} came")


def neighbours_differ(extents):
    demand(all(one[1] != next_one[1] for one, next_one in zip(extents, extents[1:])), f"neighbours with the same state: {extents}")


def whole_blocks(export):
    least = export.block_sizes[0] if export.block_sizes else 1

    def check(extents):
        demand(all(length % least == 0 for length, _ in extents), f"lengths that aren't multiples of {least}: {extents}")
    return check


def rules(e):
    def query(number, *queries):
        return option(number, context_data(e.name, queries))

    def rule(*parts):
        return Rule(*parts, if_offered=e.has_allocation)

    def asked(*steps):
        """Contexts may be asked for."""
        return haggling((option(OPT_STRUCTURED_REPLY), reply(OPT_STRUCTURED_REPLY, REP_ACK)), *steps, structured=True)

    still_in_step = (option(OPT_INFO, go_data(e.name)), informed(OPT_INFO))
    go = (option(OPT_GO, go_data(e.name)), informed(OPT_GO))
    select = (query(SET, ALLOCATION), contexts_with(SET, ALLOCATION))
    longest = min(e.size, 2**32 - BLOCK)
    none = option(SET, context_data(e.name))
    too_long = context_data(e.name)[:-4] + be32(1) + be32(100) + b"base:"
    too_many = context_data(e.name)[:-4] + be32(0xFFFFFFFF) + be32(5) + b"base:"

    def after(*steps, expected):
        """A block status where contexts were set in this way."""
        return asked(*steps, go, (request(CMD_BLOCK_STATUS, 0, BLOCK), expected))

    return [
        rule("contexts-listed", MUST, "NBD_OPT_LIST_META_CONTEXT",
             "Without queries LIST_META_CONTEXT names all contexts that can be selected.",
             asked((query(LIST), contexts_with(LIST, ALLOCATION)))),
        rule("contexts-by-wildcard", MUST, "The base: metadata namespace",
             "LIST_META_CONTEXT takes \"base:\" for all of that namespace.",
             asked((query(LIST, b"base:"), contexts_with(LIST, ALLOCATION)))),
        rule("no-selecting-by-wildcard", MUST, "The base: metadata namespace",
             "SET_META_CONTEXT ignores \"base:\".",
             asked((query(SET, b"base:"), contexts(SET)))),
        rule("unknown-context", MUST, "The base: metadata namespace",
             "A name in the namespace base that isn't known is ignored.",
             *(asked((query(number, b"base:unknown"), contexts(number)),
                     (query(number, b"base:unknown", ALLOCATION), contexts(number, ALLOCATION))) for number in (LIST, SET))),
        rule("unknown-namespace", MUST, "NBD_OPT_LIST_META_CONTEXT",
             "A namespace that isn't known is ignored.",
             *(asked((query(number, b"x-nobody:anything"), contexts(number)),
                     (query(number, b"x-nobody:", ALLOCATION), contexts(number, ALLOCATION))) for number in (LIST, SET))),
        rule("longest-query", MUST, "Conventions; NBD_OPT_LIST_META_CONTEXT",
             "A query of 4096 bytes, which is as long as it may be, is like any other.",
             *(asked((query(number, b"x-%s:" % (b"n" * 4093)), contexts(number)), still_in_step) for number in (LIST, SET))),
        rule("context-ids-in-list", SHOULD, "NBD_OPT_LIST_META_CONTEXT",
             "The IDs that LIST_META_CONTEXT tells are zero.",
             asked((query(LIST), replies(LIST, ids_are_zero)))),
        rule("context-selected-once", MUST, "NBD_OPT_SET_META_CONTEXT",
             "SET_META_CONTEXT tells each selected context once, by an ID of its own, though two queries ask for it.",
             asked((query(SET, ALLOCATION, ALLOCATION), replies(SET, ids_differ)))),
        rule("no-queries-select-nothing", MUST, "NBD_OPT_SET_META_CONTEXT",
             "SET_META_CONTEXT without queries selects nothing.",
             asked((none, contexts(SET)))),
        rule("malformed-query", MUST, "NBD_OPT_LIST_META_CONTEXT",
             "A query that would reach past the option's end gets ERR_INVALID, and the next option is understood.",
             *(asked((option(LIST, data), replies(LIST, last=(ERR_INVALID,))), still_in_step)
               for data in (too_long, too_many, b"", be32(0xFFFFFFFF)))),
        rule("contexts-need-structured-replies", SHOULD, "NBD_OPT_SET_META_CONTEXT",
             "SET_META_CONTEXT gets ERR_INVALID before structured replies were negotiated.",
             haggling((query(SET, ALLOCATION), error(SET, ERR_INVALID)), still_in_step)),

        rule("set-replaces", MUST, "NBD_OPT_SET_META_CONTEXT",
             "SET_META_CONTEXT replaces what was selected before, by nothing as well: then no block status comes any more.",
             after(select, (none, contexts(SET)), expected=fails()), after((none, contexts(SET)), select, expected=status())),
        rule("failed-set-replaces", MUST, "NBD_OPT_SET_META_CONTEXT",
             "A SET_META_CONTEXT that fails leaves nothing selected, either.",
             *(after(select, (option(SET, data), or_closed(failed(SET))), expected=fails()) for data in (too_long, too_many))),
        rule("contexts-of-another-export", SHOULD, "Metadata querying",
             "Contexts that were selected for another name are no good for this export: block status gets EINVAL.",
             after((option(SET, context_data(e.name + b"other", [ALLOCATION])), replies(SET, last=())), expected=fails(EINVAL))),
        rule("status-without-contexts", SHOULD, "Metadata querying",
             "Without contexts a block status gets EINVAL.",
             structured((request(CMD_BLOCK_STATUS, 0, BLOCK), fails(EINVAL)), (request(CMD_READ, 0, BLOCK), success()))),
        rule("list-selects-nothing", MUST, "NBD_OPT_LIST_META_CONTEXT",
             "LIST_META_CONTEXT leaves alone what was selected.",
             after(select, (query(LIST, b"base:unknown"), contexts(LIST)), expected=status())),

        rule("status", MUST, "NBD_REPLY_TYPE_BLOCK_STATUS",
             "A block status has one chunk for each context, of at least one extent, none empty, of which none but the last may "
             "reach the end of what was asked for.",
             with_status(*((request(CMD_WRITE, offset, BLOCK, payload=DATA), success()) for offset in COMB),
                         *((request(CMD_BLOCK_STATUS, 0, length), status())
                           for length in (BLOCK, MIB, longest)))),
        rule("status-of-one-extent", MUST, "NBD_CMD_FLAG_REQ_ONE",
             "With REQ_ONE there is one extent, not longer than what was asked for.",
             with_status(*((request(CMD_BLOCK_STATUS, offset, length, FLAG_REQ_ONE), status())
                           for offset in (0, BLOCK, 64 * BLOCK) for length in (BLOCK, MIB, longest - 64 * BLOCK)))),
        rule("status-of-data", MUST, "The base:allocation metadata context",
             "What was written isn't said to read as zeroes.",
             with_status(*((request(CMD_WRITE, offset, BLOCK, payload=DATA), success()) for offset in COMB),
                         *((request(CMD_BLOCK_STATUS, offset, BLOCK), status(not_zeroes)) for offset in COMB))),
        rule("status-flags", SHOULD, "The base:allocation metadata context",
             "No state is set that isn't defined.",
             with_status((request(CMD_BLOCK_STATUS, 0, MIB), status(flags_are_defined)))),
        rule("status-past-the-end", SHOULD, "NBD_CMD_BLOCK_STATUS",
             "A block status past the export's end gets EINVAL.",
             with_status((request(CMD_BLOCK_STATUS, e.size, BLOCK), fails(EINVAL)),
                         (request(CMD_BLOCK_STATUS, e.size - BLOCK, 2 * BLOCK), fails(EINVAL)),
                         (request(CMD_BLOCK_STATUS, 2**64 - BLOCK, 2 * BLOCK), fails(EINVAL)),
                         (request(CMD_BLOCK_STATUS, 0, BLOCK), status()))),
        Rule("status-with-fua", MUST, "NBD_CMD_FLAG_FUA",
             "Where FUA is offered a block status, too, may have it.",
             with_status((request(CMD_BLOCK_STATUS, 0, BLOCK, FLAG_FUA), status())),
             if_offered=e.has_allocation and e.has(SEND_FUA)),
        rule("status-of-nothing", SHOULD, "NBD_CMD_BLOCK_STATUS",
             "A block status of no bytes doesn't end the connection.",
             with_status((request(CMD_BLOCK_STATUS, 0, 0), answered()), (request(CMD_BLOCK_STATUS, 0, BLOCK), status()))),
        Rule("status-of-whole-blocks", MUST, "NBD_CMD_BLOCK_STATUS",
             "The lengths of extents are multiples of the least block size that was told.",
             with_status((request(CMD_BLOCK_STATUS, 0, MIB), status(whole_blocks(e)))),
             if_offered=e.has_allocation and e.block_sizes),
        rule("status-of-neighbours", SHOULD, "NBD_CMD_BLOCK_STATUS",
             "Extents that follow each other have different states.",
             with_status((request(CMD_WRITE, 0, MIB, payload=bytes(BLOCK) + DATA * (MIB // BLOCK - 1)), success()),
                         (request(CMD_BLOCK_STATUS, 0, MIB), status(neighbours_differ)))),
    ]
