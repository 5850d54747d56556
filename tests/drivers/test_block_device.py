# SPDX-License-Identifier: BSD-2-Clause
"""The file driver on block devices, which here are loop devices on files."""

import os
import subprocess

import pytest
from daemon import Daemon, wait_for
from driver_support import KIB, MIB, allocated, connect, content, in_own_mounts, loop, make_file, noise, read_all, refusal
from strace import ENVIRONMENT, Strace
from wire_client import (
    CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE_ZEROES, EINVAL, EIO, ENOTSUP, EPERM, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE,
    INFO_BLOCK_SIZE, READ_ONLY, ROTATIONAL)

SIZE = 16 * MIB


@pytest.fixture
def data():
    return noise(SIZE)


@pytest.fixture
def image(directory, data):
    return make_file(directory, data)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("keys", ["", ",direct=on"])
def test_size_and_sector_size_are_the_devices(image, directory, data, sector, keys):
    with loop(image, "-b", str(sector)) as device, Daemon(directory, device + keys) as daemon:
        with connect(daemon, infos=[INFO_BLOCK_SIZE]) as wire:
            assert wire.size == SIZE
            assert wire.block_sizes[0] == sector
            assert wire.command(CMD_READ, sector // 2, sector)[0] == EINVAL
            assert wire.write(0, b"x" * (sector // 2)) == EINVAL
            assert read_all(wire, SIZE) == data


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("keys", ["", ",direct=on"])
def test_what_is_written_and_flushed_is_on_the_device(image, directory, data, sector, keys):
    expected = bytearray(data)
    with loop(image, "-b", str(sector)) as device:
        with Daemon(directory, device + keys) as daemon, connect(daemon) as wire:
            for number, length in enumerate((sector, 3 * sector, 64 * KIB, 256 * KIB + sector, 3 * MIB + sector)):
                at = number * 3 * MIB + sector
                expected[at:at + length] = noise(length, number)
                assert wire.write(at, expected[at:at + length], FLAG_FUA if number % 2 else 0) == 0
            assert wire.command(CMD_FLUSH)[0] == 0
            assert read_all(wire, SIZE, 4 * MIB) == expected
            assert content(image) == expected


@pytest.mark.parametrize("keys", ["", ",direct=on"])
def test_trim_reaches_the_device(image, directory, data, keys):
    with loop(image) as device, Daemon(directory, device + keys) as daemon, connect(daemon) as wire:
        before = allocated(image)
        assert wire.command(CMD_TRIM, MIB, 8 * MIB)[0] == 0
        assert before - allocated(image) >= 7 * MIB
        assert wire.read(0, MIB) == data[:MIB]
        assert wire.read(9 * MIB, 4096) == data[9 * MIB:9 * MIB + 4096]


@pytest.mark.parametrize("keys", ["", ",direct=on"])
@pytest.mark.parametrize("flags", [0, FLAG_NO_HOLE, FLAG_FUA, FLAG_NO_HOLE | FLAG_FUA])
def test_zeroes_cover_exactly_the_range(image, directory, data, keys, flags):
    at, length = MIB + 512, 5 * MIB + 1536
    with loop(image) as device, Daemon(directory, device + keys) as daemon, connect(daemon) as wire:
        # Its pages are in the cache, and must not be found there again.
        assert wire.read(at, length) == data[at:at + length]
        assert wire.command(CMD_WRITE_ZEROES, at, length, flags)[0] == 0
        assert read_all(wire, SIZE) == data[:at] + bytes(length) + data[at + length:]
        assert wire.command(CMD_FLUSH)[0] == 0
        assert content(image) == data[:at] + bytes(length) + data[at + length:]


def test_zeroes_that_keep_the_space_are_no_fast_ones(image, directory, data):
    with loop(image) as device, Daemon(directory, device) as daemon, connect(daemon) as wire:
        assert wire.command(CMD_WRITE_ZEROES, 0, MIB, FLAG_FAST_ZERO | FLAG_NO_HOLE)[0] == ENOTSUP
        assert wire.read(0, MIB) == data[:MIB]
        assert wire.command(CMD_WRITE_ZEROES, 0, MIB, FLAG_FAST_ZERO)[0] in (0, ENOTSUP)


def test_zeroes_where_the_device_cannot_punch_holes(image, directory, data):
    with loop(image) as device, Daemon(directory, device, environment=ENVIRONMENT) as daemon, connect(daemon) as wire:
        with Strace(daemon, "fallocate,ioctl", "fallocate:error=EOPNOTSUPP") as trace:
            assert wire.command(CMD_WRITE_ZEROES, 0, MIB, FLAG_FAST_ZERO)[0] == ENOTSUP
            assert wire.read(0, MIB) == data[:MIB]
            assert wire.command(CMD_WRITE_ZEROES, 512, 5 * MIB)[0] == 0
        assert trace.calls("BLKZEROOUT")
        assert read_all(wire, SIZE) == data[:512] + bytes(5 * MIB) + data[5 * MIB + 512:]


def test_trim_where_the_device_cannot_discard_does_nothing(image, directory, data):
    with loop(image) as device, Daemon(directory, device, environment=ENVIRONMENT) as daemon, connect(daemon) as wire:
        with Strace(daemon, "ioctl", "ioctl:error=EOPNOTSUPP") as trace:
            assert wire.command(CMD_TRIM, 0, MIB)[0] == 0
        assert trace.calls("BLKDISCARD")
        assert wire.read(0, MIB) == data[:MIB]


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES])
def test_fua_trim_and_zeroes_are_synced_afterwards(image, directory, command):
    with loop(image) as device, Daemon(directory, device, environment=ENVIRONMENT) as daemon, connect(daemon) as wire:
        with Strace(daemon, "fallocate,ioctl,fdatasync") as trace:
            assert wire.command(command, 0, MIB, FLAG_FUA)[0] == 0
        assert trace.calls()[-1].startswith("fdatasync")
        assert len(trace.calls()) == 2


def test_device_that_something_else_holds_is_refused(image, directory):
    with loop(image) as device:
        holder = os.open(device, os.O_RDWR | os.O_EXCL)
        assert "in use" in refusal(directory, device)
        with Daemon(directory, device + ",share=on") as daemon, connect(daemon) as wire:
            assert wire.write(0, b"x" * 512) == 0
        os.close(holder)


def test_mounted_device_is_refused(directory):
    image = make_file(directory, SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], timeout=60, check=True)
    with loop(image) as device:
        mount = os.path.join(directory, "mnt")
        os.mkdir(mount)
        assert "in use" in refusal(directory, device, command=in_own_mounts(f"mount {device} {mount}"))
        Daemon(directory, device).stop()


def test_device_is_held_while_it_is_served(image, directory):
    with loop(image) as device:
        with Daemon(directory, device):
            with pytest.raises(OSError, match="busy"):
                os.open(device, os.O_RDWR | os.O_EXCL)
            refused = refusal(directory, device)
            assert "in use" in refused or "locked" in refused
        os.close(os.open(device, os.O_RDWR | os.O_EXCL))


def test_read_only_device_is_served_read_only(image, directory, data):
    with loop(image, "--read-only") as device, Daemon(directory, device) as daemon, connect(daemon) as wire:
        assert wire.transmission_flags & READ_ONLY
        assert wire.write(0, b"x" * 512) == EPERM
        assert read_all(wire, SIZE) == data


@pytest.mark.parametrize("keys", ["", ",direct=on"])
def test_device_that_cannot_read_gives_eio(image, directory, data, keys):
    """A loop device has no medium behind its file's end: what isn't cached can't be read."""
    with loop(image) as device, Daemon(directory, device + keys) as daemon, connect(daemon) as wire:
        os.truncate(image, 4 * MIB)
        for at, length in ((8 * MIB, 4096), (12 * MIB, 2 * MIB), (4 * MIB - 64 * KIB, 128 * KIB), (SIZE - 512, 512)):
            assert wire.command(CMD_READ, at, length)[0] == EIO, (at, length)
        assert wire.read(0, MIB) == data[:MIB]
        assert wire.command(CMD_FLUSH)[0] == 0


@pytest.mark.parametrize("rotational", [True, False])
def test_device_that_turns_says_so(image, directory, rotational):
    with loop(image) as device:
        attribute = f"/sys/block/{os.path.basename(device)}/queue/rotational"
        with open(attribute, "w", encoding="ascii") as file:
            file.write(str(int(rotational)))
        with Daemon(directory, device) as daemon, connect(daemon) as wire:
            assert bool(wire.transmission_flags & ROTATIONAL) == rotational


def test_file_is_opened_to_wait_for_its_device(image, directory):
    """With O_NONBLOCK some kernels refuse whatever can't be had at once."""
    with Daemon(directory, image) as daemon:
        links = {os.readlink(f"/proc/{daemon.pid}/fd/{number}"): number for number in os.listdir(f"/proc/{daemon.pid}/fd")}
        with open(f"/proc/{daemon.pid}/fdinfo/{links[os.path.realpath(image)]}", encoding="ascii") as file:
            flags = int(next(line for line in file if line.startswith("flags:")).split()[1], 8)
        assert not flags & os.O_NONBLOCK


def test_device_that_grew_is_larger_for_the_next_client(image, directory):
    with loop(image) as device, Daemon(directory, device) as daemon:
        with connect(daemon) as wire:
            assert wire.size == SIZE
            wire.disconnect()
        os.truncate(image, 2 * SIZE)
        subprocess.run(["losetup", "--set-capacity", device], timeout=60, check=True)

        def size():
            with connect(daemon) as wire:
                return wire.size
        # The last client's release may still run when the next one comes.
        wait_for(lambda: size() == 2 * SIZE, "the new size")
