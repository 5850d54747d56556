# SPDX-License-Identifier: BSD-2-Clause
"""
What each sector of a disk may hold, by what clients sent and what they were answered.

Every sector that is written is stamped with its export, its number, the connection and the number of the change, and
with a checksum, all over: what is read tells whose it is.  For each sector the ledger keeps the changes whose value it may
have.  Of two changes the first is the earlier one if it was answered before the other was sent, or if both came on one
connection: the server has them done in this order.  Others may have been done in any.

A change that is durable ends the claims of all that are earlier: an answer to FUA says that its own is, an answer to FLUSH
that those are which were answered before the FLUSH was sent.  A TRIM has a claim to zeroes and ends nobody's: what it
leaves is undefined, but never something foreign.  A change without an answer, or with an error, has been done or
not, in each sector.

A read that meets a change on its way may find a part of it, down to bytes: neither NBD nor the page cache promises more.

For a disk that keeps a log, the journal tells behind which place of it a change is that was sent, and up to which one there
is what made it durable: see replay.py.
"""

import collections
import itertools
import struct
import zlib

SECTOR = 512
MAGIC = 0x50A77E12
RECORD = struct.Struct(">IIQQI")
ZEROES = bytes(SECTOR)
# The value of a sector: the number of the change that wrote it.
ZERO = 0

WRITE, CLEAR, TRIM = "write", "zeroes", "trim"


class Lost(AssertionError):
    """The disk has broken its promise."""


class Foreign(Lost):
    """It holds what nobody wrote there."""


def stamp(export, sector, connection, number):
    record = RECORD.pack(MAGIC, export, sector, number, connection)
    return (record + struct.pack(">I", zlib.crc32(record))) * (SECTOR // 32)


def read_stamp(export, sector, data):
    """The number of the change that wrote DATA to SECTOR."""
    if data == ZEROES:
        return ZERO
    record = data[:28]
    magic, its_export, its_sector, number, _ = RECORD.unpack(record)
    if data[:32] * (SECTOR // 32) != data:
        raise Foreign(f"a part of a sector: {data.hex()}")
    if magic != MAGIC or zlib.crc32(record) != int.from_bytes(data[28:32], "big"):
        raise Foreign(f"no stamp: {record.hex()}")
    if (its_export, its_sector) != (export, sector):
        raise Foreign(f"it belongs to sector {its_sector} of export {its_export}, not to {sector} of {export}")
    return number


class Op:
    """A request: when it was sent and, if it was, answered."""

    __slots__ = ("kind", "first", "count", "connection", "fua", "number", "sent", "ended", "done", "legal", "met")

    def __init__(self, kind, first=0, count=0, connection=None, fua=False, number=0):
        self.kind, self.first, self.count, self.connection, self.fua, self.number = kind, first, count, connection, fua, number
        self.sent = self.ended = -1
        self.done = True
        self.legal = None  # of a read: the values that each sector may have
        self.met = None    # and the sectors where it meets a change that is on its way, or may still be

    @property
    def value(self):
        return self.number if self.kind == WRITE else ZERO

    @property
    def sectors(self):
        return range(self.first, self.first + self.count)

    def is_before(self, other):
        """Whether it was done before OTHER, a change of the same sector."""
        return (self.ended is not None and self.ended < other.sent) or (
            self.connection == other.connection and self.sent < other.sent)

    def __str__(self):
        end = "not answered" if self.ended is None else f"{'answered' if self.done else 'failed'} at {self.ended}"
        return (f"{self.kind}{' fua' if self.fua else ''} {self.number}, sectors {self.first}+{self.count}, connection "
                f"{self.connection}, sent at {self.sent}, {end}")


class Ledger:
    """LASTING: an answer is enough for a change to be durable, as when only the server dies."""

    def __init__(self, export, sectors, lasting=False):
        self.export = export
        self.lasting = lasting
        self.numbers = itertools.count(ZERO + 1)
        self.writers = {}  # the connection that sent each value
        self.clock = 0
        self.doubtful = 0  # what was sent up to then may be lost by a failure that was forgotten
        self.where = lambda: 0  # how far the disk's log is
        self.position = 0
        self.settle([ZERO] * sectors)

    def settle(self, values):
        """Nothing is on its way any more, and the sectors hold these VALUES."""
        initial = {}
        for value in values:
            if value not in initial:
                initial[value] = Op(WRITE, number=value)
        self.writers = {value: self.writers[value] for value in initial if value != ZERO}
        self.claims = [[initial[value]] for value in values]
        self.history = [collections.deque(maxlen=16) for _ in values]
        self.answered = []  # changes that no FLUSH has covered yet
        self.reads = set()  # that are on their way
        self.sick = None    # when an answer said that durability is gone
        self.journal = []   # (position, whether it was known to be durable or else about to be sent, change)

    def look(self):
        """To be called as soon as answers have come, and before requests go out."""
        self.position = self.where()

    def send(self, op):
        """OP is about to be sent."""
        self.clock += 1
        op.sent, op.ended, op.done = self.clock, None, False
        if op.kind in (WRITE, CLEAR, TRIM):
            self.admit(op)
            for read in self.reads:
                for sector in range(max(read.first, op.first), min(read.first + read.count, op.first + op.count)):
                    read.legal[sector - read.first].add(op.value)
                    read.met.add(sector)
        elif op.kind == "read":
            op.legal = [self.visible(sector) for sector in op.sectors]
            op.met = {sector for sector in op.sectors if not all(claim.done for claim in self.claims[sector])}
            self.reads.add(op)

    def admit(self, op):
        """Its sectors may have its value."""
        self.journal.append((self.position, False, op))
        self.writers[op.number] = op.connection
        for sector in op.sectors:
            self.claims[sector].append(op)
            self.history[sector].append(op)

    def visible(self, sector):
        """The values that a read may find that is sent now."""
        claims = self.claims[sector]
        seen = [op for op in claims if op.done and op.kind != TRIM]
        return {op.value for op in claims if not any(op.is_before(other) for other in seen)}

    def answer(self, op, error, data=b""):
        """The answer to OP has come."""
        self.clock += 1
        op.ended, op.done = self.clock, error == 0
        self.reads.discard(op)
        self.check_health(op, error)
        if error:
            return
        if op.kind == "read":
            self.check(op.first, data, op.legal, op.met)
        elif op.kind == "flush":
            self.flush(op)
        elif op.fua or self.lasting:
            self.make_durable(op)
        elif op.sent > self.doubtful:
            self.answered.append(op)

    def check_health(self, op, error):
        """After the answer that durability is gone none says that something is durable."""
        if op.kind != "flush" and not op.fua:
            return
        if error == 0 and self.sick is not None and op.sent > self.sick:
            raise Lost(f"a flush had failed at {self.sick}, and then there was no error: {op}")
        if error and self.sick is None and op.sent > self.doubtful:
            self.sick = self.clock

    def forget_failure(self):
        """The disk was told to: no FLUSH speaks of what came until now."""
        self.sick, self.doubtful, self.answered = None, self.clock, []

    def give_up(self, op):
        """Its client has left: it is done by now, or will not be done."""
        op.ended = self.clock
        self.reads.discard(op)

    def flush(self, flush):
        covered = [op for op in self.answered if op.ended < flush.sent]
        self.answered = [op for op in self.answered if op.ended >= flush.sent]
        for op in covered:
            self.make_durable(op)

    def make_durable(self, op):
        """The values that were before it are gone from its sectors."""
        if op.kind == TRIM:
            return
        self.journal.append((self.position, True, op))
        for sector in op.sectors:
            claims = self.claims[sector]
            if len(claims) > 1:
                self.claims[sector] = [claim for claim in claims if not claim.is_before(op)]

    def check(self, first, data, legal, met=()):
        """Each sector of DATA, from FIRST on, has one of its LEGAL values, or parts of them where it MET a change; the values."""
        values = []
        for at, allowed in enumerate(legal):
            sector, found = first + at, data[at * SECTOR:(at + 1) * SECTOR]
            try:
                value = read_stamp(self.export, sector, found)
                if value not in allowed:
                    raise Lost(f"the value {value}, where only {sorted(allowed)} may be")
                values.append(value)
            except Lost as lost:
                if sector not in met or not self.is_made_of(sector, found, allowed):
                    raise type(lost)(self.explain(sector, lost)) from None
        return values

    def is_made_of(self, sector, data, values):
        """Whether each byte of DATA is what one of VALUES has there."""
        images = [ZEROES if value == ZERO else stamp(self.export, sector, self.writers[value], value) for value in values]
        return all(byte in choice for byte, *choice in zip(data, *images))

    def explain(self, sector, lost):
        history = "".join(f"\n  {op}" for op in self.history[sector])
        return f"export {self.export}, sector {sector}: {lost}\nits latest changes:{history}"

    def check_sector(self, sector, contents, torn):
        """Its CONTENTS are all that the disk might hold there if it broke down now.

        TORN: below a block device's page cache, which may write back what is just being changed: parts of what isn't durable yet."""
        legal = {op.value for op in self.claims[sector]}
        for data in contents:
            self.check(sector, data, [legal], {sector} if torn and len(legal) > 1 else ())

    def check_all(self, data):
        """DATA is what the whole disk might hold if it broke down now: nothing that is durable is lost; the values."""
        return self.check(0, data, [{op.value for op in claims} for claims in self.claims])

    def verify(self, data):
        """DATA is what the whole disk holds after it broke down.  It goes on from there."""
        self.settle(self.check_all(data))
