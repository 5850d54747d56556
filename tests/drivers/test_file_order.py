# SPDX-License-Identifier: BSD-2-Clause
"""The file driver: what overlaps takes effect in the order of arrival, also when nobody waits for the replies between."""

import pytest
from daemon import Daemon, wait_for
from driver_support import KIB, MIB, connect, make_file
from strace import ENVIRONMENT, Strace
from wire_client import CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, FLAG_FUA, FLAG_NO_HOLE, request

AT, LENGTH, ROUNDS = 4 * KIB, 4 * KIB, 150


def write(byte, flags=0, length=LENGTH):
    return request(CMD_WRITE, AT, length, flags, payload=byte * length), byte


def clear(command, flags=0, length=LENGTH):
    return request(command, AT, length, flags), b"\0"


FIRST = {
    "write": write(b"1"), "durable": write(b"1", FLAG_FUA), "large": write(b"1", length=2 * MIB),
    "zeroes": clear(CMD_WRITE_ZEROES), "zeroes in place": clear(CMD_WRITE_ZEROES, FLAG_NO_HOLE),
    "durable zeroes": clear(CMD_WRITE_ZEROES, FLAG_FUA), "trim": clear(CMD_TRIM),
}
SECOND = {
    "write": write(b"2"), "durable": write(b"2", FLAG_FUA), "large": write(b"2", length=2 * MIB),
    "zeroes": clear(CMD_WRITE_ZEROES),
}


@pytest.mark.parametrize("keys", ["", ",direct=on"])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", SECOND)
def test_later_of_two_overlapping_requests_wins(directory, first, second, keys):
    requests = FIRST[first][0] + SECOND[second][0]
    with Daemon(directory, make_file(directory, 4 * MIB) + keys) as daemon, connect(daemon) as wire:
        lost = 0
        for _ in range(20 if "large" in (first, second) else ROUNDS):
            assert wire.write(AT, b"0" * LENGTH) == 0
            wire.send(requests)
            assert [wire.reply()[0], wire.reply()[0]] == [0, 0]
            lost += wire.read(AT, LENGTH) != SECOND[second][1] * LENGTH
        assert lost == 0


@pytest.mark.parametrize("first", ["zeroes", "trim"])
def test_request_of_a_client_that_left_does_not_undo_a_later_write(directory, first):
    """A client that reconnects sends again what got no reply, and goes on from there; its first copy may still be running."""
    path = make_file(directory, b"0" * MIB)
    with Daemon(directory, path, environment=ENVIRONMENT) as daemon:
        with Strace(daemon, "fallocate", "fallocate:delay_enter=300000") as trace:
            with connect(daemon) as leaving:
                leaving.send(FIRST[first][0])
                wait_for(lambda: "fallocate(" in trace.text(), "the request runs")
            with connect(daemon) as wire:
                assert wire.write(AT, b"2" * LENGTH) == 0
                wait_for(lambda: "INJECTED" in trace.text() or "DELAYED" in trace.text(), "the request is over")
                assert wire.read(AT, LENGTH) == b"2" * LENGTH
