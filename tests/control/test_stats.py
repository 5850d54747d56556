# SPDX-License-Identifier: BSD-2-Clause
"""What is counted of requests, and the verbs that show it."""

import json
import os
import subprocess
import time

import pytest

from control_client import ControlClient
from daemon import Daemon, wait_for
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, ENOSPC, FLAG_FUA, Wire,
                         request)

KIB = 1 << 10
MIB = 1 << 20
OPS = ["read", "write", "flush", "trim", "zeroes", "cache", "extents"]


@pytest.fixture
def daemon(directory):
    with Daemon(directory, "a=ram:16M", "b=ram:1M", options=["--threads", "1"]) as running:
        yield running


@pytest.fixture
def hold(directory, hold_module):
    """Its disk h takes one request at a time, and keeps it until it is told to end it."""
    with Daemon(directory, options=["--threads", "1"]) as running:
        running.ctl("insmod", hold_module)
        running.ctl("export", "add", "h=hold:1M")
        yield running


def stats(daemon, name):
    (disk,) = daemon.ctl_json("stats", name)["disks"]
    assert disk["name"] == name
    return disk


def counters(ops, *names):
    """Of each op that was used: the counters in NAMES."""
    return {op: tuple(of[name] for name in names) for op, of in ops.items() if of["requests"] or of["in_flight"]}


def client(daemon):
    (one,) = daemon.ctl_json("clients")["clients"]
    return one


def load(wire):
    """A known load of every kind."""
    for n in range(20):
        assert wire.write(n * 4 * KIB, bytes(4 * KIB)) == 0
    for n in range(30):
        wire.read(n * 8 * KIB, 8 * KIB)
    for n in range(7):
        wire.status(n * MIB, 64 * KIB)
    assert wire.write(0, bytes(512), flags=FLAG_FUA) == 0
    for command, length, times in ((CMD_TRIM, 64 * KIB, 3), (CMD_WRITE_ZEROES, 32 * KIB, 4), (CMD_CACHE, 1 * MIB, 5), (CMD_FLUSH, 0, 6)):
        for _ in range(times):
            assert wire.command(command, 0, length)[0] == 0


LOADED = {"read": (30, 240 * KIB), "write": (21, 80 * KIB + 512), "flush": (6, 0), "trim": (3, 192 * KIB), "zeroes": (4, 128 * KIB),
          "cache": (5, 5 * MIB), "extents": (7, 448 * KIB)}


def test_every_request_is_counted_for_the_disk_and_for_its_connection(daemon):
    with Wire(daemon).go(b"a", structured=True, contexts=[b"base:allocation"]) as wire, Wire(daemon).go(b"b"):
        load(wire)
        disk = stats(daemon, "a")
        assert list(disk["ops"]) == OPS
        assert counters(disk["ops"], "requests", "bytes") == LOADED
        assert counters(stats(daemon, "b")["ops"], "requests") == {}
        for op in disk["ops"].values():
            assert (op["errors"], op["in_flight"], op["merged"], op["submitted"]) == (0, 0, 0, op["requests"])
            for times in (op["queue"], op["service"]):
                assert sum(times["log2_us"]) == op["requests"] and len(times["log2_us"]) <= 22
                assert times["ns"] >= 0 and (not times["log2_us"] or times["log2_us"][-1] > 0)
        assert disk["failure"] is None and 0 <= disk["busy_us"] <= disk["age_us"]
        first, second = sorted(daemon.ctl_json("clients")["clients"], key=lambda one: one["export"])
        assert counters(first["ops"], "requests", "bytes") == LOADED
        assert counters(second["ops"], "requests") == {}
        assert "submitted" not in first["ops"]["read"]
        wire.disconnect()


def test_counters_outlive_connections_and_end_with_the_disk(daemon):
    for _ in range(2):
        with Wire(daemon).go(b"a", structured=True, contexts=[b"base:allocation"]) as wire:
            load(wire)
            assert counters(client(daemon)["ops"], "requests", "bytes") == LOADED
            wire.disconnect()
        wait_for(lambda: daemon.ctl_json("clients")["clients"] == [], "it has gone")
    assert counters(stats(daemon, "a")["ops"], "requests") == {op: (2 * requests,) for op, (requests, _) in LOADED.items()}
    daemon.ctl("export", "remove", "a")
    assert [disk["name"] for disk in daemon.ctl_json("stats")["disks"]] == ["b"]
    assert "there is no disk named \"a\"" in daemon.ctl("stats", "a", status=1)
    daemon.ctl("export", "add", "a=ram:1M")
    assert counters(stats(daemon, "a")["ops"], "requests") == {}


def test_what_is_refused_before_it_reaches_the_disk_is_not_counted(daemon):
    with Wire(daemon).go(b"b") as wire:
        assert wire.command(CMD_READ, 1 * MIB, 512)[0] == EINVAL
        assert wire.command(99, 0, 512)[0] == EINVAL
        assert wire.write(1 * MIB, bytes(512)) == ENOSPC
        assert wire.command(CMD_READ, 0, 0)[0] == 0  # nothing to do
        assert counters(client(daemon)["ops"], "requests") == {}
        assert counters(stats(daemon, "b")["ops"], "requests") == {}
        wire.disconnect()


def test_many_in_one_batch(daemon):
    """Whatever way they come: a pipelining client's, all in one segment."""
    with Wire(daemon).go(b"a") as wire:
        for _ in range(10):
            wire.send(b"".join(request(CMD_READ, n * 4096, 4096, cookie=n) for n in range(100)))
            wire.receive(100 * (16 + 4096))
        read = stats(daemon, "a")["ops"]["read"]
        assert (read["requests"], read["bytes"], read["submitted"]) == (1000, 1000 * 4096, 1000)
        # The RAM disk is done at once.
        assert read["queue"] == {"ns": 0, "log2_us": [1000]} and read["service"] == {"ns": 0, "log2_us": [1000]}
        wire.disconnect()


def test_disks_that_several_reactors_serve_are_added_up(directory):
    with Daemon(directory, "n=null:1M", options=["--threads", "2"]) as daemon:
        wires = [Wire(daemon).go(b"n") for _ in range(4)]
        for wire in wires:
            for n in range(25):
                wire.read(n * 512, 512)
        clients = daemon.ctl_json("clients")["clients"]
        assert {one["reactor"] for one in clients} == {0, 1}
        assert [one["ops"]["read"]["requests"] for one in clients] == [25] * 4
        assert counters(stats(daemon, "n")["ops"], "requests", "bytes") == {"read": (100, 100 * 512)}
        for wire in wires:
            wire.disconnect()


def in_flight(daemon, op="write"):
    return stats(daemon, "h")["ops"][op]["in_flight"]


def test_what_is_merged_is_counted(hold):
    with Wire(hold).go(b"h") as wire, Wire(hold).go(b"h") as other:
        wire.send(request(CMD_WRITE, 512 * KIB, 512, cookie=1, payload=bytes(512)))
        wait_for(lambda: in_flight(hold) == 1, "the driver has one")
        # Neighbours, of both, and one apart: they wait, since the driver takes one at a time.
        wire.send(b"".join(request(CMD_WRITE, n * 8 * KIB, 4 * KIB, cookie=2, payload=bytes(4 * KIB)) for n in range(4)))
        other.send(b"".join(request(CMD_WRITE, 4 * KIB + n * 8 * KIB, 4 * KIB, cookie=3, payload=bytes(4 * KIB)) for n in range(4)))
        wire.send(request(CMD_WRITE, 256 * KIB, 1 * KIB, cookie=4, payload=bytes(1 * KIB)))
        wait_for(lambda: in_flight(hold) == 10, "all others wait")
        assert stats(hold, "h")["ops"]["write"]["submitted"] == 1
        before = sum(one["ops"]["write"]["in_flight"] for one in hold.ctl_json("clients")["clients"])
        assert before == 10
        for _ in range(3):
            hold.ctl("ioctl", "h", "end")
        for _ in range(6):
            assert wire.reply()[0] == 0
        for _ in range(4):
            assert other.reply()[0] == 0
        write = stats(hold, "h")["ops"]["write"]
        assert (write["requests"], write["merged"], write["submitted"]) == (10, 7, 3)
        assert write["bytes"] == 512 + 8 * 4 * KIB + 1 * KIB and write["in_flight"] == 0
        assert write["queue"]["ns"] > 0 and write["service"]["ns"] > 0
        # Each is somebody's; all but the one whose turn it was came along.
        assert sum(one["ops"]["write"]["merged"] for one in hold.ctl_json("clients")["clients"]) == 7
        (line,) = [json.loads(text) for text in hold.ctl("--json", "iostat").splitlines()]
        (disk,) = line["disks"]
        assert disk["%wrqm"] == 70 and disk["wareq-sz"] == pytest.approx(33.5 / 3)
        assert disk["%util"] > 0 and disk["aqu-sz"] > 0 and disk["w_await"] > 0


def test_a_connection_has_as_many_in_flight_as_nr_requests_allows(hold):
    """Changed while the disk is used, too; another connection has as many of its own."""
    hold.ctl("queue", "h", "nr_requests=4", "nomerges=2")
    with Wire(hold).go(b"h") as wire, Wire(hold).go(b"h") as other:
        for client in (wire, other):
            client.send(b"".join(request(CMD_WRITE, n * 8 * KIB, 512, cookie=n, payload=bytes(512)) for n in range(30)))
        wait_for(lambda: in_flight(hold) == 8, "four of each")
        hold.ctl("queue", "h", "nr_requests=10")
        for done in range(60):
            wait_for(lambda: stats(hold, "h")["ops"]["write"]["submitted"] > done, "the driver has the next one")
            if done == 6:
                wait_for(lambda: in_flight(hold) == 20, "ten of each")
            hold.ctl("ioctl", "h", "end")
        for client in (wire, other):
            assert sorted(client.reply()[1] for _ in range(30)) == list(range(30))


def test_what_fails_is_counted_and_the_disk_s_failure_is_shown(hold):
    hold.good_statuses = {1}
    with Wire(hold).go(b"h") as wire:
        wire.send(request(CMD_WRITE, 0, 512, payload=bytes(512)))
        wait_for(lambda: in_flight(hold) == 1, "the driver has it")
        hold.ctl("ioctl", "h", "fail")
        assert wire.reply()[0] == EIO
        assert counters(stats(hold, "h")["ops"], "requests", "errors", "bytes") == {"write": (1, 1, 0)}
        assert counters(client(hold)["ops"], "requests", "errors", "bytes") == {"write": (1, 1, 0)}
        assert stats(hold, "h")["failure"] is None
        wire.send(request(CMD_FLUSH))
        wait_for(lambda: in_flight(hold, "flush") == 1, "it syncs")
        hold.ctl("ioctl", "h", "fail")
        assert wire.reply()[0] == EIO
        assert wire.command(CMD_FLUSH)[0] == EIO  # without asking the driver
        flush = stats(hold, "h")["ops"]["flush"]
        assert (flush["requests"], flush["errors"], flush["submitted"]) == (2, 2, 1)
        assert stats(hold, "h")["failure"] == "EIO"
        assert hold.ctl("stats").splitlines()[1].split()[-1] == "EIO"


def test_flushes_that_share_a_sync(hold):
    with Wire(hold).go(b"h") as wire:
        wire.send(request(CMD_FLUSH))
        wait_for(lambda: stats(hold, "h")["ops"]["flush"]["submitted"] == 1, "the driver syncs")
        wire.send(b"".join(request(CMD_FLUSH, cookie=n) for n in range(7)))
        wait_for(lambda: in_flight(hold, "flush") == 8, "all wait")
        hold.ctl("ioctl", "h", "end")
        assert wire.reply()[0] == 0
        wait_for(lambda: stats(hold, "h")["ops"]["flush"]["submitted"] == 2, "the driver syncs for the others")
        hold.ctl("ioctl", "h", "end")
        for _ in range(7):
            assert wire.reply()[0] == 0
        flush = stats(hold, "h")["ops"]["flush"]
        assert (flush["requests"], flush["merged"], flush["submitted"]) == (8, 6, 2)
        headings, line = hold.ctl("stats").splitlines()[:2]
        assert dict(zip(headings.split(), line.split()))["SYNCS/FLUSH"] == "0.250"


def test_a_disk_is_busy_while_its_driver_works(hold):
    with Wire(hold).go(b"h") as wire:
        before = stats(hold, "h")
        assert before["busy_us"] == 0
        wire.send(request(CMD_FLUSH))
        wait_for(lambda: in_flight(hold, "flush") == 1, "the driver has it")
        first = stats(hold, "h")
        wait_for(lambda: stats(hold, "h")["busy_us"] > first["busy_us"] + 20000, "the time goes on")
        hold.ctl("ioctl", "h", "end")
        assert wire.reply()[0] == 0
        last = stats(hold, "h")
        assert stats(hold, "h")["busy_us"] == last["busy_us"]
        assert 20000 <= last["busy_us"] <= last["age_us"] - before["age_us"]
        flush = last["ops"]["flush"]
        assert abs(flush["queue"]["ns"] + flush["service"]["ns"] - 1000 * last["busy_us"]) <= 1000


def test_a_driver_s_time_is_measured(directory):
    with Daemon(directory, "n=null:1M,delay=20000", options=["--threads", "1"]) as daemon:
        with Wire(daemon).go(b"n") as wire:
            for _ in range(3):
                wire.read(0, 512)
            read = stats(daemon, "n")["ops"]["read"]
            assert read["service"]["ns"] >= 3 * 20_000_000 and sum(read["service"]["log2_us"][15:]) == 3
            assert read["queue"] == {"ns": 0, "log2_us": [3]}
            assert client(daemon)["ops"]["read"]["service"] == read["service"]
            wire.disconnect()


def test_what_a_file_s_cache_does_at_once_takes_time_all_the_same(directory):
    path = os.path.join(directory, "image")
    with open(path, "wb") as file:
        file.write(bytes(64 * KIB))
    with Daemon(directory, f"f={path}", options=["--threads", "1"]) as daemon:
        with Wire(daemon).go(b"f") as wire:
            wire.read(0, 4 * KIB)
            first = stats(daemon, "f")["ops"]["read"]["service"]["ns"]
            wire.read(0, 4 * KIB)
            assert stats(daemon, "f")["ops"]["read"]["service"]["ns"] > first > 0
            assert wire.write(0, bytes(4 * KIB)) == 0
            assert stats(daemon, "f")["ops"]["write"]["service"]["ns"] > 0
            wire.disconnect()


def test_a_large_request_takes_time_on_a_ram_disk_too(daemon):
    with Wire(daemon).go(b"a") as wire:
        assert wire.write(0, bytes(4 * MIB)) == 0
        assert wire.write(0, bytes(60 * KIB)) == 0
        write = stats(daemon, "a")["ops"]["write"]
        assert write["service"]["ns"] > 0 and write["service"]["log2_us"][0] == 1 and sum(write["service"]["log2_us"]) == 2
        wire.disconnect()


def test_partitions_are_in_their_disk_s_counters(directory):
    path = os.path.join(directory, "image")
    with open(path, "wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(["sfdisk", "-q", path], input="label: dos\nstart=2048,size=4096,type=83\n", text=True, check=True, timeout=60)
    with Daemon(directory, f"p={path},partitions=on", options=["--threads", "1"]) as daemon:
        with Wire(daemon).go(b"pp1") as wire:
            before = stats(daemon, "p")["ops"]["read"]["requests"]  # the table's
            wire.read(0, 512)
            assert [disk["name"] for disk in daemon.ctl_json("stats")["disks"]] == ["p"]
            (disk,) = daemon.ctl_json("stats", "pp1")["disks"]
            assert disk["name"] == "p" and disk["ops"]["read"]["requests"] == before + 1
            assert counters(client(daemon)["ops"], "requests") == {"read": (1,)}
            wire.disconnect()


def test_the_tables(daemon):
    with Wire(daemon).go(b"a", structured=True, contexts=[b"base:allocation"]) as wire:
        load(wire)
        disks, ops, *rest = daemon.ctl("stats").split("\n\n")
        assert not rest
        lines = [line.split() for line in disks.splitlines()]
        assert lines[0] == ["DISK", "AGE", "BUSY", "FLUSHES", "SYNCS", "SYNCS/FLUSH", "FAILURE"]
        assert [(line[0], *line[3:]) for line in lines[1:]] == [("a", "6", "6", "1.000", "-"), ("b", "0", "0", "-", "-")]
        lines = [line.split() for line in ops.splitlines()]
        assert lines[0] == ["DISK", "OP", "REQUESTS", "MERGED", "SUBMITTED", "BYTES", "IN-FLIGHT", "ERRORS", "QUEUE", "SERVICE"]
        assert [line[:8] for line in lines[1:3]] == [["a", "read", "30", "0", "30", "240K", "0", "0"],
                                                     ["a", "write", "21", "0", "21", "80.5K", "0", "0"]]
        assert len(lines) == 8
        histograms = daemon.ctl("stats", "a").split("\n\n")[2].splitlines()
        assert histograms[0].split()[:5] == ["FROM", "read-queue", "read-service", "write-queue", "write-service"]
        assert histograms[1].split()[:5] == ["0", "30", "30", "21", "21"]
        assert len(daemon.ctl("stats", "b").split("\n\n")) == 2
        headings, line = [text.split() for text in daemon.ctl("clients").splitlines()]
        assert dict(zip(headings, line)).items() >= {"REQUESTS": "76", "READ": "240K", "WRITTEN": "80.5K"}.items()
        wire.disconnect()


COLUMNS = ("Device r/s rkB/s rrqm/s %rrqm r_await rareq-sz w/s wkB/s wrqm/s %wrqm w_await wareq-sz "
           "d/s dkB/s drqm/s %drqm d_await dareq-sz f/s f_await aqu-sz %util").split()


def test_iostat_since_the_disk_was_added(daemon):
    with Wire(daemon).go(b"a", structured=True, contexts=[b"base:allocation"]) as wire:
        load(wire)
        before = stats(daemon, "a")["age_us"]
        for arguments in ((), ("-x",), ("1", "1")):
            headings, *lines = [line.split() for line in daemon.ctl("iostat", *arguments).splitlines()]
            assert headings == COLUMNS and [line[0] for line in lines] == ["a", "b"]
        (report,) = daemon.ctl("--json", "iostat").splitlines()
        after = stats(daemon, "a")["age_us"]
        disk = json.loads(report)["disks"][0]
        assert list(disk) == ["disk", *COLUMNS[1:]] and disk["disk"] == "a"
        for column, times in (("r/s", 30), ("w/s", 25), ("d/s", 3), ("f/s", 6), ("rkB/s", 240)):
            assert times * 1e6 / after * 0.999999 <= disk[column] <= times * 1e6 / before * 1.000001
        assert disk["rareq-sz"] == 8 and disk["dareq-sz"] == 64
        wire.disconnect()


def test_iostat_of_each_interval(daemon):
    with Wire(daemon).go(b"a", structured=True, contexts=[b"base:allocation"]) as wire:
        load(wire)
        began = time.monotonic()
        reports = [json.loads(line)["disks"] for line in daemon.ctl("--json", "iostat", "1", "3").splitlines()]
        assert time.monotonic() - began >= 2
        assert [len(report) for report in reports] == [2, 2, 2]
        assert reports[0][0]["r/s"] > 0 and reports[1][0]["r/s"] == 0 and reports[2][0]["r/s"] == 0
        assert len(daemon.ctl("iostat", "1", "2").split("\n\n")) == 2
        wire.disconnect()


@pytest.mark.parametrize("arguments", [("stats", "a", "b"), ("iostat", "0"), ("iostat", "x"), ("iostat", "1", "0"), ("iostat", "1", "2", "3"),
                                       ("iostat", "-1"), ("iostat", "1s"), ("iostat", "99999")])
def test_a_wrong_command_line(daemon, arguments):
    assert daemon.ctl(*arguments, status=2)


def test_parameters_of_the_method(daemon):
    with ControlClient(daemon) as control:
        assert control.error("stats", disk=7)["code"] == "EINVAL"
        assert control.error("stats", name="a")["code"] == "EINVAL"
        assert control.error("stats", disk="none")["code"] == "ENOENT"
        assert [disk["name"] for disk in control.result("stats")["disks"]] == ["a", "b"]
