# SPDX-License-Identifier: BSD-2-Clause
"""The end of the server: what it has read is answered, nobody gets an error, and nothing is left behind."""

import fcntl
import os
import signal
import socket
import termios
import time

import pytest

from daemon import Daemon, wait_for
from shared import KIB, MIB, noise, sparse_file
from volatile_support import SECTOR, load
from wire_client import (CMD_FLUSH, CMD_READ, CMD_WRITE, ERR_SHUTDOWN, OPT_ABORT, OPT_EXPORT_NAME, OPT_GO, OPT_LIST, REP_ACK, Closed,
                         Wire, go_data, option, request)


def in_flight(daemon, wire, count):
    """Sends COUNT reads, which the server has taken when this returns."""
    before = daemon.stats()["requests"]
    wire.send(b"".join(request(CMD_READ, 0, 16, cookie=n) for n in range(count)))
    wait_for(lambda: daemon.stats()["requests"] == before + count, "the requests are taken")


def ends_with(daemon, status, seconds=60):
    daemon.good_statuses = {status}
    assert daemon.process.wait(seconds) == status
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("threads", ["1", "2"])
def test_what_is_in_flight_is_answered(directory, number, threads):
    with Daemon(directory, "null:1M,delay=500000", options=["--threads", threads]) as daemon:
        wires = [Wire(daemon).go() for _ in range(3)]
        for wire in wires:
            in_flight(daemon, wire, 20)
        os.kill(daemon.pid, number)
        for wire in wires:
            assert sorted(wire.reply(16) for _ in range(20)) == [(0, n, bytes(16)) for n in range(20)]
            assert wire.closed()
            wire.socket.close()
        assert ends_with(daemon, 0)


def test_what_was_written_is_in_the_file(directory):
    path = sparse_file(directory, 4 * MIB)
    data = noise(4 * MIB)
    with Daemon(directory, path) as daemon, Wire(daemon) as wire:
        wire.go()
        assert wire.write(0, data) == 0
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)
        with open(path, "rb") as file:
            assert file.read() == data


def test_what_was_answered_survives_the_end_and_a_loss_of_power(directory):
    """A disk that forgets what wasn't synced, with a client that never says goodbye."""
    store = os.path.join(directory, "store")
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", f"v=volatile:1M,store={store}")
        with Wire(daemon) as wire:
            wire.go(b"v")
            assert wire.write(0, b"answered" * (SECTOR // 8)) == 0
            os.kill(daemon.pid, signal.SIGTERM)
            assert wire.closed()
            wire.socket.close()
            assert ends_with(daemon, 0)
    with Daemon(directory) as daemon:
        load(daemon)
        daemon.ctl("export", "add", f"v=volatile:1M,store={store}")
        with Wire(daemon) as wire:
            assert wire.go(b"v").read(0, SECTOR) == b"answered" * (SECTOR // 8)


@pytest.mark.parametrize("length", [4096, 300 * KIB])
def test_a_payload_that_is_not_whole_is_forgotten(directory, length):
    path = sparse_file(directory, MIB)
    with Daemon(directory, path) as daemon, Wire(daemon) as wire:
        wire.go()
        before = daemon.stats()["requests"]
        wire.send(request(CMD_FLUSH) + request(CMD_WRITE, 0, length) + b"!" * (length - 1))
        wait_for(lambda: daemon.stats()["requests"] == before + 2, "the write has begun")
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.reply()[0] == 0
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)
        with open(path, "rb") as file:
            assert file.read() == bytes(MIB)


@pytest.mark.parametrize("sent", [b"", b"\0\0", b"\0\0\0\3", b"\0\0\0\3" + option(99), b"\0\0\0\3" + option(99, b"xx", 9)],
                         ids=["greeted", "half the flags", "flags", "an option", "part of an option"])
def test_a_client_in_the_handshake_is_sent_away(directory, sent):
    with Daemon(directory, "ram:1M", tcp=True) as daemon:
        wires = [Wire(daemon, tcp=tcp) for tcp in (False, True)]
        for wire in wires:
            wire.send(sent)
        started = time.monotonic()
        os.kill(daemon.pid, signal.SIGTERM)
        assert ends_with(daemon, 0)
        assert time.monotonic() - started < 4
        for wire in wires:
            with pytest.raises(Closed):
                wire.receive(MIB)
            wire.socket.close()


def test_a_client_that_waits_for_a_driver_to_open_is_sent_away(directory):
    with Daemon(directory, "null:1M,open-delay=1000") as daemon, Wire(daemon) as wire:
        wire.flags()
        wire.send(option(OPT_GO, go_data()) + option(OPT_LIST) + option(99, bytes(100)) + option(OPT_ABORT) + option(OPT_LIST))
        os.kill(daemon.pid, signal.SIGTERM)
        # Whatever it asked for before it heard of the end; but to leave is always possible.
        for number in (OPT_GO, OPT_LIST, 99):
            answered, kind, text = wire.option_reply()
            assert (answered, kind) == (number, ERR_SHUTDOWN)
            assert text
        assert wire.option_reply() == (OPT_ABORT, REP_ACK, b"")
        assert wire.closed()
        assert ends_with(daemon, 0)


def test_export_name_at_the_end_is_an_end(directory):
    with Daemon(directory, "null:1M,open-delay=1000") as daemon, Wire(daemon) as wire:
        wire.flags()
        wire.send(option(OPT_EXPORT_NAME))
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.closed()
        assert ends_with(daemon, 0)


def test_idle_clients_are_sent_away(directory):
    with Daemon(directory, "ram:1M", options=["--threads", "2"]) as daemon:
        wires = [Wire(daemon).go() for _ in range(20)]
        os.kill(daemon.pid, signal.SIGTERM)
        for wire in wires:
            assert wire.closed()
            wire.socket.close()
        assert ends_with(daemon, 0)


def test_new_clients_are_refused_while_old_ones_are_answered(directory):
    with Daemon(directory, "null:1M,delay=2000000", tcp=True) as daemon, Wire(daemon) as wire:
        in_flight(daemon, wire.go(), 1)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it has begun")
        for tcp in False, True:
            try:
                with Wire(daemon, tcp=tcp, greet=False, timeout=1) as late:
                    assert late.closed()
            except (ConnectionError, FileNotFoundError):
                pass
        assert wire.reply(16) == (0, 0, bytes(16))
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)


def test_a_second_signal_ends_it_at_once(directory):
    with Daemon(directory, "null:1M,delay=600000000") as daemon, Wire(daemon) as wire:
        in_flight(daemon, wire.go(), 1)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it has begun")
        # Two at almost the same time are one.
        end = time.monotonic() + 10
        while daemon.alive() and time.monotonic() < end:
            os.kill(daemon.pid, signal.SIGTERM)
            time.sleep(0.01)
        assert ends_with(daemon, 1, 1)
        assert not os.path.exists(daemon.socket)


@pytest.mark.parametrize("delay", [0, 0.001, 0.01])
def test_two_signals_at_once_are_one(directory, delay):
    """As timeout(1) sends them, which signals a process and then its group."""
    with Daemon(directory, "null:1M,delay=1000000") as daemon, Wire(daemon) as wire:
        in_flight(daemon, wire.go(), 1)
        os.kill(daemon.pid, signal.SIGTERM)
        time.sleep(delay)
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.reply(16) == (0, 0, bytes(16))
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)


def test_a_hang_up_of_the_terminal_ends_it_in_good_order(directory):
    with Daemon(directory, "ram:1M", command=["env", "--default-signal=HUP"]) as daemon:
        assert daemon.stop(signal.SIGHUP) == 0
        assert not os.path.exists(daemon.socket)


def test_nohup_is_respected(directory):
    with Daemon(directory, "ram:1M", command=["env", "--ignore-signal=HUP"]) as daemon:
        os.kill(daemon.pid, signal.SIGHUP)
        with Wire(daemon) as wire:
            assert wire.go().size == MIB
        assert daemon.alive()


def test_signals_that_a_shell_ignores_in_the_background_end_it(directory):
    with Daemon(directory, "ram:1M", command=["env", "--ignore-signal=INT,TERM"]) as daemon:
        assert daemon.stop(signal.SIGINT) == 0


def test_a_second_signal_ends_the_last_sync(directory):
    path = sparse_file(directory, MIB)
    strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "signal=none", "-e", "inject=fdatasync:delay_enter=5s"]
    with Daemon(directory, path, command=strace, environment={"ASAN_OPTIONS": "detect_leaks=0"}) as daemon:
        daemon.good_statuses = {1}
        with Wire(daemon) as wire:
            wire.go().disconnect()
            end = time.monotonic() + 20
            while daemon.alive() and time.monotonic() < end:
                os.kill(daemon.pid, signal.SIGTERM)
                time.sleep(0.05)
        # strace keeps a thread that it delays to the end of the delay; that it was not waited for shows in the status.
        assert ends_with(daemon, 1)


def test_a_server_that_still_answers_leaves_the_next_ones_socket_alone(directory):
    with Daemon(directory, "null:1M,delay=2000000") as daemon, Wire(daemon) as wire:
        in_flight(daemon, wire.go(), 1)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it has begun")
        later = os.path.join(directory, "later")
        os.mkdir(later)
        with Daemon(later, "ram:1M", options=["--listen", "unix:" + daemon.socket]) as successor:
            assert wire.reply(16) == (0, 0, bytes(16))
            wire.socket.close()
            assert ends_with(daemon, 0)
            successor.socket = daemon.socket
            with Wire(successor) as other:
                assert other.go().size == MIB


@pytest.mark.parametrize("name", ["ram", "file"])
def test_a_client_that_never_reads_its_replies_has_the_drain_timeout(directory, name):
    path = sparse_file(directory, 64 * MIB)
    with Daemon(directory, "ram=ram:64M", f"file={path}", options=["--drain-timeout", "1"]) as daemon, Wire(daemon) as wire:
        wire.go(name.encode()).send(request(CMD_READ, 0, 32 * MIB) * 4)
        wire.receive(16)
        started = time.monotonic()
        os.kill(daemon.pid, signal.SIGTERM)
        assert ends_with(daemon, 0)
        assert time.monotonic() - started < 8


def test_a_client_that_never_reads_the_answer_to_its_go_has_the_drain_timeout(directory):
    """It would move to the disk's reactor once it is answered."""
    text = "d" * 4096
    with Daemon(directory, f"a=ram:1M,description={text}", f"b=ram:1M,description={text}",
                options=["--drain-timeout", "1", "--threads", "2"]) as daemon, Wire(daemon) as wire:
        wire.flags()
        unread, before = 0, -1
        # As much as the socket holds, and a little that waits in the server.
        while unread > before:
            before = unread
            wire.send(option(OPT_LIST))
            end = time.monotonic() + 0.5
            while unread == before and time.monotonic() < end:
                unread = int.from_bytes(fcntl.ioctl(wire.socket, termios.FIONREAD, bytes(4)), "little")
        wire.send(option(OPT_GO, go_data(b"b")))
        os.kill(daemon.pid, signal.SIGTERM)
        assert ends_with(daemon, 0, 20)


def test_a_disk_that_is_slower_than_the_drain_timeout_costs_nobody_the_answer(directory):
    with Daemon(directory, "null:1M,delay=4000000", options=["--drain-timeout", "1"]) as daemon, Wire(daemon) as wire:
        in_flight(daemon, wire.go(), 1)
        os.kill(daemon.pid, signal.SIGTERM)
        assert wire.reply(16) == (0, 0, bytes(16))
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)


def test_a_client_that_reads_its_replies_slowly_gets_them(directory):
    with Daemon(directory, "ram:64M") as daemon, Wire(daemon) as wire:
        wire.go().send(request(CMD_READ, 0, 32 * MIB) * 2)
        wire.receive(16)
        os.kill(daemon.pid, signal.SIGTERM)
        wait_for(lambda: "finishing" in daemon.log(), "it has begun")
        assert wire.receive(32 * MIB) == bytes(32 * MIB)
        assert wire.reply(32 * MIB)[0] == 0
        assert wire.closed()
        wire.socket.close()
        assert ends_with(daemon, 0)


def test_an_end_under_load(directory):
    """Whatever was answered was answered well, however many clients are in the middle of something."""
    path = sparse_file(directory, 16 * MIB)
    with Daemon(directory, "ram=ram:16M", f"file={path}", options=["--threads", "2"]) as daemon:
        wires = [Wire(daemon).go(name) for name in (b"ram", b"file") for _ in range(4)]
        for number, wire in enumerate(wires):
            wire.socket.setblocking(False)
            for _ in range(8):
                try:
                    wire.socket.send(request(CMD_WRITE, number * MIB, 32 * KIB, payload=bytes(32 * KIB)) + request(CMD_READ, 0, 64 * KIB))
                except BlockingIOError:
                    break
            wire.socket.settimeout(60)
        os.kill(daemon.pid, signal.SIGTERM)
        for wire in wires:
            with pytest.raises(Closed):
                while True:
                    magic, error = wire.receive(4), wire.receive(4)
                    assert magic == b"\x67\x44\x66\x98" and error == bytes(4)
                    wire.receive(8)
                    if wire.socket.recv(1, socket.MSG_PEEK)[:1] == b"\0":
                        wire.receive(64 * KIB)
            wire.socket.close()
        assert ends_with(daemon, 0)
