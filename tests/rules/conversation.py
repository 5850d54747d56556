# SPDX-License-Identifier: BSD-2-Clause
"""Takes apart what a server sends, in both phases, and objects where its form breaks the specification."""

import struct

from rules.channel import Closed, Violation
from rules.chunks import Reply, check_string
from wire_client import (CMD_READ, EINVAL, EIO, ENOMEM, ENOSPC, ENOTSUP, EOVERFLOW, EPERM, ESHUTDOWN, REPLY_DONE, REPLY_MAGIC,
                         REP_ACK, REP_MAGIC, REQUEST_MAGIC, STRUCTURED_MAGIC)

FIRST_COOKIE = 0x636F6F6B69650000
MOST_OPTION_REPLY = 1 << 16  # longer than any of the specification
ERROR_BIT = 1 << 31
ERRORS = {EPERM: "EPERM", EIO: "EIO", ENOMEM: "ENOMEM", EINVAL: "EINVAL", ENOSPC: "ENOSPC", EOVERFLOW: "EOVERFLOW",
          ENOTSUP: "ENOTSUP", ESHUTDOWN: "ESHUTDOWN"}


class Request:
    """A request's bytes but for its cookie, which tells it apart from others of its session."""

    def __init__(self, command, offset=0, length=0, flags=0, payload=b"", cookie=None, magic=REQUEST_MAGIC):
        self.command, self.offset, self.length, self.flags, self.payload = command, offset, length, flags, payload
        self.cookie, self.magic = cookie, magic

    def bytes(self, cookie):
        return struct.pack(">IHHQQI", self.magic, self.flags, self.command, cookie, self.offset, self.length) + self.payload


class Conversation:
    """What is said with a SERVER on one CHANNEL; STRUCTURED: by when there are replies to requests, reads have structured ones."""

    def __init__(self, channel, structured, server):
        self.channel = channel
        self.structured = structured
        self.server = server
        self.waiting = {}  # replies that aren't whole, by cookie
        self.whole = {}
        self.remembered = None  # what a later answer is compared with

    def register(self, request):
        """The request's bytes, to be sent now."""
        cookie = FIRST_COOKIE + len(self.waiting) + len(self.whole) if request.cookie is None else request.cookie
        self.waiting[cookie] = Reply(request, self.structured)
        return cookie, request.bytes(cookie)

    def exactly(self, expected):
        """One by one, so that what comes instead is told when it is shorter."""
        came = bytearray()
        try:
            while len(came) < len(expected):
                came += self.channel.receive(1)
                if came[-1] != expected[len(came) - 1]:
                    break
        except Closed as error:
            raise Violation(f"it closed the connection after {bytes(came).hex() or 'nothing'} of {expected[:64].hex()}") from error
        if came != expected:
            raise Violation(f"{bytes(came[-64:]).hex()} came of {expected[:64].hex()}")

    def option_reply(self, number):
        """One reply to the option NUMBER: (type, data)."""
        magic, answered, kind, length = struct.unpack(">QIII", self.channel.receive(20))
        if magic != REP_MAGIC:
            raise Violation(f"a reply to an option begins with {magic:#x}")
        if answered != number:
            raise Violation(f"a reply to option {answered} came, not to {number}")
        if length > MOST_OPTION_REPLY:
            raise Violation(f"a reply of {length} bytes to option {number}")
        data = self.channel.receive(length)
        if kind & ERROR_BIT:
            check_string(data, "the text of the error")
        elif kind == REP_ACK and data:
            raise Violation(f"an ACK with data: {data[:64].hex()}")
        return kind, data

    def option_replies(self, number):
        """All of them, the last of which is an ACK or an error: [(type, data), ...]."""
        replies = []
        while not replies or not (replies[-1][0] == REP_ACK or replies[-1][0] & ERROR_BIT):
            replies.append(self.option_reply(number))
        return replies

    def reply(self, cookie):
        """The whole reply to the request with COOKIE, whatever comes before it."""
        while cookie not in self.whole:
            self._message()
        return self.whole[cookie]

    def _message(self):
        magic, = struct.unpack(">I", self.channel.receive(4))
        if magic == REPLY_MAGIC:
            error, cookie = struct.unpack(">IQ", self.channel.receive(12))
            reply = self._reply_to(cookie)
            wants_data = reply.request.command == CMD_READ and error == 0
            reply.simple(error, self.channel.receive(reply.request.length) if wants_data and not self.structured else b"")
            self._finish(cookie)
        elif magic == STRUCTURED_MAGIC:
            flags, kind, cookie, length = struct.unpack(">HHQI", self.channel.receive(16))
            reply = self._reply_to(cookie)
            reply.announce(kind, length)
            reply.chunk(flags, kind, self.channel.receive(length))
            if flags & REPLY_DONE:
                self._finish(cookie)
        else:
            raise Violation(f"a reply to a request begins with {magic:#x}")

    def _reply_to(self, cookie):
        if cookie not in self.waiting:
            raise Violation(f"a reply came with the cookie {cookie:#x}, which no request has that waits for one")
        return self.waiting[cookie]

    def _finish(self, cookie):
        self.whole[cookie] = self.waiting.pop(cookie)
        self.whole[cookie].finish()
