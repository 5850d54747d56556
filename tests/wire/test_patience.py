# SPDX-License-Identifier: BSD-2-Clause
"""
Clients that keep the server waiting: cut off where they hold up others, left alone where they don't.  All of them
come at once, when the module starts, so that their long waits pass together.
"""

import contextlib
import itertools
import signal
import socket
import struct
import threading
import time

import pytest

from baseline import leaves_nothing
from daemon import wait_for
from sessions import FLAGS, SESSIONS
from shared import MIB, Bystander, own_daemon, sparse_file
from wire_client import (CMD_READ, CMD_WRITE, OPT_EXPORT_NAME, OPT_GO, OPT_INFO, OPT_LIST, REP_ACK, Closed, Wire, go_data,
                         option, request)

# Seconds for a handshake, and more than it may take until the server looks at its clock.
HANDSHAKE, SLACK = 10, 10


class Timed:
    """A connection, and how long it lasted."""

    def __init__(self, daemon, first=b"", tcp=False):
        self.started = time.monotonic()
        self.lasted = None
        self.wire = Wire(daemon, tcp=tcp)
        self.wire.send(first)
        self.answer = b""
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self):
        try:
            while data := self.wire.socket.recv(65536):
                self.answer += data
        except OSError:
            pass
        self.lasted = time.monotonic() - self.started


def keep_sending(timed, data):
    def run():
        try:
            while True:
                timed.wire.send(data)
                time.sleep(0.5)
        except OSError:
            pass
    threading.Thread(target=run, daemon=True).start()


def crowd(daemon, everyone):
    """Two payloads that don't come and replies that aren't taken; then one that waits for memory, and a modest one."""
    payload = FLAGS + option(OPT_GO, go_data(b"a")) + request(CMD_WRITE, 32 * MIB, 4 * MIB, payload=b"x" * 1000)
    everyone["stalled"] = [Timed(daemon, payload), Timed(daemon, payload)]
    wait_for(lambda: daemon.stats()["requests"] == 2, "both have their share")
    everyone["deaf"] = Wire(daemon).go(b"file")
    everyone["deaf"].send(request(CMD_READ, 0, 8 * MIB))
    wait_for(lambda: daemon.stats()["requests"] == 3, "the third has its share")
    everyone["waiting"] = Wire(daemon).go(b"slow")
    for cookie in 1, 2:
        everyone["waiting"].send(request(CMD_WRITE, 0, 8192, 0, cookie, bytes(8192)))
    wait_for(lambda: daemon.stats()["requests"] == 4, "its first is taken")
    everyone["neighbour"] = Bystander(daemon, b"a")


@pytest.fixture(scope="module")
def daemon():
    with own_daemon("a=ram:4M", "b=ram:1M", "slow=null:1M,open-delay=12000", options=["--threads", "2"], tcp=True) as running:
        yield running


@pytest.fixture(scope="module")
def small(scratch):
    """One with little memory, and a disk that keeps requests for longer than anyone may stall."""
    with own_daemon("a=ram:64M", f"file={sparse_file(scratch, 64 * MIB)}", "slow=null:64M,delay=20000000",
                    options=["--memory", "8M", "--threads", "1"]) as running:
        yield running
        # What the slow disk has can't be waited for.
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left(daemon, small):
    """But the connection whose requests the slow disk keeps."""
    with leaves_nothing(daemon), leaves_nothing(small, staying=1):
        yield


@pytest.fixture(scope="module", autouse=True)
def clients(daemon, small, nothing_is_left):  # pylint: disable=unused-argument
    everyone = {
        "silent": [Timed(daemon, handshake[:n], tcp=n % 2 == 0) for handshake, _ in SESSIONS.values() for n in range(len(handshake))],
        "resting": {name: [Timed(daemon, handshake + rest[:n], tcp=n % 2 == 0) for n in range(len(rest))]
                    for name, (handshake, rest) in SESSIONS.items()},
        "dripping": Timed(daemon, FLAGS), "asking": Timed(daemon, FLAGS), "retrying": Timed(daemon, FLAGS),
        "flooding": Wire(daemon),
        "go": Timed(daemon, FLAGS + option(OPT_GO, go_data(b"slow")) + request(CMD_READ, 0, 16, cookie=9)),
        "info": Timed(daemon, FLAGS + option(OPT_INFO, go_data(b"slow"))),
        "old": Timed(daemon, FLAGS + option(OPT_EXPORT_NAME, b"slow")),
        "bystander": Bystander(daemon, b"a"),
    }
    crowd(small, everyone)
    keep_sending(everyone["dripping"], b"I")
    keep_sending(everyone["asking"], option(OPT_INFO, go_data(b"a")))
    keep_sending(everyone["retrying"], option(OPT_GO, go_data(b"missing")))
    everyone["flooding"].flags()
    everyone["flooding"].socket.settimeout(0.2)
    try:
        while True:
            everyone["flooding"].send(option(OPT_LIST) * 100)
    except OSError:
        everyone["flooding"].socket.settimeout(60)
    yield everyone
    honest = everyone["bystander"], everyone["neighbour"]
    for client in honest:
        client.stop()
    for timed in (*(everyone[how] for how in ("dripping", "asking", "retrying", "go", "info", "old")), *everyone["silent"],
                  *everyone["stalled"], *itertools.chain(*everyone["resting"].values())):
        with contextlib.suppress(OSError):
            timed.wire.socket.shutdown(socket.SHUT_RDWR)
    for how in "flooding", "deaf", "waiting":
        everyone[how].socket.close()
    for client in honest:
        client.check()


def lasted(timed):
    wait_for(lambda: timed.lasted is not None, "the connection is closed")
    return timed.lasted


def test_silence_at_every_byte_of_the_handshake_is_cut_off(clients):
    for timed in clients["silent"]:
        assert HANDSHAKE <= lasted(timed) < HANDSHAKE + SLACK


@pytest.mark.parametrize("how", ["dripping", "asking", "retrying"])
def test_a_handshake_that_goes_on_and_on_is_cut_off(clients, how):
    assert 1 < lasted(clients[how]) < HANDSHAKE + SLACK


def test_an_option_flood_that_reads_nothing_is_cut_off(clients):
    wire = clients["flooding"]
    # It still gets what was sent to it before.
    with pytest.raises(Closed):
        while True:
            wire.receive(1)


@pytest.mark.parametrize("how", ["go", "info"])
def test_the_clock_stands_still_while_a_driver_opens(clients, how):
    timed = clients[how]
    number = OPT_GO if how == "go" else OPT_INFO
    wait_for(lambda: struct.pack(">II", number, REP_ACK) in timed.answer, "the slow disk is open")
    assert time.monotonic() - timed.started > HANDSHAKE + 1


def test_the_clock_stands_still_for_export_name_too(clients):
    wait_for(lambda: len(clients["old"].answer) == 10, "the slow disk is open")


def test_a_request_sent_ahead_waits_for_the_driver(clients):
    wait_for(lambda: clients["go"].answer.endswith(struct.pack(">IIQ16x", 0x67446698, 0, 9)), "the read is answered")


@pytest.mark.parametrize("session", [name for name, (_, rest) in SESSIONS.items() if rest])
def test_silence_at_every_byte_of_a_request_is_nobody_elses_business(clients, daemon, session):
    handshake, rest = SESSIONS[session]
    unbroken = Timed(daemon, handshake + rest)
    lasted(unbroken)
    wait_for(lambda: clients["silent"][0].lasted is not None, "long enough")
    for length, timed in enumerate(clients["resting"][session]):
        assert timed.lasted is None
        timed.wire.send(rest[length:])
    for timed in clients["resting"][session]:
        lasted(timed)
        # Requests in flight together may be answered in another order.
        assert sorted(timed.answer) == sorted(unbroken.answer)


def test_all_the_while_an_honest_client_works(clients, daemon):
    wait_for(lambda: clients["silent"][0].lasted is not None, "long enough")
    clients["bystander"].works()
    clients["bystander"].check()
    assert daemon.alive()


def test_all_that_stalls_is_cut_off_when_others_wait_for_its_memory(clients, small):
    for timed in clients["stalled"]:
        assert HANDSHAKE <= lasted(timed) < HANDSHAKE + SLACK
    with pytest.raises(Closed):
        clients["deaf"].receive(8 * MIB + 16)
    neighbour = clients["neighbour"]
    neighbour.works()
    neighbour.stop()
    neighbour.check()
    wait_for(lambda: small.stats()["requests"] == 5 + neighbour.requests, "what waited goes on")


def test_what_stalled_was_not_written(clients, small):
    wait_for(lambda: all(timed.lasted is not None for timed in clients["stalled"]), "they are gone")
    with Wire(small) as wire:
        assert wire.go(b"a").read(32 * MIB, 4 * MIB) == bytes(4 * MIB)
