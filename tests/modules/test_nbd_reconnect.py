# SPDX-License-Identifier: BSD-2-Clause
"""Disks that another server has, when that server, or the way to it, is gone."""

import contextlib
import os
import signal
import socket
import struct
import threading
import time

import pytest

from daemon import wait_for
from nbd_support import MIB, Front, image, nbdkit, upstream
from wire_client import (CMD_BLOCK_STATUS, CMD_DISC, CMD_FLUSH, CMD_READ, CMD_WRITE, EIO, ESHUTDOWN, HAS_FLAGS, IHAVEOPT, INFO_DESCRIPTION,
                         INFO_EXPORT, NBDMAGIC, OPT_GO, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK, REP_INFO, REP_MAGIC,
                         REP_META_CONTEXT, REPLY_MAGIC, SEND_FLUSH, STRUCTURED_MAGIC, TYPE_BLOCK_STATUS, Wire)


def send_reads(wire, count=8):
    for number in range(count):
        wire.send(wire.request(CMD_READ, number * 4096, 4096, cookie=number))


def errors(wire, count=8):
    """Of so many replies to READs."""
    found = []
    for _ in range(count):
        head = wire.receive(16)
        magic, error, _ = struct.unpack(">IIQ", head)
        assert magic == REPLY_MAGIC
        if not error:
            wire.receive(4096)
        found.append(error)
    return found


def kill(server):
    server.stop(signal.SIGKILL)


def test_requests_wait_for_a_server_that_comes_back(directory):
    path = image(directory, 4 * MIB)
    with Front(directory, f"nbd+unix:///x?socket={directory}/upstream/nbd.sock", keys=",export=off") as front:
        with upstream(directory, "x=" + path) as up:
            front.ctl("export", "add", "e=disk:r")
            wire = Wire(front).go(b"e")
            assert wire.write(0, b"a" * 4096) == 0
            kill(up)
        # Some are refused by nobody, some come while there is none.
        send_reads(wire)
        wait_for(lambda: "connected" not in front.ctl("ioctl", "r", "connections"), "the loss is noticed")
        wire.send(wire.request(CMD_WRITE, 8192, 4096, cookie=9, payload=b"b" * 4096))
        wire.send(wire.request(CMD_FLUSH, cookie=10))
        assert "refused" in wait_for(lambda: "refused" in (said := front.ctl("ioctl", "r", "connections")) and said, "it is dialed")
        with upstream(directory, "x=" + path):
            begun = time.monotonic()
            cookies = {}
            for _ in range(10):
                _, error, cookie = struct.unpack(">IIQ", wire.receive(16))
                cookies[cookie] = (error, wire.receive(4096) if cookie < 8 else b"")
            assert time.monotonic() - begun < 20
            assert cookies[0] == (0, b"a" * 4096)
            assert {error for error, _ in cookies.values()} == {0}
            assert wire.read(8192, 4096) == b"b" * 4096
            assert "is there again" in front.log()
            wire.disconnect()
            front.wait_until_closed()


def test_a_server_that_stays_away_is_given_up_and_found_again(directory):
    path = image(directory, 4 * MIB)
    with upstream(directory, "x=" + path) as up, Front(directory, up.uri("x"), "other=ram:1M", keys=",timeout=1") as front:
        wire = Wire(front).go(b"r")
        assert wire.write(0, b"a" * 4096) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        kill(up)
        begun = time.monotonic()
        send_reads(wire)
        assert errors(wire) == [EIO] * 8
        assert 0.8 < time.monotonic() - begun < 20
        assert "no connection for 1 s" in front.log()
        # From now on they aren't kept waiting.
        begun = time.monotonic()
        send_reads(wire, 1000)
        assert errors(wire, 1000) == [EIO] * 1000
        assert time.monotonic() - begun < 10
        with Wire(front).go(b"other") as other:
            assert other.write(0, b"o" * 512) == 0
        with upstream(directory, "x=" + path):
            wait_for(lambda: wire.command(CMD_READ, 0, 4096) == (0, b"a" * 4096), "the server is found")
            wire.disconnect()
            front.wait_until_closed()


REPLACEMENTS = {
    "smaller": (["x={path}/small"], "only 1048576 bytes now"),
    "read-only": (["x={path}/disk.img,readonly,uuid=01234567-89ab-cdef-0123-456789abcdef"], "read-only now"),
    "another": (["x={path}/disk.img,uuid=11111111-89ab-cdef-0123-456789abcdef"], "another disk now"),
    "none": (["y={path}/disk.img"], "server has no export named"),
}


@pytest.mark.parametrize("kind", REPLACEMENTS)
def test_another_disk_in_its_place_is_refused(directory, kind):
    uuid = ",uuid=01234567-89ab-cdef-0123-456789abcdef"
    exports, said = REPLACEMENTS[kind]
    image(directory, MIB, "small")
    with upstream(directory, f"x={image(directory, 4 * MIB)}{uuid}") as up, Front(directory, up.uri("x"), keys=",timeout=3") as front:
        wire = Wire(front).go(b"r")
        assert wire.write(0, b"a" * 4096) == 0
        assert wire.command(CMD_FLUSH)[0] == 0
        kill(up)
        send_reads(wire)
        with upstream(directory, *(export.format(path=directory) + (uuid if kind == "smaller" else "") for export in exports)):
            wait_for(lambda: said in front.log(), "it is refused")
            assert errors(wire) == [EIO] * 8
            # Told once, though it is tried again and again.
            assert front.log().count(said) == 1
        # The right one is taken, whenever it comes.
        with upstream(directory, f"x={directory}/disk.img{uuid}"):
            wait_for(lambda: wire.command(CMD_READ, 0, 4096) == (0, b"a" * 4096), "it is there again")
            wire.disconnect()
            front.wait_until_closed()


def test_a_larger_disk_is_taken(directory):
    path = image(directory, 4 * MIB)
    with upstream(directory, "x=" + path) as up, Front(directory, up.uri("x")) as front, Wire(front).go(b"r") as wire:
        kill(up)
        os.truncate(path, 8 * MIB)
        with upstream(directory, "x=" + path):
            assert wire.read(0, 4096) == bytes(4096)
            wire.disconnect()
            front.wait_until_closed()


def test_the_memory_of_a_server_that_ended_is_not_taken_for_its_disk(directory):
    """A RAM disk of the same size and name is another disk."""
    with upstream(directory, "x=ram:1M") as up, Front(directory, up.uri("x"), keys=",timeout=1") as front, Wire(front).go(b"r") as wire:
        assert wire.write(0, b"a" * 4096) == 0
        kill(up)
        with upstream(directory, "x=ram:1M"):
            assert wire.command(CMD_READ, 0, 4096)[0] == EIO
            assert "another disk now" in front.log()
        wire.socket.close()
        # What it had wasn't made durable, and never will be.
        wait_for(lambda: front.users() == 0, "it is released")
        front.good_statuses = {1}
        assert "was not asked to make everything durable" in front.log()


class Proxy:
    """Passes TCP connections on to a unix socket, until they are cut, all or some."""

    def __init__(self, path):
        self.path = path
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.path)
                self.pairs.append((client, server))
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self.pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def pump(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self, number):
        for end in self.pairs[number]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def test_one_connection_of_several_is_cut_again_and_again(directory):
    data = os.urandom(4 * MIB)
    with upstream(directory, "x=ram:4M") as up, contextlib.closing(Proxy(up.socket)) as proxy:
        with Front(directory, f"nbd://127.0.0.1:{proxy.port}/x", keys=",connections=4") as front, Wire(front).go(b"r") as wire:
            wait_for(lambda: sum("connected" in line for line in front.connections()) == 4, "all are there")
            for step in range(16):
                begin = step * MIB // 4
                for number in range(64):
                    at = begin + number * 4096
                    wire.send(wire.request(CMD_WRITE, at, 4096, cookie=number, payload=data[at:at + 4096]))
                    if number == 32:
                        proxy.cut(len(proxy.pairs) - 1 - step % 4)
                assert [wire.reply()[0] for _ in range(64)] == [0] * 64
            wait_for(lambda: sum("connected" in line for line in front.connections()) == 4, "all are there again")
            assert wire.read(0, 4 * MIB) == data
            assert "no connection" not in front.log()
            wire.disconnect()
            front.wait_until_closed()


def test_silent_connections_are_noticed(directory):
    """The kernel is asked to look after them."""
    with upstream(directory, "x=ram:4M", tcp=True, tls=False) as up, Front(directory, up.tcp_uri("x")) as front, Wire(front).go(b"r") as wire:
        assert wire.read(0, 512) == bytes(512)
        with open("/proc/net/tcp", encoding="ascii") as table:
            connections = [line.split() for line in table if f":{up.port:04X} " in line]
        # To the server, established, with the keepalive timer (2) running.
        assert [line[5][:2] for line in connections if line[2].endswith(f":{up.port:04X}") and line[3] == "01"] == ["02"]


def test_give_up_has_the_waiting_requests_fail_now(directory):
    # Merged ones that fail are tried one by one, and would be counted more than once.
    keys = ",timeout=0,queue.scheduler=none"
    with upstream(directory, "x=" + image(directory, MIB)) as up, Front(directory, up.uri("x"), keys=keys) as front:
        with Wire(front).go(b"r") as wire:
            kill(up)
            send_reads(wire)
            wait_for(lambda: "refused" in front.ctl("ioctl", "r", "connections"), "the loss is noticed")
            failed = 0
            while failed < 8:
                failed += int(front.ctl("ioctl", "r", "give-up").split()[0])
            assert errors(wire) == [EIO] * 8
            # Later ones wait again.
            with upstream(directory, f"x={directory}/disk.img"):
                assert wire.read(0, 512) == bytes(512)
                wire.disconnect()
                front.wait_until_closed()


def test_a_client_leaves_and_the_server_ends_while_requests_wait(directory):
    with upstream(directory, "x=" + image(directory, MIB)) as up, Front(directory, up.uri("x"), keys=",timeout=2") as front:
        with Wire(front).go(b"r") as wire:
            assert wire.write(0, b"a" * 512) == 0
            kill(up)
            send_reads(wire)
        begun = time.monotonic()
        front.stop()
        assert time.monotonic() - begun < 20
        # What had been written could not be made durable, and it says so.
        front.good_statuses = {1}
        assert "was not asked to make everything durable" in front.log()


def test_a_server_that_stands_still_holds_nobody_up_for_long(directory):
    """Neither who asks how the connections are, nor the end of many of them."""
    with upstream(directory, "x=ram:4M") as up, Front(directory, up.uri("x"), keys=",connections=16") as front:
        with Wire(front).go(b"r") as wire:
            wait_for(lambda: sum("connected" in line for line in front.connections()) == 16, "all are there")
            os.kill(up.pid, signal.SIGSTOP)
            try:
                begun = time.monotonic()
                assert front.ctl("ioctl", "r", "connections").count("connected") == 16
                assert time.monotonic() - begun < 15
                wire.disconnect()
                begun = time.monotonic()
                front.stop()
                assert time.monotonic() - begun < 8
            finally:
                os.kill(up.pid, signal.SIGCONT)


class Scripted:
    """A server of 1 MiB whose transmission is the test's: ANSWER(number, command, cookie, length) gives bytes, or None to hang up."""

    def __init__(self, directory, answer, flags=HAS_FLAGS | SEND_FLUSH, structured=False, description=None):
        self.path = os.path.join(directory, "scripted.sock")
        self.answer, self.flags, self.structured, self.description, self.connections = answer, flags, structured, description, 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self.serve, args=(client, self.connections), daemon=True).start()

    def handshake(self, take, client):
        client.sendall(NBDMAGIC + IHAVEOPT + struct.pack(">H", 3))
        take(4)
        while True:
            number, length = struct.unpack(">8xII", take(16))
            take(length)
            if self.structured and number == OPT_STRUCTURED_REPLY:
                client.sendall(struct.pack(">QIII", REP_MAGIC, number, REP_ACK, 0))
                continue
            if self.structured and number == OPT_SET_META_CONTEXT:
                client.sendall(struct.pack(">QIIII", REP_MAGIC, number, REP_META_CONTEXT, 4 + 15, 1) + b"base:allocation")
                client.sendall(struct.pack(">QIII", REP_MAGIC, number, REP_ACK, 0))
                continue
            if number == OPT_GO:
                info = struct.pack(">HQH", INFO_EXPORT, MIB, self.flags)
                client.sendall(struct.pack(">QIII", REP_MAGIC, number, REP_INFO, len(info)) + info)
                if self.description:
                    info = struct.pack(">H", INFO_DESCRIPTION) + self.description(self.connections)
                    client.sendall(struct.pack(">QIII", REP_MAGIC, number, REP_INFO, len(info)) + info)
                client.sendall(struct.pack(">QIII", REP_MAGIC, number, REP_ACK, 0))
                return
            client.sendall(struct.pack(">QIII", REP_MAGIC, number, 0x80000001, 0))

    def serve(self, client, number):
        def take(length):
            data = b""
            while len(data) < length:
                piece = client.recv(length - len(data))
                if not piece:
                    raise ConnectionError
                data += piece
            return data

        with client, contextlib.suppress(OSError):
            self.handshake(take, client)
            while True:
                _, command, cookie, _, length = struct.unpack(">IIQQI", take(28))
                if command & 0xffff == CMD_WRITE:
                    take(length)
                answer = None if command & 0xffff == CMD_DISC else self.answer(number, command & 0xffff, cookie, length)
                if answer is None:
                    return
                client.sendall(answer)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def uri(self):
        return f"nbd+unix:///?socket={self.path}"


def simple(cookie, error=0, data=b""):
    return struct.pack(">IIQ", REPLY_MAGIC, error, cookie) + data


def test_a_request_that_ends_every_connection_is_not_sent_for_ever(directory):
    def answer(_number, command, cookie, length):
        return None if command == CMD_WRITE else simple(cookie, 0, bytes(length))

    with contextlib.closing(Scripted(directory, answer)) as server, Front(directory, server.uri(), keys=",timeout=2") as front:
        with Wire(front).go(b"r") as wire:
            begun = time.monotonic()
            assert wire.write(0, b"x" * 512) == EIO
            assert 1.5 < time.monotonic() - begun < 20
            wait_for(lambda: wire.command(CMD_READ, 0, 512) == (0, bytes(512)), "others are answered")
            # It rested between its tries.
            assert server.connections < 60


def test_what_only_begins_like_an_identity_is_none(directory):
    """It isn't repeated, either."""
    def answer(number, _command, cookie, length):
        return None if number == 1 else simple(cookie, 0, b"n" * length)

    def description(number):
        return (b"uuid=%d\x1b[31m" % number).ljust(41, b"\xff")

    with contextlib.closing(Scripted(directory, answer, description=description)) as server:
        with Front(directory, server.uri(), keys=",timeout=3") as front, Wire(front).go(b"r") as wire:
            assert wire.read(0, 512) == b"n" * 512


def test_requests_that_a_server_refuses_because_it_ends_go_to_the_next(directory):
    def answer(number, _command, cookie, length):
        return simple(cookie, ESHUTDOWN) if number == 1 else simple(cookie, 0, b"n" * length)

    with contextlib.closing(Scripted(directory, answer)) as server, Front(directory, server.uri()) as front:
        with Wire(front).go(b"r") as wire:
            assert wire.read(0, 512) == b"n" * 512
            assert "the server is shutting down" in front.log()


@pytest.mark.parametrize("told", [False, True], ids=["before", "within"])
def test_what_is_known_of_extents_is_told_once(directory, told):
    """A connection ends before the answer, or in its middle."""
    asked = []

    def answer(number, command, cookie, length):
        assert command == CMD_BLOCK_STATUS
        asked.append(number)
        if number == 1 and not told:
            return None
        chunk = struct.pack(">IHHQIIII", STRUCTURED_MAGIC, int(number > 1), TYPE_BLOCK_STATUS, cookie, 12, 1, length // 2, number % 2 * 3)
        return chunk + (b"" if number > 1 else b"nonsense" * 10)

    with contextlib.closing(Scripted(directory, answer, structured=True)) as server, Front(directory, server.uri()) as front:
        with Wire(front) as wire:
            wire.go(b"r", structured=True, contexts=[b"base:allocation"])
            assert [*wire.status(0, 65536).values()] == ([[(32768, 3)]] if told else [[(32768, 0)]])
            assert asked == ([1] if told else [1, 2])


def test_a_server_that_talks_nonsense_is_dialed_again(directory):
    def answer(number, _command, cookie, length):
        return b"nonsense" * 10 if number == 1 else simple(cookie, 0, b"n" * length)

    with contextlib.closing(Scripted(directory, answer)) as server, Front(directory, server.uri()) as front:
        with Wire(front).go(b"r") as wire:
            assert wire.read(0, 512) == b"n" * 512
            assert "dialing again" in front.log()


def test_nbdkit_is_ended_and_started_again(directory):
    path = image(directory, MIB)
    with contextlib.ExitStack() as first:
        uri = first.enter_context(nbdkit(directory, "file", path))
        with Front(directory, uri) as front, Wire(front).go(b"r") as wire:
            assert wire.write(0, b"k" * 4096) == 0
            first.close()
            send_reads(wire)
            with nbdkit(directory, "file", path):
                assert errors(wire) == [0] * 8
                assert wire.read(0, 4096) == b"k" * 4096
                wire.disconnect()
                front.wait_until_closed()
