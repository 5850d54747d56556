# SPDX-License-Identifier: BSD-2-Clause
"""Disks that another server has: what the module nbd passes on."""

import contextlib
import os
import re
import subprocess

import pytest

import tls_support
from daemon import wait_for
from nbd_support import MIB, Front, image, nbdkit, qemu_nbd, upstream
from wire_client import (CMD_CACHE, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, ENOSPC, ENOTSUP, EPERM, FLAG_FAST_ZERO,
                         FLAG_FUA, FLAG_NO_HOLE, INFO_BLOCK_SIZE, OPT_GO, READ_ONLY, REP_ACK, SEND_CACHE, SEND_FLUSH, SEND_FUA, SEND_TRIM,
                         SEND_WRITE_ZEROES, Wire, go_data)

SIZE = 48 * MIB


@pytest.fixture(params=["platterd", "nbdkit", "qemu-nbd"])
def uri(directory, request):
    """The address of a disk of SIZE bytes, which can do everything, and is empty."""
    with contextlib.ExitStack() as stack:
        if request.param == "platterd":
            yield stack.enter_context(upstream(directory, "x=" + image(directory, SIZE))).uri("x")
        elif request.param == "nbdkit":
            yield stack.enter_context(nbdkit(directory, "memory", str(SIZE)))
        else:
            yield stack.enter_context(qemu_nbd(directory, image(directory, SIZE)))


def extents(wire, offset, length):
    [found] = wire.status(offset, length).values()
    return found


def test_all_that_a_disk_can_do(directory, uri):
    data = os.urandom(8 * MIB)
    with Front(directory, uri) as front, Wire(front) as wire:
        wire.go(b"r", structured=True, contexts=[b"base:allocation"])
        can = SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES | SEND_CACHE
        assert (wire.size, wire.transmission_flags & can) == (SIZE, can)
        assert wire.write(4 * MIB, data) == 0
        assert wire.write(SIZE - 512, b"e" * 512, flags=FLAG_FUA) == 0
        assert wire.command(CMD_FLUSH) == (0, b"")
        assert wire.command(CMD_CACHE, 0, SIZE) == (0, b"")
        assert wire.command(CMD_TRIM, 0, MIB, FLAG_FUA)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 5 * MIB, MIB)[0] == 0
        assert wire.command(CMD_WRITE_ZEROES, 7 * MIB, 65536, FLAG_NO_HOLE | FLAG_FUA)[0] == 0
        expected = bytearray(SIZE)
        expected[4 * MIB:12 * MIB] = data
        expected[5 * MIB:6 * MIB] = bytes(MIB)
        expected[7 * MIB:7 * MIB + 65536] = bytes(65536)
        expected[-512:] = b"e" * 512
        assert wire.status(0, 4 * MIB)
        assert wire.command(CMD_READ, SIZE, 512)[0] == EINVAL
        assert wire.command(CMD_WRITE, SIZE, 512, payload=bytes(512))[0] == ENOSPC
        with Wire(front).go(b"r") as simple:
            # Odd places and lengths, and more than one request of the server's.
            assert simple.read(0, 32 * MIB) == expected[:32 * MIB]
            assert simple.read(4 * MIB + 1, 9 * MIB + 3) == expected[4 * MIB + 1:13 * MIB + 4]
            assert simple.read(SIZE - 1024, 1024) == expected[-1024:]
            simple.disconnect()


def test_holes_stay_holes(directory, uri):
    with Front(directory, uri) as front, Wire(front) as wire:
        wire.go(b"r", structured=True, contexts=[b"base:allocation"])
        assert wire.write(8 * MIB, b"d" * MIB) == 0
        kinds = {}
        at = 0
        while at < SIZE:
            for length, kind in extents(wire, at, SIZE - at):
                kinds[at] = kind
                at += length
        assert at == SIZE
        # Hole and zero, then data, then a hole again.
        assert [kinds[place] for place in (0, 8 * MIB, 9 * MIB)] == [3, 0, 3]
        assert sum(kind == 0 for kind in kinds.values()) == 1


def test_what_is_merged_has_several_segments(directory, uri):
    """Neighbours become one request of several segments."""
    with Front(directory, uri, keys=",queue.scheduler=merge") as front, Wire(front) as wire:
        wire.go(b"r")
        pieces = [os.urandom(4096) for _ in range(256)]
        for number, piece in enumerate(pieces):
            wire.send(wire.request(CMD_WRITE, number * 4096, 4096, cookie=number, payload=piece))
        assert all(wire.reply()[0] == 0 for _ in pieces)
        for number in range(256):
            wire.send(wire.request(CMD_READ, number * 4096, 4096, cookie=number))
        for _ in range(256):
            error, number, data = wire.reply(4096)
            assert (error, data) == (0, pieces[number])


def test_a_read_only_disk(directory):
    path = image(directory, MIB)
    with upstream(directory, f"x={path},readonly") as up, Front(directory, up.uri("x")) as front, Wire(front).go(b"r") as wire:
        assert wire.transmission_flags & READ_ONLY
        assert wire.command(CMD_WRITE, 0, 512, payload=bytes(512))[0] == EPERM
        assert wire.read(0, 512) == bytes(512)


def test_smallest_and_largest_requests_are_the_servers(directory):
    """It fails what is smaller or larger."""
    policy = ["--filter=blocksize-policy", "memory", "64M", "blocksize-minimum=4096", "blocksize-preferred=65536", "blocksize-maximum=1M",
              "blocksize-error-policy=error"]
    data = os.urandom(16 * MIB)
    with nbdkit(directory, *policy) as uri, Front(directory, uri, "u=ram:1M") as front, Wire(front) as wire:
        wire.go(b"r", [INFO_BLOCK_SIZE])
        assert wire.block_sizes[:2] == (4096, 65536)
        assert wire.command(CMD_READ, 512, 512)[0] == EINVAL
        assert wire.write(4096, data) == 0
        assert wire.read(0, 20 * MIB) == bytes(4096) + data + bytes(4 * MIB - 4096)
        assert wire.command(CMD_WRITE_ZEROES, 0, 64 * MIB)[0] == 0
        front.ctl("export", "remove", "u")


def test_smaller_requests_of_clients_are_emulated(directory):
    policy = ["--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096", "blocksize-error-policy=error"]
    with nbdkit(directory, *policy) as uri, Front(directory, uri, keys=",unaligned=emulate") as front, Wire(front).go(b"r") as wire:
        assert wire.write(4000, b"x" * 200) == 0
        assert wire.read(3999, 202) == b"\0" + b"x" * 200 + b"\0"


def test_more_connections_where_the_server_keeps_them_together(directory):
    with upstream(directory, "x=ram:4M") as up, Front(directory, up.uri("x"), keys=",connections=4") as front:
        with Wire(front).go(b"r") as wire:
            wait_for(lambda: len(up.ctl_json("clients")["clients"]) == 4, "the others have come")
            wait_for(lambda: [line for line in front.connections() if "connected" not in line] == [], "all are there")
            for number in range(256):
                wire.send(wire.request(CMD_WRITE, number * 4096, 4096, cookie=number, payload=number.to_bytes(2, "big") * 2048))
            assert all(wire.reply()[0] == 0 for _ in range(256))
            assert wire.command(CMD_FLUSH)[0] == 0
            writes = [client["ops"]["write"]["requests"] for client in up.ctl_json("clients")["clients"]]
            assert sum(writes) and sum(count > 0 for count in writes) > 1
            assert wire.read(100 * 4096, 4096) == (100).to_bytes(2, "big") * 2048
            wire.disconnect()
        front.wait_until_closed()
        wait_for(lambda: up.ctl_json("clients")["clients"] == [], "the connections are gone")


def test_one_connection_where_it_does_not(directory):
    with nbdkit(directory, "--filter=multi-conn", "memory", "1M", "multi-conn-mode=disable") as uri:
        with Front(directory, uri, keys=",connections=4") as front, Wire(front).go(b"r") as wire:
            assert wire.read(0, 512) == bytes(512)
            assert len(front.connections()) == 1
            assert "there is only one" in front.log()


@pytest.mark.parametrize("tls", ["certificates", "psk"])
@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_tls(directory, tls, transport):
    certificates = tls_support.certificates()
    parameter = f"tls-certificates={certificates}" if tls == "certificates" else f"tls-psk-file={certificates}/keys.psk"
    with upstream(directory, "x=ram:4M,tls", options=["--tls=required", *tls_support.options(), "--tls-verify-peer"], tcp=True, tls=False) as up:
        who = "client@" if tls == "psk" else ""
        uri = f"nbds://{who}localhost:{up.port}/x?" if transport == "tcp" else f"nbds+unix://{who}/x?socket={up.socket}&"
        with Front(directory, uri + parameter, keys=",connections=2") as front, Wire(front).go(b"r") as wire:
            data = os.urandom(3 * MIB)
            assert wire.write(0, data) == 0
            assert wire.read(0, 3 * MIB) == data
            assert all(client["tls"] for client in up.ctl_json("clients")["clients"])


def test_a_server_of_another_authority_is_refused_with_the_reason(directory):
    others = tls_support.certificates("theirs")
    with upstream(directory, "x=ram:4M", options=["--tls=required", "--tls-certificates", tls_support.certificates()], tcp=True, tls=False) as up:
        with Front(directory, f"nbds://localhost:{up.port}/x?tls-certificates={others}") as front:
            assert "certificate" in refusal(front)


def refusal(front):
    with Wire(front) as wire:
        wire.flags()
        kind, text = wire.option(OPT_GO, go_data(b"r"))[-1]
        assert kind != REP_ACK
        return text.decode()


def test_a_server_that_is_not_there_yet(directory):
    path = os.path.join(directory, "upstream", "nbd.sock")
    with Front(directory, f"nbd+unix:///x?socket={path}") as front:
        assert "No such file" in refusal(front)
        with upstream(directory, "x=ram:1M"), Wire(front).go(b"r") as wire:
            assert wire.size == MIB
            wire.disconnect()


def test_an_export_that_is_not_there(directory):
    with upstream(directory, "x=ram:1M") as up, Front(directory, up.uri("y")) as front:
        assert "server has no export named 'y'" in refusal(front)


@pytest.mark.parametrize("spec, said", [("nbd", "write the server's address"), ("nbd:http://localhost/", "write the server's address"),
                                        ("nbd:uri=nbd://h,connections=0", "write 1 to 16"), ("nbd:uri=nbd://h,connections=17", "write 1 to 16"),
                                        ("nbd:uri=nbd://h,timeout=99999999999", "for ever"), ("nbd:uri=nbd://h,timeout=-1", "not a number")])
def test_bad_keys(directory, spec, said):
    with Front(directory, "nbd://localhost/") as front:
        assert said in front.ctl("export", "add", "y=" + spec, status=1)


def test_an_address_that_makes_no_sense_is_told_to_clients(directory):
    with Front(directory, "nbd+carrier-pigeon:///") as front:
        assert "pigeon" in refusal(front)


@pytest.mark.parametrize("code, told", [("ENOSPC", ENOSPC), ("EIO", EIO), ("EPERM", EPERM), ("EINVAL", EINVAL)])
def test_errors_of_the_server_are_passed_on(directory, code, told):
    marker = os.path.join(directory, "fail")
    with nbdkit(directory, "--filter=error", "memory", "1M", f"error={code}", "error-rate=100%", f"error-file={marker}") as uri:
        with Front(directory, uri) as front, Wire(front).go(b"r") as wire:
            assert wire.write(0, b"a" * 512) == 0
            with open(marker, "wb"):
                pass
            assert wire.write(0, b"b" * 512) == told
            assert wire.command(CMD_TRIM, 0, 512)[0] == told
            assert wire.command(CMD_READ, 0, 512)[0] == told
            os.unlink(marker)
            assert wire.read(0, 512) == b"a" * 512


def calls(directory):
    """What nbdkit's log filter saw begin, and the flags."""
    with open(os.path.join(directory, "calls"), encoding="utf-8") as log:
        return re.findall(r"connection=\d+ (Write|Zero|Trim|Flush|Disconnect|Read)\b(?:[^.\n]*?fua=(\d))?[^\n]*\.\.\.", log.read())


def test_a_server_without_fua_gets_a_flush_behind_each(directory):
    log = os.path.join(directory, "calls")
    with nbdkit(directory, "--filter=log", "--filter=fua", "memory", "1M", f"logfile={log}") as uri:
        with Front(directory, uri) as front, Wire(front).go(b"r") as wire:
            assert wire.transmission_flags & SEND_FUA
            for command in CMD_WRITE, CMD_WRITE_ZEROES, CMD_TRIM:
                payload = bytes(512) if command == CMD_WRITE else b""
                assert wire.command(command, 0, 512, FLAG_FUA, payload=payload)[0] == 0
        assert [name for name, _ in calls(directory) if name != "Disconnect"][:6] == ["Write", "Flush", "Zero", "Flush", "Trim", "Flush"]


def test_fua_goes_through(directory):
    log = os.path.join(directory, "calls")
    with nbdkit(directory, "--filter=log", "memory", "1M", f"logfile={log}") as uri:
        with Front(directory, uri) as front, Wire(front).go(b"r") as wire:
            assert wire.write(0, bytes(512), flags=FLAG_FUA) == 0
            assert wire.write(0, bytes(512)) == 0
        assert calls(directory)[:2] == [("Write", "1"), ("Write", "0")]


def test_a_release_makes_durable_what_is_not(directory):
    log = os.path.join(directory, "calls")

    def used(front, command, payload=b""):
        with Wire(front).go(b"r") as wire:
            assert wire.command(command, 0, 0 if command == CMD_FLUSH else 512, payload=payload)[0] == 0
            if command == CMD_WRITE and payload[:1] == b"f":
                assert wire.command(CMD_FLUSH)[0] == 0
            wire.disconnect()
        front.wait_until_closed()

    with nbdkit(directory, "--filter=log", "memory", "1M", f"logfile={log}") as uri, Front(directory, uri) as front:
        used(front, CMD_READ)
        assert "Flush" not in [name for name, _ in calls(directory)]
        used(front, CMD_WRITE, b"f" * 512)
        assert [name for name, _ in calls(directory)].count("Flush") == 1
        used(front, CMD_WRITE, b"w" * 512)
        assert [name for name, _ in calls(directory)].count("Flush") == 2


def test_fast_zeroes_of_a_server_that_has_none(directory):
    with nbdkit(directory, "--filter=nozero", "memory", "1M", "zeromode=plugin", "fastzeromode=none") as uri:
        with Front(directory, uri) as front, Wire(front).go(b"r") as wire:
            assert wire.write(0, b"x" * 4096) == 0
            assert wire.command(CMD_WRITE_ZEROES, 0, 4096, FLAG_FAST_ZERO)[0] == ENOTSUP
            assert wire.read(0, 4096) == b"x" * 4096
            assert wire.command(CMD_WRITE_ZEROES, 0, 4096)[0] == 0
            assert wire.read(0, 4096) == bytes(4096)


def test_a_server_that_can_do_little(directory):
    """Neither zeroes, trim, caching nor extents; of these none are offered."""
    filters = ["--filter=nozero", "--filter=noextents", "--filter=nocache"]
    with nbdkit(directory, *filters, "memory", "1M", "zeromode=none", "cachemode=none") as uri:
        with Front(directory, uri) as front, Wire(front) as wire:
            wire.go(b"r", structured=True, contexts=[b"base:allocation"])
            assert not wire.transmission_flags & SEND_CACHE
            assert extents(wire, 0, MIB) == [(MIB, 0)]
            assert wire.write(0, b"x" * 512) == 0


def test_a_disk_that_has_grown(directory):
    path = image(directory, MIB)
    with upstream(directory, "x=" + path) as up, Front(directory, up.uri("x")) as front:
        with Wire(front).go(b"r") as wire:
            os.truncate(path, 2 * MIB)
            up.ctl("check", "x")
            front.ctl("check", "r")
            with Wire(front).go(b"r") as larger:
                assert larger.size == 2 * MIB
                # Its connection is from before.
                assert larger.write(2 * MIB - 512, b"e" * 512) == 0
                assert larger.read(2 * MIB - 512, 512) == b"e" * 512
                larger.disconnect()
            assert wire.read(0, 512) == bytes(512)


def test_the_module_comes_and_goes(directory):
    with upstream(directory, "x=ram:1M") as up, Front(directory, up.uri("x")) as front:
        for _ in range(3):
            with Wire(front).go(b"r") as wire:
                assert wire.read(0, 512) == bytes(512)
                wire.disconnect()
            front.wait_until_closed()
            before = front.descriptors()
            front.ctl("export", "remove", "r")
            front.ctl("rmmod", "nbd")
            assert "nbd" not in front.ctl("lsmod")
            front.ctl("export", "add", f"r=nbd:uri={up.uri('x')}")
            wait_for(lambda: front.descriptors() <= before, "all descriptors are closed")


def test_partitions_of_it(directory):
    source = image(directory, 8 * MIB)
    subprocess.run(["sfdisk", "--quiet", source], input="label: gpt\nsize=1MiB\n", text=True, check=True, timeout=60)
    with upstream(directory, "x=" + source) as up, Front(directory, up.uri("x"), keys=",partitions") as front, Wire(front).go(b"rp1") as wire:
        assert wire.size == MIB
        assert wire.write(0, b"p" * 512) == 0
