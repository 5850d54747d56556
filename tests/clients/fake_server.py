# SPDX-License-Identifier: BSD-2-Clause
"""Servers that say what a test wants them to: the other side of client/platter/handshake.c."""

import contextlib
import os
import socket
import struct
import threading

from wire_client import FIXED_NEWSTYLE, IHAVEOPT, INFO_BLOCK_SIZE, INFO_DESCRIPTION, INFO_EXPORT, NBDMAGIC, NO_ZEROES, OPT_ABORT, OPT_INFO, \
    REP_ACK, REP_INFO, REP_MAGIC

GREETING = NBDMAGIC + IHAVEOPT + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES)


def reply(option, kind, data=b""):
    return struct.pack(">QIII", REP_MAGIC, option, kind, len(data)) + data


def information(option, size=1 << 20, flags=1, description=None, blocks=None):
    """What OPT_INFO and OPT_GO are answered."""
    answer = reply(option, REP_INFO, struct.pack(">HQH", INFO_EXPORT, size, flags))
    if description is not None:
        answer += reply(option, REP_INFO, struct.pack(">H", INFO_DESCRIPTION) + description)
    if blocks:
        answer += reply(option, REP_INFO, struct.pack(">HIII", INFO_BLOCK_SIZE, *blocks))
    return answer + reply(option, REP_ACK)


class Conversation:
    """One client, as the server sees it."""

    def __init__(self, peer):
        self.peer = peer
        self.flags = None

    def read(self, length):
        data = b""
        while len(data) < length:
            more = self.peer.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def send(self, data):
        self.peer.sendall(data)

    def greet(self):
        self.send(GREETING)
        self.flags = struct.unpack(">I", self.read(4))[0]

    def option(self):
        """(number, data) of the next one."""
        magic, number, length = struct.unpack(">8sII", self.read(16))
        assert magic == IHAVEOPT
        return number, self.read(length)

    def until_it_hangs_up(self):
        while self.peer.recv(4096):
            pass


class FakeServer:
    """Has SCRIPT(conversation, number) speak with each client, one after the other; NUMBER counts them from 0."""

    def __init__(self, script, path=None, family=socket.AF_INET):
        self.script = script
        self.options, self.errors, self.clients = [], [], 0
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
        else:
            self.listener = socket.socket(family)
            self.listener.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.path, self.family = path, family
        self.listener.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(60)
                try:
                    self.script(Conversation(peer), self.clients)
                except (EOFError, OSError):
                    pass
                except Exception as error:  # pylint: disable=broad-except
                    self.errors.append(error)
            self.clients += 1

    @property
    def peer(self):
        """As platter names it."""
        if self.path:
            return self.path
        host, port = self.listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.path}" if self.path else f"nbd://{self.peer}/{export}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)
        if self.path:
            os.unlink(self.path)
        assert not self.errors, self.errors


def answering(**keywords):
    """A script that answers OPT_INFO, and lets the client take its leave."""
    def script(conversation, _number):
        conversation.greet()
        number, _ = conversation.option()
        assert number == OPT_INFO
        conversation.send(information(OPT_INFO, **keywords))
        assert conversation.option() == (OPT_ABORT, b"")
        conversation.until_it_hangs_up()
    return script
