# SPDX-License-Identifier: BSD-2-Clause
"""Drivers with metadata contexts of their own."""

import json
import subprocess

import pytest

from daemon import Daemon, wait_for
from modules_support import build, variant
from wire_client import FLAG_REQ_ONE, Wire

KIB = 1 << 10
MIB = 1 << 20
ALLOCATION, COLOUR, PARITY = b"base:allocation", b"x-test:colour", b"x-test:parity"

# What is data is told in one piece; colours change each 64 KiB, and the parity each 4 KiB, by number.
TELL = '''
    if (request->op == PLATTER_OP_EXTENTS) {
        uint64_t size = request->context == 0 ? request->length : request->context == 1 ? 65536 : 4096;
        uint64_t at = request->offset, end = at + request->length;
        while (at < end) {
            uint64_t next = request->context == 0 ? end : (at / size + 1) * size;
            uint32_t kind = request->context == 0 ? 0 : request->context == 1 ? 0x80000000u | at / size : at / size % 2;
            if (platter_request_extent(request, next - at, kind)) break;
            at = next;
        }
    }
    platter_request_complete(request, fail ? -EIO : 0);
'''
FAIL = 'static int fail; PLATTER_PARAM(fail, int, 0644, "EXTENTS fail");\n'
NAMES = 'static const char *const contexts[] = { %s NULL };\n'


def source(name, names, complete=TELL):
    text = variant(name, complete, FAIL + NAMES % "".join(f'"{one}", ' for one in names), ".submit = mem_submit, .contexts = contexts")
    return text.replace("= PLATTER_DISK_FLUSH;", "= PLATTER_DISK_FLUSH | PLATTER_DISK_EXTENTS;")


@pytest.fixture
def daemon(directory):
    with Daemon(directory) as running:
        running.ctl("insmod", build(directory, "col", source("col", ["x-test:colour", "x-test:parity"])))
        running.ctl("export", "add", "c=col:4M")
        yield running


@pytest.fixture(params=["structured", "extended"])
def form(request):
    return {request.param: True}


def status(wire, offset, length, flags=0):
    return {wire.contexts[number]: extents for number, extents in wire.status(offset, length, flags).items()}


def colours(offset, length):
    ends = [*range((offset // 65536 + 1) * 65536, offset + length, 65536), offset + length]
    return [(end - start, 0x80000000 | start // 65536) for start, end in zip([offset, *ends], ends)]


@pytest.mark.parametrize("names", [[COLOUR], [PARITY], [COLOUR, PARITY], [PARITY, ALLOCATION], [ALLOCATION, COLOUR, PARITY]])
def test_each_is_asked_for_by_itself(daemon, form, names):
    with Wire(daemon).go(b"c", contexts=names, **form) as wire:
        assert sorted(wire.contexts.values()) == sorted(names)
        answer = status(wire, 10, MIB)
        assert set(answer) == set(names)
        if COLOUR in names:
            assert answer[COLOUR] == colours(10, MIB)
        if PARITY in names:
            assert answer[PARITY][:3] == [(4086, 0), (4096, 1), (4096, 0)]
            assert sum(length for length, _ in answer[PARITY]) == MIB
        if ALLOCATION in names:
            assert answer[ALLOCATION] == [(MIB, 0)]
        assert all(len(extents) == 1 for extents in status(wire, 5000, MIB, FLAG_REQ_ONE).values())
        wire.disconnect()


def test_with_marks_between(daemon, form):
    daemon.ctl("mark", "c", "m")
    with Wire(daemon).go(b"c", contexts=[b"qemu:dirty-bitmap:m", PARITY, b"x-platter:dirty:m", COLOUR], **form) as wire:
        assert wire.write(65536, b"x") == 0
        answer = status(wire, 0, 128 * KIB)
        assert answer[b"x-platter:dirty:m"] == answer[b"qemu:dirty-bitmap:m"] == [(65536, 0), (65536, 1)]
        assert answer[COLOUR] == colours(0, 128 * KIB)
        assert len(answer[PARITY]) == 32
        wire.disconnect()


def test_a_failure_of_one_is_that_of_the_request(daemon, form):
    with Wire(daemon).go(b"c", contexts=[COLOUR, PARITY], **form) as wire:
        daemon.ctl("param", "col", "fail", "1")
        wire.send(wire.request(7, 0, 4096))
        _, chunks = wire.chunks()
        assert [kind & 0x8000 for kind, _ in chunks] == [0x8000]
        daemon.ctl("param", "col", "fail", "0")
        assert status(wire, 0, 4096) == {COLOUR: [(4096, 0x80000000)], PARITY: [(4096, 0)]}
        wire.disconnect()


def test_on_blocks_and_in_any_range(directory, form):
    """unaligned=emulate with several contexts."""
    with Daemon(directory) as daemon:
        text = source("col", ["x-test:colour", "x-test:parity"])
        text = text.replace("geometry->bytes = mem->size;", "geometry->bytes = mem->size; geometry->min_block = 512;")
        daemon.ctl("insmod", build(directory, "col", text))
        daemon.ctl("export", "add", "c=col:4M,unaligned=emulate")
        with Wire(daemon).go(b"c", contexts=[ALLOCATION, COLOUR, PARITY], **form) as wire:
            answer = status(wire, 1, 65537)
            assert answer == {ALLOCATION: [(65537, 0)], COLOUR: [(65535, 0x80000000), (2, 0x80000001)], PARITY: answer[PARITY]}
            assert answer[PARITY][0] == (4095, 0) and answer[PARITY][-1] == (2, 0) and len(answer[PARITY]) == 17
            wire.disconnect()


SLOW = '''
    static struct platter_timer timers[8];
    static unsigned used;
    static struct platter_request *waiting[8];
    static void rang(struct platter_timer *timer) { platter_request_complete(waiting[timer - timers], 0); }
'''
LATER = '''
    if (request->op != PLATTER_OP_EXTENTS) { platter_request_complete(request, 0); return; }
    platter_request_extent(request, request->length, 1);
    waiting[used % 8] = request;
    timers[used % 8].done = rang;
    platter_timer_start(request->disk, &timers[used++ % 8], 300000000);
'''


def test_a_client_that_hangs_up_between_two_holds_nothing(directory):
    with Daemon(directory) as daemon:
        names = NAMES % '"x-test:a", "x-test:b",'
        text = variant("slow", LATER, SLOW + names, ".submit = mem_submit, .contexts = contexts")
        text = text.replace("= PLATTER_DISK_FLUSH;", "= PLATTER_DISK_FLUSH | PLATTER_DISK_EXTENTS;")
        daemon.ctl("insmod", build(directory, "slow", text))
        daemon.ctl("export", "add", "s=slow:1M")
        with Wire(daemon).go(b"s", structured=True, contexts=[b"x-test:a", b"x-test:b"]) as wire:
            wire.send(wire.request(7, 0, 4096))
        wait_for(lambda: not daemon.ctl_json("clients")["clients"], "the client is gone")
        daemon.ctl("export", "remove", "s")


def test_nbdinfo_shows_them(daemon):
    done = subprocess.run(["nbdinfo", "--json", "--map=x-test:colour", daemon.uri("c")], capture_output=True, text=True, timeout=60,
                          check=True)
    found = json.loads(done.stdout)
    assert [(one["offset"], one["length"]) for one in found] == [(number * 65536, 65536) for number in range(64)]


@pytest.mark.parametrize("names", [["none"], [":a"], ["a:"], ["base:other"], ["qemu:x"], ["x-platter:x"], ["x-test:" + "a" * 90],
                                   [f"x-test:{number}" for number in range(9)], ["x-test:a", "x-test:b", "x-test:a"]])
def test_names_that_are_refused(directory, names):
    with Daemon(directory) as daemon:
        assert "Invalid argument" in daemon.ctl("insmod", build(directory, "col", source("col", names)), status=1)
