# SPDX-License-Identifier: BSD-2-Clause
"""Bytes in the handshake that no client should send: each has one consequence, and no other client notices."""

import struct

import pytest

from baseline import leaves_nothing
from daemon import wait_for
from shared import KIB, MIB, SANITIZED, harmless, noise, own_daemon
from wire_client import (ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, ERR_UNSUP, IHAVEOPT, NBDMAGIC, OPT_EXPORT_NAME, OPT_GO,
                         OPT_INFO, OPT_LIST, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_STARTTLS, OPT_STRUCTURED_REPLY, REP_ACK,
                         Closed, Wire, context_data, go_data, option)

MOST_SKIPPED = MIB
MOST_KNOWN = 8 * KIB
MOST_QUERIES = 64 * KIB
MOST_OPTIONS = 1024


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("a=ram:1M", tcp=True) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture
def wire(daemon):
    with harmless(daemon), Wire(daemon) as connection:
        connection.flags()
        yield connection


def usable(wire):
    return wire.option(OPT_GO, go_data(b"a"))[-1][0] == REP_ACK


@pytest.mark.parametrize("bit", range(64))
def test_wrong_option_magic_ends_the_connection(daemon, bit):
    magic = struct.pack(">Q", struct.unpack(">Q", IHAVEOPT)[0] ^ 1 << bit)
    with Wire(daemon) as wire:
        wire.flags()
        wire.send(magic + struct.pack(">II", OPT_LIST, 0))
        assert wire.closed()


@pytest.mark.parametrize("bytes_", [NBDMAGIC, b"NBDMAGIC" * 2, b"\0" * 16, b"\xff" * 16], ids=repr)
def test_bytes_instead_of_an_option_end_the_connection(wire, bytes_):
    wire.send(bytes_ + bytes(16))
    assert wire.closed()


@pytest.mark.parametrize("number", [0, OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO, OPT_LIST_META_CONTEXT, 99, 2**32 - 1])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, MOST_SKIPPED + 1])
def test_an_option_past_the_largest_length_ends_the_connection(wire, number, length):
    wire.send(option(number, b"some", length=length))
    assert wire.closed()


@pytest.mark.parametrize("number, error", [(OPT_LIST, ERR_INVALID), (OPT_INFO, ERR_TOO_BIG), (OPT_GO, ERR_TOO_BIG), (99, ERR_UNSUP)])
def test_an_option_of_the_largest_length_is_skipped(wire, number, error):
    assert wire.option(number, noise(MOST_SKIPPED))[0][0] == error
    assert usable(wire)


@pytest.mark.parametrize("number", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_just_past_the_largest_known_option(wire, number, extra):
    data = go_data(b"a")
    assert wire.option(number, data + bytes(MOST_KNOWN + extra - len(data)))[0][0] == (ERR_TOO_BIG if extra > 0 else ERR_INVALID)
    assert usable(wire)


@pytest.mark.parametrize("number", [OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT])
@pytest.mark.parametrize("extra", [0, 1])
def test_just_past_the_most_queries(wire, number, extra):
    assert wire.option(OPT_STRUCTURED_REPLY)[0][0] == REP_ACK
    queries = [b"base:allocation"] * 3000
    rest = MOST_QUERIES + extra - len(context_data(b"a", queries)) - 3 * 8
    data = context_data(b"a", [*queries, *(b"x:no" + b"t" * (4092 if left else rest - 2 * 4092) for left in (2, 1, 0))])
    assert len(data) == MOST_QUERIES + extra
    assert wire.option(number, data)[-1][0] == (ERR_TOO_BIG if extra else REP_ACK)
    assert usable(wire)


def test_one_option_too_many_ends_the_connection(wire):
    for _ in range(MOST_OPTIONS):
        assert wire.option(99)[0][0] == ERR_UNSUP
    wire.send(option(99))
    assert wire.closed()


@pytest.mark.parametrize("length", [4097, 4098, MOST_KNOWN, 65536, 0xFFFFFFFF])
def test_an_export_name_past_4096_bytes_ends_the_connection(wire, length):
    wire.send(option(OPT_EXPORT_NAME, b"a" * 4097, length=length))
    assert wire.closed()


def test_an_export_name_of_4096_bytes_is_only_unknown(wire):
    wire.send(option(OPT_EXPORT_NAME, b"a" * 4096))
    assert wire.closed()


@pytest.mark.parametrize("number", [OPT_INFO, OPT_GO])
def test_names_of_all_lengths(wire, number):
    for length in (*range(2, 300), *range(300, 4097, 37), 4095, 4096):
        assert wire.option(number, go_data(b"a" * length))[0][0] == ERR_UNKNOWN
    for length in (4097, 4098, 5000):
        assert wire.option(number, go_data(b"a" * length))[0][0] == ERR_INVALID
    assert usable(wire)


BAD_NAMES = [b"\0", b"a\0", b"a\0b", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80", b"a\xc3",
             b"\xc0\xaf", b"\xf8\x88\x80\x80\x80"]


@pytest.mark.parametrize("number", [OPT_INFO, OPT_GO])
@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_names_with_nul_or_bad_utf8_are_invalid(wire, number, name):
    assert wire.option(number, go_data(name))[0][0] == ERR_INVALID
    assert usable(wire)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_an_export_name_with_nul_or_bad_utf8_ends_the_connection(wire, name):
    wire.send(option(OPT_EXPORT_NAME, name))
    assert wire.closed()


@pytest.mark.parametrize("number, data", [
    (OPT_GO, b"\xff\xff\xff\xff\0\0\0\0\0\0"), (OPT_INFO, b"\xff\xff\xff\xff\0\0\0\0\0\0"), (OPT_GO, b"\xff\xff\xff\xfa\0\0"),
    (OPT_SET_META_CONTEXT, b"\0\0\0\0\xff\xff\xff\xff\0\0\0\0"), (OPT_LIST_META_CONTEXT, b"\xff\xff\xff\xff\0\0\0\0")], ids=repr)
def test_counts_that_overflow_take_no_memory(daemon, number, data):
    with harmless(daemon, slack=64 * KIB) as honest, Wire(daemon) as wire:
        wire.flags()
        for _ in range(100):
            assert wire.option(number, data)[0][0] in (ERR_INVALID, ERR_UNSUP)
        assert honest.works() and usable(wire)


def test_more_options_than_any_client_needs_end_the_connection(wire):
    with pytest.raises((Closed, BrokenPipeError)):
        for _ in range(10000):
            wire.option(OPT_LIST)


@pytest.mark.parametrize("flood", [option(OPT_LIST), option(OPT_INFO, go_data(b"a", range(1000))), option(99, b"x" * 100),
                                   option(OPT_GO, go_data(b"x" * 4096))], ids=["list", "info", "unknown", "names"])
def test_an_option_flood_without_reading_replies_takes_little_memory(daemon, flood):
    with harmless(daemon) as honest, Wire(daemon) as wire:
        before = daemon.memory()
        wire.flags()
        wire.socket.setblocking(False)
        try:
            for _ in range(20000):
                wire.send(flood)
        except (BlockingIOError, ConnectionError):
            pass
        assert honest.works()
        assert SANITIZED or daemon.memory() < before + 4 * MIB


def test_many_clients_in_the_handshake_at_once(daemon):
    with harmless(daemon) as honest:
        wires = [Wire(daemon, tcp=n % 2 == 0) for n in range(500)]
        for wire in wires:
            wire.send(b"\0\0\0\3IHAVE")
        assert honest.works()
        for wire in wires:
            wire.socket.close()
        wait_for(lambda: daemon.stats()["connections"] == 1, "only the honest client is left")
