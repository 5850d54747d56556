# SPDX-License-Identifier: BSD-2-Clause
"""Disks that stand on others: the modules in plugins/, and what the host sees to."""

import os
import re
import struct
import subprocess
import time

from daemon import Daemon, wait_for
from wire_client import (CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, ENOSPC, EPERM, FLAG_FUA, OPT_GO, REP_ACK, Wire, go_data)

MIB = 1 << 20

def start(directory, plugins, *exports):
    return Daemon(directory, *exports, options=["--modules", plugins])


def loaded(daemon):
    """The modules in the order of loading."""
    return [one["name"] for one in reversed(daemon.ctl_json("lsmod")["modules"])]


def disk(daemon, name):
    return next(one for one in daemon.ctl_json("lsblk")["disks"] if one["name"] == name)


def refusal(daemon, name):
    with Wire(daemon) as wire:
        wire.flags()
        kind, text = wire.option(OPT_GO, go_data(name))[-1]
        assert kind != REP_ACK
        return text.decode()


def test_linear_is_its_disks_one_behind_the_other(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "y=ram:2M", "z=ram:1M", "all=linear:x+y+z") as daemon:
        assert loaded(daemon) == ["stack", "linear"]
        data = os.urandom(4 * MIB)
        with Wire(daemon).go(b"all") as wire:
            assert wire.size == 4 * MIB
            tree = [line.split()[0] for line in daemon.ctl("lsblk").splitlines()[1:]]
            assert tree == ["x", "`-all", "y", "`-all", "z", "`-all"] and disk(daemon, "all")["parents"] == ["x", "y", "z"]
            assert disk(daemon, "x")["users"] == 1 and daemon.ctl_json("lsmod")["modules"][0]["disk_users"] == 1
            for offset in range(0, 4 * MIB, 384 * 1024):
                assert wire.write(offset, data[offset:offset + 384 * 1024]) == 0
            assert wire.read(0, 4 * MIB) == data
            assert wire.read(MIB - 4096, 8192) == data[MIB - 4096:MIB + 4096]
            assert wire.command(CMD_FLUSH)[0] == 0
            assert wire.write(3 * MIB - 512, b"b" * 1024, flags=FLAG_FUA) == 0
            assert wire.command(CMD_WRITE_ZEROES, MIB - 1024, 2 * MIB + 2048)[0] == 0
            assert wire.command(CMD_TRIM, 0, 4 * MIB)[0] == 0
            assert wire.command(CMD_WRITE, 4 * MIB, 512, payload=bytes(512))[0] == ENOSPC
            assert wire.write(MIB, b"y" * 512) == 0
            wire.disconnect()
        wait_for(lambda: disk(daemon, "x")["users"] == 0, "the disks are free again")
        with Wire(daemon).go(b"y") as wire:
            assert wire.read(0, 1024) == b"y" * 512 + bytes(512)
            wire.disconnect()


def test_extents_come_from_below(directory, plugins):
    """From the disk below, from those that are one behind the other, and all is data where there are none."""
    hole, quarter = 3, MIB // 4
    exports = ("x=ram:1M", "y=ram:1M", "both=linear:x+y", "z=ram:1M", "slow=delay:z", "p=pattern:1M", "q=delay:p")
    with start(directory, plugins, *exports) as daemon:
        with Wire(daemon).go(b"both", structured=True, contexts=[b"base:allocation"]) as wire:
            (context,) = wire.contexts
            assert wire.write(quarter, b"d" * 512) == 0
            assert wire.write(MIB, b"d" * 512) == 0
            # What the first of them tells is enough.
            assert wire.status(0, 2 * MIB)[context] == [(quarter, hole), (quarter, 0), (2 * quarter, hole)]
            assert wire.status(MIB, MIB)[context] == [(quarter, 0), (3 * quarter, hole)]
            assert wire.status(MIB - 512, 1024)[context] == [(512, hole)]
            assert wire.read(0, 2 * MIB) == bytes(quarter) + b"d" * 512 + bytes(3 * quarter - 512) + b"d" * 512 + bytes(MIB - 512)
            wire.disconnect()
        with Wire(daemon).go(b"slow", structured=True, contexts=[b"base:allocation"]) as wire:
            assert list(wire.status(0, MIB).values()) == [[(MIB, hole)]]
            wire.disconnect()
        with Wire(daemon).go(b"q", structured=True, contexts=[b"base:allocation"]) as wire:
            assert list(wire.status(0, MIB).values()) == [[(MIB, 0)]]
            wire.disconnect()


def test_who_stands_on_a_disk_has_it_for_itself(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "y=ram:1M", "both=linear:x+y", "slow=delay:x") as daemon:
        # Somebody uses it: the one on top cannot be opened, and no half of it stays open.
        below = Wire(daemon).go(b"y")
        assert "y is in use by 1 client" in refusal(daemon, b"both")
        assert disk(daemon, "x")["users"] == 0
        below.disconnect()
        wait_for(lambda: disk(daemon, "y")["users"] == 0, "y is free")
        with Wire(daemon).go(b"both") as top:
            assert "another disk stands on it" in refusal(daemon, b"x")
            assert "x is used by both" in refusal(daemon, b"slow")
            assert ": x is in use by both\n" in daemon.ctl("export", "remove", "x", status=1)
            assert ": x is in use by both\n" in daemon.ctl("export", "remove", "--drain=1", "x", status=1)
            assert ": both is in use by 1 client; see platterctl clients\n" in daemon.ctl("rmmod", "linear", status=1)
            assert "stack is in use by: linear" in daemon.ctl("rmmod", "stack", status=1)
            assert top.read(0, 512) == bytes(512)
            top.disconnect()
        wait_for(lambda: disk(daemon, "x")["users"] == 0, "x is free")
        with Wire(daemon).go(b"slow") as wire:
            wire.disconnect()


def test_what_cannot_be_stood_on(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "a=delay:b", "b=delay:a", "self=delay:self", "lost=delay:nowhere") as daemon:
        assert "stands on" in refusal(daemon, b"a")
        assert "stands on" in refusal(daemon, b"self")
        assert 'no disk named "nowhere"' in refusal(daemon, b"lost")
        assert all(one["users"] == 0 for one in daemon.ctl_json("lsblk")["disks"])
        for spec in ("l=linear", "d=delay", "l=linear:" + "+".join(["x"] * 17)):
            daemon.ctl("export", "add", spec, status=1)
        with Wire(daemon).go(b"x") as wire:
            assert wire.write(0, b"x" * 512) == 0
            wire.disconnect()


def test_a_tower_of_disks(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "y=ram:1M", "ex=error:x", "low=linear:ex+y", "top=delay:low") as daemon:
        daemon.ctl("param", "delay", "read_us", "0")
        daemon.ctl("param", "delay", "write_us", "100")
        data = os.urandom(2 * MIB)
        with Wire(daemon).go(b"top") as wire:
            assert wire.write(0, data) == 0 and wire.read(0, 2 * MIB) == data
            for module, value in (("ops", "r"), ("first", "4096"), ("last", "8191"), ("code", "28"), ("per_million", "1000000")):
                daemon.ctl("param", "error", module, value)
            assert wire.command(CMD_READ, 4096, 4096)[0] == ENOSPC
            assert wire.command(CMD_READ, 0, MIB)[0] == ENOSPC
            assert wire.read(8192, 4096) == data[8192:12288] and wire.read(MIB, 4096) == data[MIB:MIB + 4096]
            assert wire.write(4096, data[:4096]) == 0
            daemon.ctl("param", "error", "code", "5")
            daemon.ctl("param", "error", "ops", "w")
            assert wire.command(CMD_READ, 4096, 4096)[0] == 0
            assert wire.command(CMD_WRITE, 4096, 512, payload=bytes(512))[0] == EIO
            daemon.ctl("param", "error", "per_million", "0")
            assert wire.write(4096, bytes(512)) == 0
            wire.disconnect()
        daemon.ctl("export", "remove", "--drain", "top")
        assert daemon.ctl("export", "remove", "low") == daemon.ctl("export", "remove", "ex") == ""


def test_rmmod_names_the_disk_that_stands_on_one_of_the_module_s(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "slow=delay:x", "top=linear:slow") as daemon:
        with Wire(daemon).go(b"top") as wire:
            assert ": slow is in use by top\n" in daemon.ctl("rmmod", "delay", status=1)
            wire.disconnect()
        wait_for(lambda: disk(daemon, "slow")["users"] == 0, "slow is free")
        daemon.ctl("rmmod", "delay")


def test_the_tree_is_drawn_as_lsblk_draws_it(directory, plugins):
    path = os.path.join(directory, "mbr")
    with open(path, "wb") as file:
        file.truncate(4 * MIB)
    subprocess.run(["sfdisk", "-q", path], input="label: dos\nsize=2048\nsize=2048\n", text=True, check=True, timeout=60)
    with start(directory, plugins, f"m={path},partitions", "slow=delay:m", "top=delay:slow", "z=ram:1M") as daemon:
        with Wire(daemon).go(b"top") as wire:
            tree = [re.match(r"[|` -]*\w+", line)[0] for line in daemon.ctl("lsblk").splitlines()[1:]]
            assert tree == ["m", "|-slow", "| `-top", "|-mp1", "`-mp2", "z"]
            wire.disconnect()


def test_delay_takes_its_time_and_keeps_nobody_else(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "slow=delay:x", "fast=ram:1M") as daemon:
        daemon.ctl("param", "delay", "read_us", "300000")
        slow, fast = Wire(daemon).go(b"slow"), Wire(daemon).go(b"fast")
        begin = time.monotonic()
        slow.send(struct.pack(">IHHQQI", 0x25609513, 0, CMD_READ, 7, 0, 512))
        for _ in range(20):
            fast.read(0, 512)
        assert time.monotonic() - begin < 0.25
        assert slow.reply(512)[1] == 7 and time.monotonic() - begin >= 0.3
        slow.disconnect()
        fast.disconnect()


def test_delay_of_a_flush_is_its_own(directory, plugins):
    with start(directory, plugins, "x=ram:1M", "slow=delay:x") as daemon:
        for name, value in (("read_us", "0"), ("write_us", "0"), ("flush_us", "300000")):
            daemon.ctl("param", "delay", name, value)
        with Wire(daemon).go(b"slow") as wire:
            begin = time.monotonic()
            for _ in range(20):
                assert wire.write(0, bytes(512)) == 0 and wire.read(0, 512) == bytes(512)
            assert time.monotonic() - begin < 0.25
            begin = time.monotonic()
            assert wire.command(CMD_FLUSH)[0] == 0 and time.monotonic() - begin >= 0.3
            wire.disconnect()


def test_pattern_at_sizes_that_nothing_stores(directory, plugins):
    size = 2**62
    with start(directory, plugins, f"p=pattern:{size}") as daemon:
        with Wire(daemon).go(b"p") as wire:
            assert wire.size == size
            for offset, length in ((0, 4096), (size - 4096, 4096), (2**61 + 3, 21), (2**40, 3 * MIB)):
                words = b"".join(struct.pack(">Q", at) for at in range(offset // 8 * 8, offset + length, 8))
                assert wire.read(offset, length) == words[offset % 8:offset % 8 + length]
            assert wire.command(CMD_WRITE, 0, 512, payload=bytes(512))[0] == EPERM
            wire.disconnect()


def test_writes_below_and_on_top_are_on_one_reactor(directory, plugins):
    """A lower disk moves to the reactor of the disk on top, wherever it lived before."""
    with start(directory, plugins, "x=ram:1M", "y=ram:1M", "z=ram:1M", "l1=linear:y+x", "l2=delay:z") as daemon:
        daemon.ctl("param", "delay", "write_us", "0")
        daemon.ctl("param", "delay", "read_us", "0")
        wires = [Wire(daemon).go(name) for name in (b"l1", b"l2", b"l1", b"l2")]
        for number, wire in enumerate(wires):
            assert wire.write(number * 8192, bytes([number]) * 8192) == 0
        for number, wire in enumerate(wires):
            assert wire.read(number * 8192, 8192) == bytes([number]) * 8192
        for wire in wires:
            wire.disconnect()


def test_a_request_that_a_driver_holds_for_long_is_complained_of_once(directory, plugins):
    with Daemon(directory, "x=ram:1M", "slow=delay:x", options=["--modules", plugins, "--watchdog", "1"]) as daemon:
        daemon.ctl("param", "delay", "read_us", "4000000")
        with Wire(daemon).go(b"slow") as wire:
            assert wire.read(4096, 512) == bytes(512)
            wire.disconnect()
        assert daemon.log().count("slow: its driver has had a read of 512 bytes at 4096 for more than 1 s") == 1
        assert "x: its driver" not in daemon.log()


def test_what_happens_below_makes_the_marks_above_tell_everything(directory, plugins):
    def told():
        return {one["disk"]: one["all"] for one in daemon.ctl_json("marks")["marks"]}

    with Daemon(directory, "low=ram:1M", options=["--modules", plugins]) as daemon:
        daemon.ctl("export", "add", "d=delay:low")
        daemon.ctl("export", "add", "top=delay:d")
        with Wire(daemon).go(b"top") as wire:
            for disk in "d", "top":
                daemon.ctl("mark", disk, "m")
            assert wire.write(0, b"x") == 0
            assert told() == {"d": False, "top": False}
            daemon.ctl("export", "resize", "low", "2M")
            assert told() == {"d": True, "top": True}
            daemon.ctl("unmark", "top", "m")
            daemon.ctl("mark", "top", "m")
            wire.disconnect()
        # While nobody used it, what is below could be changed.
        wait_for(lambda: not daemon.ctl_json("clients")["clients"], "it is closed")
        with Wire(daemon).go(b"top") as wire:
            assert told()["top"]
            wire.disconnect()
