# SPDX-License-Identifier: BSD-2-Clause
"""Extended headers (the specification's branch extension-ext-header): requests and replies with lengths of 64 bits."""

import struct

import pytest

from baseline import leaves_nothing
from shared import MIB, noise, own_daemon
from wire_client import (CMD_BLOCK_STATUS, CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, ENOSPC, EPERM,
                         ERR_EXT_HEADER_REQD, ERR_INVALID, FLAG_DF, FLAG_FUA, FLAG_NO_HOLE, FLAG_PAYLOAD_LEN, FLAG_REQ_ONE,
                         OPT_EXPORT_NAME, OPT_EXTENDED_HEADERS, OPT_GO, OPT_STRUCTURED_REPLY, REP_ACK, REPLY_DONE, SEND_DF,
                         SEND_STATUS_PAYLOAD, TYPE_BLOCK_STATUS_EXT, TYPE_ERROR, TYPE_NONE, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE, Wire,
                         contents, extended_request, go_data, option, request)

EXBI = 1 << 60
SIZE = 96 * MIB
QUARTER = MIB // 4
ALLOCATION = b"base:allocation"
HOLE_ZERO = 3


@pytest.fixture(scope="module")
def daemon():
    with own_daemon(f"ram=ram:{SIZE}", f"null=null:{4 * EXBI}", "readable=ram:1M,readonly") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


def connect(daemon, name, contexts=()):
    return Wire(daemon).go(name, extended=True, contexts=contexts)


@pytest.fixture
def ram(daemon):
    with connect(daemon, b"ram", [ALLOCATION]) as wire:
        yield wire


@pytest.fixture
def null(daemon):
    with connect(daemon, b"null", [ALLOCATION]) as wire:
        yield wire


def only_chunk(wire, offset, cookie=1):
    """(type, payload) of a reply that is one chunk."""
    flags, kind, answered, payload = wire.chunk()
    assert (flags, answered, wire.offset) == (REPLY_DONE, cookie, offset)
    return kind, payload


def refused(wire, message, offset):
    """The error that answers MESSAGE."""
    wire.send(message)
    kind, payload = only_chunk(wire, offset)
    assert kind == TYPE_ERROR
    error, length = struct.unpack(">IH", payload[:6])
    assert length and len(payload) == 6 + length
    return error


def test_option_with_data_is_invalid_and_negotiates_nothing(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        for length in (1, 4096, 100000):
            assert wire.option(OPT_EXTENDED_HEADERS, bytes(length))[0][0] == ERR_INVALID
        assert wire.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
        assert wire.read(0, 512) == bytes(512)


@pytest.mark.parametrize("structured", [False, True])
def test_structured_replies_come_before_or_not_at_all(daemon, structured):
    with Wire(daemon) as wire:
        wire.flags()
        if structured:
            assert wire.option(OPT_STRUCTURED_REPLY) == [(REP_ACK, b"")]
        assert wire.option(OPT_EXTENDED_HEADERS) == [(REP_ACK, b"")]
        assert wire.option(OPT_STRUCTURED_REPLY)[0][0] == ERR_EXT_HEADER_REQD
        assert wire.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
        assert wire.read(0, 512) == bytes(512)


def test_export_name_is_over(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        assert wire.option(OPT_EXTENDED_HEADERS) == [(REP_ACK, b"")]
        wire.send(option(OPT_EXPORT_NAME, b"ram"))
        assert wire.closed()


@pytest.mark.parametrize("contexts", [(), (ALLOCATION,), (b"unknown:context",)])
def test_what_is_offered(daemon, contexts):
    with connect(daemon, b"ram", contexts) as wire:
        assert wire.transmission_flags & SEND_DF
        assert bool(wire.transmission_flags & SEND_STATUS_PAYLOAD) is (contexts == (ALLOCATION,))
    with Wire(daemon).go(b"ram", structured=True, contexts=contexts) as wire:
        assert not wire.transmission_flags & SEND_STATUS_PAYLOAD


def test_every_success_is_a_chunk(ram):
    data = noise(4096)
    for command, offset, length, flags in ((CMD_WRITE, 8192, 4096, 0), (CMD_WRITE, 8192, 4096, FLAG_FUA), (CMD_FLUSH, 0, 0, 0),
                                           (CMD_TRIM, 1, 4096, FLAG_FUA), (CMD_WRITE_ZEROES, MIB, 4096, FLAG_NO_HOLE),
                                           (CMD_CACHE, 0, 4096, 0), (CMD_WRITE, 77, 0, 0), (CMD_READ, 78, 0, 0)):
        payload = data[:length] if command == CMD_WRITE else b""
        ram.send(extended_request(command, offset, length, flags, 5, payload))
        assert only_chunk(ram, offset, 5) == (TYPE_NONE, b"")
    ram.send(extended_request(CMD_READ, 8193, 100, cookie=9))
    assert only_chunk(ram, 8193, 9) == (TYPE_OFFSET_DATA, struct.pack(">Q", 8193) + data[1:101])


@pytest.mark.parametrize("length", [1, 511, 4096, 65537, 64 * MIB])
def test_data_of_each_length(ram, length):
    data = noise(length)
    assert ram.write(12345, data) == 0
    ram.send(extended_request(CMD_READ, 12345, length))
    assert contents(ram.chunks()[1]) == (12345, data)
    ram.send(extended_request(CMD_READ, 12345, length, FLAG_DF))
    assert only_chunk(ram, 12345) == (TYPE_OFFSET_DATA, struct.pack(">Q", 12345) + data)
    assert ram.command(CMD_WRITE_ZEROES, 0, SIZE)[0] == 0


def test_holes(ram):
    assert ram.write(QUARTER, b"d" * QUARTER) == 0
    ram.send(extended_request(CMD_READ, 0, MIB, cookie=4))
    assert ram.chunks() == (4, [(TYPE_OFFSET_HOLE, struct.pack(">QI", 0, QUARTER)),
                                (TYPE_OFFSET_DATA, struct.pack(">Q", QUARTER) + b"d" * QUARTER),
                                (TYPE_OFFSET_HOLE, struct.pack(">QI", 2 * QUARTER, 2 * QUARTER))])
    assert ram.status(0, SIZE)[1][:3] == [(QUARTER, HOLE_ZERO), (QUARTER, 0), (SIZE - 2 * QUARTER, HOLE_ZERO)]
    assert ram.command(CMD_WRITE_ZEROES, 0, SIZE)[0] == 0


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES, CMD_CACHE])
@pytest.mark.parametrize("offset, length", [(0, 4 * EXBI), (EXBI - 1, EXBI), (2**40 + 1, 2**32), (0, 2**32 - 1)])
def test_an_exbibyte_in_one_request(null, command, offset, length):
    null.send(extended_request(command, offset, length))
    kind, _ = only_chunk(null, offset)
    assert kind == TYPE_NONE


@pytest.mark.parametrize("flags", [0, FLAG_REQ_ONE])
@pytest.mark.parametrize("offset, length", [(0, 4 * EXBI), (512, 2**32), (EXBI, 2**33 + 1), (2 * EXBI - 1, 1)])
def test_status_of_an_exbibyte(null, offset, length, flags):
    assert null.status(offset, length, flags) == {1: [(length, HOLE_ZERO)]}


@pytest.mark.parametrize("message, offset, error", [
    (extended_request(CMD_READ, 0, 2**64 - 1), 0, EINVAL), (extended_request(CMD_READ, SIZE, 1), SIZE, EINVAL),
    (extended_request(CMD_READ, 2**64 - 1, 2), 2**64 - 1, EINVAL), (extended_request(CMD_READ, 0, 64 * MIB + 1), 0, EINVAL),
    (extended_request(CMD_TRIM, 1, 2**64 - 1), 1, EINVAL), (extended_request(CMD_WRITE_ZEROES, 1, 2**64 - 1), 1, ENOSPC),
    (extended_request(CMD_CACHE, 0, SIZE + 1), 0, EINVAL), (extended_request(CMD_BLOCK_STATUS, 0, 2**63), 0, EINVAL),
    (extended_request(CMD_BLOCK_STATUS, 0, 0), 0, EINVAL), (extended_request(CMD_WRITE, SIZE, 5, payload=b"12345"), SIZE, ENOSPC),
    (extended_request(CMD_FLUSH, 1, 0), 1, EINVAL), (extended_request(77, 3, 4), 3, EINVAL),
    # A WRITE without a payload, and payloads where none belongs.
    (struct.pack(">IHHQQQ", 0x21E41C71, 0, CMD_WRITE, 1, 0, 4096), 0, EINVAL),
    (extended_request(CMD_READ, 0, 512, FLAG_PAYLOAD_LEN, payload=bytes(512)), 0, EINVAL),
    (extended_request(CMD_TRIM, 0, 8, FLAG_PAYLOAD_LEN, payload=bytes(8)), 0, EINVAL),
    (extended_request(CMD_FLUSH, 0, 3, FLAG_PAYLOAD_LEN, payload=bytes(3)), 0, EINVAL),
    (extended_request(99, 7, 100000, FLAG_PAYLOAD_LEN, payload=bytes(100000)), 7, EINVAL)])
def test_refusals_are_chunks_and_nothing_is_lost(ram, message, offset, error):
    assert refused(ram, message, offset) == error
    ram.send(extended_request(CMD_READ, 0, 16, cookie=3))
    assert contents(ram.chunks()[1]) == (0, bytes(16))


def test_a_read_only_export(daemon):
    with connect(daemon, b"readable") as wire:
        assert refused(wire, extended_request(CMD_WRITE, 0, 512, payload=bytes(512)), 0) == EPERM
        assert wire.read(0, 512) == bytes(512)


@pytest.mark.parametrize("message", [
    request(CMD_READ, 0, 512) + bytes(64),
    extended_request(CMD_WRITE, 0, 64 * MIB + 1), extended_request(CMD_READ, 0, 2**64 - 1, FLAG_PAYLOAD_LEN),
    extended_request(CMD_READ, 0, 512, magic=0x25609513)])
def test_what_ends_the_session(ram, message):
    ram.send(message)
    assert ram.closed()


def test_an_extended_request_is_none_without(daemon):
    with Wire(daemon).go(b"ram", structured=True) as wire:
        wire.send(extended_request(CMD_READ, 0, 512))
        assert wire.closed()


def status_payload(length, *ids):
    return struct.pack(f">Q{len(ids)}I", length, *ids)


def ask(wire, offset, payload, flags=0):
    wire.send(extended_request(CMD_BLOCK_STATUS, offset, len(payload), FLAG_PAYLOAD_LEN | flags, payload=payload))


def test_status_of_chosen_contexts(ram):
    for flags in (0, FLAG_REQ_ONE, FLAG_FUA):
        ask(ram, MIB, status_payload(MIB, 1), flags)
        assert ram.status_answer() == {1: [(MIB, HOLE_ZERO)]}
    # The answer is for the length that is in the payload, and that may have 64 bits.
    ask(ram, 0, status_payload(SIZE, 1))
    assert ram.status_answer() == {1: [(SIZE, HOLE_ZERO)]}


@pytest.mark.parametrize("payload", [
    status_payload(MIB), status_payload(MIB, 2), status_payload(MIB, 0), status_payload(MIB, 1, 1), status_payload(MIB, 1, 2),
    status_payload(MIB, 33), status_payload(MIB, 2**32 - 1), status_payload(MIB, 1)[:-1], status_payload(MIB, 1) + b"x", bytes(7), b"",
    status_payload(MIB, *range(1, 100)), status_payload(0, 1), status_payload(2**64 - 1, 1), bytes(MIB)])
def test_status_of_nonsense(ram, payload):
    ask(ram, 0, payload)
    assert refused(ram, b"", 0) == EINVAL
    assert ram.status(0, 512) == {1: [(512, HOLE_ZERO)]}


def test_status_payload_without_contexts(daemon):
    with connect(daemon, b"ram") as wire:
        ask(wire, 0, status_payload(512, 1))
        assert refused(wire, b"", 0) == EINVAL
        assert refused(wire, extended_request(CMD_BLOCK_STATUS, 0, 512), 0) == EINVAL
        assert wire.read(0, 512) == bytes(512)


def test_everything_in_single_bytes(daemon):
    with connect(daemon, b"ram", [ALLOCATION]) as wire:
        message = (extended_request(CMD_WRITE, 3, 5, payload=b"hello") + extended_request(CMD_READ, 3, 5, cookie=2) +
                   extended_request(CMD_BLOCK_STATUS, 0, 12, FLAG_PAYLOAD_LEN, 3, status_payload(QUARTER, 1)) +
                   extended_request(CMD_WRITE_ZEROES, 0, QUARTER, cookie=4))
        for byte in message:
            wire.send(bytes([byte]))
        answers = dict(wire.chunks() for _ in range(4))
        assert answers[1] == answers[4] == [(TYPE_NONE, b"")]
        assert answers[2] == [(TYPE_OFFSET_DATA, struct.pack(">Q", 3) + b"hello")]
        assert answers[3] == [(TYPE_BLOCK_STATUS_EXT, struct.pack(">IIQQ", 1, 1, QUARTER, 0))]
