# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: TRIM and WRITE_ZEROES, what they do to the file's space, and what happens where they don't work."""

import os
import subprocess

import pytest
from daemon import Daemon
from driver_support import GIB, KIB, MIB, allocated, connect, content, make_file, noise, with_tmpfs
from strace import ENVIRONMENT, Strace
from wire_client import CMD_TRIM, CMD_WRITE_ZEROES, ENOTSUP, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE

SIZE = 8 * MIB
# Around the sizes of the pieces in which zeroes are written, at odd places.
RANGES = [(0, 1), (3, 511), (4095, 2), (1, 64 * KIB), (64 * KIB + 1, MIB), (17, MIB + 1), (5, MIB + 64 * KIB - 1),
          (4096, 2 * MIB), (2 * MIB + 7, 3 * MIB + 64 * KIB + 17), (0, SIZE)]


@pytest.fixture(autouse=True)
def needs_holes(directory):
    path = make_file(directory, noise(MIB), "probe")
    punched = subprocess.run(["fallocate", "--punch-hole", "--length", str(MIB), path], timeout=60, check=False)
    if punched.returncode or allocated(path):
        pytest.skip(f"the file system of {directory} makes no holes")


def zeroed(data, at, length):
    return data[:at] + bytes(length) + data[at + length:]


def test_trim_gives_space_back(directory):
    path = make_file(directory, noise(SIZE))
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        before = allocated(path)
        assert before >= SIZE
        assert wire.command(CMD_TRIM, MIB, 4 * MIB)[0] == 0
        assert before - allocated(path) == 4 * MIB
        assert wire.command(CMD_TRIM, 0, SIZE)[0] == 0
        assert allocated(path) < 64 * KIB
    assert os.path.getsize(path) == SIZE


def test_trim_leaves_the_neighbours_alone(directory):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_TRIM, MIB + 1, 2 * MIB + 1)[0] == 0
    assert content(path)[:MIB + 1] == data[:MIB + 1]
    assert content(path)[3 * MIB + 2:] == data[3 * MIB + 2:]


def test_zeroes_make_a_hole(directory):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, 4097, 5 * MIB)[0] == 0
        assert allocated(path) <= SIZE - 5 * MIB + 64 * KIB
    assert content(path) == zeroed(data, 4097, 5 * MIB)


def test_zeroes_with_no_hole_keep_the_space(directory):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, 4097, 5 * MIB, FLAG_NO_HOLE)[0] == 0
        assert allocated(path) >= SIZE
    assert content(path) == zeroed(data, 4097, 5 * MIB)


def test_zeroes_with_no_hole_allocate_the_space_of_a_hole(directory):
    path = make_file(directory, SIZE)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, 0, 5 * MIB, FLAG_NO_HOLE)[0] == 0
        assert 5 * MIB <= allocated(path) < 6 * MIB
    assert content(path) == bytes(SIZE)


@pytest.mark.parametrize("at, length", RANGES)
def test_zeroes_cover_exactly_the_range(directory, at, length):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, at, length)[0] == 0
        assert content(path) == zeroed(data, at, length)
        assert wire.write(0, data[:4 * MIB]) == 0
        assert wire.write(4 * MIB, data[4 * MIB:]) == 0
        assert wire.command(CMD_WRITE_ZEROES, at, length, FLAG_NO_HOLE | FLAG_FUA)[0] == 0
        assert content(path) == zeroed(data, at, length)


def test_zeroes_of_almost_4_gib(directory):
    path = make_file(directory, 5 * GIB)
    length = 2**32 - 1
    places = [0, 1, 2 * GIB - 1, 2 * GIB, 3 * GIB, length - 1, length, length + 1, 4 * GIB, 5 * GIB - 1]
    with Daemon(directory, path) as daemon, connect(daemon) as wire:
        for at in places:
            assert wire.write(at, b"x") == 0
        assert wire.command(CMD_WRITE_ZEROES, 1, length)[0] == 0
        for at in places:
            assert wire.read(at, 1) == (b"\0" if 1 <= at < 1 + length else b"x"), at
    assert allocated(path) < MIB


@pytest.mark.parametrize("flags", [0, FLAG_NO_HOLE])
def test_fast_zeroes_are_fast_where_the_file_system_can(directory, flags):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path, environment=ENVIRONMENT) as daemon, connect(daemon) as wire:
        with Strace(daemon, "fallocate,pwritev2") as trace:
            assert wire.command(CMD_WRITE_ZEROES, MIB, 4 * MIB, FLAG_FAST_ZERO | flags)[0] == 0
        assert len(trace.calls("^fallocate")) == 1
        assert not trace.calls("^pwritev2")
    assert content(path) == zeroed(data, MIB, 4 * MIB)


@pytest.fixture
def no_fallocate():
    """How to start a daemon on a file system without fallocate."""
    return {"command": ["strace", "-f", "-o", "/dev/null", "-e", "trace=fallocate", "-e", "signal=none", "-e",
                        "inject=fallocate:error=EOPNOTSUPP"], "environment": ENVIRONMENT}


@pytest.mark.parametrize("flags", [0, FLAG_NO_HOLE, FLAG_FUA])
def test_without_fallocate_zeroes_are_written_over_the_whole_range(directory, flags, no_fallocate):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path, **no_fallocate) as daemon, connect(daemon) as wire:
        for at, length in RANGES:
            assert wire.command(CMD_WRITE_ZEROES, at, length, flags)[0] == 0
            found = content(path)
            assert found == zeroed(data, at, length), (at, length)
            assert wire.write(at, data[at:at + length]) == 0


def test_zeroes_that_are_written_leave_others_their_turns(directory, no_fallocate):
    path = make_file(directory, SIZE)
    with Daemon(directory, path, options=["--threads", "1"], **no_fallocate) as daemon, connect(daemon) as wire:
        before = daemon.stats()["turns"]
        assert wire.command(CMD_WRITE_ZEROES, 0, SIZE)[0] == 0
        assert daemon.stats()["turns"] - before >= SIZE // MIB


def test_without_fallocate_fast_zeroes_are_refused_and_change_nothing(directory, no_fallocate):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path, **no_fallocate) as daemon, connect(daemon) as wire:
        for flags in (0, FLAG_NO_HOLE, FLAG_FUA, FLAG_NO_HOLE | FLAG_FUA):
            # The second time it is known.
            for _ in range(2):
                assert wire.command(CMD_WRITE_ZEROES, MIB, 4 * MIB, FLAG_FAST_ZERO | flags)[0] == ENOTSUP
        assert content(path) == data
        assert wire.command(CMD_WRITE_ZEROES, MIB, 4 * MIB)[0] == 0
    assert content(path) == zeroed(data, MIB, 4 * MIB)


def test_without_fallocate_trim_succeeds_and_does_nothing(directory, no_fallocate):
    data = noise(SIZE)
    path = make_file(directory, data)
    with Daemon(directory, path, **no_fallocate) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_TRIM, MIB, 4 * MIB)[0] == 0
        assert wire.command(CMD_TRIM, MIB, 4 * MIB, FLAG_FUA)[0] == 0
    assert content(path) == data


def test_where_only_zeroing_in_place_is_missing_the_rest_stays_fast(directory):
    """tmpfs makes holes but has no FALLOC_FL_ZERO_RANGE."""
    command, mount = with_tmpfs(directory, "size=32M")
    command[-2] = command[-2].replace('exec "$@"', f'truncate -s {SIZE} {mount}/disk.img; exec "$@"')
    data = noise(SIZE)
    with Daemon(directory, mount + "/disk.img", command=command) as daemon, connect(daemon) as wire:
        for at, length in RANGES:
            for start in range(0, SIZE, 4 * MIB):
                assert wire.write(start, data[start:start + 4 * MIB]) == 0
            assert wire.command(CMD_WRITE_ZEROES, at, length, FLAG_NO_HOLE | FLAG_FAST_ZERO)[0] == ENOTSUP
            assert wire.read(0, SIZE) == data
            assert wire.command(CMD_WRITE_ZEROES, at, length, FLAG_NO_HOLE)[0] == 0
            assert wire.read(0, SIZE) == zeroed(data, at, length)
        assert wire.command(CMD_WRITE_ZEROES, MIB, 4 * MIB, FLAG_FAST_ZERO)[0] == 0


def test_zeroes_of_a_range_that_is_zero_already_cost_no_writes(directory):
    path = make_file(directory, GIB)
    with Daemon(directory, path, environment=ENVIRONMENT) as daemon, connect(daemon) as wire:
        with Strace(daemon, "pwritev2") as trace:
            assert wire.command(CMD_WRITE_ZEROES, 0, GIB)[0] == 0
        assert not trace.calls()
    assert allocated(path) < 64 * KIB
