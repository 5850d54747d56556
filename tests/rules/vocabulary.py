# SPDX-License-Identifier: BSD-2-Clause
"""The words that the tables of rules are written in: what is sent, what is expected, and where a session begins."""

import struct

import wire_client as nbd
from rules.channel import Over, Violation
from rules.chunks import check_string, demand
from rules.conversation import ERROR_BIT, ERRORS, Request as request  # noqa: F401 pylint: disable=unused-import

MUST, SHOULD = "MUST", "SHOULD"
BLOCK = 4096  # what requests are aligned to where nothing else matters
REPLIES = {getattr(nbd, name): name for name in dir(nbd) if name.startswith(("REP_", "ERR_")) and name != "REP_MAGIC"}


def be16(number):
    return struct.pack(">H", number)


def be32(number):
    return struct.pack(">I", number)


def be64(number):
    return struct.pack(">Q", number)


def reply(option, kind, data=b""):
    """The exact bytes of one reply to an option."""
    return struct.pack(">QIII", nbd.REP_MAGIC, option, kind, len(data)) + data


class Expectation:
    """
    What has to come: CHECK(conversation), or with OF_REPLY, behind a request, CHECK(its whole reply), raises a Violation when
    something else does. With MAY_CLOSE the server may end the session instead.
    """

    def __init__(self, check, of_reply=False, may_close=False):
        self.check, self.of_reply, self.may_close = check, of_reply, may_close


def or_closed(expectation):
    return Expectation(expectation.check, expectation.of_reply, may_close=True)


# --- In the handshake


def _until_closed(conversation):
    data = conversation.channel.receive(1)
    raise Violation(f"{data.hex()} came, where it had to close the connection")


CLOSED = Expectation(_until_closed, may_close=True)


def one_of(*possible):
    """Either of these, of equal length."""
    def check(conversation):
        came = conversation.channel.receive(len(possible[0]))
        demand(came in possible, f"{came.hex()} came")
    return Expectation(check)


def name_of(kind):
    return REPLIES.get(kind, f"a reply of type {kind:#x}")


def error(option, *kinds):
    """One reply, an error of these or, for none, of any kind; TLS_REQD isn't any: who may say so when has rules of its own."""
    def check(conversation):
        kind, _ = conversation.option_reply(option)
        allowed = kind in kinds if kinds else kind & ERROR_BIT and kind != nbd.ERR_TLS_REQD
        demand(allowed, f"{name_of(kind)} came, not {' or '.join(map(name_of, kinds)) or 'an error'}")
    return Expectation(check)


def replies(option, check_all=lambda replies: None, last=(nbd.REP_ACK,)):
    """All replies to an option, the last of which is one of LAST (none: anything); CHECK_ALL([(type, data), ...]) looks at them."""
    def check(conversation):
        came = conversation.option_replies(option)
        demand(not last or came[-1][0] in last, f"{name_of(came[-1][0])} came")
        check_all(came)
    return Expectation(check)


def failed(option, check_all=lambda replies: None):
    """The same, and the last one is an error."""
    def check(came):
        demand(came[-1][0] & ERROR_BIT, f"{name_of(came[-1][0])} came, not an error")
        check_all(came)
    return replies(option, check, last=())


def remembered(option):
    """An ACK and what was told before, to compare with what comes later."""
    def check(conversation):
        came = conversation.option_replies(option)
        demand(came[-1][0] == nbd.REP_ACK, f"{name_of(came[-1][0])} came")
        conversation.remembered = sorted(came)
    return Expectation(check)


def same_as_before(option):
    def check(conversation):
        came = sorted(conversation.option_replies(option))
        before, now = (" ".join(f"{name_of(kind)}:{data.hex()}" for kind, data in told) for told in (conversation.remembered, came))
        demand(before == now, f"it told {before} before, and now {now}")
    return Expectation(check)


def informations(came):
    """{type: content} of the informations among an option's replies."""
    found = {}
    for kind, data in came:
        if kind == nbd.REP_INFO:
            demand(len(data) >= 2, f"an information of {len(data)} bytes")
            number, = struct.unpack(">H", data[:2])
            found.setdefault(number, data[2:])
    return found


def check_informed(came):
    """An export's size and flags are told, and what else is told is well-formed."""
    found = informations(came)
    demand(nbd.INFO_EXPORT in found, "INFO_EXPORT did not come")
    demand(len(found[nbd.INFO_EXPORT]) == 10, f"INFO_EXPORT has {2 + len(found[nbd.INFO_EXPORT])} bytes, not 12")
    for number in (nbd.INFO_NAME, nbd.INFO_DESCRIPTION):
        check_string(found.get(number, b""), f"the information {number}")
    sizes = found.get(nbd.INFO_BLOCK_SIZE)
    demand(sizes is None or len(sizes) == 12, "INFO_BLOCK_SIZE doesn't have 14 bytes")
    demand(all(kind == nbd.REP_INFO for kind, _ in came[:-1]), f"{[name_of(kind) for kind, _ in came]} came")


def informed(option):
    """Informations of an export, and ACK."""
    return replies(option, check_informed)


def check_listed(came):
    """Exports, and ACK."""
    for kind, data in came[:-1]:
        demand(kind == nbd.REP_SERVER, f"{name_of(kind)} came")
        demand(len(data) >= 4, f"a SERVER of {len(data)} bytes")
        length, = struct.unpack(">I", data[:4])
        demand(length <= len(data) - 4, f"a name of {length} bytes in a SERVER of {len(data)}")
        check_string(data[4:4 + length], "the name of an export")
        check_string(data[4 + length:], "the description of an export")


def contexts(option, *names):
    """These metadata contexts and no others, in any order, and ACK."""
    def check_all(came):
        demand(all(kind == nbd.REP_META_CONTEXT for kind, _ in came[:-1]), f"{[name_of(kind) for kind, _ in came]} came")
        found = sorted(data[4:] for _, data in came[:-1])
        demand(found == sorted(names), f"the contexts {found} came")
    return replies(option, check_all)


def contexts_with(option, name):
    """This metadata context, perhaps among others, and ACK."""
    def check_all(came):
        demand(name in [data[4:] for kind, data in came if kind == nbd.REP_META_CONTEXT], f"{name} did not come")
    return replies(option, check_all)


# --- Replies to requests


def error_name(number):
    return ERRORS.get(number, f"the error {number}, which the specification doesn't have,") if number else "success"


def _of_reply(check):
    return Expectation(check, of_reply=True)


def success(*errors):
    """Or one of these errors."""
    return _of_reply(lambda answer: demand(answer.error in (0, *errors), f"{error_name(answer.error)} came"))


def fails(*errors):
    """With one of these errors or, for none, any that the specification has."""
    return _of_reply(lambda answer: demand(answer.error in (errors or ERRORS), f"{error_name(answer.error)} came"))


def taken():
    """Success; with an error there is nothing more to see, for this may be refused."""
    def check(answer):
        if answer.error in ERRORS:
            raise Over
        demand(answer.error == 0, f"{error_name(answer.error)} came")
    return _of_reply(check)


def answered():
    """In whatever way."""
    return success(*ERRORS)


def read(expected):
    """A read of exactly these bytes."""
    def check(answer):
        demand(answer.error == 0, f"{error_name(answer.error)} came")
        demand(answer.data == expected, "other bytes were read than were there")
    return _of_reply(check)


def read_either(*possible):
    """A read of either of these."""
    def check(answer):
        demand(answer.error == 0, f"{error_name(answer.error)} came")
        demand(answer.data in possible, "bytes were read that nobody has written")
    return _of_reply(check)


def status(check_extents=lambda extents: None):
    """A block status with exactly one chunk, that of the one context that was selected; CHECK_EXTENTS([(length, flags), ...])."""
    def check(answer):
        demand(answer.error == 0, f"{error_name(answer.error)} came")
        demand(len(answer.status) == 1, f"{len(answer.status)} contexts in the reply, of one that was selected")
        (extents,) = answer.status.values()
        check_extents(extents)
    return _of_reply(check)


# --- Sessions


class Step:
    """
    SENT, bytes or a request, on connection number ON; then EXPECTED, bytes, an Expectation or None. What is sent before and
    behind one that stands ALONE is never joined with it; what JOINS is always sent together with the step before.
    """

    def __init__(self, sent, expected, on=0, alone=False, joins=False):
        self.sent, self.expected, self.on, self.alone, self.joins = sent, expected, on, alone, joins


class Session:
    """
    STEPS after a beginning: "connected", "greeted", "haggling" (flags were sent, and TLS is up where it is used), "clear" (the
    same, but never TLS), "simple" or "structured" (transmission, by kind of replies) or "status" (the latter with
    base:allocation). STRUCTURED: its own steps ask for structured replies.
    """

    def __init__(self, beginning, steps, flags=nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, connections=1, structured=False):
        self.beginning, self.flags, self.connections = beginning, flags, connections
        self.structured = structured or beginning in ("structured", "status")
        self.steps = []
        for step in steps:
            self.steps += step if isinstance(step, list) else [step if isinstance(step, Step) else Step(*step)]


def connected(*steps):
    return Session("connected", steps)


def greeted(*steps):
    return Session("greeted", steps)


def haggling(*steps, **keywords):
    return Session("haggling", steps, **keywords)


def clear(*steps, **keywords):
    return Session("clear", steps, **keywords)


def simple(*steps, **keywords):
    return Session("simple", steps, **keywords)


def structured(*steps):
    return Session("structured", steps)


def with_status(*steps):
    return Session("status", steps)


def second(sent, expected):
    """On the second of two connections."""
    return Step(sent, expected, on=1)


def together(first, *others):
    """In one piece, before the first answer is waited for."""
    return [Step(*first), *(Step(*step, joins=True) for step in others)]


class Rule:
    """
    One line of the table: NAME; how much it binds; the specification's SECTION; what it SAYS; and the SESSIONS that show whether a
    server keeps it. It is held against a server where IF_OFFERED.
    """

    def __init__(self, name, level, section, says, *sessions, if_offered=True):
        self.name, self.level, self.section, self.says, self.sessions = name, level, section, says, sessions
        self.offered = bool(if_offered)

    @property
    def writes(self):
        return any(isinstance(step.sent, request) and step.sent.command in (nbd.CMD_WRITE, nbd.CMD_TRIM, nbd.CMD_WRITE_ZEROES)
                   for session in self.sessions for step in session.steps)
