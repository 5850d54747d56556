# SPDX-License-Identifier: BSD-2-Clause
"""What is wrong with a reply is noticed, and bytes are delivered as they are said to be."""

import socket
import struct
import threading

import pytest

from rules.channel import Channel, Splitter, Violation
from rules.chunks import Reply
from rules.play import runs
from rules.vocabulary import Step, request
from wire_client import (CMD_BLOCK_STATUS, CMD_FLUSH, CMD_READ, CMD_WRITE, EINVAL, FLAG_DF, FLAG_REQ_ONE, REPLY_DONE,
                         TYPE_BLOCK_STATUS, TYPE_ERROR, TYPE_ERROR_OFFSET, TYPE_NONE, TYPE_OFFSET_DATA, TYPE_OFFSET_HOLE)

READ = request(CMD_READ, 1000, 10)
UNFRAGMENTED = request(CMD_READ, 1000, 10, FLAG_DF)
STATUS = request(CMD_BLOCK_STATUS, 0, 100)
ONE_STATUS = request(CMD_BLOCK_STATUS, 0, 100, FLAG_REQ_ONE)


def data(offset, length):
    return TYPE_OFFSET_DATA, struct.pack(">Q", offset) + b"d" * length


def hole(offset, length):
    return TYPE_OFFSET_HOLE, struct.pack(">QI", offset, length)


def extents(*lengths, context=7):
    return TYPE_BLOCK_STATUS, struct.pack(">I", context) + b"".join(struct.pack(">II", length, 0) for length in lengths)


def error(number, text=b"", length=None):
    return TYPE_ERROR, struct.pack(">IH", number, len(text) if length is None else length) + text


def error_at(number, offset):
    return TYPE_ERROR_OFFSET, struct.pack(">IHQ", number, 0, offset)


DONE = (TYPE_NONE, b"")


def receive(sent, *chunks, done=True):
    """A structured reply; the last chunk has the flag DONE."""
    reply = Reply(sent, structured=True)
    for number, (kind, payload) in enumerate(chunks):
        reply.announce(kind, len(payload))
        reply.chunk(REPLY_DONE if done and number == len(chunks) - 1 else 0, kind, payload)
    reply.finish()
    return reply


@pytest.mark.parametrize("sent, chunks", [
    (READ, [data(1000, 10)]), (READ, [hole(1000, 10), DONE]), (READ, [data(1005, 5), hole(1000, 5)]),
    (UNFRAGMENTED, [data(1000, 10), DONE]),
    (READ, [data(1000, 3), error(EINVAL, b"text")]), (READ, [error_at(EINVAL, 1009)]), (request(CMD_READ, 1000, 0), [DONE]),
    (STATUS, [extents(99, 500)]), (STATUS, [extents(10), extents(20, context=8), DONE]), (ONE_STATUS, [extents(100)]),
    (request(CMD_FLUSH), [DONE])])
def test_good_replies(sent, chunks):
    reply = receive(sent, *chunks)
    assert reply.error == 0 or not reply.data


@pytest.mark.parametrize("sent, chunks", [
    (READ, [data(1000, 9)]), (READ, [data(999, 10)]), (READ, [data(1001, 10)]), (READ, [data(1000, 6), data(1005, 5)]),
    (READ, [data(1000, 10), data(1000, 10)]), (READ, [data(1000, 0), data(1000, 10)]), (READ, [hole(1000, 0), data(1000, 10)]),
    (READ, [hole(1000, 2**32 - 1)]), (READ, [data(1000, 5), DONE]), (READ, [DONE]),
    (READ, [(TYPE_OFFSET_HOLE, bytes(11)), data(1000, 10)]),
    (READ, [(TYPE_NONE, b"x")]), (READ, [DONE, data(1000, 10)]), (READ, [(3, b"")]), (READ, [extents(10)]),
    (UNFRAGMENTED, [data(1000, 5), data(1005, 5)]), (UNFRAGMENTED, [data(1000, 5), hole(1005, 5)]),
    (READ, [error(0)]), (READ, [error(EINVAL, b"text", 5)]), (READ, [error(EINVAL, b"\xff")]), (READ, [error(EINVAL, b"a\0")]),
    (READ, [(TYPE_ERROR, bytes(5))]), (READ, [error_at(EINVAL, 1010)]), (READ, [error_at(EINVAL, 999)]),
    (STATUS, [extents()]), (STATUS, [extents(10, 0)]), (STATUS, [extents(100, 1)]), (STATUS, [extents(10), extents(10)]),
    (STATUS, [(TYPE_BLOCK_STATUS, bytes(4) + b"\0\0\0\1" * 3)]), (ONE_STATUS, [extents(101)]), (ONE_STATUS, [extents(10, 10)]),
    (request(CMD_FLUSH), [data(0, 1)])])
def test_bad_replies(sent, chunks):
    with pytest.raises(Violation):
        receive(sent, *chunks)


def test_flags_that_a_chunk_may_not_have():
    with pytest.raises(Violation):
        Reply(READ, structured=True).chunk(REPLY_DONE | 2, TYPE_NONE, b"")


def test_replies_of_the_other_kind():
    with pytest.raises(Violation):
        Reply(READ, structured=True).simple(EINVAL, b"")
    with pytest.raises(Violation):
        Reply(STATUS, structured=True).simple(0, b"")
    with pytest.raises(Violation):
        Reply(READ, structured=False).announce(TYPE_NONE, 0)


def pieces(channel, sent, count):
    """What the other side receives, one call at a time."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    received = []

    def receive_all():
        while sum(map(len, received)) < count:
            received.append(theirs.recv(1 << 20))

    with ours, theirs:
        thread = threading.Thread(target=receive_all)
        thread.start()
        channel(ours, 60).send(sent)
        thread.join()
    return received


def not_single(received):
    """How many pieces have several bytes. The kernel may find another one between it took one and its call's end, but seldom."""
    return sum(len(piece) > 1 for piece in received)


def test_the_splitter_delivers_single_bytes():
    sent = bytes(range(256)) * 2
    received = pieces(Splitter, sent, len(sent))
    assert b"".join(received) == sent
    assert not_single(received) < 10


def test_the_splitter_delivers_the_ends_of_long_messages_in_single_bytes():
    sent = bytes(range(256)) * 100
    received = pieces(Splitter, sent, len(sent))
    assert b"".join(received) == sent
    assert not_single(received[:Splitter.ENDS - 10]) + not_single(received[-Splitter.ENDS + 10:]) < 10


def test_the_splitter_takes_single_bytes():
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        theirs.sendall(b"several")
        splitter = Splitter(ours, 60)
        assert splitter.more() == b"s"
        assert splitter.receive(6) == b"everal"


def test_otherwise_it_is_one_piece():
    assert pieces(Channel, bytes(10000), 10000) == [bytes(10000)]


def test_what_is_joined():
    """All but what depends on an answer."""
    write, read, elsewhere = request(CMD_WRITE, 0, 10), request(CMD_READ, 5, 10), request(CMD_READ, 10, 10)
    handshake = [Step(b"flags", None), Step(b"option", b"reply")]
    steps = [*handshake, Step(write, None), Step(elsewhere, None), Step(read, None), Step(b"", None, alone=True), Step(read, None),
             Step(read, None, on=1)]
    assert list(runs(steps, joined=True)) == [steps[:4], steps[4:5], steps[5:6], steps[6:7], steps[7:]]
    assert list(runs(steps, joined=False)) == [[step] for step in steps]
