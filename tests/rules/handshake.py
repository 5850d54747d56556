# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the handshake up to the choice of an export."""

import struct

from rules.server import MIB, NOBODY, NOTLS
from rules.vocabulary import (BLOCK, CLOSED, MUST, SHOULD, Rule, be16, be32, be64, check_informed, check_listed, clear,
                              connected, error, failed, greeted, haggling, informations, informed, one_of, or_closed,
                              remembered, replies, reply, request, same_as_before, simple, success)
from rules.chunks import demand
from wire_client import (CMD_READ, ERR_INVALID, ERR_POLICY, ERR_TLS_REQD, ERR_UNSUP, FIXED_NEWSTYLE, HAS_FLAGS, IHAVEOPT,
                         INFO_BLOCK_SIZE, INFO_DESCRIPTION, INFO_EXPORT, INFO_NAME, NBDMAGIC, NO_ZEROES, OPT_ABORT,
                         OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, OPT_PEEK_EXPORT, OPT_STARTTLS, OPT_STRUCTURED_REPLY,
                         REP_ACK, REP_INFO, SEND_DF, SEND_FAST_ZERO, SEND_WRITE_ZEROES, go_data, option)

# Data that a server which forgets to skip it takes for options.
LIKE_OPTIONS = option(OPT_ABORT) * 256
UNKNOWN_OPTIONS = (0, 0x7654321, 0xFFFFFFFF)


def greeting(flags):
    return NBDMAGIC + IHAVEOPT + be16(flags)


def flags_are(condition, otherwise):
    """Of an export's transmission flags."""
    def check(came):
        check_informed(came)
        flags, = struct.unpack(">H", informations(came)[INFO_EXPORT][8:])
        demand(condition(flags), f"{otherwise}: {flags:#06x}")
    return replies(OPT_INFO, check)


def no_information(came):
    demand(all(kind != REP_INFO for kind, _ in came), "information about it came")


def each_once(came):
    kinds = [data[:2] for kind, data in came if kind == REP_INFO]
    demand(len(kinds) == len(set(kinds)), "an information came twice")


def block_sizes(export, condition, otherwise):
    def check(came):
        check_informed(came)
        sizes = informations(came).get(INFO_BLOCK_SIZE)
        demand(sizes is not None, "INFO_BLOCK_SIZE did not come again")
        least, preferred, most = struct.unpack(">III", sizes)
        demand(condition(least, preferred, most), f"{otherwise}: {least}, {preferred}, {most} for an export of {export.size} bytes")
    return replies(OPT_INFO, check)


def not_tls_required(came):
    demand(came[-1][0] != ERR_TLS_REQD, "ERR_TLS_REQD came")


def power_of_two(number):
    return number and number & (number - 1) == 0


def sizes_are_valid(export):
    def valid(least, preferred, most):
        return (power_of_two(least) and least <= 1 << 16 and power_of_two(preferred) and preferred >= max(least, 512) and
                (most % least == 0 or most == 0xFFFFFFFF) and most >= min(preferred, export.size))
    return valid


def rules(e):
    info, go, failed_go = option(OPT_INFO, go_data(e.name)), option(OPT_GO, go_data(e.name)), option(OPT_GO, go_data(NOBODY))
    still_in_step = (info, informed(OPT_INFO))
    old_answer = be64(e.size) + be16(e.flags)
    some_read = (request(CMD_READ, 0, BLOCK), success())
    refused = or_closed(error(OPT_INFO))
    refused_go = or_closed(error(OPT_GO))
    ask_sizes = option(OPT_INFO, go_data(e.name, [INFO_BLOCK_SIZE]))
    all_infos = [INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE]
    no_tls = e.tls == NOTLS

    return [
        Rule("greeting", MUST, "Newstyle negotiation; Baseline",
             "The greeting offers fixed newstyle, and sets no flag that isn't defined.",
             connected((b"", one_of(greeting(FIXED_NEWSTYLE), greeting(FIXED_NEWSTYLE | NO_ZEROES))))),
        Rule("unknown-client-flag", MUST, "Client flags",
             "A client flag that is unknown ends the connection.",
             *(greeted((be32(flags), CLOSED)) for flags in (7, 0x80000003, 0x00010001))),
        Rule("unknown-option", MUST, "Baseline",
             "An unknown option gets ERR_UNSUP; its data are skipped, and the next option is understood.",
             *(haggling((option(number, LIKE_OPTIONS[:length]), error(number, ERR_UNSUP)), still_in_step)
               for number in UNKNOWN_OPTIONS for length in (0, 5, 4096))),
        Rule("withdrawn-option", MUST, "Baseline; NBD_OPT_PEEK_EXPORT",
             "PEEK_EXPORT, which was withdrawn, gets ERR_UNSUP.",
             haggling((option(OPT_PEEK_EXPORT, e.name), error(OPT_PEEK_EXPORT, ERR_UNSUP)), still_in_step)),
        Rule("many-options", MUST, "Fixed newstyle negotiation",
             "Options may follow each other; each gets its own replies, and an export can be chosen after them.",
             haggling(*[(option(99, b"data"), error(99, ERR_UNSUP)), still_in_step] * 5, (go, informed(OPT_GO)))),

        Rule("abort", MUST, "NBD_OPT_ABORT",
             "ABORT is acknowledged.",
             haggling((option(OPT_ABORT), reply(OPT_ABORT, REP_ACK)))),
        Rule("abort-with-data", SHOULD, "NBD_OPT_ABORT",
             "The data of an ABORT are ignored.",
             *(haggling((option(OPT_ABORT, LIKE_OPTIONS[:length]), reply(OPT_ABORT, REP_ACK))) for length in (1, 4096))),
        Rule("abort-and-gone", SHOULD, "NBD_OPT_ABORT",
             "A client that closes the connection behind its ABORT does no harm: the next one is served.",
             *[haggling((option(OPT_ABORT), None))] * 10, haggling(still_in_step)),

        Rule("list", MUST, "NBD_OPT_LIST",
             "LIST names exports, then comes ACK; or ERR_POLICY, if the server doesn't tell.",
             haggling((option(OPT_LIST), replies(OPT_LIST, check_listed, (REP_ACK, ERR_POLICY))), still_in_step)),
        Rule("list-with-data", SHOULD, "NBD_OPT_LIST",
             "LIST with data gets ERR_INVALID.",
             haggling((option(OPT_LIST, b"data"), error(OPT_LIST, ERR_INVALID)))),
        Rule("list-with-data-in-step", MUST, "Baseline",
             "Whatever is said to LIST with data, these are skipped, and the next option is understood.",
             haggling((option(OPT_LIST, LIKE_OPTIONS), or_closed(replies(OPT_LIST, last=()))), still_in_step)),

        Rule("info", MUST, "NBD_OPT_INFO",
             "INFO tells the export's size and flags in 12 bytes, what else it tells is well-formed, and ACK ends it.",
             haggling((info, informed(OPT_INFO))), haggling((option(OPT_INFO, go_data(e.name, all_infos)), informed(OPT_INFO)))),
        Rule("go", MUST, "NBD_OPT_GO",
             "GO tells what INFO does, in the same form, and the first request may follow.",
             haggling((go, informed(OPT_GO)), some_read),
             haggling((option(OPT_GO, go_data(e.name, all_infos)), informed(OPT_GO)), some_read)),
        Rule("unknown-information", MUST, "NBD_OPT_INFO and NBD_OPT_GO",
             "Information requests that aren't known are ignored.",
             *(haggling((option(number, go_data(e.name, [INFO_NAME, 0x7FFF, INFO_BLOCK_SIZE, 0xFFFF])), informed(number)))
               for number in (OPT_INFO, OPT_GO))),
        Rule("information-once", SHOULD, "NBD_REP_INFO",
             "Each information comes once.",
             haggling((option(OPT_INFO, go_data(e.name, all_infos)), replies(OPT_INFO, each_once)))),
        Rule("info-then-go", MUST, "NBD_OPT_INFO and NBD_OPT_GO",
             "GO behind INFO with the same parameters tells the same.",
             *(haggling((option(OPT_INFO, go_data(e.name, infos)), remembered(OPT_INFO)),
                        (option(OPT_GO, go_data(e.name, infos)), same_as_before(OPT_GO))) for infos in ([], all_infos))),
        Rule("unknown-export", MUST, "NBD_OPT_INFO and NBD_OPT_GO",
             "INFO and GO of an export that doesn't exist get an error, and the next option is understood.",
             *(haggling((option(number, go_data(NOBODY)), failed(number)), still_in_step)
               for number in (OPT_INFO, OPT_GO)), if_offered=e.knows_names),
        Rule("unknown-export-no-information", SHOULD, "NBD_OPT_INFO and NBD_OPT_GO",
             "No information comes about an export that doesn't exist.",
             *(haggling((option(number, go_data(NOBODY, all_infos)), failed(number, no_information)))
               for number in (OPT_INFO, OPT_GO)), if_offered=e.knows_names),
        Rule("go-after-failed-go", MUST, "NBD_OPT_GO",
             "After a GO that failed another one can succeed.",
             haggling(*[(failed_go, failed(OPT_GO))] * 3, (go, informed(OPT_GO)), some_read),
             if_offered=e.knows_names),
        Rule("longest-name", MUST, "Conventions",
             "A name of 4096 bytes, which is as long as it may be, gets an answer, and the next option is understood.",
             *(haggling((option(OPT_INFO, go_data(b"x" * length)), replies(OPT_INFO, last=())), still_in_step)
               for length in (255, 256, 257, 4095, 4096))),
        Rule("name-longer-than-option", MUST, "NBD_OPT_INFO and NBD_OPT_GO; Baseline",
             "A name that would reach past the option's end is refused once, and the next option is understood; or the connection "
             "ends.",
             *(haggling((option(OPT_INFO, data), refused), still_in_step) for data in
               (*map(bytes, range(6)), be32(0xFFFFFFFF), be32(0xFFFFFFFF) + bytes(6), be32(5) + b"name" + be16(0))),
             haggling((option(OPT_GO, be32(0xFFFFFFFF) + bytes(6)), refused_go), still_in_step)),
        Rule("information-requests-missing", MUST, "NBD_OPT_INFO and NBD_OPT_GO; Baseline",
             "More information requests than the option holds are refused once, and the next option is understood; or the connection "
             "ends.",
             *(haggling((option(OPT_INFO, go_data(e.name)[:-2] + data), refused), still_in_step) for data in
               (be16(1), be16(5) + be16(INFO_NAME), be16(0xFFFF)))),

        Rule("has-flags", MUST, "Transmission flags",
             "HAS_FLAGS is set.",
             haggling((info, flags_are(lambda flags: flags & HAS_FLAGS, "the flags")))),
        Rule("df-needs-structured-replies", MUST, "Transmission flags",
             "SEND_DF is clear unless structured replies were negotiated.",
             haggling((info, flags_are(lambda flags: not flags & SEND_DF, "the flags")))),
        Rule("fast-zero-needs-write-zeroes", MUST, "Transmission flags",
             "SEND_FAST_ZERO is clear unless SEND_WRITE_ZEROES is set.",
             haggling((info, flags_are(lambda flags: not flags & SEND_FAST_ZERO or flags & SEND_WRITE_ZEROES, "the flags")))),
        Rule("block-sizes", MUST, "Block size constraints",
             "The least block size is a power of 2 up to 65536; the preferred one a power of 2, at least that and 512; the largest "
             "one a multiple of the least or 0xffffffff, and not below the preferred one or the export's size.",
             haggling((ask_sizes, block_sizes(e, sizes_are_valid(e), "not valid"))), if_offered=e.block_sizes),
        Rule("largest-block-size", SHOULD, "Block size constraints",
             "The largest block size is at least 1 MiB, for an export of that size.",
             haggling((ask_sizes, block_sizes(e, lambda least, preferred, most: most >= min(e.size, MIB), "small"))),
             if_offered=e.block_sizes),
        Rule("size-of-whole-blocks", SHOULD, "Block size constraints",
             "The export's size is a multiple of the least block size.",
             haggling((ask_sizes, block_sizes(e, lambda least, preferred, most: e.size % least == 0, "its end can't be reached"))),
             if_offered=e.block_sizes),

        Rule("export-name", MUST, "Client flags",
             "With NO_ZEROES the answer to EXPORT_NAME is 10 bytes, which tell what GO tells.",
             haggling((option(OPT_EXPORT_NAME, e.name), old_answer), some_read)),
        Rule("export-name-with-zeroes", MUST, "Newstyle negotiation",
             "Without NO_ZEROES the answer to EXPORT_NAME ends with 124 zeroes.",
             haggling((option(OPT_EXPORT_NAME, e.name), old_answer + bytes(124)), some_read, flags=FIXED_NEWSTYLE)),
        Rule("export-name-unknown", MUST, "NBD_OPT_EXPORT_NAME",
             "The name of an export that doesn't exist ends the connection.",
             *(haggling((option(OPT_EXPORT_NAME, name), CLOSED)) for name in (NOBODY, b"x" * 4096)), if_offered=e.knows_names),
        Rule("export-name-of-an-old-client", SHOULD, "Maximum interoperability",
             "Clients that don't know fixed newstyle are served, too.",
             clear((option(OPT_EXPORT_NAME, e.name), old_answer + bytes(124)), some_read, flags=0),
             clear((option(OPT_EXPORT_NAME, e.name), old_answer), some_read, flags=NO_ZEROES), if_offered=no_tls),
        Rule("go-without-zeroes", MUST, "NBD_OPT_GO",
             "No zeroes follow GO's ACK, NO_ZEROES or not.",
             simple(some_read, flags=FIXED_NEWSTYLE)),

        Rule("structured-reply", MUST, "NBD_OPT_STRUCTURED_REPLY",
             "STRUCTURED_REPLY is acknowledged.",
             haggling((option(OPT_STRUCTURED_REPLY), reply(OPT_STRUCTURED_REPLY, REP_ACK)), still_in_step), if_offered=e.structured),
        Rule("structured-reply-with-data", SHOULD, "NBD_OPT_STRUCTURED_REPLY",
             "STRUCTURED_REPLY with data gets ERR_INVALID.",
             haggling((option(OPT_STRUCTURED_REPLY, LIKE_OPTIONS), error(OPT_STRUCTURED_REPLY, ERR_INVALID)), still_in_step),
             if_offered=e.structured),

        Rule("starttls-without-tls", MUST, "NOTLS mode",
             "Without TLS, STARTTLS gets an error, which isn't TLS_REQD, and the next option is understood.",
             *(clear((option(OPT_STARTTLS, data), error(OPT_STARTTLS)), still_in_step) for data in (b"", b"x")), if_offered=no_tls),
        Rule("tls-never-required-without-tls", MUST, "NOTLS mode",
             "Without TLS, no option gets TLS_REQD.",
             *(clear((option(number, data), replies(number, not_tls_required, last=()))) for number, data in
               ((OPT_LIST, b""), (OPT_LIST, b"x"), (OPT_INFO, go_data(NOBODY)), (OPT_GO, go_data(NOBODY)), (99, b""))),
             if_offered=no_tls),
    ]
