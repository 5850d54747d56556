# SPDX-License-Identifier: BSD-2-Clause
"""Partitions as disks of their own."""

import os
import subprocess

import pytest

from daemon import Daemon, wait_for
from wire_client import CMD_READ, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, ENOSPC, EPERM, Wire, contents, request

MIB = 1 << 20
MBR = "label: dos\nstart=2048,size=4096,type=83\nstart=8192,size=16384,type=5\nstart=10240,size=2048,type=83\n"
GPT = "label: gpt\nstart=2048,size=4096,name=one\nstart=8192,size=2048\n"


def image(directory, name, table, size=32 * MIB):
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.truncate(size)
    subprocess.run(["sfdisk", "-q", path], input=table, text=True, check=True, timeout=60)
    return path


def disks(daemon):
    return {disk["name"]: disk for disk in daemon.ctl_json("lsblk")["disks"]}


def exports(daemon):
    return [export["name"] for export in daemon.ctl_json("exports")["exports"]]


@pytest.mark.parametrize("options", [(), ("--threads", "1")])
def test_partitions_are_there_from_the_first_client_on(directory, options):
    path = image(directory, "mbr", MBR)
    with Daemon(directory, f"m={path},partitions=on", f"g={image(directory, 'gpt', GPT)},partitions", options=options) as daemon:
        with Wire(daemon).go(b"mp5") as wire:
            assert wire.size == MIB
        assert exports(daemon) == ["m", "g", "mp1", "mp5", "gp1", "gp2"]
        found = disks(daemon)
        assert [(found[name]["type"], found[name]["parents"], found[name]["size"]) for name in ("m", "mp1", "mp5", "gp1", "gp2")] == [
            ("disk", [], 32 * MIB), ("part", ["m"], 2 * MIB), ("part", ["m"], MIB), ("part", ["g"], 2 * MIB), ("part", ["g"], MIB)]
        numbers = [(disk["major"], disk["minor"]) for disk in found.values()]
        assert len(set(numbers)) == len(numbers)
        assert daemon.ctl_json("ioctl", "mp1") == {"commands": []}
        lines = daemon.ctl("lsblk").splitlines()
        assert [line.split()[0] for line in lines[1:]] == ["m", "|-mp1", "`-mp5", "g", "|-gp1", "`-gp2"]


def test_a_partition_is_a_part_of_its_disk_and_no_more(directory):
    path = image(directory, "mbr", MBR)
    with Daemon(directory, f"m={path},partitions") as daemon:
        part, whole = Wire(daemon).go(b"mp1"), Wire(daemon).go(b"m")
        assert part.write(0, b"a" * 512) == 0 and part.write(2 * MIB - 512, b"z" * 512) == 0
        assert part.write(4096, b"f" * 512, flags=1) == 0
        assert whole.read(MIB, 512) == b"a" * 512
        assert whole.read(3 * MIB - 512, 1024) == b"z" * 512 + bytes(512)
        assert whole.write(MIB + 512, b"w" * 512) == 0
        assert part.read(512, 512) == b"w" * 512
        assert part.command(CMD_WRITE_ZEROES, 0, 2 * MIB)[0] == 0
        assert whole.read(MIB, 2 * MIB) == bytes(2 * MIB)
        for offset, length in ((2 * MIB, 512), (2 * MIB - 512, 1024), (2**64 - 512, 512)):
            assert part.command(CMD_READ, offset, length)[0] == EINVAL
            assert part.command(CMD_WRITE, offset, length, payload=bytes(length))[0] == ENOSPC
        assert part.command(3)[0] == 0  # FLUSH
        part.disconnect()
        whole.disconnect()
        with open(path, "rb") as file:
            assert file.read(512)[510:] == b"\x55\xaa"


def test_structured_replies_tell_offsets_in_the_partition(directory):
    path = image(directory, "mbr", MBR)
    with Daemon(directory, f"m={path},partitions") as daemon, Wire(daemon) as part:
        part.go(b"mp1", structured=True)
        assert part.write(65536, b"d" * 4096) == 0
        for offset, length in ((512, 512), (0, 131072), (MIB, 65536)):
            part.send(request(CMD_READ, offset, length))
            cookie, chunks = part.chunks()
            found, data = contents(chunks)
            assert (cookie, found, len(data)) == (1, offset, length)
            assert data == (bytes(65536) + b"d" * 4096 + bytes(61440) if length == 131072 else bytes(length))
        part.disconnect()


def test_run_time_addition_removal_and_use(directory):
    path = image(directory, "mbr", MBR)
    with Daemon(directory, "a=ram:1M") as daemon:
        daemon.ctl("export", "add", f"m={path},partitions=on,readonly")
        assert exports(daemon) == ["a", "m", "mp1", "mp5"]
        part = Wire(daemon).go(b"mp5")
        assert part.command(CMD_WRITE, 0, 512, payload=bytes(512))[0] == EPERM
        assert disks(daemon)["m"]["users"] == 1
        assert ": m is in use by mp5\n" in daemon.ctl("export", "remove", "m", status=1)
        assert ": mp5 is in use by 1 client; see platterctl clients\n" in daemon.ctl("export", "remove", "mp5", status=1)
        with Wire(daemon).go(b"mp1") as other, Wire(daemon).go(b"m") as whole:
            assert ": m is in use by mp1, mp5 and 1 client; see platterctl clients\n" in daemon.ctl("export", "remove", "m", status=1)
            other.disconnect()
            whole.disconnect()
        wait_for(lambda: disks(daemon)["m"]["users"] == 1, "they have gone")
        assert exports(daemon) == ["a", "m", "mp1", "mp5"]
        daemon.ctl("export", "remove", "mp1")
        part.disconnect()
        daemon.ctl("export", "remove", "--drain", "m")
        assert exports(daemon) == ["a"] and list(disks(daemon)) == ["a"]


def test_partitions_of_a_disk_that_is_not_exported(directory):
    with Daemon(directory, f"m={image(directory, 'mbr', MBR)},partitions,export=off") as daemon:
        wait_for(lambda: "mp5" in disks(daemon), "the table has been read")
        assert exports(daemon) == []
        daemon.ctl("export", "add", "only=disk:mp5,readonly")
        with Wire(daemon).go(b"only") as wire:
            assert wire.size == MIB
            wire.disconnect()


def test_a_disk_without_a_table_has_none(directory):
    with Daemon(directory, "r=ram:8M,partitions", "n=null:1G,partitions") as daemon:
        with Wire(daemon).go(b"r") as wire:
            wire.disconnect()
        assert sorted(disks(daemon)) == ["n", "r"]


def test_names_that_are_taken_cost_only_that_partition(directory):
    with Daemon(directory, "mp1=ram:1M") as daemon:
        daemon.ctl("export", "add", f"m={image(directory, 'mbr', MBR)},partitions")
        assert exports(daemon) == ["mp1", "m", "mp5"]
        assert "mp1: not added" in daemon.log()


def test_a_broken_table_refuses_the_disk_and_leaves_nothing(directory):
    path = image(directory, "gpt", GPT)
    with open(path, "r+b") as file:
        file.seek(512)
        file.write(bytes(512))
        file.seek(-512, os.SEEK_END)
        file.write(bytes(512))
    with Daemon(directory, "a=ram:1M") as daemon:
        assert "GPT" in daemon.ctl("export", "add", f"g={path},partitions", status=1)
        assert list(disks(daemon)) == ["a"]
        daemon.ctl("export", "add", f"g={path}")


def test_with_direct_io(directory):
    if os.statvfs(directory).f_namemax and subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True,
                                                          check=True, timeout=60).stdout.strip() == "tmpfs":
        pytest.skip("tmpfs has no O_DIRECT")
    with Daemon(directory, f"m={image(directory, 'mbr', MBR)},partitions,direct") as daemon:
        with Wire(daemon).go(b"mp1") as wire:
            assert wire.write(0, b"d" * 4096) == 0 and wire.read(0, 4096) == b"d" * 4096
            wire.disconnect()
