# SPDX-License-Identifier: BSD-2-Clause
"""
The power of a disk is cut at every place of its log: just before and just after each flush, and after each write.  Whatever
may be left then is held against what clients had been promised.

The ledger looks how far the log is whenever answers have come: what they promise holds at each cut from there on, as the
flush that they speak of is in the log before.  It looks before requests are sent, too: what they write can only be in the
log behind that.

No image of the disk is made, and no writes are chosen to be lost: each sector of each write may be lost for itself.  So
whatever may be left of the disk is right if whatever may be left of each sector is.  That becomes more only where the sector
is written, and what it may be becomes less only where something is promised: it is checked there.
"""

import math

from ledger import Ledger, Lost
from log_writes import FLUSH


class Replay:
    """Of the log of CACHE, a disk whose clients had LEDGER.  TORN: see Ledger.check_sector()."""

    def __init__(self, ledger, cache, torn=False):
        self.journal = ledger.journal
        self.learned = 0  # so much of that
        self.ledger = Ledger(ledger.export, len(ledger.claims))  # as it was at the cut
        self.cache = cache
        self.torn = torn
        self.end = self.flushes = 0  # of the log up to the cut

    def run(self, entries):
        """Through these, the next ones of the log."""
        for end, flags, first, data in entries:
            # Whoever looked then saw the log without this entry, or with a part of it.
            self.learn(end)
            self.end = end
            self.flushes += bool(flags & FLUSH)
            for sector in self.cache.add(flags, first, data):
                self.check(sector, self.cache.sectors[sector][-1:])

    def finish(self):
        """What was promised when the log was complete."""
        self.learn(math.inf)

    def learn(self, end):
        """What the clients knew before the log was as far as END."""
        while self.learned < len(self.journal) and self.journal[self.learned][0] < end:
            _, durable, op = self.journal[self.learned]
            self.learned += 1
            if not durable:
                self.ledger.admit(op)
                continue
            self.ledger.make_durable(op)
            for sector in op.sectors:
                self.check(sector, self.cache.sectors[sector])

    def check(self, sector, contents):
        try:
            self.ledger.check_sector(sector, contents, self.torn)
        except Lost as lost:
            raise type(lost)(f"the log's first {self.end} bytes, with {self.flushes} flushes: {lost}") from None
