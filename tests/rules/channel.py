# SPDX-License-Identifier: BSD-2-Clause
"""A connection to any server: how bytes get there and back, with TLS or without, whole or one by one."""

import fcntl
import os
import socket
import ssl
import struct
import termios
import time

PIECE = 1 << 18


class Violation(Exception):
    """The server did what the rule doesn't allow; the message says what."""


class Closed(Exception):
    """The server closed the connection."""


class Over(Exception):
    """What the rule goes on to say doesn't concern this server."""


class Channel:
    """Sends what it is given as one piece. What the other side doesn't do within PATIENCE seconds it won't do."""

    def __init__(self, connected, patience):
        self.socket = connected
        self.socket.settimeout(patience)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.patience = patience
        self.received = bytearray()  # and not asked for yet
        self.tls = None
        self.said_goodbye = False  # the server's TLS

    def put(self, data):
        self.socket.sendall(data)

    def take(self):
        return self.socket.recv(PIECE)

    def send(self, data):
        try:
            if self.tls:
                self.tls.write(data)
                data = self.outgoing.read()
            self.put(data)
        except ConnectionError:
            pass  # what it has said before, or that it said nothing, is there to be read
        except TimeoutError as error:
            raise Violation(f"it read nothing for {self.patience:g} s") from error

    def receive(self, count):
        """Exactly COUNT bytes."""
        while len(self.received) < count:
            self.received += self.more()
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def more(self):
        """Some bytes, inside TLS if there is any."""
        try:
            return self._inside_tls(lambda: self.tls.read(PIECE)) if self.tls else self._outside()
        except ConnectionError as error:
            raise Closed from error
        except TimeoutError as error:
            raise Violation(f"nothing came for {self.patience:g} s") from error

    def _outside(self):
        data = self.take()
        if not data:
            raise Closed
        return data

    def _inside_tls(self, action):
        """Does ACTION, and has TLS speak with the other side for as long as that needs."""
        while True:
            try:
                done = action()
                if done == b"":  # as the module ssl says it of a goodbye
                    raise ssl.SSLZeroReturnError
                self._put_tls()
                return done
            except ssl.SSLWantReadError:
                self._put_tls()
                self.incoming.write(self._outside())
            except ssl.SSLZeroReturnError as error:
                self.said_goodbye = True
                raise Closed from error

    def _put_tls(self):
        """What TLS has to say."""
        data = self.outgoing.read()
        if data:
            self.put(data)

    def upgrade(self, context, host):
        """The TLS handshake; an ssl.SSLError or Closed if there is none."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.incoming.write(self.received)
        self.received.clear()
        inside = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        try:
            self._inside_tls(inside.do_handshake)
        except ConnectionError as error:
            raise Closed from error
        except TimeoutError as error:
            raise Violation(f"no TLS handshake within {self.patience:g} s") from error
        self.tls = inside

    def close(self):
        self.socket.close()


class Splitter(Channel):
    """
    Delivers single bytes in both directions. On a unix socket each is sent when the server has taken the one before; elsewhere
    it is a segment of its own, as long as the network leaves it one. Of what is long only the ENDS are single, and pieces of an
    odd length between.
    """

    ENDS, ODD = 512, 4093

    def __init__(self, connected, patience):
        super().__init__(connected, patience)
        self.exact = connected.family == socket.AF_UNIX
        self.single = self.ENDS  # bytes that will still be taken one by one

    def put(self, data):
        self.single = self.ENDS
        at = 0
        while at < len(data):
            length = 1 if at < self.ENDS or at >= len(data) - self.ENDS else min(self.ODD, len(data) - self.ENDS - at)
            self.socket.sendall(data[at:at + length])
            at += length
            if self.exact:
                self.wait_until_taken()

    def wait_until_taken(self):
        """Or until it is clear that the server reads no further, for which it may have a reason."""
        end = time.monotonic() + self.patience
        while struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]:
            if time.monotonic() > end:
                self.exact = False
                return
            os.sched_yield()

    def take(self):
        self.single -= 1
        return self.socket.recv(1 if self.single >= 0 else self.ODD)
