# SPDX-License-Identifier: BSD-2-Clause
"""Holds a server against rules: plays their sessions and says which were kept."""

import contextlib
import ssl

import wire_client as nbd
from rules.channel import Closed, Over, Violation
from rules.conversation import Conversation, Request
from rules.vocabulary import Expectation, Step, be32, contexts_with, informed, reply

ALLOCATION = b"base:allocation"
KEPT, BROKEN, ABSENT, UNTRIED = "yes", "no", "-", "?"


def check_greeting(conversation):
    came = conversation.channel.receive(18)
    if came[:16] != nbd.NBDMAGIC + nbd.IHAVEOPT:
        raise Violation(f"the greeting was {came.hex()}")


def upgrade(conversation):
    """What follows an ACK to STARTTLS."""
    try:
        conversation.channel.upgrade(conversation.server.context, conversation.server.host)
    except (ssl.SSLError, Closed) as error:
        raise Violation(f"no TLS handshake: {error or 'it closed the connection'}") from error


GREETING = Expectation(check_greeting)
UPGRADE = Step(b"", Expectation(upgrade), alone=True)


def beginning(session, export):
    """The steps before a session's own."""
    if session.beginning == "connected":
        return []
    steps = [Step(b"", GREETING)]
    if session.beginning == "greeted":
        return steps
    steps.append(Step(be32(session.flags), None))
    if session.beginning == "clear":
        return steps
    if export.inside_tls:
        steps += [Step(nbd.option(nbd.OPT_STARTTLS), reply(nbd.OPT_STARTTLS, nbd.REP_ACK)), UPGRADE]
    if session.beginning in ("structured", "status"):
        steps.append(Step(nbd.option(nbd.OPT_STRUCTURED_REPLY), reply(nbd.OPT_STRUCTURED_REPLY, nbd.REP_ACK)))
    if session.beginning == "status":
        steps.append(Step(nbd.option(nbd.OPT_SET_META_CONTEXT, nbd.context_data(export.name, [ALLOCATION])),
                          contexts_with(nbd.OPT_SET_META_CONTEXT, ALLOCATION)))
    if session.beginning != "haggling":
        steps.append(Step(nbd.option(nbd.OPT_GO, nbd.go_data(export.name, [nbd.INFO_BLOCK_SIZE])), informed(nbd.OPT_GO)))
    return steps


CHANGES = (nbd.CMD_WRITE, nbd.CMD_TRIM, nbd.CMD_WRITE_ZEROES)


def depends(later, earlier):
    """Whether it matters which request is done first: a server may take them in any order until it has answered."""
    if not (isinstance(later, Request) and isinstance(earlier, Request)):
        return False
    if later.command == nbd.CMD_FLUSH:
        return earlier.command in CHANGES
    overlap = later.offset < earlier.offset + earlier.length and earlier.offset < later.offset + later.length
    return overlap and (later.command in CHANGES or earlier.command in CHANGES)


def runs(steps, joined):
    """Steps whose bytes are sent together: those of each or, when JOINED, of as many as can be before an answer is needed."""
    run = []
    for step in steps:
        if run and not step.joins and (not joined or step.alone or run[-1].alone or step.on != run[-1].on or
                                       any(depends(step.sent, before.sent) for before in run)):
            yield run
            run = []
        run.append(step)
    if run:
        yield run


def meet(conversation, step, cookie):
    """Waits for what a step expects; whether the session is over, as it may be."""
    expected = step.expected
    if expected is None:
        return False
    if isinstance(expected, bytes):
        conversation.exactly(expected)
        return False
    try:
        expected.check(conversation.reply(cookie) if expected.of_reply else conversation)
    except Over:
        return True
    except Closed as error:
        if expected.may_close:
            return True
        raise Violation("it closed the connection") from error
    return False


def play_run(conversation, run):
    """Sends, and waits for what is expected; whether the session is over."""
    data, cookies = b"", []
    for step in run:
        cookie, sent = conversation.register(step.sent) if isinstance(step.sent, Request) else (None, step.sent)
        data += sent
        cookies.append(cookie)
    if data:
        conversation.channel.send(data)
    return any(meet(conversation, step, cookie) for step, cookie in zip(run, cookies))


def play(server, export, session):
    """One session; a Violation when the server doesn't keep to it."""
    with contextlib.ExitStack() as stack:
        conversations = []
        for _ in range(session.connections):
            channel = stack.enter_context(contextlib.closing(server.connect()))
            conversations.append(Conversation(channel, session.structured, server))
        for conversation in conversations[1:]:
            for run in runs(beginning(session, export), server.joined):
                play_run(conversation, run)
        for run in runs(beginning(session, export) + session.steps, server.joined):
            if play_run(conversations[run[0].on], run):
                return


def hold(server, export, rule, may_write=True):
    """(verdict, what was seen when it is BROKEN)."""
    if not rule.offered:
        return ABSENT, ""
    if rule.writes and not may_write:
        return UNTRIED, ""
    for session in rule.sessions:
        try:
            play(server, export, session)
        except (Violation, OSError, ssl.SSLError) as error:
            return BROKEN, str(error) or type(error).__name__
    return KEPT, ""
