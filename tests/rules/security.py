# SPDX-License-Identifier: BSD-2-Clause
"""The rules of TLS, for a server that offers it and a client that has certificates."""

import ssl
import warnings

from rules.channel import Closed, Violation
from rules.chunks import demand
from rules.handshake import not_tls_required
from rules.play import ALLOCATION, UPGRADE
from rules.server import FORCEDTLS, NOBODY, NOTLS, SELECTIVETLS, client_context
from rules.vocabulary import (BLOCK, CLOSED, MUST, SHOULD, Expectation, Rule, Step, clear, error, fails, informed, or_closed,
                              replies, reply, request, success)
from wire_client import (CMD_BLOCK_STATUS, CMD_DISC, CMD_READ, ERR_INVALID, ERR_TLS_REQD, ERR_UNSUP, OPT_ABORT,
                         OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, OPT_SET_META_CONTEXT, OPT_STARTTLS,
                         OPT_STRUCTURED_REPLY, REP_ACK, context_data, go_data, option)

STARTTLS = (option(OPT_STARTTLS), reply(OPT_STARTTLS, REP_ACK))


def upgraded_to(version):
    """A TLS handshake of this version."""
    def upgrade(conversation):
        context = client_context(conversation.server.certificates)
        context.minimum_version = context.maximum_version = version
        try:
            conversation.channel.upgrade(context, conversation.server.host)
        except ssl.SSLError as failure:
            raise Violation(f"no TLS handshake of {version.name}: {failure}") from failure
    return Step(b"", Expectation(upgrade), alone=True)


def _no_old_version(conversation):
    context = client_context(conversation.server.certificates)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    try:
        conversation.channel.upgrade(context, conversation.server.host)
    except (ssl.SSLError, Closed):
        return
    raise Violation(f"it took {conversation.channel.tls.version()}")


def _nothing_of_before(conversation):
    """Behind STARTTLS there was an option in plain text: TLS fails now, or knows nothing of it."""
    try:
        conversation.channel.upgrade(conversation.server.context, conversation.server.host)
        conversation.channel.send(option(99))
        kind, _ = conversation.option_reply(99)
    except (ssl.SSLError, Closed):
        return
    demand(kind == ERR_UNSUP, f"a reply of type {kind:#x} came to an unknown option")


NOTHING_OF_BEFORE = Step(b"", Expectation(_nothing_of_before), alone=True)


def _ended(conversation):
    """With an alert or without."""
    while True:
        conversation.channel.more()


def _goodbye(conversation):
    try:
        data = conversation.channel.receive(1)
    except ssl.SSLError as failure:
        raise Violation(f"TLS wasn't shut down: {failure}") from failure
    except Closed as closed:
        if not conversation.channel.said_goodbye:
            raise Violation("it closed the connection without shutting down TLS") from closed
        return
    raise Violation(f"{data.hex()} came")


GOODBYE = Expectation(_goodbye)


def rules(e):
    has_tls = e.tls != NOTLS and e.server.context
    forced, selective = has_tls and e.tls == FORCEDTLS, has_tls and e.tls == SELECTIVETLS
    info, go = (option(number, go_data(e.name)) for number in (OPT_INFO, OPT_GO))
    some_read = (request(CMD_READ, 0, BLOCK), success())
    inside = (STARTTLS, UPGRADE)
    some_options = ((OPT_LIST, b""), (OPT_LIST, b"x"), (OPT_INFO, go_data(e.name)), (OPT_GO, go_data(e.name)),
                    (OPT_GO, go_data(NOBODY)), (OPT_STRUCTURED_REPLY, b""), (99, b""), (99, b"data"))

    return [
        Rule("starttls", MUST, "FORCEDTLS mode; SELECTIVETLS mode",
             "STARTTLS is acknowledged, the TLS handshake follows, and an export can be chosen and read inside.",
             clear(*inside, (go, informed(OPT_GO)), some_read), if_offered=has_tls),
        Rule("starttls-with-data", SHOULD, "NBD_OPT_STARTTLS",
             "STARTTLS with data gets ERR_INVALID; then it can succeed without, or the connection ends.",
             clear((option(OPT_STARTTLS, b"data"), error(OPT_STARTTLS, ERR_INVALID)),
                   (option(OPT_STARTTLS), or_closed(replies(OPT_STARTTLS))), UPGRADE, (info, informed(OPT_INFO))),
             if_offered=has_tls),
        Rule("second-starttls", MUST, "FORCEDTLS mode; SELECTIVETLS mode",
             "Inside TLS, STARTTLS gets ERR_INVALID.",
             clear(*inside, (option(OPT_STARTTLS), error(OPT_STARTTLS, ERR_INVALID)), (go, informed(OPT_GO)), some_read),
             if_offered=has_tls),
        Rule("no-tls-required-inside", MUST, "FORCEDTLS mode; SELECTIVETLS mode",
             "Inside TLS, nothing gets TLS_REQD.",
             *(clear(*inside, (option(number, data), replies(number, not_tls_required, last=()))) for number, data in some_options),
             if_offered=has_tls),
        Rule("failed-tls-handshake", MUST, "FORCEDTLS mode",
             "When the TLS handshake fails the session ends.",
             clear(STARTTLS, Step(b"\x16\x03\x01\x00\x05rubbish, not a handshake", Expectation(_ended, may_close=True), alone=True)),
             if_offered=has_tls),
        Rule("plain-text-behind-starttls", MUST, "FORCEDTLS mode",
             "An option in plain text behind STARTTLS, in one piece with it, is not answered inside TLS.",
             *(clear((option(OPT_STARTTLS) + behind, reply(OPT_STARTTLS, REP_ACK)), NOTHING_OF_BEFORE)
               for behind in (option(OPT_LIST), option(OPT_STRUCTURED_REPLY))), if_offered=has_tls),
        Rule("tls-1.2", MUST, "TLS versions",
             "TLS 1.2 is supported.",
             clear(STARTTLS, upgraded_to(ssl.TLSVersion.TLSv1_2), (go, informed(OPT_GO)), some_read), if_offered=has_tls),
        Rule("tls-1.3", SHOULD, "TLS versions",
             "TLS 1.3 is supported.",
             clear(STARTTLS, upgraded_to(ssl.TLSVersion.TLSv1_3), (go, informed(OPT_GO)), some_read), if_offered=has_tls),
        Rule("no-older-tls", SHOULD, "TLS versions",
             "Versions before 1.2 are not supported by default.",
             clear(STARTTLS, Step(b"", Expectation(_no_old_version), alone=True)), if_offered=has_tls),
        Rule("tls-goodbye", MUST, "Terminating the transmission phase",
             "On DISC TLS is shut down before the connection is closed.",
             clear(*inside, (go, informed(OPT_GO)), (request(CMD_DISC), GOODBYE)), if_offered=has_tls),

        Rule("tls-required-for-options", MUST, "FORCEDTLS mode",
             "Where TLS is required every other option gets TLS_REQD before, and STARTTLS can follow.",
             *(clear((option(number, data), error(number, ERR_TLS_REQD)), *inside, (info, informed(OPT_INFO)))
               for number, data in some_options),
             if_offered=forced),
        Rule("tls-required-for-export-name", MUST, "FORCEDTLS mode",
             "Where TLS is required EXPORT_NAME, which can't get an error, ends the connection before.",
             clear((option(OPT_EXPORT_NAME, e.name), CLOSED)), if_offered=forced),
        Rule("abort-where-tls-is-required", MUST, "NBD_OPT_ABORT; FORCEDTLS mode",
             "Where TLS is required ABORT gets a reply all the same: ACK or TLS_REQD, for the specification says both.",
             clear((option(OPT_ABORT), replies(OPT_ABORT, last=(REP_ACK, ERR_TLS_REQD)))), if_offered=forced),

        Rule("starttls-forgets-structured-replies", MUST, "NBD_OPT_STARTTLS",
             "Structured replies that were negotiated before STARTTLS are forgotten.",
             clear((option(OPT_STRUCTURED_REPLY), reply(OPT_STRUCTURED_REPLY, REP_ACK)), *inside, (go, informed(OPT_GO)), some_read),
             if_offered=selective and e.structured),
        Rule("starttls-forgets-contexts", MUST, "NBD_OPT_STARTTLS",
             "Metadata contexts that were selected before STARTTLS are forgotten: no block status comes.",
             clear((option(OPT_STRUCTURED_REPLY), reply(OPT_STRUCTURED_REPLY, REP_ACK)),
                   (option(OPT_SET_META_CONTEXT, context_data(e.name, [ALLOCATION])), replies(OPT_SET_META_CONTEXT)), *inside,
                   (option(OPT_STRUCTURED_REPLY), reply(OPT_STRUCTURED_REPLY, REP_ACK)), (go, informed(OPT_GO)),
                   (request(CMD_BLOCK_STATUS, 0, BLOCK), fails()), some_read, structured=True),
             if_offered=selective and e.has_allocation),
        Rule("tls-optional", MUST, "SELECTIVETLS mode",
             "Where TLS is optional only INFO, GO and EXPORT_NAME may say that it is required.",
             *(clear((option(number, data), replies(number, not_tls_required, last=()))) for number, data in
               ((OPT_LIST, b""), (OPT_LIST, b"x"), (OPT_STRUCTURED_REPLY, b""), (99, b""))), if_offered=selective),
        Rule("tls-only-export", MUST, "SELECTIVETLS mode",
             "INFO and GO of an export for TLS alone get TLS_REQD outside, and no information; inside it can be chosen.",
             *(clear((option(number, go_data(e.secret)), error(number, ERR_TLS_REQD)), (info, informed(OPT_INFO)))
               for number in (OPT_INFO, OPT_GO)),
             clear(*inside, (option(OPT_GO, go_data(e.secret)), informed(OPT_GO)), some_read), if_offered=selective and e.secret),
        Rule("tls-only-export-name", MUST, "SELECTIVETLS mode",
             "EXPORT_NAME of an export for TLS alone ends the connection outside.",
             clear((option(OPT_EXPORT_NAME, e.secret), CLOSED)), if_offered=selective and e.secret),
    ]
