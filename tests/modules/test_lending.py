# SPDX-License-Identifier: BSD-2-Clause
"""Reads of disks that lend their memory, through disks that stand on them: lent on, not copied."""

import os

import pytest

from daemon import Daemon, wait_for
from wire_client import CMD_READ, Wire, request

KIB, MIB = 1 << 10, 1 << 20
LONG = 32 * MIB


def begin(wire, offset=0, length=LONG):
    """Asks for more than sockets hold, and takes the head of the reply: the data is where it was put, until it is read."""
    wire.send(request(CMD_READ, offset, length))
    assert wire.reply() == (0, 1, b"")


def buffers(daemon):
    return daemon.stats()["bytes of buffers"]


def fill(wire, data, offset=0):
    """In writes that take few buffers."""
    for at in range(0, len(data), 128 * KIB):
        assert wire.write(offset + at, data[at:at + 128 * KIB]) == 0


@pytest.mark.parametrize("top, lends", [
    ("delay:x", True), ("error:x", True), ("linear:a+b+c", True), ("linear:a+zeroes", True),
    ("linear:a+words+b", False), ("delay:words", False),
])
def test_what_all_lower_disks_lend_takes_no_buffers(directory, plugins, top, lends):
    with Daemon(directory, "x=ram:40M", "a=ram:12M", "b=ram:12M", "c=ram:12M", "zeroes=null:32M", "words=pattern:40M", "top=" + top,
                options=["--modules", plugins, "--threads", "1"]) as daemon:
        with Wire(daemon).go(b"top") as wire:
            if "words" in top:
                data = wire.read(0, LONG)
            else:
                data = os.urandom(4 * MIB) * 8
                fill(wire, data)
            if "zeroes" in top:
                data = data[:12 * MIB] + bytes(20 * MIB)
            begin(wire)
            assert (buffers(daemon) < 4 * MIB) if lends else (buffers(daemon) >= LONG)
            # What was lent stays: nobody takes it away before it has left.
            lower = top.split(":")[1].split("+")[0]
            assert "in use" in daemon.ctl("export", "remove", lower, status=1)
            assert wire.receive(LONG) == data
            wire.disconnect()


@pytest.mark.parametrize("wait_us", ["0", "500"])
def test_a_tower_lends_through_all_its_floors(directory, plugins, wait_us):
    with Daemon(directory, "x=ram:20M", "y=ram:20M", "low=linear:x+y", "middle=error:low", "top=delay:middle",
                options=["--modules", plugins, "--threads", "2"]) as daemon:
        daemon.ctl("param", "delay", "read_us", wait_us)
        daemon.ctl("param", "delay", "write_us", "0")
        with Wire(daemon).go(b"top") as wire:
            data = os.urandom(LONG)
            fill(wire, data, 4 * MIB)
            begin(wire, 4 * MIB)
            assert buffers(daemon) < 4 * MIB
            assert wire.receive(LONG) == data
            wire.disconnect()


def test_small_disks_make_many_pieces(directory, plugins):
    """Sixteen disks in one read, each of them lending a piece: more than its length lets expect."""
    sizes = [512 * (number % 3 + 1) for number in range(16)]
    disks = [f"d{number}=ram:{size}" for number, size in enumerate(sizes)]
    with Daemon(directory, *disks, "all=linear:" + "+".join(f"d{number}" for number in range(16)),
                options=["--modules", plugins]) as daemon:
        with Wire(daemon).go(b"all") as wire:
            assert wire.size == sum(sizes)
            data = os.urandom(wire.size)
            assert wire.write(0, data) == 0
            for offset, length in ((0, len(data)), (1, len(data) - 2), (511, 2), (700, 9000)):
                assert wire.read(offset, length) == data[offset:offset + length]
            wire.disconnect()


def test_who_hangs_up_in_the_middle_of_what_was_lent_leaves_the_disks_free(directory, plugins):
    with Daemon(directory, "x=ram:40M", "top=delay:x", options=["--modules", plugins]) as daemon:
        with Wire(daemon).go(b"top") as wire:
            begin(wire)
        wait_for(lambda: all(disk["users"] == 0 for disk in daemon.ctl_json("lsblk")["disks"]), "nobody uses the disks")
        daemon.ctl("export", "remove", "top", "x")
        daemon.ctl("modprobe", "-r", "delay")
        assert daemon.ctl_json("lsmod") == {"modules": []}
