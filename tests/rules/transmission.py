# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the transmission phase: requests and their replies."""

from rules.server import MIB
from rules.vocabulary import (BLOCK, CLOSED, MUST, SHOULD, Rule, Session, answered, fails, haggling, informed, or_closed,
                              read, read_either, request, second, simple, success, taken, together)
from wire_client import (CAN_MULTI_CONN, CMD_CACHE, CMD_DISC, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES,
                         EINVAL, ENOSPC, ENOTSUP, EPERM, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE, FLAG_REQ_ONE, OPT_GO,
                         SEND_CACHE, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, go_data, option)

ONES, TWOS = b"1" * BLOCK, b"2" * BLOCK
UNKNOWN_COMMANDS = (9, 99, 0xFFFF)
UNKNOWN_FLAG = 1 << 15
COOKIES = (0, 1, 2**64 - 1, 0x0123456789ABCDEF, 0x2560951367446698)
MOST_PAYLOAD = 1 << 25
# More than any payload; not a multiple of any buffer.
LONG = 160 * MIB + BLOCK


def write(offset, data, flags=0):
    return request(CMD_WRITE, offset, len(data), flags, data)


def like_requests(length):
    """A payload that a server which forgets to skip it takes for requests."""
    return (request(CMD_DISC).bytes(0) * (length // 28 + 1))[:length]


def payload_of(command, length):
    return like_requests(length) if command == CMD_WRITE else b""


def rules(e):
    end = e.size
    some_read = (request(CMD_READ, 0, BLOCK), success())
    past_the_end = ((end, BLOCK), (end - BLOCK, 2 * BLOCK), (2**63, BLOCK), (2**64 - BLOCK, 2 * BLOCK))
    long_enough = e.size >= LONG + BLOCK
    zeroes, trim, fua = e.has(SEND_WRITE_ZEROES) and e.writable, e.has(SEND_TRIM) and e.writable, e.has(SEND_FUA)

    def past(command, *errors):
        """Requests of this kind past the end, each refused, with a good one behind it."""
        return [simple((request(command, offset, length, payload=payload_of(command, length)), fails(*errors)), some_read)
                for offset, length in past_the_end]

    def in_step(*requests, expected):
        return [simple((sent, expected), some_read) for sent in requests]

    def write_rule(*parts, if_offered=True):
        return Rule(*parts, if_offered=if_offered and e.writable)

    ranged = [(CMD_READ, True), (CMD_TRIM, trim), (CMD_CACHE, e.has(SEND_CACHE)), (CMD_WRITE_ZEROES, zeroes)]
    offered = [command for command, is_offered in ranged if is_offered]

    return [
        write_rule("read-what-was-written", MUST, "NBD_CMD_READ; NBD_CMD_WRITE",
                   "A read gives what was written before.",
                   simple((write(0, ONES + TWOS), success()), (request(CMD_READ, 0, BLOCK), read(ONES)),
                          (request(CMD_READ, BLOCK, BLOCK), read(TWOS)), (write(BLOCK, ONES), success()),
                          (request(CMD_READ, 0, 2 * BLOCK), read(ONES + ONES)))),
        write_rule("any-offset-and-length", SHOULD, "Block size constraints",
                   "Where no larger blocks were told, requests may begin and end anywhere.",
                   simple((write(0, ONES + ONES), success()), (write(1, b"abc"), success()), (write(BLOCK - 1, b"de"), success()),
                          (request(CMD_READ, 1, 2), read(b"ab")),
                          (request(CMD_READ, 0, 2 * BLOCK), read(b"1abc" + ONES[:-5] + b"de" + ONES[:-1]))), if_offered=e.any_block),
        Rule("simple-replies", MUST, "Simple reply message",
             "Unless structured replies were negotiated all replies are simple ones, those of errors, too.",
             simple(some_read, (request(99), answered()), (request(CMD_READ, end, BLOCK), or_closed(answered())), some_read)),
        Rule("cookie", MUST, "Transmission",
             "A reply has the cookie of its request, whatever that is.",
             simple(*((request(CMD_READ, 0, BLOCK, cookie=cookie), success()) for cookie in COOKIES))),
        Rule("up-to-the-end", MUST, "NBD_CMD_READ",
             "The last block of the export can be read.",
             simple((request(CMD_READ, end - BLOCK, BLOCK), success()))),

        Rule("read-past-the-end", SHOULD, "Error values",
             "A read past the export's end gets EINVAL.",
             *past(CMD_READ, EINVAL)),
        write_rule("write-past-the-end", SHOULD, "Error values",
                   "A write past the export's end gets ENOSPC.",
                   *past(CMD_WRITE, ENOSPC)),
        write_rule("trim-past-the-end", SHOULD, "Error values",
                   "A trim past the export's end gets EINVAL.",
                   *past(CMD_TRIM, EINVAL), if_offered=trim),
        write_rule("write-zeroes-past-the-end", SHOULD, "NBD_CMD_WRITE_ZEROES",
                   "Zeroes past the export's end get ENOSPC.",
                   *past(CMD_WRITE_ZEROES, ENOSPC), if_offered=zeroes),
        Rule("failed-read-has-no-payload", MUST, "NBD_CMD_READ",
             "No data follow the error of a read that failed; or the connection ends.",
             simple((request(CMD_READ, end, BLOCK), or_closed(fails())), some_read)),
        write_rule("refused-write-takes-its-payload", MUST, "NBD_CMD_WRITE; Request message",
                   "The payload of a write that is refused isn't taken for requests: the reply to the next one follows.",
                   *in_step(*(write(end, like_requests(length)) for length in (BLOCK, 64 * 1024, MIB)), expected=or_closed(fails())),
                   *in_step(*(write(0, like_requests(length), UNKNOWN_FLAG) for length in (BLOCK, MIB)),
                            expected=or_closed(answered()))),

        Rule("unknown-command", SHOULD, "Error values",
             "An unknown command gets EINVAL.",
             *in_step(*(request(command) for command in UNKNOWN_COMMANDS), expected=fails(EINVAL))),
        Rule("unknown-flag", SHOULD, "Error values",
             "An unknown flag gets EINVAL.",
             *in_step(request(CMD_READ, 0, BLOCK, UNKNOWN_FLAG), expected=fails(EINVAL))),
        write_rule("unknown-flag-of-a-write", SHOULD, "Error values",
                   "An unknown flag of a write gets EINVAL, and nothing is written.",
                   simple((write(0, ONES), success()), (write(0, TWOS, UNKNOWN_FLAG), fails(EINVAL)),
                          (request(CMD_READ, 0, BLOCK), read(ONES)))),
        Rule("flag-of-another-command", SHOULD, "Error values",
             "A flag that isn't one of this command's gets EINVAL.",
             *in_step(request(CMD_READ, 0, BLOCK, FLAG_NO_HOLE), request(CMD_READ, 0, BLOCK, FLAG_REQ_ONE), expected=fails(EINVAL))),

        Rule("read-of-nothing", SHOULD, "NBD_CMD_READ",
             "A read of no bytes doesn't end the connection.",
             *in_step(request(CMD_READ, 0, 0), expected=answered())),
        write_rule("write-of-nothing", SHOULD, "NBD_CMD_WRITE",
                   "A write of no bytes doesn't end the connection.",
                   *in_step(write(0, b""), expected=answered())),
        write_rule("trim-of-nothing", SHOULD, "NBD_CMD_TRIM",
                   "A trim of no bytes doesn't end the connection.",
                   *in_step(request(CMD_TRIM, 0, 0), expected=answered()), if_offered=trim),
        write_rule("write-zeroes-of-nothing", SHOULD, "NBD_CMD_WRITE_ZEROES",
                   "Zeroes of no bytes don't end the connection.",
                   *in_step(request(CMD_WRITE_ZEROES, 0, 0), expected=answered()), if_offered=zeroes),

        Rule("flush", MUST, "Transmission flags",
             "FLUSH works where it is offered.",
             simple((request(CMD_FLUSH), success())), if_offered=e.has(SEND_FLUSH)),
        Rule("fua-on-every-command", MUST, "NBD_CMD_FLAG_FUA",
             "Where FUA is offered every command may have it.",
             simple(*((request(command, 0, BLOCK, FLAG_FUA), success()) for command in offered if command != CMD_CACHE),
                    *[(request(CMD_FLUSH, flags=FLAG_FUA), success())] * e.has(SEND_FLUSH),
                    *[(write(0, ONES, FLAG_FUA), success())] * e.writable), if_offered=fua),
        Rule("fua-on-disconnect", MUST, "NBD_CMD_FLAG_FUA",
             "Where FUA is offered DISC, too, may have it.",
             simple((request(CMD_DISC, flags=FLAG_FUA), CLOSED)), if_offered=fua),
        write_rule("trim", MUST, "NBD_CMD_TRIM",
                   "A trim works where it is offered, and touches nothing beside it.",
                   simple((write(0, ONES * 3), success()), (request(CMD_TRIM, BLOCK, BLOCK), success()),
                          (request(CMD_READ, 0, BLOCK), read(ONES)), (request(CMD_READ, 2 * BLOCK, BLOCK), read(ONES))),
                   if_offered=trim),
        write_rule("write-zeroes", MUST, "NBD_CMD_WRITE_ZEROES",
                   "Zeroes read back as such, and nothing beside them is touched.",
                   simple((write(0, ONES * 3), success()), (request(CMD_WRITE_ZEROES, BLOCK, BLOCK), success()),
                          (request(CMD_READ, 0, 3 * BLOCK), read(ONES + bytes(BLOCK) + ONES))), if_offered=zeroes),
        write_rule("write-zeroes-without-a-hole", MUST, "NBD_CMD_FLAG_NO_HOLE",
                   "NO_HOLE is taken where WRITE_ZEROES is.",
                   simple((write(0, ONES * 3), success()), (request(CMD_WRITE_ZEROES, BLOCK, BLOCK, FLAG_NO_HOLE), success()),
                          (request(CMD_READ, 0, 3 * BLOCK), read(ONES + bytes(BLOCK) + ONES))), if_offered=zeroes),
        write_rule("long-write-zeroes", MUST, "NBD_CMD_WRITE_ZEROES",
                   f"Zeroes of {LONG} bytes, if they are taken, read back as such to the last one.",
                   simple(*((write(offset, ONES), success()) for offset in (0, 32 * MIB, 64 * MIB, 128 * MIB, LONG - BLOCK, LONG)),
                          (request(CMD_WRITE_ZEROES, 0, LONG), taken()),
                          *((request(CMD_READ, offset, BLOCK), read(bytes(BLOCK)))
                            for offset in (0, 32 * MIB, 64 * MIB, 128 * MIB, LONG - BLOCK)),
                          (request(CMD_READ, LONG, BLOCK), read(ONES))), if_offered=zeroes and long_enough),
        write_rule("longer-than-any-payload", SHOULD, "Block size constraints",
                   "Requests without a payload may be refused for their length, but don't end the connection.",
                   *in_step(*(request(command, offset, length) for command in offered if command != CMD_READ
                              for offset, length in ((0, LONG), (end - BLOCK, 2**32 - BLOCK))), expected=answered()),
                   if_offered=offered != [CMD_READ]),
        write_rule("fast-zero", MUST, "NBD_CMD_FLAG_FAST_ZERO",
                   "With FAST_ZERO zeroes are written or ENOTSUP comes; without it, never ENOTSUP.",
                   simple((write(0, ONES), success()), (request(CMD_WRITE_ZEROES, 0, BLOCK, FLAG_FAST_ZERO), success(ENOTSUP)),
                          (request(CMD_READ, 0, BLOCK), read_either(ONES, bytes(BLOCK))),
                          (request(CMD_WRITE_ZEROES, 0, BLOCK), success()), (request(CMD_READ, 0, BLOCK), read(bytes(BLOCK)))),
                   if_offered=zeroes and e.has(SEND_FAST_ZERO)),
        write_rule("fast-zero-unoffered", SHOULD, "NBD_CMD_WRITE_ZEROES",
                   "Where it isn't offered FAST_ZERO gets EINVAL.",
                   *in_step(request(CMD_WRITE_ZEROES, 0, BLOCK, FLAG_FAST_ZERO), expected=fails(EINVAL)),
                   if_offered=zeroes and not e.has(SEND_FAST_ZERO)),
        Rule("cache", MUST, "NBD_CMD_CACHE",
             "CACHE, where it is offered, refuses flags that it doesn't know, and the session goes on.",
             simple((request(CMD_CACHE, 0, BLOCK), answered()), (request(CMD_CACHE, 0, BLOCK, UNKNOWN_FLAG), fails()), some_read),
             if_offered=e.has(SEND_CACHE)),

        Rule("large-read", SHOULD, "Block size constraints",
             "A read of almost 32 MiB may be refused, but doesn't end the connection.",
             *in_step(request(CMD_READ, 0, MOST_PAYLOAD - BLOCK), expected=answered()), if_offered=e.size >= MOST_PAYLOAD),
        write_rule("large-write", SHOULD, "Block size constraints",
                   "A write of almost 32 MiB may be refused, but doesn't end the connection.",
                   *in_step(write(0, bytes(MOST_PAYLOAD - BLOCK)), expected=answered()), if_offered=e.size >= MOST_PAYLOAD),
        write_rule("unaligned", SHOULD, "Block size constraints",
                   "Where larger blocks were told, requests that don't keep to them get EINVAL.",
                   *in_step(request(CMD_READ, 1, BLOCK), request(CMD_READ, 0, BLOCK - 1), write(1, ONES), write(0, ONES[1:]),
                            expected=fails(EINVAL)), if_offered=not e.any_block),

        write_rule("unaligned-without-asking", MUST, "Block size constraints",
                   "A client that didn't ask for block sizes may be refused what doesn't keep to them, but nothing else changes.",
                   haggling((option(OPT_GO, go_data(e.name)), informed(OPT_GO)), (write(0, ONES + ONES), success()),
                            (write(1, b"22"), answered()),
                            (request(CMD_READ, 0, 2 * BLOCK), read_either(ONES + ONES, b"122" + ONES[3:] + ONES))),
                   if_offered=not e.any_block),

        Rule("read-only", MUST, "Transmission flags",
             "What would write to a read-only export fails, and takes its payload along.",
             *in_step(write(0, like_requests(BLOCK)), write(0, like_requests(MIB)), expected=or_closed(fails())),
             if_offered=not e.writable),
        Rule("read-only-is-eperm", SHOULD, "Error values; NBD_CMD_WRITE_ZEROES",
             "The error of writes, trims and zeroes on a read-only export is EPERM.",
             *in_step(write(0, ONES), request(CMD_TRIM, 0, BLOCK), request(CMD_WRITE_ZEROES, 0, BLOCK), expected=fails(EPERM)),
             if_offered=not e.writable),

        write_rule("multi-conn-flush", MUST, "Transmission flags",
                   "Where CAN_MULTI_CONN is told, what one connection has written and flushed the others read.",
                   Session("simple", ((write(0, ONES), success()), second(request(CMD_READ, 0, BLOCK), success()),
                                      (write(0, TWOS), success()), (request(CMD_FLUSH), success()),
                                      second(request(CMD_READ, 0, BLOCK), read(TWOS))), connections=2),
                   if_offered=e.has(CAN_MULTI_CONN) and e.has(SEND_FLUSH)),
        write_rule("multi-conn-fua", MUST, "Transmission flags",
                   "Where CAN_MULTI_CONN is told, what one connection has written with FUA the others read.",
                   Session("simple", ((write(0, ONES), success()), second(request(CMD_READ, 0, BLOCK), success()),
                                      (write(0, TWOS, FLAG_FUA), success()),
                                      second(request(CMD_READ, 0, BLOCK), read(TWOS))), connections=2),
                   if_offered=e.has(CAN_MULTI_CONN) and fua),

        Rule("disconnect", MUST, "NBD_CMD_DISC",
             "DISC has no reply: the connection is closed.",
             simple((request(CMD_DISC), CLOSED))),
        Rule("disconnect-behind-requests", MUST, "NBD_CMD_DISC",
             "What was asked before DISC is answered first, if only by an error.",
             simple(together(*[(request(CMD_READ, 0, MIB), answered())] * 8, (request(CMD_DISC), CLOSED))),
             *[simple(together(*((write(n * BLOCK, TWOS), answered()) for n in range(8)),
                               (request(CMD_DISC), CLOSED)))] * e.writable),
    ]
