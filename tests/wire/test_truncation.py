# SPDX-License-Identifier: BSD-2-Clause
"""A session that ends after any number of its bytes, by a close, a reset or a half close, leaves nothing behind."""

import pytest

from sessions import SESSIONS
from shared import KIB, MIB, close, half_close, harmless, noise, own_daemon, reset
from wire_client import CMD_READ, CMD_WRITE, Wire, request


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("a=ram:1M", "b=ram:1M", options=["--threads", "2"], tcp=True) as running:
        yield running


@pytest.mark.parametrize("session", SESSIONS)
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("end", [close, reset, half_close])
def test_the_end_at_every_byte_does_no_harm(daemon, session, tcp, end):
    data = b"".join(SESSIONS[session])
    with harmless(daemon, b"a"):
        for length in range(len(data) + 1):
            wire = Wire(daemon, tcp=tcp, greet=length % 2 == 0)
            wire.send(data[:length])
            end(wire)


@pytest.mark.parametrize("end", [close, reset, half_close])
@pytest.mark.parametrize("length", [1, 27, 28, 29, 4095, 4096, 4124, 65536, 256 * KIB, 256 * KIB + 28, MIB - 1])
def test_the_end_within_a_payload_does_no_harm(daemon, length, end):
    with harmless(daemon, b"a"), Wire(daemon) as wire:
        wire.go(b"b")
        wire.send(request(CMD_WRITE, 0, MIB) + noise(length))
        end(wire)
    with Wire(daemon) as wire:
        assert wire.go(b"b").read(0, MIB) == bytes(MIB)


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("end", [close, reset])
def test_the_end_before_the_first_byte_does_no_harm(daemon, tcp, end):
    with harmless(daemon, b"a"):
        for _ in range(200):
            end(Wire(daemon, tcp=tcp, greet=False))


@pytest.mark.parametrize("end", [close, reset, half_close])
@pytest.mark.parametrize("length, count", [(4096, 64), (MIB, 64), (16, 5000)])
def test_the_end_with_reads_in_flight_does_no_harm(daemon, end, length, count):
    with harmless(daemon, b"a"):
        for _ in range(5):
            wire = Wire(daemon).go(b"b")
            wire.send(request(CMD_READ, 0, length) * count)
            end(wire)
