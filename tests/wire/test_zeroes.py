# SPDX-License-Identifier: BSD-2-Clause
"""TRIM, WRITE_ZEROES and CACHE: their flags, and lengths far beyond any payload."""

import os
import socket

import pytest

from shared import GIB, KIB, MIB, noise, own_daemon, sparse_file
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES, ENOTSUP, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE,
                         Wire, request)

SIZE = 8 * GIB
LARGEST = 2**32 - 512
PATTERN = noise(10 * MIB)


@pytest.fixture(scope="module")
def path(scratch):
    return sparse_file(scratch, SIZE)


@pytest.fixture(scope="module")
def daemon(path):
    with own_daemon("ram=ram:5G", f"file={path}", "null=null:8G", options=["--threads", "2"]) as running:
        yield running


@pytest.fixture(params=["ram", "file"])
def wire(daemon, request):
    with Wire(daemon) as connection:
        yield connection.go(request.param.encode())


def space(path):
    """What the file takes on its file system, whose own data is some of it."""
    return os.stat(path).st_blocks * 512


def marks(end):
    """Where data would be left over by a server that stops early, or goes too far."""
    return [0, 512, 64 * KIB, 4 * MIB, 32 * MIB, 64 * MIB - 512, 64 * MIB, 64 * MIB + 512, 128 * MIB, GIB, 2 * GIB - 512,
            2 * GIB, 3 * GIB, end - 4096, end - 512]


@pytest.mark.parametrize("length, flags", [(LARGEST, 0), (LARGEST, FLAG_FUA), (LARGEST, FLAG_FAST_ZERO), (128 * MIB, 0), (64 * MIB + 512, 0),
                                           (2 * GIB, 0), (GIB + 512, 0)])
def test_write_zeroes_zeroes_its_whole_length(wire, length, flags):
    start = 1024
    places = [start + at for at in marks(length) if at < length]
    for at in (*places, start - 512, start + length):
        assert wire.write(at, b"\xa5" * 512) == 0
    assert wire.command(CMD_WRITE_ZEROES, start, length, flags)[0] == 0
    for at in places:
        assert wire.read(at, 512) == bytes(512), at
    for at in (start - 512, start + length):
        assert wire.read(at, 512) == b"\xa5" * 512
        assert wire.write(at, bytes(512)) == 0


@pytest.mark.parametrize("flags", [0, FLAG_NO_HOLE, FLAG_FUA, FLAG_NO_HOLE | FLAG_FUA])
@pytest.mark.parametrize("offset, length", [(0, 1), (1, 4095), (4095, 2), (100, 64 * KIB), (65535, 128 * KIB + 2),
                                            (256 * KIB - 1, 256 * KIB + 2), (1, 5 * MIB), (3, 9 * MIB + 5)])
def test_write_zeroes_touches_its_range_and_nothing_else(wire, flags, offset, length):
    before = PATTERN
    assert wire.write(0, before) == 0
    assert wire.command(CMD_WRITE_ZEROES, offset, length, flags)[0] == 0
    assert wire.read(0, len(before)) == before[:offset] + bytes(length) + before[offset + length:]


def test_no_hole_keeps_the_files_space(daemon, path):
    with Wire(daemon) as wire:
        wire.go(b"file")
        assert wire.command(CMD_WRITE_ZEROES, 0, 16 * MIB)[0] == 0
        before = space(path)
        assert wire.command(CMD_WRITE_ZEROES, 0, 16 * MIB, FLAG_NO_HOLE)[0] == 0
        assert space(path) > before + 15 * MIB
        assert wire.command(CMD_WRITE_ZEROES, 0, 16 * MIB)[0] == 0
        assert space(path) < before + MIB


def test_fast_zero_that_would_be_slow_is_enotsup_and_changes_nothing(daemon):
    before = noise(MIB)
    with Wire(daemon) as wire:
        wire.go(b"ram")
        assert wire.write(0, before) == 0
        assert wire.command(CMD_WRITE_ZEROES, 0, MIB, FLAG_NO_HOLE | FLAG_FAST_ZERO)[0] == ENOTSUP
        assert wire.read(0, MIB) == before


def test_without_fast_zero_nothing_is_enotsup(wire):
    for flags in 0, FLAG_NO_HOLE, FLAG_FUA, FLAG_NO_HOLE | FLAG_FUA:
        assert wire.command(CMD_WRITE_ZEROES, 0, MIB, flags)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 5, 1000, flags)[0] == 0


@pytest.mark.parametrize("name", ["ram", "file", "null"])
@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES, CMD_CACHE])
@pytest.mark.parametrize("offset, length", [(0, LARGEST), (512, 2**32 - 1), (1, 2**32 - 1), (GIB, 3 * GIB), (0, 2**31)])
def test_any_length_of_32_bits_is_taken(daemon, name, command, offset, length):
    with Wire(daemon) as wire:
        assert wire.go(name.encode()).command(command, offset, length)[0] == 0


def test_trim_leaves_what_is_outside(wire):
    before = noise(2 * MIB)
    assert wire.write(0, before) == 0
    assert wire.command(CMD_TRIM, 4095, MIB + 2)[0] == 0
    after = wire.read(0, 2 * MIB)
    assert after[:4095] == before[:4095]
    assert after[4097 + MIB:] == before[4097 + MIB:]
    # Old or zero, but never somebody else's.
    assert all(new in (0, old) for new, old in zip(after, before))


def test_trim_gives_a_files_space_back(daemon, path):
    with Wire(daemon) as wire:
        wire.go(b"file")
        assert wire.write(0, noise(16 * MIB)) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        before = space(path)
        assert wire.command(CMD_TRIM, 0, 16 * MIB)[0] == 0
        assert space(path) < before - 15 * MIB


def test_cache_changes_nothing(wire):
    before = noise(MIB)
    assert wire.write(0, before) == 0
    assert wire.command(CMD_CACHE, 0, MIB)[0] == 0
    assert wire.read(0, MIB) == before


def arrived(wire):
    """What has come by now."""
    try:
        return wire.socket.recv(64 * KIB, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def test_a_large_zeroing_does_not_hold_up_others(daemon):
    zeroing = request(CMD_WRITE_ZEROES, 0, 128 * MIB, FLAG_NO_HOLE)
    with Wire(daemon) as one, Wire(daemon) as other:
        one.go(b"ram")
        other.go(b"ram")
        one.send(zeroing * 200)
        assert other.read(4 * GIB, 512) == bytes(512)
        assert len(arrived(one)) < 200 * 16
    with Wire(daemon) as wire:
        wire.go(b"ram")
        assert wire.command(CMD_WRITE_ZEROES, 0, 128 * MIB)[0] == 0
