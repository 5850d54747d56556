# SPDX-License-Identifier: BSD-2-Clause
"""The load generator sends what it is asked for, in the right order, and notices a server that lies."""

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from bench_support import LOAD
from daemon import Daemon, wait_for
from tls_support import certificates
from wire_client import (CMD_DISC, CMD_FLUSH, CMD_READ, CMD_WRITE, EIO, ERR_UNSUP, HAS_FLAGS, INFO_EXPORT, OPT_GO, OPT_STARTTLS,
                         OPT_STRUCTURED_REPLY, REP_ACK, REP_INFO, REP_MAGIC, REPLY_MAGIC, SEND_FLUSH)

SIZE = 1 << 20


def stamps(offset, length, seed=1):
    """What the generator writes there, and expects to read."""
    return b"".join(struct.pack("=QQ", at, (at ^ seed) * 0x9E3779B97F4A7C15 % 2**64) + bytes(4080)
                    for at in range(offset, offset + length, 4096))


class Onlooker:
    """An NBD server that keeps nothing; COMMANDS has (connection, command, slot of the cookie) as they came, OFFSETS those of each.

    LIE(how many came, cookie, offset, length) gives a reply's cookie and a read's data.  TLS: a directory with certificates.
    CHUNKS(cookie, offset, length) gives the reply to a read where structured replies were negotiated.
    """

    def __init__(self, directory, flags=HAS_FLAGS | SEND_FLUSH, lie=None, tls=None, chunks=None):
        self.flags = flags
        self.lie = lie or (lambda count, cookie, offset, length: (cookie, stamps(offset, length)))
        self.tls = tls
        self.chunks = chunks
        self.offsets = []
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
        with peer, contextlib.suppress(OSError):
            peer.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
            peer.recv(4, socket.MSG_WAITALL)
            stream = peer.makefile("rwb")
            if self.tls:
                self.answer(stream, OPT_STARTTLS)
                stream = self.tls.wrap_socket(peer, server_side=True).makefile("rwb")
            if self.chunks:
                self.answer(stream, OPT_STRUCTURED_REPLY)
            self.answer(stream, OPT_GO, struct.pack(">HQH", INFO_EXPORT, SIZE, self.flags))
            self.converse(stream, number)

    def answer(self, stream, expected, info=b""):
        """Takes the option EXPECTED; any other one it doesn't know."""
        _, option, length = struct.unpack(">QII", stream.read(16))
        stream.read(length)
        if info and option == expected:
            stream.write(struct.pack(">QIII", REP_MAGIC, option, REP_INFO, len(info)) + info)
        stream.write(struct.pack(">QIII", REP_MAGIC, option, REP_ACK if option == expected else ERR_UNSUP, 0))
        stream.flush()

    def converse(self, stream, number):
        while len(header := stream.read(28)) == 28:
            _, _, command, cookie, offset, length = struct.unpack(">IHHQQI", header)
            if command == CMD_DISC:
                return
            if command == CMD_WRITE:
                stream.read(length)
            self.commands.append((number, command, cookie % 1024))
            self.offsets.append(offset)
            if self.chunks and command == CMD_READ:
                stream.write(self.chunks(cookie, offset, length))
                stream.flush()
                continue
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


def test_no_more_requests_than_the_rate_allows(onlooker):
    done = load(onlooker, "--count", "40", "--depth", "8", "--rate", "100")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    # The first comes at once, the last not before its time.
    assert told["requests"] == 40 and told["seconds"] >= 39 / 100


def test_a_rate_beyond_what_the_server_can_do_is_no_limit(onlooker):
    assert load(onlooker, "--count", "60", "--depth", "4", "--connections", "2", "--rate", "1G").returncode == 1
    assert load(onlooker, "--count", "60", "--depth", "4", "--connections", "2", "--rate", "900M").returncode == 0
    assert len(onlooker.commands) == 60


def test_offsets_keep_the_stride(onlooker):
    assert load(onlooker, "--count", "16", "--sequential", "--stride", "64K").returncode == 0
    assert onlooker.offsets == [65536 * i for i in range(16)]
    assert load(onlooker, "--count", "16", "--stride", "128K").returncode == 0
    assert all(offset % (128 << 10) == 0 for offset in onlooker.offsets[16:])


NONE, DATA, HOLE, ERROR = 0, 1, 2, 0x8001


def chunk(cookie, kind, payload=b"", done=True):
    return struct.pack(">IHHQI", 0x668E33EF, done, kind, cookie, len(payload)) + payload


def data(cookie, offset, length, done=True):
    return chunk(cookie, DATA, struct.pack(">Q", offset) + stamps(offset, length), done)


def hole(cookie, offset, length, done=True):
    return chunk(cookie, HOLE, struct.pack(">QI", offset, length), done)


def structured(directory, chunks, *arguments):
    server = Onlooker(directory, chunks=chunks)
    done = load(server, "--structured", "--depth", "4", "--block", "16K", "--count", "60", *arguments)
    server.listener.close()
    return done


def test_structured_data_in_any_order_pass_its_check(directory):
    done = structured(directory, lambda cookie, offset, length: data(cookie, offset + 8192, 8192, False) +
                      data(cookie, offset, 4096, False) + data(cookie, offset + 4096, 4096, False) + chunk(cookie, NONE), "--verify")
    assert done.returncode == 0 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["requests"] == 60 and told["errors"] == 0 and told["hole_bytes"] == 0


def test_holes_are_counted(directory):
    done = structured(directory, lambda cookie, offset, length: hole(cookie, offset, 12288, False) + data(cookie, offset + 12288, 4096))
    assert done.returncode == 0 and json.loads(done.stdout)["hole_bytes"] == 60 * 12288


def test_writes_may_have_simple_replies(directory):
    assert structured(directory, data, "--op", "write", "--flush").returncode == 0


@pytest.mark.parametrize("chunks, complaint", [
    (lambda cookie, offset, length: hole(cookie, offset, length), "a hole at offset"),
    (lambda cookie, offset, length: data(cookie, offset, length - 4096), "lacks 4096 bytes"),
    (lambda cookie, offset, length: chunk(cookie, NONE), "lacks 16384 bytes"),
    (lambda cookie, offset, length: data(cookie, offset, length, False) + data(cookie, offset, 4096), "a chunk of 4096 bytes"),
    (lambda cookie, offset, length: data(cookie, offset + 4096, length), "a chunk of 16384 bytes"),
    (lambda cookie, offset, length: hole(cookie, offset, 0), "a chunk of 0 bytes"),
    (lambda cookie, offset, length: data(cookie, offset + 512, 4096), "needs chunks of whole 4K"),
    (lambda cookie, offset, length: chunk(cookie, DATA, bytes(7)), "a chunk of type 1 with 7 bytes"),
    (lambda cookie, offset, length: chunk(cookie, 5), "unknown type 5"),
    (lambda cookie, offset, length: data(cookie ^ 1 << 63, offset, length), "unknown cookie"),
    (lambda cookie, offset, length: chunk(cookie, ERROR, struct.pack(">IH", EIO, 4) + b"why?"), f"error {EIO} for a read"),
    (lambda cookie, offset, length: struct.pack(">IIQ", REPLY_MAGIC, 0, cookie) + stamps(offset, length), "a simple reply to a read"),
])
def test_structured_replies_that_are_wrong(directory, chunks, complaint):
    done = structured(directory, chunks, "--verify")
    assert done.returncode == 1 and complaint in done.stderr, done


@pytest.mark.parametrize("option, what", [("--structured", "structured replies"), ("--extended", "extended headers")])
def test_a_server_without_them_is_of_no_use(directory, option, what):
    server = Onlooker(directory)
    done = load(server, option, "--count", "60")
    assert done.returncode == 1 and f"{what}: refused" in done.stderr, done
    server.listener.close()


@pytest.mark.parametrize("form", ["--structured", "--extended"])
@pytest.mark.parametrize("size, holes", [("16K", 0), ("1M", 0), ("64K", 1)])
def test_every_form_with_the_server(directory, form, size, holes):
    with Daemon(directory, "d=ram:64M") as daemon:
        base = [LOAD, "--unix", daemon.socket, "--export", "d", "--json", form, "--block", size, "--depth", "8", "--count", "300"]
        more = [] if holes else ["--prepare", "--verify"]
        told = json.loads(subprocess.run([*base, *more], capture_output=True, text=True, timeout=60, check=True).stdout)
        assert (told["requests"], told["errors"], told["extended"]) == (300, 0, form == "--extended")
        assert told["hole_bytes"] == (300 * 65536 if holes else 0)
        told = json.loads(subprocess.run([*base, "--op", "write", "--flush"], capture_output=True, text=True, timeout=60,
                                         check=True).stdout)
        assert (told["requests"], told["errors"]) == (300, 0)


def secured(directory, *arguments, trusted=None):
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(os.path.join(certificates(), "server-cert.pem"), os.path.join(certificates(), "server-key.pem"))
    server = Onlooker(directory, tls=server_side)
    done = load(server, "--tls-certificates", trusted or certificates(), *arguments)
    server.listener.close()
    return done, server


@pytest.mark.parametrize("arguments", [
    ["--verify"], ["--verify", "--depth", "32", "--connections", "3"], ["--verify", "--block", "1M", "--depth", "2"],
    ["--op", "write", "--depth", "32"], ["--op", "write", "--block", "1M", "--depth", "4", "--flush"]])
def test_all_of_it_through_tls(directory, arguments):
    """However large: beyond what goes into a record, a batch and the socket."""
    done, server = secured(directory, "--count", "60", *arguments)
    assert done.returncode == 0 and not done.stderr, done.stderr
    told = json.loads(done.stdout)
    assert told["tls"] and told["requests"] == 60 and told["errors"] == 0
    assert len(server.commands) == (120 if "--flush" in arguments else 60)


def test_a_server_that_somebody_else_has_signed(directory):
    done, server = secured(directory, "--count", "60", trusted=certificates("theirs"))
    assert done.returncode == 1 and "certificate verify failed" in done.stderr and not server.commands


def test_a_server_without_tls(onlooker):
    done = load(onlooker, "--count", "60", "--tls-certificates", certificates())
    assert done.returncode == 1 and "TLS: refused" in done.stderr
