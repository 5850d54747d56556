# SPDX-License-Identifier: BSD-2-Clause
"""What the checker of durability lets pass, and what it does not."""

import pytest

from ledger import CLEAR, SECTOR, TRIM, WRITE, ZEROES, Foreign, Ledger, Lost, Op, stamp

EXPORT = 7


class Story:
    """Requests on a disk of four sectors, by connections 1 and 2, and what it holds then."""

    def __init__(self, lasting=False):
        self.ledger = Ledger(EXPORT, 4, lasting)

    def send(self, kind, first=0, count=1, connection=1, fua=False):
        op = Op(kind, first, count, connection, fua, next(self.ledger.numbers))
        self.ledger.send(op)
        return op

    def do(self, *arguments, error=0, **keywords):
        op = self.send(*arguments, **keywords)
        self.ledger.answer(op, error)
        return op

    def holds(self, op):
        return ZEROES if op is None or op.kind != WRITE else stamp(EXPORT, 0, op.connection, op.number)

    def left(self, *ops):
        """Those of OPS, and None for what was there at first, that sector 0 may have after a crash."""
        left = []
        for op in (None, *ops):
            try:
                self.ledger.check(0, self.holds(op), [{claim.value for claim in self.ledger.claims[0]}])
                left.append(op)
            except Lost:
                pass
        return left


@pytest.fixture
def story():
    return Story()


def test_what_is_not_durable_may_be_lost(story):
    a, b = story.do(WRITE), story.send(WRITE)
    assert story.left(a, b) == [None, a, b]


def test_a_flush_covers_what_was_answered_before_it_was_sent(story):
    a, b = story.do(WRITE), story.send(WRITE)
    flush = story.send("flush")
    story.ledger.answer(b, 0)
    late = story.do(WRITE)
    story.ledger.answer(flush, 0)
    assert story.left(a, b, late) == [a, b, late]
    story.do("flush")
    assert story.left(a, b, late) == [late]


def test_a_flush_covers_all_connections(story):
    a = story.do(WRITE, connection=1)
    story.do("flush", connection=2)
    assert story.left(a) == [a]


def test_a_flush_that_failed_covers_nothing(story):
    a = story.do(WRITE)
    story.do("flush", error=5)
    assert story.left(a) == [None, a]


def test_fua_covers_itself(story):
    a, b = story.do(WRITE), story.do(WRITE, fua=True)
    c = story.send(WRITE)
    assert story.left(a, b, c) == [b, c]


def test_a_fua_without_answer_covers_nothing(story):
    a, b = story.do(WRITE, fua=True), story.send(WRITE, fua=True)
    assert story.left(a, b) == [a, b]
    story.ledger.answer(b, 5)
    assert story.left(a, b) == [a, b]


def test_changes_of_one_connection_have_an_order(story):
    a, b = story.send(WRITE), story.send(WRITE, fua=True)
    story.ledger.answer(b, 0)
    assert story.left(a, b) == [b]


def test_changes_in_flight_on_two_connections_have_none(story):
    a, b = story.send(WRITE, connection=1), story.send(WRITE, connection=2, fua=True)
    story.ledger.answer(b, 0)
    story.ledger.answer(a, 0)
    assert story.left(a, b) == [a, b]
    story.do("flush")
    assert story.left(a, b) == [a, b]


def test_only_its_own_sectors(story):
    a = story.do(WRITE, 0, 2)
    story.do(WRITE, 1, 2, fua=True)
    assert story.left(a) == [None, a]


def test_trim_leaves_what_was_there_or_zeroes(story):
    a = story.do(WRITE, fua=True)
    trim = story.do(TRIM, fua=True)
    assert story.left(a, trim) == [None, a, trim]
    b = story.do(CLEAR, fua=True)
    assert story.left(a, b) == [None, b]
    c = story.do(WRITE, fua=True)
    assert story.left(a, b, c) == [c]


def test_a_change_that_failed_may_have_been_done(story):
    a = story.do(WRITE, fua=True)
    b = story.do(WRITE, error=5)
    assert story.left(a, b) == [a, b]
    c = story.do(WRITE)
    story.do("flush")
    assert story.left(a, b, c) == [c]


def test_a_client_that_left_undoes_nothing_later(story):
    a = story.send(WRITE, connection=1)
    story.ledger.give_up(a)
    assert story.left(a) == [None, a]
    b = story.do(WRITE, connection=2, fua=True)
    assert story.left(a, b) == [b]


def test_when_only_the_server_dies_an_answer_is_enough():
    story = Story(lasting=True)
    a, b = story.do(WRITE), story.send(WRITE)
    assert story.left(a, b) == [a, b]


def test_a_read_finds_what_was_answered_or_is_on_its_way(story):
    a, b, c = story.do(WRITE), story.do(WRITE), story.send(WRITE, connection=2)
    read = story.send("read")
    d = story.send(WRITE, connection=2)
    # None of these was there when it was sent.
    story.ledger.answer(d, 0)
    story.do("flush")
    assert read.legal == [{op.number for op in (b, c, d)}]
    story.ledger.answer(read, 0, story.holds(c))
    with pytest.raises(Lost, match="may be"):
        story.ledger.answer(story.send("read"), 0, story.holds(a))


def test_a_read_may_find_a_part_of_a_change_on_its_way(story):
    a, b = story.do(WRITE), story.send(CLEAR, connection=2)
    read = story.send("read")
    c = story.send(WRITE, connection=2)
    story.ledger.answer(b, 0)
    story.ledger.answer(c, 0)
    parts = story.holds(a)[:7] + ZEROES[7:501] + story.holds(c)[501:]
    story.ledger.answer(read, 0, parts)
    with pytest.raises(Foreign, match="a part of a sector"):
        story.ledger.answer(story.send("read"), 0, parts)


def test_a_page_cache_may_have_written_parts_of_what_is_not_durable(story):
    a, b = story.do(WRITE), story.do(WRITE)
    parts = story.holds(a)[:100] + story.holds(b)[100:]
    story.ledger.check_sector(0, [story.holds(a), parts], torn=True)
    with pytest.raises(Foreign, match="a part of a sector"):
        story.ledger.check_sector(0, [story.holds(a), parts], torn=False)
    story.do("flush")
    with pytest.raises(Foreign, match="a part of a sector"):
        story.ledger.check_sector(0, [parts], torn=True)


def test_but_a_part_of_nothing_else(story):
    a, b = story.do(WRITE), story.do(WRITE)
    read = story.send("read")
    story.do(CLEAR, connection=2)
    with pytest.raises(Foreign, match="a part of a sector"):
        story.ledger.answer(read, 0, story.holds(a)[:256] + story.holds(b)[256:])


def test_after_a_failed_flush_nothing_is_called_durable(story):
    running = story.send("flush")
    story.do("flush", error=5)
    story.ledger.answer(running, 0)
    story.do(WRITE)
    story.do(WRITE, fua=True, error=5)
    for promise in (story.send("flush"), story.send(WRITE, fua=True)):
        with pytest.raises(Lost, match="there was no error"):
            story.ledger.answer(promise, 0)


def test_a_flush_after_a_forgotten_failure_covers_only_what_came_then(story):
    a, b = story.do(WRITE, connection=1), story.send(WRITE, connection=1)
    late = story.send("flush")
    story.do("flush", error=5)
    story.ledger.forget_failure()
    story.ledger.answer(b, 0)
    # This one failed with the other.
    story.ledger.answer(late, 5)
    story.do("flush")
    assert story.left(a, b) == [None, a, b]
    c = story.do(WRITE, connection=2)
    story.do("flush")
    assert story.left(a, b, c) == [c]


@pytest.mark.parametrize("change, said", [
    (lambda good, other: stamp(EXPORT + 1, 0, 1, 1), "of export 8"),
    (lambda good, other: stamp(EXPORT, 1, 1, 1), "sector 1 of export"),
    (lambda good, other: stamp(EXPORT, 0, 1, 99), "the value 99"),
    (lambda good, other: good[:256] + other[256:], "a part of a sector"),
    (lambda good, other: good[:256] + bytes(256), "a part of a sector"),
    (lambda good, other: (b"\0" + good[1:32]) * 16, "no stamp"),
    (lambda good, other: (good[:20] + b"\1" + good[21:32]) * 16, "no stamp"),
    (lambda good, other: b"\xff" * SECTOR, "no stamp"),
])
def test_what_nobody_wrote_is_foreign(story, change, said):
    a, b = story.do(WRITE), story.do(WRITE)
    data = change(story.holds(a), story.holds(b)) + ZEROES * 3
    with pytest.raises(Foreign if "value" not in said else Lost, match=said):
        story.ledger.verify(data)


def test_it_can_be_asked_again_and_again(story):
    a, b = story.do(WRITE), story.do(WRITE)
    for op in (None, b, a, b):
        assert story.ledger.check_all(story.holds(op) + ZEROES * 3) == [op.number if op else 0, 0, 0, 0]
    story.do("flush")
    for op in (None, a):
        with pytest.raises(Lost, match="may be"):
            story.ledger.check_all(story.holds(op) + ZEROES * 3)


def test_it_goes_on_from_what_it_found(story):
    a, b = story.do(WRITE), story.do(WRITE)
    story.ledger.verify(story.holds(a) + ZEROES * 3)
    assert story.left(a, b) == [a]
    c = story.do(WRITE)
    story.do("flush")
    assert story.left(a, b, c) == [c]
