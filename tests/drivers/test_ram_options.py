# SPDX-License-Identifier: BSD-2-Clause
"""The RAM disk: sizes, and what it refuses."""

import fcntl
import os
import re

import pytest
from daemon import Daemon
from driver_support import KIB, MIB, connect, noise, refusal
from wire_client import (
    CAN_MULTI_CONN, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, ENOSPC, EPERM, FLAG_NO_HOLE, INFO_BLOCK_SIZE, READ_ONLY, SEND_CACHE, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA,
    SEND_TRIM, SEND_WRITE_ZEROES)


def meminfo(name):
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(name + r":\s+(\d+)", file.read())[1])


@pytest.mark.parametrize("export, size", [
    ("ram:1", 1), ("ram:513", 513), ("ram:4K", 4096), ("ram:1M", MIB), ("ram:1MiB", MIB), ("ram:size=1M", MIB),
    ("ram,size=2M", 2 * MIB), (f"ram:{300 * KIB + 7}", 300 * KIB + 7)])
def test_sizes(directory, export, size):
    with Daemon(directory, export) as daemon, connect(daemon, infos=[INFO_BLOCK_SIZE]) as wire:
        assert wire.size == size
        assert wire.block_sizes[0] == 1
        assert wire.write(size - 1, b"z") == 0
        assert wire.read(0, size) == bytes(size - 1) + b"z"


def test_flags(directory):
    with Daemon(directory, "ram:1M") as daemon, connect(daemon) as wire:
        expected = (SEND_FLUSH | SEND_FUA | SEND_CACHE | CAN_MULTI_CONN | SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO)
        assert wire.transmission_flags & (expected | READ_ONLY) == expected


def test_read_only(directory):
    with Daemon(directory, "ram:1M,readonly") as daemon, connect(daemon) as wire:
        assert wire.transmission_flags & READ_ONLY
        assert wire.write(0, b"x") == EPERM
        assert wire.command(CMD_WRITE_ZEROES, 0, 4096)[0] == EPERM
        assert wire.read(0, 4096) == bytes(4096)


@pytest.mark.parametrize("export", ["ram", "ram:0", "ram:size=0"])
def test_no_size_is_refused(directory, export):
    assert "size" in refusal(directory, export)


@pytest.mark.parametrize("size", ["1x", "-1", "1.5.2G", "99999999999999999999", "16E", "M"])
def test_what_is_no_size_is_refused(directory, size):
    assert "size" in refusal(directory, "ram:" + size)


def test_more_than_the_machine_has_is_refused(directory):
    assert "memory" in refusal(directory, f"ram:{meminfo('MemTotal') + 1024}K")
    assert "memory" in refusal(directory, "ram:8191P")


def test_overcommitted_it_is_as_large_as_one_likes(directory):
    """A hole is a hole at any size; but what can't be mapped is refused."""
    tib = 1 << 40
    with Daemon(directory, "ram:1T,overcommit=on") as daemon, connect(daemon) as wire:
        assert wire.size == tib
        assert wire.write(tib - 4096, b"z" * 4096) == 0
        assert wire.read(tib - 8192, 8192) == bytes(4096) + b"z" * 4096
        assert "memory" in daemon.ctl("export", "resize", "ram0", "2T", status=1)
        assert "memory" in daemon.ctl("export", "add", "ram:4E,overcommit=on", status=1)


@pytest.fixture
def huge_pages():
    """The machine's, for one test at a time: a function that reserves them."""
    def change(count):
        with open("/proc/sys/vm/nr_hugepages", "r+", encoding="ascii") as file:
            number = int(file.read())
            file.seek(0)
            file.write(f"{number + count}\n")

    def reserve(count):
        change(count)
        taken.append(count)
        if meminfo("HugePages_Free") < count or meminfo("Hugepagesize") != 2048:
            pytest.skip("no huge pages of 2 MiB can be reserved here")

    taken = []
    with open(__file__, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield reserve
        change(-sum(taken))


def test_huge_pages_that_are_not_reserved_are_refused(directory, huge_pages):
    with open("/proc/sys/vm/nr_overcommit_hugepages", encoding="ascii") as file:
        if int(file.read()):
            pytest.skip("this machine reserves huge pages when they are needed")
    megabytes = (meminfo("HugePages_Free") + 1) * meminfo("Hugepagesize") // 1024
    said = refusal(directory, f"ram:{megabytes}M,huge=on")
    assert "huge pages" in said and "vm.nr_hugepages" in said


def test_huge_pages_are_given_back_and_taken_again(directory, huge_pages):
    huge_pages(4)
    other = os.path.join(directory, "other")
    os.mkdir(other)
    with Daemon(directory, "ram:8M,huge=on") as daemon, connect(daemon) as wire:
        data = noise(8 * MIB)
        assert wire.write(0, data) == 0
        assert meminfo("HugePages_Free") == 0
        assert wire.command(CMD_TRIM, 2 * MIB - 4096, 4 * MIB)[0] == 0
        assert meminfo("HugePages_Free") == 1
        # What was left of the range at its ends is part of pages that stay.
        assert wire.read(0, 8 * MIB) == data[:2 * MIB - 4096] + bytes(4 * MIB) + data[6 * MIB - 4096:]
        with Daemon(other, "ram:2M,huge=on") as taker, connect(taker) as second:
            assert second.write(0, b"mine") == 0
            # A page that can't be had again is no reason to end.
            for command in CMD_WRITE, CMD_WRITE_ZEROES:
                assert wire.command(command, 3 * MIB, 4096, FLAG_NO_HOLE if command == CMD_WRITE_ZEROES else 0,
                                    b"x" * 4096 if command == CMD_WRITE else b"")[0] == ENOSPC
            assert wire.read(0, 4096) == data[:4096]
        assert wire.write(3 * MIB, b"again") == 0
        assert wire.read(3 * MIB - 1, 7) == b"\0again\0"


def test_huge_pages_need_a_size_of_whole_ones(directory):
    assert "multiple of 2M" in refusal(directory, "ram:3M,huge=on")


def test_unknown_key_is_refused(directory):
    assert "sparse" in refusal(directory, "ram:1M,sparse=on")
