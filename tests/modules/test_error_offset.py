# SPDX-License-Identifier: BSD-2-Clause
"""Where in a request an error was: drivers that say so, and requests of which a part failed."""

import struct

import pytest

from daemon import Daemon
from modules_support import build, variant
from wire_client import (CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EIO, FLAG_DF, TYPE_ERROR, TYPE_ERROR_OFFSET,
                         TYPE_OFFSET_DATA, Wire, check_error_offset)

KIB = 1 << 10
MIB = 1 << 20
BAD = 300 * KIB  # what touches this byte fails

# Parts of at most 64 KiB, of which a driver says nothing...
IN_PARTS = '''
    bool bad = request->offset <= 307200 && request->offset + request->length > 307200;
    platter_request_complete(request, bad ? -EIO : 0);
'''
# ...or one, of which it says what it did.
IN_ONE = '''
    bool bad = request->offset <= 307200 && request->offset + request->length > 307200;
    if (bad) platter_request_progress(request, 307200 - request->offset);
    platter_request_complete(request, bad ? -EIO : 0);
'''
# Nonsense is taken for nothing.
TOO_MUCH = '''
    platter_request_progress(request, request->length);
    platter_request_complete(request, -EIO);
'''
LIMITS = ("geometry->max_request = geometry->max_zeroes = geometry->max_trim = 65536;"
          "geometry->capabilities |= PLATTER_DISK_TRIM | PLATTER_DISK_ZEROES;")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("offset"))
    capabilities = "geometry->capabilities = PLATTER_DISK_FLUSH;"
    parts = variant("parts", IN_PARTS)
    assert capabilities in parts
    sources = {"parts": parts.replace(capabilities, capabilities + LIMITS), "one": variant("one", IN_ONE),
               "much": variant("much", TOO_MUCH)}
    with Daemon(directory) as running:
        for name, source in sources.items():
            running.ctl("insmod", build(directory, name, source))
            running.ctl("export", "add", f"{name}={name}:2M")
        yield running


@pytest.fixture(params=["structured", "extended"])
def form(request):
    return {request.param: True}


def answer(wire, command, offset, length, flags=0):
    payload = b"w" * length if command == CMD_WRITE else b""
    wire.send(wire.request(command, offset, length, flags, 7, payload))
    cookie, chunks = wire.chunks()
    assert cookie == 7
    return chunks


@pytest.mark.parametrize("name, offset, where", [
    (b"one", 0, BAD), (b"one", 100 * KIB, BAD), (b"one", 1, BAD), (b"parts", 0, 256 * KIB), (b"parts", 10 * KIB, 266 * KIB)])
@pytest.mark.parametrize("command", [CMD_READ, CMD_WRITE])
def test_error_in_the_middle(daemon, form, name, offset, where, command):
    with Wire(daemon).go(name, **form) as wire:
        assert wire.write(0, b"d" * BAD) == 0 or name == b"parts"
        chunks = answer(wire, command, offset, MIB)
        check_error_offset(chunks[-1], EIO, where)
        if command == CMD_READ:
            # What was read before it isn't lost.
            (kind, payload), = chunks[:-1]
            assert (kind, payload[:8], len(payload)) == (TYPE_OFFSET_DATA, struct.pack(">Q", offset), 8 + where - offset)
            assert set(payload[8:]) <= {ord("d"), ord("w")}
        else:
            assert len(chunks) == 1
        assert answer(wire, CMD_READ, BAD + 1, 512)[0][0] == TYPE_OFFSET_DATA
        wire.disconnect()


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES])
def test_parts_of_other_commands(daemon, form, command):
    with Wire(daemon).go(b"parts", **form) as wire:
        chunk, = answer(wire, command, 0, MIB)
        check_error_offset(chunk, EIO, 256 * KIB)
        wire.disconnect()


def test_one_piece_is_still_one(daemon, form):
    with Wire(daemon).go(b"one", **form) as wire:
        chunks = answer(wire, CMD_READ, 0, MIB, FLAG_DF)
        assert [kind for kind, _ in chunks] == [TYPE_OFFSET_DATA, TYPE_ERROR_OFFSET]
        wire.disconnect()


def test_an_error_at_the_beginning_has_no_offset(daemon, form):
    with Wire(daemon).go(b"one", **form) as wire:
        for command in CMD_READ, CMD_WRITE:
            (kind, _), = answer(wire, command, BAD, 512)
            assert kind == TYPE_ERROR
        wire.disconnect()
    with Wire(daemon).go(b"much", **form) as wire:
        (kind, _), = answer(wire, CMD_READ, 0, 512)
        assert kind == TYPE_ERROR
        wire.disconnect()


def test_simple_replies_have_no_data_after_an_error(daemon):
    for name in (b"one", b"parts"):
        with Wire(daemon).go(name) as wire:
            assert wire.command(CMD_READ, 0, MIB) == (EIO, b"")
            assert wire.command(CMD_READ, BAD + 1, 512)[0] == 0
            wire.disconnect()


def test_many_fail_at_once(daemon, form):
    with Wire(daemon).go(b"parts", **form) as wire:
        wire.send(b"".join(wire.request(CMD_READ, 4 * KIB * number, 384 * KIB, cookie=number) for number in range(70)))
        for _ in range(70):
            number, chunks = wire.chunks()
            start = 4 * KIB * number
            part = (BAD - start) // (64 * KIB) * 64 * KIB
            if part:
                check_error_offset(chunks[-1], EIO, start + part)
            else:
                assert [kind for kind, _ in chunks] == [TYPE_ERROR]
        wire.disconnect()


@pytest.mark.parametrize("command", [CMD_WRITE, CMD_TRIM, CMD_WRITE_ZEROES])
def test_what_failed_may_have_changed(daemon, form, command):
    """A mark tells so: nobody knows how far it came."""
    daemon.ctl("mark", "parts", "m")
    try:
        with Wire(daemon).go(b"parts", contexts=[b"x-platter:dirty:m"], **form) as wire:
            check_error_offset(answer(wire, command, 128 * KIB, MIB)[-1], EIO, 256 * KIB)
            assert wire.status(0, 2 * MIB) == {1: [(128 * KIB, 0), (MIB, 1), (896 * KIB, 0)]}
            wire.disconnect()
    finally:
        daemon.ctl("unmark", "parts", "m")
