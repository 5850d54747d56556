# SPDX-License-Identifier: BSD-2-Clause
"""The rules of the transmission phase: commands, their flags and the errors they get."""

import pytest

from baseline import leaves_nothing
from shared import KIB, MIB, is_quiet, noise, own_daemon, sparse_file
from wire_client import (CMD_BLOCK_STATUS, CMD_CACHE, CMD_DISC, CMD_FLUSH, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES,
                         EINVAL, ENOSPC, EPERM, FLAG_DF, FLAG_FAST_ZERO, FLAG_FUA, FLAG_NO_HOLE, FLAG_REQ_ONE, Wire, request)

SIZE = MIB + 512
KNOWN = {CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES}
RANGED = [CMD_READ, CMD_WRITE, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES]


@pytest.fixture(scope="module")
def daemon(scratch):
    path = sparse_file(scratch, SIZE)
    with own_daemon(f"ram=ram:{SIZE}", f"file={path}", f"null=null:{SIZE}", f"fixed=ram:{SIZE},readonly") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon):
    with leaves_nothing(daemon):
        yield


@pytest.fixture(params=["ram", "file", "null"])
def wire(daemon, request):
    with Wire(daemon) as connection:
        yield connection.go(request.param.encode())


@pytest.fixture
def fixed(daemon):
    with Wire(daemon) as connection:
        yield connection.go(b"fixed")


def payload_of(command, length):
    return b"w" * length if command == CMD_WRITE else b""


def in_step(wire):
    return wire.command(CMD_READ, SIZE - 512, 512, cookie=0x1122334455667788)[0] == 0


@pytest.mark.parametrize("name", ["ram", "file"])
def test_read_gives_what_was_written(daemon, name):
    data = noise(12345)
    with Wire(daemon) as wire:
        wire.go(name.encode())
        assert wire.write(777, data) == 0
        assert wire.read(776, len(data) + 2) == b"\0" + data + b"\0"


def test_null_reads_zeroes_whatever_was_written(daemon):
    with Wire(daemon) as wire:
        wire.go(b"null")
        assert wire.write(0, b"x" * 4096) == 0
        assert wire.read(0, 300 * KIB) == bytes(300 * KIB)


@pytest.mark.parametrize("command", RANGED)
@pytest.mark.parametrize("offset, length", [
    (SIZE, 1), (SIZE - 1, 2), (SIZE + 1, 1), (0, SIZE + 1), (2**63, 512), (2**63 - 512, 1024), (2**64 - 512, 512),
    (2**64 - 512, 1024), (2**64 - 1, 1), (1, SIZE),
], ids=hex)
def test_past_the_end_is_enospc_for_writes_and_einval_for_the_rest(wire, command, offset, length):
    expected = ENOSPC if command in (CMD_WRITE, CMD_WRITE_ZEROES) else EINVAL
    assert wire.command(command, offset, length, payload=payload_of(command, length))[0] == expected
    assert in_step(wire)


@pytest.mark.parametrize("command", RANGED)
def test_up_to_the_end_is_within_the_disk(wire, command):
    assert wire.command(command, SIZE - 1, 1, payload=payload_of(command, 1))[0] == 0
    assert wire.command(command, 0, SIZE, payload=payload_of(command, SIZE))[0] == 0


@pytest.mark.parametrize("command", RANGED)
@pytest.mark.parametrize("offset", [0, 4096, SIZE])
def test_length_zero_does_not_disconnect(wire, command, offset):
    assert wire.command(command, offset, 0)[0] == 0
    assert in_step(wire)


@pytest.mark.parametrize("command", [CMD_TRIM, CMD_WRITE_ZEROES, CMD_CACHE])
def test_lengths_beyond_any_payload_do_not_disconnect(wire, command):
    assert wire.command(command, 0, 0xFFFFFFFF)[0] in (EINVAL, ENOSPC)
    assert in_step(wire)


@pytest.mark.parametrize("length", [64 * MIB + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_write_beyond_the_largest_payload_ends_the_connection(wire, length):
    wire.send(request(CMD_WRITE, 0, length))
    assert wire.closed()


@pytest.mark.parametrize("first", range(0, 0x10000, 0x4000), ids=hex)
def test_unknown_commands_are_einval_and_in_step(wire, first):
    commands = [n for n in range(first, first + 0x4000) if n not in KNOWN]
    for at in range(0, len(commands), 200):
        batch = commands[at:at + 200]
        wire.send(b"".join(request(n, 0, 512, cookie=n) for n in batch))
        assert [wire.reply() for _ in batch] == [(EINVAL, n, b"") for n in batch]
    assert in_step(wire)


@pytest.mark.parametrize("command", [*RANGED, CMD_FLUSH])
@pytest.mark.parametrize("bit", range(16))
def test_flags_that_a_command_does_not_take_are_einval_and_in_step(wire, command, bit):
    taken = FLAG_FUA | (FLAG_NO_HOLE | FLAG_FAST_ZERO if command == CMD_WRITE_ZEROES else 0)
    length = 0 if command == CMD_FLUSH else 512
    error, _ = wire.command(command, 0, length, 1 << bit, payload_of(command, length))
    assert error == (0 if taken & 1 << bit else EINVAL)
    assert in_step(wire)


@pytest.mark.parametrize("command", [CMD_READ, CMD_BLOCK_STATUS])
@pytest.mark.parametrize("flags", [FLAG_DF, FLAG_REQ_ONE, FLAG_DF | FLAG_FUA, FLAG_REQ_ONE | FLAG_FUA])
def test_flags_of_structured_replies_are_einval(wire, command, flags):
    assert wire.command(command, 0, 512, flags)[0] == EINVAL
    assert in_step(wire)


@pytest.mark.parametrize("command", [*RANGED, CMD_FLUSH])
def test_fua_is_accepted_on_every_command(wire, command):
    length = 0 if command == CMD_FLUSH else 512
    assert wire.command(command, 0, length, FLAG_FUA, payload_of(command, length))[0] == 0


def test_disc_may_carry_fua(wire):
    wire.send(request(CMD_DISC, flags=FLAG_FUA))
    assert wire.closed()


def test_disc_gets_no_reply(wire):
    wire.send(request(CMD_DISC))
    assert wire.closed()


@pytest.mark.parametrize("offset, length", [(0, 512), (512, 0), (2**64 - 1, 0xFFFFFFFF)])
def test_flush_takes_no_range(wire, offset, length):
    assert wire.command(CMD_FLUSH, offset, length)[0] == EINVAL
    assert in_step(wire)


@pytest.mark.parametrize("cookie", [0, 1, 2**64 - 1, 0x0123456789ABCDEF, 0x2560951367446698], ids=hex)
def test_cookie_comes_back_as_it_was(wire, cookie):
    assert wire.command(CMD_READ, 0, 16, cookie=cookie)[0] == 0
    assert wire.command(CMD_READ, SIZE, 16, cookie=cookie)[0] == EINVAL


def test_equal_cookies_in_flight_are_all_answered(wire):
    wire.send(request(CMD_FLUSH, cookie=7) * 100)
    assert [wire.reply() for _ in range(100)] == [(0, 7, b"")] * 100


@pytest.mark.parametrize("command", [CMD_WRITE, CMD_TRIM, CMD_WRITE_ZEROES])
@pytest.mark.parametrize("offset", [0, 2**63])
def test_writing_to_a_read_only_export_is_eperm(fixed, command, offset):
    assert fixed.command(command, offset, 4096, payload=payload_of(command, 4096))[0] == EPERM
    assert in_step(fixed)
    assert fixed.read(0, 4096) == bytes(4096)


@pytest.mark.parametrize("command", [CMD_READ, CMD_CACHE, CMD_FLUSH])
def test_a_read_only_export_takes_all_else(fixed, command):
    assert fixed.command(command, 0, 0 if command == CMD_FLUSH else 512)[0] == 0


@pytest.mark.parametrize("length", [1, 512, 4096, 65536, 256 * KIB, 256 * KIB + 1, MIB, 3 * MIB])
@pytest.mark.parametrize("why, offset, flags, error", [
    ("end", SIZE, 0, ENOSPC), ("overflow", 2**64 - 1, 0, ENOSPC), ("flag", 0, FLAG_DF, EINVAL)])
def test_refused_write_eats_its_payload(wire, why, offset, flags, error, length):
    # A good read in the same segment; the payload looks like requests for a server that forgets to skip it.
    payload = (request(CMD_DISC) * (length // 28 + 1))[:length]
    wire.send(request(CMD_WRITE, offset, length, flags, 1, payload) + request(CMD_READ, 0, 100, cookie=2))
    assert wire.reply() == (error, 1, b"")
    assert wire.reply(100)[:2] == (0, 2)


@pytest.mark.parametrize("length", [512, 256 * KIB + 1, 64 * MIB])
def test_refused_write_to_a_read_only_export_eats_its_payload(fixed, length):
    fixed.send(request(CMD_WRITE, 0, length, 0, 1, bytes(length)) + request(CMD_READ, 0, 100, cookie=2))
    assert fixed.reply() == (EPERM, 1, b"")
    assert fixed.reply(100) == (0, 2, bytes(100))


def test_nothing_is_sent_unasked(wire):
    assert wire.write(0, b"x" * 100) == 0
    assert is_quiet(wire)
