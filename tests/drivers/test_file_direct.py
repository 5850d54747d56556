# SPDX-License-Identifier: BSD-2-Clause
"""The file driver with direct=on: O_DIRECT's alignment is the client's affair only as the block size it is told."""

import os
import random
import re

import pytest
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, errors_of, make_file, noise, pipelined_reads, read_all, refusal
from wire_client import (
    CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, FLAG_FUA, FLAG_NO_HOLE, INFO_BLOCK_SIZE,
    request)


@pytest.fixture(autouse=True)
def needs_direct(directory):
    path = make_file(directory, 4096, "probe")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        pytest.skip(f"the file system of {directory} has no O_DIRECT: {error}")


def connect_direct(daemon):
    wire = connect(daemon, infos=[INFO_BLOCK_SIZE])
    wire.block = wire.block_sizes[0]
    return wire


def test_file_is_opened_with_o_direct(directory):
    path = make_file(directory, MIB)
    for key, expected in (("", 0), (",direct=off", 0), (",direct=on", os.O_DIRECT), (",direct", os.O_DIRECT)):
        with Daemon(directory, path + key) as daemon:
            folder = f"/proc/{daemon.pid}/fd"
            number = next(fd for fd in os.listdir(folder) if os.path.realpath(f"{folder}/{fd}") == os.path.realpath(path))
            with open(f"/proc/{daemon.pid}/fdinfo/{number}", encoding="ascii") as info:
                flags = int(re.search(r"flags:\s+(\d+)", info.read())[1], 8)
            assert flags & os.O_DIRECT == expected


def test_smallest_block_is_advertised(directory):
    path = make_file(directory, MIB)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        smallest, preferred, _ = wire.block_sizes
        assert smallest in (512, 1024, 2048, 4096)
        assert preferred >= smallest


def test_small_writes_that_come_together_are_received_together(directory):
    """Their payloads are copied to aligned memory: not each of them by a receive of its own."""
    batches, batch = 50, b"".join(request(CMD_WRITE, n * 4 * KIB, 4 * KIB, cookie=n, payload=bytes(4 * KIB)) for n in range(16))
    with Daemon(directory, make_file(directory, MIB) + ",direct=on") as daemon, connect_direct(daemon) as wire:
        before = daemon.stats()
        for _ in range(batches):
            wire.send(batch)
            wire.receive(16 * 16)
        after = daemon.stats()
    assert after["requests"] - before["requests"] == batches * 16
    assert after["operations"] - before["operations"] <= batches * 16


def test_unaligned_requests_are_refused_and_change_nothing(directory):
    data = noise(MIB)
    path = make_file(directory, data)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        for at, length in ((1, wire.block), (0, wire.block - 1), (wire.block // 2, wire.block), (wire.block, 1)):
            assert wire.write(at, b"x" * length) == EINVAL
            assert wire.command(CMD_READ, at, length)[0] == EINVAL
            assert wire.command(CMD_TRIM, at, length)[0] == EINVAL
            assert wire.command(CMD_WRITE_ZEROES, at, length)[0] == EINVAL
        assert read_all(wire, MIB) == data
    assert content(path) == data


def test_size_that_is_no_multiple_of_the_block_is_refused(directory):
    assert "multiple" in refusal(directory, make_file(directory, MIB + 1) + ",direct=on")


def test_many_sizes_and_offsets_keep_their_data(directory):
    size = 12 * MIB
    data = bytearray(noise(size))
    path = make_file(directory, data)
    pieces = random.Random(3)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        for number, blocks in enumerate((1, 2, 7, 8, 9, 127, 511, 512, 513, 1025, 4099)):
            length = blocks * wire.block
            at = pieces.randrange((size - length) // wire.block) * wire.block
            data[at:at + length] = noise(length, number)
            assert wire.write(at, data[at:at + length], FLAG_FUA if number % 2 else 0) == 0
            assert wire.read(at, length) == data[at:at + length]
        assert read_all(wire, size, 4 * MIB) == data
        assert wire.command(CMD_FLUSH)[0] == 0
    assert content(path) == data


def test_payloads_anywhere_in_the_stream_keep_their_data(directory):
    """Headers of 28 bytes between them put payloads at every odd address of the server's input."""
    count, size = 300, 2 * MIB
    data = bytearray(size)
    path = make_file(directory, size)
    pieces = random.Random(5)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        requests = []
        places = pieces.sample(range(0, size, 4 * KIB), count)
        for cookie, at in enumerate(places):
            payload = noise(pieces.choice([wire.block, 4 * KIB]), cookie)
            data[at:at + len(payload)] = payload
            requests.append(request(CMD_WRITE, at, len(payload), cookie=cookie, payload=payload))
        assert errors_of(wire, requests) == [0] * count
        for at, found in zip(places, pipelined_reads(wire, places, 4 * KIB)):
            assert found == data[at:at + 4 * KIB]
    assert content(path) == data


@pytest.mark.parametrize("flags", [0, FLAG_NO_HOLE])
def test_zeroes_and_trim(directory, flags):
    data = bytearray(noise(8 * MIB))
    path = make_file(directory, data)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        at, length = 3 * wire.block, 5 * MIB + 7 * wire.block
        assert wire.command(CMD_WRITE_ZEROES, at, length, flags)[0] == 0
        data[at:at + length] = bytes(length)
        assert read_all(wire, len(data)) == data
        assert wire.command(CMD_TRIM, 0, len(data))[0] == 0


@pytest.mark.parametrize("cut", [0, 512])
def test_reads_past_the_end_of_a_truncated_file_are_io_errors(directory, cut):
    data = noise(MIB)
    path = make_file(directory, data)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        os.truncate(path, 256 * KIB + cut)
        assert wire.command(CMD_READ, 512 * KIB, 4 * KIB)[0] == EIO
        assert wire.command(CMD_READ, 252 * KIB, 64 * KIB)[0] == EIO
        assert wire.read(252 * KIB, 4 * KIB) == data[252 * KIB:256 * KIB]


def test_reads_across_an_odd_end_of_a_truncated_file_are_io_errors(directory):
    data = noise(MIB)
    path = make_file(directory, data)
    with Daemon(directory, path + ",direct=on") as daemon, connect_direct(daemon) as wire:
        os.truncate(path, 256 * KIB + 100)
        assert wire.command(CMD_READ, 252 * KIB, 64 * KIB)[0] == EIO
        assert wire.command(CMD_READ, 256 * KIB, 4 * KIB)[0] == EIO
        assert wire.read(252 * KIB, 4 * KIB) == data[252 * KIB:256 * KIB]
