# SPDX-License-Identifier: BSD-2-Clause
"""unaligned=emulate: disks of blocks that take requests of any offset and length."""

import os
import random

import pytest

from daemon import Daemon
from driver_support import KIB, MIB, content, make_file, noise
from volatile_support import load, set_parameters
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, ENOTSUP, FLAG_FAST_ZERO,
                         FLAG_FUA, FLAG_NO_HOLE, FLAG_REQ_ONE, INFO_BLOCK_SIZE, Wire, contents, request)

SIZE = 2 * MIB


@pytest.fixture
def data():
    return noise(SIZE)


@pytest.fixture(params=["file", "volatile"])
def daemon(request, directory, data):
    """Its export d emulates, r refuses, of disks with the same content."""
    paths = [make_file(directory, data, name) for name in ("d.img", "r.img")]
    if request.param == "volatile":
        with Daemon(directory) as running:
            load(running)
            running.ctl("export", "add", f"d=volatile:{SIZE},unaligned=emulate")
            with Wire(running).go(b"d") as wire:
                assert wire.write(0, data) == 0
                wire.disconnect()
            running.path = None
            yield running
    else:
        try:
            os.close(os.open(paths[0], os.O_RDWR | os.O_DIRECT))
        except OSError as error:
            pytest.skip(f"the file system of {directory} has no O_DIRECT: {error}")
        with Daemon(directory, f"d={paths[0]},direct,unaligned=emulate", f"r={paths[1]},direct,unaligned=refuse") as running:
            running.path = paths[0]
            yield running


def connect(daemon, name=b"d", **more):
    return Wire(daemon).go(name, infos=[INFO_BLOCK_SIZE], **more)


def test_what_is_told_of_block_sizes(daemon):
    with connect(daemon) as wire:
        assert wire.block_sizes[0] == 1
        wire.disconnect()
    if daemon.path:
        with connect(daemon, b"r") as wire:
            assert wire.block_sizes[0] >= 512
            for offset, length in ((1, 512), (0, 1), (511, 2)):
                assert wire.command(CMD_READ, offset, length)[0] == EINVAL
                assert wire.write(offset, bytes(length)) == EINVAL
            wire.disconnect()


@pytest.mark.parametrize("form", [{}, {"structured": True}, {"extended": True}], ids=["simple", "structured", "extended"])
def test_reads_of_any_range(daemon, data, form):
    lots = random.Random(1)
    with connect(daemon, **form) as wire:
        for _ in range(300):
            length = lots.choice([1, 7, 511, 512, 513, 4095, 4097, 70000, MIB + 1])
            offset = lots.randrange(SIZE - length + 1)
            assert wire.read(offset, length) == data[offset:offset + length]
        assert wire.read(SIZE - 1, 1) == data[-1:]
        assert wire.command(CMD_READ, SIZE - 1, 2)[0] == EINVAL
        wire.disconnect()


@pytest.mark.parametrize("scheduler", ["none", "merge", "deadline"])
def test_any_load_leaves_what_it_should(daemon, data, scheduler):
    daemon.ctl("queue", "d", f"scheduler={scheduler}")
    expected = bytearray(data)
    lots = random.Random(2)
    with connect(daemon) as wire:
        for _ in range(30):
            batch = []
            for number in range(40):
                length = lots.choice([1, 3, 100, 511, 512, 513, 4095, 4096, 4097, 9000, 70001])
                offset = lots.randrange(64 * KIB)
                flags = lots.choice([0, 0, 0, FLAG_FUA])
                if lots.randrange(3):
                    payload = noise(length, number)
                    batch.append(request(CMD_WRITE, offset, length, flags, number, payload))
                    expected[offset:offset + length] = payload
                else:
                    batch.append(request(CMD_WRITE_ZEROES, offset, length, flags | lots.choice([0, FLAG_NO_HOLE]), number))
                    expected[offset:offset + length] = bytes(length)
            # All of it at once: they overlap, and the last word is the last one's.
            wire.send(b"".join(batch))
            for _ in batch:
                assert wire.reply()[0] == 0
            assert wire.read(0, 160 * KIB) == expected[:160 * KIB]
        wire.disconnect()
    if daemon.path:
        daemon.stop()
        assert content(daemon.path) == expected


def test_bytes_of_one_block_by_many_at_once(daemon, data):
    """Several connections, each with its own bytes of the same blocks: none undoes what another did."""
    count, stride = 4, 16
    wires = [connect(daemon) for _ in range(count)]
    expected = bytearray(data)
    for number, wire in enumerate(wires):
        batch = b""
        for offset in range(number * stride, 16 * KIB, count * stride):
            payload = noise(stride, offset)
            expected[offset:offset + stride] = payload
            batch += request(CMD_WRITE, offset, stride, 0, offset, payload)
        wire.send(batch)
    for wire in wires:
        for _ in range(16 * KIB // (count * stride)):
            assert wire.reply()[0] == 0
    assert wires[0].read(0, 16 * KIB) == expected[:16 * KIB]
    for wire in wires:
        wire.disconnect()


def test_trim_leaves_the_edges(daemon, data):
    with connect(daemon) as wire:
        assert wire.command(CMD_TRIM, 8191, 64 * KIB + 2)[0] == 0
        assert wire.command(CMD_TRIM, 300 * KIB + 1, 5, FLAG_FUA)[0] == 0
        assert wire.read(0, 8192) == data[:8192]
        assert wire.read(72 * KIB, SIZE - 72 * KIB) == data[72 * KIB:]
        wire.disconnect()


def test_fast_zero_is_not_faster_and_changes_nothing(daemon, data):
    with connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, 1, 4096, FLAG_FAST_ZERO)[0] == ENOTSUP
        assert wire.read(0, 8192) == data[:8192]
        wire.disconnect()


@pytest.mark.parametrize("form", [{"structured": True}, {"extended": True}], ids=["structured", "extended"])
def test_status_of_any_range(daemon, form):
    with connect(daemon, contexts=[b"base:allocation"], **form) as wire:
        for offset, length in ((1, 1), (511, 2), (4095, 70000), (0, SIZE - 1), (SIZE - 1, 1)):
            for flags in (0, FLAG_REQ_ONE):
                extents, = wire.status(offset, length, flags).values()
                assert sum(size for size, _ in extents) == length
        assert wire.command(CMD_CACHE, 1, 1)[0] in (0, EINVAL)
        wire.disconnect()


def test_holes_in_reads_of_any_range(directory):
    path = os.path.join(directory, "sparse.img")
    with open(path, "wb") as file:
        file.truncate(SIZE)
        os.pwrite(file.fileno(), noise(64 * KIB), MIB)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
    except OSError as error:
        pytest.skip(f"the file system of {directory} has no O_DIRECT: {error}")
    with Daemon(directory, f"d={path},direct,unaligned=emulate") as daemon, connect(daemon, structured=True) as wire:
        wire.send(request(CMD_READ, 3, SIZE - 5))
        offset, found = contents(wire.chunks()[1])
        assert offset == 3
        assert found == (bytes(MIB) + noise(64 * KIB) + bytes(SIZE - MIB - 64 * KIB))[3:SIZE - 2]
        wire.disconnect()


def test_errors_of_a_part_are_the_whole_s(directory, data):
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", "d=volatile:1M,unaligned=emulate")
        with connect(daemon) as wire:
            assert wire.write(0, data[:64 * KIB]) == 0
            for ops in "rwz":
                set_parameters(daemon, ops=ops, fail_per_million=1000000)
                # Neither read nor written, or zeroed in between.
                error = wire.command(CMD_WRITE_ZEROES, 1, 8192)[0] if ops == "z" else wire.write(100, b"x")
                assert error == EIO
                set_parameters(daemon, fail_per_million=0)
                assert wire.read(8200, 64 * KIB - 8200) == data[8200:64 * KIB]
            wire.disconnect()


def test_what_cannot_be_read_is_not_lost(directory, data):
    """A block that can't be read can't be written in part, durably or not; that harms nothing else."""
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", "d=volatile:1M,unaligned=emulate")
        with connect(daemon) as wire:
            assert wire.write(0, data[:64 * KIB], FLAG_FUA) == 0
            set_parameters(daemon, ops="r", fail_per_million=1000000)
            for flags in (FLAG_FUA, 0):
                assert wire.write(100, b"0123456789", flags) == EIO
            assert wire.write(4096, b"w" * 4096, FLAG_FUA) == 0
            assert wire.command(CMD_FLUSH)[0] == 0
            set_parameters(daemon, fail_per_million=0)
            assert wire.read(0, 8192) == data[:4096] + b"w" * 4096
            wire.disconnect()


@pytest.mark.parametrize("value", ["unaligned", "unaligned=", "unaligned=yes"])
def test_other_values_are_refused(directory, value):
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "emulate or refuse" in daemon.ctl("export", "add", f"b=ram:1M,{value}", status=1)
