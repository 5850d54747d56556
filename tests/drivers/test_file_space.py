# SPDX-License-Identifier: BSD-2-Clause
"""The file driver where there is no more space: the client hears ENOSPC, loses nothing else, and can make room."""

import contextlib
import os
import subprocess

import pytest
from baseline import leaves_nothing
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, in_own_mounts, make_file, noise, read_all, with_tmpfs
from wire_client import CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES, ENOSPC, FLAG_FUA, FLAG_NO_HOLE, Wire

# Buffers are kept for a while: too long to wait for in each test.
KEPT = 16 * MIB
STATE_HOLE = 1


@contextlib.contextmanager
def limited(directory, data):
    """A daemon that may write no file beyond 1 MiB."""
    with Daemon(directory, make_file(directory, data), command=["prlimit", f"--fsize={MIB}"]) as daemon:
        with leaves_nothing(daemon, slack=KEPT):
            yield daemon


def test_writing_beyond_the_file_size_limit_is_no_space(directory):
    data = noise(2 * MIB)
    with limited(directory, data) as daemon, connect(daemon) as wire:
        assert wire.write(MIB, b"x" * 4096) == ENOSPC
        assert wire.write(2 * MIB - 1, b"x") == ENOSPC
        assert read_all(wire, 2 * MIB) == data
        assert wire.write(MIB - 4096, b"y" * 4096) == 0
        assert wire.read(MIB - 4096, 4096) == b"y" * 4096


def test_write_across_the_file_size_limit_fails_as_a_whole(directory):
    data = noise(2 * MIB)
    with limited(directory, data) as daemon, connect(daemon) as wire:
        assert wire.write(MIB - 4096, b"x" * 8192) == ENOSPC
        assert wire.read(MIB, MIB) == data[MIB:]


def test_no_space_for_a_fua_write_spoils_no_later_flush(directory):
    with limited(directory, noise(2 * MIB)) as daemon, connect(daemon) as wire:
        assert wire.write(MIB, b"x" * 4096, FLAG_FUA) == ENOSPC
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.write(0, b"y" * 4096, FLAG_FUA) == 0


def check_that_what_is_no_hole_can_be_written(daemon, size):
    """However full it is: base:allocation promises that."""
    checked = 0
    with Wire(daemon) as wire:
        wire.go(structured=True, contexts=[b"base:allocation"])
        (extents,) = wire.status(0, size).values()
        at = 0
        for length, flags in extents:
            for place in range(at, min(at + length, size), MIB) if not flags & STATE_HOLE else ():
                assert wire.write(place, wire.read(place, 4 * KIB)) == 0
                checked += 1
            at += length
    assert at >= size and checked


def check_full(daemon, size):
    """Fills the file until there is no space, and goes on from there."""
    piece = MIB
    written = {}
    with connect(daemon) as wire:
        assert wire.size == size
        for at in range(0, size, piece):
            written[at] = noise(piece, at)
            error = wire.write(at, written[at])
            if error:
                assert error == ENOSPC
                break
        else:
            pytest.fail("it never became full")
        last = at
        assert last > 0
        check_that_what_is_no_hole_can_be_written(daemon, size)
        assert wire.command(CMD_WRITE_ZEROES, size - 8 * MIB, 8 * MIB, FLAG_NO_HOLE)[0] == ENOSPC
        # Holes need no space, and neither does what is there already.
        assert wire.command(CMD_WRITE_ZEROES, size - piece, piece)[0] == 0
        for at in range(0, last, piece):
            assert wire.read(at, piece) == written[at]
        written[0] = noise(piece)
        assert wire.write(0, written[0]) == 0
        # Space that was given back can be used again.
        assert wire.command(CMD_TRIM, 0, 2 * piece)[0] == 0
        assert wire.write(last, written[last]) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        wire.disconnect()
    with connect(daemon) as wire:
        for at in range(2 * piece, last + piece, piece):
            assert wire.read(at, piece) == written[at]


def test_full_tmpfs(directory):
    command, mount = with_tmpfs(directory, "size=12M")
    command[-2] = command[-2].replace('exec "$@"', f'truncate -s 64M {mount}/disk.img; exec "$@"')
    with Daemon(directory, mount + "/disk.img", command=command) as daemon, leaves_nothing(daemon):
        check_full(daemon, 64 * MIB)


@pytest.mark.parametrize("keys", ["", ",direct=on"])
@pytest.mark.parametrize("journal", ["has_journal", "^has_journal"])
def test_full_ext4(directory, keys, journal):
    """With a journal, what was given back can only be had when that is in there."""
    image = make_file(directory, 64 * MIB, "ext4.img")
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", journal, image], timeout=60, check=True)
    mount = os.path.join(directory, "mnt")
    os.mkdir(mount)
    script = f"mount -t ext4 -o loop {image} {mount}; truncate -s 128M {mount}/disk.img"
    possible = subprocess.run(in_own_mounts(script) + ["true"], stderr=subprocess.PIPE, timeout=60, check=False)
    if possible.returncode:
        pytest.skip(f"no loop devices to put a file system on: {possible.stderr.decode().strip()}")
    with Daemon(directory, mount + "/disk.img" + keys, command=in_own_mounts(script)) as daemon, leaves_nothing(daemon, slack=KEPT):
        check_full(daemon, 128 * MIB)


def test_refused_writes_leave_the_file_its_content(directory):
    data = noise(2 * MIB)
    with limited(directory, data) as daemon, connect(daemon) as wire:
        for at in range(MIB, 2 * MIB, 128 * KIB):
            assert wire.write(at, b"x" * 128 * KIB) == ENOSPC
        path = os.path.join(directory, "disk.img")
        assert content(path) == data
