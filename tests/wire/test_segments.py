# SPDX-License-Identifier: BSD-2-Clause
"""However the bytes of a session are cut into segments, it is the same session."""

import struct

import pytest

from shared import KIB, MIB, info, is_quiet, noise, own_daemon
from wire_client import (CMD_DISC, CMD_FLUSH, CMD_READ, CMD_WRITE, FIXED_NEWSTYLE, INFO_EXPORT, NO_ZEROES, OPT_GO, OPT_INFO,
                         OPT_LIST, REP_ACK, Wire, go_data, option, request)

FLAGS = struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES)


@pytest.fixture(scope="module", params=["1", "2"], ids=["one reactor", "two reactors"])
def daemon(request):
    # Two disks, so that one of them isn't at home where connections are accepted.
    with own_daemon("a=ram:4M", "b=ram:4M", "null:4M", options=["--threads", request.param], tcp=True) as running:
        yield running


@pytest.fixture(params=["unix", "tcp"])
def wire(daemon, request):
    with Wire(daemon, tcp=request.param == "tcp") as connection:
        yield connection


def expect_go(wire, size=4 * MIB):
    replies = wire.option_replies(OPT_GO)
    assert replies[-1][0] == REP_ACK
    assert struct.unpack(">QH", info(replies, INFO_EXPORT))[0] == size


def exchange(data):
    """Requests that write DATA and read it again, and their replies as reply() gives them."""
    length = len(data)
    requests = (request(CMD_WRITE, 100, length, cookie=1, payload=data) + request(CMD_READ, 100, length, cookie=2) +
                request(CMD_FLUSH, cookie=3) + request(CMD_READ, 99, 1, cookie=4))
    return requests, [(0, 1, b""), (0, 2, data), (0, 3, b""), (0, 4, b"\0")]


def check(wire, replies):
    """Replies may come in another order than their requests, but here a write is done before the next is looked at."""
    lengths = {cookie: len(data) for _, cookie, data in replies}
    got = []
    for _ in replies:
        magic, error, cookie = struct.unpack(">IIQ", wire.receive(16))
        assert magic == 0x67446698
        got.append((error, cookie, wire.receive(lengths[cookie])))
    assert sorted(got) == sorted(replies)


@pytest.mark.parametrize("name", [b"a", b"b"])
def test_every_byte_in_a_segment_of_its_own(wire, name):
    requests, replies = exchange(noise(300))
    for byte in FLAGS + option(OPT_LIST) + option(OPT_GO, go_data(name)):
        wire.send(bytes([byte]))
    wire.option_replies(OPT_LIST)
    expect_go(wire)
    for byte in requests:
        wire.send(bytes([byte]))
    check(wire, replies)


@pytest.mark.parametrize("name", [b"a", b"b", b"null0"])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 255, 256, 257, 5000])
def test_pipelined_requests_in_one_segment(wire, name, count):
    wire.go(name)
    wire.send(b"".join(request(CMD_READ, 2 * MIB + 16 * (n % 1000), 16, cookie=n) for n in range(count)))
    check(wire, [(0, n, bytes(16)) for n in range(count)])


@pytest.mark.parametrize("name", [b"a", b"b"])
@pytest.mark.parametrize("length", [1, 512, 3500, 4096, 8192, 64 * KIB, 256 * KIB, 300 * KIB])
def test_requests_in_the_same_segment_as_go(wire, name, length):
    requests, replies = exchange(noise(length))
    wire.send(FLAGS + option(OPT_GO, go_data(name)) + requests)
    expect_go(wire)
    check(wire, replies)


@pytest.mark.parametrize("name", [b"a", b"b"])
def test_many_requests_in_the_same_segment_as_go(wire, name):
    wire.send(FLAGS + option(OPT_GO, go_data(name)) + b"".join(request(CMD_READ, 3 * MIB, 8, cookie=n) for n in range(2000)))
    expect_go(wire)
    check(wire, [(0, n, bytes(8)) for n in range(2000)])


@pytest.mark.parametrize("name", [b"a", b"b"])
@pytest.mark.parametrize("before", [1, 10, 300])
def test_a_whole_session_in_one_segment(wire, name, before):
    requests, replies = exchange(noise(20000))
    wire.send(FLAGS + option(OPT_INFO, go_data(name)) * before + option(OPT_GO, go_data(name)) + requests + request(CMD_DISC))
    for _ in range(before):
        assert wire.option_replies(OPT_INFO)[-1][0] == REP_ACK
    expect_go(wire)
    check(wire, replies)
    assert wire.closed()


@pytest.mark.parametrize("cut", range(1, 60, 3))
def test_a_header_cut_at_every_place(wire, cut):
    wire.go(b"a")
    requests, replies = exchange(noise(64))
    wire.send(requests[:cut])
    assert is_quiet(wire, 0.01)
    wire.send(requests[cut:])
    check(wire, replies)


@pytest.mark.parametrize("name", [b"a", b"b"])
def test_headers_at_the_edges_of_buffers(wire, name):
    wire.go(name)
    for edge in 4096, 64 * KIB, 256 * KIB, MIB:
        for before in range(-1, 30):
            data = noise(edge - 28 - before, before)
            after = bytes([before + 1]) * 40
            wire.send(request(CMD_WRITE, 0, len(data), cookie=1, payload=data) + request(CMD_WRITE, 3 * MIB, 40, 0, 2, after) +
                      request(CMD_READ, 3 * MIB, 40, cookie=3) + request(CMD_READ, 0, len(data), cookie=4))
            check(wire, [(0, 1, b""), (0, 2, b""), (0, 3, after), (0, 4, data)])
    assert wire.write(3 * MIB, bytes(40)) == 0
