# SPDX-License-Identifier: BSD-2-Clause
"""The RAM disk: memory is taken by what is written and by nothing else, and is given back."""

import subprocess

import pytest
from daemon import Daemon
from driver_support import GIB, KIB, MIB, connect, noise, read_all, shared_memory
from wire_client import (
    CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES, ENOTSUP, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE, request)

SLACK = 2 * MIB


def fill(wire, length, at=0):
    data = noise(4 * MIB)
    for start in range(at, at + length, len(data)):
        assert wire.write(start, data) == 0


def test_reading_holes_takes_no_memory(directory):
    with Daemon(directory, "ram:1G") as daemon:
        before = shared_memory(daemon), daemon.memory()
        subprocess.run(["nbdcopy", daemon.uri(), "null:"], timeout=60, check=True)
        assert shared_memory(daemon) - before[0] < SLACK
        assert daemon.memory() - before[1] < 128 * MIB


def test_a_write_takes_what_it_needs(directory):
    with Daemon(directory, "ram:1G") as daemon, connect(daemon) as wire:
        before = shared_memory(daemon)
        fill(wire, 32 * MIB, 512 * MIB)
        assert 32 * MIB <= shared_memory(daemon) - before < 32 * MIB + SLACK


@pytest.mark.parametrize("command, flags", [(CMD_TRIM, 0), (CMD_TRIM, FLAG_FUA), (CMD_WRITE_ZEROES, 0),
                                            (CMD_WRITE_ZEROES, FLAG_FAST_ZERO), (CMD_WRITE_ZEROES, FLAG_FUA)])
def test_trim_and_zeroes_give_memory_back(directory, command, flags):
    with Daemon(directory, "ram:128M") as daemon, connect(daemon) as wire:
        before = shared_memory(daemon)
        fill(wire, 64 * MIB)
        assert wire.command(command, 0, 128 * MIB, flags)[0] == 0
        assert shared_memory(daemon) - before < SLACK
        assert read_all(wire, 64 * MIB, 8 * MIB) == bytes(64 * MIB)
        # Reading it does not bring it back.
        assert shared_memory(daemon) - before < SLACK


def test_trim_gives_single_pages_back(directory):
    with Daemon(directory, "ram:128M") as daemon, connect(daemon) as wire:
        before = shared_memory(daemon)
        fill(wire, 16 * MIB)
        for at in range(0, 16 * MIB, MIB):
            wire.send(b"".join(request(CMD_TRIM, at + page, 4 * KIB, cookie=page) for page in range(0, MIB, 4 * KIB)))
            for _ in range(0, MIB, 4 * KIB):
                assert wire.reply()[0] == 0
        assert shared_memory(daemon) - before < SLACK
        # Reading it does not bring it back.
        assert read_all(wire, 16 * MIB, 8 * MIB) == bytes(16 * MIB)
        assert shared_memory(daemon) - before < SLACK


def test_zeroes_with_no_hole_keep_the_memory(directory):
    with Daemon(directory, "ram:128M") as daemon, connect(daemon) as wire:
        before = shared_memory(daemon)
        fill(wire, 32 * MIB)
        assert wire.command(CMD_WRITE_ZEROES, 0, 64 * MIB, FLAG_NO_HOLE)[0] == 0
        assert shared_memory(daemon) - before >= 64 * MIB
        assert read_all(wire, 64 * MIB, 8 * MIB) == bytes(64 * MIB)


def test_zeroes_with_no_hole_are_no_fast_ones(directory):
    with Daemon(directory, "ram:8M") as daemon, connect(daemon) as wire:
        fill(wire, 8 * MIB)
        assert wire.command(CMD_WRITE_ZEROES, 0, 8 * MIB, FLAG_NO_HOLE | FLAG_FAST_ZERO)[0] == ENOTSUP
        assert read_all(wire, 4 * MIB) == noise(4 * MIB)


@pytest.mark.parametrize("command, flags", [(CMD_WRITE_ZEROES, 0), (CMD_WRITE_ZEROES, FLAG_NO_HOLE), (CMD_TRIM, 0)])
def test_zeroes_and_trim_cover_exactly_the_range(directory, command, flags):
    size = 9 * MIB + 1234
    data = noise(size)
    with Daemon(directory, f"ram:{size}") as daemon, connect(daemon) as wire:
        for at, length in ((0, 1), (4095, 2), (64 * KIB - 1, 64 * KIB + 2), (256 * KIB, 256 * KIB), (1, 256 * KIB),
                           (300 * KIB + 1, 4 * MIB), (4 * MIB - 1, 5 * MIB), (size - 1, 1), (8 * MIB + 7, MIB + 1227), (0, size)):
            assert wire.write(0, data) == 0
            assert wire.command(command, at, length, flags)[0] == 0
            assert read_all(wire, size) == data[:at] + bytes(length) + data[at + length:], (at, length)


def test_memory_is_taken_again_after_it_was_given_back(directory):
    with Daemon(directory, "ram:16M") as daemon, connect(daemon) as wire:
        for _ in range(3):
            fill(wire, 16 * MIB)
            assert read_all(wire, 16 * MIB) == noise(4 * MIB) * 4
            assert wire.command(CMD_TRIM, 0, 16 * MIB)[0] == 0
            assert wire.write(5 * MIB + 3, b"here") == 0
            assert wire.read(5 * MIB, 10) == b"\0\0\0here\0\0\0"


def test_content_outlives_its_clients(directory):
    with Daemon(directory, "ram:64M") as daemon:
        with connect(daemon) as wire:
            fill(wire, 16 * MIB)
            wire.disconnect()
        for _ in range(3):
            with connect(daemon) as wire:
                assert read_all(wire, 16 * MIB) == noise(4 * MIB) * 4
                assert wire.command(CMD_FLUSH)[0] == 0
                wire.disconnect()


@pytest.mark.parametrize("command, flags", [(CMD_WRITE_ZEROES, FLAG_NO_HOLE), (CMD_WRITE_ZEROES, 0), (CMD_TRIM, 0)])
def test_clearing_much_does_not_hold_up_another_client(directory, command, flags):
    size = 512 * MIB
    with Daemon(directory, f"ram:{size}", options=["--threads", "1"]) as daemon:
        with connect(daemon) as wire, connect(daemon) as other:
            fill(wire, size)
            wire.socket.setblocking(False)
            wire.send(request(command, 0, size, flags))
            reads = 0
            while True:
                assert len(other.read(reads * 4096, 4096)) == 4096
                reads += 1
                try:
                    reply = wire.socket.recv(1)
                except BlockingIOError:
                    continue
                break
            wire.socket.setblocking(True)
            assert reply + wire.receive(15)
            assert other.read(size - 4096, 4096) == bytes(4096)
    # It took turns with the reads.
    assert reads >= 20


def test_largest_zeroes_take_their_turns_over_holes_too(directory):
    with Daemon(directory, "ram:5G") as daemon, connect(daemon) as wire, connect(daemon) as other:
        assert wire.write(4 * GIB - 2, b"xyz") == 0
        wire.send(request(CMD_WRITE_ZEROES, 0, 2**32 - 1))
        assert other.command(CMD_READ, 0, 4096)[0] == 0
        assert wire.reply()[0] == 0
        assert wire.read(4 * GIB - 2, 3) == b"\0yz"
