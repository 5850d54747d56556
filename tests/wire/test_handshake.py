# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the handshake up to the choice of an export: greeting, client flags, options, ABORT and EXPORT_NAME."""

import itertools
import struct

import pytest

from baseline import leaves_nothing
from shared import own_daemon
from wire_client import (ERR_INVALID, ERR_POLICY, ERR_UNKNOWN, ERR_UNSUP, FIXED_NEWSTYLE, IHAVEOPT, NBDMAGIC, NO_ZEROES, OPT_ABORT,
                         OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST,
                         OPT_PEEK_EXPORT, OPT_SET_META_CONTEXT, OPT_STARTTLS, OPT_STRUCTURED_REPLY, REP_ACK, Wire, go_data,
                         option)

UNKNOWN = [OPT_PEEK_EXPORT, 0, 12, 0x7654321, 0xFFFFFFFF]


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("first=ram:1M", "second=ram:2M,readonly") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture
def wire(daemon):
    with Wire(daemon) as connection:
        yield connection


def usable(wire):
    """Whether the connection is still in step: an export can be chosen and read."""
    assert wire.option(OPT_GO, go_data(b"first"))[-1][0] == REP_ACK
    return wire.read(0, 512) == bytes(512)


def test_greeting_offers_fixed_newstyle_and_no_zeroes(wire):
    assert wire.greeting == NBDMAGIC + IHAVEOPT + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES)


@pytest.mark.parametrize("flags", [0, FIXED_NEWSTYLE, NO_ZEROES, FIXED_NEWSTYLE | NO_ZEROES])
def test_offered_client_flags_are_accepted(wire, flags):
    wire.flags(flags)
    assert usable(wire)


@pytest.mark.parametrize("flags", [4, 8, 0x80000003, 0xFFFFFFFF, 0x00010001, 0x01000000])
def test_unknown_client_flag_ends_the_connection(wire, flags):
    wire.flags(flags)
    assert wire.closed()


@pytest.mark.parametrize("number", UNKNOWN)
@pytest.mark.parametrize("length", [0, 1, 100, 4096, 4097, 65536, 1 << 20])
def test_unknown_option_gets_unsup_and_stays_in_step(wire, number, length):
    wire.flags()
    # The data looks like options, for a server that forgets to skip it.
    data = (option(OPT_ABORT) * (length // 16 + 1))[:length]
    replies = wire.option(number, data)
    assert [kind for kind, _ in replies] == [ERR_UNSUP]
    assert usable(wire)


@pytest.mark.parametrize("number, data, kind", [
    (0x7654321, b"", ERR_UNSUP),
    (OPT_STARTTLS, b"", ERR_POLICY),
    (OPT_LIST, b"x", ERR_INVALID),
    (OPT_INFO, b"x", ERR_INVALID),
    (OPT_GO, go_data(b"missing"), ERR_UNKNOWN),
], ids=["unsupported", "starttls", "list", "info", "go"])
def test_option_errors_carry_human_text(wire, number, data, kind):
    wire.flags()
    [(answer, text)] = wire.option(number, data)
    assert answer == kind
    assert text.decode("utf-8").isprintable() and 5 < len(text) <= 4096


@pytest.mark.parametrize("data", [b"", b"goodbye", b"\0" * 4096, option(OPT_LIST) * 512 + b"!", bytes(1 << 20)],
                         ids=["empty", "text", "long", "8193 bytes that look like options", "1 MiB"])
def test_abort_is_acknowledged_with_any_payload_then_closed(wire, data):
    wire.flags()
    assert wire.option(OPT_ABORT, data) == [(REP_ACK, b"")]
    assert wire.closed()


def test_abort_of_a_client_that_does_not_wait(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        wire.send(option(OPT_ABORT))
    with Wire(daemon) as wire:
        wire.flags()
        assert usable(wire)


def test_export_name_with_no_zeroes_is_ten_bytes(wire):
    wire.flags(FIXED_NEWSTYLE | NO_ZEROES)
    wire.send(option(OPT_EXPORT_NAME, b"first"))
    assert struct.unpack(">QH", wire.receive(10))[0] == 1 << 20
    assert wire.read(0, 16) == bytes(16)


@pytest.mark.parametrize("flags", [0, FIXED_NEWSTYLE])
def test_export_name_without_no_zeroes_has_124_zeroes_more(wire, flags):
    wire.flags(flags)
    wire.send(option(OPT_EXPORT_NAME, b"first"))
    assert struct.unpack(">QH", wire.receive(10))[0] == 1 << 20
    assert wire.receive(124) == bytes(124)
    assert wire.read(0, 16) == bytes(16)


def test_go_has_no_zeroes_even_without_no_zeroes(wire):
    wire.go(b"first", flags=FIXED_NEWSTYLE)
    # Whatever follows the ACK is the first reply.
    assert wire.read(0, 16) == bytes(16)


@pytest.mark.parametrize("name", [b"missing", b"firs", b"first ", b"FIRST", b"first\0"])
def test_export_name_that_does_not_exist_ends_the_connection(wire, name):
    wire.flags()
    wire.send(option(OPT_EXPORT_NAME, name))
    assert wire.closed()


def test_empty_export_name_means_the_first(wire):
    wire.flags()
    wire.send(option(OPT_EXPORT_NAME))
    assert struct.unpack(">QH", wire.receive(10))[0] == 1 << 20


def test_export_name_tells_the_same_as_go(daemon):
    answers = []
    for name in b"first", b"second":
        with Wire(daemon) as old, Wire(daemon) as new:
            old.flags()
            old.send(option(OPT_EXPORT_NAME, name))
            new.go(name)
            answers.append(struct.unpack(">QH", old.receive(10)))
            assert answers[-1] == (new.size, new.transmission_flags)
    assert answers[0] != answers[1]


def test_options_of_one_segment_are_answered_in_order(wire):
    wire.flags()
    numbers = [OPT_LIST, 77, OPT_INFO, OPT_STRUCTURED_REPLY, OPT_LIST]
    wire.send(b"".join(option(n, go_data(b"first") if n == OPT_INFO else b"") for n in numbers))
    for number in numbers:
        wire.option_replies(number)
    assert usable(wire)


STEPS = {
    "list": option(OPT_LIST), "list with data": option(OPT_LIST, b"data"), "info": option(OPT_INFO, go_data(b"second")),
    "info unknown": option(OPT_INFO, go_data(b"nothere")), "go unknown": option(OPT_GO, go_data(b"nothere")),
    "go short": option(OPT_GO, b"\0\0\0"), "starttls": option(OPT_STARTTLS), "structured": option(OPT_STRUCTURED_REPLY),
    "set meta": option(OPT_SET_META_CONTEXT, go_data(b"second")), "unknown": option(0x7654321, b"12345"),
}


@pytest.mark.parametrize("first", STEPS)
def test_options_in_any_order_end_in_a_working_session(daemon, first):
    for rest in itertools.product(STEPS.values(), repeat=2):
        with Wire(daemon) as wire:
            wire.flags()
            wire.send(STEPS[first] + b"".join(rest) + option(OPT_GO, go_data(b"first")))
            for sent in (STEPS[first], *rest):
                wire.option_replies(struct.unpack(">I", sent[8:12])[0])
            assert wire.option_replies(OPT_GO)[-1][0] == REP_ACK
            assert wire.write(0, bytes(8)) == 0
