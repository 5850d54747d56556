# SPDX-License-Identifier: BSD-2-Clause
"""The rules of structured replies. What their form is like is looked at in every reply; see chunks.py."""

from rules.chunks import demand
from rules.server import MIB
from rules.vocabulary import BLOCK, MUST, SHOULD, Expectation, Rule, answered, fails, read, request, structured, success
from wire_client import (CMD_DISC, CMD_READ, CMD_WRITE, EINVAL, EOVERFLOW, FLAG_DF, FLAG_NO_HOLE, SEND_DF, TYPE_ERROR,
                         TYPE_ERROR_OFFSET, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE)

DATA = b"s" * BLOCK
LEAST_DF = 65536
ERRORS = (TYPE_ERROR, TYPE_ERROR_OFFSET)


def in_chunks(*kinds):
    """Some reply that has chunks of these types and no others."""
    def check(answer):
        demand(answer.kinds and set(answer.kinds) <= set(kinds), f"chunks of the types {answer.kinds} came")
    return Expectation(check, of_reply=True)


def rules(e):
    end = e.size
    some_read = (request(CMD_READ, 0, BLOCK), success())
    some_write = (request(CMD_WRITE, 0, BLOCK, payload=DATA), success())

    def rule(*parts, if_offered=True):
        return Rule(*parts, if_offered=if_offered and e.structured)

    return [
        rule("structured-read", MUST, "NBD_CMD_READ, structured replies",
             "The chunks of a read lie in its range, don't overlap, have a byte each at least, and all of it together, until DONE.",
             structured(*((request(CMD_READ, offset, length), success())
                          for offset, length in ((0, BLOCK), (end - BLOCK, BLOCK), (0, MIB), (BLOCK, 65536))))),
        rule("structured-read-of-data", MUST, "NBD_CMD_READ, structured replies",
             "The chunks of a read have the data that were written.",
             structured(some_write, (request(CMD_READ, 0, BLOCK), read(DATA))), if_offered=e.writable),
        rule("refused-read-is-structured", MUST, "Structured reply chunk message",
             "A read that is refused gets a structured reply, too.",
             *(structured((request(CMD_READ, offset, length, flags), in_chunks(*ERRORS)), some_read)
               for offset, length, flags in ((end, BLOCK, 0), (2**64 - BLOCK, 2 * BLOCK, 0)))),
        rule("read-with-wrong-flags-is-structured", MUST, "Structured reply chunk message",
             "A read whose flags are wrong gets a structured reply, too, whatever it says.",
             *(structured((request(CMD_READ, 0, BLOCK, flags), in_chunks(*ERRORS, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE)), some_read)
               for flags in (FLAG_NO_HOLE, 1 << 15))),
        rule("structured-errors", MUST, "Structured reply types",
             "An error's chunk is well-formed: an error that isn't 0, and a text that fits into it.",
             structured((request(99), fails()), (request(CMD_READ, end, BLOCK), fails()), some_read)),
        rule("structured-read-past-the-end", SHOULD, "Error values",
             "The error of a read past the end is EINVAL there, too.",
             structured((request(CMD_READ, end, BLOCK), fails(EINVAL)), some_read)),
        rule("structured-read-of-nothing", SHOULD, "NBD_CMD_READ",
             "A read of no bytes doesn't end the connection.",
             structured((request(CMD_READ, 0, 0), answered()), some_read)),
        rule("refused-write-among-structured-replies", MUST, "NBD_CMD_WRITE; Request message",
             "The payload of a write that is refused isn't taken for requests.",
             structured((request(CMD_WRITE, end, BLOCK, payload=request(CMD_DISC).bytes(0) * 146 + bytes(8)), fails()), some_read),
             if_offered=e.writable),
        rule("unfragmented-read", MUST, "NBD_CMD_FLAG_DF",
             "With DF a read of up to 65536 bytes has one chunk of content.",
             structured(*((request(CMD_READ, offset, length, FLAG_DF), success())
                          for offset in (0, BLOCK) for length in (BLOCK, LEAST_DF))), if_offered=e.structured_flags & SEND_DF),
        rule("unfragmented-read-of-data-and-hole", MUST, "NBD_CMD_READ, structured replies",
             "With DF a read of data and a hole has one chunk of content.",
             structured(some_write, (request(CMD_READ, 0, LEAST_DF, FLAG_DF), success())),
             if_offered=e.structured_flags & SEND_DF and e.writable),
        rule("long-unfragmented-read", MUST, "NBD_CMD_FLAG_DF",
             "A longer read with DF comes in one chunk of content, or EOVERFLOW does.",
             structured((request(CMD_READ, 0, 2 * MIB, FLAG_DF), success(EOVERFLOW)), some_read),
             if_offered=e.structured_flags & SEND_DF),
    ]
