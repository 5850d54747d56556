# SPDX-License-Identifier: BSD-2-Clause
"""Reads of sparse files: what is a hole isn't read, and clients with structured replies are only told of it."""

import os
import random
import struct

import pytest

from baseline import leaves_nothing
from shared import MIB, noise, own_daemon, sparse_file
from wire_client import CMD_READ, CMD_WRITE_ZEROES, FLAG_DF, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE, Wire, contents, request

SIZE = 64 * MIB
PAGE = 4096


@pytest.fixture(scope="module")
def image(scratch):
    """Data in the second MiB, in a page of the fifth, at the end, and in every other page of the ninth."""
    path = sparse_file(scratch, SIZE)
    with open(path, "r+b") as file:
        os.pwrite(file.fileno(), noise(MIB), MIB)
        os.pwrite(file.fileno(), noise(PAGE, 2), 4 * MIB)
        for page in range(0, MIB // PAGE, 2):
            os.pwrite(file.fileno(), noise(PAGE, page), 8 * MIB + page * PAGE)
        os.pwrite(file.fileno(), noise(PAGE, 3), SIZE - PAGE)
    return path


@pytest.fixture(scope="module")
def data(image):
    with open(image, "rb") as file:
        return file.read()


@pytest.fixture(scope="module", params=["", ",direct"], ids=["cached", "direct"])
def daemon(image, request):
    with own_daemon(f"file={image}{request.param},share,readonly", f"dense=file:{image},share,readonly") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture
def wire(daemon):
    with Wire(daemon) as connection:
        yield connection.go(b"file", structured=True)


def pieces(chunks):
    """(is data, offset, length) of each."""
    found = []
    for kind, payload in chunks:
        offset, = struct.unpack(">Q", payload[:8])
        length = len(payload) - 8 if kind == TYPE_OFFSET_DATA else struct.unpack(">I", payload[8:])[0]
        found.append((kind == TYPE_OFFSET_DATA, offset, length))
    return found


@pytest.mark.parametrize("offset, length, expected", [
    (0, MIB, [(False, 0, MIB)]),
    (MIB, MIB, [(True, MIB, MIB)]),
    (MIB // 2, MIB, [(False, MIB // 2, MIB // 2), (True, MIB, MIB // 2)]),
    (3 * MIB, 2 * MIB, [(False, 3 * MIB, MIB), (True, 4 * MIB, PAGE), (False, 4 * MIB + PAGE, MIB - PAGE)]),
    (0, 8 * MIB, [(False, 0, MIB), (True, MIB, MIB), (False, 2 * MIB, 2 * MIB), (True, 4 * MIB, PAGE),
                  (False, 4 * MIB + PAGE, 4 * MIB - PAGE)]),
    (SIZE - MIB, MIB, [(False, SIZE - MIB, MIB - PAGE), (True, SIZE - PAGE, PAGE)])])
def test_holes_are_not_sent(wire, data, offset, length, expected):
    chunks = wire.read_chunks(offset, length)
    assert pieces(chunks) == expected
    assert contents(chunks) == (offset, data[offset:offset + length])


def test_many_holes_in_one_read(wire, data):
    chunks = wire.read_chunks(8 * MIB, MIB)
    assert contents(chunks) == (8 * MIB, data[8 * MIB:9 * MIB])
    assert sum(kind == TYPE_OFFSET_HOLE for kind, _ in chunks) == MIB // PAGE // 2


def test_unaligned_ends(wire, data, daemon):
    if wire.command(CMD_READ, 1, 1)[0]:
        pytest.skip("O_DIRECT wants blocks")
    chunks = wire.read_chunks(MIB - 70001, 140001)
    assert pieces(chunks) == [(False, MIB - 70001, 70001), (True, MIB, 70000)]
    assert contents(chunks)[1] == data[MIB - 70001:MIB + 70000]


def test_small_reads_are_not_worth_it(wire):
    assert pieces(wire.read_chunks(0, PAGE)) == [(True, 0, PAGE)]


def test_clients_that_cannot_be_told_get_zeroes(daemon, wire, data):
    assert pieces(wire.read_chunks(0, 2 * MIB, FLAG_DF)) == [(True, 0, 2 * MIB)]
    assert wire.read_chunks(0, 2 * MIB, FLAG_DF)[0][1][8:] == data[:2 * MIB]
    with Wire(daemon) as simple:
        assert simple.go(b"file").read(0, 8 * MIB) == data[:8 * MIB]


def test_many_at_once(wire, data):
    """With lengths and offsets of any kind, each answer is whole and right."""
    lots = random.Random(5)
    requests = []
    for _ in range(200):
        offset = lots.randrange(0, 10 * MIB, PAGE)
        requests.append((offset, lots.randrange(PAGE, 2 * MIB, PAGE)))
    wire.send(b"".join(request(CMD_READ, offset, length, cookie=cookie) for cookie, (offset, length) in enumerate(requests)))
    for _ in requests:
        cookie, chunks = wire.chunks()
        offset, length = requests[cookie]
        assert contents(chunks) == (offset, data[offset:offset + length])


def test_what_is_written_and_punched_is_seen_at_once(scratch):
    path = sparse_file(scratch, 16 * MIB, "changing")
    expected = bytearray(16 * MIB)
    lots = random.Random(6)
    with own_daemon("file=" + path) as running, Wire(running) as wire:
        wire.go(b"file", structured=True)
        for number in range(300):
            offset, length = lots.randrange(0, 15 * MIB, PAGE), lots.choice([PAGE, 65536, MIB])
            if number % 3 == 0:
                payload = noise(length, number)
                assert wire.write(offset, payload) == 0
                expected[offset:offset + length] = payload
            elif number % 3 == 1:
                assert wire.command(CMD_WRITE_ZEROES, offset, length)[0] == 0
                expected[offset:offset + length] = bytes(length)
            else:
                length = lots.choice([65536, MIB])
                assert contents(wire.read_chunks(offset, length)) == (offset, bytes(expected[offset:offset + length]))
        wire.disconnect()


def test_dense_files_are_hardly_ever_asked(scratch):
    """What was found to hold data is read without another look; and looks that find nothing become rare."""
    path = sparse_file(scratch, 32 * MIB, "dense")
    with open(path, "r+b") as file:
        file.write(noise(32 * MIB))
    with own_daemon("file=" + path) as running, Wire(running) as wire:
        wire.go(b"file", structured=True)
        for offset in range(0, 32 * MIB, 256 * 1024):
            assert pieces(wire.read_chunks(offset, 256 * 1024)) == [(True, offset, 256 * 1024)]
        (disk,) = running.ctl_json("stats", "file")["disks"]
        assert disk["ops"]["extents"]["submitted"] == 1
        wire.disconnect()
