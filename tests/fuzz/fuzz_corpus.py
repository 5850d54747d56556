#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""
The corpus of the fuzz targets: what each of its files does, in words, and as bytes.

    tests/fuzz/fuzz_corpus.py          writes them into tests/fuzz/corpus/TARGET/NAME

A bug that a target has found gets an input here, named after it.
"""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def number(value, size):
    return value.to_bytes(size, "big")


# ---- fuzz_handshake: what the server is like, where to cut, and the client's bytes ----

NOTLS, SELECTIVETLS, FORCEDTLS = range(3)
EXPORT_NAME, ABORT, LIST, _, STARTTLS, INFO, GO, STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS = range(1, 12)
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
NAME, DESCRIPTION, BLOCK_SIZE = 1, 2, 3


def handshake(*options, tls=NOTLS, member=False, shutting_down=False, block_shift=0, cut=7, flags=FIXED_NEWSTYLE | NO_ZEROES):
    return bytes([tls | member << 2 | block_shift << 3 | shutting_down << 7, cut]) + number(flags, 4) + b"".join(options)


def option(kind, data=b""):
    return b"IHAVEOPT" + number(kind, 4) + number(len(data), 4) + data


def string(text):
    return number(len(text.encode()), 4) + text.encode()


def info(kind, name, *requests):
    return option(kind, string(name) + number(len(requests), 2) + b"".join(number(request, 2) for request in requests))


def contexts(kind, name, *queries):
    return option(kind, string(name) + number(len(queries), 4) + b"".join(string(query) for query in queries))


STRUCTURED = option(STRUCTURED_REPLY)
EXTENDED = option(EXTENDED_HEADERS)
SELECT = contexts(SET_META_CONTEXT, "disk", "base:allocation")

HANDSHAKE = {
    "export_name": handshake(option(EXPORT_NAME, b"disk")),
    "export_name_with_zeroes": handshake(option(EXPORT_NAME, b""), flags=FIXED_NEWSTYLE),
    "export_name_unknown": handshake(option(EXPORT_NAME, b"nothing")),
    "export_name_too_long": handshake(b"IHAVEOPT" + number(EXPORT_NAME, 4) + number(4097, 4)),
    "list_info_go": handshake(option(LIST), info(INFO, "disk", NAME, DESCRIPTION, BLOCK_SIZE), info(GO, "disk", BLOCK_SIZE)),
    "go_by_default": handshake(info(GO, ""), block_shift=9),
    "go_read_only": handshake(STRUCTURED, info(GO, "résumé", NAME)),
    "go_after_failures": handshake(info(GO, "nothing"), info(GO, "broken"), info(GO, "members"), info(GO, "disk")),
    "go_with_wrong_lengths": handshake(option(GO, b"\xff\xff\xff\xff\0\0"), option(GO, string("disk") + b"\0\3\0\3"),
                                       option(GO, b"\0\0\0\2\xff\xfe\0\0")),
    "go_of_a_member": handshake(option(LIST), info(GO, "members", NAME), member=True),
    "contexts": handshake(STRUCTURED, contexts(LIST_META_CONTEXT, "disk"), contexts(LIST_META_CONTEXT, "", "base:", "x:y"),
                          SELECT, info(GO, "disk")),
    "contexts_of_which_none_is_known": handshake(EXTENDED, SELECT, contexts(SET_META_CONTEXT, "disk", "x:y"), info(GO, "disk")),
    "contexts_of_another_export": handshake(STRUCTURED, SELECT, info(GO, "résumé")),
    "contexts_forgotten_by_a_failure": handshake(STRUCTURED, SELECT, contexts(SET_META_CONTEXT, "disk", "no colon"), info(GO, "disk")),
    "contexts_without_structured_replies": handshake(SELECT, option(SET_META_CONTEXT)),
    "contexts_with_wrong_lengths": handshake(STRUCTURED, option(LIST_META_CONTEXT, string("disk") + number(2, 4) + string("base:")),
                                             option(SET_META_CONTEXT, string("disk") + number(1, 4) + b"\xff\xff\xff\xff:")),
    "contexts_of_a_restricted_export": handshake(STRUCTURED, SELECT, contexts(SET_META_CONTEXT, "members", "base:allocation")),
    "extended_headers": handshake(EXTENDED, STRUCTURED, EXTENDED, info(INFO, "disk"), SELECT, info(INFO, "résumé"), info(GO, "disk")),
    "extended_headers_and_export_name": handshake(STRUCTURED, EXTENDED, option(EXPORT_NAME, b"disk")),
    "options_with_data_that_take_none": handshake(option(LIST, b"x"), option(STRUCTURED_REPLY, b"x"), option(EXTENDED_HEADERS, b"x"),
                                                  option(STARTTLS, b"x"), option(ABORT, b"x")),
    "options_with_more_data_than_they_take": handshake(STRUCTURED, SELECT, option(INFO, bytes(8193)), info(GO, "disk")),
    "unknown_options": handshake(option(4), option(4711, b"whatever this is"), option(ABORT)),
    "many_options": handshake(*[option(LIST)] * 400, cut=255),
    "more_answers_than_there_is_room_for": handshake(*[option(LIST)] * 800),
    "too_many_options": handshake(*[option(4711)] * 1025, cut=255),
    "too_many_options_of_which_the_last_has_data_to_come": handshake(
        *[option(4711)] * 1024, b"IHAVEOPT" + number(4711, 4) + number(45, 4), cut=255),
    "option_without_magic": handshake(option(LIST), b"IHAVEOPS" + bytes(8)),
    "option_too_long": handshake(b"IHAVEOPT" + number(4711, 4) + number((1 << 20) + 1, 4)),
    "option_incomplete": handshake(b"IHAVEOPT" + number(GO, 4) + number(100, 4) + b"\0\0"),
    "skip_incomplete": handshake(b"IHAVEOPT" + number(4711, 4) + number(100, 4) + b"\0\0"),
    "no_fixed_newstyle": handshake(option(STARTTLS), option(EXPORT_NAME, b"disk"), flags=0, tls=SELECTIVETLS),
    "unknown_client_flags": handshake(option(LIST), flags=7),
    "shutting_down": handshake(option(LIST), info(GO, "disk"), option(4711, b"x"), option(ABORT), shutting_down=True),
    "shutting_down_and_export_name": handshake(option(EXPORT_NAME, b"disk"), shutting_down=True),
    "shutting_down_and_tls_required": handshake(option(LIST), option(STARTTLS), option(ABORT), shutting_down=True, tls=FORCEDTLS),
    "tls_not_here": handshake(option(STARTTLS), info(GO, "secret")),
    "tls_if_wanted": handshake(option(LIST), info(GO, "secret"), info(GO, "nothing"), option(STARTTLS), option(LIST),
                               info(GO, "nothing"), info(GO, "secret"), tls=SELECTIVETLS),
    "tls_forgets": handshake(EXTENDED, SELECT, info(INFO, "disk"), option(STARTTLS), SELECT, option(STARTTLS), info(GO, "disk"),
                             tls=SELECTIVETLS),
    "tls_required": handshake(option(LIST), STRUCTURED, SELECT, info(GO, "disk"), option(STARTTLS), option(LIST), STRUCTURED,
                              contexts(SET_META_CONTEXT, "vault", "base:allocation"), info(GO, "vault"), tls=FORCEDTLS, member=True),
    "tls_required_and_export_name": handshake(option(EXPORT_NAME, b"disk"), tls=FORCEDTLS),
    "tls_required_and_abort": handshake(option(ABORT, b"bye"), tls=FORCEDTLS),
}

# ---- fuzz_transmission: a disk, then what happens ----

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS = range(8)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << bit for bit in range(6))
PAYLOAD = FAST_ZERO  # of what ask() sends that isn't a WRITE_ZEROES; a WRITE has it, if it is to, without being told
(CAN_READ_ONLY, CAN_ROTATIONAL, CAN_FLUSH, CAN_TRIM, CAN_ZEROES, CAN_CACHE, CAN_COHERENT, CAN_LEND, _,
 CAN_EXTENTS) = (1 << bit for bit in range(10))
CHANGES = CAN_FLUSH | CAN_TRIM | CAN_ZEROES | CAN_CACHE | CAN_COHERENT
NONE, MERGE, DEADLINE = range(3)
UNLIMITED = 0x80

# Fates
DONE, FAILED, NO_SPACE, NO_MEMORY, INVALID = 0, 4, 5, 6, 7
EARLY, AT_ONCE = 1 << 6, 1 << 7


def amount(eighths):
    return eighths << 3


# Clients; the second one and the last select base:allocation.
WITH_SIMPLE_REPLIES, WITH_STRUCTURED_REPLIES, WITH_EXTENDED_HEADERS, WITH_ALL = range(4)

# Ends
HANGS_UP, ENDS, IS_STOPPED, IS_KILLED, LINGERS, IS_DEAF = range(6)


def disk(*events, block_shift=7, emulates=False, large=False, can=CHANGES | CAN_EXTENTS, max_request=UNLIMITED, max_zeroes=UNLIMITED,
         max_trim=UNLIMITED, max_segments=0, depth=31, memory=255, scheduler=NONE,
         clients=(WITH_STRUCTURED_REPLIES, WITH_SIMPLE_REPLIES, WITH_ALL), plan=(), contexts=False):
    """CONTEXTS: clients select all that there are, and not just base:allocation. Limits are in units, less one, MEMORY in pages of 4 KiB; PLAN: the fates of requests as they come, in turn."""
    opens = sum(client << 2 * index for index, client in enumerate(clients))
    setup = struct.pack(">BHBBBBBBBB", block_shift | contexts << 4 | emulates << 6 | large << 7, can, max_request, max_zeroes, max_trim, max_segments,
                        depth, memory, scheduler, opens)
    return setup + bytes(plan).ljust(16, b"\0") + b"".join(events)


def event(code, who=0, much=0, *following):
    return bytes([code | who << 4 | much << 6, *following])


def ask(kind, offset=0, length=0, flags=0, who=0, contexts=0):
    """OFFSET and LENGTH in units: a block, but at least 64 bytes; CONTEXTS: what a payload says of them, 0: all is well."""
    return event(0, who, contexts, kind | flags << 3, offset, length)


def ask_bytes(kind, offset, length, flags=0, who=0):
    return event(1, who, 0, kind | flags << 3) + number(offset, 2) + number(length, 2)


def ask_anything(kind, offset, length, flags=0, who=0, magic=True, extended=False):
    return event(2, who, 0 if magic else 3) + number(flags, 2) + number(kind, 2) + number(offset, 8) + number(length, 8 if extended else 4)


def ask_next(count, who=0):
    return event(3, who, count - 1)


def deliver(who=0, much=1):
    return event(4, who, much)


DISPATCH = event(5)


def complete(index, fate=DONE):
    return event(6, 0, 0, index, fate)


def complete_all(fate=DONE):
    return event(7, 0, 0, fate)


def complete_away(index, fate=DONE):
    return event(8, 0, 0, index, fate)


def receive(who=0, much=3):
    return event(9, who, much)


def wait(hundreds_of_us):
    return event(10, 0, 0, hundreds_of_us)


def setting(index, value):
    return event(11, 0, 0, index, value)


def end(how, who=0):
    return event(12, who, 0, how)


def connect(how, who=0):
    return event(13, who, how)


def mark(name):
    return event(14, 1, name)


def unmark(name):
    return event(14, 1, name | 2)


def grow(units):
    return event(14, 2, 0, units - 1)


TRIM_MEMORY = event(14)
OTHER_MEDIUM = event(14, 3)
TURN = event(15)
TURN_BUT_RECEIVE = deliver(much=3) + DISPATCH
STRIPES = b"".join(ask(WRITE, at, 1) for at in range(0, 64, 2)) + TURN + complete_all() + TURN
WRITE_ALL = ask(WRITE, 0, 128) + TURN + complete_all() + TURN


def every_command(who=0):
    return b"".join([ask(WRITE, 0, 4, 0, who), ask(READ, 0, 8, 0, who), ask(FLUSH, 0, 0, 0, who), ask(TRIM, 4, 4, 0, who),
                     ask(CACHE, 0, 8, 0, who), ask(WRITE_ZEROES, 2, 4, NO_HOLE, who), ask(BLOCK_STATUS, 0, 128, 0, who),
                     ask(READ, 0, 8, DF, who), ask(WRITE, 6, 1, FUA, who)])


EVERY_COMMAND = every_command()
# The first client and the last know of the marks that are set.
AGAIN = end(ENDS, 0) + end(ENDS, 2) + TURN + connect(WITH_STRUCTURED_REPLIES, 0) + connect(WITH_ALL, 2)
FINISH = (complete_all() + TURN) * 4
STATUS = b"".join(ask(BLOCK_STATUS, 0, 255, flags, who) for flags in (0, REQ_ONE) for who in (0, 2)) + TURN + FINISH
# Blocks of 1 KiB: 255 of them are all that there may be.
GRANULES = {"large": True, "block_shift": 10, "contexts": True}
WHOLE = b"".join(ask(BLOCK_STATUS, 0, 128, flags, who) for flags in (0, REQ_ONE) for who in (0, 2)) + TURN + FINISH

TRANSMISSION = {
    "every_command": disk(EVERY_COMMAND, TURN, complete_all(), TURN, complete_all(), TURN, EVERY_COMMAND, TURN, ask(DISC), TURN),
    "every_command_at_once": disk(EVERY_COMMAND, TURN, EVERY_COMMAND, TURN, plan=[AT_ONCE] * 16),
    "every_command_without_structured_replies": disk(every_command(1), TURN, complete_all(), TURN),
    "every_command_with_extended_headers": disk(every_command(2), TURN, complete_all(), TURN, every_command(2), TURN, complete_all(), TURN,
                                                ask(DISC, who=2), TURN),
    "contexts_in_a_payload": disk(STRIPES, *(ask(BLOCK_STATUS, 0, 64, flags, 2, contexts) for flags in (PAYLOAD, PAYLOAD | REQ_ONE)
                                    for contexts in range(4)), TURN, complete_all(), TURN),
    "contexts_that_were_not_selected": disk(ask(BLOCK_STATUS, 0, 64, PAYLOAD), ask(BLOCK_STATUS, 0, 64), TURN,
                                            clients=[WITH_EXTENDED_HEADERS] * 3),
    "payloads_of_others": disk(ask(READ, 0, 8, PAYLOAD, 2), TURN, TURN, ask(WRITE, 0, 8, PAYLOAD, 2), ask(FLUSH, 0, 0, PAYLOAD, 2), TURN, TURN,
                               ask_anything(BLOCK_STATUS, 0, 7, PAYLOAD_LEN, 2, extended=True), TURN, TURN,
                               ask_anything(BLOCK_STATUS, 0, 1 << 20, PAYLOAD_LEN, 2, extended=True), TURN, TURN,
                               ask_anything(TRIM, 0, 64 << 20, PAYLOAD_LEN, 2, extended=True), TURN, TURN,
                               ask_anything(DISC, 0, 100, PAYLOAD_LEN, 2, extended=True), TURN),
    "lengths_of_64_bits": disk(*(ask_anything(kind, 0, length, 0, 2, extended=True) for kind in range(8) if kind != DISC
                                 for length in (1 << 32, (1 << 64) - 128)), TURN, TURN,
                               ask_anything(WRITE, 0, 1 << 32, PAYLOAD_LEN, 2, extended=True), TURN),
    "sparse_reads": disk(STRIPES, ask(READ, 0, 128), ask(READ, 1, 120, who=2), ask(READ, 0, 128, DF), ask(READ, 0, 128, who=1), TURN,
                         *[complete_all() + TURN] * 70, large=True, block_shift=10),
    "sparse_reads_fail": disk(STRIPES, ask(READ, 0, 128), ask(READ, 1, 120, who=2), TURN, complete(0, FAILED), TURN, complete_all(), TURN,
                              complete(0, FAILED | amount(3)), complete_all(), TURN, complete_all(), TURN, complete_all(amount(1)), TURN,
                              large=True, block_shift=10),
    "errors_with_offsets": disk(WRITE_ALL, *(ask(kind, 0, 64, flags, who) for kind in (READ, WRITE, TRIM, WRITE_ZEROES, CACHE)
                                             for flags in (0, DF) for who in range(3)), TURN, complete_all(FAILED | amount(5)), TURN,
                                complete_all(NO_SPACE | amount(7)), TURN, complete_all(FAILED | amount(2)), TURN),
    "errors_with_offsets_of_what_is_lent": disk(STRIPES, *[ask(READ, 1, 60, flags, who) for flags in (0, DF) for who in (0, 2)] * 8, TURN,
                                                *[complete(0, FAILED | amount(number)) + TURN for number in range(8) for _ in range(4)],
                                                can=CHANGES | CAN_LEND | CAN_EXTENTS),
    "every_command_of_a_lending_disk": disk(EVERY_COMMAND, TURN, complete_all(), TURN, EVERY_COMMAND, TURN, complete_all(), TURN,
                                            can=CHANGES | CAN_EXTENTS | CAN_LEND, block_shift=8),
    "every_command_of_a_read_only_disk": disk(EVERY_COMMAND, TURN, complete_all(), TURN, can=CHANGES | CAN_READ_ONLY),
    "nothing_but_reads_and_writes": disk(EVERY_COMMAND, TURN, complete_all(), TURN, can=0, block_shift=0),
    "refused": disk(ask_anything(WRITE, 1 << 63, 4096), ask_anything(READ, 16384, 1), ask_anything(TRIM, 16256, 256),
                    ask_anything(8, 0, 0), ask_anything(READ, 0, 512, 0x8000), ask_anything(FLUSH, 0, 1),
                    ask_anything(WRITE, 0, 64 << 20), ask_anything(BLOCK_STATUS, 0, 0), ask_bytes(READ, 1, 511), TURN, TURN),
    "too_much": disk(ask(READ, 0, 8), ask_anything(WRITE, 0, (64 << 20) + 1), TURN),
    "no_magic": disk(ask(READ, 0, 8), ask_anything(READ, 0, 512, magic=False), TURN),
    "lengths_of_zero": disk(*(ask(kind, 1, 0) for kind in range(8) if kind != DISC), TURN, TURN),
    "unaligned_bytes": disk(ask_bytes(WRITE, 4097, 61), ask_bytes(READ, 4000, 300), ask_bytes(TRIM, 4098, 3), TURN, complete_all(), TURN,
                            block_shift=0, can=CHANGES | CAN_LEND | CAN_EXTENTS),
    "unaligned": disk(*(ask_bytes(kind, offset, length, flags, who) for who in range(3) for flags in (0, FUA)
                        for kind in (WRITE, READ, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS) for offset, length in ((1, 1), (500, 1600))), TURN,
                      *[complete_all() + TURN] * 12, emulates=True, block_shift=9),
    "unaligned_and_lent": disk(STRIPES, *(ask_bytes(kind, offset, length, 0, who) for who in range(3)
                                          for kind in (WRITE, READ, WRITE_ZEROES, READ) for offset, length in ((1, 1), (500, 1600))), TURN,
                               *[complete_all() + TURN] * 12, emulates=True, can=CHANGES | CAN_LEND | CAN_EXTENTS),
    "unaligned_and_not_fast": disk(*(ask_bytes(WRITE_ZEROES, offset, 1024, FAST_ZERO) for offset in (0, 1, 512)), TURN, complete_all(), TURN,
                                   emulates=True, block_shift=9),
    "unaligned_and_failed": disk(*(ask_bytes(kind, 500, 1600, 0, who) for who in range(2) for kind in (WRITE, READ, TRIM, WRITE_ZEROES)),
                                 TURN, complete(0, FAILED), complete_all(), TURN, complete_all(), complete(0, NO_SPACE | amount(3)), TURN,
                                 complete_all(FAILED | amount(6)), TURN, emulates=True, block_shift=10),
    "overlaps": disk(ask(WRITE, 0, 8), ask(WRITE, 4, 8, who=1), ask(WRITE_ZEROES, 6, 1, who=2), TURN, ask(READ, 0, 16), TURN,
                     complete(1), complete(0), TURN, complete_all(), TURN, complete_all(), TURN, ask(READ, 0, 16), TURN),
    "overlapping_writes_fail": disk(ask(WRITE, 0, 8), ask(WRITE, 4, 8, who=1), ask(WRITE, 0, 2, who=1), TURN,
                                    complete(0, FAILED | amount(4)), TURN, complete(0), TURN, ask(READ, 0, 16), TURN, complete_all(), TURN),
    "merged": disk(ask(WRITE, 0, 2), ask_next(4), ask_next(4), ask_next(4), TURN, wait(10), TURN, complete_all(), TURN,
                   ask(READ, 0, 2), ask_next(4), ask_next(4), TURN, wait(10), TURN, complete_all(), TURN, scheduler=MERGE, depth=1),
    "merged_and_failed": disk(ask(WRITE, 40, 1), TURN, ask(WRITE, 0, 2), ask_next(4), ask_next(4), TURN, complete_all(), TURN,
                              complete_all(NO_SPACE | amount(3)), TURN, complete(0), TURN, complete_all(FAILED), TURN, complete_all(),
                              TURN, scheduler=MERGE, depth=0),
    "deadline": disk(ask(WRITE, 100, 2), ask(READ, 50, 2), ask_next(4), ask(WRITE, 0, 2), ask_next(2), ask(READ, 10, 4, who=1), TURN,
                     complete_all(), TURN, wait(255), TURN, complete_all(), TURN, scheduler=DEADLINE, depth=0),
    "split": disk(ask(WRITE, 3, 60), ask(WRITE_ZEROES, 2, 50), ask(TRIM, 1, 90), ask(READ, 0, 100), TURN,
                  *([complete_all(), TURN] * 20), max_request=7, max_zeroes=8, max_trim=4, max_segments=1, depth=3),
    "split_and_failed": disk(ask(WRITE, 3, 60), TURN, complete(0), TURN, complete(0, FAILED), TURN, ask(READ, 0, 100), TURN,
                             complete(0), TURN, complete(0, NO_MEMORY), TURN, max_request=7, depth=3),
    "flushes_and_fua": disk(ask(WRITE, 0, 4, FUA), ask(WRITE, 8, 4, FUA, who=1), ask(FLUSH), ask(FLUSH, who=1), TURN, complete(0), TURN,
                            ask(FLUSH, who=2), ask(TRIM, 0, 4, FUA), TURN, complete_all(), TURN, complete_all(), TURN),
    "flush_fails": disk(WRITE_ALL, ask(FLUSH), TURN, complete_all(FAILED), TURN, ask(FLUSH, who=1), ask(WRITE, 0, 1, FUA), ask(WRITE, 0, 1),
                        TURN, complete_all(), TURN),
    "fast_zero_refused": disk(WRITE_ALL, ask(WRITE_ZEROES, 0, 64, FAST_ZERO), TURN, complete_all(INVALID), TURN, ask(READ, 0, 64), TURN),
    "lends_too_little": disk(ask(READ, 0, 64), TURN, complete_all(amount(1)), TURN, WRITE_ALL, ask(READ, 0, 64), TURN,
                             complete_all(amount(1)), TURN, can=CHANGES | CAN_LEND | CAN_EXTENTS),
    "error_of_a_read_in_many_pieces": disk(STRIPES, ask(READ, 0, 64), TURN_BUT_RECEIVE, complete_all(amount(7)), ask(READ, 0, 32),
                                           TURN_BUT_RECEIVE, complete_all(), TURN, can=CHANGES | CAN_LEND),
    "holes": disk(ask(WRITE, 0, 4), ask(WRITE, 8, 4), ask(WRITE, 12, 1), ask(WRITE, 20, 1), ask(WRITE, 22, 1), TURN, complete_all(), TURN,
                  *(ask(READ, 0, 64, flags, who) for flags in (0, DF) for who in range(3)), TURN, complete_all(), TURN,
                  can=CHANGES | CAN_LEND | CAN_EXTENTS),
    "extents": disk(ask(WRITE, 1, 3), ask(WRITE, 9, 1), ask(WRITE_ZEROES, 30, 2), TURN, complete_all(), TURN,
                    ask(BLOCK_STATUS, 0, 64), ask(BLOCK_STATUS, 2, 60, REQ_ONE), TURN, complete_all(amount(2)), TURN,
                    ask(BLOCK_STATUS, 0, 64), TURN, complete_all(FAILED), TURN),
    "completed_elsewhere": disk(EVERY_COMMAND, TURN, complete_away(2), complete_away(0, FAILED), complete_away(0), TURN,
                                complete_away(0), TURN),
    "little_memory": disk(*(ask(WRITE, 4 * at, 8, who=at % 3) for at in range(12)), TURN, complete_all(), TURN, complete_all(), TURN,
                          complete_all(), TURN, memory=0),
    "few_requests": disk(setting(1, 2), EVERY_COMMAND, TURN, TURN, complete_all(), receive(0, 0), TURN, complete_all(), TURN),
    "settings_change": disk(ask(WRITE, 0, 1), ask_next(4), TURN, *(setting(index, 3) + TURN for index in range(13)), ask_next(4),
                            complete_all(), TURN, complete_all(), TURN, setting(0, MERGE), ask_next(4), TURN, setting(0, DEADLINE),
                            ask_next(4), TURN, depth=2),
    "disconnects": disk(EVERY_COMMAND, ask(DISC), TURN, complete_all(), TURN, connect(WITH_ALL), ask(READ, 0, 32), TURN),
    "hangs_up_in_the_middle": disk(EVERY_COMMAND, deliver(much=1), end(HANGS_UP), TURN, complete_all(), TURN),
    "hangs_up_and_disconnects": disk(ask(READ, 0, 8), deliver(), end(HANGS_UP), ask(WRITE, 0, 8), ask(TRIM, 4, 8), ask(READ, 0, 8),
                                     ask(DISC), TURN, complete_all(), TURN),
    "ends_within_a_payload": disk(ask(WRITE, 0, 8), ask(WRITE, 4, 8), deliver(much=0), end(ENDS), TURN, ask(READ, 0, 16, who=1), TURN),
    "is_stopped_within_a_payload": disk(ask(TRIM, 0, 8), ask(WRITE, 4, 8), deliver(much=0), deliver(much=0), end(IS_STOPPED), TURN,
                                        complete_all(), TURN),
    "is_killed": disk(EVERY_COMMAND, deliver(much=2), DISPATCH, complete(0), end(IS_KILLED), ask(READ, 0, 64, who=1), TURN, complete_all(),
                      TURN, connect(WITH_STRUCTURED_REPLIES), ask(READ, 0, 64), TURN),
    "lingers": disk(EVERY_COMMAND, deliver(much=2), DISPATCH, complete_all(), end(LINGERS), receive(0, 0), complete_all(), TURN),
    "is_deaf": disk(EVERY_COMMAND, deliver(much=2), DISPATCH, complete_all(), end(IS_DEAF), ask(WRITE, 0, 8), ask(DISC), TURN,
                    complete_all(), TURN),
    "every_context": disk(mark(0), mark(1), AGAIN, STRIPES, WHOLE,
                          *(ask(BLOCK_STATUS, 0, 64, flags, 2, contexts) for flags in (PAYLOAD, PAYLOAD | REQ_ONE) for contexts in range(4)),
                          TURN, FINISH, ask(BLOCK_STATUS, 5, 50), TURN, complete_all(amount(2)), TURN, complete_all(amount(1)), TURN,
                          ask(BLOCK_STATUS, 0, 64), TURN, complete_all(), TURN, complete_all(FAILED), TURN, **GRANULES),
    "every_context_of_a_driver_that_tells_none": disk(mark(0), AGAIN, STRIPES, WHOLE, can=CHANGES, **GRANULES),
    "every_context_of_one_who_hangs_up": disk(ask(BLOCK_STATUS, 0, 64), ask(BLOCK_STATUS, 0, 64, who=2), TURN, end(ENDS), end(HANGS_UP, 2),
                                              FINISH, **GRANULES),
    "every_context_of_bytes": disk(mark(0), AGAIN, ask_bytes(WRITE, 65535, 1), TURN, FINISH, ask_bytes(BLOCK_STATUS, 60001, 5537),
                                   ask_bytes(BLOCK_STATUS, 65535, 3, 0, 2), TURN, FINISH, large=True, block_shift=9, emulates=True, contexts=True),
    "marks": disk(ask(WRITE, 0, 1), TURN, FINISH, mark(0), AGAIN, WHOLE, ask(WRITE, 3, 1), TURN, FINISH, WHOLE, mark(1), AGAIN,
                  ask(WRITE, 63, 2), TURN, FINISH, WHOLE, ask(WRITE_ZEROES, 64, 1), TURN, FINISH, WHOLE, **GRANULES),
    "marks_of_trims_and_zeroes": disk(ask(WRITE, 0, 128), TURN, FINISH, mark(0), AGAIN, ask(TRIM, 3, 2), TURN, FINISH, WHOLE,
                                      mark(1), AGAIN, ask(WRITE_ZEROES, 70, 20), TURN, FINISH, WHOLE, **GRANULES),
    "marks_of_changes_in_flight": disk(ask(WRITE, 5, 3), ask(WRITE, 100, 3, who=1), TURN, mark(0), AGAIN, WHOLE, complete(0), TURN, mark(1),
                                       WHOLE, FINISH, WHOLE, AGAIN, WHOLE, plan=[EARLY, DONE] * 8, **GRANULES),
    "marks_of_failed_changes": disk(mark(0), AGAIN, ask(WRITE, 5, 8), ask(WRITE_ZEROES, 80, 8), TURN, complete_all(FAILED | amount(4)),
                                    TURN, FINISH, WHOLE, ask(WRITE, 80, 8), deliver(much=3), DISPATCH, end(IS_KILLED),
                                    complete_all(NO_SPACE | amount(2)), TURN, FINISH, AGAIN, WHOLE, **GRANULES),
    "marks_of_merged_and_split_changes": disk(mark(0), AGAIN, ask(WRITE, 60, 1), ask_next(4), ask_next(4), TURN, wait(10), TURN, FINISH,
                                              WHOLE, ask(WRITE_ZEROES, 1, 100), TURN, *([complete_all(), TURN] * 20), WHOLE,
                                              scheduler=MERGE, depth=1, max_zeroes=6, **GRANULES),
    "marks_taken_away": disk(mark(0), mark(0), unmark(1), AGAIN, ask(BLOCK_STATUS, 0, 128), deliver(), unmark(0), TURN, FINISH, WHOLE,
                             mark(0), ask(WRITE, 0, 1), TURN, FINISH, WHOLE, AGAIN, WHOLE, *[mark(0), unmark(0)] * 9, **GRANULES),
    "another_medium": disk(mark(0), AGAIN, WHOLE, OTHER_MEDIUM, WHOLE, mark(1), AGAIN, WHOLE, OTHER_MEDIUM, OTHER_MEDIUM, **GRANULES),
    "grows": disk(ask(WRITE, 127, 2), TURN, FINISH, ask(WRITE, 127, 2), ask(READ, 127, 2, who=2), grow(1), TURN, FINISH, ask(READ, 120, 20),
                  ask(READ, 128, 1), ask(WRITE, 128, 1, FUA), TURN, FINISH, ask(BLOCK_STATUS, 0, 129), grow(126), grow(2), TURN, FINISH,
                  AGAIN, ask(READ, 0, 255), TURN, FINISH, ask(TRIM, 120, 60), TURN, FINISH, **GRANULES),
    "grows_by_bytes": disk(ask_bytes(WRITE, 16383, 2), grow(1), ask_bytes(READ, 16383, 65), TURN, FINISH, ask_bytes(READ, 16383, 66), TURN,
                           block_shift=0),
    "grows_and_is_lent": disk(STRIPES, grow(100), ask(READ, 100, 120), ask(READ, 100, 120, DF, 2), TURN, FINISH,
                              can=CHANGES | CAN_EXTENTS | CAN_LEND, block_shift=8),
    "marks_of_what_is_new": disk(mark(0), AGAIN, WHOLE, grow(20), WHOLE, ask(BLOCK_STATUS, 0, 148), TURN, FINISH, mark(1), AGAIN,
                                 ask(BLOCK_STATUS, 0, 148), TURN, FINISH, grow(90), STATUS, grow(17), STATUS, ask(WRITE, 10, 1), TURN, FINISH,
                                 STATUS, **GRANULES),
    "unused_memory": disk(WRITE_ALL, ask(READ, 0, 64), TURN, complete_all(), TRIM_MEMORY, TRIM_MEMORY, TURN, TRIM_MEMORY),
}

# ---- fuzz_reply: results ----

FAILURES = 16
ALL_SHAPES = [{"form": form, "alone": alone} for form in range(3) for alone in (False, True)]


def result(kind, form=1, alone=False):
    return bytes([kind | form << 2 | alone << 4])


def pieces(*lengths, times=1):
    """LENGTHS in bytes, negative ones of holes; those from 16 KiB on are multiples of 32 bytes."""
    def piece(length):
        size = abs(length)
        assert size < 1 << 14 or (size % 32 == 0 and size < 1 << 19)
        return number((size if size < 1 << 14 else size // 32 | 0x4000) | (0x8000 if length < 0 else 0), 2)
    return bytes([len(lengths), times - 1]) + b"".join(map(piece, lengths))


def read(*groups, error=0, progress=0, offset=0, **how):
    """GROUPS: pieces().  PROGRESS: bytes before an error, where there are any."""
    return (result(0, **how) + number(offset, 2) + b"".join(groups) + b"\0" + bytes([error]) +
            (number(progress, 3) if error and groups else b""))


def reads(*groups, **what):
    return b"".join(read(*groups, **what, **shape) for shape in ALL_SHAPES)


def other(command, error, progress=0, **how):
    return result(2, **how) + bytes([command, error]) + number(7, 2) + number(4096, 4) + number(progress, 2)


def extents(*told, shift=9, in_block=0, units=64, most=256, **how):
    """TOLD: pairs of units and kinds."""
    return (result(1, **how) + number(1, 2) + (b"" if how.get("alone") else bytes([most - 1])) + bytes([shift, in_block]) +
            number((units >> in_block) - 1, 2) +
            b"".join(bytes([length << 2 | kind]) if length < 64 else bytes([kind]) + number(length, 2) for length, kind in told) +
            bytes(3))


def every_extents(*told, **what):
    return b"".join(extents(*told, **what, **shape) for shape in ALL_SHAPES)


REPLY = {
    "data": reads(pieces(4096)),
    "data_in_segments": reads(pieces(512, 1, 4095, 16384), offset=9),
    "data_and_holes": reads(pieces(512, -512, 1, -1, 4096)),
    "holes": reads(pieces(-4096)) + reads(pieces(-1, -1, -65536)),
    "holes_larger_than_a_buffer": reads(pieces(-262144, -32)) + reads(pieces(-262176, 32)) + reads(pieces(-524256)),
    "holes_and_data_many_times": reads(pieces(16, -16, times=250), offset=65535),
    "too_many_rows_for_their_headers": reads(*[pieces(1, -1, times=256)] * 20),
    "too_many_pieces": b"".join(read(*[pieces(1, -1, times=256)] * 32, pieces(1), form=form) for form in range(3)),
    "too_many_pieces_once_holes_are_filled": b"".join(read(pieces(-262176), *[pieces(1, -1, times=255)] * 32, pieces(1, times=63),
                                                           **shape) for shape in ALL_SHAPES[:3]),
    "no_data": reads(),
    "failed_reads": b"".join(reads(pieces(512, 512), error=error) for error in range(FAILURES)),
    "failed_reads_of_nothing": b"".join(reads(error=error) for error in range(FAILURES)),
    "errors_with_offsets": b"".join(reads(pieces(512, -512, 1024, -1024), error=1, progress=progress, offset=1)
                                    for progress in (1, 511, 512, 513, 1024, 2048, 3071)),
    "errors_with_offsets_behind_many_rows": b"".join(reads(*[pieces(1, -1, times=256)] * 20, error=1, progress=progress)
                                                     for progress in (100, 10239)),
    "other_commands": b"".join(other(command, error, progress, form=form, alone=alone) for command in range(5) for error in range(FAILURES)
                               for progress, form, alone in ((0, 0, False), (0, 1, True), (512, 1, False), (4095, 2, True))),
    "extents": every_extents((16, 3), (16, 0), (8, 1), (8, 2), (16, 3)) + every_extents((64, 0)) + extents((4, 0), (4, 0), (60, 3)),
    "extents_beyond_the_request": every_extents((1, 3), (1000, 1)) + every_extents((65535, 3), units=4096, shift=19),
    "extents_of_parts_of_blocks": every_extents((3, 3), (2, 1), (11, 0), (5, 2), (1, 3), in_block=2) + extents((7, 3), in_block=3),
    "extents_that_are_too_many": every_extents(*[(1, 0), (1, 3)] * 16, most=5),
    "no_extents": every_extents(),
}

TARGETS = {"handshake": HANDSHAKE, "transmission": TRANSMISSION, "reply": REPLY}


def main():
    for target, seeds in TARGETS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, content in seeds.items():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
