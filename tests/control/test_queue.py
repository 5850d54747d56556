# SPDX-License-Identifier: BSD-2-Clause
"""Queues of disks: their attributes, at run time and from the start, what they do, and clearing a disk's error."""

import os
import sys

import pytest

from daemon import Daemon, wait_for
from wire_client import CMD_FLUSH, CMD_WRITE, EIO, Wire, request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "drivers"))
from strace import Strace  # pylint: disable=wrong-import-position

KIB = 1 << 10
MIB = 1 << 20


def image(directory, size=MIB):
    path = os.path.join(directory, "image")
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def attributes(daemon, disk):
    return daemon.ctl_json("queue", disk)["queue"]


def test_defaults_follow_the_driver(directory):
    with Daemon(directory, "r=ram:1M", f"f={image(directory)}") as daemon:
        for name in (b"r", b"f"):
            Wire(daemon).go(name).disconnect()
        assert attributes(daemon, "r")["scheduler"] == "[none] merge deadline"
        seeks = attributes(daemon, "f")["rotational"]
        assert attributes(daemon, "f")["scheduler"] == ("none merge [deadline]" if seeks else "none [merge] deadline")
        assert attributes(daemon, "f")["queue_depth"] == 128
        assert attributes(daemon, "f")["logical_block_size"] == 1
        assert attributes(daemon, "f")["fua"] == 1


def test_the_table_has_every_attribute(directory):
    with Daemon(directory, "r=ram:1M") as daemon:
        lines = daemon.ctl("queue", "r").splitlines()
        assert lines[0].split() == ["ATTRIBUTE", "VALUE"]
        assert [line.split()[0] for line in lines[1:]] == list(attributes(daemon, "r"))
        assert lines[1].split(None, 1)[1] == "[none] merge deadline"


def test_attributes_change_at_run_time(directory):
    with Daemon(directory, "r=ram:1M") as daemon:
        wire = Wire(daemon).go(b"r")
        wire.write(0, b"x" * 512)
        daemon.ctl("queue", "r", "scheduler=deadline", "read_expire=100", "nr_requests=16")
        assert daemon.ctl("queue", "r", "scheduler", "read_expire") == "none merge [deadline]\n100\n"
        assert daemon.ctl_json("queue", "r", "nr_requests") == {"nr_requests": 16}
        assert wire.read(0, 512) == b"x" * 512
        # What was set outlives the disk's closing.
        wire.disconnect()
        wire.socket.close()
        assert Wire(daemon).go(b"r").read(0, 512) == b"x" * 512
        assert attributes(daemon, "r")["scheduler"] == "none merge [deadline]"


@pytest.mark.parametrize("setting, complaint", [
    ("scheduler=bfq", 'there is no scheduler "bfq": there are none merge deadline'),
    ("queue_depth=0", 'queue_depth: "0" is not a number from 1 to'),
    ("queue_depth=1000000", "1000000"),
    ("rotational=1", "rotational can only be read"),
    ("elevator=none", 'a queue has no attribute "elevator"'),
    ("=1", 'a queue has no attribute ""'),
])
def test_bad_settings_are_refused_and_change_nothing(directory, setting, complaint):
    with Daemon(directory, "r=ram:1M") as daemon:
        before = attributes(daemon, "r")
        assert complaint in daemon.ctl("queue", "r", setting, status=1)
        assert attributes(daemon, "r") == before


def test_what_is_not_there(directory):
    with Daemon(directory, "r=ram:1M") as daemon:
        assert 'no disk named "x"' in daemon.ctl("queue", "x", status=1)
        assert 'no disk named "x"' in daemon.ctl("queue", "x", "scheduler=none", status=1)
        assert 'no disk named "x"' in daemon.ctl("clear-error", "x", status=1)
        assert "no such attribute" in daemon.ctl("queue", "r", "elevator", status=2)


def test_an_export_may_bring_its_settings(directory):
    with Daemon(directory, f"f={image(directory)},queue.scheduler=deadline,queue.queue_depth=4") as daemon:
        assert Wire(daemon).go(b"f").write(0, b"x" * 512) == 0
        assert attributes(daemon, "f")["scheduler"] == "none merge [deadline]"
        assert attributes(daemon, "f")["queue_depth"] == 4
        assert "no scheduler" in daemon.ctl("export", "add", "b=ram:1M,queue.scheduler=x", status=1)
        assert 'no attribute "x"' in daemon.ctl("export", "add", "b=ram:1M,queue.x=1", status=1)
        assert "is not a number" in daemon.ctl("export", "add", "b=ram:1M,queue.nr_requests", status=1)
        assert "no key" in daemon.ctl("export", "add", "b=disk:f,queue.nr_requests=1", status=1)


def write_16_neighbours(daemon):
    """Which write calls that takes, and what is there afterwards."""
    with Wire(daemon) as wire:
        wire.go(b"f")
        with Strace(daemon, "pwritev2") as trace:
            wire.send(b"".join(request(CMD_WRITE, n * 4096, 4096, cookie=n, payload=bytes([n]) * 4096) for n in range(16)))
            assert sorted(wire.reply()[:2] for _ in range(16)) == [(0, n) for n in range(16)]
        assert wire.read(0, 64 * KIB) == b"".join(bytes([n]) * 4096 for n in range(16))
    return trace.calls("^pwritev2")


@pytest.mark.parametrize("scheduler", ["merge", "deadline"])
def test_neighbours_that_come_together_are_written_together(directory, scheduler):
    with Daemon(directory, f"f={image(directory)},queue.scheduler={scheduler}") as daemon:
        merged = write_16_neighbours(daemon)
        daemon.ctl("queue", "f", "scheduler=none")
        single = write_16_neighbours(daemon)
    assert len(single) == 16
    # They may reach the server in several batches.
    assert 1 <= len(merged) <= 8


def test_an_idle_disk_waits_for_more_when_it_is_told_to(directory):
    def in_flight():
        return daemon.ctl_json("clients")["clients"][0]["in_flight"]

    with Daemon(directory, f"f={image(directory)},queue.scheduler=merge,queue.plug_us=1000000") as daemon, Wire(daemon) as wire:
        wire.go(b"f")
        with Strace(daemon, "pwritev2") as trace:
            wire.send(request(CMD_WRITE, 0, 4096, cookie=1, payload=b"a" * 4096))
            wait_for(lambda: in_flight() == 1, "the first is there")
            wire.send(request(CMD_WRITE, 4096, 4096, cookie=2, payload=b"b" * 4096))
            assert sorted(wire.reply()[:2] for _ in range(2)) == [(0, 1), (0, 2)]
        assert len(trace.calls("^pwritev2")) == 1


def test_a_failure_to_make_durable_sticks_until_it_is_cleared(directory):
    with Daemon(directory, f"f={image(directory)}") as daemon, Wire(daemon) as wire:
        wire.go(b"f").write(0, b"x" * 512)
        daemon.good_statuses = {1}  # it tells at its end, too
        assert daemon.ctl("clear-error", "f") == "there was no error\n"
        with Strace(daemon, "fdatasync", "fdatasync:error=EIO:when=1"):
            assert wire.command(CMD_FLUSH)[0] == EIO
        assert wire.command(CMD_FLUSH)[0] == EIO
        assert daemon.ctl("clear-error", "f") == ""
        assert wire.command(CMD_FLUSH)[0] == 0
        assert daemon.ctl_json("clear-error", "f") == {"cleared": False}
        assert "is forgotten" in daemon.ctl("dmesg")
