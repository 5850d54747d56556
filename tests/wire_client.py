# SPDX-License-Identifier: BSD-2-Clause
"""An NBD client that sends exact bytes: numbers of the specification, and the least that tests need to speak it."""

import socket
import struct

NBDMAGIC = b"NBDMAGIC"
IHAVEOPT = b"IHAVEOPT"
REP_MAGIC = 0x3E889045565A9
REQUEST_MAGIC = 0x25609513
REPLY_MAGIC = 0x67446698
STRUCTURED_MAGIC = 0x668E33EF
EXTENDED_REQUEST_MAGIC = 0x21E41C71
EXTENDED_REPLY_MAGIC = 0x6E8A278C

FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_LIST, OPT_PEEK_EXPORT, OPT_STARTTLS, OPT_INFO, OPT_GO = range(1, 8)
OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_EXTENDED_HEADERS = range(8, 12)
REP_ACK, REP_SERVER, REP_INFO, REP_META_CONTEXT = 1, 2, 3, 4
ERR_UNSUP, ERR_POLICY, ERR_INVALID, ERR_PLATFORM, ERR_TLS_REQD, ERR_UNKNOWN, ERR_SHUTDOWN, ERR_BLOCK_SIZE_REQD, \
    ERR_TOO_BIG, ERR_EXT_HEADER_REQD = (2**31 + n for n in range(1, 11))
INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = range(4)
CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH, CMD_TRIM, CMD_CACHE, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS = range(8)
FLAG_FUA, FLAG_NO_HOLE, FLAG_DF, FLAG_REQ_ONE, FLAG_FAST_ZERO, FLAG_PAYLOAD_LEN = (1 << n for n in range(6))
HAS_FLAGS, READ_ONLY, SEND_FLUSH, SEND_FUA, ROTATIONAL, SEND_TRIM, SEND_WRITE_ZEROES, SEND_DF, CAN_MULTI_CONN = (
    1 << n for n in range(9))
SEND_CACHE, SEND_FAST_ZERO, SEND_STATUS_PAYLOAD = 1 << 10, 1 << 11, 1 << 12
REPLY_DONE = 1
TYPE_NONE, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE, TYPE_BLOCK_STATUS, TYPE_BLOCK_STATUS_EXT = 0, 1, 2, 5, 6
TYPE_ERROR, TYPE_ERROR_OFFSET = 0x8001, 0x8002
EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 5, 12, 22, 28, 75, 95, 108


def option(number, data=b"", length=None):
    return IHAVEOPT + struct.pack(">II", number, len(data) if length is None else length) + data


def go_data(name=b"", infos=()):
    return struct.pack(">I", len(name)) + name + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def request(command, offset=0, length=0, flags=0, cookie=1, payload=b"", magic=REQUEST_MAGIC):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length) + payload


def extended_request(command, offset=0, length=0, flags=0, cookie=1, payload=b"", magic=EXTENDED_REQUEST_MAGIC):
    """With extended headers; a WRITE's flags say that its payload follows."""
    if command == CMD_WRITE:
        flags |= FLAG_PAYLOAD_LEN
    return struct.pack(">IHHQQQ", magic, flags, command, cookie, offset, length) + payload


def context_data(name=b"", queries=()):
    return (struct.pack(">I", len(name)) + name + struct.pack(">I", len(queries)) +
            b"".join(struct.pack(">I", len(query)) + query for query in queries))


def contents(chunks):
    """(offset, data) of a READ's content chunks, which cover one range without a gap or overlap, in any order."""
    pieces = []
    for kind, payload in chunks:
        offset, = struct.unpack(">Q", payload[:8])
        if kind == TYPE_OFFSET_HOLE:
            size, = struct.unpack(">I", payload[8:])
            assert size
            pieces.append((offset, bytes(size)))
        else:
            assert kind == TYPE_OFFSET_DATA and len(payload) > 8
            pieces.append((offset, payload[8:]))
    pieces.sort()
    for (offset, data), (following, _) in zip(pieces, pieces[1:]):
        assert offset + len(data) == following
    return pieces[0][0], b"".join(data for _, data in pieces)


def check_error_offset(chunk, error, offset):
    """CHUNK (type, payload) tells of ERROR at OFFSET, with a text for people."""
    kind, payload = chunk
    assert kind == TYPE_ERROR_OFFSET
    found, length = struct.unpack(">IH", payload[:6])
    assert found == error
    assert length and payload[6:6 + length].decode().isprintable()
    assert struct.unpack(">Q", payload[6 + length:]) == (offset,)


class Closed(Exception):
    """The server closed the connection."""


class Wire:
    """A connection; every receive is bounded in time."""

    def __init__(self, daemon, tcp=False, greet=True, timeout=60):
        if tcp:
            self.socket = socket.create_connection(("127.0.0.1", daemon.port))
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(daemon.socket)
        self.socket.settimeout(timeout)
        self.structured = False
        self.extended = False
        self.tls = daemon.tls
        if greet:
            self.greeting = self.receive(18)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, count):
        data = bytearray(count)
        received = 0
        while received < count:
            try:
                piece = self.socket.recv_into(memoryview(data)[received:])
            except ConnectionError as error:
                raise Closed from error
            if not piece:
                raise Closed
            received += piece
        return bytes(data)

    def closed(self, within=8):
        """Whether the server closes without sending anything more, and sooner than it would for the handshake's time."""
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def flags(self, flags=FIXED_NEWSTYLE | NO_ZEROES):
        """The client's flags; and TLS, where the tests run over that."""
        self.send(struct.pack(">I", flags))
        if self.tls and flags & FIXED_NEWSTYLE:
            self.starttls(self.tls)

    def starttls(self, context):
        assert self.option(OPT_STARTTLS) == [(REP_ACK, b"")]
        self.secure(context)

    def secure(self, context):
        """The TLS handshake alone."""
        # An end that wasn't announced is an error.
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost", suppress_ragged_eofs=False)

    def option_reply(self):
        """One reply: (option, type, data)."""
        magic, number, kind, length = struct.unpack(">QIII", self.receive(20))
        assert magic == REP_MAGIC
        return number, kind, self.receive(length)

    def option(self, number, data=b"", length=None):
        """Sends an option; returns all replies up to the last one as [(type, data), ...]."""
        self.send(option(number, data, length))
        return self.option_replies(number)

    def option_replies(self, number):
        replies = []
        while True:
            answered, kind, reply = self.option_reply()
            assert answered == number
            replies.append((kind, reply))
            self.structured |= (number, kind) == (OPT_STRUCTURED_REPLY, REP_ACK)
            self.extended |= (number, kind) == (OPT_EXTENDED_HEADERS, REP_ACK)
            if kind == REP_ACK or kind >= 2**31:
                return replies

    def go(self, name=b"", infos=(), flags=FIXED_NEWSTYLE | NO_ZEROES, structured=False, contexts=(), extended=False):
        """The whole handshake; sets size, transmission_flags and, when asked for, block_sizes (min, preferred, max)."""
        self.flags(flags)
        if structured:
            assert self.option(OPT_STRUCTURED_REPLY) == [(REP_ACK, b"")]
        if extended:
            assert self.option(OPT_EXTENDED_HEADERS) == [(REP_ACK, b"")]
        if contexts:
            self.contexts = self.set_contexts(name, contexts)
        replies = self.option(OPT_GO, go_data(name, infos))
        assert replies[-1][0] == REP_ACK, replies
        for kind, data in replies:
            if kind == REP_INFO and struct.unpack(">H", data[:2])[0] == INFO_EXPORT:
                self.size, self.transmission_flags = struct.unpack(">QH", data[2:])
            if kind == REP_INFO and struct.unpack(">H", data[:2])[0] == INFO_BLOCK_SIZE:
                self.block_sizes = struct.unpack(">III", data[2:])
        return self

    def set_contexts(self, name, queries):
        """{id: name} of those that were selected."""
        replies = self.option(OPT_SET_META_CONTEXT, context_data(name, queries))
        assert replies[-1] == (REP_ACK, b""), replies
        assert all(kind == REP_META_CONTEXT for kind, _ in replies[:-1])
        return {struct.unpack(">I", data[:4])[0]: data[4:] for _, data in replies[:-1]}

    def status(self, offset, length, flags=0, cookie=1):
        """{id: [(length, flags), ...]} of a BLOCK_STATUS that succeeds."""
        self.send(self.request(CMD_BLOCK_STATUS, offset, length, flags, cookie))
        return self.status_answer(cookie)

    def status_answer(self, cookie=1):
        answered, chunks = self.chunks()
        assert answered == cookie
        found = {}
        for kind, payload in chunks:
            assert kind == (TYPE_BLOCK_STATUS_EXT if self.extended else TYPE_BLOCK_STATUS), (kind, payload)
            context, = struct.unpack(">I", payload[:4])
            assert context not in found
            if self.extended:
                found[context] = list(struct.iter_unpack(">QQ", payload[8:]))
                assert struct.unpack(">I", payload[4:8]) == (len(found[context]),)
            else:
                found[context] = list(struct.iter_unpack(">II", payload[4:]))
            assert found[context] and all(size for size, _ in found[context])
        return found

    def request(self, *arguments, **more):
        """A request in the form that was negotiated."""
        return (extended_request if self.extended else request)(*arguments, **more)

    def reply(self, length=0):
        """One reply: (error, cookie, data); data of LENGTH bytes follows a success."""
        header = self.receive(16)
        magic, error, cookie = struct.unpack(">IIQ", header)
        if (self.structured and magic == STRUCTURED_MAGIC) or (self.extended and magic == EXTENDED_REPLY_MAGIC):
            return self.reply_in_chunks(header)
        assert magic == REPLY_MAGIC
        return error, cookie, self.receive(length) if error == 0 and length else b""

    def reply_in_chunks(self, begun):
        cookie, chunks = self.chunks(begun)
        for kind, payload in chunks:
            if kind & 0x8000:
                return struct.unpack(">I", payload[:4])[0], cookie, b""
        chunks = [chunk for chunk in chunks if chunk[0] != TYPE_NONE]
        return 0, cookie, contents(chunks)[1] if chunks else b""

    def chunks(self, begun=b""):
        """One structured reply whole: (cookie, [(type, payload), ...])."""
        chunks = []
        while True:
            flags, kind, cookie, payload = self.chunk(begun)
            begun = b""
            assert flags in (0, REPLY_DONE)
            chunks.append((kind, payload))
            if flags & REPLY_DONE:
                return cookie, chunks

    def chunk(self, begun=b""):
        """One chunk of a structured reply, of whose header BEGUN was received: (flags, type, cookie, payload)."""
        if self.extended:
            magic, flags, kind, cookie, self.offset, length = struct.unpack(">IHHQQQ", begun + self.receive(32 - len(begun)))
            assert magic == EXTENDED_REPLY_MAGIC, hex(magic)
        else:
            magic, flags, kind, cookie, length = struct.unpack(">IHHQI", begun + self.receive(20 - len(begun)))
            assert magic == STRUCTURED_MAGIC, hex(magic)
        return flags, kind, cookie, self.receive(length)

    def command(self, command, offset=0, length=0, flags=0, payload=b"", cookie=1):
        """Sends a request and returns its (error, data)."""
        self.send(self.request(command, offset, length, flags, cookie, payload))
        error, answered, data = self.reply(length if command == CMD_READ else 0)
        assert answered == cookie
        return error, data

    def read(self, offset, length):
        error, data = self.command(CMD_READ, offset, length)
        assert error == 0, error
        return data

    def read_chunks(self, offset, length, flags=0, cookie=7):
        """The chunks of a READ's structured reply."""
        self.send(self.request(CMD_READ, offset, length, flags, cookie))
        answered, chunks = self.chunks()
        assert answered == cookie
        return chunks

    def write(self, offset, payload, flags=0):
        return self.command(CMD_WRITE, offset, len(payload), flags, payload)[0]

    def disconnect(self):
        """Says goodbye and waits for the server to do so."""
        self.send(self.request(CMD_DISC))
        assert self.closed()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
