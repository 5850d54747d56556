# SPDX-License-Identifier: BSD-2-Clause
"""Structured replies: who negotiated them gets every READ's answer in chunks, and errors with a text for people."""

import os
import struct

import pytest

from baseline import leaves_nothing
from shared import own_daemon, sparse_file
from wire_client import (CMD_BLOCK_STATUS, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, ENOSPC, EPERM,
                         ERR_INVALID, FLAG_DF, FLAG_FUA, FLAG_REQ_ONE, INFO_EXPORT, OPT_EXPORT_NAME, OPT_GO, OPT_INFO,
                         OPT_STRUCTURED_REPLY, REP_ACK, REP_INFO, REPLY_DONE, SEND_DF, TYPE_ERROR, TYPE_NONE, TYPE_OFFSET_DATA,
                         TYPE_OFFSET_HOLE, Wire, contents, go_data, option, request)

MIB = 1 << 20
QUARTER = MIB // 4
SIZE = 96 * MIB


@pytest.fixture(scope="module")
def image(scratch):
    return sparse_file(scratch, SIZE)


@pytest.fixture(scope="module")
def daemon(image):
    with own_daemon(f"ram=ram:{SIZE}", "null=null:1T", "file=" + image, "readable=ram:1M,readonly", "sparse=ram:4M") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture(params=["ram", "null", "file"])
def wire(daemon, request):
    with Wire(daemon) as connection:
        yield connection.go(request.param.encode(), structured=True)


@pytest.fixture
def ram(daemon):
    with Wire(daemon) as connection:
        yield connection.go(b"ram", structured=True)


def read(wire, offset, length, flags=0, cookie=7):
    chunks = wire.read_chunks(offset, length, flags, cookie)
    found, data = contents(chunks)
    assert (found, len(data)) == (offset, length)
    if flags & FLAG_DF:
        assert [kind for kind, _ in chunks] == [TYPE_OFFSET_DATA]
    return data


def hole(offset, length):
    return TYPE_OFFSET_HOLE, struct.pack(">QI", offset, length)


def data_at(offset, data):
    return TYPE_OFFSET_DATA, struct.pack(">Q", offset) + data


def error(wire, message):
    """The error and its text of the one chunk that answers MESSAGE."""
    wire.send(message)
    flags, kind, cookie, payload = wire.chunk()
    assert (flags, kind, cookie) == (REPLY_DONE, TYPE_ERROR, 1)
    number, length = struct.unpack(">IH", payload[:6])
    assert len(payload) == 6 + length
    return number, payload[6:].decode()


def test_option_with_data_is_invalid_and_negotiates_nothing(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        for length in (1, 4096, 100000):
            assert wire.option(OPT_STRUCTURED_REPLY, bytes(length))[0][0] == ERR_INVALID
        assert wire.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
        assert wire.read(0, 512) == bytes(512)


def test_option_may_be_repeated(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        for _ in range(3):
            assert wire.option(OPT_STRUCTURED_REPLY) == [(REP_ACK, b"")]
        assert wire.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
        read(wire, 0, 512)


@pytest.mark.parametrize("name", [b"ram", b"readable"])
def test_df_is_offered_to_those_that_negotiated_structured_replies(daemon, name):
    for structured in (False, True):
        with Wire(daemon) as wire:
            assert bool(wire.go(name, structured=structured).transmission_flags & SEND_DF) is structured


def test_info_tells_df_as_it_is_negotiated(daemon):
    def flags_told(wire):
        told = [data for kind, data in wire.option(OPT_INFO, go_data(b"ram")) if kind == REP_INFO]
        return next(struct.unpack(">HQH", data)[2] for data in told if struct.unpack(">H", data[:2]) == (INFO_EXPORT,))

    with Wire(daemon) as wire:
        wire.flags()
        assert not flags_told(wire) & SEND_DF
        wire.option(OPT_STRUCTURED_REPLY)
        assert flags_told(wire) & SEND_DF


def test_export_name_keeps_what_was_negotiated(daemon):
    with Wire(daemon) as wire:
        wire.flags()
        wire.option(OPT_STRUCTURED_REPLY)
        wire.send(option(OPT_EXPORT_NAME, b"ram"))
        assert struct.unpack(">QH", wire.receive(10))[1] & SEND_DF
        read(wire, 0, 512)


@pytest.mark.parametrize("length", [1, 511, 512, 4096, 65536, 65537, MIB, 32 * MIB, 64 * MIB])
@pytest.mark.parametrize("flags", [0, FLAG_DF, FLAG_DF | FLAG_FUA])
def test_read_of_each_length(wire, length, flags):
    assert read(wire, 4096, length, flags) == bytes(length)


@pytest.fixture
def sparse(daemon):
    """A RAM disk whose second and fourth 256 KiB hold data."""
    with Wire(daemon) as wire:
        wire.go(b"sparse", structured=True)
        for quarter in (1, 3):
            assert wire.write(quarter * QUARTER, b"d" * QUARTER) == 0
        yield wire


@pytest.mark.parametrize("offset, length, expected", [
    (0, MIB, [hole(0, QUARTER), data_at(QUARTER, b"d" * QUARTER), hole(2 * QUARTER, QUARTER), data_at(3 * QUARTER, b"d" * QUARTER)]),
    (1000, 1, [hole(1000, 1)]),
    (QUARTER - 1, 2, [hole(QUARTER - 1, 1), data_at(QUARTER, b"d")]),
    (2 * QUARTER - 512, 1024, [data_at(2 * QUARTER - 512, b"d" * 512), hole(2 * QUARTER, 512)]),
    (QUARTER, QUARTER, [data_at(QUARTER, b"d" * QUARTER)]),
    (MIB, 3 * MIB, [hole(MIB, 3 * MIB)])])
def test_holes_are_not_sent(sparse, offset, length, expected):
    assert sparse.read_chunks(offset, length) == expected


def test_holes_are_sent_to_those_that_cannot_do_without(daemon, sparse):
    """Don't fragment, and simple replies."""
    expected = (bytes(QUARTER) + b"d" * QUARTER) * 2 + bytes(3 * MIB)
    assert sparse.read_chunks(0, 4 * MIB, FLAG_DF) == [data_at(0, expected)]
    assert sparse.read_chunks(5, 512, FLAG_DF) == [data_at(5, bytes(512))]
    with Wire(daemon) as wire:
        wire.go(b"sparse")
        assert wire.read(0, 4 * MIB) == expected
        assert wire.read(QUARTER - 1, 2) == b"\0d"


def test_replies_with_and_without_holes_in_one_batch(sparse):
    """Each is whole before the next one's first byte."""
    requests = [(cookie * 4096 * 7, 4096 * (cookie % 30 + 1)) for cookie in range(60)]
    sparse.send(b"".join(request(CMD_READ, offset, length, cookie=cookie) for cookie, (offset, length) in enumerate(requests)))
    image = (bytes(QUARTER) + b"d" * QUARTER) * 2 + bytes(3 * MIB)
    for _ in requests:
        cookie, chunks = sparse.chunks()
        offset, length = requests[cookie]
        assert contents(chunks) == (offset, image[offset:offset + length])


def test_read_has_what_was_written(daemon):
    data = os.urandom(3 * MIB)
    for name in (b"ram", b"file"):
        with Wire(daemon) as wire:
            wire.go(name, structured=True)
            assert wire.write(MIB + 13, data) == 0
            assert read(wire, MIB + 13, len(data)) == data
            assert read(wire, MIB + 1000, 70000) == data[987:70987]


def test_read_of_nothing_is_a_chunk_without_payload(wire):
    wire.send(request(CMD_READ, 512, 0, cookie=3))
    assert wire.chunk() == (REPLY_DONE, TYPE_NONE, 3, b"")
    read(wire, 0, 1)


def test_other_commands_succeed_with_a_simple_reply(ram):
    for command, length in ((CMD_WRITE, 512), (CMD_FLUSH, 0), (CMD_TRIM, 4096), (CMD_WRITE_ZEROES, 4096)):
        assert ram.command(command, 0, length, payload=bytes(length) if command == CMD_WRITE else b"")[0] == 0


@pytest.mark.parametrize("offset, length, flags", [
    (SIZE, 1, 0), (SIZE - 1, 2, 0), (2**64 - 1, 1, 0), (0, 64 * MIB + 1, 0), (0, 2**32 - 1, 0), (0, 512, FLAG_REQ_ONE),
    (0, 512, 1 << 15)])
def test_refused_read_is_an_error_chunk(ram, offset, length, flags):
    number, text = error(ram, request(CMD_READ, offset, length, flags))
    assert number == EINVAL
    assert text
    read(ram, 0, 512)


@pytest.mark.parametrize("message, number", [
    (request(CMD_WRITE, SIZE, 512, payload=bytes(512)), ENOSPC), (request(CMD_TRIM, SIZE, 512), EINVAL),
    (request(CMD_WRITE, 0, 512, FLAG_DF, payload=bytes(512)), EINVAL), (request(CMD_FLUSH, 1, 0), EINVAL),
    (request(CMD_BLOCK_STATUS, 0, 512), EINVAL), (request(99), EINVAL)])
def test_refusal_has_a_text(ram, message, number):
    found, text = error(ram, message)
    assert found == number
    assert text
    read(ram, 0, 512)


def test_refusal_on_a_read_only_export(daemon):
    with Wire(daemon) as wire:
        wire.go(b"readable", structured=True)
        assert error(wire, request(CMD_WRITE, 0, 512, payload=bytes(512))) == (EPERM, "the export can only be read")


def test_failed_read_is_an_error_chunk_and_the_session_goes_on(daemon, image):
    with Wire(daemon) as wire:
        wire.go(b"file", structured=True)
        os.truncate(image, SIZE // 2)
        try:
            assert error(wire, request(CMD_READ, SIZE // 2, 4096)) == (EIO, "the disk has failed to do it")
            assert len(read(wire, 0, 4096)) == 4096
        finally:
            os.truncate(image, SIZE)


def test_replies_of_a_batch_are_told_apart_by_their_cookies(ram):
    messages = {}
    for cookie in range(200):
        kind = cookie % 3
        messages[cookie] = (request(CMD_READ, cookie * 512, 512, cookie=cookie) if kind == 0 else
                            request(CMD_READ, SIZE, 512, cookie=cookie) if kind == 1 else request(CMD_READ, 0, 0, cookie=cookie))
    ram.send(b"".join(messages.values()))
    found = {}
    for _ in messages:
        flags, kind, cookie, _ = ram.chunk()
        assert flags == REPLY_DONE
        found[cookie] = kind
    assert found == {cookie: (TYPE_OFFSET_HOLE, TYPE_ERROR, TYPE_NONE)[cookie % 3] for cookie in messages}


def test_simple_replies_stay_for_those_that_did_not_ask(daemon):
    with Wire(daemon) as wire:
        wire.go(b"ram")
        assert wire.command(CMD_READ, SIZE, 512) == (EINVAL, b"")
        assert wire.command(CMD_READ, 0, 512, FLAG_DF) == (EINVAL, b"")
        assert len(wire.read(0, 512)) == 512
