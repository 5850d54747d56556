# SPDX-License-Identifier: BSD-2-Clause
"""The load generator sends what it is asked for, in the right order, and notices a server that lies."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from bench_support import LOAD
from daemon import wait_for
from wire_client import (CMD_DISC, CMD_FLUSH, CMD_READ, CMD_WRITE, HAS_FLAGS, INFO_EXPORT, OPT_GO, REP_ACK, REP_INFO, REP_MAGIC,
                         REPLY_MAGIC, SEND_FLUSH)

SIZE = 1 << 20


def stamps(offset, length, seed=1):
    """What the generator writes there, and expects to read."""
    return b"".join(struct.pack("=QQ", at, (at ^ seed) * 0x9E3779B97F4A7C15 % 2**64) + bytes(4080)
                    for at in range(offset, offset + length, 4096))


class Onlooker:
    """An NBD server that keeps nothing; COMMANDS has (connection, command, slot of the cookie) as they came.

    LIE(how many came, cookie, offset, length) gives a reply's cookie and a read's data.
    """

    def __init__(self, directory, flags=HAS_FLAGS | SEND_FLUSH, lie=None):
        self.flags = flags
        self.lie = lie or (lambda count, cookie, offset, length: (cookie, stamps(offset, length)))
        self.path = os.path.join(directory, "sock")
        self.commands = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        number = 0
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer, number), daemon=True).start()
            number += 1

    def serve(self, peer, number):
        # A generator that was lied to hangs up.
        with peer, contextlib.suppress(ConnectionError):
            self.converse(peer.makefile("rwb"), number)

    def converse(self, stream, number):
        stream.write(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        stream.flush()
        _, _, _, length = struct.unpack(">IQII", stream.read(20))
        stream.read(length)
        info = struct.pack(">HQH", INFO_EXPORT, SIZE, self.flags)
        stream.write(struct.pack(">QIII", REP_MAGIC, OPT_GO, REP_INFO, len(info)) + info)
        stream.write(struct.pack(">QIII", REP_MAGIC, OPT_GO, REP_ACK, 0))
        stream.flush()
        while len(header := stream.read(28)) == 28:
            _, _, command, cookie, offset, length = struct.unpack(">IHHQQI", header)
            if command == CMD_DISC:
                return
            if command == CMD_WRITE:
                stream.read(length)
            self.commands.append((number, command, cookie % 1024))
            cookie, data = self.lie(len(self.commands), cookie, offset, length)
            stream.write(struct.pack(">IIQ", REPLY_MAGIC, 0, cookie) + (data if command == CMD_READ else b""))
            stream.flush()


@pytest.fixture
def onlooker(directory):
    server = Onlooker(directory)
    yield server
    server.listener.close()


def load(server, *arguments):
    return subprocess.run([LOAD, "--unix", server.path, "--json", *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("clients, depth", [(1, 1), (3, 4)])
def test_a_flush_follows_each_write(onlooker, clients, depth):
    done = load(onlooker, "--op", "write", "--flush", "--count", "60", "--connections", str(clients), "--depth", str(depth))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["requests"] == 60
    assert len(onlooker.commands) == 120
    for number in range(clients):
        for slot in range(depth):
            of_slot = [command for connection, command, one in onlooker.commands if (connection, one) == (number, slot)]
            assert of_slot == [CMD_WRITE, CMD_FLUSH] * (len(of_slot) // 2) and of_slot


def test_without_flush_there_is_none(onlooker):
    assert load(onlooker, "--op", "write", "--count", "60").returncode == 0
    assert [command for _, command, _ in onlooker.commands] == [CMD_WRITE] * 60


def test_flush_where_the_server_has_none(directory):
    server = Onlooker(directory, HAS_FLAGS)
    done = load(server, "--op", "write", "--flush", "--count", "60")
    server.listener.close()
    assert done.returncode == 1 and "takes no FLUSH" in done.stderr and not server.commands


@pytest.mark.parametrize("depth", [1, 8])
def test_sigterm_ends_a_measurement_with_its_report(onlooker, depth):
    with subprocess.Popen([LOAD, "--unix", onlooker.path, "--json", "--op", "write", "--depth", str(depth), "--seconds", "600"],
                          stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(onlooker.commands) > 100, "some requests")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["requests"] == len(onlooker.commands)


LAST = 50


def lies(directory, lie, *arguments):
    """What the generator says of a server whose reply number LAST lies."""
    def once(count, cookie, offset, length):
        return lie(cookie, offset, length) if count == LAST else (cookie, stamps(offset, length))

    server = Onlooker(directory, lie=once)
    done = load(server, "--depth", "4", "--block", "16K", "--count", "60", *arguments)
    server.listener.close()
    return done


def test_honest_data_pass_its_check(directory):
    done = lies(directory, lambda cookie, offset, length: (cookie, stamps(offset, length)), "--verify")
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert json.loads(done.stdout)["errors"] == 0


@pytest.mark.parametrize("op", ["read", "write"])
@pytest.mark.parametrize("wrong", [lambda cookie: cookie ^ 1 << 63, lambda cookie: cookie ^ 1 << 10, lambda cookie: cookie + 4,
                                   lambda cookie: 0], ids=["high bit", "another round", "no slot", "zero"])
def test_a_reply_with_a_cookie_of_no_request_ends_it(directory, op, wrong):
    done = lies(directory, lambda cookie, offset, length: (wrong(cookie), stamps(offset, length)), "--op", op)
    assert done.returncode == 1 and "unknown cookie" in done.stderr, done


def test_a_second_reply_to_a_request_ends_it(directory):
    seen = []

    def again(_count, cookie, offset, length):
        seen.append(cookie)
        return seen[0], stamps(offset, length)

    server = Onlooker(directory, lie=again)
    done = load(server, "--depth", "4", "--count", "60")
    server.listener.close()
    assert done.returncode == 1 and f"unknown cookie {seen[0]:#x}" in done.stderr, done


@pytest.mark.parametrize("wrong", [
    lambda offset, length: bytes(length), lambda offset, length: stamps(offset + 4096, length),
    lambda offset, length: stamps(offset, length, seed=2), lambda offset, length: stamps(offset, length - 4096) + bytes(4096),
], ids=["zeroes", "another place", "another seed", "zeroes at the end"])
def test_wrong_data_are_counted_and_named(directory, wrong):
    done = lies(directory, lambda cookie, offset, length: (cookie, wrong(offset, length)), "--verify")
    assert done.returncode == 1 and "wrong data at offset" in done.stderr, done
    assert json.loads(done.stdout)["errors"] >= 1


def test_without_verify_data_are_nobodys_business(directory):
    server = Onlooker(directory, lie=lambda count, cookie, offset, length: (cookie, bytes(length)))
    assert load(server, "--count", "60").returncode == 0
    server.listener.close()
