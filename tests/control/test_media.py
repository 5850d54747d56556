# SPDX-License-Identifier: BSD-2-Clause
"""Disks that change while the server runs: their size, their medium, and drivers' own commands."""

import os

import pytest

from control_client import ControlClient
from daemon import Daemon, wait_for
from wire_client import CMD_READ, CMD_WRITE, EINVAL, ENOSPC, OPT_GO, Wire, go_data

MIB = 1 << 20


def image(directory, name, size, fill=None):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.truncate(size)
        if fill:
            file.write(fill)
    return path


def size_of(daemon, name):
    return next(disk["size"] for disk in daemon.ctl_json("lsblk")["disks"] if disk["name"] == name)


def test_a_ram_disk_grows_under_its_clients(directory):
    with Daemon(directory, "a=ram:1M") as daemon:
        old = Wire(daemon).go(b"a")
        old.write(MIB - 512, b"x" * 512)
        assert old.command(CMD_READ, MIB, 512)[0] == EINVAL
        assert old.command(CMD_WRITE, MIB, 512, payload=b"y" * 512)[0] == ENOSPC
        daemon.ctl("export", "resize", "a", "3M")
        new = Wire(daemon).go(b"a")
        assert new.size == size_of(daemon, "a") == 3 * MIB
        # The old connection's client may know by now: the kernel's is told by netlink.
        assert old.write(3 * MIB - 512, b"y" * 512) == 0
        assert new.read(3 * MIB - 512, 512) == b"y" * 512
        assert new.read(MIB - 512, 1024) == b"x" * 512 + bytes(512)
        assert "only become larger" in daemon.ctl("export", "resize", "a", "2M", status=1)
        assert size_of(daemon, "a") == 3 * MIB
        old.disconnect()
        new.disconnect()


def test_what_a_ram_disk_lost_by_shrinking_comes_back_as_zeroes(directory):
    with Daemon(directory, "a=ram:4M") as daemon:
        with Wire(daemon).go(b"a") as wire:
            assert wire.write(0, b"z" * (4 * MIB)) == 0
            wire.disconnect()
        wait_for(lambda: daemon.ctl_json("lsblk")["disks"][0]["users"] == 0, "the client has gone")
        daemon.ctl("export", "resize", "a", str(MIB + 512))
        with Wire(daemon).go(b"a") as wire:
            assert wire.size == MIB + 512
            assert wire.read(MIB, 512) == b"z" * 512
            assert wire.command(CMD_READ, MIB, 1024)[0] == EINVAL
            wire.disconnect()
        daemon.ctl("export", "resize", "a", "4M")
        with Wire(daemon).go(b"a") as wire:
            assert wire.read(0, 4 * MIB) == b"z" * (MIB + 512) + bytes(3 * MIB - 512)
            wire.disconnect()


@pytest.mark.parametrize("arguments, reason", [
    (("a", "1P"), "more than this machine's memory"), (("b", "2G"), "cannot be resized"), (("x", "1M"), "no disk named"),
    (("ro", "1M"), "read-only"),
])
def test_a_size_that_cannot_be_is_refused(directory, arguments, reason):
    with Daemon(directory, "a=ram:1M", "b=null:1G", "ro=ram:2M,readonly") as daemon:
        assert reason in daemon.ctl("export", "resize", *arguments, status=1)
        assert size_of(daemon, "a") == MIB
        for arguments in (("a",), ("a", "x"), ("a", "1M", "2M")):
            daemon.ctl("export", "resize", *arguments, status=2)
        with ControlClient(daemon) as client:
            for size in (0, -1):
                assert client.error("disk.resize", disk="a", size=size)["code"] == "EINVAL"


def test_a_file_is_resized_by_us(directory):
    path = image(directory, "disk", MIB)
    with Daemon(directory, f"f={path}") as daemon:
        wire = Wire(daemon).go(b"f")
        daemon.ctl("export", "resize", "f", "2M")
        assert os.path.getsize(path) == 2 * MIB
        assert wire.write(2 * MIB - 512, b"x" * 512) == 0
        wire.disconnect()


def test_a_file_that_others_resize_is_noticed_on_request(directory):
    path = image(directory, "disk", MIB)
    with Daemon(directory, f"f={path}") as daemon:
        wire = Wire(daemon).go(b"f")
        os.truncate(path, 2 * MIB)
        assert "2097152 bytes, another size than before" in daemon.ctl("check", "f")
        assert wire.write(2 * MIB - 512, b"x" * 512) == 0
        assert daemon.ctl("check", "f") == "2097152 bytes\n"
        os.truncate(path, MIB)
        assert daemon.ctl_json("check", "f") == {"size": MIB, "resized": True, "media_changed": False}
        assert wire.command(CMD_WRITE, MIB, 512, payload=b"y" * 512)[0] == ENOSPC
        wire.disconnect()


def test_a_file_that_others_resize_is_noticed_on_a_timer(directory):
    path = image(directory, "disk", MIB)
    with Daemon(directory, "a=ram:1M") as daemon, ControlClient(daemon) as watcher:
        daemon.ctl("export", "add", f"f={path},check=100")
        watcher.result("watch", events=True)
        os.truncate(path, 3 * MIB)
        event = watcher.receive()["event"]
        assert (event["event"], event["name"]) == ("resized", "f")
        assert size_of(daemon, "f") == 3 * MIB


def test_a_medium_is_ejected_and_another_loaded(directory):
    first, second = image(directory, "first", MIB, b"1" * 512), image(directory, "second", 2 * MIB, b"2" * 512)
    with Daemon(directory, f"f={first},removable=on") as daemon:
        wire = Wire(daemon).go(b"f")
        assert "locked: in use by 1" in daemon.ctl("ioctl", "f", "eject", status=1)
        assert "is loaded" in daemon.ctl("ioctl", "f", "load", status=1)
        wire.disconnect()
        wait_for(lambda: daemon.ctl_json("lsblk")["disks"][0]["users"] == 0, "the client has gone")
        assert daemon.ctl("ioctl", "f", "eject") == ""
        assert size_of(daemon, "f") is None
        assert "ejected already" in daemon.ctl("ioctl", "f", "eject", status=1)
        with Wire(daemon) as newcomer:
            newcomer.flags()
            assert b"ejected" in newcomer.option(OPT_GO, go_data(b"f"))[-1][1]
        # The file is free for others meanwhile.
        with Daemon(os.path.join(directory, os.mkdir(os.path.join(directory, "other")) or "other"), first) as other:
            assert other.alive()
        assert daemon.ctl("ioctl", "f", "load", second) == second + "\n"
        with Wire(daemon).go(b"f") as wire:
            assert wire.size == 2 * MIB and wire.read(0, 512) == b"2" * 512
            wire.disconnect()
        wait_for(lambda: daemon.ctl_json("lsblk")["disks"][0]["users"] == 0, "the client has gone")
        daemon.ctl("ioctl", "f", "eject")
        assert "/nowhere" in daemon.ctl("ioctl", "f", "load", "/nowhere", status=1)
        assert daemon.ctl("ioctl", "f", "load") == second + "\n"


def test_a_file_that_was_replaced_is_a_new_medium(directory):
    path = image(directory, "disk", MIB, b"1" * 512)
    with Daemon(directory, "a=ram:1M") as daemon, ControlClient(daemon) as watcher:
        daemon.ctl("export", "add", f"f={path},removable,check=100")
        watcher.result("watch", events=True)
        os.rename(image(directory, "new", 2 * MIB, b"2" * 512), path)
        assert watcher.receive()["event"]["event"] == "media-changed"
        with Wire(daemon).go(b"f") as wire:
            assert wire.size == 2 * MIB and wire.read(0, 512) == b"2" * 512
            wire.disconnect()


def test_commands_are_listed_and_others_refused(directory):
    path = image(directory, "disk", MIB)
    with Daemon(directory, "a=ram:1M", "n=null:1M", f"f={path}") as daemon:
        assert [line.split()[0] for line in daemon.ctl("ioctl", "f").splitlines()] == ["COMMAND", "eject", "load"]
        assert daemon.ctl_json("ioctl", "n") == {"commands": []}
        with Wire(daemon).go(b"a") as wire:
            wire.write(0, b"x" * 65536)
            wire.disconnect()
        assert daemon.ctl("ioctl", "a", "usage") == "65536 of 1048576 bytes\n"
        assert "not expected" in daemon.ctl("ioctl", "a", "usage", "x", status=1)
        assert "has no command \"nothing\"" in daemon.ctl("ioctl", "a", "nothing", status=1)
        assert "has no command" in daemon.ctl("ioctl", "n", "eject", status=1)
        assert "not removable" in daemon.ctl("ioctl", "f", "eject", status=1)
        assert "no disk named" in daemon.ctl("ioctl", "x", "eject", status=1)
        with ControlClient(daemon) as client:
            assert client.error("disk.ioctl", disk="a", command="usage", args=[1])["code"] == "EINVAL"
            assert client.error("disk.ioctl", disk="a", command="usage", args="x")["code"] == "EINVAL"
            assert client.error("disk.ioctl", disk="a", command="usage", args=["x"] * 33)["code"] == "E2BIG"
