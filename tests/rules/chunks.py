# SPDX-License-Identifier: BSD-2-Clause
"""The reply to one request, simple or in chunks, and what the specification demands of its form ("Structured reply types")."""

import struct

from rules.channel import Violation
from wire_client import (CMD_BLOCK_STATUS, CMD_READ, FLAG_DF, FLAG_REQ_ONE, REPLY_DONE, TYPE_BLOCK_STATUS, TYPE_ERROR,
                         TYPE_ERROR_OFFSET, TYPE_NONE, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE)

MOST_TEXT = 4096
MOST_EXTENTS = 1 << 20


def demand(condition, otherwise):
    if not condition:
        raise Violation(otherwise)


def check_string(data, what):
    """Conventions: a string is UTF-8 without NUL, of at most 4096 bytes."""
    if len(data) > MOST_TEXT:
        raise Violation(f"{what} has {len(data)} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Violation(f"{what} is not UTF-8: {data!r}") from error
    if "\0" in text:
        raise Violation(f"{what} contains NUL: {data!r}")


class Reply:
    """Grows with what is received. When it is whole: ERROR, 0 or the first one, DATA, STATUS {context: [(length, flags), ...]}."""

    def __init__(self, request, structured):
        self.request = request
        self.structured = structured
        self.error = 0
        self.data = b""
        self.status = {}
        self.contents = []  # (offset, data) of a read's
        self.kinds = []

    def simple(self, error, data):
        if self.structured:
            demand(self.request.command != CMD_READ, "a read got a simple reply, though structured ones were negotiated")
            demand(self.request.command != CMD_BLOCK_STATUS or error, "a block status got a simple reply")
        self.error, self.data = error, data

    def announce(self, kind, length):
        """Of a chunk, before its payload is read."""
        demand(self.structured, "a structured reply, though none were negotiated")
        most = 8 * MOST_EXTENTS + 4 if kind == TYPE_BLOCK_STATUS else max(8 + self.request.length, 14 + MOST_TEXT)
        demand(length <= most, f"a chunk of type {kind} has {length} bytes")

    def chunk(self, flags, kind, payload):
        demand(flags & ~REPLY_DONE == 0, f"a chunk has the flags {flags:#x}")
        self.kinds.append(kind)
        if kind == TYPE_NONE:
            demand(not payload, "a chunk NONE with a payload")
            demand(flags & REPLY_DONE, "a chunk NONE that isn't the last one")
        elif kind in (TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE):
            self._content(kind, payload)
        elif kind == TYPE_BLOCK_STATUS:
            self._block_status(payload)
        elif kind in (TYPE_ERROR, TYPE_ERROR_OFFSET):
            self._error(kind, payload)
        else:
            raise Violation(f"a chunk of the unknown type {kind}")

    def _content(self, kind, payload):
        demand(self.request.command == CMD_READ, f"content for the command {self.request.command}")
        if kind == TYPE_OFFSET_HOLE:
            demand(len(payload) == 12, f"a chunk OFFSET_HOLE of {len(payload)} bytes")
            offset, length = struct.unpack(">QI", payload)
        else:
            demand(len(payload) >= 9, f"a chunk OFFSET_DATA of {len(payload)} bytes, which describes nothing")
            offset, length = *struct.unpack(">Q", payload[:8]), len(payload) - 8
        demand(length, "a hole of no bytes")
        first, end = self.request.offset, self.request.offset + self.request.length
        demand(first <= offset and offset + length <= end,
               f"content at {offset}, {length} bytes, outside of what was asked for, {self.request.length} bytes at {first}")
        demand(all(offset + length <= other or offset >= other + len(data) for other, data in self.contents), "content twice")
        demand(not (self.contents and self.request.flags & FLAG_DF), "several chunks of content, though DF was set")
        self.contents.append((offset, bytes(length) if kind == TYPE_OFFSET_HOLE else payload[8:]))

    def _block_status(self, payload):
        demand(self.request.command == CMD_BLOCK_STATUS, f"a block status for the command {self.request.command}")
        demand(len(payload) >= 12 and len(payload) % 8 == 4, f"a chunk BLOCK_STATUS of {len(payload)} bytes")
        context, = struct.unpack(">I", payload[:4])
        demand(context not in self.status, "two chunks for one context")
        extents = self.status[context] = list(struct.iter_unpack(">II", payload[4:]))
        demand(all(length for length, _ in extents), "an extent of no bytes")
        if self.request.flags & FLAG_REQ_ONE:
            demand(len(extents) == 1, f"{len(extents)} extents, though one was asked for")
            demand(extents[0][0] <= self.request.length, "an extent that is longer than the request, though REQ_ONE was set")
        demand(sum(length for length, _ in extents[:-1]) < self.request.length, "extents behind the end of the request")

    def _error(self, kind, payload):
        least = 14 if kind == TYPE_ERROR_OFFSET else 6
        demand(len(payload) >= least, f"an error's chunk of {len(payload)} bytes")
        error, length = struct.unpack(">IH", payload[:6])
        demand(error, "an error's chunk without an error")
        demand(length <= len(payload) - least, f"an error's text of {length} bytes in a chunk of {len(payload)}")
        check_string(payload[6:6 + length], "the text of the error")
        if kind == TYPE_ERROR_OFFSET:
            offset, = struct.unpack(">Q", payload[-8:])
            demand(0 <= offset - self.request.offset < self.request.length, f"an error at {offset}, outside of the request")
        self.error = self.error or error

    def finish(self):
        """All of it was received."""
        if self.structured and self.request.command == CMD_READ and not self.error:
            self.contents.sort()
            self.data = b"".join(data for _, data in self.contents)
            demand(len(self.data) == self.request.length, f"{len(self.data)} bytes were read, not {self.request.length}")
