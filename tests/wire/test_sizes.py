# SPDX-License-Identifier: BSD-2-Clause
"""Data of every size comes back as it was, up to the largest payload, and only within the rules of the disk's blocks."""

import os
import struct

import pytest

from baseline import leaves_nothing
from daemon import SANITIZED, Daemon
from shared import KIB, MIB, info, noise, own_daemon, sparse_file
from wire_client import CMD_READ, CMD_TRIM, CMD_WRITE, EINVAL, EIO, INFO_BLOCK_SIZE, OPT_GO, Wire, go_data, request

SIZE = 80 * MIB


@pytest.fixture(scope="module")
def daemon(scratch):
    with own_daemon(f"ram=ram:{SIZE}", f"file={sparse_file(scratch, SIZE)}", "null=null:8G") as running:
        yield running


@pytest.fixture(params=["ram", "file"])
def wire(daemon, request):
    with Wire(daemon) as connection:
        yield connection.go(request.param.encode())


def pattern(length, seed):
    """Like noise, but quick to make; its period fits no buffer."""
    return (noise(MIB + 7, seed) * (length // MIB + 1))[:length]


def write_and_read(wire, offset, length, seed=1):
    data = pattern(length, seed)
    assert wire.write(offset, data) == 0
    assert wire.read(offset, length) == data


@pytest.mark.parametrize("size", [4 * KIB, 64 * KIB, 256 * KIB, MIB])
def test_lengths_around_the_sizes_of_buffers(wire, size):
    for delta in range(-29, 30):
        write_and_read(wire, 1 + delta + 29, size + delta, delta)


@pytest.mark.parametrize("length", [2 * MIB - 1, 2 * MIB + 28, 4 * MIB + 1, 32 * MIB, 32 * MIB + 1, 64 * MIB - 1, 64 * MIB])
def test_lengths_beyond_the_advertised_block_size_work(wire, length):
    write_and_read(wire, 1234567, length)


def refused_with_einval(wire, length):
    """Whether a read of LENGTH bytes within the disk gets EINVAL, no data, and the next one its own reply."""
    wire.send(request(CMD_READ, 0, length, cookie=1) + request(CMD_READ, 0, 512, cookie=2))
    assert wire.reply(length) == (EINVAL, 1, b"")
    return wire.reply(512)[:2] == (0, 2)


def test_a_read_of_more_than_64_mib_is_einval_though_the_disk_has_it(wire):
    assert wire.size > 64 * MIB
    assert wire.command(CMD_READ, 0, 64 * MIB)[0] == 0
    assert refused_with_einval(wire, 64 * MIB + 1)
    assert refused_with_einval(wire, SIZE)
    assert len(wire.read(SIZE - 64 * MIB, 64 * MIB)) == 64 * MIB


@pytest.mark.parametrize("length", [64 * MIB + 1, 2**31, 2**32 - 1])
def test_a_read_of_gigabytes_is_einval_and_takes_no_memory(daemon, length):
    with Wire(daemon) as wire:
        wire.go(b"null")
        assert wire.size > length
        before = daemon.memory()
        assert refused_with_einval(wire, length)
        assert SANITIZED or daemon.memory() < before + 8 * MIB


def test_large_requests_in_flight_together(wire):
    parts = [noise(8 * MIB, seed) for seed in range(8)]
    wire.send(b"".join(request(CMD_WRITE, n * 8 * MIB, 8 * MIB, 0, n, part) for n, part in enumerate(parts)))
    assert sorted(wire.reply() for _ in parts) == [(0, n, b"") for n in range(8)]
    wire.send(b"".join(request(CMD_READ, n * 8 * MIB, 8 * MIB, cookie=n) for n in range(8)))
    got = dict(wire.reply(8 * MIB)[1:] for _ in parts)
    assert got == dict(enumerate(parts))


@pytest.mark.parametrize("offset", [SIZE - 300 * KIB, SIZE - 4096, SIZE - 1])
def test_the_last_bytes_of_the_disk(wire, offset):
    write_and_read(wire, offset, SIZE - offset)


def test_a_file_that_became_shorter_gives_eio_and_no_stale_memory(directory):
    path = sparse_file(directory, 4 * MIB)
    with Daemon(directory, path) as daemon, leaves_nothing(daemon), Wire(daemon) as wire:
        wire.go()
        assert wire.write(0, noise(4 * MIB)) == 0
        os.truncate(path, MIB)
        for length in 512, 4096, 300 * KIB, 3 * MIB:
            assert wire.command(CMD_READ, MIB - 256, length) == (EIO, b"")
        assert wire.read(MIB - 256, 256) == noise(4 * MIB)[MIB - 256:MIB]


@pytest.fixture(scope="module")
def strict(scratch):
    path = sparse_file(scratch, 8 * MIB, "direct")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError:
        pytest.skip("the file system has no O_DIRECT")
    with own_daemon(f"file:{path},direct=on") as running:
        yield running


def test_stricter_blocks_are_told_and_held(strict):
    with Wire(strict) as wire:
        wire.flags()
        replies = wire.option(OPT_GO, go_data(infos=[INFO_BLOCK_SIZE]))
        block = struct.unpack(">III", info(replies, INFO_BLOCK_SIZE))[0]
        assert block >= 512
        before = noise(4 * block)
        assert wire.write(0, before) == 0
        for command in CMD_READ, CMD_WRITE, CMD_TRIM:
            for offset, length in (1, block), (0, block - 1), (block, block + 1), (block // 2, block):
                payload = b"!" * length if command == CMD_WRITE else b""
                assert wire.command(command, offset, length, payload=payload)[0] == EINVAL
        assert wire.read(0, len(before)) == before


@pytest.mark.parametrize("blocks", [1, 2, 63, 64, 65, 255, 256, 257, 1000])
def test_blocks_of_a_direct_file_come_back_as_they_were(strict, blocks):
    with Wire(strict) as wire:
        write_and_read(wire.go(), 4096, blocks * 4096)
