# SPDX-License-Identifier: BSD-2-Clause
"""Metadata contexts and block status (specification, "Metadata querying")."""

import os
import struct

import pytest

from baseline import leaves_nothing
from shared import own_daemon, sparse_file
from wire_client import (CMD_BLOCK_STATUS, CMD_READ, EINVAL, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, FLAG_DF, FLAG_FUA, FLAG_REQ_ONE,
                         OPT_EXPORT_NAME, OPT_GO, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK,
                         REP_META_CONTEXT, REPLY_DONE, TYPE_ERROR, Wire, context_data, go_data, option, request)

MIB = 1 << 20
CHUNK = MIB // 4
HOLE_ZERO = 3
ALLOCATION = b"base:allocation"


@pytest.fixture(scope="module")
def image(scratch):
    path = sparse_file(scratch, 8 * MIB)
    with open(path, "r+b") as file:
        os.pwrite(file.fileno(), b"d" * MIB, MIB)
        os.pwrite(file.fileno(), b"d" * 4096, 4 * MIB)
    return path


@pytest.fixture(scope="module")
def daemon(image):
    with own_daemon("ram=ram:16M", "other=ram:16M", "null=null:1T", "file=" + image) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture
def wire(daemon):
    with Wire(daemon) as connection:
        yield connection


@pytest.fixture
def structured(wire):
    wire.flags()
    assert wire.option(OPT_STRUCTURED_REPLY) == [(REP_ACK, b"")]
    return wire


def listed(wire, queries=(), name=b"ram"):
    replies = wire.option(OPT_LIST_META_CONTEXT, context_data(name, queries))
    assert replies[-1] == (REP_ACK, b"")
    for kind, data in replies[:-1]:
        assert kind == REP_META_CONTEXT
        assert data[:4] == bytes(4)
    return [data[4:] for _, data in replies[:-1]]


def answer(wire, message):
    """The error of the one chunk that answers MESSAGE."""
    wire.send(message)
    flags, kind, _, payload = wire.chunk()
    assert (flags, kind) == (REPLY_DONE, TYPE_ERROR)
    return struct.unpack(">I", payload[:4])[0]


def allocation(wire, offset, length, flags=0):
    """The extents of the only context that was selected."""
    (found,) = wire.status(offset, length, flags).values()
    return found


@pytest.mark.parametrize("number", [OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT])
def test_structured_replies_come_first(wire, number):
    wire.flags()
    assert wire.option(number, context_data(b"ram", [ALLOCATION]))[0][0] == ERR_INVALID
    assert wire.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK


def test_list_without_a_query_has_all(structured):
    assert listed(structured) == [ALLOCATION]


@pytest.mark.parametrize("query", [b"base:", b"base:allocation"])
def test_list_knows_the_wildcard(structured, query):
    assert listed(structured, [query]) == [ALLOCATION]


@pytest.mark.parametrize("queries", [[b"base:unknown"], [b"qemu:"], [b"x-nobody:anything"], [b"base:allocation2"], [b"base:alloc"],
                                     [b"bas:"], [b"x-\xc3\xa4:"]])
def test_what_is_not_known_is_ignored(structured, queries):
    assert listed(structured, queries) == []
    assert structured.set_contexts(b"ram", queries) == {}


def test_a_context_is_listed_and_selected_once(structured):
    queries = [ALLOCATION, b"qemu:dirty-bitmap:x", ALLOCATION, b"base:"]
    assert listed(structured, queries) == [ALLOCATION]
    assert list(structured.set_contexts(b"ram", queries).values()) == [ALLOCATION]


def test_set_knows_no_wildcards(structured):
    assert structured.set_contexts(b"ram", [b"base:"]) == {}


@pytest.mark.parametrize("number", [OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT])
def test_unknown_export(structured, number):
    assert structured.option(number, context_data(b"nobody", [ALLOCATION]))[-1][0] == ERR_UNKNOWN


def test_empty_name_is_the_default_export(structured):
    assert listed(structured, name=b"") == [ALLOCATION]
    assert structured.set_contexts(b"", [ALLOCATION])
    assert structured.option(OPT_GO, go_data(b""))[-1][0] == REP_ACK
    assert allocation(structured, 0, 4096)


GOOD = context_data(b"ram", [ALLOCATION])


@pytest.mark.parametrize("number", [OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT])
@pytest.mark.parametrize("data", [
    b"", b"\0\0\0", GOOD[:4], GOOD[:8], GOOD[:-1], GOOD + b"\0", struct.pack(">I", 2**32 - 1) + GOOD[4:],
    GOOD[:7] + struct.pack(">I", 2) + GOOD[11:], GOOD[:7] + struct.pack(">I", 2**32 - 1) + GOOD[11:],
    context_data(b"ram", [b"nocolon"]), context_data(b"ram", [b""]), context_data(b"ram", [b":leaf"]),
    context_data(b"ram", [b"base:\xff"]), context_data(b"ram", [b"base:\0"]), context_data(b"\xff", [ALLOCATION]),
    context_data(b"ram", [b"x-" + b"l" * 4095 + b":"])])
def test_malformed_options_are_invalid(structured, number, data):
    assert structured.option(number, data)[-1][0] == ERR_INVALID
    assert listed(structured) == [ALLOCATION]


@pytest.mark.parametrize("number", [OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT])
def test_long_options(structured, number):
    """The longest strings are taken; what exceeds all sense is too big, and the next option is found."""
    longest = [b"x-" + b"l" * 4093 + b":"]
    assert structured.option(number, context_data(b"ram", longest)) == [(REP_ACK, b"")]
    many = [b"x-%d:" % n for n in range(5000)]
    assert structured.option(number, context_data(b"ram", many + [ALLOCATION]))[0][0] == REP_META_CONTEXT
    assert structured.option(number, context_data(b"ram", longest * 20))[-1][0] == ERR_TOO_BIG
    assert listed(structured) == [ALLOCATION]


@pytest.mark.parametrize("failing", [
    option(OPT_SET_META_CONTEXT, context_data(b"ram", [])), option(OPT_SET_META_CONTEXT, b"x"),
    option(OPT_SET_META_CONTEXT, context_data(b"nobody", [ALLOCATION])), option(OPT_SET_META_CONTEXT, bytes(100000))])
def test_set_replaces_what_was_set_even_when_it_fails(structured, failing):
    assert structured.set_contexts(b"ram", [ALLOCATION])
    structured.send(failing)
    structured.option_replies(OPT_SET_META_CONTEXT)
    assert structured.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
    assert answer(structured, request(CMD_BLOCK_STATUS, 0, 4096)) == EINVAL
    assert len(structured.read(0, 512)) == 512


def test_contexts_hold_for_their_export_only(structured):
    assert structured.set_contexts(b"other", [ALLOCATION])
    assert structured.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
    assert answer(structured, request(CMD_BLOCK_STATUS, 0, 4096)) == EINVAL


def test_list_changes_nothing(structured):
    assert structured.set_contexts(b"ram", [ALLOCATION])
    assert listed(structured, [b"x-nobody:"]) == []
    assert structured.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
    assert allocation(structured, 0, 4096)


def test_a_failed_go_forgets_nothing(structured):
    assert structured.set_contexts(b"ram", [ALLOCATION])
    assert structured.option(OPT_GO, go_data(b"nobody"))[-1][0] == ERR_UNKNOWN
    assert structured.option(OPT_GO, go_data(b"ram"))[-1][0] == REP_ACK
    assert allocation(structured, 0, 4096)


def test_export_name_keeps_them_too(structured):
    assert structured.set_contexts(b"ram", [ALLOCATION])
    structured.send(option(OPT_EXPORT_NAME, b"ram"))
    structured.receive(10)
    assert allocation(structured, 0, 4096)


@pytest.fixture
def selected(daemon):
    """Connections, by export."""
    connections = []

    def select(name):
        connections.append(Wire(daemon))
        return connections[-1].go(name, structured=True, contexts=[ALLOCATION])

    yield select
    for connection in connections:
        connection.__exit__()


@pytest.mark.parametrize("message", [
    request(CMD_BLOCK_STATUS, 0, 0), request(CMD_BLOCK_STATUS, 16 * MIB, 1), request(CMD_BLOCK_STATUS, 0, 16 * MIB + 1),
    request(CMD_BLOCK_STATUS, 2**64 - 1, 2), request(CMD_BLOCK_STATUS, 0, 512, FLAG_DF), request(CMD_BLOCK_STATUS, 0, 512, 1 << 15),
    request(CMD_READ, 0, 512, FLAG_REQ_ONE)])
def test_refused(selected, message):
    wire = selected(b"ram")
    assert answer(wire, message) == EINVAL
    assert allocation(wire, 0, 4096)


def test_status_before_contexts_were_selected(daemon):
    with Wire(daemon) as wire:
        wire.go(b"ram", structured=True)
        assert answer(wire, request(CMD_BLOCK_STATUS, 0, 512)) == EINVAL
    with Wire(daemon) as wire:
        wire.go(b"ram")
        assert wire.command(CMD_BLOCK_STATUS, 0, 512)[0] == EINVAL


def test_a_ram_disk_tells_what_was_written(selected):
    wire = selected(b"ram")
    assert wire.command(4, 0, 16 * MIB)[0] == 0  # TRIM
    assert allocation(wire, 0, 16 * MIB) == [(16 * MIB, HOLE_ZERO)]
    assert wire.write(MIB + 100, b"d") == 0
    assert wire.write(5 * MIB, b"d" * MIB) == 0
    expected = [(MIB, HOLE_ZERO), (CHUNK, 0), (4 * MIB - CHUNK, HOLE_ZERO), (MIB, 0), (10 * MIB, HOLE_ZERO)]
    assert allocation(wire, 0, 16 * MIB) == expected
    assert allocation(wire, MIB + 7, 2 * CHUNK) == [(CHUNK - 7, 0), (CHUNK + 7, HOLE_ZERO)]
    assert allocation(wire, 0, 16 * MIB, FLAG_REQ_ONE) == expected[:1]
    assert allocation(wire, 5 * MIB, 10, FLAG_REQ_ONE | FLAG_FUA) == [(10, 0)]
    assert wire.command(4, 0, 16 * MIB)[0] == 0
    assert allocation(wire, 0, 16 * MIB) == [(16 * MIB, HOLE_ZERO)]


def test_a_file_tells_what_its_file_system_knows(selected):
    wire = selected(b"file")
    expected = [(MIB, HOLE_ZERO), (MIB, 0), (2 * MIB, HOLE_ZERO), (4096, 0), (4 * MIB - 4096, HOLE_ZERO)]
    assert allocation(wire, 0, 8 * MIB) == expected
    assert allocation(wire, 0, 8 * MIB, FLAG_REQ_ONE) == expected[:1]
    assert allocation(wire, MIB + 1, MIB) == [(MIB - 1, 0), (1, HOLE_ZERO)]
    assert allocation(wire, 3 * MIB, 512) == [(512, HOLE_ZERO)]
    assert allocation(wire, 8 * MIB - 1, 1) == [(1, HOLE_ZERO)]


def test_what_a_shrunk_file_has_no_more_is_not_called_zeroes(scratch):
    image = sparse_file(scratch, 8 * MIB, "shrinking")
    with own_daemon("file=" + image) as daemon, Wire(daemon) as wire:
        wire.go(b"file", structured=True, contexts=[ALLOCATION])
        assert allocation(wire, 0, 8 * MIB) == [(8 * MIB, HOLE_ZERO)]
        os.truncate(image, 4 * MIB)
        assert allocation(wire, 4 * MIB, 4 * MIB) == [(4 * MIB, 0)]
        assert allocation(wire, 2 * MIB, 6 * MIB) == [(6 * MIB, 0)]
        assert allocation(wire, 0, 4 * MIB) == [(4 * MIB, HOLE_ZERO)]


def test_the_longest_query(selected):
    wire = selected(b"null")
    assert allocation(wire, 0, 2**32 - 1) == [(2**32 - 1, HOLE_ZERO)]
    assert allocation(wire, 2**40 - 2**32 + 1, 2**32 - 1) == [(2**32 - 1, HOLE_ZERO)]


def test_queries_among_other_requests(selected):
    """In a batch, each reply is whole, and told apart by its cookie."""
    wire = selected(b"file")
    wire.send(b"".join(request(CMD_BLOCK_STATUS if cookie % 2 else CMD_READ, cookie * 4096, 4096, cookie=cookie)
                       for cookie in range(200)))
    cookies = {wire.chunks()[0] for _ in range(200)}
    assert cookies == set(range(200))
