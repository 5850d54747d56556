# SPDX-License-Identifier: BSD-2-Clause
"""The file driver on block devices that fail, or have less space than they say, as thin ones do."""

import os

import pytest
from daemon import Daemon
from driver_support import KIB, MIB, connect, content, in_own_mounts, loop, make_file, noise
from strace import ENVIRONMENT, Strace
from wire_client import CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, ENOSPC, FLAG_FUA, FLAG_NO_HOLE

SIZE = 4 * MIB
KEYS = ["", ",direct=on"]


@pytest.fixture
def data():
    return noise(SIZE)


@pytest.fixture(params=KEYS)
def daemon(request, directory, data):
    image = make_file(directory, data)
    with loop(image) as device:
        with Daemon(directory, "d=" + device + request.param, environment=ENVIRONMENT) as running:
            running.image = image
            yield running
            running.good_statuses = {1 if "making data durable failed" in running.log() else 0}


# Zeroes that keep their space are the device's own affair: BLKZEROOUT.
CHANGES = {"BLKDISCARD": (CMD_TRIM, MIB, 64 * KIB), "BLKZEROOUT": (CMD_WRITE_ZEROES, MIB, 64 * KIB, FLAG_NO_HOLE)}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("error, expected", [("EIO", EIO), ("EREMOTEIO", EIO), ("ENODATA", EIO), ("ENOSPC", ENOSPC)])
def test_a_failed_ioctl_fails_its_request_alone(daemon, data, name, error, expected):
    with connect(daemon, b"d") as wire:
        with Strace(daemon, "ioctl", f"ioctl:error={error}") as trace:
            assert wire.command(*CHANGES[name])[0] == expected
        assert trace.calls(name)
        assert wire.read(0, SIZE) == data
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.command(*CHANGES[name])[0] == 0
        assert wire.write(0, b"x" * 4096, FLAG_FUA) == 0


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("error, sticky", [("EIO", True), ("EREMOTEIO", True), ("ENOSPC", False)])
def test_a_failed_ioctl_with_fua_is_sticky_unless_it_found_no_space(daemon, name, error, sticky):
    command, at, length, *flags = CHANGES[name]
    promise = (command, at, length, FLAG_FUA | sum(flags))
    with connect(daemon, b"d") as wire:
        with Strace(daemon, "ioctl", f"ioctl:error={error}"):
            assert wire.command(*promise)[0] == (EIO if sticky else ENOSPC)
        assert wire.command(CMD_FLUSH)[0] == (EIO if sticky else 0)
        assert daemon.ctl_json("clear-error", "d") == {"cleared": sticky}
        assert wire.command(*promise)[0] == 0
        assert wire.command(CMD_FLUSH)[0] == 0


@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EREMOTEIO"])
def test_a_failed_sync_is_sticky_until_it_is_forgotten(daemon, error):
    with connect(daemon, b"d") as wire:
        assert wire.write(0, b"a" * 4096) == 0
        with Strace(daemon, "fdatasync", f"fdatasync:error={error}"):
            assert wire.command(CMD_FLUSH)[0] == EIO
        assert wire.command(CMD_FLUSH)[0] == EIO
        assert wire.write(0, b"b" * 4096, FLAG_FUA) == EIO
        daemon.ctl("clear-error", "d")
        assert wire.write(0, b"c" * 4096) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        assert content(daemon.image)[:4096] == b"c" * 4096


@pytest.fixture
def thin(directory):
    """A loop device of 16 MiB on a file system that has room for 8."""
    mount = os.path.join(directory, "mnt")
    os.mkdir(mount)
    # The mount is gone with losetup's process, and the file system with the device.
    script = f"mount -t tmpfs -o size=8M none {mount}; truncate -s 16M {mount}/thin"
    with loop(mount + "/thin", command=in_own_mounts(script)) as device:
        yield device


def test_no_space_below_a_cache_fails_the_flush(directory, thin):
    """Writes are told at once that they succeeded: only the flush can say otherwise, and never again be believed."""
    with Daemon(directory, "d=" + thin) as daemon, connect(daemon, b"d") as wire:
        daemon.good_statuses = {1}
        kept, lost = noise(4 * MIB), noise(8 * MIB, 2)
        assert wire.write(0, kept) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        for at in range(0, len(lost), MIB):
            assert wire.write(4 * MIB + at, lost[at:at + MIB]) == 0
        assert [wire.command(CMD_FLUSH)[0] for _ in range(2)] == [EIO, EIO]
        assert wire.write(0, kept[:4096], FLAG_FUA) == EIO
        # Room is made, by giving up the half of what is there, and all that is unknown is written anew.
        assert wire.command(CMD_TRIM, 2 * MIB, 10 * MIB)[0] == 0
        assert daemon.ctl_json("clear-error", "d") == {"cleared": True}
        assert wire.write(4 * MIB, lost[:2 * MIB]) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        with open(thin, "rb") as device:
            os.posix_fadvise(device.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert wire.read(0, 2 * MIB) == kept[:2 * MIB]
        assert wire.read(4 * MIB, 2 * MIB) == lost[:2 * MIB]


def test_no_space_below_o_direct_fails_the_write(directory, thin):
    with Daemon(directory, f"d={thin},direct=on") as daemon, connect(daemon, b"d") as wire:
        kept = noise(4 * MIB)
        assert wire.write(0, kept, FLAG_FUA) == 0
        errors = [wire.write(4 * MIB + at, noise(64 * KIB, at)) for at in range(0, 8 * MIB, 64 * KIB)]
        # A loop device calls it an I/O error.
        assert errors[0] == 0 and errors[-1] in (EIO, ENOSPC)
        assert set(errors) <= {0, EIO, ENOSPC}
        # No promise was broken.
        assert wire.command(CMD_FLUSH)[0] == 0
        assert wire.read(0, len(kept)) == kept
        assert wire.command(CMD_TRIM, 2 * MIB, 4 * MIB)[0] == 0
        assert wire.write(11 * MIB, kept[:MIB], FLAG_FUA) == 0
        assert wire.command(CMD_READ, 11 * MIB, MIB) == (0, kept[:MIB])
        assert wire.command(CMD_WRITE, 0, 4096, FLAG_FUA, kept[:4096])[0] == 0
