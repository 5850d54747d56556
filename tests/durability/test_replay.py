# SPDX-License-Identifier: BSD-2-Clause
"""What a log of writes may show at which place, by the promises of the time."""

import pytest

from ledger import CLEAR, SECTOR, TRIM, WRITE, Foreign, Ledger, Lost, Op, stamp
from log_writes import DISCARD, FLUSH, Cache
from replay import Replay

EXPORT = 7


class Story:
    """Requests on a disk of two sectors, and its log, where each entry has the length 1."""

    def __init__(self, lag=0):
        self.ledger = Ledger(EXPORT, 2)
        self.ledger.where = lambda: len(self.entries)
        self.lag = lag
        self.entries = []

    def send(self, kind, first=0, count=1, connection=1, fua=False):
        op = Op(kind, first, count, connection, fua, next(self.ledger.numbers))
        self.ledger.look()
        self.ledger.send(op)
        return op

    def answer(self, op):
        self.ledger.look()
        self.ledger.answer(op, 0)

    def do(self, *arguments, **keywords):
        """Answered before anything reaches the disk."""
        op = self.send(*arguments, **keywords)
        self.answer(op)
        return op

    def data(self, op):
        return b"".join(stamp(EXPORT, sector, op.connection, op.number) if op.kind == WRITE else bytes(SECTOR) for sector in op.sectors)

    def log(self, flags, op=None):
        self.entries.append((len(self.entries) + 1, flags, op.first if op else 0, self.data(op) if op else b""))

    def play(self, torn=False):
        cache = Cache(bytes(2 * SECTOR), self.lag)
        replay = Replay(self.ledger, cache, torn)
        replay.run(self.entries)
        replay.finish()
        return cache

    def is_lost_at(self, entries, flushes):
        with pytest.raises(Lost, match=f"the log's first {entries} bytes, with {flushes} flushes: export {EXPORT}, sector 0: .*may be"):
            self.play()


@pytest.fixture
def story():
    return Story()


def test_what_is_flushed_before_the_answer_is_durable(story):
    a = story.do(WRITE, 0, 2)
    story.log(0, a)
    flush = story.send("flush")
    story.log(FLUSH)
    story.answer(flush)
    b = story.do(WRITE)
    story.log(0, b)
    assert [len(contents) for contents in story.play().sectors] == [2, 1]


def test_a_flush_just_after_the_answer_is_too_late(story):
    a = story.do(WRITE)
    story.log(0, a)
    story.do("flush")
    story.log(FLUSH)
    story.is_lost_at(1, 0)


def test_a_flush_before_the_write_is_too_early(story):
    a = story.do(WRITE)
    flush = story.send("flush")
    story.log(FLUSH)
    story.log(0, a)
    story.answer(flush)
    story.log(FLUSH)
    story.is_lost_at(2, 1)


def test_without_an_answer_there_is_no_promise(story):
    story.do(WRITE)
    story.send("flush")
    story.send(WRITE, fua=True)
    story.play()


def test_what_never_reaches_the_disk_is_lost(story):
    story.do(WRITE, fua=True)
    story.is_lost_at(0, 0)


def test_fua_is_durable_by_its_answer(story):
    a = story.send(WRITE, fua=True)
    story.log(0, a)
    story.log(FLUSH)
    story.answer(a)
    b = story.send(WRITE, fua=True)
    story.log(0, b)
    story.answer(b)
    story.log(FLUSH)
    story.is_lost_at(3, 1)


def test_an_older_value_may_not_come_back(story):
    """Not for a moment, either: it may leave the disk's cache alone."""
    a, b = story.do(WRITE), story.send(WRITE, fua=True)
    story.log(0, a)
    story.log(0, b)
    story.log(FLUSH)
    story.answer(b)
    story.log(0, a)
    story.log(0, b)
    story.is_lost_at(4, 1)


def test_a_value_that_may_be_lost_may_be_lost_in_any_order(story):
    a, b = story.send(WRITE, connection=1), story.send(WRITE, connection=2)
    for op in (a, b, a, b):
        story.log(0, op)
    story.answer(a)
    story.answer(b)
    flush = story.send("flush")
    story.log(FLUSH)
    story.answer(flush)
    story.play()


def test_what_is_sent_later_excuses_nothing(story):
    """The zeroes that are there if the write is lost aren't of the CLEAR that isn't sent yet."""
    a = story.send(WRITE, fua=True)
    story.log(0, a)
    story.answer(a)
    story.log(FLUSH)
    story.log(DISCARD, story.do(CLEAR))
    story.is_lost_at(1, 0)


@pytest.mark.parametrize("kind", [CLEAR, TRIM])
def test_zeroes_may_be_there_as_soon_as_they_are_sent(story, kind):
    a = story.send(WRITE, fua=True)
    story.log(0, a)
    story.log(FLUSH)
    story.answer(a)
    story.log(DISCARD, story.send(kind))
    story.play()


def test_an_answer_that_is_seen_within_an_entry_counts_before_it(story):
    a = story.do(WRITE)
    story.log(0, a)
    flush = story.send("flush")
    story.ledger.where = lambda: 1.5
    story.answer(flush)
    story.log(FLUSH)
    story.is_lost_at(1, 0)


def test_a_page_cache_may_write_parts_of_what_is_not_durable(story):
    a, b = story.do(WRITE), story.do(WRITE)
    halves = story.data(a)[:256] + story.data(b)[256:]
    story.entries.append((1, 0, 0, halves))
    with pytest.raises(Foreign, match="a part of a sector"):
        story.play()
    story.play(torn=True)


def test_a_liar_is_noticed_at_the_promise():
    story = Story(lag=1)
    a = story.send(WRITE, fua=True)
    story.log(0, a)
    story.log(FLUSH)
    story.answer(a)
    story.is_lost_at(2, 1)
