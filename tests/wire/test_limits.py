# SPDX-License-Identifier: BSD-2-Clause
"""Limits: of connections, descriptors and memory.  Whoever is within them doesn't notice that they are reached."""

import contextlib
import os
import re
import shutil
import statistics
import threading
import time

import pytest

from baseline import leaves_nothing
from daemon import Daemon, wait_for
from shared import KIB, MIB, SANITIZED, Bystander, harmless, noise, own_daemon, sparse_file
from wire_client import CMD_READ, CMD_WRITE, Closed, Wire, request


def served(daemon, tcp=False):
    """Whether a new client is greeted."""
    try:
        with Wire(daemon, tcp=tcp):
            return True
    except (Closed, ConnectionError):
        return False


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_more_connections_than_allowed_are_closed_at_once(directory, tcp):
    with Daemon(directory, "ram:1M", options=["--max-connections", "5"], tcp=True) as daemon, leaves_nothing(daemon):
        wires = [Wire(daemon, tcp=tcp).go() for _ in range(5)]
        for _ in range(20):
            assert not served(daemon, tcp)
        for wire in wires:
            assert wire.read(0, 512) == bytes(512)
        wires.pop().disconnect()
        wait_for(lambda: served(daemon, tcp), "the place is free")
        for wire in wires:
            wire.socket.close()


def test_connections_in_the_handshake_count_too(directory):
    with Daemon(directory, "ram:1M", options=["--max-connections", "3"]) as daemon, leaves_nothing(daemon):
        wires = [Wire(daemon) for _ in range(3)]
        assert not served(daemon)
        for wire in wires:
            wire.socket.close()
        wait_for(lambda: served(daemon), "the places are free")


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is missing")
def test_a_server_without_free_descriptors_goes_on(directory):
    with Daemon(directory, "ram:1M", command=["prlimit", "--nofile=40:40"]) as daemon, leaves_nothing(daemon):
        honest = Bystander(daemon)
        wires = [Wire(daemon, greet=False) for _ in range(100)]
        wait_for(lambda: "no new connection" in daemon.log(), "it has run out of them")
        assert honest.works()
        for wire in wires:
            wire.socket.close()
        wait_for(lambda: served(daemon), "there are free ones again")
        honest.works()
        honest.stop()
        honest.check()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is its own")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_an_idle_connection_costs_at_most_8_kib(directory, threads):
    with Daemon(directory, "ram:1M", options=["--threads", threads]) as daemon:
        first = [Wire(daemon).go() for _ in range(10)]
        before = daemon.memory()
        idle = [Wire(daemon).go() for _ in range(600)]
        assert daemon.memory() - before <= 600 * 8 * KIB
        for wire in (*first, *idle):
            wire.socket.close()


def newcomer_seconds(daemon):
    """From connect to the first data, of the usual one among some."""
    seconds = []
    for _ in range(9):
        started = time.monotonic()
        with Wire(daemon) as wire:
            assert wire.go().read(0, 4 * KIB) == bytes(4 * KIB)
            seconds.append(time.monotonic() - started)
            wire.disconnect()
    return statistics.median(seconds)


def test_a_newcomer_is_served_at_once_beside_many_idle_connections(directory):
    with Daemon(directory, "ram:1M", options=["--threads", "1"]) as daemon, contextlib.ExitStack() as idle:
        alone = newcomer_seconds(daemon)
        for _ in range(600):
            idle.enter_context(Wire(daemon)).go()
        beside = newcomer_seconds(daemon)
    assert beside < 10 * alone + 0.05, f"{beside * 1000:.1f} ms beside them, {alone * 1000:.1f} ms alone"


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is its own")
def test_a_connection_that_was_busy_costs_no_more_when_it_is_idle(directory):
    with Daemon(directory, "ram:16M") as daemon:
        wires = [Wire(daemon).go() for _ in range(100)]
        before = daemon.memory()
        for wire in wires:
            wire.send(request(CMD_WRITE, 0, 8 * MIB, cookie=1, payload=bytes(8 * MIB)) + request(CMD_READ, 0, MIB, cookie=2))
            assert wire.reply()[0] == 0
            assert wire.reply(MIB)[0] == 0
        wait_for(lambda: daemon.memory() <= before + 100 * 8 * KIB, "its buffers are given back")
        for wire in wires:
            wire.socket.close()


def switches(daemon):
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as status:
        return re.search(r"^voluntary_ctxt_switches:.*", status.read(), re.M)[0]


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory is its own")
@pytest.mark.parametrize("name", [b"ram", b"file"])
def test_a_burst_after_a_long_silence_leaves_no_memory_behind(directory, name):
    """The kernel's client: connected for days, busy at times."""
    with Daemon(directory, "ram=ram:64M", f"file={sparse_file(directory, 64 * MIB)}", options=["--threads", "1"]) as daemon:
        with Wire(daemon) as wire:
            wire.go(name)
            quiet = time.monotonic()
            last = switches(daemon)
            while time.monotonic() - quiet < 2.5:
                time.sleep(0.05)
                if switches(daemon) != last:
                    last, quiet = switches(daemon), time.monotonic()
            before = daemon.memory()
            wire.send(b"".join(request(CMD_WRITE, n * MIB, MIB, cookie=n, payload=bytes(MIB)) + request(CMD_READ, n * MIB, MIB, cookie=100)
                               for n in range(16)))
            for _ in range(32):
                header = wire.receive(16)
                assert header[4:8] == bytes(4)
                if header[8:] == (100).to_bytes(8, "big"):
                    wire.receive(MIB)
            wait_for(lambda: daemon.memory() <= before + 64 * KIB, "its buffers are given back")


@pytest.fixture(scope="module")
def small(scratch):
    with own_daemon("ram=ram:256M", f"file={sparse_file(scratch, 256 * MIB)}", options=["--memory", "8M", "--threads", "1"]) as running:
        yield running


def write_slowly(wire, number, failures):
    """Four large writes, whose bytes come in pieces, then the data back."""
    try:
        data = noise(6 * MIB, number)
        for round_ in range(4):
            message = request(CMD_WRITE, number * 6 * MIB, len(data), 0, round_, data)
            for at in range(0, len(message), 100 * KIB + number):
                wire.send(message[at:at + 100 * KIB + number])
            assert wire.reply() == (0, round_, b"")
        assert wire.read(number * 6 * MIB, len(data)) == data
    except Exception as error:  # pylint: disable=broad-except
        failures.append((number, repr(error)))


@pytest.mark.parametrize("name", [b"ram", b"file"])
def test_all_get_on_with_less_memory_than_they_ask_for(small, name):
    failures = []
    wires = [Wire(small).go(name) for _ in range(12)]
    threads = [threading.Thread(target=write_slowly, args=(wire, number, failures)) for number, wire in enumerate(wires)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    for wire in wires:
        wire.disconnect()


@pytest.mark.parametrize("name", [b"ram", b"file"])
def test_the_memory_limit_holds_back_what_is_pipelined(small, name):
    with harmless(small, name) as honest, Wire(small) as wire:
        wire.go(name)
        before = small.memory()
        most = 0
        for _ in range(3):
            # Not where the honest client works.
            wire.send(b"".join(request(CMD_WRITE, (n + 1) * 2 * MIB, 2 * MIB, 0, n, bytes(2 * MIB)) for n in range(16)))
            most = max(most, small.memory())
            for _ in range(16):
                assert wire.reply()[0] == 0
        assert SANITIZED or most < before + 16 * MIB
        assert honest.works()


def test_a_request_larger_than_all_memory_is_done(small):
    data = noise(MIB) * 64
    with Wire(small) as wire:
        assert wire.go(b"file").write(0, data) == 0
        assert wire.read(0, len(data)) == data


@pytest.fixture
def crowded(small):
    """All memory belongs to a client that takes its time."""
    before = small.stats()["requests"]
    with harmless(small, b"ram"), Wire(small) as holder:
        holder.go(b"ram").send(request(CMD_WRITE, 64 * MIB, 8 * MIB, payload=b"x" * MIB))
        wait_for(lambda: small.stats()["requests"] > before, "the large write has its memory")
        yield small


# A stalled client is cut off after ten seconds; nobody may have to wait for that.
BEFORE_THE_CUT = 5


def test_whoever_has_nothing_in_flight_is_let_in(crowded):
    started = time.monotonic()
    with Wire(crowded) as wire:
        wire.go(b"ram").send(b"".join(request(CMD_WRITE, 80 * MIB, 4096, 0, n, bytes(4096)) for n in range(20)))
        assert [wire.reply() for _ in range(20)] == [(0, n, b"") for n in range(20)]
    assert time.monotonic() - started < BEFORE_THE_CUT


def test_a_client_that_dies_while_it_waits_for_memory_leaves_the_line(crowded):
    started = time.monotonic()
    for _ in range(10):
        with Wire(crowded) as wire:
            wire.go(b"ram").send(request(CMD_WRITE, 80 * MIB, 4096, payload=bytes(4096)) * 8)
    with Wire(crowded) as wire:
        assert wire.go(b"ram").write(80 * MIB, bytes(4096)) == 0
    assert time.monotonic() - started < BEFORE_THE_CUT


def test_many_clients_that_come_and_go(directory):
    with Daemon(directory, "ram:1M", tcp=True, options=["--threads", "2"]) as daemon:
        with harmless(daemon):
            for number in range(1000):
                with Wire(daemon, tcp=number % 2 == 0, greet=number % 3 == 0) as wire:
                    if number % 5 == 0:
                        wire.flags()
        assert len(os.listdir(f"/proc/{daemon.pid}/task")) < 50
